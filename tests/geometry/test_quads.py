from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.geometry.quads import least_box_around, rotated_box_of
from dsetkit.geometry.shape import box_corners


def corners(cx, cy, w, h, degrees):
    """Worked out here on its own: turned clockwise on the screen, from the box's own top left on."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    around = [(-w / 2, -h / 2), (w / 2, -h / 2), (w / 2, h / 2), (-w / 2, h / 2)]
    return [value for x, y in around for value in (cx + cos * x - sin * y, cy + sin * x + cos * y)]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 20, 8, 4, 30), (10, 20, 8, 4, 30)),
        ((10, 20, 4, 8, 30), (10, 20, 4, 8, 30)),
        ((10, 20, 8, 4, 0), (10, 20, 8, 4, 0)),
        ((10, 20, 8, 4, 180), (10, 20, 8, 4, 180)),
        ((10, 20, 8, 4, 270), (10, 20, 8, 4, -90)),
        ((10, 20, 8, 0, 45), (10, 20, 8, 0, 45)),
        ((10, 20, 0, 8, 45), (10, 20, 0, 8, 45)),
        ((10, 20, 0, 0, 45), (10, 20, 0, 0, 0)),
    ],
)
def test_four_corners_are_the_box_they_came_from(box, expected):
    found = rotated_box_of(corners(*box))
    assert found is not None
    assert [found[name] for name in ("cx", "cy", "w", "h", "angle")] == pytest.approx(expected, abs=1e-9)


def test_the_first_corner_stays_first_whichever_way_they_go_round():
    flat = corners(10, 20, 8, 4, 30)
    back = [*flat[:2], *flat[6:8], *flat[4:6], *flat[2:4]]
    assert rotated_box_of(back) == pytest.approx(rotated_box_of(flat))
    shifted = [*flat[2:], *flat[:2]]
    assert rotated_box_of(shifted) == pytest.approx({"cx": 10, "cy": 20, "w": 4, "h": 8, "angle": 120})


@pytest.mark.parametrize(
    "flat",
    [
        (0, 0, 10, 0, 10, 5, 0, 6),
        (0, 0, 10, 0, 14, 5, 4, 5),  # a parallelogram
        (0, 0, 10, 5, 10, 0, 0, 5),  # crossed
        (0, 0, 10, 0, 10, 5, 0, 5.2),
        (float("nan"), 0, 10, 0, 10, 5, 0, 5),
    ],
)
def test_other_corners_are_none(flat):
    assert rotated_box_of(flat) is None


def test_rounded_corners_are_still_the_box():
    assert rotated_box_of([float(round(value)) for value in corners(10, 20, 80, 4, 33)]) is None
    assert rotated_box_of([round(value, 1) for value in corners(10, 20, 80, 4, 33)]) is not None
    with pytest.raises(ValueError, match="6 numbers are not four corners"):
        rotated_box_of((0, 0, 1, 1, 2, 2))


_SIDE = st.floats(0.5, 4000, allow_nan=False)


@given(_SIDE, _SIDE, _SIDE, _SIDE, st.floats(-360, 360, allow_nan=False))
def test_every_box_comes_back_with_its_corners(cx, cy, w, h, angle):
    flat = box_corners({"cx": cx, "cy": cy, "w": w, "h": h, "angle": angle})
    found = rotated_box_of(flat)
    assert found is not None
    assert box_corners(found) == pytest.approx(flat, abs=1e-6)


def test_the_smallest_box_around_points():
    flat = corners(10, 20, 8, 4, 30)
    inside = [*flat, 10.0, 20.0, 11.0, 19.0]
    assert least_box_around(inside) == pytest.approx({"cx": 10, "cy": 20, "w": 8, "h": 4, "angle": 30}, abs=1e-9)
    assert least_box_around((0.0, 0.0, 4.0, 0.0, 0.0, 3.0)) == {"cx": 2.0, "cy": 1.5, "w": 4.0, "h": 3.0, "angle": 0.0}
    line = least_box_around((0.0, 0.0, 3.0, 3.0, 1.0, 1.0))
    assert line is not None
    assert min(line["w"], line["h"]) == pytest.approx(0.0, abs=1e-12)
    assert least_box_around((1.0, 2.0)) == {"cx": 1.0, "cy": 2.0, "w": 0.0, "h": 0.0, "angle": 0.0}
    assert least_box_around(()) is None
    assert least_box_around((float("inf"), 0.0)) is None
