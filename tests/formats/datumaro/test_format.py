from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from dsetkit.errors import FormatError
from dsetkit.formats import registry
from dsetkit.formats.datumaro.format import Datumaro
from dsetkit.formats.datumaro.shapes import _is_number
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import LossReport
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, expected_rows, normal
from dsetkit.formats.writing import write_labels
from dsetkit.geometry import rle
from dsetkit.spec.category import AttributeDefinition, Category
from dsetkit.storage.scan import scan

Row = dict[str, Any]


class TestDatumaro(FormatContract):
    format: ClassVar[Datumaro] = Datumaro()


class TestDatumaroForCvat(FormatContract):
    format: ClassVar[Datumaro] = Datumaro()
    write_options: ClassVar[Mapping[str, str]] = {"rotated": "box"}
    examples: ClassVar[int | None] = 20


CATEGORIES: Row = {
    "label": {
        "labels": [
            {"name": "car", "parent": "vehicle", "attributes": ["plate", "color"]},
            {"name": "person", "parent": "", "attributes": []},
            {"name": "head", "parent": "person", "attributes": []},
        ],
        "label_groups": [{"name": "all", "group_type": "exclusive", "labels": ["car", "person"]}],
        "attributes": ["occluded"],
    },
    "mask": {"colormap": [{"label_id": 0, "r": 250, "g": 50, "b": 83}]},
    "points": {"items": [{"label_id": 1, "labels": ["head", "hip"], "joints": [[1, 2]], "positions": []}]},
}


def document(*items: Row, **fields: Any) -> str:
    return json.dumps({"dm_format_version": "1.0", "infos": {}, "categories": CATEGORIES, "items": items, **fields})


def item(*annotations: Row, **fields: Any) -> Row:
    return {"id": "a", "annotations": annotations, "image": {"path": "a.jpg", "size": [10, 20]}, **fields}


