"""Pictures in shards, plain or sealed: what their members are called, and their bytes by place."""

from __future__ import annotations

import re

from dsetkit.errors import SnapshotError
from dsetkit.snapshots.sealing import Seal
from dsetkit.storage.folder import Folder
from dsetkit.storage.tar import Member

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_PROBE = "0" * 64


class Shards:
    """Reads pictures out of the shards of one folder. Threads may share it; plain, it is picklable as its folder is."""

    def __init__(self, folder: Folder, seal: Seal | None = None) -> None:
        """``seal`` holds the keys of sealed shards."""
        self.folder = folder
        self.seal = seal

    def read(self, shard: str, start: int, size_bytes: int, digest: str) -> bytes:
        """A picture's bytes by what its row says: file name, offset, its own size and SHA-256; one ranged read.

        Sealed ones are opened and checked against the digest, plain ones are given as they stand there: who needs to
        know checks them. Raises ``TamperError``, ``SnapshotError`` for what is no digest, ``StorageError``,
        ``NotFoundError``.
        """
        name = f"shards/{shard}"
        if self.seal is None:
            return self.folder.read_range(name, start, size_bytes)
        stored = self.folder.read_range(name, start, stored_size(size_bytes, self.seal))
        return self.seal.open_member(_checked(digest), stored)


def member_of(digest: str, size_bytes: int, extension: str, seal: Seal | None) -> Member:
    """Name and size in a shard of a picture; ``extension`` with or without the dot.

    Raises ``SnapshotError`` for what is no digest, where it matters.
    """
    if seal is None:
        return Member(f"{digest}.{extension.removeprefix('.')}", size_bytes)
    return Member(seal.member_name(_checked(digest)), seal.member_size(size_bytes))


def stored_size(size_bytes: int, seal: Seal | None) -> int:
    """How many bytes a picture of so many takes in a shard, without header and filling."""
    return size_bytes if seal is None else seal.member_size(size_bytes)


def draw_of(digest: str, seal: Seal | None) -> str:
    """What shards and parts are cut by at a picture with this SHA-256."""
    return digest if seal is None else seal.draw(_checked(digest))


def is_same(one: Seal | None, other: Seal | None) -> bool:
    """Whether both give the same sealed bytes for the same plain ones; two Nones do."""
    if one is None or other is None:
        return one is other
    said = [(seal.project, seal.domain, seal.epoch, seal.padding, seal.member_name(_PROBE)) for seal in (one, other)]
    return said[0] == said[1]


def _checked(digest: str) -> str:
    """Tables are believed only so far: a row may have anything for a digest."""
    if isinstance(digest, str) and _DIGEST.match(digest):
        return digest
    raise SnapshotError(
        f"a row has {str(digest)[:80]!r} where a digest is to be", path="", hint="See what is damaged: dsetkit verify."
    )
