"""The members of a tar, by one pass over its headers.

Format: POSIX.1-1988 ustar, pax (POSIX.1-2001, "pax Interchange Format") and GNU tar's long names and large numbers
(https://www.gnu.org/software/tar/manual/html_node/Standard.html). Written anew, as Python's ``tarfile`` follows some
hostile archives without end (negative sizes, headers nested thousands deep) and says nothing of one that is cut off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

BLOCK = 512
MAX_MEMBERS = 2_000_000
_MAX_EXTRA_BYTES = 1024 * 1024
"""A long name or pax header may have so many bytes."""
_MAX_NAME_BYTES = 4096
_REGULAR = b"0\x007"
_READ_AHEAD = 64 * 1024


class Member(NamedTuple):
    """A file in a tar."""

    name: str
    start: int
    """Of its first byte."""
    size: int


class TarError(ValueError):
    """The tar ends too early or is damaged; what came before can be used."""


class TarWalk:
    """Goes through a tar once. ``read(start, length)`` gives bytes of it, as many as asked for."""

    def __init__(self, read: Callable[[int, int], bytes], size: int, ahead: int = _READ_AHEAD) -> None:
        self._read = read
        self._size = size
        self._ahead = ahead
        self._start = 0
        self._data = b""
        self.special = 0
        """How many links and other members that are no files were passed over."""

    def bytes_at(self, start: int, length: int) -> bytes:
        """A stretch; nearly free where it follows what was read last. Raises ``TarError`` where the tar ends before."""
        if start + length > self._size:
            raise TarError(f"it ends at byte {self._size:,}, where byte {start + length:,} was expected")
        offset = start - self._start
        if offset < 0 or offset + length > len(self._data):
            self._data = self._read(start, max(length, min(self._ahead, self._size - start)))
            self._start, offset = start, 0
        return self._data[offset : offset + length]

    def members(self) -> Iterator[Member]:
        """All files, in order. Raises ``TarError`` where it goes on no further, after what could be read."""
        at, count = 0, 0
        name: str | None = None
        size: int | None = None
        while at + BLOCK <= self._size:
            block = self.bytes_at(at, BLOCK)
            if not any(block):
                return
            kind, stated = self._header(block, at)
            length = stated if size is None or kind in b"xgLK" else size
            start = at + BLOCK
            at = start + -(-length // BLOCK) * BLOCK
            if kind in b"xgLK":
                if length > _MAX_EXTRA_BYTES:
                    raise TarError(f"at byte {start - BLOCK:,} stands a name of {length:,} bytes")
                extra = self.bytes_at(start, length)
                if kind == b"L":
                    name = _text(extra.rstrip(b"\0"))
                elif kind == b"x":
                    own_name, own_size = _pax(extra)
                    name, size = own_name or name, size if own_size is None else own_size
                continue
            count += 1
            if count > MAX_MEMBERS:
                raise TarError(f"it has more than {MAX_MEMBERS:,} members")
            if kind in _REGULAR:
                if start + length > self._size:
                    raise TarError(f"it ends at byte {self._size:,}, within {(name or _name(block))[:100]!r}")
                yield Member((name or _name(block))[:_MAX_NAME_BYTES], start, length)
            elif kind != b"5":
                self.special += 1
            name = size = None
        raise TarError(f"it ends at byte {self._size:,} without the zeros that end a tar")

    def _header(self, block: bytes, at: int) -> tuple[bytes, int]:
        """The type, and the size of what follows."""
        stated = _octal(block[148:156])
        unsigned = sum(block) - sum(block[148:156]) + 8 * 32
        if stated != unsigned:
            signed = unsigned - 256 * sum(byte > 127 for byte in block[:148] + block[156:])
            if stated != signed:
                raise TarError(f"at byte {at:,} stands no header of a tar")
        size = _number(block[124:136])
        if size is None or size < 0:
            raise TarError(f"at byte {at:,} stands a header without a size")
        kind = block[156:157]
        return kind, 0 if kind in b"123456" else size


def _name(block: bytes) -> str:
    name = _text(block[:100].partition(b"\0")[0])
    prefix = _text(block[345:500].partition(b"\0")[0]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _octal(field: bytes) -> int | None:
    text = field.partition(b"\0")[0].strip()
    try:
        return int(text, 8) if text.isdigit() else (0 if not text else None)
    except ValueError:
        return None


def _number(field: bytes) -> int | None:
    """A number in octal, or GNU's base 256."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    return None if field[:1] == b"\xff" else _octal(field)


def _pax(data: bytes) -> tuple[str | None, int | None]:
    """``path`` and ``size`` of an extended header: records of ``<length> <name>=<value>\\n``."""
    name: str | None = None
    size: int | None = None
    at = 0
    while at < len(data) and data[at] != 0:
        digits, space, _ = data[at : at + 12].partition(b" ")
        if not space or not digits.isdigit() or int(digits) <= len(digits) + 1 or at + int(digits) > len(data):
            raise TarError("an extended header of it is damaged")
        key, _, value = data[at + len(digits) + 1 : at + int(digits)].removesuffix(b"\n").partition(b"=")
        if key == b"path":
            name = _text(value)
        elif key == b"size":
            if not value.isdigit() or len(value) > 18:
                raise TarError("an extended header of it has no proper size")
            size = int(value)
        at += int(digits)
    return name, size
