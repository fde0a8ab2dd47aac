from __future__ import annotations

import re

import pytest
from PIL import Image

from dsetkit.imaging.decode import DECODED_FORMATS
from dsetkit.imaging.media import PICTURE_EXTENSIONS, extension_of, media_type_of
from dsetkit.imaging.versions import codec_versions


@pytest.mark.parametrize(
    ("media_type", "extension"),
    [
        *(("image/jpeg", ".jpg"), ("image/png", ".png"), ("image/webp", ".webp"), ("image/tiff", ".tif")),
        *(("image/gif", ".gif"), ("image/x-blp", ".blp"), ("image/x-pixar", ".pixar"), ("", ".bin")),
        *(("image/../../etc", ".etc"), ("image/x-☃", ".bin"), ("nonsense", ".nonsense")),
    ],
)
def test_extensions(media_type, extension):
    assert extension_of(media_type) == extension


def test_every_decoded_format_has_a_safe_name():
    for format in DECODED_FORMATS:
        assert re.fullmatch(r"image/[a-z0-9.-]+", media_type_of(format))
        assert re.fullmatch(r"\.[a-z0-9]+", extension_of(media_type_of(format)))


def test_extensions_are_lower_case_with_a_dot():
    assert all(re.fullmatch(r"\.[a-z0-9]+", extension) for extension in PICTURE_EXTENSIONS)
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".heic", ".eps"} <= PICTURE_EXTENSIONS


def test_extensions_are_those_of_what_is_decoded():
    Image.init()
    odd = {".hdf", ".h5", ".grib", ".bufr", ".mpeg", ".mpg", ".iim", ".pdf", ".palm", ".ps"}
    decoded = {extension for extension, name in Image.EXTENSION.items() if name in {*DECODED_FORMATS, "MPO"}}
    unlisted = decoded - PICTURE_EXTENSIONS - odd
    assert unlisted <= {".icb", ".vda", ".vst", ".avifs"}  # rare names of TGA, and AVIF films


def test_versions_name_all_that_bytes_depend_on():
    versions = codec_versions()
    assert {"dsetkit_pixels", "pillow", "libjpeg", "webp"} <= set(versions)
    assert ("zlib" in versions) != ("zlib_ng" in versions)  # the one that Pillow compresses with
    assert all(isinstance(value, str) and value for value in versions.values())
    assert list(versions) == sorted(versions)
    assert codec_versions() == versions
