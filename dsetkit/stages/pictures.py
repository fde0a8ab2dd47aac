"""The bytes of a picture that stands in a snapshot, as a worker reads them."""

from __future__ import annotations

import hashlib

from dsetkit.errors import SnapshotError
from dsetkit.spec.arrow import Row
from dsetkit.storage.folder import Folder

Place = tuple[str, int, int, str]
"""Shard, offset in it, size, digest: where a picture stands in its snapshot."""


def place_of(row: Row) -> Place:
    """Where the picture of a row stands."""
    return row["shard"], row["offset_bytes"], row["size_bytes"], row["digest"]


def read_picture(folder: Folder, place: Place) -> bytes:
    """The picture's bytes from a snapshot's folder.

    Raises ``SnapshotError`` where they are not the ones that the manifest names.
    """
    shard, start, size, digest = place
    data = folder.read_range(f"shards/{shard}", start, size)
    if hashlib.sha256(data).hexdigest() != digest:
        raise SnapshotError(
            f"the shard {shard} of {folder.url} is damaged: bytes {start} to {start + size} are not the picture "
            f"{digest[:12]}",
            path=folder.url,
            hint="Make it anew: dvc repro --force STAGE. See what else is damaged: dsetkit verify.",
        )
    return data
