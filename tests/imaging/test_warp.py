from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dsetkit.geometry.affine import compose, invert
from dsetkit.geometry.shape import turn
from dsetkit.imaging.warp import affine, crop, flip

MODES = ("L", "RGB", "RGBA", "I;16")
FILLS = ("constant", "edge", "reflect", "wrap")
PAD = {"constant": "constant", "edge": "edge", "reflect": "symmetric", "wrap": "wrap"}


def picture(mode, width=23, height=17, seed=0):
    rng = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (height, width)).astype(np.uint16))
    bands = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    return Image.fromarray(rng.integers(0, 256, (height, width, *bands)).astype(np.uint8))


def pixels(image):
    return np.asarray(image).astype(int)


def about(image, angle, scale=1.0):
    cos, sin = turn(angle)
    x, y = image.width / 2, image.height / 2
    a, b, d, e = scale * cos, -scale * sin, scale * sin, scale * cos
    return (a, b, x - a * x - b * y, d, e, y - d * x - e * y)


def same_size(image, matrix, **options):
    return affine(image, matrix, width_px=image.width, height_px=image.height, **options)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("axis", ["horizontal", "vertical", "both"])
def test_a_flip_is_exact_and_twice_is_nothing(mode, axis):
    image = picture(mode)
    flipped = flip(image, axis)
    axes = {"horizontal": (1,), "vertical": (0,), "both": (0, 1)}[axis]
    assert flipped.mode == mode
    assert np.array_equal(pixels(flipped), np.flip(pixels(image), axes))
    assert np.array_equal(pixels(flip(flipped, axis)), pixels(image))


@pytest.mark.parametrize("mode", MODES)
def test_the_map_of_a_flip_is_the_flip(mode):
    image = picture(mode)
    moved = same_size(image, (-1.0, 0.0, float(image.width), 0.0, 1.0, 0.0))
    assert np.array_equal(pixels(moved), pixels(flip(image, "horizontal")))


@pytest.mark.parametrize("mode", MODES)
def test_a_crop_is_exact_and_so_is_its_map(mode):
    image = picture(mode)
    window = crop(image, 3, 4, 10, 9)
    assert window.mode == mode
    assert np.array_equal(pixels(window), pixels(image)[4:13, 3:13])
    moved = affine(image, (1.0, 0.0, -3.0, 0.0, 1.0, -4.0), width_px=10, height_px=9)
    assert np.array_equal(pixels(moved), pixels(window))


@pytest.mark.parametrize("window", [(-1, 0, 5, 5), (0, 0, 0, 5), (20, 0, 5, 5), (0, 13, 5, 5)])
def test_a_crop_that_sticks_out_is_refused(window):
    with pytest.raises(ValueError, match="does not lie in"):
        crop(picture("L"), *window)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("shift", [(5, -3), (-40, 60)])
def test_a_shift_shows_what_padding_shows(mode, fill, shift):
    image = picture(mode)
    moved = same_size(image, (1.0, 0.0, float(shift[0]), 0.0, 1.0, float(shift[1])), fill=fill)
    far = 80
    around = [(far, far), (far, far)] + [(0, 0)] * (pixels(image).ndim - 2)
    padded = np.pad(pixels(image), around, mode=PAD[fill])
    if mode == "RGBA" and fill == "constant":
        inside = np.pad(np.ones(pixels(image).shape[:2], bool), far)
        padded[~inside, 3] = 255
    rows = slice(far - shift[1], far - shift[1] + image.height)
    columns = slice(far - shift[0], far - shift[0] + image.width)
    assert np.array_equal(pixels(moved), padded[rows, columns])


@pytest.mark.parametrize("fill", FILLS)
def test_sampling_sees_what_padding_shows(fill):
    """The border is sampled as Pillow samples the middle of a padded picture."""
    image = picture("L", 20, 20)
    far = 60
    matrix = about(image, 33.0, 0.6)
    moved = same_size(image, matrix, fill=fill)
    padded = Image.fromarray(np.pad(np.asarray(image), far, mode=PAD[fill]).astype(np.float32))
    shift = (1.0, 0.0, float(far), 0.0, 1.0, float(far))
    inverse = compose(invert(matrix), shift)
    expected = padded.transform(image.size, Image.Transform.AFFINE, inverse, resample=Image.Resampling.BICUBIC)
    assert np.abs(pixels(moved) - np.rint(np.asarray(expected)).clip(0, 255)).max() <= 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("fill", FILLS)
