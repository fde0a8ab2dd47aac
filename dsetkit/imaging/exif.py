"""The one EXIF value that changes what a picture looks like: its orientation.

Read from the bytes, not with ``Image.getexif``, which parses all of a hostile block and falls back to XMP. Format:
TIFF 6.0 (header, image file directory of 12-byte entries), tag 274 ``Orientation``, as embedded by Exif 2.32.
"""

from __future__ import annotations

import struct

_PREFIX = b"Exif\0\0"
_ORIENTATION = 274
_VALUE_FORMATS = {1: "B", 3: "H", 4: "I"}  # BYTE, SHORT (the only right one), LONG


def find_orientation(exif: bytes) -> tuple[int, int, str] | None:
    """Value, offset and ``struct`` format of the first orientation in an EXIF block (with or without ``Exif\\0\\0``).

    ``None`` where there is none or the block is damaged. The value is as stored and may be invalid.
    """
    start = len(_PREFIX) if exif.startswith(_PREFIX) else 0
    order = {b"II": "<", b"MM": ">"}.get(exif[start : start + 2])
    if order is None:
        return None
    try:
        magic, directory = struct.unpack_from(order + "HI", exif, start + 2)
        if magic != 42:
            return None
        (entries,) = struct.unpack_from(order + "H", exif, start + directory)
        for index in range(entries):
            place = start + directory + 2 + 12 * index
            tag, kind, count = struct.unpack_from(order + "HHI", exif, place)
            if tag == _ORIENTATION:
                form = _VALUE_FORMATS.get(kind)
                if form is None or count != 1:
                    return None
                return struct.unpack_from(order + form, exif, place + 8)[0], place + 8, order + form
    except struct.error:
        return None
    return None


def orientation_of(exif: bytes | None) -> int | None:
    """The orientation, 1 to 8; ``None`` where there is none or an invalid one (0, 9, ...)."""
    found = find_orientation(exif) if exif else None
    return found[0] if found is not None and 1 <= found[0] <= 8 else None


def with_orientation_one(exif: bytes) -> bytes:
    """The same block, its orientation (if it has one) set to 1 in place; all else stays as it is."""
    found = find_orientation(exif)
    if found is None:
        return exif
    _, offset, form = found
    one = struct.pack(form, 1)
    return exif[:offset] + one + exif[offset + len(one) :]


def orientation_block(orientation: int) -> bytes:
    """The smallest EXIF block (without ``Exif\\0\\0``) that says an orientation and nothing else."""
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, _ORIENTATION, 3, 1, orientation, 0, 0)
