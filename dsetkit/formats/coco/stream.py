"""A COCO document a bit at a time: its head (all but the annotations) and its annotations in small pieces.

Parsing 138 MB in pieces takes a third of the time that the whole takes, and a fraction of
the memory: what was parsed last is still in the processor's cache when it is used, and gone before the next comes.

Where the annotations begin and end is guessed by what the text looks like, then proven: the head with a mark in their
place is a JSON document that has the mark as its ``annotations``, and every piece, put between brackets, is one list
of annotations. JSON is unambiguous, so the whole is then the head with these annotations. A guess that is not proven is
no error of the file: ``NotInPieces`` says that the file has to be parsed whole, which also finds what is wrong with it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from typing import Any, cast

from pydantic import TypeAdapter

from dsetkit.formats.coco.document import RawAnnotation, RawFile

PIECE_BYTES = 256 * 1024
"""How much is parsed at a time, at least: as much as stays in a processor's second cache as Python values."""
_TEXT_PIECES = 8
"""How many of them make a piece for another thread: fewer, and the threads wait for each other too often."""

_START = re.compile(rb'"annotations"\s*:\s*\[')
_END = re.compile(rb'\}\s*\](?=\s*(?:,\s*"(?:images|annotations|categories|info|licenses)"\s*:|\}\s*\Z))')
_BETWEEN = re.compile(rb"\}[ \t\r\n]*,[ \t\r\n]*\{")  # what lies between pieces is never parsed: JSON's own white space
_HEAD = TypeAdapter[Any](RawFile)
_PIECE = TypeAdapter[Any](list[list[RawAnnotation]])


class NotInPieces(Exception):
    """The document has to be read whole: it is not plain enough, or something is wrong with it."""


def has_annotations(data: bytes) -> bool:
    """Whether the text speaks of a list of annotations anywhere."""
    return _START.search(data) is not None


class CocoStream:
    """One document. ``head`` is all of it but its annotations, checked as ``document.parse`` does; there is a mark
    where they were.

    Raises ``NotInPieces`` where there are no annotations to be found, or the head is no COCO.
    """

    def __init__(self, data: bytes, piece_bytes: int | None = None) -> None:
        start = _START.search(data)
        end = None if start is None else _END.search(data, start.end())
        if start is None or end is None:
            raise NotInPieces
        self._data = data
        self._piece_bytes = PIECE_BYTES if piece_bytes is None else piece_bytes
        self._start, self._end = start.end(), end.start() + 1
        # Unknown to whoever wrote the file, so it stands where it was put and nowhere else.
        mark = secrets.token_hex(16)
        document = _parse(_HEAD, b"".join((data[: self._start], b'{"%s":0}' % mark.encode(), data[self._end :])))
        if document.get("annotations") != [{mark: 0}]:
            raise NotInPieces
        self.head: dict[str, Any] = document

    def pieces(self) -> Iterator[list[dict[str, Any]]]:
        """The annotations in order, checked. Raises ``NotInPieces`` where one is not what it should be."""
        return self.pieces_of(self._data, self._start, self._end)

    def pieces_of(
        self, text: bytes | memoryview, start: int = 0, end: int | None = None
    ) -> Iterator[list[dict[str, Any]]]:
        """As ``pieces``, of a text that ``texts`` gave."""
        bounds = _bounds(text, start, len(text) if end is None else end, self._piece_bytes)
        return (parse_annotations(text[start:stop]) for start, stop in bounds)

    def texts(self) -> Iterator[memoryview]:
        """The text of the annotations in bigger pieces."""
        bounds = _bounds(self._data, self._start, self._end, _TEXT_PIECES * self._piece_bytes)
        return (memoryview(self._data)[start:stop] for start, stop in bounds)


def _bounds(text: bytes | memoryview, start: int, end: int, least: int) -> Iterator[tuple[int, int]]:
    """Where pieces of at least so many bytes start and end."""
    while start < end:
        found = _BETWEEN.search(text, start + least, end)
        yield start, end if found is None else found.start() + 1
        start = end if found is None else found.end() - 1


def parse_annotations(text: bytes | memoryview) -> list[dict[str, Any]]:
    """Annotations with commas between them. Raises ``NotInPieces``."""
    # Two brackets, as in the document, so that what is nested too deep there is so here. That they hold one list
    # proves that the piece does not close what it stands in.
    lists = _parse(_PIECE, b"".join((b"[[", text, b"]]")))
    if len(lists) != 1:
        raise NotInPieces
    return cast("list[dict[str, Any]]", lists[0])


def list_pieces(data: bytes, piece_bytes: int = PIECE_BYTES) -> Iterator[list[dict[str, Any]]]:
    """The elements of a document that is nothing but a list of annotations, in order, checked.

    Proven as those of ``CocoStream``. Raises ``NotInPieces`` where something is not what it should be.
    """
    text = data.strip(b" \t\r\n")
    if not (text.startswith(b"[") and text.endswith(b"]")):
        raise NotInPieces
    stream = CocoStream.__new__(CocoStream)
    stream._data, stream._piece_bytes, stream._start, stream._end = text, piece_bytes, 1, len(text) - 1
    yield from stream.pieces()


def _parse(adapter: TypeAdapter[Any], data: bytes) -> Any:
    try:
        return adapter.validate_json(data)
    except (ValueError, RecursionError):  # pydantic's ValidationError is a ValueError
        raise NotInPieces from None
