from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dsetkit.geometry import rle
from dsetkit.geometry.affine import IDENTITY, compose, determinant, flip_keypoints, invert, move_points, transform
from dsetkit.geometry.shape import area_px2, box_corners, ellipse_outline, enclosure, turn

WIDTH, HEIGHT = 64, 48
MIRROR = (-1.0, 0.0, float(WIDTH), 0.0, 1.0, 0.0)
QUARTER = (0.0, -1.0, float(HEIGHT), 1.0, 0.0, 0.0)  # clockwise, into a frame of HEIGHT × WIDTH


def ann(kind, **fields):
    return {"id": "0", "kind": kind, **fields}


def move(row, matrix, width_px=WIDTH, height_px=HEIGHT):
    return transform(row, matrix, width_px=width_px, height_px=height_px)


def similarity(angle, scale, mirror, x, y):
    cos, sin = turn(angle)
    flip = -1.0 if mirror else 1.0
    return (scale * cos, -flip * scale * sin, x, scale * sin, flip * scale * cos, y)


def same_box(a, b):
    """Whether two rotated boxes are the same set of points (a half turn changes nothing)."""
    assert (a["cx"], a["cy"]) == pytest.approx((b["cx"], b["cy"]), abs=1e-6)
    assert (a["w"], a["h"]) == pytest.approx((b["w"], b["h"]), abs=1e-6)
    assert abs(math.remainder(a["angle"] - b["angle"], 180.0)) < 1e-6


ROTATED = st.fixed_dictionaries(
    {
        "cx": st.floats(0, 100),
        "cy": st.floats(0, 100),
        "w": st.floats(1, 50),
        "h": st.floats(1, 50),
        "angle": st.floats(-180, 180),
    }
)
SIMILAR = st.builds(
    similarity, st.floats(-180, 180), st.floats(0.2, 5), st.booleans(), st.floats(-50, 50), st.floats(-50, 50)
)
ENTRY = st.floats(-3, 3)
ANY = st.tuples(ENTRY, ENTRY, st.floats(-50, 50), ENTRY, ENTRY, st.floats(-50, 50))


def sound(matrix):
    return abs(determinant(matrix)) > 0.05


