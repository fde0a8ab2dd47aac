"""Masks as pictures: which pixels of a small picture are the object, and a mask as a PNG."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dsetkit.imaging.decode import MAX_PIXELS, open_picture
from dsetkit.imaging.encode import encode

_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


def read_mask(data: bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.bool_]:
    """The object's pixels as a bool array of shape (height, width).

    Where the picture has an alpha channel, those not wholly transparent; else those that are not 0 (of a palette
    picture: whose index is not 0; of a colour picture: of which any channel is not). Raises ``PictureError`` as
    ``decode.decode`` does.
    """
    image = open_picture(data, max_pixels)
    if image.mode in _WITH_ALPHA:
        image = image.getchannel(image.getbands()[-1])
    values: NDArray[Any] = np.asarray(image)
    on: NDArray[np.bool_] = (values != 0).any(axis=2) if values.ndim == 3 else values != 0
    return on


def write_mask(array: NDArray[Any], *, level: int = 1) -> bytes:
    """A grey PNG of 8 bits: ``level`` (1 to 255) where the array of shape (height, width) is not 0, else 0."""
    return encode(Image.fromarray((array != 0).astype(np.uint8) * np.uint8(level)), format="png", quality=100)
