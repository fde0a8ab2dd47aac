from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from dsetkit.geometry.overlap import box_iou, iou, overlaps
from dsetkit.geometry.rle import encode


def box(x: float, y: float, w: float, h: float) -> Any:
    return {"id": "0", "kind": "box", "bbox_xywh_px": [x, y, w, h]}


def polygon(*parts: Any) -> Any:
    return {"id": "0", "kind": "polygon", "polygons": [list(part) for part in parts]}


def mask(array: Any) -> Any:
    return {"id": "0", "kind": "mask", "mask": encode(np.asarray(array))}


SQUARE = [0.0, 0.0, 10.0, 0.0, 10.0, 10.0, 0.0, 10.0]
HOLE = [2.0, 2.0, 8.0, 2.0, 8.0, 8.0, 2.0, 8.0]


def test_boxes() -> None:
    assert iou(box(0, 0, 10, 10), box(5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert iou(box(0, 0, 10, 10), box(10, 0, 10, 10)) == 0.0
    assert iou(box(3, 3, 0, 0), box(3, 3, 0, 0)) == 1.0
    assert iou(box(3, 3, 0, 0), box(4, 3, 0, 0)) == 0.0


def test_a_hole_counts() -> None:
    whole, ring = polygon([SQUARE]), polygon([SQUARE, HOLE])
    assert iou(whole, ring) == pytest.approx(0.64)
    assert iou(ring, polygon([HOLE])) == 0.0
    assert iou(ring, box(0, 0, 10, 10)) == pytest.approx(0.64)


def test_parts_that_overlap_each_other_count_once() -> None:
    assert iou(polygon([SQUARE], [SQUARE]), polygon([SQUARE])) == pytest.approx(1.0)


def test_turned_shapes() -> None:
    diamond = {
        "id": "0",
        "kind": "rotated_box",
        "rotated_box": {"cx": 5.0, "cy": 5.0, "w": math.sqrt(50), "h": math.sqrt(50), "angle": 45.0},
    }
    assert iou(diamond, box(0, 0, 10, 10)) == pytest.approx(0.5)
    circle = {"id": "0", "kind": "ellipse", "ellipse": {"cx": 5.0, "cy": 5.0, "rx": 5.0, "ry": 5.0}}
    assert iou(circle, box(0, 0, 10, 10)) == pytest.approx(math.pi / 4, abs=0.03)
    assert iou(circle, diamond) == pytest.approx(2 / math.pi, abs=0.03)


def test_masks_by_pixels_and_with_what_is_none() -> None:
    left, top = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
    left[:, :15], top[:10, :] = True, True
    assert iou(mask(left), mask(top)) == pytest.approx(150 / 450)
    assert iou(mask(left), box(0, 0, 15, 20)) == pytest.approx(1.0)
    assert iou(polygon([[0, 0, 15, 0, 15, 20, 0, 20]]), mask(left)) == pytest.approx(1.0)
    assert iou(mask(left), mask(left)) == 1.0


def test_masks_that_cannot_be_compared_go_by_their_boxes() -> None:
    small, large = np.zeros((10, 10), bool), np.zeros((20, 20), bool)
    small[0:4, 0:4] = large[0:4, 0:8] = True
    assert iou(mask(small), mask(large)) == pytest.approx(0.5)
    broken = {
        "id": "0",
        "kind": "mask",
        "bbox_xywh_px": [0.0, 0.0, 4.0, 4.0],
        "mask": {"size": [10, 10], "counts": "~"},
    }
    assert iou(broken, mask(small)) == pytest.approx(1.0)
    nothing = mask(np.zeros((10, 10), bool))
    assert iou(nothing, mask(small)) == 0.0
    assert iou({**nothing, "id": "1", "bbox_xywh_px": [0.0, 0.0, 1.0, 1.0]}, nothing) == 0.0


def test_hostile_shapes_give_a_number() -> None:
    huge = box(-1e200, -1e200, 2e200, 2e200)
    bow = polygon([[0, 0, 10, 10, 10, 0, 0, 10]])
    line = polygon([[0, 0, 5, 5, 10, 10]])
    infinite = polygon([[0, 0, math.inf, 0, 5, 5]])
    empty = {"id": "0", "kind": "polygon"}
    label = {"id": "0", "kind": "image_label", "category": "a"}
    shapes = [huge, bow, line, infinite, empty, label, box(0, 0, 10, 10), box(-5, -5, -1, -1)]
    for a in shapes:
        for b in shapes:
            assert 0.0 <= iou(a, b) <= 1.0
    assert iou(label, label) == 0.0
    assert iou(bow, box(0, 0, 10, 10)) == pytest.approx(0.5)


def test_points_go_by_the_box_around_them() -> None:
    def points(*flat: float) -> Any:
        return {"id": "0", "kind": "points", "points": list(flat)}

    assert iou(points(0, 0, 10, 10), points(5, 0, 15, 10)) == pytest.approx(1 / 3)
    assert iou(points(3, 3), points(3, 3)) == 1.0
    assert iou(points(3, 3), points(4, 3)) == 0.0
    pose = {"id": "0", "kind": "keypoints", "keypoints": [{"name": "a", "x": 2.0, "y": 2.0}]}
    assert iou({**pose, "bbox_xywh_px": [0.0, 0.0, 10.0, 10.0]}, box(0, 0, 10, 5)) == pytest.approx(0.5)


side = st.integers(0, 12).map(float)
boxes = st.lists(st.builds(box, side, side, side, side), max_size=6)


@given(boxes, boxes, st.sampled_from([0.01, 0.3, 1.0]))
def test_overlaps_gives_the_pairs_one_by_one_would(ours: Any, theirs: Any, least: float) -> None:
    expected = {
        (i, j): value for i, a in enumerate(ours) for j, b in enumerate(theirs) if (value := iou(a, b)) >= least
    }
    found = {(i, j): value for i, j, value in overlaps(ours, theirs, least)}
    assert found == pytest.approx(expected)
    assert {(i, j) for j, i, _ in overlaps(theirs, ours, least)} == set(expected)


@given(st.builds(box, side, side, side, side), st.builds(box, side, side, side, side))
def test_boxes_agree_with_pycocotools(a: Any, b: Any) -> None:
    one, other = a["bbox_xywh_px"], b["bbox_xywh_px"]
    if one[2] * one[3] > 0 and other[2] * other[3] > 0:
        assert box_iou(one, other) == pytest.approx(coco.iou([one], [other], [0])[0][0])


@given(st.integers(0, 2**32 - 1))
def test_masks_agree_with_counting_pixels(seed: int) -> None:
    a, b = np.random.default_rng(seed).integers(0, 2, (2, 7, 9)).astype(bool)
    if (a | b).any():
        assert iou(mask(a), mask(b)) == pytest.approx((a & b).sum() / (a | b).sum())


def test_mixed_kinds_among_many() -> None:
    ours = [box(0, 0, 10, 10), polygon([SQUARE, HOLE]), {"id": "2", "kind": "caption", "text": "x"}]
    found = {(i, j): value for i, j, value in overlaps(ours, ours, 0.1)}
    assert found == pytest.approx({(0, 0): 1.0, (0, 1): 0.64, (1, 0): 0.64, (1, 1): 1.0})
