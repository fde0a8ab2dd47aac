from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from dsetkit.errors import UsageError
from dsetkit.imaging.decode import decode, open_picture
from dsetkit.imaging.encode import encode

PROFILES = {"RGB": b"RGB ", "L": b"GRAY", "RGBA": b"RGB "}


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16"])
def test_png_keeps_every_pixel(picture, mode):
    image = picture(mode)
    back = open_picture(encode(image, format="png", quality=1))
    assert back.mode == mode
    assert np.array_equal(np.asarray(back), np.asarray(image))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I", "F"])
@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_every_mode_goes_into_every_format_the_same_way_twice(picture, mode, format):
    image = picture(mode)
    data = encode(image, format=format, quality=90)
    assert encode(image.copy(), format=format, quality=90) == data
    decoded = decode(data)
    assert decoded.media_type == f"image/{format}"
    assert decoded.image.size == image.size


def test_jpeg_has_full_chroma_and_is_baseline(picture):
    data = encode(picture(), format="jpeg", quality=95)
    with Image.open(io.BytesIO(data)) as image:
        assert {component[1:3] for component in image.layer} == {(1, 1)}
        assert not image.info.get("progressive")


def test_quality_is_used(picture):
    for format in ("jpeg", "webp"):
        assert len(encode(picture(), format=format, quality=95)) > len(encode(picture(), format=format, quality=20))


def test_webp_without_loss(picture):
    image = picture("RGBA")
    back = open_picture(encode(image, format="webp", quality=50, lossless=True))
    assert np.array_equal(np.asarray(back), np.asarray(image))


def test_an_alpha_that_hides_nothing_is_no_alpha_in_webp(picture):
    image = picture().copy()
    image.putalpha(255)
    assert open_picture(encode(image, format="webp", quality=90)).mode == "RGB"


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_the_profile_is_kept_where_it_fits_and_no_other_metadata(picture, format, mode):
    image = picture(mode)
    secret = {"comment": b"secret", "exif": b"Exif\0\0secret", "xmp": b"<secret/>", "dpi": (72, 72), "Author": "secret"}
    carried = {("jpeg", "RGBA"): "RGB", ("webp", "L"): "RGB"}.get((format, mode), mode)
    good = bytes(16) + PROFILES[carried] + b"profile!" + bytes(150)
    image.info = {**secret, "icc_profile": good}
    data = encode(image, format=format, quality=90)
    assert b"secret" not in data
    assert open_picture(data).info == {"icc_profile": good}
    image.info = {**secret, "icc_profile": bytes(16) + b"CMYK" + bytes(150)}
    assert open_picture(encode(image, format=format, quality=90)).info == {}


def test_transparency_becomes_alpha(picture):
    image = Image.new("P", (4, 4))
    image.info["transparency"] = 0
    assert open_picture(encode(image, format="png", quality=90)).getpixel((0, 0))[3] == 0
    assert open_picture(encode(image, format="jpeg", quality=90)).getpixel((0, 0)) == (255, 255, 255)


def test_given_exif_is_written(picture, exif):
    for format in ("jpeg", "png", "webp"):
        assert decode(encode(picture(), format=format, quality=90, exif=exif(1))).orientation == 1


def test_the_picture_given_stays_as_it_is(picture):
    image = picture("RGBA")
    image.info["comment"] = b"mine"
    before = image.tobytes()
    encode(image, format="jpeg", quality=90)
    assert (image.mode, image.info, image.tobytes()) == ("RGBA", {"comment": b"mine"}, before)


def test_another_format_is_refused(picture):
    with pytest.raises(UsageError, match=r"not written as 'gif'. Use one of: jpeg, png, webp."):
        encode(picture(), format="gif", quality=90)
