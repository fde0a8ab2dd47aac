"""Small pictures for pages: a WebP of a picture, and a mask as a see-through PNG to lay over it."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dsetkit.errors import PictureError
from dsetkit.imaging.decode import MAX_PIXELS, header_orientation, open_header, open_picture, upright
from dsetkit.imaging.encode import encode
from dsetkit.imaging.guard import guarded
from dsetkit.imaging.modes import to_mode
from dsetkit.imaging.palette import Color

_JPEG_MAGIC = b"\xff\xd8\xff"
_OVERSAMPLED = 1.5  # a JPEG is decoded at this many times the wanted side at least, so that reducing it stays smooth
_MASK_FILL, _MASK_EDGE = 90, 235  # alpha, 0 to 255
_COVERED = 32  # of 255: a cell of a reduced mask that is covered by an eighth shows, so that thin things stay


def thumbnail(
    data: bytes, max_side_px: int, *, quality: int = 72, max_bytes: int | None = None, max_pixels: int = MAX_PIXELS
) -> bytes:
    """The upright picture in RGB as lossy WebP, its longer side at most ``max_side_px``; a smaller one is not enlarged.

    Where the result is larger than ``max_bytes`` it is encoded once more, at two thirds of ``quality``; that result
    may still be larger. Alpha is put onto white, 16 bits become their upper 8, colour profiles and metadata are left
    out. A JPEG is decoded at an eighth, a quarter or half of its size where that is enough. Deterministic for one
    version of the codecs. Raises ``PictureError`` as ``decode.decode`` does.
    """
    image = to_mode(_open_reduced(data, max_side_px, max_pixels), "RGB")
    longest = max(image.size)
    if longest > max_side_px:
        size = [max(1, round(side * max_side_px / longest)) for side in image.size]
        image = image.resize((size[0], size[1]), Image.Resampling.LANCZOS, reducing_gap=2.0)
    image.info = {}
    made = encode(image, format="webp", quality=quality)
    if max_bytes is not None and len(made) > max_bytes:
        made = encode(image, format="webp", quality=max(1, quality * 2 // 3))
    return made


def mask_overlay(mask: NDArray[np.bool_], color: Color, max_side_px: int) -> bytes:
    """A mask (bool [height, width]) as a PNG to lay over its picture: half see-through inside, a firm edge.

    Brought down to ``max_side_px`` on the longer side; what is not the object is wholly see-through.
    """
    area = Image.fromarray(mask.astype(np.uint8) * 255)
    longest = max(area.size)
    if longest > max_side_px:
        size = [max(1, round(side * max_side_px / longest)) for side in area.size]
        area = area.resize((size[0], size[1]), Image.Resampling.BOX)
    inside = np.pad(np.asarray(area) >= _COVERED, 1)
    core = inside[1:-1, 1:-1] & inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
    levels = inside[1:-1, 1:-1].astype(np.uint8) * 2 - core
    picture = Image.fromarray(levels).convert("P")
    picture.putpalette([0, 0, 0, *color, *color])
    out = io.BytesIO()
    picture.save(out, "PNG", bits=2, compress_level=9, transparency=bytes((0, _MASK_FILL, _MASK_EDGE)))
    return out.getvalue()


def _open_reduced(data: bytes, max_side_px: int, max_pixels: int) -> Image.Image:
    """The upright picture, of a JPEG maybe smaller than it is, but no smaller than asked."""
    if data.startswith(_JPEG_MAGIC):
        image = open_header(io.BytesIO(data))
        if image.format == "JPEG" and image.width * image.height <= max_pixels:
            orientation = header_orientation(image)
            least = max_side_px * _OVERSAMPLED / max(image.size)
            try:
                with guarded(max_pixels):
                    image.draft(image.mode, (max(1, int(image.width * least)), max(1, int(image.height * least))))
                    image.load()
            except PictureError:
                raise
            except Exception:  # Pillow raises nearly any type on damaged bytes; decoding it whole says which it is
                return open_picture(data, max_pixels)
            turned = upright(image, orientation)
            turned.info = {}
            return turned
    return open_picture(data, max_pixels)
