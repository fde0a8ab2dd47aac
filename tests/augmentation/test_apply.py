from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dsetkit.augmentation.apply import apply_steps, apply_to_annotations, replay
from dsetkit.augmentation.draw import draw_recipe, draw_steps
from dsetkit.errors import PictureError, UsageError
from dsetkit.geometry import rle
from dsetkit.geometry.clip import overhang_px
from dsetkit.geometry.shape import ellipse_outline, enclosure
from dsetkit.spec.category import Category
from dsetkit.spec.params import RecipeParams

WIDTH, HEIGHT = 160, 120
DIGEST = "ab" * 32
FLIP = {"op": "flip", "values": {"axis": "horizontal"}}
OUT = {"op": "shift", "values": {"x_px": 1000, "y_px": 0, "fill": "constant"}}

OPERATIONS = {
    "flip": [{"op": "flip"}],
    "flip vertical": [{"op": "flip", "axis": "vertical"}],
    "flip both": [{"op": "flip", "axis": "both"}],
    "rotate": [{"op": "rotate", "angle_deg": [17, 23]}],
    "rotate back": [{"op": "rotate", "angle_deg": [-40, -30]}],
    "shift": [{"op": "shift", "x": [-0.4, 0.4], "y": [-0.3, 0.3]}],
    "shear": [{"op": "shear", "x_deg": [10, 20], "y_deg": [-15, -5]}],
    "zoom in": [{"op": "zoom", "factor": [1.2, 1.9]}],
    "zoom out": [{"op": "zoom", "factor": [0.55, 0.9]}],
    "crop": [{"op": "crop", "scale": [0.5, 0.8]}],
    "tones": [
        {"op": "brightness_contrast"},
        {"op": "color"},
        {"op": "noise"},
        {"op": "blur", "radius_px": [0.3, 0.7]},
    ],  # a strong blur eats corners
    "moves": [{"op": "flip"}, {"op": "rotate"}, {"op": "zoom"}, {"op": "shear"}, {"op": "crop"}, {"op": "shift"}],
    "moves and tones": [
        {"op": "rotate", "angle_deg": [20, 30]},
        {"op": "blur"},
        {"op": "crop"},
        {"op": "noise"},
        {"op": "rotate"},
    ],
    "turned out and in": [
        {"op": "shift", "x": [0.4, 0.4], "y": [0, 0]},
        {"op": "noise"},
        {"op": "shift", "x": [-0.4, -0.4], "y": [0, 0]},
    ],
}
every_operation = pytest.mark.parametrize("operations", OPERATIONS.values(), ids=OPERATIONS.keys())


def recipe(operations, **fields):
    return RecipeParams.model_validate({"operations": operations, **fields})


def drawn(operations, seed, **fields):
    return draw_steps(recipe(operations, **fields), "r", 0, DIGEST, seed, WIDTH, HEIGHT)


