from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import json as arrow_json

from dsetkit.errors import FormatError
from dsetkit.formats import registry
from dsetkit.formats.hf_folder.files import typed
from dsetkit.formats.hf_folder.format import HfFolder
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, ReadContract, files_of, png
from dsetkit.formats.writing import check_losses, write_labels
from dsetkit.spec.category import Category
from dsetkit.storage.scan import scan


class TestHfFolder(FormatContract):
    format = HfFolder()


class TestCsv(ReadContract):
    format = HfFolder()

    def example(self, folder: Path) -> None:
        put(folder, "train/metadata.csv", 'file_name,label,text\na.png,cat,"one, two"\nb.png,dog,\n', "a.png", "b.png")


class TestParquet(ReadContract):
    format = HfFolder()

    def example(self, folder: Path) -> None:
        objects = [{"bbox": [[10.0, 5.0, 4.0, 3.0]], "category": [0]}, {"bbox": [], "category": []}]
        table = pa.table({"file_name": ["a.png", "b.png"], "label": [1, 0], "objects": objects})
        names = {"names": ["cat", "dog"], "_type": "ClassLabel"}
        told = {"info": {"features": {"label": names, "objects": {"bbox": {}, "category": {"feature": names}}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(told)})
        put(folder, "train/metadata.parquet", table, "a.png", "b.png")


def put(folder: Path, path: str, content: Any, *pictures: str) -> Path:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, pa.Table):
        pq.write_table(content, target)
    elif isinstance(content, list):
        target.write_text("".join(f"{json.dumps(line) if not isinstance(line, str) else line}\n" for line in content))
    else:
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
    for name in pictures:
        (target.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (target.parent / name).write_bytes(png(40, 30))
    return folder


def test_lines_of_json(tmp_path: Path) -> None:
    lines = [
        {"file_name": "a.png", "text": "a cat", "label": "cat", "weather": {"rain": True}},
        {"file_name": "sub/b.png", "additional_feature": 1.5, "label": ["cat", "dog"], "captions": ["x", "y"]},
        {"file_name": "c.png", "label": None, "text": ""},
        {"file_name": "d.png", "objects": {"bbox": [[10, 5, 4, 3]], "categories": ["cell"]}, "split": "fold 1"},
        {"file_name": "e.png", "objects": {"bbox": [], "categories": []}, "image_id": 5, "width": 40, "height": 30},
    ]
    names = ("a.png", "sub/b.png", "c.png", "d.png", "e.png", "unnamed.png")
    found = read_labels(put(tmp_path, "validation/metadata.jsonl", lines, *names))
    rows = {row["key"].removeprefix("validation/"): row for row in found.rows}
    assert found.issues == ()
    assert rows["a.png"]["annotations"] == [
        {"id": "0", "kind": "image_label", "category": "cat"},
        {"id": "1", "kind": "caption", "text": "a cat"},
    ]
    assert rows["a.png"]["attributes"] == {"weather": {"rain": True}}
    assert rows["a.png"]["subsets"] == ("validation",)
    said = [item.get("category", item.get("text")) for item in rows["sub/b.png"]["annotations"]]
    assert said == ["cat", "dog", "x", "y"]
    assert rows["sub/b.png"]["attributes"] == {"additional_feature": 1.5}
    assert "labelled" not in rows["c.png"]
    assert rows["d.png"]["subsets"] == ("fold 1",)
    assert rows["d.png"]["annotations"][0]["bbox_xywh_px"] == (10.0, 5.0, 4.0, 3.0)
    assert rows["e.png"]["labelled"] == "yes"
    assert (rows["e.png"]["source_id"], rows["e.png"]["width_px"]) == ("5", 40)
    assert "labelled" not in rows["unnamed.png"]
    assert [category.name for category in found.categories] == ["cat", "dog", "cell"]


def test_the_same_name_in_two_splits_and_folders_that_are_no_classes(tmp_path: Path) -> None:
    put(tmp_path, "train/metadata.csv", "file_name,label\ncat/1.png,dog\n", "cat/1.png")
    put(tmp_path, "test/metadata.csv", "file_name,label\n./cat/1.png,bird\n", "cat/1.png")
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(png(4, 4))
    found = read_labels(tmp_path)
    assert [
        (row["key"], row.get("subsets"), row.get("annotations", [{}])[0].get("category")) for row in found.rows
    ] == [
        ("cat/1.png", None, None),
        ("test/cat/1.png", ("test",), "bird"),
        ("train/cat/1.png", ("train",), "dog"),
    ]


def test_a_table_at_the_top_names_pictures_below(tmp_path: Path) -> None:
    text = 'file_name,caption,n,flag,list\ntrain/1.png,hello,7,true,"[1, 2]"\ntest/2.png,007,,False,x\n'
    found = read_labels(put(tmp_path, "metadata.csv", text, "train/1.png", "test/2.png"))
    second, first = found.rows
    assert (first["key"], first["subsets"]) == ("train/1.png", ("train",))
    assert first["attributes"] == {"n": 7, "flag": True, "list": [1, 2]}
    assert second["annotations"][0]["text"] == "007"
    assert second["attributes"] == {"flag": False, "list": "x"}


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), ("7", 7), ("-1.5", -1.5), ("1e3", 1000.0), ("true", True), ("1_0", "1_0"), ("nan", "nan"), ("[", "[")],
)
def test_cells_stand_for_values(text: str, value: Any) -> None:
    assert typed(text) == value


