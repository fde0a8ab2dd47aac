from __future__ import annotations

import datetime
import io
import json
import pickle
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats import registry
from dsetkit.formats.hf_parquet import held
from dsetkit.formats.hf_parquet.format import HfParquet
from dsetkit.formats.reading import open_labels, read_labels
from dsetkit.formats.testing import ReadContract, check_labels, png
from dsetkit.storage.scan import scan

NAMES = {"names": ["cat", "dog"], "_type": "ClassLabel"}
IMAGE = {"_type": "Image"}


def pictures(count: int, names: bool = True) -> pa.Array:
    cells = [{"bytes": png(40, 30, n), "path": f"{n}.png" if names else None} for n in range(count)]
    return pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def put(path: Path, columns: dict[str, Any], features: Any = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns)
    if features is not None:
        told = json.dumps({"info": {"features": {"image": IMAGE, **features}}})
        table = table.replace_schema_metadata({"huggingface": told})
    pq.write_table(table, path, **options)
    return path.parent


def read(folder: Path, columns: dict[str, Any], features: Any = None, **options: Any) -> Any:
    count = len(next(iter(columns.values())))
    put(folder / "train.parquet", {"image": pictures(count), **columns}, features)
    return read_labels(folder, "hf_parquet", options=options)


class TestClasses(ReadContract):
    format = HfParquet()

    def example(self, folder: Path) -> None:
        columns = {"image": pictures(5), "label": [0, 1, 0, -1, None], "text": ["a cat", None, "", "x", "y"]}
        put(folder / "data" / "train-00000-of-00001.parquet", columns, {"label": NAMES}, row_group_size=2)


class TestObjects(ReadContract):
    format = HfParquet()

    def example(self, folder: Path) -> None:
        objects = [
            {"bbox": [[1.0, 2.0, 30.0, 4.0]], "category": [1], "id": [7]},
            {"bbox": [], "category": [], "id": []},
        ]
        columns = {"image": pictures(2, names=False), "objects": objects, "width": [40, 40], "height": [30, 30]}
        feature = {"bbox": {}, "category": NAMES, "id": {"dtype": "int64", "_type": "Value"}}
        put(folder / "test-00000-of-00001.parquet", columns, {"objects": {"feature": feature, "_type": "Sequence"}})


def test_labels_texts_and_other_columns(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "label": [0, 1, None],
            "caption": ["one", "two", None],
            "note": ["x", None, "z"],
            "when": [datetime.date(2024, 1, 2)] * 3,
            "scores": [[0.5, 1.0], [], None],
            "image_id": [11, 12, 13],
            "fine_label": [None, 0, None],
            "thumb": pictures(3),
        },
        {"label": NAMES, "fine_label": {"names": ["Tabby"], "_type": "ClassLabel"}, "thumb": IMAGE},
    )
    first, second, third = found.rows
    assert first == {
        "key": "train/0.png",
        "labelled": "yes",
        "annotations": [
            {"id": "0", "kind": "image_label", "category": "cat"},
            {"id": "1", "kind": "caption", "text": "one"},
        ],
        "attributes": {"note": "x", "when": "2024-01-02", "scores": [0.5, 1.0]},
        "source_id": "11",
        "subsets": ("train",),
    }
    assert second["annotations"][:2] == [
        {"id": "0", "kind": "image_label", "category": "dog"},
        {"id": "1", "kind": "image_label", "category": "Tabby", "extras": {"hf_parquet": {"column": "fine_label"}}},
    ]
    assert "labelled" not in third
    assert [(item.name, item.source_ids) for item in found.categories] == [
        ("cat", ("0",)),
        ("dog", ("1",)),
        ("Tabby", ("0",)),
    ]
    assert [issue.describe() for issue in found.issues] == [
        "train.parquet: the columns thumb hold more pictures or bytes; they were left out. To read another column of "
        "pictures, name it by the option image. [column-unread]"
    ]


