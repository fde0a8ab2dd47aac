"""One Parquet file of a folder, on this machine or not, opened by its footer."""

from __future__ import annotations

import io
import os
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dsetkit.snapshots.footer import ENDING_BYTES, Group, footer_size, read_footer
from dsetkit.spec.snapshot import Part
from dsetkit.storage.folder import Folder

_TAIL_BYTES = 64 * 1024
"""What is read of a file's end at once; most footers are shorter."""

_THRIFT: dict[str, int] = {"thrift_string_size_limit": 64 * 1024 * 1024, "thrift_container_size_limit": 10_000_000}


def open_parquet(folder: Folder, part: Part) -> tuple[pq.ParquetFile, tuple[Group, ...]]:
    """The file, and its row groups by the same bytes of its footer, which are read once.

    Pages are held against their checksums when read. Raises ``EncryptedError``, ``OSError``, ``ValueError``,
    ``pyarrow.ArrowException``, ``StorageError``.
    """
    path = folder.local_path(part.name)
    with _RangeFile(folder, part) if path is None else path.open("rb") as file:
        ending = _read_ending(file)
    groups = read_footer(ending[:-ENDING_BYTES])
    opened = pq.ParquetFile(
        pa.PythonFile(_RangeFile(folder, part), "r") if path is None else str(path),
        metadata=pq.ParquetFile(pa.BufferReader(ending), **_THRIFT).metadata,
        pre_buffer=path is None,
        page_checksum_verification=True,
        **_THRIFT,
    )
    return opened, groups


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


class _RangeFile(io.RawIOBase):
    """A file in a folder, read by ranges."""

    def __init__(self, folder: Folder, part: Part) -> None:
        self._folder = folder
        self._part = part
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._part.size_bytes}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        count = max(0, min(len(buffer), self._part.size_bytes - self._position))
        if count:
            buffer[:count] = self._folder.read_range(self._part.name, self._position, count)
            self._position += count
        return count
