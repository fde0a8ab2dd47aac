"""A compressed file as it is unpacked, to be read anywhere: in a temporary file, however large it is."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any, cast

from dsetkit.errors import PictureError
from dsetkit.storage.archive import ALWAYS_BYTES, MAX_RATIO

_CHUNK_BYTES = 1024 * 1024
FAULTS = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)
"""What a damaged file raises when it is unpacked."""

_OPENERS: dict[str, Callable[[IO[bytes]], Any]] = {
    "gz": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    "bz2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
}


class Unpacked:
    """What a file unfolds to. Safe to share among threads; gone when nobody needs it any more."""

    def __init__(self, data: bytes, kind: str) -> None:
        """``kind`` is ``gz``, ``bz2`` or ``xz``.

        Raises ``PictureError`` for a file that is damaged, or unfolds to more than 1 GiB and 200 times its size.
        """
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        self._close = weakref.finalize(self, self._file.close)
        limit = max(ALWAYS_BYTES, MAX_RATIO * len(data))
        self.size_bytes = 0
        try:
            for chunk in unpack(io.BytesIO(data), kind):
                self.size_bytes += self._file.write(chunk)
                if self.size_bytes > limit:
                    raise ValueError(f"it unfolds to more than {limit:,} bytes")
            self._file.flush()
        except FAULTS as error:
            self._close()
            raise PictureError(f"what holds it cannot be unpacked ({error})", code="picture-corrupt") from error

    def read(self, start: int, length: int) -> bytes:
        """The bytes of a stretch; fewer where the file ends before."""
        there = max(0, min(length, self.size_bytes - start))  # a lying length must not reserve memory
        data = b""
        while len(data) < there and (more := os.pread(self._file.fileno(), there - len(data), start + len(data))):
            data += more
        return data

    def open(self) -> IO[bytes]:
        """A file of its own place on the same bytes, to be closed by the caller."""
        return cast("IO[bytes]", io.BufferedReader(_Reader(self)))


class _Reader(io.RawIOBase):
    def __init__(self, unpacked: Unpacked) -> None:
        super().__init__()
        self._unpacked = unpacked
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._unpacked.size_bytes}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._unpacked.read(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def unpack(packed: IO[bytes], kind: str) -> Iterator[bytes]:
    """What a file unfolds to, in pieces of a MiB. Raises one of ``FAULTS`` for a damaged one."""
    with _OPENERS[kind](packed) as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
