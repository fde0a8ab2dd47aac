"""A file that a store has, as archives want it: to be read anywhere, unfolded, or fetched whole."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
import zipfile
from collections.abc import Iterator
from typing import IO, cast

from dsetkit.errors import StorageError
from dsetkit.storage.temporary import CHUNK_BYTES, FAULTS, TemporaryBytes, TooLargeError, unpack
from dsetkit.storage.tree import Entry, Store

_NEAR_BYTES = 64 * 1024
"""How much is read ahead of a file on this machine; of others, ``CHUNK_BYTES``."""


class Window(io.RawIOBase):
    """A file of a store that can be read anywhere, a stretch at a time.

    One ``read`` of more than ``limit_bytes`` raises ``ValueError``: a header that claims so much is a fault.
    """

    def __init__(self, store: Store, entry: Entry, limit_bytes: int) -> None:
        super().__init__()
        self._store = store
        self._entry = entry
        self._limit = limit_bytes
        self._ahead = _NEAR_BYTES if store.workers <= 8 else CHUNK_BYTES
        self._at = 0
        self._start = 0
        self._data = b""

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """See ``io.IOBase.seek``. Nothing is read."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._entry.size_bytes}[whence]
        if base + offset < 0:
            raise ValueError("a place before the beginning")
        self._at = base + offset
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """See ``io.RawIOBase.read``; as many bytes as asked for, unless the file ends."""
        left = max(0, self._entry.size_bytes - self._at)
        length = left if size is None or size < 0 else min(size, left)
        if length > self._limit:
            raise ValueError(f"a header claims {length:,} bytes")
        data = self.peek(self._at, length)
        self._at += length
        return data

    def peek(self, start: int, length: int) -> bytes:
        """``length`` bytes from ``start``, wherever the next read begins."""
        end = self._start + len(self._data)
        if not (self._start <= start and start + length <= end):
            ahead = min(max(length, self._ahead), self._entry.size_bytes - start)
            self._data = self._store.read_range(self._entry, start, max(length, ahead)) if length else b""
            self._start = start
        return self._data[start - self._start : start - self._start + length]


class TemporaryStore(Store):
    """One file that has no name; it goes when nobody needs it any more."""

    def __init__(self, held: TemporaryBytes, root: str) -> None:
        self.root = root
        self.workers = min(4, os.cpu_count() or 1)
        self.size_bytes = held.size_bytes
        self._held = held

    def read(self, entry: Entry, length: int | None) -> bytes:
        """See ``Store.read``."""
        return self.read_range(entry, 0, self.size_bytes if length is None else min(length, self.size_bytes))

    def read_range(self, entry: Entry, start: int, length: int) -> bytes:
        """See ``Store.read_range``."""
        self.check_range(entry, start, length)
        data = self._held.read(start, length)
        if len(data) < length:
            raise EOFError("it ends too early")
        return data

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """See ``Store.chunks``."""
        for start in range(0, self.size_bytes, CHUNK_BYTES):
            yield self.read_range(entry, start, min(CHUNK_BYTES, self.size_bytes - start))


def fetched(store: Store, entry: Entry) -> TemporaryStore:
    """A file as it is, brought to this machine. Raises ``StorageError``."""
    held = TemporaryBytes()
    held.fill([store.read(entry, None)])
    return TemporaryStore(held, store.root)


def unfolded(store: Store, entry: Entry, kind: str, limit_bytes: int, shown: str) -> TemporaryStore:
    """What is compressed in a file (``gz``, ``bz2`` or ``xz``), unpacked as it comes in.

    Raises ``StorageError`` for more than ``limit_bytes``, and what the unpackers raise.
    """
    held = TemporaryBytes()
    try:
        held.fill(unpack(cast("IO[bytes]", io.BufferedReader(_Stream(store.chunks(entry)))), kind), limit_bytes)
    except TooLargeError:
        raise StorageError(
            f"{shown} unfolds to more than {limit_bytes:,} bytes",
            url=shown,
            hint="Unpack it by hand if you trust it.",
        ) from None
    return TemporaryStore(held, store.root)


class _Stream(io.RawIOBase):
    """Pieces of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


@contextlib.contextmanager
def unpacking(path: str, member: str = "") -> Iterator[None]:
    """Turns what unpackers raise into ``StorageError``."""
    place = f"{member} of {path}" if member else path
    try:
        yield
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        *FAULTS,
        OverflowError,
        NotImplementedError,
        RecursionError,  # tarfile goes a call deeper for each header that stands before another
    ) as error:
        raise StorageError(
            f"{place} could not be unpacked ({error})", url=path, hint="The archive is damaged; fetch it again."
        ) from error
