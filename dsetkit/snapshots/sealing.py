"""What a snapshot asks of those who hold keys. ``dsetkit.access`` fulfils it; the caller hands it in.

This room knows no cryptography: it knows which bytes are sealed, under which name, and that nothing plain of them is
ever written. Implementations raise ``TamperError`` for bytes that are not what was sealed, ``AccessError`` where there
is no key; they have no ``repr`` that tells anything and cannot be pickled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, Self

from dsetkit.spec.sealed import Seals

FileKind = Literal["samples", "rejected", "snapshot", "facet", "facet-rows", "scratch", "report"]
"""What a sealed file is; a file of one kind is not accepted as one of another."""


class SealedReader(Protocol):
    """A sealed file, opened: its plaintext by ranges."""

    @property
    def size_bytes(self) -> int:
        """Of the plaintext."""
        ...

    def read(self, start: int, length: int) -> bytes:
        """Exactly these bytes of the plaintext. Raises ``TamperError``, ``ValueError`` for a range there is not."""
        ...


class Seal(Protocol):
    """The keys of one domain in one epoch. Threads may share it."""

    @property
    def project(self) -> str:
        """The project's id in hex."""
        ...

    @property
    def domain(self) -> str:
        """The domain's name."""
        ...

    @property
    def epoch(self) -> int:
        """The epoch's number."""
        ...

    @property
    def padding(self) -> Literal["none", "padme"]:
        """Whether sizes are rounded up before sealing."""
        ...

    def member_name(self, digest: str) -> str:
        """The name in a shard (64 hex digits) of the picture with this SHA-256: a keyed hash of it."""
        ...

    def member_size(self, size_bytes: int) -> int:
        """How many bytes a picture of so many bytes has when sealed."""
        ...

    def seal_member(self, digest: str, data: bytes) -> bytes:
        """A picture's bytes, sealed: the same bytes for the same picture, domain and epoch."""
        ...

    def open_member(self, digest: str, data: bytes) -> bytes:
        """The picture's bytes, checked against its SHA-256. Raises ``TamperError``."""
        ...

    def file_name(self, data: bytes) -> str:
        """A name (64 hex digits) for a file with this plaintext: a keyed hash of its SHA-256."""
        ...

    def seal_file(self, kind: FileKind, name: str, data: bytes) -> bytes:
        """A whole file, sealed in chunks. ``name`` is bound to it and must be given again to open it."""
        ...

    def open_file(self, kind: FileKind, name: str, data: bytes) -> bytes:
        """The plaintext of a whole file. Raises ``TamperError``."""
        ...

    def reader(self, kind: FileKind, name: str, size_bytes: int, read: Callable[[int, int], bytes]) -> SealedReader:
        """Open a sealed file of ``size_bytes`` by ranges: ``read(start, length)`` gives sealed bytes."""
        ...

    def draw(self, digest: str) -> str:
        """A keyed hash (64 hex digits) in place of a picture's digest, to cut shards by."""
        ...

    def row_id(self, key: str) -> str:
        """A keyed hash (64 hex digits) of a sample's key, to stand for the key."""
        ...

    def joined(self, others: tuple[Self, ...]) -> Self:
        """The keys of what takes all of these domains together to read; the same in whatever order they are given."""
        ...


class Keys(Protocol):
    """What one identity may open in one project."""

    def seal(self, seals: Seals) -> Seal:
        """The keys of a sealed snapshot, after its signature was checked (see ``check``).

        Raises ``AccessError`` saying who could grant it, ``TamperError`` for a policy, keyring or signature that
        nobody entitled has made.
        """
        ...

    def facet(self, seals: Seals, name: str) -> Seal | None:
        """The keys of a facet; None where this identity does not read it."""
        ...

    def check(self, seals: Seals, document: bytes) -> None:
        """Whether a builder of the stage signed just this ``snapshot.json``, and it is none that was replaced since.

        Raises ``TamperError`` with the reason.
        """
        ...

    def check_place(self, url: str, seals: Seals | None) -> None:
        """Whether a snapshot may stand where it stands; ``seals`` None: it is plain.

        Raises ``TamperError`` where it has to be sealed, or is one of another stage: somebody may have put it in the
        place of the true one.
        """
        ...

    def opened(self, seals: Seals) -> None:
        """Told when a snapshot was opened, for the audit chain."""
        ...
