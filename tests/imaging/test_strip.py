from __future__ import annotations

import io
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dsetkit.errors import PictureError
from dsetkit.imaging.decode import decode
from dsetkit.imaging.strip import is_lossless_webp, strip_metadata

TYPES = {"JPEG": "image/jpeg", "MPO": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
SECRET = b"SECRET PLACE"
JPEG_OPTIONS = [
    {},
    {"progressive": True},
    {"optimize": True, "quality": 30},
    {"subsampling": 0, "quality": 100},
    {"restart_marker_blocks": 1},
    {"restart_marker_rows": 1, "progressive": True},
    {"keep_rgb": True},
]


def secrets(format: str, exif: bytes) -> dict[str, object]:
    if format == "PNG":
        info = PngInfo()
        info.add_text("Comment", SECRET.decode())
        info.add_itxt("XML:com.adobe.xmp", SECRET.decode())
        info.add_text("Author", SECRET.decode(), zip=True)
        return {"pnginfo": info, "exif": exif, "dpi": (300, 300)}
    return {"exif": exif, "xmp": SECRET} | ({"comment": SECRET, "dpi": (300, 300)} if format == "JPEG" else {})


def same(data: bytes, stripped: bytes) -> None:
    before, after = decode(data), decode(stripped)
    assert after.image.mode == before.image.mode
    assert after.image.tobytes() == before.image.tobytes()
    assert after.image.info == before.image.info
    assert after.orientation == (None if before.orientation == 1 else before.orientation)


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(
    ("format", "mode", "options"),
    [
        *(("JPEG", mode, options) for mode in ("L", "RGB", "CMYK") for options in JPEG_OPTIONS),
        *(("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        *(("WEBP", mode, options) for mode in ("RGB", "RGBA") for options in ({}, {"lossless": True})),
    ],
)
def test_pixels_and_profile_stay_and_metadata_goes(picture, encoded, exif, profile, format, mode, options, orientation):
    if mode != "RGB":
        options = {name: value for name, value in options.items() if name != "keep_rgb"}
    block = exif(orientation) + SECRET
    data = encoded(format, picture(mode), icc_profile=profile, **options, **secrets(format, block))
    assert SECRET in data
    stripped = strip_metadata(data, TYPES[format])
    same(data, stripped)
    assert SECRET not in stripped
    assert decode(stripped).image.info["icc_profile"] == profile
    assert len(stripped) < len(data)
    assert strip_metadata(stripped, TYPES[format]) is stripped  # once is enough


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_what_has_no_metadata_keeps_its_very_bytes(encoded, format):
    data = encoded(format)
    assert strip_metadata(data, TYPES[format]) is data


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_bytes_behind_the_picture_go(encoded, format):
    data = encoded(format)
    assert strip_metadata(data + b"PK\3\4 hidden", TYPES[format]) == data


def test_transparency_and_colour_chunks_of_png_stay(picture, encoded):
    data = encoded("PNG", picture().quantize(5), transparency=2)
    gamma = b"\0\0\0\4gAMA\0\0\xb1\x8f\x0b\xfca\5"
    data = data[:33] + gamma + data[33:]
    assert strip_metadata(data, "image/png") is data


def test_the_first_picture_of_mpo_and_apng_stays(picture, encoded):
    more = {"save_all": True, "append_images": [picture(seed=7)]}
    for format in ("MPO", "PNG"):
        data = encoded(format, **more)
        stripped = strip_metadata(data, TYPES[format])
        same(data, stripped)
        with Image.open(io.BytesIO(stripped)) as image:
            assert getattr(image, "n_frames", 1) == 1
        assert len(stripped) < 0.7 * len(data)


def test_thumbnails_go(encoded):
    data = encoded("JPEG")
    thumbnail = b"JFIF\0\1\1\0\0\1\0\1\2\2" + SECRET
    start = data.index(b"\xff\xe0")
    length = int.from_bytes(data[start + 2 : start + 4], "big")
    segment = b"\xff\xe0" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    extension = b"\xff\xe0\0\x14JFXX\0" + SECRET + b"\0"
    changed = data[:start] + segment + extension + data[start + 2 + length :]
    assert SECRET not in strip_metadata(changed, "image/jpeg")
    same(data, strip_metadata(changed, "image/jpeg"))


def test_markers_may_have_fill_bytes(encoded):
    data = encoded("JPEG", comment=SECRET)
    start = data.index(b"\xff\xdb")
    stripped = strip_metadata(data[:start] + b"\xff\xff\xff" + data[start:], "image/jpeg")
    assert stripped == strip_metadata(data, "image/jpeg")


def test_animated_webp_is_refused(picture, encoded):
    data = encoded("WEBP", save_all=True, append_images=[picture(seed=7)])
    with pytest.raises(ValueError, match="animated"):
        strip_metadata(data, "image/webp")


def hostile(encoded) -> list[tuple[str, bytes]]:
    jpeg, png, webp = encoded("JPEG"), encoded("PNG"), encoded("WEBP")
    start = jpeg.index(b"\xff\xdb")
    end = len(png) - 12
    return [
        ("JPEG", b""),
        ("JPEG", b"\xff\xd8"),
        ("JPEG", b"\xff\xd8\xff\xd9"),
        ("JPEG", jpeg[:-2]),
        ("JPEG", jpeg[: len(jpeg) // 2]),
        ("JPEG", jpeg[:start] + b"garbage" + jpeg[start:]),
        ("JPEG", jpeg[:start] + b"\xff\xe5\xff\xff" + jpeg[start:]),
        ("JPEG", jpeg[:start] + b"\xff\xe5\0\1" + jpeg[start:]),
        ("JPEG", jpeg[:start] + b"\xff\xf0\0\2" + jpeg[start:]),
        ("JPEG", b"\xff\xd8" + jpeg),
        ("PNG", png[:8]),
        ("PNG", png[:end]),
        ("PNG", png[:33] + png[end:]),
        ("PNG", png[:8] + png[33:]),
        ("PNG", png[:33] + b"\0\0\0\0CgBI\0\0\0\0" + png[33:]),
        ("PNG", png[:end] + b"\0\0\0\0tEXt\0\0\0\0" + b"\0\0\0\0IDAT\0\0\0\0" + png[end:]),
        ("PNG", png[:33] + b"\xff\xff\xff\xfftEXt" + png[33:]),
        ("WEBP", webp[:12]),
        ("WEBP", webp[:-4]),
        ("WEBP", webp[:8] + b"WAVE" + webp[12:]),
        ("WEBP", b"RIFF\4\0\0\0WEBP"),
    ]


@pytest.mark.parametrize("number", range(21))
def test_a_structure_that_is_not_as_it_must_be_is_refused(encoded, number):
    format, data = hostile(encoded)[number]
    with pytest.raises(ValueError, match=r"."):
        strip_metadata(data, TYPES[format])


def test_other_media_types_are_refused():
    with pytest.raises(ValueError, match="image/gif"):
        strip_metadata(b"GIF89a", "image/gif")


def test_lossless_webp_is_known(picture, encoded, exif):
    assert is_lossless_webp(encoded("WEBP", lossless=True))
    assert is_lossless_webp(encoded("WEBP", picture("RGBA"), lossless=True, exif=exif(3)))
    assert not is_lossless_webp(encoded("WEBP"))
    assert not is_lossless_webp(encoded("PNG"))


@given(st.data())
def test_whatever_is_damaged_shows_the_same_after_stripping_or_is_refused(encoded, exif, profile, data):
    format = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP"]))
    damaged = bytearray(encoded(format, icc_profile=profile[:300], **secrets(format, exif(3))))
    choose = random.Random(data.draw(st.integers(0, 2**32)))
    for _ in range(choose.randint(1, 3)):
        place = choose.randrange(min(len(damaged), choose.choice([64, 1024, 10**9])))
        damaged[place : place + choose.randint(0, 2)] = choose.randbytes(choose.randint(0, 2))
    try:
        stripped = strip_metadata(bytes(damaged), TYPES[format])
        decode(bytes(damaged), 1 << 20)
    except (ValueError, PictureError):
        return
    same(bytes(damaged), stripped)


@pytest.mark.realdata
def test_real_pictures_show_the_same_after_stripping(shared_data):
    stripped = 0
    for folder in ("odd-images", "exif-orientation", "raccoon", "near-duplicates"):
        for path in sorted((shared_data / folder).rglob("*")):
            media_type = {".jpg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}.get(path.suffix)
            if media_type is None or path.stat().st_size > 300_000:
                continue
            data = path.read_bytes()
            try:
                decode(data)
                result = strip_metadata(data, media_type)
            except (ValueError, PictureError):
                continue
            same(data, result)
            stripped += result is not data
    assert stripped > 60