@pytest.mark.parametrize("names", [True, False])
def test_pictures_are_read_by_row_group_and_their_readers_go_anywhere(tmp_path: Path, names: bool) -> None:
    put(tmp_path / "a.parquet", {"image": pictures(50, names), "label": ["x"] * 50}, row_group_size=7)
    held._kept.clear()
    opened = open_labels(tmp_path)
    assert opened.format.name == "hf_parquet"
    keys = [f"a/{n}.png" for n in range(50)] if names else [f"a/{n:06d}.png" for n in range(50)]
    assert sorted(keys) == [row["key"] for row in opened.labels.rows]
    assert [opened.tree.read(key) for key in keys] == [png(40, 30, n) for n in range(50)]
    reader = pickle.dumps(opened.tree.reader(keys[-1]))
    assert len(reader) < 1500
    assert pickle.loads(reader)() == png(40, 30, 49)


def test_names_met_again_and_names_from_elsewhere(tmp_path: Path) -> None:
    paths = ["a.png", "a.png", "/home/me/.cache/b.png", "../../c.png", "d.txt", None, "x" * 300 + ".png"]
    cells = [{"bytes": png(4, 4, n), "path": path} for n, path in enumerate(paths)]
    put(tmp_path / "p.parquet", {"image": cells, "label": list("abcdefg")})
    opened = open_labels(tmp_path, "hf_parquet")
    keys = {row["annotations"][0]["category"]: row["key"] for row in opened.labels.rows}
    assert keys == {
        "a": "p/a.png",
        "b": "p/a-2.png",
        "c": "p/b.png",
        "d": "p/c.png",
        "e": "p/000004.png",
        "f": "p/000005.png",
        "g": "p/000006.png",
    }
    assert opened.tree.read("p/a-2.png") == png(4, 4, 1)


def test_the_ending_of_pictures_without_a_name_is_the_first_ones(tmp_path: Path) -> None:
    cells = [None, {"bytes": None, "path": None}, {"bytes": b"\xff\xd8\xff", "path": None}]
    put(tmp_path / "p.parquet", {"image": cells})
    opened = open_labels(tmp_path)
    assert [row["key"] for row in opened.labels.rows] == ["p/000000.jpg", "p/000001.jpg", "p/000002.jpg"]
    assert [opened.tree.read(row["key"]) for row in opened.labels.rows] == [b"", b"", b"\xff\xd8\xff"]


