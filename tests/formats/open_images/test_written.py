"""Masks and relations of Open Images, written and read back."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from dsetkit.formats.loss import LossReport
from dsetkit.formats.open_images.format import OpenImages
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, check_labels, expected_rows, files_of, normal
from dsetkit.formats.writing import check_losses, write_labels
from dsetkit.geometry import rle
from dsetkit.spec.category import Category
from dsetkit.storage.scan import scan

Row = dict[str, Any]
CATEGORIES = (
    Category(name="cat", index=0, source_ids=("/m/01yrx",)),
    Category(name="a dog", index=1),
    Category(name="plastic", index=2, source_ids=("/m/05z87",)),
)


def drawn(*pixels: tuple[int, int], size: tuple[int, int] = (10, 20)) -> Row:
    array = np.zeros(size, np.bool_)
    for x, y in pixels:
        array[y, x] = True
    return rle.encode(array)


def a_mask(number: str, *pixels: tuple[int, int], **fields: Any) -> Row:
    mask = drawn(*(pixels or ((3, 4), (5, 6))))
    return {
        "id": number,
        "kind": "mask",
        "category": "cat",
        "mask": mask,
        "bbox_xywh_px": rle.mask_bbox(mask) or (0.0, 0.0, 0.0, 0.0),
        **fields,
    }


def a_box(number: str, x: float = 1.0, **fields: Any) -> Row:
    return {"id": number, "kind": "box", "category": "cat", "bbox_xywh_px": (x, 2.0, 4.0, 5.0), **fields}


def a_row(*annotations: Row, key: str = "s/a.png", **fields: Any) -> Row:
    return {"key": key, "labelled": "yes", "width_px": 20, "height_px": 10, "annotations": annotations, **fields}


class TestOpenImagesMasks(FormatContract):
    """The contract on an example with a mask and a relation in it: their files are spoiled, too."""

    format: ClassVar[OpenImages] = OpenImages()
    examples: ClassVar[int] = 3

    def plain(self) -> MemoryExport:
        cat = a_mask("0", relations=({"kind": "on", "target": "1"},))
        rows = [
            a_row(cat, a_box("1"), key="s/cat_1.jpg"),
            a_row(a_box("0"), key="s/dog_1.jpg"),
            {"key": "s/nobody.jpg"},
        ]
        return MemoryExport(rows, CATEGORIES)


def round_trip(folder: Path, *rows: Row) -> tuple[LossReport, list[Row]]:
    export = MemoryExport(rows, CATEGORIES)
    report = write_labels(export, folder, "open_images")
    labels = read_labels(folder, "open_images")
    assert [issue.describe() for issue in labels.issues if issue.code != "columns-unread"] == []
    back = [normal(row) for row in labels.rows]
    assert back == expected_rows(OpenImages(), export)
    return report, back


def masks_of(rows: Iterable[Row]) -> list[tuple[list[int], str]]:
    """Size and runs of all masks, in any order."""
    masks = (one["mask"] for row in rows for one in row.get("annotations", ()) if one["kind"] == "mask")
    return sorted((list(mask["size"]), mask["counts"]) for mask in masks)


def records(folder: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / f"annotations/{name}.csv").read_text())))


def test_a_mask_is_a_png_of_the_pictures_size_and_a_box_beside_it(tmp_path: Path) -> None:
    mask = a_mask(
        "0",
        source_id="fe16d025",
        origin="human",
        attributes={"occluded": True},
        extras={"open_images": {"Source": "xclick", "PredictedIoU": 0.86864}},
    )
    report, (row,) = round_trip(tmp_path / "out", a_row(mask, split="train"))
    assert report.losses == ()
    assert row["annotations"] == normal(a_row(mask))["annotations"]
    name = "a_m01yrx_fe16d025.png"
    folder = tmp_path / "out"
    assert sorted(path for path in files_of(folder) if path.endswith(".png")) == [
        "images/train/a.png",
        f"masks/train/{name}",
    ]
    with Image.open(folder / "masks/train" / name) as image:
        assert (image.mode, image.size) == ("L", (20, 10))
        pixels = np.asarray(image)
    assert np.unique(pixels).tolist() == [0, 255]
    assert np.argwhere(pixels).tolist() == [[4, 3], [6, 5]]
    assert records(folder, "train-annotations-object-segmentation") == [
        {
            "MaskPath": name,
            "ImageID": "a",
            "LabelName": "/m/01yrx",
            "BoxID": "fe16d025",
            "BoxXMin": "0.15",
            "BoxXMax": "0.3",
            "BoxYMin": "0.4",
            "BoxYMax": "0.7",
            "PredictedIoU": "0.86864",
            "Clicks": "",
        }
    ]
    (box,) = records(folder, "train-annotations-bbox")
    assert [box[name] for name in ("Source", "LabelName", "XMin", "YMax", "IsOccluded")] == [
        "xclick",
        "/m/01yrx",
        "0.15",
        "0.7",
        "1",
    ]
    assert OpenImages().pictures(scan(str(folder))) == ["images/train/a.png"]


def test_masks_and_boxes_of_one_place_are_not_mixed_up(tmp_path: Path) -> None:
    same = {"bbox_xywh_px": (3.0, 4.0, 3.0, 3.0)}
    shapes = [a_box("0", **same, score=0.5), a_mask("1"), a_box("2", **same), a_mask("3", (3, 4), (5, 6), (4, 4))]
    report, (row,) = round_trip(tmp_path / "out", a_row(*shapes))
    assert [(one["kind"], one.get("score")) for one in row["annotations"]] == [
        ("mask", None),
        ("mask", None),
        ("box", 0.5),
        ("box", None),
    ]
    assert [rle.mask_area(one["mask"]) for one in row["annotations"][:2]] == [2, 3]
    assert [(loss.code, loss.severity) for loss in report.losses] == [("id-renumbered", "info")]


def test_ids_of_boxes_are_made_where_there_are_none_or_two_alike(tmp_path: Path) -> None:
    shapes = [a_mask("0"), a_mask("1", source_id="A1"), a_mask("2", source_id="a1"), a_mask("3", source_id="../x")]
    report, (row,) = round_trip(tmp_path / "out", a_row(*shapes))
    ids = [one["source_id"] for one in row["annotations"]]
    assert ids[1] == "A1"
    assert len({one.casefold() for one in ids}) == 4
    assert all(len(one) == 8 and int(one, 16) >= 0 for one in (ids[0], *ids[2:]))
    assert [loss.describe() for loss in report.losses] == [
        "a box's id in open_images is letters and digits, another for each; others are made anew (2, e.g. s/a.png#2, "
        "s/a.png#3) [source-id-made]"
    ]
    assert sorted(path.parent.name for path in (tmp_path / "out/masks").iterdir()) == ["masks"] * 4


def test_polygons_become_masks(tmp_path: Path) -> None:
    ring, hole = (2.0, 2.0, 9.0, 2.0, 9.0, 8.0, 2.0, 8.0), (4.0, 4.0, 6.0, 4.0, 6.0, 6.0, 4.0, 6.0)
    polygon = {"id": "0", "kind": "polygon", "category": "cat", "polygons": ((ring, hole),)}
    line = {
        **polygon,
        "id": "1",
        "polygons": (((1.0, 1.0, 1.0, 1.0, 1.0, 1.0),),),
        "bbox_xywh_px": (1.0, 1.0, 0.0, 0.0),
    }
    report, (row,) = round_trip(tmp_path / "out", a_row({**polygon, "bbox_xywh_px": (2.0, 2.0, 7.0, 6.0)}, line))
    first, second = row["annotations"]
    assert (first["kind"], first["bbox_xywh_px"]) == ("mask", (2.0, 2.0, 7.0, 6.0))
    assert rle.mask_area(first["mask"]) == 7 * 6 - 2 * 2
    assert second["kind"] == "box"
    assert [loss.describe() for loss in report.losses] == [
        "open_images cannot say polygon; it becomes box (1, e.g. s/a.png#1) [kind-changed]",
        "open_images cannot say polygon; it becomes mask (1, e.g. s/a.png#0) [kind-changed]",
    ]


def test_masks_that_cannot_be_written_are_told_of(tmp_path: Path) -> None:
    small = drawn((0, 0), size=(4, 4))
    broken = {"size": [10, 20], "counts": "zz"}
    empty = drawn()
    shapes = [
        {**a_mask(str(at)), "mask": mask, "bbox_xywh_px": (0.0, 0.0, 1.0, 1.0)}
        for at, mask in enumerate((small, broken, empty))
    ]
    report, (row,) = round_trip(tmp_path / "out", a_row(*shapes))
    assert "annotations" not in row
    assert [loss.describe() for loss in report.refusals] == [
        "masks that are not of their picture's size, or empty, are left out (2, e.g. s/a.png#0, s/a.png#2) "
        "[shape-broken]",
        "shapes that cannot be read back are left out (a mask's counts are not COCO run-length encoding) (1, e.g. "
        "s/a.png#1) [shape-broken]",
    ]


def test_a_masks_size_is_the_pictures_where_none_is_known(tmp_path: Path) -> None:
    row = {"key": "s/a.png", "labelled": "yes", "annotations": (a_mask("0"),)}
    write_labels(MemoryExport([row], CATEGORIES, pictures={}), tmp_path / "out", "open_images")
    assert (tmp_path / "out/annotations/images.meta").read_text() == '"a" 10 20\n'
    labels = read_labels(tmp_path / "out", "open_images")
    assert labels.rows[0]["annotations"][0]["mask"] == a_mask("0")["mask"]


def test_pictures_that_are_called_like_masks_stay_pictures(tmp_path: Path) -> None:
    rows = [a_row(a_mask("0"), key="s/x_m01yrx_00aa.png", split="masks"), a_row(key="s/b.png", split="masks")]
    _, back = round_trip(tmp_path / "out", *rows)
    assert [row["key"] for row in back] == ["images/masks/b.png", "images/masks/x_m01yrx_00aa.png"]


def test_relations_and_what_things_are(tmp_path: Path) -> None:
    cat = a_box("0", relations=({"kind": "on", "target": "2"}, {"kind": "on", "target": "1"}))
    dog = a_box("1", 6.0, category="a dog", attributes={"is": ["plastic", "wet"], "occluded": True})
    mask = a_mask("2", relations=({"kind": "under", "target": "0"},), source_id="0a")
    report, (row,) = round_trip(tmp_path / "out", a_row(mask, cat, dog, split="val"))
    first, second, third = row["annotations"]
    assert (first["relations"], second["relations"]) == (
        ({"kind": "under", "target": "1"},),
        ({"kind": "on", "target": "0"}, {"kind": "on", "target": "2"}),
    )
    assert third["attributes"] == {"is": ["plastic", "wet"], "occluded": True}
    assert {loss.code for loss in report.losses} == {"id-renumbered"}
    found = records(tmp_path / "out", "validation-annotations-vrd")
    names = ("LabelName1", "LabelName2", "XMin1", "YMax2", "RelationshipLabel")
    assert [tuple(one[name] for name in names) for one in found] == [
        ("/m/01yrx", "/m/01yrx", "0.15", "0.7", "under"),
        ("/m/01yrx", "/m/01yrx", "0.05", "0.7", "on"),
        ("/m/01yrx", "a dog", "0.05", "0.7", "on"),
        ("a dog", "/m/05z87", "0.3", "0.7", "is"),
        ("a dog", "wet", "0.3", "0.7", "is"),
    ]
    corners = ["XMin1", "XMax1", "YMin1", "YMax1", "XMin2", "XMax2", "YMin2", "YMax2"]
    assert list(found[0]) == ["ImageID", "LabelName1", "LabelName2", *corners, "RelationshipLabel"]


def test_relations_that_cannot_be_said(tmp_path: Path) -> None:
    label = {"id": "9", "kind": "image_label", "category": "cat", "relations": ({"kind": "on", "target": "0"},)}
    boxes = [
        a_box("0", relations=tuple({"kind": kind, "target": "1"} for kind in ("is", "", "a\nb"))),
        a_box("1", 6.0, relations=({"kind": "on", "target": "9"}, {"kind": "on", "target": "none"})),
        a_box("2", 6.0, relations=({"kind": "on", "target": "0"},)),
        a_box("3", attributes={"is": "plastic"}),
    ]
    report, (row,) = round_trip(tmp_path / "out", a_row(*boxes, label))
    assert [one.get("relations") for one in row["annotations"]] == [
        None,
        ({"kind": "on", "target": "0"},),
        None,
        None,
        None,
    ]
    assert [loss.describe() for loss in report.refusals] == [
        "open_images has attributes that are true or false alone; others are left out (1, e.g. s/a.png#3) "
        "[attribute-dropped]",
        "open_images has no place for the relations of a label of a picture (1, e.g. s/a.png#9) [field-dropped]",
        "a relation without a name, or called 'is', cannot be told from what it is; it is left out (3, e.g. s/a.png#0) "
        "[relation-dropped]",
        "open_images has relations between boxes and masks alone; others are left out (2, e.g. s/a.png#1) "
        "[relation-dropped]",
        "of boxes of one class and place the first gets the relations of all (1, e.g. s/a.png#2) [relation-moved]",
    ]


@st.composite
def pictures_of_things(draw: Any) -> MemoryExport:
    """Masks, boxes and labels, many of one class and place, related at random."""
    rows = []
    for key in draw(st.sampled_from([("s/a.png",), ("s/a.png", "s/b_m1_2.png")])):
        annotations: list[Row] = []
        count = draw(st.integers(1, 5))
        for number in map(str, range(count)):
            kind = draw(st.sampled_from(["box", "mask", "mask", "image_label"]))
            one: Row = {"id": number, "kind": kind, "category": draw(st.sampled_from(["cat", "cat", "a dog"]))}
            if kind == "mask":
                bits = draw(st.integers(1, 2**12 - 1))
                pixels = [(index % 4 + 2, index // 4 + 3) for index in range(12) if bits >> index & 1]
                one |= {"mask": drawn(*pixels)}
                one["bbox_xywh_px"] = draw(st.sampled_from([rle.mask_bbox(one["mask"]), (2.0, 3.0, 4.0, 3.0)]))
                one |= {"source_id": draw(st.sampled_from(["0a", "0A", "?"]))} if draw(st.booleans()) else {}
            if kind == "box":
                one["bbox_xywh_px"] = draw(st.sampled_from([(2.0, 3.0, 4.0, 3.0), (2.25, 3.0, 4.0, 3.0)]))
            if draw(st.booleans()):
                targets = st.sampled_from([*map(str, range(count)), "none"])
                relation = st.builds(lambda kind, target: {"kind": kind, "target": target}, _RELATIONS, targets)
                one["relations"] = tuple(draw(st.lists(relation, max_size=2)))
            if kind != "image_label" and draw(st.booleans()):
                one["attributes"] = draw(st.sampled_from([{"is": ["plastic", "wet"]}, {"occluded": True}, {"is": []}]))
            annotations.append({name: value for name, value in one.items() if value != ()})
        rows.append(a_row(*annotations, key=key, split=draw(st.sampled_from(["train", "masks"]))))
    return MemoryExport(rows, CATEGORIES)


_RELATIONS = st.sampled_from(["on", "holds", "is", ""])


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(pictures_of_things())
def test_any_masks_and_relations_come_back_up_to_the_loss_report(export: MemoryExport) -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = write_labels(export, Path(folder) / "out", "open_images")
        labels = read_labels(Path(folder) / "out", "open_images")
    check_labels(labels)
    assert [normal(row) for row in labels.rows] == expected_rows(OpenImages(), export)
    assert report == check_losses(export, "open_images")
    assert masks_of(labels.rows) == masks_of(export.rows())


def test_a_relation_called_is_of_a_mask_without_a_box(tmp_path: Path) -> None:
    _, _ = round_trip(tmp_path / "out", a_row(a_mask("0", attributes={"is": ["plastic"]})))
    boxes = tmp_path / "out/annotations/annotations-bbox.csv"
    boxes.write_text(boxes.read_text().splitlines()[0] + "\n")
    (row,) = read_labels(tmp_path / "out", "open_images").rows
    assert row["annotations"][0]["attributes"] == {"is": ["plastic"]}


@pytest.mark.realdata
def test_real_masks_survive_pixel_by_pixel(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/rle.json").write_bytes(next(shared_data.glob("labelbox/**/rle.json")).read_bytes())
    labels = read_labels(tmp_path / "in", "coco")
    export = MemoryExport(labels.rows, labels.categories, pictures={})
    write_labels(export, tmp_path / "out", "open_images")
    back = read_labels(tmp_path / "out", "open_images")
    given_masks, found = masks_of(labels.rows), masks_of(back.rows)
    assert len(given_masks) == 10  # its crowds; polygons became masks besides
    assert len(found) > len(given_masks)
    assert all(mask in found for mask in given_masks)
