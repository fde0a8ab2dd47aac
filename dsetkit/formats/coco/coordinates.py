"""The coordinates of outlines, taken out of the JSON they stand in and read all at once.

Nine tenths of a big COCO file are ``[[12.5, 3.25, ...], [...]]``. A JSON parser takes ten times as long for such a
number as turning its text into a float does. So all that stands between ``[[`` and ``]]`` is cut out, with a mark in
its place: the small rest is parsed as JSON, and where the mark is found there the outlines stood. The numbers are held
against JSON's grammar, and what stands between them against what stands between the first ones, by counting whole
arrays of letters. Whatever is not written in this one way (numbers with an exponent, other white space) is no error:
``take_out`` gives None, and the text is to be parsed as it is.
"""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.formats.annotation_columns import Floats, Ints, Outlines

_Letters = npt.NDArray[np.uint8]
_Marks = npt.NDArray[np.bool_]

_NO_NUMBER = b" \t\r\n,[]"
_COMMA = re.compile(rb"[0-9](,[ \t\r\n]{0,64})")
_NEXT_RING = re.compile(rb"\][ \t\r\n]{0,64},[ \t\r\n]{0,64}\[")
_MARK_BITS = 52  # a whole number that a float64 holds exactly


class TakenOut(NamedTuple):
    """A text without its outlines."""

    rest: bytes
    """The text with ``[[mark]]`` for each of them."""
    mark: bytes
    """A number unknown to whoever wrote the text, so it stands where it was put and nowhere else."""
    texts: list[memoryview]
    """What stood in place of each mark, and one ``]``."""
    outlines: Outlines
    """One for each mark."""

    def put_back(self, text: bytes, number: int) -> bytes:
        """A bit of ``rest`` that holds the mark of one outline, as it was."""
        return text.replace(self.mark, self.texts[number][:-1])


def take_out(text: bytes | memoryview) -> TakenOut | None:
    """All that is ``[[...]]``; None where that is not written as nearly everyone writes it, or is not there."""
    letters = np.frombuffer(text, np.uint8)
    opens, closes = _doubled(letters, b"["), _doubled(letters, b"]")
    if not len(opens) or len(opens) != len(closes):
        return None
    starts, ends = opens + 2, closes + 1
    if (starts >= ends).any() or (ends[:-1] >= opens[1:]).any():
        return None
    view = memoryview(text)
    texts = [view[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
    outlines = _read(b"".join(texts), np.cumsum(ends - starts) - 1)
    if outlines is None:
        return None
    mark = b"%d" % (secrets.randbits(_MARK_BITS) | 1 << _MARK_BITS)
    bounds = zip([0, *closes.tolist()], [*starts.tolist(), len(view)], strict=True)
    return TakenOut(mark.join([view[start:end] for start, end in bounds]), mark, texts, outlines)


def _doubled(letters: _Letters, letter: bytes) -> Ints:
    """Where a letter stands that is followed by itself."""
    is_there = letters == ord(letter)
    return np.flatnonzero(is_there[:-1] & is_there[1:])


def _read(text: bytes, closes: Ints) -> Outlines | None:
    """Numbers with commas between them; ``closes`` are the places of the ``]`` that end outlines, one the last letter.

    Between two rings of an outline is ``], [``.
    """
    letters = np.frombuffer(text, np.uint8)
    is_number = (letters - ord("-")) < 13  # a letter of one: - . / 0 ... 9; that there is no / is seen in the end
    is_last: _Marks = is_number[:-1] > is_number[1:]
    last = np.flatnonzero(is_last)
    brackets = np.flatnonzero(letters == ord("]"))
    gaps = _gaps(text, letters, np.setdiff1d(brackets, closes, assume_unique=True))
    if gaps is None or not is_number[0]:
        return None
    comma, commas, between, inner = gaps
    # Letters that belong to no number are only those of the gaps, and there are as many gaps as numbers: so between two
    # numbers is one of them, whole.
    others = len(text) - int(np.count_nonzero(is_number))
    if (
        commas * comma + len(inner) * between + len(closes) != others
        or commas + len(inner) + len(closes) != len(last)
        or not _is_json(text, letters, is_number, is_last)
    ):
        return None
    sizes = np.diff(last, prepend=-1 - comma) - comma
    sizes[np.searchsorted(last, inner)] += comma - between
    sizes[np.searchsorted(last, closes[:-1])] += comma - 1
    numbers = _floats(text.translate(None, _NO_NUMBER), sizes)
    if numbers is None:
        return None
    ring_ends = np.searchsorted(last, brackets)
    part_ends = np.searchsorted(brackets, closes) + 1
    return Outlines(np.diff(part_ends, prepend=0), np.diff(ring_ends, prepend=0), numbers)


def _gaps(text: bytes, letters: _Letters, inner: Ints) -> tuple[int, int, int, Ints] | None:
    """What stands between numbers: the length of a comma with its white space, how many of those there are, the length
    of what is between two rings, and where that is; None where one of those is not as the first.
    """
    found = _COMMA.search(text)
    if found is None:
        return None
    comma, between = found[1], b""
    if len(inner):
        ring = _NEXT_RING.match(text, int(inner[0]))
        if ring is None or int(inner[-1]) + len(ring[0]) > len(text):
            return None
        between = ring[0]
        if any((letters[inner + place] != letter).any() for place, letter in enumerate(between)):
            return None
    count = len(text) - len(comma) + 1
    is_comma = letters[:count] == comma[0]
    for place, letter in enumerate(comma[1:], 1):
        is_comma &= letters[place : place + count] == letter
    commas = int(np.count_nonzero(is_comma)) - len(inner) * between.count(comma)
    return len(comma), commas, len(between), inner


def _is_json(text: bytes, letters: _Letters, is_number: _Marks, is_last: _Marks) -> bool:
    """Whether numbers, as far as they are floats at all, are JSON's: digits on both sides of a point, no 0 in front."""
    is_point = letters == ord(".")
    if (is_point[:-1] & is_last).any():
        return False
    is_first = np.empty(len(letters), np.bool_)
    is_first[0] = True
    np.greater(is_number[1:], is_number[:-1], out=is_first[1:])
    if b"-" in text:
        is_minus = letters == ord("-")
        is_first[1:] |= is_minus[:-1]
    if (is_first & is_point).any():
        return False
    is_nought = is_first & (letters == ord("0"))
    return not (is_nought[:-1] & ((letters[1:] - ord("0")) < 10)).any()


def _floats(digits: bytes, sizes: Ints) -> Floats | None:
    """Numbers that follow one another, of so many letters each; None where one is no finite float, or is -0."""
    offsets = np.zeros(len(sizes) + 1, np.int32)
    np.cumsum(sizes, out=offsets[1:])
    if offsets[-1] != len(digits):
        return None
    texts = pa.StringArray.from_buffers(len(sizes), pa.py_buffer(offsets), pa.py_buffer(digits))
    try:
        numbers: Floats = pc.cast(texts, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    if not np.isfinite(numbers).all() or (b"-" in digits and (np.signbit(numbers) & (numbers == 0.0)).any()):
        return None
    return numbers
