"""Pictures made by the tests themselves."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from dsetkit.imaging.exif import orientation_block


def _picture(mode: str = "RGB", size: tuple[int, int] = (40, 30), seed: int = 0) -> Image.Image:
    """Soft blobs with some noise; no symmetry, so that every turn of it looks different."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(seed).integers(0, 25, (height, width))
    red = 230 * np.exp(-((x - width * 0.25) ** 2 + (y - height * 0.3) ** 2) / (width * height / 12)) + noise
    green = 200 * x / width + noise
    blue = 200 * y / height + noise
    color = Image.fromarray(np.stack([red, green, blue], axis=-1).clip(0, 255).astype(np.uint8))
    if mode == "RGBA":
        color.putalpha(Image.fromarray((x * 255 // width).astype(np.uint8)))
        return color
    if mode == "LA":
        grey = color.convert("LA")
        grey.putalpha(Image.fromarray((x * 255 // width).astype(np.uint8)))
        return grey
    if mode == "I;16":
        return Image.fromarray((green * 250).astype("<u2"))
    if mode == "F":
        return Image.fromarray((green / 250).astype("<f4"))
    if mode == "I":
        return Image.fromarray((green * 100000).astype("<i4"))
    return color.convert(mode)


@pytest.fixture(scope="session")
def picture() -> Callable[..., Image.Image]:
    return _picture


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """Bytes of a picture in a format, as Pillow writes it with the options given."""

    def encoded(format: str = "PNG", image: Image.Image | None = None, **options: Any) -> bytes:
        out = io.BytesIO()
        (image or _picture()).save(out, format, **options)
        return out.getvalue()

    return encoded


@pytest.fixture(scope="session")
def exif() -> Callable[[int], bytes]:
    return lambda orientation: b"Exif\0\0" + orientation_block(orientation)


@pytest.fixture(scope="session")
def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