def test_a_column_that_ends_in_file_name(tmp_path: Path) -> None:
    lines = [{"image_file_name": "a.png", "label": "x"}, {"image_file_name": "b.png", "label": "y"}]
    found = read_labels(put(tmp_path, "metadata.jsonl", lines, "a.png", "b.png"), "hf_folder")
    assert [row["annotations"][0]["category"] for row in found.rows] == ["x", "y"]
    lines = [{"file_names": ["a.png", "b.png"], "label": "x"}]
    found = read_labels(put(tmp_path, "metadata.jsonl", lines), "hf_folder")
    assert [issue.code for issue in found.issues] == ["pictures-several"]


def test_what_is_wrong_with_lines(tmp_path: Path) -> None:
    lines = [
        "{",
        "[1]",
        {"label": "x"},
        {"file_name": 7},
        {"file_name": "a.png", "label": "x", "n": "x"},
        {"file_name": "./a.png", "label": "y"},
        {"file_name": "../../etc/passwd", "label": "z"},
        '{"file_name": "b.png", "n": NaN}',
        {"file_name": "gone.png"},
    ]
    found = read_labels(put(tmp_path, "d/metadata.jsonl", lines, "a.png", "b.png"), "hf_folder")
    assert [(issue.code, issue.place) for issue in found.issues] == [
        ("line-malformed", "line 1"),
        ("line-malformed", "line 2"),
        ("line-malformed", "line 3"),
        ("line-malformed", "line 4"),
        ("picture-twice", "line 6"),
        ("value-unread", "line 8"),
        ("picture-missing", None),
        ("picture-missing", None),
    ]
    assert found.issues[0].describe() == (
        "d/metadata.jsonl: line 1: it is no JSON (EOF while parsing an object at line 1 column 1). Correct the line; "
        "it was left out. [line-malformed]"
    )
    assert [row["key"] for row in found.rows] == ["d/a.png", "d/b.png", "d/gone.png", "etc/passwd"]


def test_what_is_wrong_with_a_csv(tmp_path: Path) -> None:
    text = 'file_name,label\na.png,x,y\nb.png\n\nc.png,"open\n'
    found = read_labels(put(tmp_path, "metadata.csv", text, "a.png", "b.png"), "hf_folder")
    assert [(issue.code, issue.place) for issue in found.issues] == [
        ("line-malformed", "line 2"),
        ("line-malformed", "line 5"),
    ]
    put(tmp_path, "metadata.csv", "file_name,label,label\na.png,x,y\n")
    with pytest.raises(FormatError, match=r"metadata.csv has no proper header") as caught:
        read_labels(tmp_path, "hf_folder")
    assert caught.value.hint == "Its first line has the names of columns, each once; one is file_name."


def test_it_is_found_before_a_plain_table_and_a_plain_folder(tmp_path: Path) -> None:
    put(tmp_path, "metadata.csv", "file_name,label,xmin,ymin,xmax,ymax\na.png,x,1,2,3,4\n", "a.png")
    found, others = registry.detect(scan(tmp_path))
    assert (found.format, found.why) == ("hf_folder", "found metadata.csv with a column of file names")
    assert "csv" in [other.format for other in others]
    put(tmp_path, "metadata.csv", "name,label\na.png,x\n")
    assert HfFolder().detect(scan(tmp_path)) is None


