"""Label maps of semantic segmentation, written."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsetkit.errors import UsageError
from dsetkit.formats.ground_truth.format import GroundTruth
from dsetkit.formats.ground_truth.paint import class_colors
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, files_of, plain_export, png
from dsetkit.formats.writing import check_losses, write_labels
from dsetkit.geometry import rle
from dsetkit.spec.category import Category

CATEGORIES = [Category(name=name, index=index) for index, name in enumerate(("road", "car", "sky"))]
MAPS = {"masks": "label_maps"}


class TestGroundTruthWithLabelMaps(FormatContract):
    format = GroundTruth()
    write_options = MAPS
    examples = 40

    def plain(self) -> MemoryExport:
        plain = plain_export(("polygon", "image_label"))
        return MemoryExport(list(plain.rows()), plain.categories)


class TestGroundTruthWithLabelMapsInABucket(FormatContract):
    format = GroundTruth()
    write_options = {**MAPS, "image_prefix": "s3://bucket/100% full?/"}  # noqa: RUF012
    examples = 15


def mask(number: int, category: str, pixels: Any, **more: Any) -> dict[str, Any]:
    return {"id": str(number), "kind": "mask", "category": category, "mask": rle.encode(np.array(pixels)), **more}


def export(*items: dict[str, Any], key: str = "s/a.png", **more: Any) -> MemoryExport:
    row = {"key": key, "width_px": 4, "height_px": 3, "labelled": "yes", "annotations": items, **more}
    return MemoryExport([row], CATEGORIES)


ROAD = [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 1]]
CAR = [[0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


def written(folder: Path, given: MemoryExport, **options: Any) -> tuple[dict[str, bytes], Any]:
    report = write_labels(given, folder / "out", "ground_truth", options={**MAPS, **options})
    return files_of(folder / "out"), report


def test_masks_that_do_not_overlap_come_back_to_the_pixel(tmp_path):
    made = {"annotator": "job/1", "origin": "human"}
    files, report = written(tmp_path, export(mask(0, "road", ROAD, **made), mask(1, "car", CAR, score=0.5, **made)))
    assert report.is_lossless
    assert sorted(files) == ["annotations/s/a.png", "images/s/a.png", "output.manifest"]
    line = json.loads(files["output.manifest"])
    assert line == {
        "source-ref": "images/s/a.png",
        "segmentation-ref": "annotations/s/a.png",
        "segmentation-ref-metadata": {
            "internal-color-map": {
                "0": {"class-name": "BACKGROUND", "hex-color": "#ffffff", "confidence": 1.0},
                "1": {"class-name": "road", "hex-color": "#e61e32", "confidence": 1.0},
                "2": {"class-name": "car", "hex-color": "#00a0ff", "confidence": 0.5},
            },
            "type": "groundtruth/semantic-segmentation",
            "human-annotated": "yes",
            "creation-date": "1970-01-01T00:00:00.000000",
            "job-name": "job/1",
            "unstated-confidence": ["1"],
        },
    }
    image = Image.open(io.BytesIO(files["annotations/s/a.png"]))
    assert image.mode == "P"
    assert np.asarray(image).tolist() == [[0, 2, 0, 0], [0, 2, 2, 0], [1, 1, 0, 1]]  # the classes' numbers
    assert image.convert("RGB").getpixel((1, 0)) == (0, 0xA0, 0xFF)
    labels = read_labels(tmp_path / "out")
    assert labels.issues == ()
    (row,) = labels.rows
    assert (row["key"], row["width_px"], row["height_px"], row["labelled"]) == ("images/s/a.png", 4, 3, "yes")
    road, car = row["annotations"]
    assert (road["category"], road.get("score"), road["annotator"]) == ("road", None, "job/1")
    assert (car["category"], car["score"], car["bbox_xywh_px"]) == ("car", 0.5, (1.0, 0.0, 2.0, 2.0))
    assert rle.decode(road["mask"]).tolist() == np.array(ROAD, bool).tolist()
    assert rle.decode(car["mask"]).tolist() == np.array(CAR, bool).tolist()


def test_a_map_called_like_its_picture_is_a_map_without_the_picture_too(tmp_path):
    written(tmp_path, export(mask(0, "road", ROAD)))
    (tmp_path / "out/images/s/a.png").unlink()
    labels = read_labels(tmp_path / "out")
    assert labels.issues == ()
    assert [(row["key"], len(row["annotations"])) for row in labels.rows] == [("images/s/a.png", 1)]


def test_what_is_read_is_written_as_it_was(tmp_path):
    given = export(mask(0, "road", ROAD), mask(1, "car", CAR))
    written(tmp_path, MemoryExport(list(given.rows()), CATEGORIES[:2]))
    labels = read_labels(tmp_path / "out")
    assert [category.name for category in labels.categories] == ["BACKGROUND", "road", "car"]
    rows = [{**row, "key": row["key"].removeprefix("images/")} for row in labels.rows]
    write_labels(MemoryExport(rows, labels.categories), tmp_path / "again", "ground_truth", options=MAPS)
    first, again = files_of(tmp_path / "out"), files_of(tmp_path / "again")
    assert again["annotations/s/a.png"] == first["annotations/s/a.png"]
    assert again["output.manifest"] == first["output.manifest"]


def test_where_classes_overlap_the_smaller_mask_is_seen_and_that_is_a_loss(tmp_path):
    everything = np.ones((3, 4), int)
    small = [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    items = (
        mask(0, "car", CAR),
        mask(1, "road", everything),
        mask(2, "sky", CAR),  # as large as the first, which hides it
        mask(3, "car", small, score=0.5, attributes={"colour": "red"}),
    )
    _, report = written(tmp_path, export(*items))
    assert [loss.describe() for loss in report.refusals] == [
        "ground_truth has no place for the attribute 'colour'; not written (1, e.g. s/a.png#3) [attribute-dropped]",
        "masks of one class that become one have one score; it is left out where they differ (1, e.g. s/a.png#0) "
        "[field-dropped]",
        "a mask that others hide has no pixel left of it in a label map; such masks are left out (1, e.g. s/a.png#2) "
        "[mask-hidden]",
        "masks overlap, and in a label map a pixel is of one class; the pixels of the others are left out "
        "(1, e.g. s/a.png#1) [mask-overlap]",
        "a label map has one mask a class; masks of one class become one (1, e.g. s/a.png#3) [masks-merged]",
    ]
    (row,) = read_labels(tmp_path / "out").rows
    road, car = row["annotations"]
    assert rle.decode(car["mask"]).tolist() == np.array(CAR, bool).tolist()
    assert rle.decode(road["mask"]).tolist() == (1 - np.array(CAR)).astype(bool).tolist()


def test_outlines_become_masks_and_boxes_stay_boxes(tmp_path):
    polygon = {"id": "0", "kind": "polygon", "category": "sky", "polygons": [[(0, 0, 4, 0, 4, 1, 0, 1)]]}
    box = {"id": "1", "kind": "box", "category": "car", "bbox_xywh_px": (1.0, 1.0, 2.0, 2.0)}
    whole = {"id": "2", "kind": "image_label", "category": "road"}
    _, report = written(tmp_path, export(polygon, box, whole))
    assert ("kind-changed", "ground_truth cannot say polygon; it becomes the mask of its pixels") in [
        (loss.code, loss.message) for loss in report.losses
    ]
    (row,) = read_labels(tmp_path / "out").rows
    said = [(item["kind"], item["category"], list(item.get("bbox_xywh_px", ()))) for item in row["annotations"]]
    assert said == [
        ("box", "car", [1.0, 1.0, 2.0, 2.0]),
        ("mask", "sky", [0.0, 0.0, 4.0, 1.0]),
        ("image_label", "road", []),
    ]


def test_without_the_option_masks_are_boxes(tmp_path):
    write_labels(export(mask(0, "road", ROAD)), tmp_path / "out", "ground_truth")
    assert sorted(files_of(tmp_path / "out")) == ["images/s/a.png", "output.manifest"]
    assert read_labels(tmp_path / "out").rows[0]["annotations"][0]["kind"] == "box"
    with pytest.raises(UsageError, match="the option masks is 'maps'"):
        write_labels(export(), tmp_path / "no", "ground_truth", options={"masks": "maps"})


def test_a_picture_that_shows_nothing_has_a_map_of_background(tmp_path):
    empty = {"key": "s/b.jpg", "width_px": 2, "height_px": 2, "labelled": "yes"}
    nobody = {"key": "s/c.jpg", "width_px": 2, "height_px": 2}
    given = export(mask(0, "road", ROAD))
    files, _ = written(tmp_path, MemoryExport([*given.rows(), empty, nobody], CATEGORIES))
    assert sorted(name for name in files if name.startswith("annotations/")) == [
        "annotations/s/a.png",
        "annotations/s/b.png",
    ]
    said = {row["key"]: (row.get("labelled", "no"), len(row.get("annotations", ()))) for row in
            read_labels(tmp_path / "out").rows}  # fmt: skip
    assert said == {"images/s/a.png": ("yes", 1), "images/s/b.jpg": ("yes", 0), "images/s/c.jpg": ("no", 0)}


@pytest.mark.parametrize(
    ("item", "loss"),
    [
        (mask(0, "BACKGROUND", ROAD),
         "BACKGROUND is what is nothing in a label map; masks of it are left out (1, e.g. s/a.png#0) "
         "[mask-background]"),
        (mask(0, "road", [[1, 1]]),
         "a mask of another size than its picture's has no place in the label map; such masks are left out "
         "(1, e.g. s/a.png#0) [mask-size-differs]"),
        (mask(0, "road", np.zeros((3, 4))),
         "masks without a pixel are left out (1, e.g. s/a.png#0) [shape-broken]"),
    ],
)  # fmt: skip
def test_masks_that_no_map_can_show_are_losses(tmp_path, item, loss):
    given = MemoryExport(list(export(item).rows()), [*CATEGORIES, Category(name="BACKGROUND", index=3)])
    report = check_losses(given, "ground_truth", options=MAPS)
    assert loss in [found.describe() for found in report.refusals]
    write_labels(given, tmp_path / "out", "ground_truth", options=MAPS)
    assert read_labels(tmp_path / "out").rows[0].get("labelled", "no") == "no"  # nobody is told that it shows nothing


def test_more_classes_than_a_palette_holds(tmp_path):
    """Colours are all different, and never that of the background, even where categories ask for one."""
    categories = [Category(name=f"c{number}", index=number, color="#ffffff") for number in range(400)]
    items = [mask(number, f"c{number * 133}", np.arange(12).reshape(3, 4) == number) for number in range(4)]
    given = MemoryExport(list(export(*items).rows()), categories)
    write_labels(given, tmp_path / "out", "ground_truth", options=MAPS)
    with Image.open(tmp_path / "out/annotations/s/a.png") as image:
        assert image.mode == "RGB"
    (row,) = read_labels(tmp_path / "out").rows
    assert [item["category"] for item in row["annotations"]] == ["c0", "c133", "c266", "c399"]
    assert [rle.decode(item["mask"]).reshape(-1).nonzero()[0].tolist() for item in row["annotations"]] == [
        [0],
        [1],
        [2],
        [3],
    ]
    colors = class_colors(categories)
    assert len(set(colors.values())) == 401
    assert colors["BACKGROUND"] == (255, 255, 255)


def test_pictures_of_the_same_name_have_maps_of_their_own(tmp_path):
    given = [*export(mask(0, "road", ROAD)).rows(), *export(mask(0, "car", CAR), key="s/a.jpg").rows()]
    files, _ = written(tmp_path, MemoryExport(given, CATEGORIES, pictures={row["key"]: png(4, 3) for row in given}))
    assert {"annotations/s/a.png", "annotations/s/a-2.png"} <= files.keys()
    rows = {row["key"]: row["annotations"][0]["category"] for row in read_labels(tmp_path / "out").rows}
    assert rows == {"images/s/a.png": "road", "images/s/a.jpg": "car"}
