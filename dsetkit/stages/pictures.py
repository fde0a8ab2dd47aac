"""The bytes of a picture that stands in a snapshot, as a worker reads them."""

from __future__ import annotations

import hashlib

from dsetkit.errors import SnapshotError
from dsetkit.snapshots.shards import Shards
from dsetkit.spec.arrow import Row

Place = tuple[str, int, int, str]
"""Shard, offset in it, size, digest: where a picture stands in its snapshot."""


def place_of(row: Row) -> Place:
    """Where the picture of a row stands."""
    return row["shard"], row["offset_bytes"], row["size_bytes"], row["digest"]


def read_picture(shards: Shards, place: Place) -> bytes:
    """The picture's bytes from a snapshot's shards.

    Raises ``SnapshotError`` where they are not the ones that the manifest names, ``TamperError`` of sealed ones.
    """
    shard, start, size, digest = place
    data = shards.read(*place)
    if hashlib.sha256(data).hexdigest() != digest:
        raise SnapshotError(
            f"the shard {shard} of {shards.folder.url} is damaged: bytes {start} to {start + size} are not the picture "
            f"{digest[:12]}",
            path=shards.folder.url,
            hint="Make it anew: dvc repro --force STAGE. See what else is damaged: dsetkit verify.",
        )
    return data
