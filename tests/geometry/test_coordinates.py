from __future__ import annotations

from typing import Any

import pytest

from dsetkit.geometry.coordinates import coordinates, is_same_place

BOX = {"id": "0", "kind": "box", "category": "a", "bbox_xywh_px": [1.0, 2.0, 3.0, 4.0]}


def test_numbers_come_in_the_order_of_shapes() -> None:
    shape, numbers = coordinates(
        {
            **BOX,
            "polygons": [[[0, 0, 4, 0, 4, 4], [1, 1, 2, 1, 2, 2]]],
            "keypoints": [{"name": "tip", "x": 5, "y": 6, "visibility": 1}],
            "mask": {"size": [2, 3], "counts": "06"},
        }
    )
    assert shape == [["box", 4], "part", ["ring", 6], ["ring", 6], "tip", ["keypoint", 2], ["mask", 2, 3, "06"]]
    assert numbers == [1, 2, 3, 4, 0, 0, 4, 0, 4, 4, 1, 1, 2, 1, 2, 2, 5, 6]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"bbox_xywh_px": [1.0, 2.0, 3.0, 4.0000005]}, True),
        ({"bbox_xywh_px": [1.0, 2.0, 3.0, 4.00001]}, False),
        ({"id": "7", "category": "b", "attributes": {"x": 1}}, True),
        ({"points": [1.0, 2.0]}, False),
        ({"mask": {"size": [1, 1], "counts": "01"}}, False),
        ({"rotated_box": {"cx": 1.0, "cy": 1.0, "w": 2.0, "h": 2.0, "angle": 0.0}}, False),
    ],
)
def test_what_is_at_the_same_place(change: Any, same: bool) -> None:
    assert is_same_place(BOX, {**BOX, **change}) is same
    assert is_same_place({**BOX, **change}, BOX) is same


def test_an_angle_left_out_is_0() -> None:
    ellipse = {"cx": 1.0, "cy": 1.0, "rx": 2.0, "ry": 1.0}
    one = {"id": "0", "kind": "ellipse", "ellipse": ellipse}
    assert is_same_place(one, {**one, "ellipse": {**ellipse, "angle": 0.0}})
    assert not is_same_place(one, {**one, "ellipse": {**ellipse, "angle": 9.0}})
