"""Shapes and ids through formats and back: to the pixel where a format has masks, and never lost without a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsetkit.formats import registry
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import MemoryExport
from dsetkit.formats.writing import write_labels
from dsetkit.geometry.rle import decode, mask_from_polygons
from dsetkit.spec.category import Category

WIDTH, HEIGHT = 64, 48
WRITERS = [name for name in registry.names() if registry.get(name).capabilities.writes]


def pixels(annotation: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if annotation["kind"] == "mask":
        return decode(annotation["mask"])
    return decode(mask_from_polygons(annotation["polygons"], (HEIGHT, WIDTH)))


def box(x: int, y: int, w: int, h: int) -> tuple[float, ...]:
    return tuple(map(float, (x, y, x + w, y, x + w, y + h, x, y + h)))


@st.composite
def shapes(draw: st.DrawFn) -> list[list[tuple[float, ...]]]:
    """One or two parts side by side, on whole pixels, each with a hole or none."""
    parts = []
    for left in (0, WIDTH // 2)[: draw(st.integers(1, 2))]:
        x, y = left + draw(st.integers(0, 6)), draw(st.integers(0, 10))
        w, h = draw(st.integers(8, 24)), draw(st.integers(8, 30))
        rings = [box(x, y, w, h)]
        if draw(st.booleans()):
            rings.append(box(x + 2, y + 3, draw(st.integers(2, w - 4)), draw(st.integers(2, h - 5))))
        parts.append(rings)
    return parts


def through(name: str, polygons: Any, folder: Path) -> tuple[list[dict[str, Any]], set[str]]:
    """The annotations that come back, and the codes of what the report says was changed."""
    annotation = {"id": "0", "kind": "polygon", "category": "car", "polygons": polygons}
    xs = [value for rings in polygons for value in rings[0][0::2]]
    ys = [value for rings in polygons for value in rings[0][1::2]]
    annotation["bbox_xywh_px"] = (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))
    row = {"key": "a.png", "width_px": WIDTH, "height_px": HEIGHT, "labelled": "yes", "annotations": [annotation]}
    export = MemoryExport([row], (Category(name="car", index=0),))
    report = write_labels(export, folder, name)
    (back,) = read_labels(folder, name).rows
    return list(back.get("annotations", ())), {loss.code for loss in report.losses if loss.severity == "warning"}


@pytest.mark.parametrize("name", WRITERS)
def test_parts_and_holes_keep_every_pixel_or_are_a_loss(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    @settings(deadline=None, max_examples=12)
    @given(shapes())
    def check(polygons: Any) -> None:
        found, codes = through(name, polygons, tmp_path_factory.mktemp("out") / "x")
        wanted = pixels({"kind": "polygon", "polygons": polygons})
        shown = [item for item in found if item["kind"] in ("mask", "polygon")]
        if not codes or any(item["kind"] == "mask" for item in shown):
            assert len(shown) == 1
            assert np.array_equal(pixels(shown[0]), wanted)  # IoU 1.0
        else:
            assert codes & {"polygon-holes", "polygon-parts", "polygon-split", "kind-changed", "kind-dropped"}

    check()


@pytest.mark.parametrize("name", ["coco", "coco_panoptic", "cvat", "datumaro", "label_studio"])
def test_these_lose_no_pixel_of_a_polygon_with_parts_and_holes(name: str, tmp_path: Path) -> None:
    polygons = [[box(2, 3, 20, 30), box(6, 8, 5, 9)], [box(34, 10, 22, 20)]]
    (item,), _ = through(name, polygons, tmp_path / "x")
    assert np.array_equal(pixels(item), pixels({"kind": "polygon", "polygons": polygons}))


@pytest.mark.parametrize(
    "ids", [(0, 1, 2), (1, 2, 3), (7, 900, 2_000_000_011), (-5, -1, 3)], ids=["from 0", "from 1", "sparse", "negative"]
)
def test_ids_of_coco_survive(ids: tuple[int, int, int], tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    images = [{"id": i, "file_name": f"{n}.png", "width": 8, "height": 8} for n, i in enumerate(ids)]
    categories = [{"id": i, "name": name} for i, name in zip(ids, "abc", strict=True)]
    annotations = [
        {"id": i, "image_id": image, "category_id": category, "bbox": [1, 1, 3, 3], "area": 9, "iscrowd": 0}
        for i, image, category in zip(ids, ids, reversed(ids), strict=True)
    ]
    document = {"images": images, "categories": categories, "annotations": annotations}
    (source / "instances.json").write_text(json.dumps(document))
    labels = read_labels(source / "instances.json", "coco")
    assert not [issue for issue in labels.issues if issue.severity == "error"]
    assert [row["annotations"][0]["category"] for row in labels.rows] == ["c", "b", "a"]
    assert [row["annotations"][0]["id"] for row in labels.rows] == list(map(str, ids))
    assert [row["source_id"] for row in labels.rows] == list(map(str, ids))
    export = MemoryExport([dict(row) for row in labels.rows], labels.categories)
    report = write_labels(export, out, "coco", options={"category_ids": "source"})
    (written,) = out.rglob("*.json")
    again = json.loads(written.read_text())
    said = {loss.code for loss in report.losses}
    if not said:
        assert {item["id"] for item in again["annotations"]} == set(ids)
        assert [(item["id"], item["name"]) for item in again["categories"]] == list(zip(ids, "abc", strict=True))
    assert {code for code in said if "id" in code} <= {"id-renumbered", "image-id-made", "category-id-renumbered"}
    back = read_labels(written, "coco")
    assert [row["annotations"][0]["category"] for row in back.rows] == ["c", "b", "a"]


def test_ids_that_are_there_twice_are_named(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "a.png", "width": 8, "height": 8}, {"id": 1, "file_name": "b.png"}]
    annotations = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 3]}] * 2
    document = {"images": images, "categories": [{"id": 1, "name": "a"}] * 2, "annotations": annotations}
    (tmp_path / "instances.json").write_text(json.dumps(document))
    labels = read_labels(tmp_path / "instances.json", "coco")
    said = " ".join(issue.message for issue in labels.issues)
    assert len({issue.place for issue in labels.issues}) >= 2, labels.issues
    assert "1" in said