def paint(inside):
    """A black picture, white where ``inside(x, y)`` of the pixel centres."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH] + 0.5
    return Image.fromarray((inside(x, y) * 255).astype(np.uint8)).convert("RGB")


def white(image):
    return np.asarray(image.convert("L")) > 127


def pixel_box(seen):
    rows, columns = np.nonzero(seen)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def corners(box):
    x, y, w, h = box
    return x, y, x + w, y + h


def follow(row, steps, min_visible=0.0, categories=()):
    return apply_to_annotations([row], steps, categories, WIDTH, HEIGHT, min_visible)


def moved(image, row, operations, seed):
    """The picture and its label after drawn steps; no label where nothing of it is left."""
    steps = drawn(operations, seed)
    after = apply_steps(image, steps)
    kept, _, width, height = follow(row, steps)
    assert (width, height) == after.size
    return white(after), kept[0] if kept else None


@every_operation
@pytest.mark.parametrize("seed", range(6))
def test_a_box_stays_around_its_pixels(operations, seed):
    image = paint(lambda x, y: (x > 40) & (x < 100) & (y > 30) & (y < 75))
    seen, row = moved(image, {"id": "0", "kind": "box", "bbox_xywh_px": (40, 30, 60, 45)}, operations, seed)
    assert row["kind"] == "box"
    assert corners(row["bbox_xywh_px"]) == pytest.approx(pixel_box(seen), abs=1.5)
    assert set(row) == {"id", "kind", "bbox_xywh_px"}


RING = (50.0, 20.0, 120.0, 30.0, 110.0, 90.0, 80.0, 75.0, 45.0, 90.0)


@every_operation
@pytest.mark.parametrize("seed", range(3))
def test_a_polygon_and_a_mask_stay_on_their_pixels(operations, seed):
    hole = (70.0, 35.0, 90.0, 35.0, 90.0, 50.0, 70.0, 50.0)
    mask = rle.mask_from_polygons([[RING, hole]], (HEIGHT, WIDTH))
    image = Image.fromarray((rle.decode(mask) * 255).astype(np.uint8))
    border = 420 * 0.75  # of the 420 px of edge, so many pixels may fall on either side
    seen, row = moved(image, {"id": "0", "kind": "polygon", "polygons": ((RING, hole),)}, operations, seed)
    assert np.sum(rle.decode(rle.mask_from_polygons(row["polygons"], seen.shape)) != seen) < border
    assert corners(enclosure(row)) == pytest.approx(pixel_box(seen), abs=1.5)
    seen, row = moved(image, {"id": "0", "kind": "mask", "mask": mask}, operations, seed)
    assert row["mask"]["size"] == list(seen.shape)
    assert np.sum(rle.decode(row["mask"]) != seen) < border
    assert corners(enclosure(row)) == pytest.approx(pixel_box(seen), abs=1.5)


@every_operation
@pytest.mark.parametrize("seed", range(3))
def test_points_of_all_kinds_stay_on_their_pixel(operations, seed):
    x0, y0 = 83.0, 57.0
    image = paint(lambda x, y: np.hypot(x - x0, y - y0) < 5)
    rows = [
        {"id": "0", "kind": "keypoints", "keypoints": ({"name": "a", "x": x0, "y": y0},)},
        {"id": "0", "kind": "points", "points": (x0, y0)},
        {"id": "0", "kind": "polyline", "polyline": (x0, y0, x0 + 3, y0)},
    ]
    for row in rows:
        seen, after = moved(image, row, operations, seed)
        if after is None:
            assert not seen[3:-3, 3:-3].any() or seen.sum() < 60
            continue
        if any(edge.any() for edge in (seen[0], seen[-1], seen[:, 0], seen[:, -1])):
            continue  # cut by the frame: its middle is not the dot's
        middle = np.argwhere(seen).mean(axis=0)[::-1] + 0.5
        point = after.get("points") or after.get("polyline") or [after["keypoints"][0][axis] for axis in "xy"]
        assert point[:2] == pytest.approx(middle, abs=1.0)


@every_operation
@pytest.mark.parametrize("seed", range(3))
def test_a_rotated_box_and_an_ellipse_stay_on_their_pixels(operations, seed):
    cos, sin = math.cos(math.radians(25)), math.sin(math.radians(25))

    def own(x, y):
        return cos * (x - 80) + sin * (y - 60), -sin * (x - 80) + cos * (y - 60)

    def in_box(x, y):
        u, v = own(x, y)
        return (abs(u) < 30) & (abs(v) < 15)

    def in_ellipse(x, y):
        u, v = own(x, y)
        return (u / 30) ** 2 + (v / 15) ** 2 < 1

    box = {"cx": 80.0, "cy": 60.0, "w": 60.0, "h": 30.0, "angle": 25.0}
    ellipse = {"cx": 80.0, "cy": 60.0, "rx": 30.0, "ry": 15.0, "angle": 25.0}
    for row, inside in (
        ({"id": "0", "kind": "rotated_box", "rotated_box": box}, in_box),
        ({"id": "0", "kind": "ellipse", "ellipse": ellipse}, in_ellipse),
    ):
        seen, after = moved(paint(inside), row, operations, seed)
        assert corners(enclosure(after)) == pytest.approx(pixel_box(seen), abs=1.5)
        if "ellipse" in after:
            drawn_on = rle.mask_from_polygons([[ellipse_outline(after["ellipse"])]], seen.shape)
            assert np.sum(rle.decode(drawn_on) != seen) < 140


@given(st.integers(0, 10**9), st.sampled_from(list(OPERATIONS)))
@settings(max_examples=60, deadline=None)
def test_whatever_is_kept_lies_in_the_new_picture(seed, name):
    rows = [
        {"id": "box", "kind": "box", "bbox_xywh_px": (-5.0, -5.0, 60.0, 45.0)},
        {"id": "polygon", "kind": "polygon", "polygons": ((RING,),)},
        {"id": "line", "kind": "polyline", "polyline": RING},
        {"id": "rotated", "kind": "rotated_box", "rotated_box": {"cx": 150, "cy": 60, "w": 60, "h": 30, "angle": 25}},
        {"id": "label", "kind": "image_label", "category": "cat"},
    ]
    before = repr(rows)
    kept, dropped, width, height = apply_to_annotations(rows, drawn(OPERATIONS[name], seed), (), WIDTH, HEIGHT, 0.1)
    assert repr(rows) == before
    assert sorted([row["id"] for row in kept] + [row["id"] for row, _ in dropped]) == sorted(row["id"] for row in rows)
    if name != "tones":
        assert all(overhang_px(row, width, height) <= 1e-6 for row in kept)


def test_an_upright_box_moves_exactly():
    steps = [FLIP, {"op": "crop", "values": {"x_px": 10, "y_px": 0, "width_px": 100, "height_px": 100}}]
    kept, _, width, height = follow({"id": "0", "kind": "box", "bbox_xywh_px": (100, 30, 15.5, 20.25)}, steps)
    assert kept[0]["bbox_xywh_px"] == (160 - 115.5 - 10, 30, 15.5, 20.25)
    assert (width, height) == (100, 100)


@pytest.mark.parametrize(
    ("row", "share"),
    [
        ({"kind": "box", "bbox_xywh_px": (0.0, 0.0, 40.0, 40.0)}, "25.0%"),
        ({"kind": "polygon", "polygons": (((0, 0, 40, 0, 40, 40, 0, 40),),)}, "25.0%"),
        ({"kind": "mask", "mask": rle.mask_from_polygons([[(0, 0, 40, 0, 40, 40, 0, 40)]], (HEIGHT, WIDTH))}, "25.0%"),
        ({"kind": "polyline", "polyline": (0.0, 10.0, 40.0, 10.0)}, "25.0%"),
        ({"kind": "points", "points": (5, 5, 15, 5, 25, 5, 35, 5)}, "25.0%"),
        ({"kind": "keypoints", "keypoints": [{"name": str(x), "x": x, "y": 5} for x in (5, 15, 25, 35)]}, "25.0%"),
        ({"kind": "rotated_box", "rotated_box": {"cx": 20, "cy": 20, "w": 40, "h": 40, "angle": 90}}, "25.0%"),
    ],
)
def test_what_is_hardly_visible_any_more_is_dropped_as_it_was(row, share):
    steps = [{"op": "crop", "values": {"x_px": 30, "y_px": 0, "width_px": 100, "height_px": 120}}]
    row = {"id": "7", **row}
    kept, dropped, _, _ = follow(row, steps, min_visible=0.26)
    assert not kept
    assert dropped[0][0] is row
    assert dropped[0][1].code == "out-of-view"
    assert dropped[0][1].message == f"{share} of it is still in the picture; at least 26.0% is asked for"
    assert len(follow(row, steps, min_visible=0.25)[0]) == 1


def test_the_share_is_of_what_was_in_the_picture_before():
    steps = [{"op": "crop", "values": {"x_px": 10, "y_px": 0, "width_px": 100, "height_px": 120}}]
    kept, _, _, _ = follow({"id": "0", "kind": "box", "bbox_xywh_px": (-60, 0, 80, 20)}, steps, min_visible=0.5)
    assert kept[0]["bbox_xywh_px"] == (0, 0, 10, 20)


def test_what_left_before_noise_does_not_come_back_but_between_moves_it_does():
    row = {"id": "0", "kind": "box", "bbox_xywh_px": (100.0, 10.0, 40.0, 40.0)}
    back = {"op": "shift", "values": {"x_px": -1000, "y_px": 0, "fill": "constant"}}
    noise = {"op": "noise", "values": {"std": 0.01, "seed": 1}}
    assert follow(row, [OUT, back])[0][0]["bbox_xywh_px"] == row["bbox_xywh_px"]
    assert follow(row, [OUT, noise, back])[1][0][1].code == "out-of-view"
    image = paint(lambda x, y: (x > 100) & (x < 140) & (y > 10) & (y < 50))
    assert np.array_equal(white(apply_steps(image, [OUT, back])), white(image))
    assert not white(apply_steps(image, [OUT, noise, back])).any()


def test_labels_without_a_place_stay_and_tones_touch_no_label():
    rows = [{"id": "0", "kind": "image_label", "category": "cat"}, {"id": "1", "kind": "caption", "text": "a cat"}]
    assert apply_to_annotations(rows, [OUT], (), WIDTH, HEIGHT, 0.5)[0] == rows
    odd = [{"id": "0", "kind": "box", "bbox_xywh_px": (-50.0, 0.0, 20.0, 20.0)}]
    blur = {"op": "blur", "values": {"radius_px": 1.0}}
    assert apply_to_annotations(odd, [blur], (), WIDTH, HEIGHT, 0.5) == (odd, [], WIDTH, HEIGHT)


def test_in_a_mirror_keypoints_and_pose_change_sides():
    category = Category(name="face", index=0, keypoint_names=("nose", "left", "right"), flip_pairs=((1, 2),))
    points = ({"name": "nose", "x": 20.0, "y": 9.0}, {"name": "left", "x": 30.0, "y": 5.0, "visibility": 1})
    row = {
        "id": "0",
        "kind": "keypoints",
        "category": "face",
        "keypoints": points,
        "attributes": {"pose": "Left", "x": 1},
    }
    after = follow(row, [FLIP], categories=[category])[0][0]
    assert after["keypoints"] == (
        {"name": "nose", "x": 140.0, "y": 9.0},
        {"name": "right", "x": 130.0, "y": 5.0, "visibility": 1},
    )
    assert after["attributes"] == {"pose": "Right", "x": 1}
    half_turn = {"op": "flip", "values": {"axis": "both"}}
    turned = follow(row, [half_turn], categories=[category])[0][0]
    assert [point["name"] for point in turned["keypoints"]] == ["nose", "left"]
    assert turned["attributes"]["pose"] == "Right"
    again = follow(row, [FLIP, FLIP], categories=[category])[0][0]
    assert again["keypoints"] == points
    assert again["attributes"] == row["attributes"]


def test_a_relation_to_what_was_dropped_goes_with_it():
    whole = {"id": "car", "kind": "box", "bbox_xywh_px": (0.0, 0.0, 10.0, 10.0)}
    part = {
        "id": "wheel",
        "kind": "box",
        "bbox_xywh_px": (60.0, 50.0, 9.0, 9.0),
        "relations": ({"kind": "part_of", "target": "car"}, {"kind": "near", "target": "wheel"}),
        "based_on": "car",
    }
    crop = {"op": "crop", "values": {"x_px": 50, "y_px": 40, "width_px": 50, "height_px": 40}}
    kept, dropped, _, _ = apply_to_annotations([whole, part], [crop], (), WIDTH, HEIGHT, 0.1)
    assert [row["id"] for row, _ in dropped] == ["car"]
    assert kept[0]["relations"] == ({"kind": "near", "target": "wheel"},)
    assert "based_on" not in kept[0]


def test_of_several_categories_the_one_with_keypoints_says_which_swap():
    pair = Category(name="face", index=1, keypoint_names=("left_eye", "right_eye"), flip_pairs=((0, 1),))
    points = ({"name": "left_eye", "x": 10.0, "y": 5.0}, {"name": "right_eye", "x": 20.0, "y": 5.0})
    row = {"id": "0", "kind": "keypoints", "categories": ("thing", "face"), "keypoints": points}
    flip = {"op": "flip", "values": {"axis": "horizontal"}}
    kept = apply_to_annotations([row], [flip], (Category(name="thing", index=0), pair), WIDTH, HEIGHT, 0.1)[0]
    assert [(point["name"], point["x"]) for point in kept[0]["keypoints"]] == [
        ("left_eye", WIDTH - 20.0),
        ("right_eye", WIDTH - 10.0),
    ]


def test_a_degenerate_label_is_kept_while_it_is_in_view():
    row = {"id": "0", "kind": "box", "bbox_xywh_px": (80.0, 60.0, 0.0, 10.0)}
    turn = {"op": "rotate", "values": {"angle_deg": 10.0, "fill": "constant"}}
    assert len(follow(row, [turn], min_visible=0.5)[0]) == 1
    assert not follow(row, [OUT], min_visible=0.0)[0]
    assert follow({"id": "0", "kind": "box"}, [turn], min_visible=0.5)[0] == [{"id": "0", "kind": "box"}]


def as_bytes(image, format="PNG", **options):
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def noisy_picture(mode="RGB"):
    rng = np.random.default_rng(0)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (60, 80)).astype(np.uint16))
    return Image.fromarray(rng.integers(0, 256, (60, 80, 3)).astype(np.uint8)).convert(mode)


@pytest.mark.parametrize(
    ("mode", "format"),
    [("RGB", "jpeg"), ("RGB", "png"), ("RGB", "webp"), ("L", "jpeg"), ("RGBA", "png"), ("I;16", "png")],
)
def test_a_replay_gives_the_same_bytes_and_the_picture_the_steps_give(mode, format):
    operations = [*OPERATIONS["moves and tones"], {"op": "color"}, {"op": "brightness_contrast"}, {"op": "zoom"}]
    data = as_bytes(noisy_picture(mode))
    params = recipe(operations, fill="reflect")
    row = draw_recipe(params, "r", 3, DIGEST, 5, 80, 60, media_type="image/png", format=format, quality=90)
    made = replay(data, row)
    assert replay(data, row) == made
    with Image.open(io.BytesIO(made)) as image:
        assert image.format.lower() == format
        assert image.mode == mode
        expected = apply_steps(noisy_picture(mode), row["steps"])
        assert image.size == expected.size
        if format == "png":
            assert np.array_equal(np.asarray(image), np.asarray(expected))


def test_a_replay_without_a_recorded_format_needs_one():
    data = as_bytes(noisy_picture())
    with pytest.raises(UsageError, match="Give a format"):
        replay(data, {"name": "r", "steps": [FLIP]})
    assert replay(data, {"name": "r", "steps": [FLIP]}, format="png", quality=95).startswith(b"\x89PNG")


def test_a_replay_of_what_is_no_picture_or_too_large_is_refused():
    with pytest.raises(PictureError):
        replay(b"no picture", {"name": "r"}, format="png")
    with pytest.raises(PictureError):
        replay(as_bytes(noisy_picture()), {"name": "r"}, format="png", max_pixels=100)


@pytest.mark.parametrize(
    "step",
    [
        {"op": "blur", "values": {"radius": 1}},
        {"op": "noise", "values": {"std": "x", "seed": 1}},
        {"op": "noise", "values": {"std": 0.1, "seed": -1}},
        {"op": "rotate", "values": {}},
    ],
)
def test_a_step_with_unusable_values_is_a_usage_error(step):
    with pytest.raises(UsageError, match="Use a recipe as dsetkit recorded it"):
        apply_steps(noisy_picture(), [step])


def test_the_picture_given_is_not_changed():
    image = noisy_picture()
    before = image.tobytes()
    for seed in range(3):
        apply_steps(image, drawn(OPERATIONS["moves and tones"], seed)[-1:])
    assert image.tobytes() == before
    assert apply_steps(image, []) is image


def test_what_is_not_in_the_frame_moves_and_is_neither_cut_nor_dropped():
    gone = {"track": {"id": "7", "outside": True}}
    rows = [
        {"id": "0", "kind": "box", "bbox_xywh_px": (-20.0, 10.0, 40.0, 40.0), **gone},
        {"id": "1", "kind": "points", "points": (1.0, 1.0), **gone},
        {"id": "2", "kind": "box", "bbox_xywh_px": (0.0, 0.0, 0.0, 0.0), **gone},
        {"id": "3", "kind": "box", "bbox_xywh_px": (0.0, 0.0, 40.0, 40.0)},
    ]
    crop = {"op": "crop", "values": {"x_px": 50, "y_px": 0, "width_px": 100, "height_px": 100}}
    kept, dropped, _, _ = apply_to_annotations(rows, [crop], (), WIDTH, HEIGHT, 0.5)
    assert [row["id"] for row, _ in dropped] == ["3"]
    assert [row["bbox_xywh_px"] for row in kept if row["kind"] == "box"] == [(-70, 10, 40, 40), (-50, 0, 0, 0)]
    assert kept[1]["points"] == (-49.0, 1.0)
    assert all(row["track"] == gone["track"] for row in kept)
    turned = apply_to_annotations(rows[:1], drawn([{"op": "rotate", "angle_deg": (30, 30)}], 0), (), WIDTH, HEIGHT, 1.0)
    assert len(turned[0]) == 1