def export() -> MemoryExport:
    box = {"kind": "box", "bbox_xywh_px": (20.0, 5.0, 30.0, 8.0), "category": "cat"}
    rows: list[dict[str, Any]] = [
        {
            "key": "s/a.png",
            "split": "train",
            "labelled": "yes",
            "annotations": ({"id": "0", **box}, {"id": "1", **box}),
        },
        {"key": "s/b.png", "split": "train", "labelled": "yes"},
        {"key": "s/c.png", "split": "val", "labelled": "yes", "annotations": ({"id": "0", **box},)},
        {"key": "s/d.png", "split": "val"},
    ]
    caption = {"id": "2", "kind": "caption", "text": "zwei Katzen"}
    rows[0]["annotations"] = ({"id": "0", **box}, {"id": "1", **box}, caption)
    for row in rows:
        row |= {"width_px": 40, "height_px": 30}
    return MemoryExport(rows, [Category(name="cat", index=0)])


def test_what_is_written(tmp_path: Path) -> None:
    report = write_labels(export(), tmp_path / "out", "hf_folder", strict=True)
    assert report.losses == ()
    files = files_of(tmp_path / "out")
    assert sorted(files) == [
        *("train/a.png", "train/b.png", "train/metadata.jsonl", "val/c.png", "val/d.png", "val/metadata.jsonl"),
    ]
    assert files["train/metadata.jsonl"].decode().splitlines() == [
        '{"file_name": "a.png", "text": "zwei Katzen", "objects": {"bbox": [[20.0, 5.0, 30.0, 8.0], '
        '[20.0, 5.0, 30.0, 8.0]], "category": ["cat", "cat"], "area": [240.0, 240.0]}, "width": 40, "height": 30}',
        '{"file_name": "b.png", "text": null, "objects": {"bbox": [], "category": [], "area": []}, "width": 40, '
        '"height": 30}',
    ]
    assert files["val/metadata.jsonl"].decode().splitlines()[1] == (
        '{"file_name": "d.png", "text": "", "objects": null, "width": 40, "height": 30}'
    )
    found = read_labels(tmp_path / "out")
    assert found.issues == ()
    assert [row.get("labelled", "no") for row in found.rows] == ["yes", "yes", "yes", "no"]
    assert found.rows[0]["annotations"][0]["bbox_xywh_px"] == (20.0, 5.0, 30.0, 8.0)


def test_all_splits_have_the_same_types(tmp_path: Path) -> None:
    """``datasets`` compares what Arrow infers of each split's metadata."""
    write_labels(export(), tmp_path / "out", "hf_folder")
    schemas = [
        arrow_json.read_json(io.BytesIO((tmp_path / "out" / split / "metadata.jsonl").read_bytes())).schema
        for split in ("train", "val")
    ]
    assert schemas[0] == schemas[1]
    assert schemas[0].field("objects").type.field("bbox").type == pa.list_(pa.list_(pa.float64()))


def test_a_split_without_any_boxes_is_told_of(tmp_path: Path) -> None:
    rows = [row for row in export().rows() if row["key"] != "s/c.png"]
    report = check_losses(MemoryExport(rows, export().categories), "hf_folder")
    assert [loss.describe() for loss in report.losses] == [
        "a split without any objects shows no type for them; datasets loads it apart only (1, e.g. val) [type-unknown]"
    ]
    assert report.is_lossless


def test_splits_that_datasets_does_not_know_stand_in_a_column(tmp_path: Path) -> None:
    label = ({"id": "0", "kind": "image_label", "category": "x"},)
    rows = [
        {"key": f"s/{number}.png", "labelled": "yes", "annotations": label, **({"split": split} if split else {})}
        for number, split in enumerate(("fold 1", "train", "Train", None, "data"))
    ]
    write_labels(MemoryExport(rows, [Category(name="x", index=0)]), tmp_path / "out", "hf_folder")
    assert {path.partition("/")[0] for path in files_of(tmp_path / "out")} == {
        *("data", "data-2", "fold 1", "train", "Train-2")
    }
    found = read_labels(tmp_path / "out")
    assert {row["key"].rpartition("/")[2]: row.get("subsets") for row in found.rows} == {
        "0.png": ("fold 1",),
        "1.png": ("train",),
        "2.png": ("Train",),
        "3.png": None,
        "4.png": ("data",),
    }
