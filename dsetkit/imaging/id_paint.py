"""Outlines painted one over the other, to the pixel as scripts do that paint with Pillow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw


def paint_in_order(size: tuple[int, int], rings: Sequence[Sequence[float]]) -> NDArray[np.int32]:
    """Which ring covers each pixel, of shape (height, width): its number from 1 on, the last of several; 0 for none.

    ``size`` is width, height, pixels; a ring is flat x, y, finite and below 2³¹, of two points at least. Pixels are
    those of ``PIL.ImageDraw.polygon``, which takes coordinates without what stands behind the point and paints the
    outline too: whole pixels, so a ring reaches half a pixel further than a polygon of those corners on each side.
    """
    image = Image.new("I", size, 0)
    draw = ImageDraw.Draw(image)
    for number, ring in enumerate(rings, 1):
        points = list(zip(ring[0::2], ring[1::2], strict=True))  # Pillow makes whole numbers of a flat list float32
        draw.polygon(points, fill=number)
    numbers: NDArray[np.int32] = np.asarray(image, np.int32)
    return numbers