def lay(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(folder: Path, **options: Any) -> LabelSet:
    return read_labels(folder, "datumaro", options=options or None)


def labels_of(folder: Path, text: str, **options: Any) -> LabelSet:
    return read(lay(folder, {"annotations/train.json": text}), **options)


def one(folder: Path, kind: str, **fields: Any) -> Row:
    """The only annotation of a picture."""
    raw = {"id": 1, "type": kind, "attributes": {}, "group": 0, "label_id": 0, **fields}
    found: Row = labels_of(folder, document(item(raw))).rows[0]["annotations"][0]
    return found


def described(folder: Path, *annotations: Any, **fields: Any) -> list[str]:
    labels = labels_of(folder, document(item(*annotations), **fields))
    return [issue.describe().removeprefix("annotations/train.json: ") for issue in labels.issues]


def round_trip(rows: list[Row], folder: Path, *categories: Category, **options: Any) -> tuple[LossReport, list[Row]]:
    export = MemoryExport(rows, categories or [Category(name="car", index=0)])
    report = write_labels(export, folder, "datumaro", options=options or None)
    back = [normal(row) for row in read(folder).rows]
    assert back == expected_rows(Datumaro(), export, options)
    return report, back


def a_row(*annotations: Row, **fields: Any) -> Row:
    return {"key": "s/a.png", "labelled": "yes", "width_px": 20, "height_px": 10, "annotations": annotations, **fields}


def a_box(**fields: Any) -> Row:
    return {"id": "0", "kind": "box", "category": "car", "bbox_xywh_px": (1.0, 2.0, 3.0, 4.0), **fields}


# ------------------------------------------------------------------ annotations


def test_a_box(tmp_path: Path) -> None:
    said = {"occluded": True, "score": 0.5, "is_crowd": False, "plate": None}
    assert one(tmp_path, "bbox", bbox=[1, 2.5, 3, 4], attributes=said, group=7, z_order=3, note="x") == {
        "id": "1",
        "kind": "box",
        "category": "car",
        "bbox_xywh_px": [1.0, 2.5, 3.0, 4.0],
        "attributes": {"occluded": True, "plate": None},
        "score": 0.5,
        "instance_group": "7",
        "extras": {"datumaro": {"z_order": 3, "note": "x"}},
    }


def test_a_box_with_a_rotation_is_turned_about_its_centre(tmp_path: Path) -> None:
    found = one(tmp_path, "bbox", bbox=[4, 2, 8, 4], attributes={"rotation": 30.0})
    assert found["kind"] == "rotated_box"
    assert found["rotated_box"] == {"cx": 8.0, "cy": 4.0, "w": 8.0, "h": 4.0, "angle": 30.0}
    width = 8 * math.cos(math.pi / 6) + 4 * math.sin(math.pi / 6)
    height = 8 * math.sin(math.pi / 6) + 4 * math.cos(math.pi / 6)
    assert found["bbox_xywh_px"] == pytest.approx([8 - width / 2, 4 - height / 2, width, height])
    assert one(tmp_path, "bbox", bbox=[4, 2, 8, 4], attributes={"rotation": 0.0})["kind"] == "box"
    assert one(tmp_path, "rotated_bbox", points=[8, 4, 8, 4, 30])["rotated_box"] == found["rotated_box"]


@pytest.mark.parametrize(
    ("kind", "fields", "field", "value"),
    [
        ("polygon", {"points": [1, 2, 3, 4, 5, 6]}, "polygons", [[[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]]),
        ("polyline", {"points": [1, 2, 3, 4]}, "polyline", [1.0, 2.0, 3.0, 4.0]),
        ("points", {"points": [1, 2, 3, 4], "visibility": [2, 2]}, "points", [1.0, 2.0, 3.0, 4.0]),
        ("ellipse", {"points": [1, 2, 5, 4]}, "ellipse", {"cx": 3.0, "cy": 3.0, "rx": 2.0, "ry": 1.0}),
        ("caption", {"caption": "a car"}, "text", "a car"),
    ],
)
def test_other_shapes(tmp_path: Path, kind: str, fields: Row, field: str, value: Any) -> None:
    assert one(tmp_path, kind, **fields)[field] == value


def test_masks_compressed_and_not(tmp_path: Path) -> None:
    pixels = np.zeros((10, 20), np.bool_)
    pixels[2:4, 5:7] = True
    mask = rle.encode(pixels)
    found = one(tmp_path, "mask", rle={"size": [10, 20], "counts": mask["counts"]})
    assert (found["mask"], found["bbox_xywh_px"]) == (mask, [5.0, 2.0, 2.0, 2.0])
    assert one(tmp_path, "mask", rle={"size": [10, 20], "counts": [52, 2, 8, 2, 136]})["mask"] == mask


def test_points_of_a_label_that_names_them_are_keypoints(tmp_path: Path) -> None:
    expected = [{"name": "head", "x": 1.0, "y": 2.0, "visibility": 1}, {"name": "hip", "x": 3.0, "y": 4.0}]
    found = one(tmp_path, "points", label_id=1, points=[1, 2, 3, 4], visibility=[1, 2])
    assert (found["kind"], found["keypoints"]) == ("keypoints", expected)
    found = one(tmp_path, "skeleton", label_id=1, points=[1, 2, 1, 3, 4, 2], points_attributes=[{}, {"x": 1}])
    assert (found["kind"], found["keypoints"]) == ("keypoints", expected)
    assert [finding["code"] for finding in found["issues"]] == ["point-attributes-not-read"]
    found = one(tmp_path, "points", points=[1, 2, 3, 4], visibility=[0, 2])
    assert found["keypoints"] == [{"name": "0", "x": 1.0, "y": 2.0, "visibility": 0}, {"name": "1", "x": 3.0, "y": 4.0}]
    assert found["bbox_xywh_px"] == [3.0, 4.0, 0.0, 0.0]


def test_tracks_of_cvat_and_of_datumaro(tmp_path: Path) -> None:
    said = {"track_id": 4, "keyframe": False, "outside": False, "occluded": True}
    found = one(tmp_path, "bbox", bbox=[1, 2, 3, 4], attributes=said)
    assert found["track"] == {"id": "4", "keyframe": False, "interpolated": True}
    assert found["attributes"] == {"occluded": True}
    assert one(tmp_path, "bbox", bbox=[1, 2, 3, 4], object_id=9)["track"] == {"id": "9"}
    assert "track" not in one(tmp_path, "bbox", bbox=[1, 2, 3, 4], object_id=-1)


def test_ids_stay_where_they_are_different(tmp_path: Path) -> None:
    def ids(*given: Any) -> list[Any]:
        raws = [{"type": "label", "label_id": 0} | ({} if number is None else {"id": number}) for number in given]
        rows = labels_of(tmp_path, document(item(*raws))).rows
        return [(one["id"], one.get("source_id")) for one in rows[0]["annotations"]]

    assert ids(5, 0) == [("5", None), ("0", None)]
    assert ids(0, 0) == [("0", "0"), ("1", "0")]
    assert ids(None, 7) == [("0", None), ("1", "7")]


def test_categories(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, document(infos={"author": "me"}))
    assert labels.categories == (
        Category(
            name="car",
            index=0,
            supercategory="vehicle",
            color="#fa3253",
            attributes=(AttributeDefinition(name="color"), AttributeDefinition(name="plate")),
        ),
        Category(name="person", index=1, keypoint_names=("head", "hip"), skeleton=((0, 1),)),
    )
    assert labels.info == {"author": "me", "label_groups": CATEGORIES["label"]["label_groups"]}


# ------------------------------------------------------------------ items


def test_an_item_without_annotations_is_not_said_to_be_labelled(tmp_path: Path) -> None:
    text = document(item(attr={"frame": 3}))
    assert labels_of(tmp_path, text).rows == (
        {"key": "a.jpg", "source_id": "a", "width_px": 20, "height_px": 10, "attributes": {"frame": 3},
         "subsets": ["train"]},
    )  # fmt: skip
    assert labels_of(tmp_path, text, empty="labelled").rows[0]["labelled"] == "yes"


def test_pictures_lie_in_their_subsets_folder_or_beside_or_anywhere(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "x/annotations/train.json": document(item(), item(id="b", image={"path": "train/b.jpg"})),
        "x/annotations/val.json": document(item(), {"id": "c", "annotations": []}),
        "x/annotations/default.json": document(item()),
        "x/images/train/a.jpg": b"1",
        "x/images/val/a.jpg": b"2",
        "x/images/default/a.jpg": b"3",
        "x/images/train/b.jpg": b"4",
        "x/images/val/c.png": b"5",
    }
    labels = read(lay(tmp_path, files))
    assert not labels.issues
    assert {row["key"]: row.get("subsets") for row in labels.rows} == {
        "x/images/default/a.jpg": None,
        "x/images/train/a.jpg": ["train"],
        "x/images/train/b.jpg": ["train"],
        "x/images/val/a.jpg": ["val"],
        "x/images/val/c.png": ["val"],
    }


def test_names_that_subsets_share_are_told_apart_without_pictures_too(tmp_path: Path) -> None:
    lay(tmp_path, {"annotations/train.json": document(item()), "annotations/val.json": document(item())})
    assert [row["key"] for row in read(tmp_path).rows] == ["train/a.jpg", "val/a.jpg"]


def test_a_frame_of_a_video_says_so(tmp_path: Path) -> None:
    raw = {"id": "clip/7", "annotations": [], "video_frame": {"video_path": "clip.mp4", "frame_index": 7}}
    row = labels_of(tmp_path, document(raw)).rows[0]
    assert (row["key"], row["provenance"]) == ("clip/7.jpg", {"video": "clip.mp4", "frame": 7})


def test_the_same_picture_twice(tmp_path: Path) -> None:
    box = {"id": 1, "type": "bbox", "bbox": [1, 2, 3, 4], "label_id": 0}
    other = {"id": 1, "type": "label", "label_id": 1}
    labels = labels_of(tmp_path, document(item(box), item(box), item(other)))
    assert [(one["id"], one["kind"]) for one in labels.rows[0]["annotations"]] == [("1", "box"), ("0", "image_label")]
    assert [(issue.code, issue.severity, issue.place) for issue in labels.issues] == [
        ("image-twice", "info", "items[1]"),
        ("image-twice", "warning", "items[2]"),
    ]


# ------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (
            {"type": "cuboid_2d", "points": [[1, 1], [2, 2]], "label_id": 0},
            "items[0].annotations[1]: an annotation of the type 'cuboid_2d' has no place here; it was left out. "
            "Correct it in the file. [type-not-read]",
        ),
        (
            {"type": "cuboid_3d", "position": [1, 2, 3], "label_id": 0},
            "items[0].annotations[1]: an annotation of the type 'cuboid_3d' has no place here; it was left out. "
            "Correct it in the file. [type-not-read]",
        ),
        (
            {"type": "bbox", "bbox": [1, 2, 3], "label_id": 0},
            "items[0].annotations[1]: its bbox is 4 numbers, not [1.0, 2.0, 3.0]; it was left out. "
            "Correct it in the file. [shape-unreadable]",
        ),
        (
            {"type": "bbox", "bbox": [1, 2, "x", 4], "label_id": 0},
            "items[0].annotations[1].bbox[2]: Input should be a valid number, unable to parse string as a number, not "
            "'x'; the annotation was left out. Correct it in the file. [annotation-invalid]",
        ),
        (
            {"type": "bbox", "bbox": [1, 2, 1e10, 4], "label_id": 0},
            "items[0].annotations[1]: a coordinate is beyond any picture (1e9 px); it was left out. "
            "Correct it in the file. [shape-unreadable]",
        ),
        (
            {"type": "polygon", "points": [1, 2, 3, 4], "label_id": 0},
            "items[0].annotations[1]: a polygon of 2 points; it was left out. Correct it in the file. "
            "[shape-unreadable]",
        ),
        (
            {"type": "points", "points": [1, 2, 3], "label_id": 0},
            "items[0].annotations[1]: its points are [1.0, 2.0, 3.0], no list of x, y pairs; it was left out. "
            "Correct it in the file. [shape-unreadable]",
        ),
        (
            {"type": "mask", "rle": {"size": [2, 2], "counts": "zz"}, "label_id": 0},
            "items[0].annotations[1]: a mask's counts are not COCO run-length encoding; it was left out. "
            "Correct it in the file. [shape-unreadable]",
        ),
        (
            {"type": "label", "label_id": 9},
            "items[0].annotations[1]: there is no label 9; it was left out. Correct it in the file. [category-missing]",
        ),
        (
            "x",
            "items[0].annotations[1]: Input should be a valid dictionary, not 'x'; the annotation was left out. "
            "Correct it in the file. [annotation-invalid]",
        ),
    ],
)
def test_a_bad_annotation_is_an_issue_and_the_rest_is_read(tmp_path: Path, raw: Any, said: str) -> None:
    good = {"id": 1, "type": "label", "label_id": 0}
    assert described(tmp_path, good, raw) == [said]
    row = read(tmp_path).rows[0]
    assert row["labelled"] == "partial"
    assert [one["kind"] for one in row["annotations"]] == ["image_label"]


