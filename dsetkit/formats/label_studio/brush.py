"""Label Studio's run lengths of brush strokes, into COCO's and back.

What is packed are the bytes of an RGBA picture, row by row, of which the last, alpha, says what is painted. The coding
is ``@thi.ng/rle-pack`` (https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack), each number's highest bit
first: the number of values (32 bits), bits of a value - 1 (5), bits of a count - 1 (4, four times); then codes of 1 bit
(1: one value that repeats, 0: that many values of their own), 2 bits (which of the four counts), the count - 1, the
value or values.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dsetkit.geometry import rle
from dsetkit.spec.arrow import Row

_CHANNELS = 4
_HEAD_BITS = 32 + 5 + 16
_WORD_BITS = 8
_COUNT_BITS = (3, 4, 8, 16)
"""What Label Studio itself writes counts with."""
_AT_ONCE = 1 << 16


def read_brush(data: Sequence[int], width_px: int, height_px: int) -> Row:
    """A mask row of packed bytes, of a picture of that size; what is painted at all, be it faintly, is the object.

    Raises ``ValueError`` before anything is decoded for a size out of bounds or a number of values that is not that of
    the size, and for bytes that end too early or hold too much.
    """
    height, width = rle.check_size([height_px, width_px])
    packed = _packed(data)
    head = int.from_bytes(packed[:7].ljust(7, b"\0"), "big")
    number = head >> 24
    word_bits = (head >> 19 & 31) + 1
    count_bits = [(head >> shift & 15) + 1 for shift in (15, 11, 7, 3)]
    if len(packed) * 8 < _HEAD_BITS:
        raise ValueError("brush strokes without a head")
    if number != _CHANNELS * height * width:
        raise ValueError(f"brush strokes of {number} values, not 4 for each of {width}×{height} pixels")
    painted = np.zeros(height * width, np.bool_)
    _decode(packed, number, word_bits, count_bits, painted)
    return rle.encode(painted.reshape(height, width))


def _packed(data: Sequence[int]) -> bytes:
    try:
        return bytes(data)
    except (TypeError, ValueError):
        raise ValueError("brush strokes are whole numbers from 0 to 255") from None


def _decode(packed: bytes, number: int, word_bits: int, count_bits: Sequence[int], painted: NDArray[np.bool_]) -> None:
    """Sets the pixels whose alpha is not 0. One step a code, however many values it stands for."""
    bits = len(packed) * 8
    padded = packed + bytes(16)
    place, done = _HEAD_BITS, 0
    while done < number:
        # At most 3 + 16 + 32 bits, anywhere in a byte: within 8 bytes.
        window = int.from_bytes(padded[place >> 3 : (place >> 3) + 8], "big") << (place & 7) & 0xFFFFFFFFFFFFFFFF
        size = count_bits[window >> 61 & 3]
        count = (window << 3 & 0xFFFFFFFFFFFFFFFF) >> (64 - size)
        end = done + count + 1
        repeats = window >> 63
        place += 3 + size
        length = word_bits if repeats else word_bits * (count + 1)
        if place + length > bits or end > number:
            raise ValueError("brush strokes that end too early" if end <= number else "brush strokes beyond their size")
        # Alpha is every fourth value: the first of it at or after ``done``.
        first = done + (3 - done) % _CHANNELS
        if first < end:
            pixels = slice(first // _CHANNELS, (end - 1 - 3) // _CHANNELS + 1)
            if repeats:
                value = (window << (3 + size) & 0xFFFFFFFFFFFFFFFF) >> (64 - word_bits)
                if value:
                    painted[pixels] = True
            else:
                painted[pixels] = _words(packed, place, word_bits, count + 1)[first - done :: _CHANNELS] != 0
        place += length
        done = end


def _words(packed: bytes, place: int, word_bits: int, count: int) -> NDArray[np.uint32]:
    """``count`` values from a bit on, uint32."""
    start, end = place >> 3, (place + word_bits * count + 7) >> 3
    bits = np.unpackbits(np.frombuffer(packed[start:end], np.uint8))[place & 7 :]
    words = bits[: word_bits * count].reshape(count, word_bits)
    weights = np.uint32(1) << np.arange(word_bits - 1, -1, -1, dtype=np.uint32)
    return words.astype(np.uint32) @ weights


def write_brush(mask: Row) -> list[int]:
    """The packed bytes of a mask, as Label Studio packs a brush stroke of full strength: all channels 255 or 0.

    Raises ``ValueError`` for a mask that is none.
    """
    painted = rle.decode(mask).ravel()
    number = _CHANNELS * painted.size
    if number >= 1 << 32:
        raise ValueError("a mask too large for Label Studio's run lengths")
    starts = np.concatenate(([0], np.flatnonzero(painted[1:] != painted[:-1]) + 1))
    lengths = np.diff(np.append(starts, painted.size)) * _CHANNELS
    most = 1 << _COUNT_BITS[-1]
    pieces = (lengths + most - 1) // most
    values = np.repeat(painted[starts].astype(np.int64) * 255, pieces)
    counts = np.full(int(pieces.sum()), most, np.int64)
    counts[np.cumsum(pieces) - 1] = lengths - (pieces - 1) * most
    which = np.searchsorted([1 << size for size in _COUNT_BITS], counts)
    sizes = np.array(_COUNT_BITS)[which]
    codes = (((4 + which) << sizes | counts - 1) << _WORD_BITS) | values
    body = [_bits_of(codes[at : at + _AT_ONCE], 3 + sizes[at : at + _AT_ONCE] + _WORD_BITS) for at in _steps(codes)]
    head = number
    for value, size in ((_WORD_BITS - 1, 5), *((size - 1, 4) for size in _COUNT_BITS)):
        head = head << size | value
    head_bits = np.array([head >> shift & 1 for shift in range(_HEAD_BITS - 1, -1, -1)], np.uint8)
    packed: list[int] = np.packbits(np.concatenate((head_bits, *body))).tolist()
    return packed


def _steps(codes: NDArray[np.int64]) -> range:
    return range(0, len(codes), _AT_ONCE)


def _bits_of(codes: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """The last ``sizes`` bits of each code, one behind the other."""
    shifts = sizes[:, None] - 1 - np.arange(3 + _COUNT_BITS[-1] + _WORD_BITS)
    bits: NDArray[np.uint8] = (codes[:, None] >> np.maximum(shifts, 0) & 1)[shifts >= 0].astype(np.uint8)
    return bits
