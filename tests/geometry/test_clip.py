from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsetkit.geometry import rle
from dsetkit.geometry.clip import clip, overhang_px
from dsetkit.geometry.shape import area_px2, enclosure, polyline_length

WIDTH, HEIGHT = 64, 48


def ann(kind, **fields):
    return {"id": "0", "kind": kind, **fields}


def cut(kind, **fields):
    return clip(ann(kind, **fields), WIDTH, HEIGHT)


NUMBER = st.floats(-100, 160, allow_nan=False)
SIDE = st.floats(0, 120)
FLAT = st.lists(NUMBER, min_size=6, max_size=16).map(lambda v: tuple(v[: len(v) // 2 * 2]))
ROWS = st.one_of(
    st.tuples(NUMBER, NUMBER, SIDE, SIDE).map(lambda box: ann("box", bbox_xywh_px=box)),
    FLAT.map(lambda flat: ann("polygon", polygons=((flat,),))),
    st.tuples(FLAT, FLAT).map(lambda flats: ann("polygon", polygons=(flats,))),
    FLAT.map(lambda flat: ann("polyline", polyline=flat)),
    FLAT.map(lambda flat: ann("points", points=flat)),
    st.lists(st.tuples(NUMBER, NUMBER, st.integers(0, 2)), min_size=1, max_size=5).map(
        lambda points: ann(
            "keypoints",
            keypoints=tuple({"name": str(i), "x": x, "y": y, "visibility": v} for i, (x, y, v) in enumerate(points)),
        )
    ),
    st.tuples(NUMBER, NUMBER, SIDE, SIDE, st.floats(-180, 180)).map(
        lambda v: ann("rotated_box", rotated_box=dict(zip(("cx", "cy", "w", "h", "angle"), v, strict=True)))
    ),
    st.tuples(NUMBER, NUMBER, SIDE, SIDE, st.floats(-180, 180)).map(
        lambda v: ann("ellipse", ellipse=dict(zip(("cx", "cy", "rx", "ry", "angle"), v, strict=True)))
    ),
)


@given(ROWS)
@settings(max_examples=300, deadline=None)
def test_what_is_clipped_lies_inside_and_clipping_again_changes_nothing(row):
    once = clip(row, WIDTH, HEIGHT)
    if once is None:
        return
    assert overhang_px(once, WIDTH, HEIGHT) <= 1e-6
    if box := once.get("bbox_xywh_px"):
        assert box[0] >= 0
        assert box[1] >= 0
        assert box[0] + box[2] <= WIDTH
        assert box[1] + box[3] <= HEIGHT
    assert clip(once, WIDTH, HEIGHT) == once


@given(ROWS)
@settings(max_examples=100, deadline=None)
def test_what_lies_inside_stays_as_it_is(row):
    box = enclosure(row)
    if box is not None and overhang_px(row, WIDTH, HEIGHT) == 0 and row["kind"] != "keypoints":
        kept = clip(row, WIDTH, HEIGHT)
        assert {**kept, "bbox_xywh_px": None} == {**row, "bbox_xywh_px": None}


def test_a_box_is_cut_on_each_side():
    assert cut("box", bbox_xywh_px=(-5, -6, 20, 20))["bbox_xywh_px"] == (0, 0, 15, 14)
    assert cut("box", bbox_xywh_px=(60, 40, 20, 20))["bbox_xywh_px"] == (60, 40, 4, 8)
    assert cut("box", bbox_xywh_px=(64, 40, 20, 20)) is None
    assert cut("box", bbox_xywh_px=(-30, 0, 20, 20)) is None


def test_a_box_without_width_inside_is_not_clips_matter():
    for box in ((5.0, 5.0, 0.0, 3.0), (5.0, 5.0, -2.0, 3.0)):
        assert cut("box", bbox_xywh_px=box)["bbox_xywh_px"] == box


def test_a_polygon_keeps_its_holes_and_may_fall_apart():
    ring = (-10.0, 10.0, 30.0, 10.0, 30.0, 30.0, -10.0, 30.0)
    hole = (5.0, 15.0, 15.0, 15.0, 15.0, 25.0, 5.0, 25.0)
    kept = cut("polygon", polygons=((ring, hole),))
    assert len(kept["polygons"]) == 1
    assert len(kept["polygons"][0]) == 2
    assert area_px2(kept) == pytest.approx(30 * 20 - 100)
    assert kept["bbox_xywh_px"] == (0, 10, 30, 20)
    horseshoe = (10, -20, 50, -20, 50, 20, 40, 20, 40, -10, 20, -10, 20, 20, 10, 20)
    apart = cut("polygon", polygons=((horseshoe,),))
    assert len(apart["polygons"]) == 2
    assert area_px2(apart) == pytest.approx(400)


def test_parts_stay_apart_and_the_one_outside_goes():
    square = (1.0, 1.0, 5.0, 1.0, 5.0, 5.0)
    kept = cut("polygon", polygons=((square,), ((100.0, 100.0, 110.0, 100.0, 110.0, 110.0),)))
    assert kept["polygons"] == ((square,),)


def test_a_polygon_that_crosses_itself_is_clipped_all_the_same():
    kept = cut("polygon", polygons=(((-10, 0, 10, 20, 10, 0, -10, 20),),))
    assert area_px2(kept) == pytest.approx(100)


@pytest.mark.parametrize("angle", [0.0, 30.0])
def test_a_rotated_box_that_sticks_out_becomes_the_polygon_that_is_left(angle):
    box = {"cx": 0.0, "cy": 20.0, "w": 20.0, "h": 10.0, "angle": angle}
    kept = cut("rotated_box", rotated_box=box)
    assert kept["kind"] == "polygon"
    assert "rotated_box" not in kept
    assert area_px2(kept) == pytest.approx(100)
    inside = {**box, "cx": 30.0}
    assert cut("rotated_box", rotated_box=inside)["rotated_box"] == inside


def test_an_ellipse_that_sticks_out_becomes_the_polygon_that_is_left():
    kept = cut("ellipse", ellipse={"cx": 0.0, "cy": 20.0, "rx": 15.0, "ry": 10.0})
    assert kept["kind"] == "polygon"
    assert "ellipse" not in kept
    assert area_px2(kept) == pytest.approx(math.pi * 75, rel=0.02)
    assert kept["bbox_xywh_px"] == pytest.approx((0, 10, 15, 20))


def test_of_a_polyline_the_longest_piece_stays():
    kept = cut("polyline", polyline=(5, 5, 10, 5, 10, -50, 20, -50, 20, 5, 20, 40))
    assert kept["polyline"] == (20, 0, 20, 5, 20, 40)
    assert polyline_length(kept["polyline"]) == 40
    assert cut("polyline", polyline=(-5, -5, -5, 100)) is None


def test_points_outside_go_and_keypoints_outside_are_not_labelled_any_more():
    assert cut("points", points=(1, 1, 100, 1, 2, 2))["points"] == (1, 1, 2, 2)
    assert cut("points", points=(100, 1)) is None
    kept = cut("keypoints", keypoints=[{"name": "a", "x": 1, "y": 1}, {"name": "b", "x": 99, "y": 1}])
    assert kept["keypoints"][1] == {"name": "b", "x": 0.0, "y": 0.0, "visibility": 0}
    assert kept["bbox_xywh_px"] == (1, 1, 0, 0)
    assert cut("keypoints", keypoints=[{"name": "b", "x": 99, "y": 1}]) is None


def test_the_own_box_of_keypoints_is_clipped_as_a_box():
    row = ann("keypoints", keypoints=[{"name": "a", "x": 1, "y": 1}], bbox_xywh_px=(-5, -5, 20, 20))
    assert overhang_px(row, WIDTH, HEIGHT) == 5
    assert clip(row, WIDTH, HEIGHT)["bbox_xywh_px"] == (0, 0, 15, 15)


def test_a_mask_of_another_size_is_brought_to_the_pictures():
    mask = rle.encode(np.ones((HEIGHT, WIDTH)))
    assert cut("mask", mask=mask)["mask"] == mask
    large = rle.encode(np.ones((HEIGHT + 5, WIDTH - 4)))
    kept = cut("mask", mask=large)
    assert kept["mask"]["size"] == [HEIGHT, WIDTH]
    assert kept["bbox_xywh_px"] == (0, 0, WIDTH - 4, HEIGHT)


def test_the_overhang_is_the_largest_of_the_sides():
    assert overhang_px(ann("box", bbox_xywh_px=(-1, -2, 10, 10)), WIDTH, HEIGHT) == 2
    assert overhang_px(ann("box", bbox_xywh_px=(60, 0, 10, 51)), WIDTH, HEIGHT) == 6
    assert overhang_px(ann("box", bbox_xywh_px=(0, 0, WIDTH, HEIGHT)), WIDTH, HEIGHT) == 0
    assert overhang_px(ann("caption"), WIDTH, HEIGHT) == 0
    assert overhang_px(ann("box", bbox_xywh_px=(0, 0, math.nan, 1)), WIDTH, HEIGHT) == math.inf


def test_labels_without_a_place_stay():
    row = ann("caption", text="x")
    assert clip(row, WIDTH, HEIGHT) is row
