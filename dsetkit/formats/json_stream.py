"""The elements of a JSON list a piece at a time, from text that comes in portions of any size.

Where an element ends is found by counting brackets outside strings; then each piece, put between brackets, is parsed as
the list it must be. JSON is unambiguous, so elements found so are the document's own, whatever the portions were. What
is not proven is no error of the file: ``NotInPieces`` says that it has to be parsed whole, which also finds what is
wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic_core import from_json

PIECE_BYTES = 256 * 1024
"""How much is parsed at a time, at least, unless the list is shorter."""
_WINDOW = 1024 * 1024
"""How much is looked through at a time: what is noted of it takes several times as much."""
_BLANK = b" \t\r\n"
_MARK = b"\xef\xbb\xbf"
_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_STEP = np.zeros(256, np.int64)
_STEP[[ord("["), ord("{")]] = 1
_STEP[[ord("]"), ord("}")]] = -1
_IS_BRACKET = _STEP != 0

Places = npt.NDArray[np.int64]


class NotInPieces(Exception):
    """The document has to be read whole: it is no list, or something is wrong with it."""


class Piece(NamedTuple):
    """Some elements that follow one another."""

    first: int
    """The number of the first, from 0."""
    elements: list[Any]
    text: bytes
    """What they were parsed from, with what stands between them."""
    start: int
    """Where the text begins, in bytes of the file."""


def list_pieces(portions: Iterable[bytes], piece_bytes: int | None = None) -> Iterator[Piece]:
    """The elements of a list, UTF-8 with or without a mark. Raises ``NotInPieces``, also after some pieces."""
    least = PIECE_BYTES if piece_bytes is None else piece_bytes
    scanner, waiting = _Scanner(), bytearray()
    start, first, is_open, is_over = 0, 0, False, False
    for text in _windows(portions):
        if is_over:
            if text.strip(_BLANK):
                raise NotInPieces
            continue
        ends, over = scanner.feed(text)
        ends += len(waiting)
        waiting += text
        cut = 0
        if not is_open:
            cut = _opening(waiting)
            is_open = cut > 0
        while is_open and (at := int(np.searchsorted(ends, cut + least))) < len(ends):
            piece = _parse(first, bytes(waiting[cut : ends[at]]), start + cut)
            first, cut = first + len(piece.elements), int(ends[at])
            yield piece
        if over is not None:
            end = len(waiting) - len(text) + over
            if not is_open or waiting[end - 1 : end] != b"]" or waiting[end:].strip(_BLANK):
                raise NotInPieces
            rest = bytes(waiting[cut : end - 1])
            if rest.strip(_BLANK):
                yield _parse(first, rest, start + cut)
            waiting, is_over = bytearray(), True
            continue
        del waiting[:cut]
        start += cut
    if not is_over:
        raise NotInPieces


def _windows(portions: Iterable[bytes]) -> Iterator[bytes]:
    for portion in portions:
        for at in range(0, len(portion), _WINDOW):
            yield portion[at : at + _WINDOW]


def _opening(text: bytearray) -> int:
    """Where the list's elements begin; 0 where there is not yet enough to see it. Raises ``NotInPieces``."""
    mark = len(_MARK) if text.startswith(_MARK) else 0
    rest = text[mark:].lstrip(_BLANK)
    if not rest or _MARK.startswith(text):
        return 0
    if not rest.startswith(b"["):
        raise NotInPieces
    return len(text) - len(rest) + 1


def _parse(first: int, text: bytes, start: int) -> Piece:
    inner = text.lstrip(_BLANK)
    if first:
        if not inner.startswith(b","):
            raise NotInPieces
        inner = inner[1:]
    if not inner.strip(_BLANK):
        raise NotInPieces
    try:
        elements = from_json(b"".join((b"[", inner, b"]")))
    except (ValueError, RecursionError):
        raise NotInPieces from None
    return Piece(first, elements, text, start)


class _Scanner:
    """Where objects and lists end that are a list's elements; remembers what is open between portions."""

    def __init__(self) -> None:
        self._depth = 0
        self._is_inside = False
        """Whether in a string."""
        self._is_escaped = False
        """Whether the next character is."""

    def feed(self, text: bytes) -> tuple[Places, int | None]:
        """Behind which bytes of ``text`` elements end, and behind which the list ends, if it does."""
        codes = np.frombuffer(text, np.uint8)
        quotes = np.flatnonzero(codes == _QUOTE)
        escaped = self._escaped(codes)
        if escaped is not None:
            quotes = quotes[~escaped[quotes]]
        brackets = np.flatnonzero(_IS_BRACKET[codes])
        is_inside = (np.searchsorted(quotes, brackets) + self._is_inside) % 2 == 1
        self._is_inside ^= len(quotes) % 2 == 1
        brackets = brackets[~is_inside]
        steps = _STEP[codes[brackets]]
        depths = np.cumsum(steps) + self._depth
        self._depth += int(steps.sum())
        over = brackets[(depths <= 0)]
        return brackets[(steps < 0) & (depths == 1)] + 1, int(over[0]) + 1 if len(over) else None

    def _escaped(self, codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_] | None:
        """Which characters have a backslash in front that counts; None where none has."""
        slashes = np.flatnonzero(codes == _BACKSLASH)
        if not len(slashes) and not self._is_escaped:
            return None
        found = np.zeros(len(codes) + 1, np.bool_)
        found[0] = self._is_escaped
        if len(slashes):
            # Of backslashes that follow one another every second is escaped itself.
            runs = np.concatenate(([0], np.flatnonzero(np.diff(slashes) != 1) + 1))
            lengths = np.diff(np.append(runs, len(slashes)))
            numbers = slashes - np.repeat(slashes[runs], lengths)
            if self._is_escaped and slashes[0] == 0:
                numbers[: lengths[0]] += 1
            found[slashes[numbers % 2 == 0] + 1] = True
        self._is_escaped = bool(found[-1])
        return found[:-1]