def test_what_datumaro_works_out_itself_is_no_label(tmp_path: Path) -> None:
    labels = labels_of(tmp_path, document(item({"type": "hash_key"}, {"id": 1, "type": "label", "label_id": 0})))
    assert [(issue.code, issue.severity) for issue in labels.issues] == [("type-not-read", "info")]
    assert labels.rows[0]["labelled"] == "yes"


def test_a_label_that_is_none_is_a_finding(tmp_path: Path) -> None:
    found = one(tmp_path, "bbox", bbox=[1, 2, 3, 4], label_id=9)
    assert "category" not in found
    assert found["issues"] == [{"code": "category-missing", "message": "there is no label 9"}]
    assert "issues" not in one(tmp_path, "bbox", bbox=[1, 2, 3, 4], label_id=None)


def test_other_media_and_versions(tmp_path: Path) -> None:
    cloud = {"id": "p", "annotations": [], "point_cloud": {"path": "p.pcd"}}
    labels = labels_of(tmp_path, document(cloud, item(), dm_format_version="2.0"))
    assert [issue.describe().removeprefix("annotations/train.json: ") for issue in labels.issues] == [
        "dm_format_version: it is of version '2.0', which is none of 1.0, legacy. Check what was read. "
        "[version-unknown]",
        "items[0].point_cloud: it is of a point cloud, no picture; it was left out. Take its pictures out first. "
        "[media-not-picture]",
    ]
    assert [row["key"] for row in labels.rows] == ["a.jpg"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"categories": {}, "items": [', "annotations/train.json is no JSON: EOF while parsing a list (line 1 column"),
        ('{"categories": {}, "items": {}}', "annotations/train.json has no list of items, so it is no Datumaro"),
        ("[]", "annotations/train.json has no list of items, so it is no Datumaro dataset"),
    ],
)
def test_a_file_that_cannot_be_read_at_all(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(FormatError) as caught:
        labels_of(tmp_path, text)
    assert caught.value.message.startswith(said)


def test_paths_never_leave_the_source(tmp_path: Path) -> None:
    labels = labels_of(
        tmp_path, document(item(image={"path": "/etc/../../passwd"}, id="b"), item(image={"path": ".."}))
    )
    assert [row["key"] for row in labels.rows] == ["etc/passwd"]
    assert [issue.code for issue in labels.issues] == ["picture-name-unusable"]


# ------------------------------------------------------------------ written


def test_the_layout_and_the_json(tmp_path: Path) -> None:
    category = Category(name="car", index=0, color="#fa3253", keypoint_names=("nose",), supercategory="vehicle")
    shape = a_box(id="7", attributes={"plate": "x"}, score=0.5, track={"id": "4"}, instance_group="2")
    rows = [a_row(shape, split="train"), {"key": "s/b.png"}]
    report, _ = round_trip(rows, tmp_path / "out", category)
    assert report.is_lossless
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")) == [
        "out/annotations/default.json",
        "out/annotations/train.json",
        "out/images/default/s/b.png",
        "out/images/train/s/a.png",
    ]
    written = json.loads((tmp_path / "out/annotations/train.json").read_text())
    assert list(written) == ["dm_format_version", "media_type", "infos", "categories", "items"]
    assert written["categories"] == {
        "label": {
            "labels": [{"name": "car", "parent": "vehicle", "attributes": ["plate"]}],
            "label_groups": [],
            "attributes": [],
        },
        "mask": {"colormap": [{"label_id": 0, "r": 250, "g": 50, "b": 83}]},
        "points": {"items": [{"label_id": 0, "labels": ["nose"], "joints": [], "positions": []}]},
    }
    assert written["items"] == [
        {
            "id": "s/a",
            "annotations": [
                {
                    "id": 7,
                    "type": "bbox",
                    "attributes": {"plate": "x", "score": 0.5, "track_id": 4},
                    "group": 2,
                    "label_id": 0,
                    "object_id": 4,
                    "bbox": [1.0, 2.0, 3.0, 4.0],
                    "z_order": 0,
                }
            ],
            "image": {"path": "s/a.png", "size": [10, 20]},
        }
    ]


