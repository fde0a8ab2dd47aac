"""One Parquet file of a folder, on this machine or not, plain or sealed, opened by its footer."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dsetkit.snapshots.footer import ENDING_BYTES, Group, footer_size, read_footer
from dsetkit.snapshots.naming import content_name
from dsetkit.snapshots.sealing import FileKind, Seal
from dsetkit.spec.snapshot import Part
from dsetkit.storage.folder import Folder

_TAIL_BYTES = 64 * 1024
"""What is read of a file's end at once; most footers are shorter."""

_THRIFT: dict[str, int] = {"thrift_string_size_limit": 64 * 1024 * 1024, "thrift_container_size_limit": 10_000_000}


def open_parquet(
    folder: Folder, part: Part, seal: Seal | None = None, kind: FileKind = "samples"
) -> tuple[pq.ParquetFile, tuple[Group, ...]]:
    """The file, and its row groups by the same bytes of its footer, which are read once.

    Pages are held against their checksums when read. Of a sealed one nothing is opened but the chunks that are asked
    for. Raises ``EncryptedError``, ``OSError``, ``ValueError``, ``pyarrow.ArrowException``, ``StorageError``,
    ``TamperError``.
    """
    path = folder.local_path(part.name) if seal is None else None
    size = part.size_bytes
    read: Callable[[int, int], bytes] = partial(folder.read_range, part.name)
    if seal is not None:
        sealed = seal.reader(kind, content_name(part.name), size, read)
        size, read = sealed.size_bytes, sealed.read
    with RangeFile(size, read) if path is None else path.open("rb") as file:
        ending = _read_ending(file)
    groups = read_footer(ending[:-ENDING_BYTES])
    opened = pq.ParquetFile(
        pa.PythonFile(RangeFile(size, read), "r") if path is None else str(path),
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
