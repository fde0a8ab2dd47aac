from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dsetkit.imaging.modes import has_alpha, to_16_bit, to_mode


@pytest.mark.parametrize(
    ("mode", "kept"),
    [
        *(("L", "L"), ("RGB", "RGB"), ("RGBA", "RGBA"), ("I;16", "I;16"), ("1", "L"), ("P", "RGB"), ("LA", "RGBA")),
        *(("CMYK", "RGB"), ("YCbCr", "RGB"), ("LAB", "RGB"), ("HSV", "RGB"), ("I", "I;16"), ("F", "I;16")),
    ],
)
def test_modes_that_are_kept_and_what_others_become(picture, mode, kept):
    image = picture(mode)
    assert image.mode == mode
    assert to_mode(image, "keep").mode == kept
    if mode == kept:
        assert to_mode(image, "keep") is image
    for wanted in ("L", "RGB"):
        assert to_mode(image, wanted).mode == wanted


@pytest.mark.parametrize("mode", ["PA", "La", "RGBa", "RGBX"])
def test_rare_modes(mode):
    way = {"PA": ("P", "PA"), "La": ("LA", "La"), "RGBa": ("RGBA", "RGBa"), "RGBX": ("RGB", "RGBX")}[mode]
    image = Image.new("RGBA" if mode != "La" else "LA", (3, 3)).convert(way[0]).convert(way[1])
    assert image.mode == mode
    assert to_mode(image, "keep").mode == ("RGB" if mode == "RGBX" else "RGBA")
    assert to_mode(image, "L").mode == "L"


def test_a_transparent_colour_becomes_alpha(picture):
    for mode, colour in (("L", 0), ("RGB", (0, 0, 0)), ("P", 0), ("1", 0)):
        image = Image.new(mode, (4, 4))
        image.info["transparency"] = colour
        assert has_alpha(image)
        kept = to_mode(image, "keep")
        assert kept.mode == "RGBA"
        assert kept.getpixel((0, 0))[3] == 0
        assert "transparency" not in kept.info
        assert to_mode(image, "RGB").getpixel((0, 0)) == (255, 255, 255)


def test_alpha_goes_onto_white():
    image = Image.new("RGBA", (2, 2), (0, 0, 0, 51))
    assert to_mode(image, "RGB").getpixel((0, 0)) == (204, 204, 204)
    assert to_mode(image, "L").getpixel((0, 0)) == 204


def test_sixteen_bits_lose_their_lower_eight():
    image = Image.fromarray(np.array([[0, 255, 256, 65535]], dtype="<u2"))
    assert list(np.asarray(to_mode(image, "L")).ravel()) == [0, 0, 1, 255]


def test_byte_order_of_sixteen_bits_does_not_matter(picture):
    image = picture("I;16")
    swapped = Image.frombytes("I;16B", image.size, np.asarray(image).astype(">u2").tobytes())
    assert np.array_equal(np.asarray(to_mode(swapped, "keep")), np.asarray(image))
    assert to_mode(swapped, "keep").mode == "I;16"


def test_integers_that_fit_are_kept():
    values = np.array([[0, 7, 65535]], dtype="<i4")
    image, low, high = to_16_bit(Image.fromarray(values))
    assert np.array_equal(np.asarray(image), values)
    assert (low, high) == (0.0, 65535.0)


def test_other_numbers_are_stretched():
    image, low, high = to_16_bit(Image.fromarray(np.array([[-100, 0, 100]], dtype="<i4")))
    assert (list(np.asarray(image).ravel()), low, high) == ([0, 32768, 65535], -100.0, 100.0)
    odd = np.array([[0.5, np.nan, np.inf, -np.inf, 1.5]], dtype="<f4")
    image, low, high = to_16_bit(Image.fromarray(odd))
    assert (list(np.asarray(image).ravel()), low, high) == ([0, 0, 65535, 0, 65535], 0.5, 1.5)
    for flat in (np.full((2, 2), 3.5, "<f4"), np.full((2, 2), np.nan, "<f4")):
        assert np.asarray(to_16_bit(Image.fromarray(flat))[0]).max() == 0
    widest = np.array([[-3.4e38, 3.4e38]], dtype="<f4")
    assert list(np.asarray(to_16_bit(Image.fromarray(widest))[0]).ravel()) == [0, 65535]


def test_the_profile_goes_along_and_nothing_else(picture):
    for mode in ("P", "RGBA", "I;16", "LA"):
        image = picture(mode)
        image.info.update(icc_profile=b"profile", comment=b"no")
        assert to_mode(image, "RGB").info == {"icc_profile": b"profile"}
