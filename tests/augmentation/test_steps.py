from __future__ import annotations

import pytest

from dsetkit.augmentation.steps import Move, Tone, plan
from dsetkit.errors import UsageError
from dsetkit.geometry.affine import move_points

CROP = {"op": "crop", "values": {"x_px": 10, "y_px": 20, "width_px": 50, "height_px": 40}}
FLIP = {"op": "flip", "values": {"axis": "horizontal"}}
ROTATE = {"op": "rotate", "values": {"angle_deg": 90.0, "fill": "edge", "fill_color": [1, 2, 3]}}
BLUR = {"op": "blur", "values": {"radius_px": 1.0}}
ENCODE = {"op": "encode", "values": {"format": "png", "quality": 95}}


def points(parts, flat):
    for part in parts:
        flat = move_points(flat, part.matrix) if isinstance(part, Move) else flat
    return flat


def test_moves_in_a_row_become_one_and_tones_stand_between():
    parts = plan([FLIP, ROTATE, CROP, BLUR, FLIP, FLIP, ENCODE], 100, 80)
    assert [type(part) for part in parts] == [Move, Tone, Move]
    assert (parts[0].width_px, parts[0].height_px) == (50, 40)
    assert (parts[0].fill, parts[0].fill_color) == ("edge", (1, 2, 3))
    assert parts[2].matrix == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("step", "where"),
    [
        (FLIP, (90, 20)),
        ({"op": "flip", "values": {"axis": "vertical"}}, (10, 60)),
        ({"op": "flip", "values": {"axis": "both"}}, (90, 60)),
        (CROP, (0, 0)),
        (ROTATE, (70, 0)),  # 40 left of and 20 above the centre (50, 40), a quarter clockwise
        ({"op": "shift", "values": {"x_px": 3, "y_px": -4}}, (13, 16)),
        ({"op": "zoom", "values": {"factor": 0.5}}, (30, 30)),
        ({"op": "shear", "values": {"x_deg": 45.0, "y_deg": 0.0}}, (-10, 20)),
        ({"op": "shear", "values": {"x_deg": 0.0, "y_deg": 45.0}}, (10, -20)),
    ],
)
def test_each_step_moves_a_point_where_it_says(step, where):
    assert points(plan([step], 100, 80), (10.0, 20.0)) == pytest.approx(where)


@pytest.mark.parametrize(
    "step",
    [
        {"op": "melt", "values": {}},
        {"op": "flip", "values": {}},
        {"op": "flip", "values": {"axis": "sideways"}},
        {"op": "rotate", "values": {"angle_deg": "x"}},
        {"op": "zoom", "values": {"factor": 0}},
        {"op": "shear", "values": {"x_deg": 90.0, "y_deg": 0.0}},
        {"op": "rotate", "values": {"angle_deg": 1.0, "fill": "melt"}},
        {"op": "rotate", "values": {"angle_deg": 1.0, "fill": "constant", "fill_color": [1]}},
        {"op": "crop", "values": {"x_px": 90, "y_px": 0, "width_px": 20, "height_px": 10}},
        {"op": "crop"},
    ],
)
def test_a_step_that_cannot_be_applied_is_a_usage_error(step):
    with pytest.raises(UsageError, match=r"\. (Use a recipe|Known steps)"):
        plan([step], 100, 80)