def test_what_datumaros_own_reader_asks_for_is_there(tmp_path: Path) -> None:
    """It indexes these fields; without one an import fails."""
    shapes = [
        a_box(id="0"),
        {"id": "1", "kind": "mask", "category": "car", "mask": rle.encode(np.eye(10, 20))},
        {"id": "2", "kind": "ellipse", "category": "car", "ellipse": {"cx": 5.0, "cy": 5.0, "rx": 2.0, "ry": 1.0}},
        {"id": "3", "kind": "keypoints", "category": "car", "keypoints": ({"name": "nose", "x": 1.0, "y": 2.0},)},
        {"id": "4", "kind": "caption", "text": "x"},
    ]
    round_trip([a_row(*shapes)], tmp_path / "out")
    written = json.loads((tmp_path / "out/annotations/default.json").read_text())
    annotations = written["items"][0]["annotations"]
    assert [raw["type"] for raw in annotations] == ["bbox", "mask", "ellipse", "points", "caption"]
    assert len(annotations[0]["bbox"]) == 4
    assert isinstance(annotations[1]["rle"]["counts"], str)
    assert annotations[2]["points"] == [3.0, 4.0, 7.0, 6.0]
    assert len(annotations[3]["visibility"]) * 2 == len(annotations[3]["points"])
    for label in written["categories"]["label"]["labels"]:
        assert {"name", "parent", "attributes"} <= label.keys()
    for points in written["categories"]["points"]["items"]:
        assert {"label_id", "labels", "joints"} <= points.keys()


