from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from dsetkit.imaging.tone import blur, brightness_contrast, color, noise

MODES = ("L", "RGB", "RGBA", "I;16")


def picture(mode, width=40, height=30, seed=0):
    rng = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (height, width)).astype(np.uint16))
    bands = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    return Image.fromarray(rng.integers(0, 256, (height, width, *bands)).astype(np.uint8))


def pixels(image):
    return np.asarray(image).astype(int)


CALLS = {
    "brightness_contrast": lambda image: brightness_contrast(image, 1.2, -0.1),
    "color": lambda image: color(image, 1.4, 30.0),
    "blur": lambda image: blur(image, 1.3),
    "noise": lambda image: noise(image, 0.05, 7),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("mode", MODES)
def test_mode_size_alpha_and_profile_stay(call, mode):
    image = picture(mode)
    image.info = {"icc_profile": b"profile"}
    before = image.tobytes()
    changed = call(image)
    assert (changed.mode, changed.size) == (image.mode, image.size)
    assert changed.info == {"icc_profile": b"profile"}
    assert image.tobytes() == before
    assert call(image).tobytes() == changed.tobytes()
    if mode == "RGBA":
        assert np.array_equal(pixels(changed)[:, :, 3], pixels(image)[:, :, 3])


@pytest.mark.parametrize(("mode", "top"), [("L", 255), ("RGB", 255), ("I;16", 65535)])
def test_brightness_and_contrast_are_the_formula(mode, top):
    image = picture(mode)
    expected = np.clip(1.2 * (pixels(image) / top) - 0.1, 0, 1) * top
    assert np.abs(pixels(brightness_contrast(image, 1.2, -0.1)) - expected).max() <= 0.5 + 1e-6
    assert np.array_equal(pixels(brightness_contrast(image, 1.0, 0.0)), pixels(image))


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_grey_has_no_colour_to_change(mode):
    image = picture(mode)
    assert np.array_equal(pixels(color(image, 0.0, 90.0)), pixels(image))


def test_grey_pixels_of_a_colour_picture_stay_grey():
    grey = picture("L").convert("RGB")
    assert np.abs(pixels(color(grey, 1.7, 120.0)) - pixels(grey)).max() <= 1


def test_without_saturation_there_is_only_luminance():
    image = picture("RGB")
    changed = pixels(color(image, 0.0, 0.0))
    assert np.ptp(changed, axis=2).max() == 0
    assert np.abs(changed[:, :, 0] - pixels(image) @ (0.213, 0.715, 0.072)).max() <= 0.51


def test_turning_the_hue_a_third_round_and_thrice_is_nearly_nothing():
    image = Image.fromarray(np.full((4, 4, 3), (120, 100, 110), np.uint8))
    turned = image
    for _ in range(3):
        turned = color(turned, 1.0, 120.0)
    assert not np.array_equal(pixels(color(image, 1.0, 120.0)), pixels(image))
    assert np.abs(pixels(turned) - pixels(image)).max() <= 3
    assert np.array_equal(pixels(color(image, 1.0, 360.0)), pixels(image))


@pytest.mark.parametrize("mode", MODES)
def test_blur_keeps_the_mean_and_takes_detail_away(mode):
    image = picture(mode)
    before, after = (pixels(one)[:, :, :3] if mode == "RGB" else pixels(one) for one in (image, blur(image, 1.5)))
    if mode != "RGBA":
        assert after.mean() == pytest.approx(before.mean(), rel=0.02)
        assert after.std() < before.std() / 2
    assert np.array_equal(pixels(blur(image, 0.0)), pixels(image))


def test_16_bits_are_blurred_as_8_bits_are():
    narrow = picture("L").filter(ImageFilter.GaussianBlur(4))
    wide = Image.fromarray(np.asarray(narrow).astype(np.uint16) * 257)
    difference = pixels(blur(wide, 2.0)) / 257 - pixels(blur(narrow, 2.0))
    assert np.abs(difference).max() < 4
    assert blur(wide, 1e9).size == wide.size


def test_noise_is_normal_of_its_strength_and_differs_by_seed():
    flat = Image.fromarray(np.full((200, 200, 3), 128, np.uint8))
    difference = pixels(noise(flat, 0.05, 1)) - 128
    assert difference.mean() == pytest.approx(0.0, abs=0.1)
    assert difference.std() == pytest.approx(0.05 * 255, rel=0.02)
    assert np.abs(np.corrcoef(difference.reshape(-1, 3).T) - np.eye(3)).max() < 0.02
    assert noise(flat, 0.05, 1).tobytes() != noise(flat, 0.05, 2).tobytes()
    assert noise(flat, 0.0, 1).tobytes() == flat.tobytes()


def test_noise_is_the_same_on_every_machine():
    flat = Image.fromarray(np.full((2, 4), 128, np.uint8))
    assert pixels(noise(flat, 0.1, 12345)).tolist() == NOISE


NOISE = [[146, 141, 141, 109], [147, 148, 91, 116]]
