"""Small pictures for pages."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from dsetkit.errors import PictureError
from dsetkit.imaging.decode import open_picture
from dsetkit.imaging.thumbnail import mask_overlay, thumbnail

Encoded = Callable[..., bytes]


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def test_longer_side_is_brought_down_and_nothing_is_enlarged(
    encoded: Encoded, picture: Callable[..., Image.Image]
) -> None:
    large = encoded("JPEG", picture(size=(1600, 900)))
    assert opened(thumbnail(large, 448)).size == (448, 252)
    assert opened(thumbnail(encoded("PNG", picture(size=(40, 30))), 448)).size == (40, 30)
    assert opened(thumbnail(encoded("PNG", picture(size=(3000, 2))), 100)).size == (100, 1)


@pytest.mark.parametrize("size", [(1600, 1200), (701, 503), (449, 300)])
def test_reduced_decoding_shows_what_decoding_it_whole_shows(
    encoded: Encoded, picture: Callable[..., Image.Image], size: tuple[int, int]
) -> None:
    data = encoded("JPEG", picture(size=size), quality=92)
    small = opened(thumbnail(data, 128, quality=95))
    whole = open_picture(data).resize(small.size, Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(small, float) - np.asarray(whole, float)).mean() < 4.0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_is_upright(
    encoded: Encoded, picture: Callable[..., Image.Image], exif: Callable[[int], bytes], orientation: int
) -> None:
    data = encoded("JPEG", picture(size=(640, 480)), exif=exif(orientation))
    small = opened(thumbnail(data, 64, quality=95))
    whole = open_picture(data)
    assert (small.width < small.height) == (whole.width < whole.height)
    reference = whole.resize(small.size, Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(small, float) - np.asarray(reference, float)).mean() < 5.0


@pytest.mark.parametrize("mode", ["L", "RGBA", "LA", "P", "I;16", "CMYK", "1"])
def test_any_mode_becomes_rgb_without_metadata(
    encoded: Encoded, picture: Callable[..., Image.Image], profile: bytes, mode: str
) -> None:
    format = "TIFF" if mode == "CMYK" else "PNG"
    small = opened(thumbnail(encoded(format, picture(mode, (200, 150))), 64))
    assert (small.format, small.mode, small.size) == ("WEBP", "RGB", (64, 48))
    with_profile = opened(thumbnail(encoded("JPEG", picture(size=(200, 150)), icc_profile=profile), 64))
    assert "icc_profile" not in with_profile.info


def test_what_is_too_heavy_is_encoded_more_coarsely() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))
    out = io.BytesIO()
    noise.save(out, "PNG")
    usual = thumbnail(out.getvalue(), 300, quality=72)
    assert thumbnail(out.getvalue(), 300, quality=72, max_bytes=len(usual)) == usual
    assert len(thumbnail(out.getvalue(), 300, quality=72, max_bytes=len(usual) - 1)) < len(usual)


def test_the_same_bytes_each_time(encoded: Encoded, picture: Callable[..., Image.Image]) -> None:
    data = encoded("JPEG", picture(size=(900, 700)))
    assert thumbnail(data, 112) == thumbnail(data, 112)


def test_hostile_bytes_raise_picture_errors_alone(encoded: Encoded, picture: Callable[..., Image.Image]) -> None:
    data = encoded("JPEG", picture(size=(900, 700)))
    for broken in (b"", b"nothing", data[: len(data) // 2], data[:40], data[:2] + data[6:], b"\xff\xd8\xff" * 9):
        with pytest.raises(PictureError) as whole:
            open_picture(broken)
        with pytest.raises(PictureError) as caught:
            thumbnail(broken, 64)
        assert caught.value.code == whole.value.code
    with pytest.raises(PictureError) as caught:
        thumbnail(data, 64, max_pixels=900 * 700 - 1)
    assert caught.value.code == "picture-bomb"
    assert thumbnail(data, 64, max_pixels=900 * 700)


def test_a_mask_is_see_through_outside_half_inside_and_firm_at_its_edge() -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:50] = True
    mask[15:20, 30:35] = False
    overlay = opened(mask_overlay(mask, (10, 200, 30), 100)).convert("RGBA")
    alpha = np.asarray(overlay)[..., 3]
    assert overlay.size == (60, 40)
    assert (alpha > 0).tolist() == mask.tolist()
    assert alpha[20, 40] == 90
    assert alpha[10, 20] == alpha[14, 32] == 235
    assert set(map(tuple, np.asarray(overlay)[mask][:, :3].tolist())) == {(10, 200, 30)}


def test_a_thin_mask_stays_when_it_is_brought_down() -> None:
    mask = np.zeros((800, 800), bool)
    mask[400, :] = True
    overlay = opened(mask_overlay(mask, (0, 0, 0), 200)).convert("RGBA")
    assert overlay.size == (200, 200)
    assert (np.asarray(overlay)[100, :, 3] > 0).all()
