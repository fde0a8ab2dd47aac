"""Bare pixels as a picture file."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dsetkit.imaging.encode import encode


def pixels_to_png(pixels: NDArray[Any]) -> bytes:
    """A PNG of a uint8 array of shape (height, width), grey, or (height, width, 3), RGB; nothing is lost.

    The same bytes for the same pixels, for one version of the codecs. Raises ``ValueError`` for another shape or dtype
    and where there is no pixel.
    """
    grey_or_rgb = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)
    if pixels.dtype != np.uint8 or not grey_or_rgb or pixels.size == 0:
        raise ValueError(f"no picture is an array of {pixels.dtype} of shape {pixels.shape}")
    return encode(Image.fromarray(np.ascontiguousarray(pixels)), format="png", quality=100)
