"""Annotations as SVG."""

from __future__ import annotations

import base64
import io
import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from dsetkit.geometry.rle import encode
from dsetkit.report.drawing.overlay import Frame, Painter
from dsetkit.spec.category import Category

FRAME = Frame(400, 300)
WALKER = Category(
    name="walker", index=1, keypoint_names=("head", "hip", "foot"), skeleton=((0, 1), (1, 2)), color="#112233"
)
PAINTER = Painter([Category(name="cat", index=0), WALKER])


def draw(frame: Frame = FRAME, **annotation: Any) -> ElementTree.Element:
    text = PAINTER.draw({"id": "0", "category": "cat", **annotation}, 7, frame)
    assert text, "nothing was drawn"
    return ElementTree.fromstring(text)


def numbers(text: str) -> list[float]:
    return [float(value) for value in re.findall(r"-?\d+(?:\.\d+)?", text)]


def test_a_box_is_a_rectangle_at_its_pixels() -> None:
    group = draw(kind="box", bbox_xywh_px=[10.5, 20.0, 100.0, 50.5])
    assert group.get("class") == "a k-box"
    assert group.get("data-i") == "7"
    rectangles = group.findall("rect")
    assert {rect.get("class") for rect in rectangles} == {"h", "o"}
    for rect in rectangles:
        assert [float(rect.get(name) or "") for name in ("x", "y", "width", "height")] == [10.5, 20.0, 100.0, 50.5]
    assert group.findtext("title") == "cat · box"


def test_a_rotated_box_has_its_four_corners() -> None:
    group = draw(kind="rotated_box", rotated_box={"cx": 100.0, "cy": 100.0, "w": 40.0, "h": 20.0, "angle": 90.0})
    outline = next(path for path in group.findall("path") if path.get("class") == "o")
    assert numbers(outline.get("d") or "") == [110, 80, 110, 120, 90, 120, 90, 80]


def test_a_polygon_keeps_its_holes_and_parts() -> None:
    rings = [[0, 0, 100, 0, 100, 100, 0, 100], [20, 20, 40, 20, 40, 40, 20, 40]]
    group = draw(kind="polygon", polygons=[rings, [[200, 0, 220, 0, 210, 30]]])
    area = group.find("path")
    assert area is not None
    assert area.get("fill-rule") == "evenodd"
    assert (area.get("d") or "").count("M") == (area.get("d") or "").count("Z") == 3


def test_a_mask_lies_over_the_whole_picture() -> None:
    mask = np.zeros((300, 400), bool)
    mask[100:200, 50:350] = True
    group = draw(kind="mask", mask=encode(mask))
    image = group.find("image")
    assert image is not None
    assert (image.get("width"), image.get("height")) == ("400", "300")
    data = (image.get("href") or "").removeprefix("data:image/png;base64,")
    alpha = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA"))[..., 3] > 0
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    scale = 400 / alpha.shape[1]
    assert [rows[0] * scale, (rows[-1] + 1) * scale] == pytest.approx([100, 200], abs=2)
    assert [columns[0] * scale, (columns[-1] + 1) * scale] == pytest.approx([50, 350], abs=2)


def test_keypoints_have_their_skeleton_and_hidden_ones_are_hollow() -> None:
    points = [
        {"name": "head", "x": 10.0, "y": 10.0},
        {"name": "hip", "x": 10.0, "y": 50.0, "visibility": 1},
        {"name": "foot", "x": 0.0, "y": 0.0, "visibility": 0},
    ]
    group = draw(kind="keypoints", category="walker", keypoints=points)
    paths = {path.get("class"): path.get("d") for path in group.findall("path")}
    assert paths["o"] == "M10 10L10 50"  # the foot is not labelled, so no bone leads to it
    assert paths["e"] == "M10 50h0"
    assert group.get("stroke") == "#112233"


def test_lines_points_and_ellipses() -> None:
    assert draw(kind="polyline", polyline=[1, 2, 3, 4]).find("path[@class='o']").get("d") == "M1 2L3 4"  # type: ignore[union-attr]
    assert draw(kind="points", points=[1, 2, 3, 4]).find("path[@class='d']").get("d") == "M1 2h0M3 4h0"  # type: ignore[union-attr]
    ellipse = draw(kind="ellipse", ellipse={"cx": 100.0, "cy": 50.0, "rx": 40.0, "ry": 20.0})
    around = np.array(numbers(ellipse.find("path[@class='o']").get("d") or "")).reshape(-1, 2)  # type: ignore[union-attr]
    assert around.min(0).tolist() == [60, 30]
    assert around.max(0).tolist() == [140, 70]


@pytest.mark.parametrize(
    "annotation",
    [
        {"kind": "box"},
        {"kind": "box", "bbox_xywh_px": [float("nan"), 0, 1, 1]},
        {"kind": "box", "bbox_xywh_px": [0, 0, float("inf"), 1]},
        {"kind": "box", "bbox_xywh_px": [1e300, 0, 1, 1]},
        {"kind": "polygon", "polygons": [[[0, 0, float("nan"), 1]]]},
        {"kind": "polygon", "polygons": [[]]},
        {"kind": "rotated_box", "rotated_box": {"cx": 0.0, "cy": 0.0, "w": 1.0, "h": 1.0, "angle": float("inf")}},
        {"kind": "mask", "mask": {"size": [300, 400], "counts": "~~~"}},
        {"kind": "mask", "mask": {"size": [3, 4], "counts": "<"}},
        {"kind": "mask", "mask": {"size": [300000, 400000], "counts": "0"}},
        {"kind": "keypoints", "keypoints": []},
        {"kind": "image_label"},
        {"kind": "caption", "text": "hello"},
    ],
)
def test_what_has_no_place_or_is_broken_is_not_drawn(annotation: dict[str, Any]) -> None:
    assert PAINTER.draw({"id": "0", **annotation}, 0, FRAME) == ""


def test_a_box_without_a_side_is_marked() -> None:
    group = draw(kind="box", bbox_xywh_px=[50.0, 60.0, 0.0, 24.0])
    ring = group.find("path[@class='r']")
    assert ring is not None
    assert ring.get("d") == "M50 72h0"


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "a&b'\"", "\u202eevil"]
)
def test_names_are_text_and_nothing_else(name: str) -> None:
    group = draw(kind="box", bbox_xywh_px=[0, 0, 9, 9], category=name)
    assert group.findtext("title") == f"{name} · box"
    assert group.findtext("text") == (name if len(name) <= 28 else f"{name[:27]}…")
    assert {element.tag for element in group.iter()} == {"g", "title", "rect", "text"}


def test_a_name_stays_inside_the_picture() -> None:
    at_top = draw(kind="box", bbox_xywh_px=[0, 0, 50, 50]).find("text")
    below = draw(kind="box", bbox_xywh_px=[380, 200, 40, 50]).find("text")
    assert at_top is not None
    assert below is not None
    assert at_top.get("dy") == "1.05em"
    assert below.get("dy") == "-.35em"
    assert below.get("text-anchor") == "end"
    assert float(below.get("x") or "") <= 400


def test_coordinates_are_as_fine_as_the_page_shows() -> None:
    large, small = Frame(8000, 6000), Frame(16, 12)
    assert draw(large, kind="points", points=[1234.567, 1]).find("path[@class='d']").get("d") == "M1235 1h0"  # type: ignore[union-attr]
    assert draw(small, kind="points", points=[1.2345, 1]).find("path[@class='d']").get("d") == "M1.234 1h0"  # type: ignore[union-attr]
