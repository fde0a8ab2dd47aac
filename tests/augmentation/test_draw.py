from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsetkit.augmentation.draw import draw_recipe, draw_steps, output_format
from dsetkit.errors import UsageError
from dsetkit.spec.params import RecipeParams
from dsetkit.spec.sample import Recipe

DIGEST = "ab" * 32
ALL = [
    {"op": "flip", "probability": 0.5},
    {"op": "rotate"},
    {"op": "shift"},
    {"op": "shear", "y_deg": [-5, 5]},
    {"op": "zoom"},
    {"op": "crop"},
    {"op": "brightness_contrast"},
    {"op": "color"},
    {"op": "blur"},
    {"op": "noise"},
]


def recipe(*operations, **fields):
    return RecipeParams.model_validate({"operations": list(operations), **fields})


def draw(params, name="r", variant=0, digest=DIGEST, seed=0, size=(640, 480)):
    return draw_steps(params, name, variant, digest, seed, *size)


def test_the_same_again_and_each_of_the_four_matters():
    params = recipe(*ALL)
    first = draw(params)
    assert draw(params) == first
    for other in ({"name": "s"}, {"variant": 1}, {"digest": "cd" * 32}, {"seed": 1}):
        assert draw(params, **other) != first


def test_drawn_values_never_change_between_versions():
    assert draw(recipe({"op": "rotate"}, {"op": "noise"}, {"op": "crop"})) == PINNED


def test_steps_are_rows_of_a_recipe_and_json_keeps_them():
    row = draw_recipe(recipe(*ALL), "r", 1, DIGEST, 0, 640, 480, media_type="image/jpeg", quality=90)
    assert json.loads(json.dumps(row)) == Recipe.model_validate(row).model_dump(mode="json")
    assert row["steps"][-1] == {"op": "encode", "values": {"format": "jpeg", "quality": 90}}


def test_a_probability_changes_no_other_draw():
    always = draw(recipe({"op": "rotate"}, {"op": "blur"}))
    never = draw(recipe({"op": "rotate", "probability": 0.0}, {"op": "blur"}))
    assert [step["op"] for step in never] == ["blur"]
    assert never[0] == always[1]


def test_what_fills_the_gaps_is_recorded_where_it_can_show():
    steps = draw(recipe(*ALL, fill="constant", fill_color=(1, 2, 3)))
    for step in steps:
        shown = step["op"] in ("rotate", "shift", "shear", "zoom")
        assert (step["values"].get("fill_color") == [1, 2, 3]) is shown
        assert ("fill" in step["values"]) is shown


@given(st.integers(0, 10**6), st.floats(0.01, 1.0), st.integers(1, 50), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_values_lie_in_their_ranges(seed, scale, width, height):
    params = recipe(
        {"op": "rotate", "angle_deg": [-20, 40]},
        {"op": "shift", "x": [-0.3, 0.2], "y": [0.0, 0.5]},
        {"op": "crop", "scale": [scale, scale]},
        {"op": "crop", "scale": [scale, 1.0]},
        {"op": "noise", "std": [0.02, 0.02]},
    )
    rotate, shift, crop, second, noise = (step["values"] for step in draw(params, seed=seed, size=(width, height)))
    assert -20 <= rotate["angle_deg"] <= 40
    assert rotate["angle_deg"] == round(rotate["angle_deg"], 6)
    assert -0.3 * width <= shift["x_px"] <= 0.2 * width
    assert 0 <= shift["y_px"] <= 0.5 * height
    for window, (w, h) in ((crop, (width, height)), (second, (crop["width_px"], crop["height_px"]))):
        assert 0 <= window["x_px"] <= w - window["width_px"]
        assert 0 <= window["y_px"] <= h - window["height_px"]
        assert window["width_px"] >= 1
        assert window["height_px"] >= 1
    assert noise["std"] == 0.02
    assert 0 <= noise["seed"] < 2**53


def test_draws_are_spread_evenly():
    params = recipe({"op": "flip", "probability": 0.3}, {"op": "rotate", "angle_deg": [0, 1]})
    drawn = [draw(params, variant=variant) for variant in range(1000)]
    assert sum(len(steps) == 2 for steps in drawn) == pytest.approx(300, abs=60)
    assert sum(steps[-1]["values"]["angle_deg"] for steps in drawn) == pytest.approx(500, abs=40)


def test_a_shear_to_a_line_is_refused():
    with pytest.raises(UsageError, match="between -89 and 89"):
        draw(recipe({"op": "shear", "x_deg": [0, 90]}))


def test_keep_keeps_the_formats_that_are_written():
    assert output_format("keep", "image/jpeg") == "jpeg"
    assert output_format("keep", "image/webp") == "webp"
    assert output_format("keep", "image/bmp") == "png"
    assert output_format("png", "image/jpeg") == "png"


PINNED = (
    {"op": "rotate", "values": {"angle_deg": -12.776605, "fill": "constant", "fill_color": [0, 0, 0]}},
    {"op": "noise", "values": {"std": 0.034821, "seed": 850857492204101}},
    {"op": "crop", "values": {"x_px": 17, "y_px": 6, "width_px": 572, "height_px": 429}},
)