def test_a_flat_picture_stays_flat(mode, fill):
    flat = Image.fromarray(np.full_like(np.asarray(picture(mode)), 100))
    kept = pixels(same_size(flat, about(flat, 20.0, 1.1), fill=fill))
    if fill == "constant":
        kept = kept[4:-4, 6:-6]
    assert (kept == 100).all()


@pytest.mark.parametrize(
    ("mode", "level"), [("RGB", (255, 0, 10)), ("RGBA", (255, 0, 10, 255)), ("L", 77), ("I;16", 77 * 257)]
)
def test_the_fill_colour_shows(mode, level):
    image = picture(mode)
    moved = same_size(image, about(image, 45.0), fill_color=(255, 0, 10))
    assert np.array_equal(np.asarray(moved)[0, 0], level)
    shifted = same_size(image, (1.0, 0.0, 5.0, 0.0, 1.0, 0.0), fill_color=(255, 0, 10))
    assert np.array_equal(np.asarray(shifted)[0, 0], level)


def test_colours_hidden_under_alpha_do_not_bleed():
    array = np.zeros((20, 20, 4), np.uint8)
    array[:] = (255, 0, 0, 0)
    array[:, 10:] = (0, 0, 255, 255)
    moved = pixels(same_size(Image.fromarray(array), (1.0, 0.0, 0.5, 0.0, 1.0, 0.0), fill="edge"))
    seen = moved[:, :, 3] > 0
    assert moved[seen][:, 0].max() == 0
    assert moved[seen][:, 2].min() == 255


@pytest.mark.parametrize("mode", MODES)
def test_a_quarter_turn_of_a_square_is_exact(mode):
    image = picture(mode, 18, 18)
    assert np.array_equal(pixels(same_size(image, about(image, 90.0))), np.rot90(pixels(image), -1))
    assert np.array_equal(pixels(same_size(image, about(image, 180.0))), np.rot90(pixels(image), 2))


@given(st.floats(-180, 180), st.floats(0.01, 50), st.sampled_from(FILLS), st.sampled_from(MODES))
@settings(max_examples=40, deadline=None)
def test_any_map_gives_a_picture_of_its_size_and_the_same_twice(angle, scale, fill, mode):
    image = picture(mode)
    one, other = (
        affine(image, about(image, angle, scale), width_px=11, height_px=7, fill=fill).tobytes() for _ in range(2)
    )
    assert one == other
    assert len(one) == 77 * {"L": 1, "RGB": 3, "RGBA": 4, "I;16": 2}[mode]


def test_a_tiny_picture_can_be_warped():
    for fill in FILLS:
        for size in ((1, 1), (2, 1), (1, 3)):
            image = Image.new("RGB", size, (9, 8, 7))
            assert same_size(image, about(image, 30.0), fill=fill).size == size


def test_the_colour_profile_stays_and_other_metadata_goes():
    image = picture("RGB")
    image.info = {"icc_profile": b"profile", "comment": b"x"}
    for moved in (flip(image, "both"), crop(image, 0, 0, 5, 5), same_size(image, about(image, 5.0))):
        assert moved.info == {"icc_profile": b"profile"}


def test_other_modes_are_brought_to_one_that_is_worked_with():
    palette = picture("RGB").convert("P")
    assert flip(palette, "horizontal").mode == "RGB"
    assert same_size(picture("L").convert("1"), about(picture("L"), 5.0)).mode == "L"


@pytest.mark.parametrize("matrix", [(0.0, 0.0, 0.0, 0.0, 0.0, 0.0), (1.0, 2.0, 0.0, 2.0, 4.0, 0.0)])
def test_a_map_that_flattens_is_refused(matrix):
    with pytest.raises(ValueError, match="turned round"):
        same_size(picture("L"), matrix)


def test_a_frame_without_pixels_is_refused():
    with pytest.raises(ValueError, match="no pixels"):
        affine(picture("L"), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), width_px=0, height_px=5)
