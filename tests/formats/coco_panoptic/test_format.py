from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsetkit.errors import FormatError
from dsetkit.formats import registry
from dsetkit.formats.coco.format import Coco
from dsetkit.formats.coco_panoptic.format import CocoPanoptic
from dsetkit.formats.coco_panoptic.ids import masks_of
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, expected_rows, files_of, normal
from dsetkit.formats.testing_exports import png
from dsetkit.formats.writing import check_losses, write_labels
from dsetkit.geometry import rle
from dsetkit.imaging.id_png import read_ids, write_ids
from dsetkit.spec.category import Category
from dsetkit.storage.scan import scan

Row = dict[str, Any]
WIDTH, HEIGHT = 6, 4


def mask(*parts: tuple[int, int, int, int], size: tuple[int, int] = (HEIGHT, WIDTH)) -> Row:
    """The union of boxes x, y, width, height."""
    pixels = np.zeros(size, np.bool_)
    for x, y, w, h in parts:
        pixels[y : y + h, x : x + w] = True
    return rle.encode(pixels)


class TestCocoPanoptic(FormatContract):
    format = CocoPanoptic()
    examples = 25

    def plain(self) -> MemoryExport:
        """Two pictures with masks, and one nobody labelled."""
        categories = [Category(name="cat", index=0, is_thing=True), Category(name="sky", index=1, is_thing=False)]
        rows: list[Row] = [{"key": "src/nobody.jpg", "width_px": WIDTH, "height_px": HEIGHT}]
        for name in ("cat_1", "cat_2"):
            annotations = (
                {"id": "1", "kind": "mask", "category": "cat", "mask": mask((1, 1, 2, 2))},
                {"id": "70000", "kind": "mask", "category": "sky", "mask": mask((3, 0, 3, 4))},
            )
            row = {"key": f"src/{name}.jpg", "width_px": WIDTH, "height_px": HEIGHT, "labelled": "yes"}
            rows.append(row | {"annotations": annotations})
        return MemoryExport(rows, categories)


def test_numbers_of_pixels():
    ids = np.array([[0, 1, 255], [256, 65536, 2**24 - 1]], np.uint32)
    data = write_ids(ids)
    assert data == write_ids(ids)
    assert read_ids(data).tolist() == ids.tolist()
    assert read_ids(png(2, 1, 7)).tolist() == [[7, 7]]  # one channel: the value itself


@pytest.mark.parametrize("most", [0, 10**9])
def test_masks_are_exact(most, monkeypatch):
    monkeypatch.setattr("dsetkit.formats.coco_panoptic.ids._MOST_RUNS", most)
    ids = np.random.default_rng(0).integers(0, 5, (17, 23)).astype(np.uint32)
    found = masks_of(ids, [1, 2, 9, 0, -1])
    assert found.size == (17, 23)
    assert sorted(found.masks) == [1, 2]
    for number in (1, 2):
        assert (rle.decode(found.masks[number]) == (ids == number)).all()
    assert found.others == {3: int((ids == 3).sum()), 4: int((ids == 4).sum())}
    many = masks_of(np.arange(1, 101, dtype=np.uint32).reshape(10, 10), [])
    assert (len(many.others), many.more) == (16, 84)
    whole = masks_of(np.full((2, 3), 9, np.uint32), [9])
    assert rle.decode(whole.masks[9]).all()


IDS = np.array([[5, 5, 0, 0, 300, 300], [5, 5, 0, 0, 300, 300], [5, 5, 0, 0, 0, 0], [0] * 6], np.uint32)


