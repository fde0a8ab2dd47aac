"""The pictures in a shard, each held against its digest: a sealed one against that of the row that claims it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import IO

from dsetkit.errors import DsetkitError
from dsetkit.snapshots.sealing import Seal
from dsetkit.snapshots.shards import member_of
from dsetkit.storage.tar import Placed

Place = tuple[int, int, str]
"""Offset, size and digest of a picture, as its row says; of a sealed one no row claims, what is seen of it."""


def look_into(
    path: Path, members: Sequence[Placed], claimed: Collection[Place], seal: Seal | None
) -> tuple[str, set[Place], set[Place]]:
    """The file's digest, the pictures in it, and those of them whose bytes are not what they must be; reads it once.

    ``members`` are those of the file. A sealed picture that is not claimed is in it and cannot be looked at.
    """
    whole = hashlib.sha256()
    expected = _expected(claimed, seal)
    there: set[Place] = set()
    damaged: set[Place] = set()
    with path.open("rb") as file:
        for member in members:
            whole.update(file.read(member.offset_bytes - file.tell()))
            name = member.name.partition(".")[0]
            seen = (member.offset_bytes, member.size_bytes, name)
            place = expected.get(seen, seen)
            there.add(place)
            if seal is None:
                is_right = _hash_member(file, member.size_bytes, whole) == name
            else:
                data = file.read(member.size_bytes)
                whole.update(data)
                is_right = seen not in expected or _opens(seal, place, data)
            if not is_right:
                damaged.add(place)
        while block := file.read(1024 * 1024):
            whole.update(block)
    return whole.hexdigest(), there, damaged


def _expected(claimed: Collection[Place], seal: Seal | None) -> dict[Place, Place]:
    """What is seen of a claimed sealed picture → the picture."""
    found: dict[Place, Place] = {}
    for offset, size, digest in claimed if seal is not None else ():
        try:
            member = member_of(digest, max(0, size), "", seal)
        except DsetkitError:
            continue  # what is no digest is of nothing
        found[offset, member.size_bytes, member.name] = offset, size, digest
    return found


def _opens(seal: Seal, place: Place, data: bytes) -> bool:
    _, size, digest = place
    try:
        return len(seal.open_member(digest, data)) == size
    except DsetkitError:
        return False


def _hash_member(file: IO[bytes], size_bytes: int, whole: hashlib._Hash) -> str:
    own = hashlib.sha256()
    left = size_bytes
    while left and (block := file.read(min(left, 1024 * 1024))):
        whole.update(block)
        own.update(block)
        left -= len(block)
    return own.hexdigest()
