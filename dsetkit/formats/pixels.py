"""Pictures that stand as bare pixels in a file: a stretch of bytes each, given out as PNG."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from dsetkit.errors import PictureError
from dsetkit.imaging.pixels import pixels_to_png


class PixelForm(NamedTuple):
    """How the bytes of one picture are to be taken: one byte a value, row by row."""

    height_px: int
    """Rows as they are stored."""
    width_px: int
    """Values a row as they are stored."""
    planes: int = 1
    """1: grey. 3: all of red, then all of green, then all of blue."""
    transposed: bool = False
    """Whether what is stored as a row is a column of the picture."""

    @property
    def size_bytes(self) -> int:
        """How many bytes one picture takes."""
        return self.height_px * self.width_px * self.planes

    def to_png(self, data: bytes) -> bytes:
        """A PNG of these pixels. Raises ``PictureError`` where they are more or fewer than the form has, or none."""
        if len(data) != self.size_bytes or not data:
            raise PictureError(
                f"it has {len(data):,} bytes, where {self.width_px}×{self.height_px} px take {self.size_bytes:,}",
                code="picture-corrupt",
            )
        values = np.frombuffer(data, np.uint8).reshape(self.planes, self.height_px, self.width_px)
        pixels = values[0] if self.planes == 1 else values.transpose(1, 2, 0)
        return pixels_to_png(pixels.swapaxes(0, 1) if self.transposed else pixels)


class PixelReader:
    """Reads one picture; it can be handed to another process if ``read`` can."""

    def __init__(self, read: Callable[[], bytes], form: PixelForm) -> None:
        self._read = read
        self._form = form

    def __call__(self) -> bytes:
        """Its bytes, a PNG. Raises ``PictureError`` as ``PixelForm.to_png`` does."""
        return self._form.to_png(self._read())