@given(ANY, st.lists(st.floats(-100, 100), min_size=6, max_size=12).map(lambda v: tuple(v[: len(v) // 2 * 2])))
@settings(max_examples=60, deadline=None)
def test_a_map_and_its_inverse_give_the_points_back(matrix, flat):
    assume(sound(matrix))
    keypoints = [{"name": "a", "x": flat[0], "y": flat[1], "visibility": 1}]
    for row in (
        ann("polygon", polygons=((flat, flat),)),
        ann("polyline", polyline=flat),
        ann("points", points=flat),
        ann("keypoints", keypoints=keypoints),
    ):
        back = move(move(row, matrix), invert(matrix))
        for name in ("polyline", "points"):
            assert back.get(name, ()) == pytest.approx(row.get(name, ()), abs=1e-6)
        for part in back.get("polygons", ()):
            assert part[0] == pytest.approx(flat, abs=1e-6)
            assert part[1] == pytest.approx(flat, abs=1e-6)
        for point in back.get("keypoints", ()):
            assert (point["x"], point["y"]) == pytest.approx(flat[:2], abs=1e-6)
        assert back["bbox_xywh_px"] == pytest.approx(enclosure(row), abs=1e-6)


@given(ROTATED, SIMILAR)
@settings(max_examples=60, deadline=None)
def test_a_rotated_box_stays_one_under_a_similarity_and_covers_the_moved_corners(box, matrix):
    row = ann("rotated_box", rotated_box=box)
    moved = move(row, matrix)
    assert moved["kind"] == "rotated_box"
    expected = sorted(zip(*[iter(move_points(box_corners(box), matrix))] * 2, strict=True))
    found = sorted(zip(*[iter(box_corners(moved["rotated_box"]))] * 2, strict=True))
    for corner in expected:
        assert min(math.dist(corner, other) for other in found) < 1e-5
    same_box(move(moved, invert(matrix))["rotated_box"], box)
    assert -180 < moved["rotated_box"]["angle"] <= 180


@given(ROTATED, ANY)
@settings(max_examples=60, deadline=None)
def test_an_ellipse_stays_one_under_any_map(box, matrix):
    assume(sound(matrix))
    ellipse = {"cx": box["cx"], "cy": box["cy"], "rx": box["w"], "ry": box["h"], "angle": box["angle"]}
    moved = move(ann("ellipse", ellipse=ellipse), matrix)
    assert moved["kind"] == "ellipse"
    assert area_px2(moved) == pytest.approx(math.pi * box["w"] * box["h"] * abs(determinant(matrix)), rel=1e-6)
    new = moved["ellipse"]
    cos, sin = turn(new.get("angle", 0.0))
    points = np.reshape(move_points(ellipse_outline(ellipse), matrix), (-1, 2)) - (new["cx"], new["cy"])
    u, v = points @ (cos, sin) / new["rx"], points @ (-sin, cos) / new["ry"]
    assert np.allclose(u * u + v * v, 1.0, atol=1e-4)


def test_under_a_shear_a_rotated_box_becomes_its_polygon():
    box = {"cx": 20.0, "cy": 20.0, "w": 10.0, "h": 4.0, "angle": 30.0}
    shear = (1.0, 0.3, 0.0, 0.0, 1.0, 0.0)
    moved = move(ann("rotated_box", rotated_box=box), shear)
    assert moved["kind"] == "polygon"
    assert "rotated_box" not in moved
    assert moved["polygons"] == ((move_points(box_corners(box), shear),),)
    assert moved["bbox_xywh_px"] == enclosure(moved)


def test_a_scaling_whose_sides_were_rounded_keeps_rotated_boxes():
    box = {"cx": 2000.0, "cy": 1500.0, "w": 300.0, "h": 40.0, "angle": 30.0}
    matrix = (512 / 4000, 0.0, 0.0, 0.0, 384 / 3001, 0.0)
    moved = move(ann("rotated_box", rotated_box=box), matrix, 512, 384)
    assert moved["kind"] == "rotated_box"
    expected = move_points(box_corners(box), matrix)
    assert box_corners(moved["rotated_box"]) == pytest.approx(expected, abs=0.1)


def test_an_upright_box_under_an_upright_map_is_exact():
    row = ann("box", bbox_xywh_px=(3.0, 5.0, 7.0, 11.0))
    assert move(row, MIRROR)["bbox_xywh_px"] == (WIDTH - 10.0, 5.0, 7.0, 11.0)
    assert move(row, QUARTER, HEIGHT, WIDTH)["bbox_xywh_px"] == (HEIGHT - 16.0, 3.0, 11.0, 7.0)
    assert move(row, (2.0, 0, 1.0, 0, 0.5, 0))["bbox_xywh_px"] == (7.0, 2.5, 14.0, 5.5)


def test_a_turned_box_is_the_enclosure_of_its_corners():
    cos = math.sqrt(0.5)
    moved = move(ann("box", bbox_xywh_px=(-5.0, -5.0, 10.0, 10.0)), (cos, -cos, 0, cos, cos, 0))
    assert moved["bbox_xywh_px"] == pytest.approx((-10 * cos, -10 * cos, 20 * cos, 20 * cos))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_a_mask_moves_exactly_where_pixels_fall_on_pixels(seed):
    array = np.random.default_rng(seed).random((HEIGHT, WIDTH)) > 0.6
    row = ann("mask", mask=rle.encode(array))
    assert np.array_equal(rle.decode(move(row, MIRROR)["mask"]), array[:, ::-1])
    assert np.array_equal(rle.decode(move(row, QUARTER, HEIGHT, WIDTH)["mask"]), np.rot90(array, -1))
    shifted = rle.decode(move(row, (1, 0, 5.0, 0, 1, -3.0))["mask"])
    assert np.array_equal(shifted[:-3, 5:], array[3:, :-5])
    assert not shifted[-3:].any()
    assert not shifted[:, :5].any()
    assert move(move(row, MIRROR), MIRROR)["mask"] == row["mask"]


def test_a_mask_can_move_out_of_its_frame_wholly():
    row = ann("mask", mask=rle.encode(np.ones((4, 4))))
    moved = move(row, (1, 0, 1000.0, 0, 1, 0))
    assert moved["mask"]["size"] == [HEIGHT, WIDTH]
    assert rle.mask_area(moved["mask"]) == 0


def test_mirroring_twice_is_nothing():
    rows = [
        ann("box", bbox_xywh_px=(3.0, 5.0, 7.0, 11.0)),
        ann("polygon", polygons=(((1.0, 2.0, 9.0, 2.0, 9.0, 9.0),),), bbox_xywh_px=(1.0, 2.0, 8.0, 7.0)),
        ann("points", points=(1.0, 2.0), bbox_xywh_px=(1.0, 2.0, 0.0, 0.0)),
        ann(
            "rotated_box",
            rotated_box={"cx": 9.0, "cy": 9.0, "w": 4.0, "h": 2.0, "angle": 0.0},
            bbox_xywh_px=(7.0, 8.0, 4.0, 2.0),
        ),
        ann("ellipse", ellipse={"cx": 9.0, "cy": 9.0, "rx": 4.0, "ry": 2.0}, bbox_xywh_px=(5.0, 7.0, 8.0, 4.0)),
    ]
    for row in rows:
        assert move(move(row, MIRROR), MIRROR) == row


def test_nothing_is_changed_in_place_and_labels_without_a_place_stay():
    row = ann("polygon", polygons=[[[1, 2, 9, 2, 9, 9]]], bbox_xywh_px=[1, 2, 8, 7])
    before = repr(row)
    move(row, MIRROR)
    assert repr(row) == before
    label = ann("image_label", category="cat")
    assert move(label, MIRROR) is label


def test_keypoints_that_are_not_labelled_stay_at_zero_and_the_objects_own_box_moves():
    points = [{"name": "a", "x": 4.0, "y": 5.0}, {"name": "b", "x": 0.0, "y": 0.0, "visibility": 0}]
    moved = move(ann("keypoints", keypoints=points, bbox_xywh_px=(1.0, 2.0, 20.0, 30.0)), MIRROR)
    assert moved["keypoints"] == ({"name": "a", "x": WIDTH - 4.0, "y": 5.0}, points[1])
    assert moved["bbox_xywh_px"] == (WIDTH - 21.0, 2.0, 20.0, 30.0)
    moved = move(ann("keypoints", keypoints=points, bbox_xywh_px=(4.0, 5.0, 0.0, 0.0)), MIRROR)
    assert moved["bbox_xywh_px"] == (WIDTH - 4.0, 5.0, 0.0, 0.0)


def test_keypoints_change_names_in_a_mirror_and_keep_their_order():
    names = ("nose", "left_eye", "right_eye")
    points = tuple({"name": name, "x": float(place), "y": 0.0} for place, name in enumerate(names))
    row = ann("keypoints", keypoints=points)
    flipped = flip_keypoints(row, [(1, 2), (0, 99)], names)
    assert [(point["name"], point["x"]) for point in flipped["keypoints"]] == [
        ("nose", 0.0),
        ("left_eye", 2.0),
        ("right_eye", 1.0),
    ]
    assert flip_keypoints(flipped, [(1, 2)], names) == row
    assert flip_keypoints(row, [], names) is row
    lonely = ann("keypoints", keypoints=(points[1],))
    assert flip_keypoints(lonely, [(1, 2)], names)["keypoints"][0]["name"] == "right_eye"


@pytest.mark.parametrize("matrix", [(1, 1, 0, 1, 1, 0), (0, 0, 0, 0, 0, 0), (math.nan, 0, 0, 0, 1, 0)])
def test_a_map_that_flattens_is_refused(matrix):
    with pytest.raises(ValueError, match="turned round"):
        move(ann("box", bbox_xywh_px=(0, 0, 1, 1)), matrix)


@given(ANY, ANY)
@settings(max_examples=40, deadline=None)
def test_composing_is_doing_one_after_the_other(first, then):
    flat = (1.0, 2.0, -3.0, 4.0)
    assert move_points(flat, compose(first, then)) == pytest.approx(move_points(move_points(flat, first), then))
    assert compose(first, IDENTITY) == pytest.approx(first)
