"""Sealed files: a header, and the content in chunks of 1 MiB, each AES-256-SIV (RFC 5297).

Layout, numbers big-endian: 8 bytes ``DSETSEAL``, 1 byte version (1), 1 byte kind, 6 zero bytes, 8 bytes size of the
content; then each chunk as SIV (16 bytes) and ciphertext. The content is the size of the plaintext in 8 bytes, the
plaintext, and zeros up to the padded size. Each chunk is bound to project, domain, epoch, kind and name of the file, to
the header, to its number and to how many there are: none can be cut off, moved, swapped or taken from elsewhere.
SIV is deterministic: the same file, sealed again in the same epoch, is the same bytes.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from dsetkit.access.keys import Secret
from dsetkit.errors import TamperError

CHUNK_BYTES = 1024 * 1024
SIV_BYTES = 16
HEADER_BYTES = 24
_SIZE_BYTES = 8
_MAGIC = b"DSETSEAL"
_VERSION = 1
_HELD = 4
"""Chunks held by a reader."""

_HINT = "Fetch it again (under DVC: dvc checkout); if it stays so, somebody altered it: see dsetkit verify."


def tampered(what: str, subject: str) -> TamperError:
    """The error for sealed bytes that are not what was sealed."""
    return TamperError(f"{subject}: {what}", subject=subject, hint=_HINT)


def seal_chunks(cipher: AESSIV, bound: Sequence[bytes], kind: int, data: bytes, padded: Callable[[int], int]) -> bytes:
    """A whole file, sealed. ``bound`` is what it is bound to; ``padded`` gives the size a content is filled up to."""
    content = len(data).to_bytes(_SIZE_BYTES, "big") + data
    content += bytes(padded(len(content)) - len(content))
    header = _MAGIC + bytes([_VERSION, kind]) + bytes(6) + len(content).to_bytes(8, "big")
    count = chunk_count(len(content))
    sealed = [header]
    for index in range(count):
        chunk = content[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
        sealed.append(cipher.encrypt(chunk, _bound(bound, header, index, count)))
    return b"".join(sealed)


def chunk_count(content_bytes: int) -> int:
    """How many chunks a content has; it is never empty, as it begins with its size."""
    return -(-content_bytes // CHUNK_BYTES)


def sealed_size(content_bytes: int) -> int:
    """The size of the sealed file."""
    return HEADER_BYTES + content_bytes + SIV_BYTES * chunk_count(content_bytes)


class ChunkReader(Secret):
    """A sealed file's plaintext by ranges; a few chunks are held. Threads may share it."""

    def __init__(
        self,
        cipher: AESSIV,
        bound: Sequence[bytes],
        kind: int,
        size_bytes: int,
        read: Callable[[int, int], bytes],
        subject: str,
    ) -> None:
        """``read(start, length)`` gives sealed bytes of a file of ``size_bytes``. Raises ``TamperError``."""
        self._cipher = cipher
        self._bound = tuple(bound)
        self._read = read
        self._subject = subject
        self._lock = threading.Lock()
        self._held: OrderedDict[int, bytes] = OrderedDict()
        if size_bytes < HEADER_BYTES + SIV_BYTES + _SIZE_BYTES:
            self._refuse("it is too short to be a sealed file")
        self._header = read(0, HEADER_BYTES)
        if self._header[:16] != _MAGIC + bytes([_VERSION, kind]) + bytes(6):
            self._refuse("it does not begin as a sealed file of its kind")
        content = int.from_bytes(self._header[16:], "big")
        if content < _SIZE_BYTES or sealed_size(content) != size_bytes:
            self._refuse("it does not have the size that it states")
        self._content_bytes = content
        self._count = chunk_count(content)
        self.size_bytes = int.from_bytes(self._chunk(0)[:_SIZE_BYTES], "big")
        """Of the plaintext."""
        if self.size_bytes > content - _SIZE_BYTES:
            self._refuse("it has less than it states")

    def read(self, start: int, length: int) -> bytes:
        """Exactly these bytes of the plaintext. Raises ``TamperError``, ``ValueError`` for a range there is not."""
        if not 0 <= start <= start + length <= self.size_bytes:
            raise ValueError(f"no bytes {start} to {start + length} in {self.size_bytes}")
        return self._content(start + _SIZE_BYTES, length)

    def read_all(self) -> bytes:
        """The plaintext, and a look at the filling after it."""
        data = self.read(0, self.size_bytes)
        used = _SIZE_BYTES + self.size_bytes
        if any(self._content(used, self._content_bytes - used)):
            self._refuse("its filling is not zero")
        return data

    def _content(self, start: int, length: int) -> bytes:
        parts = []
        end = start + length
        while start < end:
            index, within = divmod(start, CHUNK_BYTES)
            part = self._chunk(index)[within : within + end - start]
            parts.append(part)
            start += len(part)
        return b"".join(parts)

    def _chunk(self, index: int) -> bytes:
        with self._lock:
            if index in self._held:
                self._held.move_to_end(index)
                return self._held[index]
        start = index * CHUNK_BYTES
        length = min(CHUNK_BYTES, self._content_bytes - start) + SIV_BYTES
        data = self._read(HEADER_BYTES + start + index * SIV_BYTES, length)
        try:
            if len(data) != length:
                raise InvalidTag
            opened = self._cipher.decrypt(data, _bound(self._bound, self._header, index, self._count))
        except InvalidTag:
            self._refuse(f"part {index + 1} of {self._count} is not what was sealed here")
        with self._lock:
            self._held[index] = opened
            while len(self._held) > _HELD:
                self._held.popitem(last=False)
        return opened

    def _refuse(self, what: str) -> NoReturn:
        raise tampered(what, self._subject) from None


def _bound(bound: Sequence[bytes], header: bytes, index: int, count: int) -> list[bytes]:
    return [*bound, header, index.to_bytes(8, "big"), count.to_bytes(8, "big")]
