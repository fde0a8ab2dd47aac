"""A picture measured once, when it enters."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

from PIL import Image

from dsetkit.errors import PictureError
from dsetkit.imaging.decode import MAX_PIXELS, Decoded, decode, header_orientation, open_header
from dsetkit.imaging.exif import orientation_of
from dsetkit.imaging.measure import measure

_SWAPPED = frozenset((5, 6, 7, 8))
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def probe(data: bytes, *, max_pixels: int = MAX_PIXELS) -> dict[str, Any]:
    """Decode a picture wholly, once, and measure it.

    Returns sparse row fields of a sample: ``media_type, width_px, height_px, mode, exif_orientation, phash, sharpness,
    brightness, contrast, channel_mean, channel_std``. Sizes and measures are of the upright picture; ``mode`` is
    Pillow's, as stored; ``exif_orientation`` (1 to 8) is left out where the picture has none.
    Raises ``PictureError`` with the code ``picture-empty``, ``picture-unknown``, ``picture-unsafe``, ``picture-bomb``
    (declares more than ``max_pixels``; not decoded), ``picture-truncated`` or ``picture-corrupt``.
    """
    return fields_of(decode(data, max_pixels))


def fields_of(decoded: Decoded) -> dict[str, Any]:
    """The row fields ``probe`` returns, of a picture that is decoded already."""
    image = decoded.image
    fields: dict[str, Any] = {
        "media_type": decoded.media_type,
        "width_px": image.width,
        "height_px": image.height,
        "mode": image.mode,
    }
    if decoded.orientation is not None:
        fields["exif_orientation"] = decoded.orientation
    return fields | measure(image)


def read_size(source: bytes | BinaryIO) -> tuple[int, int] | None:
    """Width and height in pixels of the upright picture, from the header alone; ``None`` if it cannot be read.

    Quick, decodes no pixels, raises nothing for bad bytes. ``source`` is the bytes (their beginning may do, if the
    header is in it) or a binary file that can seek; the file is left open, its position anywhere.
    """
    header = read_header(source)
    return None if header is None else header[0]


def read_header(source: bytes | BinaryIO) -> tuple[tuple[int, int], int | None] | None:
    """Size as ``read_size`` gives it, and EXIF orientation (1 to 8; ``None`` where the picture has none)."""
    header = _read_header(source)
    if header is None:
        return None
    (width, height), orientation = header
    return ((height, width) if orientation in _SWAPPED else (width, height)), orientation


def stored_size(source: bytes | BinaryIO) -> tuple[int, int] | None:
    """Width and height in pixels as stored, before the EXIF orientation; else as ``read_size``."""
    header = _read_header(source)
    return None if header is None else header[0]


def _read_header(source: bytes | BinaryIO) -> tuple[tuple[int, int], int | None] | None:
    """Stored size, and EXIF orientation."""
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        image = open_header(file)
        size, orientation = image.size, header_orientation(image)
        if image.format == "PNG" and orientation is None:
            orientation = _late_png_orientation(file)
    except (PictureError, OSError):
        return None
    if image.format == "TIFF" and orientation in _SWAPPED:
        return _stored_tiff_size(image), orientation
    return size, orientation


def _stored_tiff_size(image: Image.Image) -> tuple[int, int]:
    """Pillow gives a TIFF's size as it will be after loading, that is upright."""
    width, height = image.size
    return height, width


def _late_png_orientation(file: BinaryIO) -> int | None:
    """The orientation of an eXIf chunk that stands behind the pixels, where Pillow's header does not reach."""
    file.seek(len(_PNG_MAGIC))
    while len(head := file.read(8)) == 8:
        length, name = int.from_bytes(head[:4], "big"), head[4:]
        if name == b"IEND" or length > 0x7FFFFFFF:
            return None
        if name == b"eXIf":
            return orientation_of(file.read(min(length, 1 << 16)))
        file.seek(length + 4, io.SEEK_CUR)
    return None
