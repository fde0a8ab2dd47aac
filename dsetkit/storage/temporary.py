"""Bytes in a file that has no name, to be read anywhere; and what is compressed, unfolded into one within a limit."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tempfile
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, cast

CHUNK_BYTES = 1024 * 1024
"""How much is read, unfolded and written at a time."""

FAULTS = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)
"""What a damaged file raises when it is unfolded."""

MAX_RATIO = 200
ALWAYS_BYTES = 1024**3
"""What comes from elsewhere may unfold to this, or to ``MAX_RATIO`` times its size if that is more."""

_OPENERS: dict[str, Callable[[IO[bytes]], Any]] = {
    "gz": lambda file: gzip.GzipFile(fileobj=file, mode="rb"),
    "bz2": bz2.BZ2File,
    "xz": lzma.LZMAFile,
}
_OPENERS |= {f"t{kind}": opener for kind, opener in _OPENERS.items()}


class TooLargeError(ValueError):
    """Something unfolds to more than it may."""


class TemporaryBytes:
    """A nameless file. Safe to share among threads once it is written; gone when nobody needs it any more."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        # Not __del__: of things that only refer to each other, Python may let the file go first, and complains.
        self.close = weakref.finalize(self, self._file.close)
        """Let it go at once."""
        self.size_bytes = 0

    def fill(self, chunks: Iterable[bytes], limit_bytes: int | None = None) -> None:
        """Write all of it. Raises ``TooLargeError`` for more than ``limit_bytes``, and what ``chunks`` raise.

        The file is gone then.
        """
        try:
            for chunk in chunks:
                self.size_bytes += self._file.write(chunk)
                if limit_bytes is not None and self.size_bytes > limit_bytes:
                    raise TooLargeError(f"it unfolds to more than {limit_bytes:,} bytes")
            self._file.flush()
        except BaseException:
            self.close()
            raise

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
    def __init__(self, held: TemporaryBytes) -> None:
        super().__init__()
        self._held = held
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._held.size_bytes}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._held.read(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def unpack(packed: IO[bytes], kind: str) -> Iterator[bytes]:
    """What a file (``gz``, ``bz2``, ``xz``; of tars ``tgz``, ...) unfolds to, in pieces of ``CHUNK_BYTES``.

    Raises one of ``FAULTS`` for a damaged one.
    """
    with _OPENERS[kind](packed) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