def document(segments: object, **more: Any) -> Row:
    annotation = {"image_id": 1, "file_name": "a.png", "segments_info": segments, **more.pop("annotation", {})}
    return {
        "images": [{"id": 1, "file_name": "a.jpg", "width": WIDTH, "height": HEIGHT}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [annotation],
        "categories": [{"id": 0, "name": "cat", "isthing": 1}, {"id": -7, "name": "sky", "isthing": 0}],
        **more,
    }


def read(folder: Path, content: Row, files: Mapping[str, bytes] | None = None) -> LabelSet:
    given = {"annotations/panoptic_val2017/a.png": write_ids(IDS)} if files is None else files
    text = json.dumps(content).encode()
    for name, data in {"annotations/panoptic_val2017.json": text, **given}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return read_labels(folder, "coco_panoptic")


def test_a_file_as_coco_has_it(tmp_path):
    segments = [
        {"id": 5, "category_id": 0, "area": 6, "bbox": [0, 0, 2, 3], "iscrowd": 1, "synset": "x"},
        {"id": 300, "category_id": -7, "area": 4, "bbox": [4, 0, 2, 2], "iscrowd": 0, "score": 0.5},
    ]
    labels = read(tmp_path, document(segments))
    assert labels.issues == ()
    first, second = labels.rows
    assert (first["key"], first["labelled"], first["subsets"]) == ("a.jpg", "yes", ["val"])
    assert first["annotations"] == [
        {"id": "5", "source_id": "5", "kind": "mask", "category": "cat", "mask": mask((0, 0, 2, 3)),
         "bbox_xywh_px": (0.0, 0.0, 2.0, 3.0), "is_crowd": True, "extras": {"coco_panoptic": {"synset": "x"}}},
        {"id": "300", "source_id": "300", "kind": "mask", "category": "sky", "mask": mask((4, 0, 2, 2)),
         "bbox_xywh_px": (4.0, 0.0, 2.0, 2.0), "score": 0.5},
    ]  # fmt: skip
    assert "labelled" not in second  # it has no annotation
    assert [(one.name, one.is_thing, one.source_ids) for one in labels.categories] == [
        ("cat", True, ("0",)),
        ("sky", False, ("-7",)),
    ]


SKY = {"id": 300, "category_id": -7}
CAT = {"id": 5, "category_id": 0}


@pytest.mark.parametrize(
    ("segments", "issue"),
    [
        ([CAT, SKY, {"id": 9, "category_id": 0}],
         "segments_info[2]: a.jpg: no pixel of annotations/panoptic_val2017/a.png has the number 9; the segment was "
         "left out. Correct the map or the id. [segment-missing]"),
        ([CAT],
         "segments_info: a.jpg: annotations/panoptic_val2017/a.png has 1 numbers that no segment has: 300 (4 px); they "
         "were left out. List them in segments_info, or make them 0. [segment-unlisted]"),
        ([CAT, SKY, CAT],
         "segments_info[2]: a.jpg: the id 5 is there already on the same picture; it was left out. "
         "Give each segment an id of its own. [annotation-id-twice]"),
        ([CAT, SKY, {"id": 0, "category_id": 0}],
         "segments_info[2]: a.jpg: a segment is an object with an id from 1 on, not {'id': 0, 'category_id': 0}; it "
         "was left out. Correct it in the file. [annotation-invalid]"),
        ([CAT, SKY, 7],
         "segments_info[2]: a.jpg: a segment is an object with an id from 1 on, not 7; it was left out. "
         "Correct it in the file. [annotation-invalid]"),
        ("x",
         "segments_info: a.jpg: segments_info is no list but 'x'; the annotation was left out. "
         "Correct it in the file. [annotation-invalid]"),
    ],
)  # fmt: skip
def test_what_cannot_be_represented_is_an_issue(tmp_path, segments, issue):
    labels = read(tmp_path, document(segments))
    assert [one.describe() for one in labels.issues] == [f"annotations/panoptic_val2017.json: annotations[0].{issue}"]
    assert labels.rows[0]["labelled"] == "partial"


@pytest.mark.parametrize(
    ("segment", "finding"),
    [
        ({"bbox": [0, 0, 5, 3]},
         "bbox-disagrees: the bbox given is [0, 0, 5, 3], 3 px off what is outlined; the map counts"),
        ({"bbox": [0, 0]}, "bbox-invalid: the bbox given is [0, 0], no four numbers"),
        ({"area": 9}, "area-disagrees: the area given is 9 px², but the map has 6 pixels; the map counts"),
        ({"category_id": 99}, "category-missing: there is no category 99"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_one_segment_stands_on_it(tmp_path, segment, finding):
    labels = read(tmp_path, document([{**CAT, **segment}, SKY]))
    first, second = labels.rows[0]["annotations"]
    assert [f"{one['code']}: {one['message']}" for one in first["issues"]] == [finding]
    assert "issues" not in second


@pytest.mark.parametrize(
    ("files", "code", "message"),
    [
        ({}, "map-missing", "there is no label map 'a.png'; its 2 segments were left out"),
        ({"annotations/panoptic_val2017/a.png": b"\x89PNG\r\n\x1a\n"}, "map-unreadable",
         "the map cannot be read (It begins as PNG but its header is damaged); its 2 segments were left out"),
    ],
)  # fmt: skip
def test_maps_that_are_not_there_or_no_pictures(tmp_path, files, code, message):
    labels = read(tmp_path, document([CAT, SKY]), files)
    assert [(one.code, one.message) for one in labels.issues] == [(code, message)]
    assert (labels.rows[0]["labelled"], labels.rows[0].get("annotations", [])) == ("partial", [])


def test_a_map_of_another_size_is_kept_with_a_finding(tmp_path):
    labels = read(tmp_path, document([CAT]), {"annotations/panoptic_val2017/a.png": write_ids(IDS[:, :4])})
    (found,) = labels.rows[0]["annotations"]
    assert found["mask"] == mask((0, 0, 2, 3), size=(4, 4))
    assert found["issues"] == [{"code": "mask-size-differs", "message": "the map is 4×4 px, the picture 6×4 px"}]


def test_maps_beside_pictures_of_the_same_names(tmp_path):
    content = document([CAT, SKY], images=[{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}])
    files = {"images/a.png": png(WIDTH, HEIGHT), "masks/a.png": write_ids(IDS)}
    labels = read(tmp_path, content, files)
    assert labels.issues == ()
    assert [(row["key"], len(row["annotations"])) for row in labels.rows] == [("images/a.png", 2)]
    tree = scan(str(tmp_path))
    assert CocoPanoptic().label_files(tree) == ["annotations/panoptic_val2017.json", "masks/a.png"]
    assert Coco().pictures(tree) == ["images/a.png"]
    (tmp_path / "masks/a.png").unlink()
    labels = read(tmp_path, content, {})
    assert [one.code for one in labels.issues] == ["map-missing"]


def test_predictions_name_neither_pictures_nor_categories(tmp_path):
    content = {"annotations": [{"image_id": 7, "file_name": "a.png", "segments_info": [CAT, SKY]}]}
    files = {"annotations/panoptic_val2017/a.png": write_ids(IDS), "val2017/a.jpg": png(WIDTH, HEIGHT)}
    labels = read(tmp_path, content, files)
    assert [(row["key"], [one["category"] for one in row["annotations"]]) for row in labels.rows] == [
        ("val2017/a.jpg", ["0", "-7"])
    ]
    assert [one.code for one in labels.issues] == ["category-unnamed"]


def test_a_long_file_is_known_by_its_end(tmp_path):
    images = [{"id": number, "file_name": f"{number:012d}.jpg", "height": 1, "width": 1} for number in range(3000)]
    content = {**document([CAT, SKY]), "images": images}
    (tmp_path / "x.json").write_bytes(json.dumps(content).encode())
    tree = scan(str(tmp_path))
    assert Coco().detect(tree) is None
    found = registry.detect(tree)[0]
    assert (found.format, found.why) == ("coco_panoptic", "found x.json with annotations with segments_info")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[]", "x.json is a list, as COCO results (predictions) are, not a COCO dataset."),
        (b'{"a": 1}', "x.json has neither images nor annotations, so it is no COCO."),
        (b'{"images": [', "x.json is no JSON: EOF while parsing a list (line 1 column 12)."),
    ],
)
def test_files_that_are_no_coco(tmp_path, content, message):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(FormatError) as caught:
        read_labels(tmp_path / "x.json", "coco_panoptic")
    assert str(caught.value).startswith(message)


CATEGORIES = [
    Category(name="cat", index=0, is_thing=True),
    Category(name="sky", index=1, is_thing=False),
    Category(name="dog", index=2),
]


def export_of(*annotations: Row, **fields: Any) -> MemoryExport:
    row: Row = {"key": "s/a.jpg", "width_px": WIDTH, "height_px": HEIGHT, "labelled": "yes", "split": "val"}
    return MemoryExport([row | fields | {"annotations": annotations}], CATEGORIES)


def one(number: int | str, category: str, **fields: Any) -> Row:
    return {"id": str(number), "kind": "mask", "category": category, **fields}


def test_masks_that_do_not_overlap_come_back_without_a_loss(tmp_path):
    export = export_of(
        one(70001, "cat", mask=mask((0, 0, 2, 2), (4, 2, 2, 2)), is_crowd=True, score=0.5, attributes={"wet": True}),
        one(3, "sky", mask=mask((2, 0, 2, 4))),
    )
    report = write_labels(export, tmp_path / "out", "coco_panoptic", strict=True)
    assert [loss.code for loss in report.losses] == ["category-thing-assumed", "image-id-made"]
    files = files_of(tmp_path / "out")
    assert sorted(files) == [
        "annotations/panoptic_val.json",
        "annotations/panoptic_val/s/a.png",
        "images/s/a.jpg",
    ]
    content = json.loads(files["annotations/panoptic_val.json"])
    assert [one["isthing"] for one in content["categories"]] == [1, 0, 1]
    assert content["annotations"][0]["file_name"] == "s/a.png"
    assert content["annotations"][0]["segments_info"] == [
        {"id": 70001, "category_id": 1, "area": 8, "bbox": [0, 0, 6, 4], "iscrowd": 1, "score": 0.5,
         "attributes": {"wet": True}},
        {"id": 3, "category_id": 2, "area": 8, "bbox": [2, 0, 2, 4], "iscrowd": 0},
    ]  # fmt: skip
    labels = read_labels(tmp_path / "out")
    assert [normal(row) for row in labels.rows] == expected_rows(CocoPanoptic(), export)
    assert [found["mask"] for found in labels.rows[0]["annotations"]] == [
        mask((0, 0, 2, 2), (4, 2, 2, 2)),
        mask((2, 0, 2, 4)),
    ]


def test_where_masks_overlap_one_gives_way(tmp_path):
    export = export_of(
        one(1, "cat", mask=mask((0, 0, 2, 2))),
        one(2, "sky", mask=mask((0, 0, 1, 1), (5, 3, 1, 1))),  # stuff, though smaller
        one(3, "dog", mask=mask((1, 0, 4, 4))),  # larger
        one(4, "cat", mask=mask((0, 0, 2, 2))),  # as large, but later
    )
    report = write_labels(export, tmp_path / "out", "coco_panoptic")
    assert [(loss.code, loss.count, loss.examples) for loss in report.refusals] == [
        ("mask-hidden", 1, ("s/a.jpg#4",)),
        ("mask-overlap", 2, ("s/a.jpg#2", "s/a.jpg#3")),
    ]
    (row,) = read_labels(tmp_path / "out").rows
    assert {found["id"]: found["mask"] for found in row["annotations"]} == {
        "1": mask((0, 0, 2, 2)),
        "2": mask((5, 3, 1, 1)),
        "3": mask((2, 0, 3, 4), (1, 2, 1, 2)),
    }


def test_what_cannot_be_said_is_a_loss():
    export = export_of(
        one(0, "cat", kind="polygon", polygons=(((0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 2.0),),)),
        one(1, "cat", kind="box", bbox_xywh_px=(1.0, 1.0, 2.0, 2.0)),
        one(2, "cat", mask=mask((0, 0, 1, 1), size=(9, 9))),
        one(3, "cat", mask={"size": [HEIGHT, WIDTH], "counts": "!"}),
        one(4, "cat", mask=mask()),
        one(5, "unknown", mask=mask((4, 0, 1, 1))),
        {"id": "6", "kind": "mask", "mask": mask((5, 0, 1, 1))},
    )
    report = check_losses(export, "coco_panoptic")
    counts: Counter[str] = Counter()
    for loss in report.refusals:
        counts[loss.code] += loss.count
    assert counts == {
        "kind-changed": 1,
        "kind-dropped": 1,
        "mask-size-differs": 1,
        "shape-broken": 2,
        "category-unknown": 1,
        "category-none": 1,
    }


@pytest.mark.realdata
def test_real_panoptic(shared_data):
    folder = shared_data / "labelbox/tests/data/assets/coco"
    labels = read_labels(folder, "coco_panoptic")
    rows = [row for row in labels.rows if row.get("labelled") == "yes"]
    annotations = [found for row in rows for found in row["annotations"]]
    assert (len(rows), len(annotations), len(labels.categories)) == (20, 369, 133)
    assert not any(found.get("issues") for found in annotations)  # every box and area is what the maps show
    assert labels.issues == ()
    assert sum(one.is_thing is True for one in labels.categories) == 80
    given = json.loads((folder / "panoptic.json").read_bytes())
    areas = {
        (str(entry["image_id"]), str(segment["id"])): segment["area"]
        for entry in given["annotations"]
        for segment in entry["segments_info"]
    }
    assert areas == {
        (row["source_id"], found["id"]): rle.mask_area(found["mask"]) for row in rows for found in row["annotations"]
    }
    assert all(row["key"].startswith("images/") for row in rows)


@pytest.mark.realdata
def test_a_real_set_survives_being_written(shared_data, tmp_path):
    folder = shared_data / "labelbox/tests/data/assets/coco"
    source = read_labels(folder, "coco_panoptic")
    export = MemoryExport(source.rows, source.categories, info=source.info, licenses=source.licenses, pictures={})
    report = write_labels(export, tmp_path / "out", "coco_panoptic", strict=True, options={"category_ids": "source"})
    assert report.losses == ()
    again = read_labels(tmp_path / "out")
    assert again.rows == source.rows
    assert (again.categories, again.info, again.licenses) == (source.categories, source.info, source.licenses)
    for path in sorted((folder / "masks").glob("*.png"))[:3]:
        assert (
            read_ids((tmp_path / "out/annotations/panoptic/images" / path.name).read_bytes())
            == read_ids(path.read_bytes())
        ).all()


@pytest.mark.realdata
def test_tiny(shared_data):
    folder = shared_data / "formats-tiny/coco_dataset/coco_panoptic"
    found = registry.detect(scan(str(folder)))[0]
    assert (found.format, found.why) == (
        "coco_panoptic",
        "found annotations/panoptic_train.json with annotations with segments_info",
    )
    labels = read_labels(folder)
    said = {
        row["key"]: [(one["id"], one["category"], one.get("is_crowd", False)) for one in row["annotations"]]
        for row in labels.rows
    }
    assert said == {
        "images/train/a.jpg": [("460551", "a", False)],
        "images/val/b.jpg": [("7", "a", False), ("20", "b", True)],
    }
    assert [row["subsets"] for row in labels.rows] == [["train"], ["val"]]
    codes = [[found["code"] for found in one.get("issues", ())] for row in labels.rows for one in row["annotations"]]
    # The first map is half as wide as its picture, and its box and area are those of another one.
    assert codes == [["mask-size-differs", "bbox-disagrees", "area-disagrees"], [], []]