def test_paths_without_bytes_are_pictures_beside_the_table(tmp_path: Path) -> None:
    cells = pa.array(
        [{"bytes": None, "path": path} for path in ("pics/1.png", "2.png", "gone.png")],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    (tmp_path / "data" / "pics").mkdir(parents=True)
    for name in ("pics/1.png", "pics/2.png"):
        (tmp_path / "data" / name).write_bytes(png(4, 4))
    found = read_labels(put(tmp_path / "data" / "t.parquet", {"image": cells, "label": ["a", "b", "c"]}).parent)
    assert [(row["key"], row["annotations"][0]["category"]) for row in found.rows] == [
        ("data/pics/1.png", "a"),
        ("data/pics/2.png", "b"),
        ("gone.png", "c"),
    ]
    assert [issue.code for issue in found.issues] == ["picture-missing"]


def test_a_plain_column_of_bytes_and_the_option_image(tmp_path: Path) -> None:
    columns = {"jpg": [png(4, 4), png(4, 4, 1)], "other": pictures(2), "blob": [b"x", b"y"], "cls": [3, 3]}
    put(tmp_path / "p.parquet", columns)
    assert open_labels(tmp_path).tree.read("p/000001.png") == png(4, 4, 1)
    other = open_labels(tmp_path, "hf_parquet", options={"image": "other"})
    assert other.tree.read("p/1.png") == png(40, 30, 1)
    assert open_labels(tmp_path, "hf_parquet", options={"image": "blob"}).tree.read("p/000000.png") == b"x"
    with pytest.raises(UsageError, match="the option image names the column 'cls' of") as caught:
        open_labels(tmp_path, "hf_parquet", options={"image": "cls"})
    assert caught.value.hint == "Columns of pictures are: jpg, other."
    with pytest.raises(UsageError, match="has the column 'nothing' that the option image names"):
        open_labels(tmp_path, "hf_parquet", options={"image": "nothing"})


def boxes(found: Any) -> list[Any]:
    return [tuple(item["bbox_xywh_px"]) for row in found.rows for item in row.get("annotations", ())]


@pytest.mark.parametrize("form", ["lists", "structs"])
def test_objects(tmp_path: Path, form: str) -> None:
    items: list[list[dict[str, Any]]] = [
        [
            {"bbox": [10.0, 5.0, 4.0, 3.0], "category": "wbc", "id": 4, "area": 12.0, "iscrowd": 1, "occluded": True},
            {"bbox": [1.0, 2.0, 3.0, 4.0], "category": None, "id": 5, "area": 12.0, "iscrowd": 0, "occluded": None},
        ],
        [],
    ]
    objects: Any = items
    if form == "lists":
        objects = [{name: [item[name] for item in row] for name in items[0][0]} for row in items]
        kind = pa.table({"objects": objects[:1]}).schema.field("objects").type
        objects = pa.array(objects, kind)
    found = read(tmp_path, {"objects": objects}, {"objects": [{"bbox": {}, "category": {}}]})
    first, second = found.rows
    assert first["annotations"] == [
        {
            "id": "0",
            "kind": "box",
            "bbox_xywh_px": (10.0, 5.0, 4.0, 3.0),
            "category": "wbc",
            "source_id": "4",
            "is_crowd": True,
            "attributes": {"occluded": True},
        },
        {"id": "1", "kind": "box", "bbox_xywh_px": (1.0, 2.0, 3.0, 4.0), "source_id": "5"},
    ]
    assert second["labelled"] == "yes"
    assert "annotations" not in second
    assert found.issues == ()


@pytest.mark.parametrize(
    ("raw", "more", "expected", "issues"),
    [
        ([10.0, 5.0, 4.0, 3.0], {}, (10.0, 5.0, 4.0, 3.0), []),  # the second corner would be before the first
        ([20.0, 5.0, 30.0, 8.0], {}, (20.0, 5.0, 10.0, 3.0), []),  # the picture, 40 px wide, is looked at
        ([20.0, 5.0, 30.0, 8.0], {"width": 40, "height": 30}, (20.0, 5.0, 10.0, 3.0), []),
        ([1.0, 2.0, 3.0, 6.0], {"area": 18.0}, (1.0, 2.0, 3.0, 6.0), []),
        ([1.0, 2.0, 3.0, 6.0], {"area": 8.0}, (1.0, 2.0, 2.0, 4.0), []),
        ([1.0, 2.0, 3.0, 4.0], {}, (1.0, 2.0, 3.0, 4.0), ["box-form-assumed"]),
        ([0.1, 0.2, 0.3, 0.4], {}, (0.1, 0.2, 0.3, 0.4), ["box-form-assumed", "coordinates-normalised"]),
    ],
)
def test_what_boxes_are_is_found_from_the_data(
    tmp_path: Path, raw: Any, more: dict[str, Any], expected: Any, issues: list[str]
) -> None:
    sizes = {name: [more[name]] for name in ("width", "height") if name in more}
    inner = {"bbox": [raw]} | ({"area": [more["area"]]} if "area" in more else {})
    found = read(tmp_path, {"objects": [inner], **sizes})
    (box,) = boxes(found)
    assert box == pytest.approx(expected)
    assert [issue.code for issue in found.issues] == issues
    if sizes:
        assert (found.rows[0]["width_px"], found.rows[0]["height_px"]) == (40, 30)


def test_what_boxes_are_can_be_said_and_may_be_open(tmp_path: Path) -> None:
    objects = [
        {"bbox": [[10.0, 5.0, 4.0, 3.0]]},
        {"bbox": [[20.0, 5.0, 30.0, 8.0]]},
        {"bbox": [[30.0, 5.0, 35.0, 8.0]]},
    ]
    columns = {"objects": objects, "width": [40] * 3, "height": [30] * 3}
    found = read(tmp_path, columns)
    assert boxes(found)[0] == (10.0, 5.0, -6.0, -2.0)
    assert found.issues[0].describe() == (
        "train.parquet: 1 boxes cannot be two corners and 2 cannot be corner and size, so it is open whether boxes are "
        "corner and size or two corners; they are taken as two corners (xyxy). Say it by the option boxes: xywh or "
        "xyxy. [box-form-assumed]"
    )
    assert boxes(read(tmp_path, columns, boxes="xywh"))[1] == (20.0, 5.0, 30.0, 8.0)
    assert boxes(read(tmp_path, columns, boxes="xyxy"))[1] == (20.0, 5.0, 10.0, 3.0)
    with pytest.raises(UsageError, match="the option boxes is 'corners'"):
        read(tmp_path, columns, boxes="corners")


def test_what_is_wrong_with_values(tmp_path: Path) -> None:
    objects = [
        {"bbox": [[1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0]], "category": [0, 5]},
        {"bbox": [[float("nan"), 0.0, 1.0, 1.0], [1e300, 0.0, 1.0, 1.0]], "category": [0, 1]},
    ]
    columns = {"objects": objects, "label": [7, -1], "x": [float("inf"), 1.0]}
    found = read(tmp_path, columns, {"label": NAMES, "objects": {"feature": {"category": NAMES}, "_type": "Sequence"}})
    check_labels(found)
    assert [(issue.code, issue.place) for issue in found.issues] == [
        ("label-unknown", "row 0"),
        ("box-malformed", "row 0.objects[0]"),
        ("label-unknown", "row 0.objects[1]"),
        ("value-unread", "row 0"),
        ("box-malformed", "row 1.objects[0]"),
        ("box-malformed", "row 1.objects[1]"),
        ("box-form-assumed", None),
    ]
    assert found.issues[0].describe() == (
        "train.parquet: row 0: train/0.png: label is 7, where there are 2 names. It counts as no label. [label-unknown]"
    )


@pytest.mark.parametrize(
    "features",
    [
        b"{",
        b"[]",
        b'{"info": 1}',
        b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": 7}}}}',
        b'{"info": {"features": {"label": {"_type": "ClassLabel", "names": ["a", "a"]}}}}',
        b'{"info": {"features": {"label": ' + b'{"_type": "List", "feature": ' * 100 + b"1" + b"}" * 102,
        b"[" * 100_000,
    ],
)
def test_features_that_are_none(tmp_path: Path, features: bytes) -> None:
    table = pa.table({"image": pictures(2), "label": [0, 1]}).replace_schema_metadata({b"huggingface": features})
    pq.write_table(table, tmp_path / "t.parquet")
    found = read_labels(tmp_path)
    assert [category.name for category in found.categories] == ["0", "1"]


def test_a_damaged_table_beside_a_good_one(tmp_path: Path) -> None:
    put(tmp_path / "a.parquet", {"image": pictures(2), "label": ["x", "y"]})
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[: len(whole) // 2])
    opened = open_labels(tmp_path)
    assert len(opened.labels) == 2
    assert [(issue.code, issue.file) for issue in opened.labels.issues] == [("file-unreadable", "b.parquet")]
    (tmp_path / "a.parquet").unlink()
    with pytest.raises(FormatError, match=r"b.parquet cannot be read: it does not end as Parquet does"):
        read_labels(tmp_path, "hf_parquet")


def test_a_table_that_was_not_fetched(tmp_path: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 7\n"
    (tmp_path / "train-00000-of-00001.parquet").write_bytes(pointer)
    found, _ = registry.detect(scan(tmp_path))
    assert found.why == "found train-00000-of-00001.parquet, a Parquet file that was not fetched"
    with pytest.raises(FormatError) as caught:
        read_labels(tmp_path)
    assert caught.value.message.startswith("train-00000-of-00001.parquet is a Git LFS pointer")
    assert caught.value.hint == "Fetch the data: git lfs pull."


def test_tables_without_pictures_are_none(tmp_path: Path) -> None:
    put(tmp_path / "a.parquet", {"label": [1], "image": ["a.png"]})
    assert HfParquet().detect(scan(tmp_path)) is None
    with pytest.raises(FormatError, match="no Hugging Face Parquet labels in"):
        read_labels(tmp_path, "hf_parquet")


def test_a_picture_named_very_often_is_held_once(tmp_path: Path) -> None:
    keys = pa.array([0] * 50_000, pa.int32())
    one = pa.DictionaryArray.from_arrays(keys, pa.array([png(500, 500) + bytes(1_000_000)], pa.binary()))
    out = io.BytesIO()
    pq.write_table(pa.table({"image": one}), out, row_group_size=50_000, dictionary_pagesize_limit=10_000_000)
    (tmp_path / "t.parquet").write_bytes(out.getvalue())
    opened = open_labels(tmp_path)
    assert len(opened.labels) == 50_000
    assert len(opened.tree.read("t/049999.png")) > 1_000_000
    assert sum(array.nbytes for array in held._kept.values()) < 10_000_000
