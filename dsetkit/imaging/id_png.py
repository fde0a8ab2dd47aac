"""Pictures whose pixels are numbers: label maps, of panoptic segmentation and others."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dsetkit.imaging.decode import MAX_PIXELS, open_picture
from dsetkit.imaging.encode import encode
from dsetkit.imaging.palette import Color

MAX_ID = 2**24 - 1
_ONE_CHANNEL = ("1", "L", "I", "I;16", "I;16B", "I;16L")
_INDEXED_LEVEL = 6  # such maps are flat, so that a higher level costs little; fixed, so that bytes do not follow Pillow


def read_ids(data: bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint32]:
    """The number of each pixel, of shape (height, width): R + 256 G + 256² B, or the value where there is one channel.

    Numbers below 0 become 0. Raises ``PictureError`` as ``decode.decode`` does.
    """
    image = open_picture(data, max_pixels)
    if image.mode in _ONE_CHANNEL:
        values: NDArray[Any] = np.asarray(image)
        return np.maximum(values, 0).astype(np.uint32) if values.dtype.kind == "i" else values.astype(np.uint32)
    if image.mode not in ("RGB", "RGBA"):
        image = image.convert("RGB")
    pixels = np.asarray(image)
    ids = pixels[:, :, 2].astype(np.uint32)
    for channel in (1, 0):
        ids <<= 8
        ids |= pixels[:, :, channel]
    return ids


def write_ids(ids: NDArray[np.uint32]) -> bytes:
    """An RGB PNG of an array of shape (height, width) with numbers from 0 to ``MAX_ID``."""
    channels = np.stack([(ids >> shift) & 0xFF for shift in (0, 8, 16)], axis=2).astype(np.uint8)
    return encode(Image.fromarray(channels), format="png", quality=100)


def write_grey_ids(ids: NDArray[Any]) -> bytes:
    """A grey PNG of a uint8 (8 bits) or uint16 (16 bits) array of shape (height, width)."""
    return encode(Image.fromarray(ids), format="png", quality=100)


def write_indexed(ids: NDArray[np.uint8], colors: Sequence[Color]) -> bytes:
    """A PNG with a palette, 8 bits a pixel: ``colors[n]`` (at most 256) is what number ``n`` looks like."""
    image = Image.fromarray(ids)
    image.putpalette([level for color in colors for level in color])
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=_INDEXED_LEVEL, optimize=False, bits=8)
    return out.getvalue()