def test_an_empty_labelled_item_is_told_from_one_nobody_labelled(tmp_path: Path) -> None:
    empty = {"key": "s/a.png", "labelled": "yes", "width_px": 8, "height_px": 8}
    report, rows = round_trip([empty, {"key": "s/b.png"}], tmp_path / "out")
    assert report.is_lossless
    assert [row.get("labelled", "no") for row in rows] == ["yes", "no"]


def test_rotated_boxes_by_option(tmp_path: Path) -> None:
    box = {"cx": 8.0, "cy": 5.0, "w": 6.0, "h": 2.0, "angle": -30.0}
    shape = {"id": "0", "kind": "rotated_box", "category": "car", "rotated_box": box}
    report, rows = round_trip([a_row(shape)], tmp_path / "polygon")
    assert [loss.code for loss in report.refusals] == ["kind-changed"]
    assert rows[0]["annotations"][0]["kind"] == "polygon"
    report, rows = round_trip([a_row(shape)], tmp_path / "box", rotated="box")
    assert report.is_lossless
    assert rows[0]["annotations"][0]["rotated_box"] == {**box, "angle": 330.0}


def test_losses_have_codes(tmp_path: Path) -> None:
    keypoint = {"name": "nose", "x": 1.0, "y": 2.0, "visibility": 1}
    turned = {"cx": 9.0, "cy": 5.0, "rx": 4.0, "ry": 2.0, "angle": 45.0}
    shapes = [
        a_box(id="a", attributes={"score": 0.5, "list": [1]}, instance_group="g", track={"id": "t", "keyframe": False}),
        a_box(id="1", attributes={"track_id": 3}),
        a_box(id="3", category="dog"),
        {"id": "4", "kind": "mask", "category": "car", "mask": rle.encode(np.zeros((10, 20)))},
        {"id": "5", "kind": "ellipse", "category": "car", "ellipse": turned},
        {"id": "6", "kind": "caption", "text": "x", "category": "car"},
        {"id": "7", "kind": "keypoints", "keypoints": (keypoint,), "bbox_xywh_px": (0.0, 0.0, 9.0, 9.0)},
        {"id": "8", "kind": "image_label"},
    ]
    report, rows = round_trip([a_row(*shapes, split="default")], tmp_path / "out")
    counts: Counter[str] = Counter()
    for loss in report.losses:
        counts[loss.code] += loss.count
    assert counts == {
        "attribute-reserved": 3,
        "caption-category": 1,
        "category-none": 1,
        "category-unknown": 1,
        "group-renumbered": 1,
        "id-renumbered": 4,
        "keypoint-names": 1,
        "keypoints-box": 1,
        "kind-changed": 1,
        "shape-broken": 1,
        "split-dropped": 1,
        "track-changed": 1,
    }
    assert rows[0]["annotations"][0]["attributes"] == {"list": [1]}


