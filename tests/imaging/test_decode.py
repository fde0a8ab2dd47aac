from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import textwrap
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from dsetkit.errors import PictureError
from dsetkit.imaging.decode import DECODED_FORMATS, decode, open_picture
from dsetkit.imaging.guard import guarded


def png_chunk(name: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")


def declared_png(width: int, height: int) -> bytes:
    """A tiny PNG that says it is large."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    chunks = (png_chunk(b"IHDR", header), png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def code_of(data: bytes, max_pixels: int = 10_000) -> str:
    with pytest.raises(PictureError) as caught:
        decode(data, max_pixels)
    return caught.value.code


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_every_orientation_shows_the_same_upright_picture(picture, encoded, exif, format, orientation):
    upright = picture(size=(32, 24))
    undo = {5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE}
    undo |= {8: Image.Transpose.ROTATE_270, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180}
    undo |= {4: Image.Transpose.FLIP_TOP_BOTTOM}
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    lossless = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}.get(format, {})
    data = encoded(format, stored, exif=exif(orientation), **lossless)
    decoded = decode(data)
    assert decoded.orientation == orientation
    difference = np.abs(np.asarray(decoded.image).astype(int) - np.asarray(upright))
    assert difference.max() <= (6 if format == "JPEG" else 0)
    assert np.array_equal(ImageOps.exif_transpose(decoded.image), decoded.image)  # not turned twice


@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
def test_an_invalid_orientation_is_none(encoded, exif, orientation):
    decoded = decode(encoded("JPEG", exif=exif(orientation)))
    assert decoded.orientation is None
    assert decoded.image.size == (40, 30)


def test_xmp_turns_nothing(encoded):
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    for format in ("JPEG", "WEBP"):
        assert decode(encoded(format, xmp=xmp)).image.size == (40, 30)
    assert decode(encoded("TIFF", tiffinfo={700: xmp})).image.size == (40, 30)


def test_info_holds_profile_and_transparency_only(picture, encoded, exif, profile):
    data = encoded("JPEG", exif=exif(6), icc_profile=profile, comment=b"secret", dpi=(300, 300))
    assert open_picture(data).info == {"icc_profile": profile}
    palette = picture().quantize(8)
    assert open_picture(encoded("PNG", palette, transparency=3)).info == {"transparency": 3}


def test_the_first_of_many_pictures_is_decoded(picture, encoded):
    first, second = picture(seed=1), picture("L", seed=2).convert("RGB")
    for format, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("MPO", {"quality": 100})):
        data = encoded(format, first, save_all=True, append_images=[second], **options)
        difference = np.abs(np.asarray(open_picture(data)).astype(int) - np.asarray(first))
        assert difference.mean() <= (2 if format == "MPO" else 0)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "picture-empty"),
        (b"hello, I am a text file\n" * 10, "picture-unknown"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4\nsize 9\n", "picture-pointer"),
        (b"\x89PNG\r\n\x1a\n", "picture-corrupt"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "picture-unsafe"),
        (b"GRIB\0\0\0\1" + bytes(20), "picture-unsafe"),
        (b"\x89HDF\r\n\x1a\n" + bytes(20), "picture-unsafe"),
        (b"\xd7\xcd\xc6\x9a\0\0" + bytes(60), "picture-unsafe"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "picture-unsafe"),
        (declared_png(101, 100), "picture-bomb"),
        (declared_png(2**31 - 1, 2**31 - 1), "picture-bomb"),
        (declared_png(90, 100), "picture-truncated"),
    ],
)
def test_each_refusal_has_its_code(data, code):
    assert code_of(data) == code


def test_gzip_inside_fits_is_refused():
    cards = [b"SIMPLE  = T", b"BITPIX  = 8", b"NAXIS   = 0", b"END"]
    table = [b"XTENSION= 'BINTABLE'", b"BITPIX  = 8", b"NAXIS   = 2", b"NAXIS1  = 8", b"NAXIS2  = 1"]
    table += [b"ZIMAGE  = T", b"ZCMPTYPE= 'GZIP_1  '", b"ZBITPIX = 8", b"ZNAXIS  = 2", b"ZNAXIS1 = 4", b"ZNAXIS2 = 4"]
    blocks = b"".join(b"".join(card.ljust(80) for card in block).ljust(2880) for block in (cards, [*table, b"END"]))
    assert code_of(blocks + bytes(2880)) == "picture-unsafe"


def test_a_truncated_jpeg_is_told_apart_from_a_corrupt_one(encoded):
    data = encoded("JPEG")
    assert code_of(data[: len(data) // 2]) == "picture-truncated"
    png = bytearray(encoded("PNG"))
    place = png.index(b"IDAT") + 8
    png[place : place + 30] = bytes(30)
    assert code_of(bytes(png)) == "picture-corrupt"


def test_the_limit_holds_for_pictures_inside_pictures():
    inner = declared_png(3000, 3000)
    icon = struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(inner), 22) + inner
    assert code_of(icon) == "picture-bomb"
    block = b"ic07" + (len(inner) + 8).to_bytes(4, "big") + inner
    assert code_of(b"icns" + (len(block) + 8).to_bytes(4, "big") + block, 20_000) == "picture-bomb"


def test_the_limit_may_be_above_the_one_of_pillow(monkeypatch, encoded, picture):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    data = encoded("WEBP", picture(size=(60, 40)))
    assert open_picture(data, 2400).size == (60, 40)
    assert code_of(data, 2399) == "picture-bomb"


@pytest.mark.parametrize("action", ["ignore", "default", "error"])
def test_warning_filters_change_nothing(monkeypatch, encoded, action):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(action)
        assert open_picture(encoded("GIF"), 10_000).size == (40, 30)  # Pillow alone would warn: 1200 pixels
        assert code_of(declared_png(101, 100)) == "picture-bomb"
        broken = encoded("JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
        assert decode(broken).orientation is None
    assert not caught


def test_outside_of_decoding_pillow_warns_as_ever(monkeypatch, encoded):
    open_picture(encoded())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 700)
    data = encoded("GIF")
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(data))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(data))


def test_each_thread_has_its_own_limit(encoded):
    data = encoded("JPEG")

    def size_or_code(max_pixels: int) -> object:
        try:
            return open_picture(data, max_pixels).size
        except PictureError as error:
            return error.code

    limits = [10, 10_000] * 100
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(size_or_code, limits))
    assert found == ["picture-bomb", (40, 30)] * 100


def test_the_guard_lets_go_after_an_error():
    with pytest.raises(RuntimeError), guarded(10):
        raise RuntimeError
    with pytest.raises(Image.DecompressionBombError), guarded(10):
        Image.open(io.BytesIO(declared_png(100, 100)))
    with Image.open(io.BytesIO(declared_png(100, 100))) as image:
        assert image.size == (100, 100)


@pytest.mark.parametrize("error", [RecursionError(), MemoryError(), struct.error("x"), KeyError("no"), ValueError()])
def test_whatever_pillow_raises_is_coded(monkeypatch, encoded, error):
    data = encoded("BMP")

    def fail(image: Image.Image) -> None:
        raise error

    monkeypatch.setattr("PIL.BmpImagePlugin.BmpImageFile.load", fail)
    assert code_of(data) == "picture-corrupt"


def test_messages_hold_no_addresses(monkeypatch, encoded):
    data = encoded("BMP")

    def fail(image: Image.Image) -> None:
        raise OSError(f"bad file {io.BytesIO()!r}")

    monkeypatch.setattr("PIL.BmpImagePlugin.BmpImageFile.load", fail)
    with pytest.raises(PictureError) as caught:
        decode(data)
    assert caught.value.message == "It cannot be decoded (OSError: bad file <_io.BytesIO object>)"


def test_plugins_of_other_people_are_not_called(monkeypatch):
    decode_called = []
    monkeypatch.setitem(Image.OPEN, "MINE", (decode_called.append, lambda prefix: True))
    monkeypatch.setattr(Image, "ID", [*Image.ID, "MINE"])
    assert code_of(b"mine, all mine, and no picture of a known kind") == "picture-unknown"
    assert not decode_called


def test_every_format_of_pillow_is_decided_on():
    Image.init()
    refused = {"EPS", "IPTC", "WMF", "BUFR", "GRIB", "HDF5", "MPEG", "FPX", "MIC"}
    ours = set(DECODED_FORMATS) | refused | {"MPO"}
    assert set(Image.OPEN) - ours == set(), "a new plugin: decide whether it is safe"


@given(st.data())
def test_damaged_bytes_raise_nothing_else(encoded, data):
    format = data.draw(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "TGA", "ICO", "JPEG2000"]))
    bytes_ = bytearray(encoded(format))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(bytes_) - 1))
        bytes_[place] = data.draw(st.integers(0, 255))
    damaged = bytes(bytes_[: data.draw(st.integers(0, len(bytes_)))])
    with suppress(PictureError):
        assert decode(damaged, 100_000).image.width > 0


_TRIAL = r"""
    import re, resource, sys
    from pathlib import Path
    from dsetkit.errors import PictureError
    from dsetkit.imaging.probe import probe

    good = bad = 0
    for path in sorted(Path(sys.argv[1]).rglob("*")):
        if path.is_file() and path.name not in (".repo", ".commit"):
            try:
                probe(path.read_bytes())
                good += 1
            except PictureError:
                bad += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of Linux, never less than that of the process before
    if Path("/proc/self/status").exists():
        peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    print(good, bad, peak // 1024)
"""


@pytest.mark.realdata
@pytest.mark.parametrize("action", ["error", "default"])
def test_odd_pictures_are_decoded_or_coded_in_bounded_memory(shared_data: Path, project_root: Path, action: str):
    done = subprocess.run(
        [sys.executable, "-W", action, "-c", textwrap.dedent(_TRIAL), str(shared_data / "odd-images")],
        cwd=project_root,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    good, bad, peak_mib = map(int, done.stdout.split())
    assert (good, bad) == (215, 59)
    assert peak_mib < 1024
    assert done.stderr == ""  # neither warnings nor what libtiff and logging print
