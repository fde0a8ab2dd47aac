"""One member of a zip archive, read by ranges (PKWARE APPNOTE 6.3.9, 4.3.7)."""

from __future__ import annotations

import bz2
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from dsetkit.storage.tree import Entry, Store
from dsetkit.storage.unfold import unpacking

_CHUNK_BYTES = 1024 * 1024
_AT_ONCE_BYTES = 8 * 1024 * 1024
"""A member of up to so many bytes (packed) is asked for in one request."""
_HEADER_BYTES = 30
_SLACK_BYTES = 256
"""Extra fields before a member's bytes are rarely longer; what is read too much costs little."""
_SMALL_BYTES = 4096
"""Of kinds whose unpacker knows no limit, so much is unpacked at a time."""


class Member(NamedTuple):
    """Where a member stands, as the archive's directory says."""

    raw: str
    offset: int
    """Of its header."""
    packed_bytes: int
    size_bytes: int
    method: int
    crc: int

    @classmethod
    def of(cls, info: zipfile.ZipInfo) -> Member:
        """As ``zipfile`` read it."""
        return cls(info.filename, info.header_offset, info.compress_size, info.file_size, info.compress_type, info.CRC)


def read_member(store: Store, archive: Entry, root: str, member: Member, length: int | None) -> bytes:
    """A member's bytes, or at most the first ``length``. Raises ``StorageError``."""
    wanted = member.size_bytes if length is None else min(length, member.size_bytes)
    data = bytearray()
    for chunk in member_chunks(store, archive, root, member):
        data += chunk
        if len(data) >= wanted and length is not None:
            break
    return bytes(data[:wanted])


def member_chunks(store: Store, archive: Entry, root: str, member: Member) -> Iterator[bytes]:
    """A member's bytes in pieces. Raises ``StorageError`` where they are not what the directory says they are."""
    if member.size_bytes == member.packed_bytes == 0:
        return
    with unpacking(root, member.raw):
        crc = total = 0
        for chunk in _unpack(_packed(store, archive, member), member.method):
            total += len(chunk)
            if total > member.size_bytes:
                raise ValueError(f"it holds more than the {member.size_bytes:,} bytes it claims")
            crc = zlib.crc32(chunk, crc)
            yield chunk
        if total != member.size_bytes:
            raise ValueError(f"it holds {total:,} bytes, not the {member.size_bytes:,} it claims")
        if crc != member.crc:
            raise ValueError("its checksum is another")


def _packed(store: Store, archive: Entry, member: Member) -> Iterator[bytes]:
    """The packed bytes, in pieces of a few MiB at most."""
    whole = member.packed_bytes if member.packed_bytes <= _AT_ONCE_BYTES else 0
    wanted = _HEADER_BYTES + len(member.raw.encode()) + _SLACK_BYTES + whole
    head = store.read_range(archive, member.offset, min(wanted, archive.size_bytes - member.offset))
    if head[:4] != b"PK\3\4" or len(head) < _HEADER_BYTES:
        raise ValueError("its header is not where the directory says")
    skip = _HEADER_BYTES + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    first = head[skip : skip + member.packed_bytes]
    if first:
        yield first
    start, end = member.offset + skip + len(first), member.offset + skip + member.packed_bytes
    for at in range(start, end, _AT_ONCE_BYTES):
        yield store.read_range(archive, at, min(_AT_ONCE_BYTES, end - at))


def _unpack(pieces: Iterator[bytes], method: int) -> Iterator[bytes]:
    """What is packed, in pieces of a few MiB at most, however much it unfolds to."""
    if method == zipfile.ZIP_STORED:
        yield from pieces
    elif method == zipfile.ZIP_DEFLATED:
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        for piece in pieces:
            rest = piece
            while not inflater.eof and (chunk := inflater.decompress(rest, _CHUNK_BYTES)):
                yield chunk
                rest = inflater.unconsumed_tail
        if not inflater.eof:
            raise ValueError("it ends too early")
    elif method == zipfile.ZIP_BZIP2:
        opened = bz2.BZ2Decompressor()
        for piece in pieces:
            rest = piece
            while not opened.eof and (chunk := opened.decompress(rest, _CHUNK_BYTES)):
                yield chunk
                rest = b""
        if not opened.eof:
            raise ValueError("it ends too early")
    elif method == zipfile.ZIP_LZMA:
        yield from _unpack_slowly(pieces, zipfile.LZMADecompressor().decompress)  # type: ignore[attr-defined]
    else:
        raise NotImplementedError(f"it is packed in a way not known here, number {method}")


def _unpack_slowly(pieces: Iterator[bytes], decompress: Callable[[bytes], bytes]) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), _SMALL_BYTES):
            chunk = decompress(piece[start : start + _SMALL_BYTES])
            if chunk:
                yield chunk
