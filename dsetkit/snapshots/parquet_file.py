"""One Parquet file of a folder, on this machine or not, plain or sealed, opened by its footer."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from dsetkit.snapshots.footer import ENDING_BYTES, Group, footer_size, read_footer
from dsetkit.snapshots.naming import content_name
from dsetkit.snapshots.sealing import FileKind, Seal
from dsetkit.spec.snapshot import Part
from dsetkit.storage.folder import Folder

_TAIL_BYTES = 64 * 1024
"""What is read of a file's end at once; most footers are shorter."""

_HOLE_BYTES, _SPAN_BYTES = 8 * 1024, 32 * 1024 * 1024
"""Reads so far apart are made one, as long as it is not longer; pyarrow's own measures."""

_THRIFT: dict[str, int] = {"thrift_string_size_limit": 64 * 1024 * 1024, "thrift_container_size_limit": 10_000_000}


def open_parquet(
    folder: Folder,
    part: Part,
    seal: Seal | None = None,
    kind: FileKind = "samples",
    stored: Callable[[int, int], bytes] | None = None,
) -> OpenParquet:
    """The file, and its row groups by the same bytes of its footer, which are read once.

    Pages are held against their checksums when read. Of a sealed one nothing is opened but the chunks that are asked
    for; ``stored`` reads its bytes. Raises ``EncryptedError``, ``OSError``, ``ValueError``,
    ``pyarrow.ArrowException``, ``StorageError``, ``TamperError``.
    """
    path = folder.local_path(part.name) if seal is None else None
    size = part.size_bytes
    read = stored or partial(folder.read_range, part.name)
    if seal is not None:
        sealed = seal.reader(kind, content_name(part.name), size, read)
        size, read = sealed.size_bytes, sealed.read
    with RangeFile(size, read) if path is None else path.open("rb") as file:
        ending = _read_ending(file)
        size = file.seek(0, os.SEEK_END)
    held = Held(read)
    groups = read_footer(ending[:-ENDING_BYTES])
    metadata = pq.ParquetFile(pa.BufferReader(ending), **_THRIFT).metadata

    def reopen(dictionaries: Sequence[str] | None = None) -> pq.ParquetFile:
        return pq.ParquetFile(
            pa.PythonFile(RangeFile(size, held.read), "r") if path is None else str(path),
            metadata=metadata,
            read_dictionary=dictionaries,
            pre_buffer=False,  # `held` does that, and no thread of Arrow's may call Python while a process ends
            page_checksum_verification=True,
            **_THRIFT,
        )

    return OpenParquet(reopen(), groups, size, held, reopen, path is not None)


class OpenParquet(NamedTuple):
    """One file, open."""

    file: pq.ParquetFile
    groups: tuple[Group, ...]
    size_bytes: int
    held: Held
    """Its bytes."""
    reopen: Callable[[Sequence[str] | None], pq.ParquetFile]
    """The file again, texts of these columns left as dictionaries."""
    is_on_disk: bool
    """Whether pyarrow reads it by itself, past ``held``."""


class Held:
    """Bytes of a file, some of them held for a while, so that they are fetched once though looked at twice."""

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._read = read
        self._spans: list[tuple[int, bytes]] = []

    def read(self, start: int, length: int) -> bytes:
        """Just these bytes."""
        for at, data in self._spans:
            if at <= start and start + length <= at + len(data):
                return data[start - at : start - at + length]
        return self._read(start, length)

    @contextmanager
    def holding(self, ranges: Iterable[tuple[int, int]]) -> Iterator[None]:
        """Hold what is from starts to before ends meanwhile; what is close together is fetched by one read."""
        spans: list[tuple[int, int]] = []
        for start, end in sorted(ranges):
            if spans and start - spans[-1][1] <= _HOLE_BYTES and end - spans[-1][0] <= _SPAN_BYTES:
                spans[-1] = (spans[-1][0], max(spans[-1][1], end))
            else:
                spans.append((start, end))
        try:
            self._spans = [(start, self._read(start, end - start)) for start, end in spans]
            yield
        finally:
            self._spans = []


def _read_ending(file: Any) -> bytes:
    """The footer and what follows it."""
    size = file.seek(0, os.SEEK_END)
    start = file.seek(max(0, size - _TAIL_BYTES))
    tail: bytes = file.read(size - start)
    length = footer_size(tail[-ENDING_BYTES:]) + ENDING_BYTES
    if length > size:
        raise ValueError("its footer is longer than the file")
    if length > len(tail):
        file.seek(size - length)
        tail = file.read(length - len(tail)) + tail
    return tail[-length:]


class RangeFile(io.RawIOBase):
    """A file of a known size, read by ranges."""

    def __init__(self, size_bytes: int, read: Callable[[int, int], bytes]) -> None:
        self._size_bytes = size_bytes
        self._read = read
        self._position = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As ``io.IOBase.seek``."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size_bytes}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        """As ``io.RawIOBase.readinto``."""
        count = max(0, min(len(buffer), self._size_bytes - self._position))
        if count:
            buffer[:count] = self._read(self._position, count)
            self._position += count
        return count