# ------------------------------------------------------------------ real data


@pytest.mark.realdata
def test_the_real_dataset(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "formats-tiny" / "datumaro_dataset"
    assert registry.detect(scan(str(folder)))[0].format == "datumaro"
    labels = read(folder)
    assert not labels.issues
    found = {row["key"].rpartition("/")[2]: row for row in labels.rows}
    assert {name: row["subsets"] for name, row in found.items()} == {
        "a.jpg": ["train"],
        "b.jpg": ["train"],
        "c.jpg": ["test"],
        "d.jpg": ["validation"],
    }
    assert [one["category"] for one in found["b.jpg"]["annotations"]] == ["car", "bicycle", "tom", "mary"]
    assert [(one["id"], one["category"], one["score"]) for one in found["c.jpg"]["annotations"]] == [
        ("0", "bicycle", 1.0),
        ("1", "mary", 1.0),
    ]
    assert "labelled" not in found["d.jpg"]
    assert labels.info["author"] == "anonymous"
    export = MemoryExport(labels.rows, labels.categories, info=labels.info, pictures={})
    assert write_labels(export, tmp_path / "out", "datumaro").is_lossless
    back = read(tmp_path / "out")
    assert back.info == labels.info
    assert [row["source_id"] for row in back.rows] == [row["source_id"] for row in labels.rows]


def test_a_number_too_large_for_a_float_is_no_number() -> None:
    assert not _is_number(10**400)
    assert not _is_number(-(10**400))
    assert not any(map(_is_number, (float("nan"), float("inf"), True, "1", None)))
    assert all(map(_is_number, (0, -1.5, 10**300)))
