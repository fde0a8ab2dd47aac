from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsetkit.geometry import rle
from dsetkit.geometry.shape import (
    area_px2,
    box_corners,
    ellipse_outline,
    enclosure,
    is_degenerate,
    is_located,
    turn,
)

SQUARE = (0.0, 0.0, 10.0, 0.0, 10.0, 10.0, 0.0, 10.0)
HOLE = (2.0, 2.0, 4.0, 2.0, 4.0, 4.0, 2.0, 4.0)
MASK = rle.encode(np.pad(np.ones((2, 3), bool), ((4, 4), (5, 5))))


def ann(kind, **fields):
    return {"id": "0", "kind": kind, **fields}


CASES = [
    (ann("box", bbox_xywh_px=[1, 2, 3, 4]), (1, 2, 3, 4), 12),
    (ann("rotated_box", rotated_box={"cx": 5, "cy": 5, "w": 4, "h": 2, "angle": 90}), (4, 3, 2, 4), 8),
    (ann("polygon", polygons=[[SQUARE, HOLE]]), (0, 0, 10, 10), 96),
    (ann("polyline", polyline=[1, 1, 4, 5]), (1, 1, 3, 4), 12),
    (ann("points", points=[1, 1, 4, 5, 2, 9]), (1, 1, 3, 8), 24),
    (ann("ellipse", ellipse={"cx": 5, "cy": 5, "rx": 3, "ry": 1}), (2, 4, 6, 2), 3 * math.pi),
    (ann("mask", mask=MASK), (5, 4, 3, 2), 6),
    (
        ann("keypoints", keypoints=[{"name": "a", "x": 1, "y": 2}, {"name": "b", "x": 3, "y": 5, "visibility": 1}]),
        (1, 2, 2, 3),
        6,
    ),
]


@pytest.mark.parametrize(("row", "box", "area"), CASES, ids=[case[0]["kind"] for case in CASES])
def test_each_kind_has_its_enclosure_and_area(row, box, area):
    assert enclosure(row) == pytest.approx(box)
    assert area_px2(row) == pytest.approx(area)
    assert is_located(row)
    assert not is_degenerate(row)


@pytest.mark.parametrize("kind", ["image_label", "caption"])
def test_what_has_no_place_has_no_enclosure(kind):
    row = ann(kind)
    assert enclosure(row) is None
    assert area_px2(row) == 0
    assert not is_located(row)
    assert not is_degenerate(row)


def test_keypoints_that_are_not_labelled_do_not_count():
    points = [{"name": "a", "x": 5, "y": 5}, {"name": "b", "x": 0, "y": 0, "visibility": 0}]
    assert enclosure(ann("keypoints", keypoints=points)) == (5, 5, 0, 0)


def test_where_no_keypoint_is_labelled_the_box_stands():
    row = ann("keypoints", keypoints=[{"name": "a", "x": 0, "y": 0, "visibility": 0}], bbox_xywh_px=(1, 2, 3, 4))
    assert enclosure(row) == (1, 2, 3, 4)
    assert is_degenerate(row)


DEGENERATE = {
    "box without width": ann("box", bbox_xywh_px=(1, 1, 0, 5)),
    "box below 0": ann("box", bbox_xywh_px=(1, 1, -3, 5)),
    "box not finite": ann("box", bbox_xywh_px=(1, 1, math.inf, 5)),
    "no box": ann("box"),
    "rotated box": ann("rotated_box", rotated_box={"cx": 1, "cy": 1, "w": 5, "h": 0, "angle": 45}),
    "polygon of two points": ann("polygon", polygons=[[(1, 1, 5, 5)]]),
    "polygon on a line": ann("polygon", polygons=[[(1, 1, 5, 5, 9, 9)]]),
    "polygon of one point thrice": ann("polygon", polygons=[[(1, 1, 1, 1, 1, 1)]]),
    "polygon of odd length": ann("polygon", polygons=[[(1, 1, 5, 5, 9)]]),
    "no polygon": ann("polygon", bbox_xywh_px=(1, 1, 5, 5)),
    "empty mask": ann("mask", mask=rle.encode(np.zeros((3, 3)))),
    "broken mask": ann("mask", mask={"size": [3, 3], "counts": "1"}),
    "polyline of one point": ann("polyline", polyline=(1, 1)),
    "polyline without length": ann("polyline", polyline=(1, 1, 1, 1)),
    "no points": ann("points", points=()),
    "ellipse": ann("ellipse", ellipse={"cx": 5, "cy": 5, "rx": 0, "ry": 3}),
}


@pytest.mark.parametrize("row", DEGENERATE.values(), ids=DEGENERATE.keys())
def test_what_is_nothing_is_degenerate(row):
    assert is_degenerate(row)


def test_a_side_at_the_bound_is_degenerate_and_one_above_is_not():
    assert is_degenerate(ann("box", bbox_xywh_px=(0, 0, 2, 9)), min_side_px=2)
    assert not is_degenerate(ann("box", bbox_xywh_px=(0, 0, 2.1, 9)), min_side_px=2)
    tilted = {"cx": 50, "cy": 50, "w": 30, "h": 2, "angle": 45}
    assert is_degenerate(ann("rotated_box", rotated_box=tilted), min_side_px=2)


def test_a_polygon_that_crosses_itself_is_not_degenerate():
    assert not is_degenerate(ann("polygon", polygons=[[(0, 0, 10, 10, 10, 0, 0, 10)]]))


def test_quarter_turns_are_exact():
    assert [turn(angle) for angle in (0, 90, 180, 270, -90, 360)] == [(1, 0), (0, 1), (-1, 0), (0, -1), (0, -1), (1, 0)]


def test_a_rotated_box_turns_clockwise_on_the_screen():
    corners = box_corners({"cx": 0, "cy": 0, "w": 10, "h": 2, "angle": 30})
    right_end = ((corners[2] + corners[4]) / 2, (corners[3] + corners[5]) / 2)
    assert right_end == pytest.approx((5 * math.cos(math.pi / 6), 5 * 0.5))  # y is down: clockwise


FLAT = st.lists(st.floats(-100, 100), min_size=6, max_size=24).map(lambda v: tuple(v[: len(v) // 2 * 2]))
NUMBER = st.floats(-100, 100)
SIDE = st.floats(0.1, 100)


@given(FLAT)
@settings(max_examples=50, deadline=None)
def test_the_enclosure_contains_all_points(flat):
    for row in (ann("polygon", polygons=[[flat]]), ann("polyline", polyline=flat), ann("points", points=flat)):
        x, y, w, h = enclosure(row)
        assert all(x <= value <= x + w + 1e-9 for value in flat[::2])
        assert all(y <= value <= y + h + 1e-9 for value in flat[1::2])


@given(NUMBER, NUMBER, SIDE, SIDE, st.floats(-400, 400))
@settings(max_examples=50, deadline=None)
def test_the_enclosure_of_an_ellipse_is_that_of_its_outline(cx, cy, rx, ry, angle):
    ellipse = {"cx": cx, "cy": cy, "rx": rx, "ry": ry, "angle": angle}
    exact = enclosure(ann("ellipse", ellipse=ellipse))
    drawn = enclosure(ann("points", points=ellipse_outline(ellipse)))
    assert exact == pytest.approx(drawn, abs=0.25)
    assert exact[2] >= drawn[2] - 1e-6
    assert exact[3] >= drawn[3] - 1e-6
