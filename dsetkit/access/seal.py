"""Sealing with the keys of one domain in one epoch (fulfils ``dsetkit.snapshots.sealing.Seal``).

AES-256-SIV (RFC 5297) throughout: deterministic, so that what is equal stays equal within an epoch and is stored once,
and safe where a nonce would be used twice. What a ciphertext is bound to goes in as associated data, each fact a
component of its own. Names and cuts are HMAC-SHA256 with keys of their own.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from dsetkit.access.chunks import SIV_BYTES, ChunkReader, seal_chunks, tampered
from dsetkit.access.keys import DataKey, Secret, Use, label
from dsetkit.access.padme import padded_size

_SIV_KEY_BYTES = 64
"""Of AES-256-SIV: one half for the MAC, one for encryption."""

_KINDS = {"samples": 1, "rejected": 2, "snapshot": 3, "facet": 4, "facet-rows": 5, "scratch": 6, "report": 7}

Padding = Literal["none", "padme"]


class DomainSeal(Secret):
    """Seals and opens for one domain and epoch. Threads may share it."""

    def __init__(self, key: DataKey, *, project: str, domain: str, epoch: int, padding: Padding = "none") -> None:
        """``project`` is its id in hex."""
        self.project = project
        self.domain = domain
        self.epoch = epoch
        self.padding = padding

        def use(name: Use, size_bytes: int = 32) -> bytes:
            return key.use(project, domain, epoch, name, size_bytes)

        self._members = AESSIV(use("members", _SIV_KEY_BYTES))
        self._files = AESSIV(use("files", _SIV_KEY_BYTES))
        self._member_names, self._file_names = use("member-names"), use("file-names")
        self._cuts, self._rows, self._stamps = use("cuts"), use("rows"), use("stamps")
        self._facets = use("facets")
        self._place = (bytes.fromhex(project), domain.encode(), epoch.to_bytes(8, "big"), padding.encode())

    def member_name(self, digest: str) -> str:
        """The name in a shard (64 hex digits) of the picture with this SHA-256."""
        return _mac(self._member_names, bytes.fromhex(digest))

    def member_size(self, size_bytes: int) -> int:
        """How many bytes a picture of so many bytes has when sealed."""
        return SIV_BYTES + (size_bytes if self.padding == "none" else padded_size(size_bytes + 1))

    def seal_member(self, digest: str, data: bytes) -> bytes:
        """A picture's bytes, sealed."""
        if self.padding != "none":
            data = (data + b"\x80").ljust(padded_size(len(data) + 1), b"\0")  # ISO/IEC 7816-4
        return self._members.encrypt(data, self._member_bound(digest))

    def open_member(self, digest: str, data: bytes) -> bytes:
        """The picture's bytes, checked against its SHA-256. Raises ``TamperError``."""
        try:
            opened = self._members.decrypt(data, self._member_bound(digest)) if len(data) >= SIV_BYTES else None
        except InvalidTag:
            opened = None
        if opened is not None and self.padding != "none":
            opened = opened.rstrip(b"\0")[:-1]
        if opened is None or hashlib.sha256(opened).hexdigest() != digest:
            raise tampered("it is not what was sealed here", "a picture of a sealed snapshot") from None
        return opened

    def file_name(self, data: bytes) -> str:
        """A name (64 hex digits) for a file with this plaintext."""
        return _mac(self._file_names, hashlib.sha256(data).digest())

    def seal_file(self, kind: str, name: str, data: bytes) -> bytes:
        """A whole file, sealed in chunks and bound to its kind and name."""
        padded = _as_it_is if self.padding == "none" else padded_size
        return seal_chunks(self._files, self._file_bound(kind, name), _KINDS[kind], data, padded)

    def open_file(self, kind: str, name: str, data: bytes) -> bytes:
        """The plaintext of a whole file. Raises ``TamperError``."""
        view = memoryview(data)
        return self.reader(kind, name, len(data), lambda start, length: bytes(view[start : start + length])).read_all()

    def reader(self, kind: str, name: str, size_bytes: int, read: Callable[[int, int], bytes]) -> ChunkReader:
        """Open a sealed file of ``size_bytes`` by ranges: ``read(start, length)`` gives sealed bytes."""
        subject = f"the sealed file {name or kind}"
        return ChunkReader(self._files, self._file_bound(kind, name), _KINDS[kind], size_bytes, read, subject)

    def draw(self, digest: str) -> str:
        """A keyed hash (64 hex digits) in place of a picture's digest, to cut shards by."""
        return _mac(self._cuts, bytes.fromhex(digest))

    def row_id(self, key: str) -> str:
        """A keyed hash (64 hex digits) of a sample's key."""
        return _mac(self._rows, key.encode())

    def stamp(self, kind: str, text: str) -> str:
        """A keyed hash (64 hex digits) of a text that must be known again but not told: a source's state."""
        return _mac(self._stamps, label(kind.encode(), text.encode()))

    def joined(self, others: tuple[DomainSeal, ...]) -> DomainSeal:
        """The seal for what takes all of these domains together to read: its key is derived of all theirs."""
        seals = sorted((self, *others), key=lambda seal: (seal.domain, seal.epoch))
        material = label(*(seal._facets for seal in seals))
        name = "+".join(f"{seal.domain}.{seal.epoch}" for seal in seals)
        key = DataKey(hashlib.sha256(label(b"dsetkit/1 joined", material)).digest())
        return DomainSeal(key, project=self.project, domain=name, epoch=1, padding=self.padding)

    def _member_bound(self, digest: str) -> list[bytes]:
        return [b"dsetkit member 1", *self._place, bytes.fromhex(self.member_name(digest))]

    def _file_bound(self, kind: str, name: str) -> list[bytes]:
        return [b"dsetkit file 1", *self._place, kind.encode(), name.encode()]


def _mac(key: bytes, data: bytes) -> str:
    return hmac.new(key, data, hashlib.sha256).hexdigest()


def _as_it_is(size_bytes: int) -> int:
    return size_bytes
