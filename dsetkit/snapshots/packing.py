"""Shards into a build folder: linked from where they are known, packed where they are new."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from dsetkit.errors import CheckError, StorageError
from dsetkit.snapshots.leftovers import leftovers
from dsetkit.snapshots.naming import SHARDS
from dsetkit.snapshots.sealing import Seal
from dsetkit.snapshots.shards import member_of
from dsetkit.snapshots.sound import SoundFiles
from dsetkit.spec.issue import Issue
from dsetkit.spec.snapshot import Part
from dsetkit.storage.atomic import link_or_copy, sync_folder
from dsetkit.storage.folder import Folder, LocalFolder
from dsetkit.storage.tar import Member, check_shard, layout, shard_size_bytes, write_shard


class PictureBytes(NamedTuple):
    """A picture to be packed."""

    digest: str
    """SHA-256 of its bytes, in hex."""
    size_bytes: int
    extension: str
    """Of its member in the shard, with or without the dot: ``.jpg``."""
    read: Callable[[], bytes]
    """Gives the bytes; called only when the shard must be packed anew."""

    def member(self, seal: Seal | None = None) -> Member:
        """Name and size in a shard."""
        return member_of(self.digest, self.size_bytes, self.extension, seal)


class ShardSource(Protocol):
    """Where shards may be linked from: a ``Snapshot`` is one."""

    @property
    def folder(self) -> Folder:
        """The snapshot's files."""
        ...

    def iter_shard_members(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each shard's file name and the names of its members in order.

        Sealed ones have names by the keys of their domain and epoch, so what is sealed otherwise is never linked.
        """
        ...


class Placed(NamedTuple):
    """A shard that is in the build folder."""

    part: Part
    offsets: dict[str, int]
    """Digest of a picture → where its bytes start."""
    is_new: bool
    """It was packed, not linked."""


class Packer:
    """Puts the shards of one snapshot into ``<build>/shards``."""

    def __init__(self, build: Path, memory: Sequence[ShardSource], sound: SoundFiles, seal: Seal | None = None) -> None:
        """Finished shards of a killed run in ``build`` are reused, those that ``memory`` has are linked if sound.

        ``seal`` seals what is packed.
        """
        self.shards: dict[str, Part] = {}
        """All that are in the snapshot, by name, in order."""
        self.statistics: dict[str, int] = {"shards_total": 0, "shards_linked": 0, "shards_packed": 0, "bytes_packed": 0}
        self._build = build
        self._sound = sound
        self._seal = seal
        self._known: dict[bytes, tuple[Folder, str]] = {}
        here = LocalFolder(build)
        for shard, _ in leftovers(build, seal):
            self._known[_signature(member.name for member in check_shard(shard))] = here, shard.name
        for source in reversed(memory):  # the first one wins, and a memory over a leftover: its file is shared
            for name, members in source.iter_shard_members():
                self._known[_signature(members)] = source.folder, name
        (build / SHARDS).mkdir(parents=True, exist_ok=True)

    def place(self, pictures: Sequence[tuple[str, PictureBytes]]) -> Placed:
        """Bring one shard into the folder. ``pictures``: key and picture, each digest once.

        Raises ``CheckError`` naming the key of a picture whose bytes are not those of its digest, ``StorageError``.
        """
        members = [picture.member(self._seal) for _, picture in pictures]
        linked = self._link(members)
        part = self._pack(pictures, members) if linked is None else linked
        if part.name not in self.shards:
            self.shards[part.name] = part
            self.statistics["shards_total"] += 1
            self.statistics["shards_linked"] += linked is not None
            if linked is None:
                self.statistics["shards_packed"] += 1
                self.statistics["bytes_packed"] += part.size_bytes
        offsets = dict(zip([picture.digest for _, picture in pictures], layout(members), strict=True))
        return Placed(part, offsets, linked is None)

    def carry(self, folder: Folder, shards: Sequence[Part]) -> bool:
        """Bring whole shards of a snapshot into the folder; False, and nothing done, unless all can be linked."""
        paths = [folder.local_path(shard.name) for shard in shards]
        for shard, path in zip(shards, paths, strict=True):
            if path is None or path.stat().st_size != shard.size_bytes or not self._sound.is_sound(folder, shard.name):
                return False
        for shard, path in zip(shards, paths, strict=True):
            assert path is not None
            self.shards[shard.name] = shard
            if path != self._build / shard.name:
                link_or_copy(path, self._build / shard.name)
        self.statistics["shards_total"] += len(shards)
        self.statistics["shards_linked"] += len(shards)
        return True

    def _link(self, members: Sequence[Member]) -> Part | None:
        """The shard with just these members, linked from where it is known; None where it is nowhere, or not whole."""
        known = self._known.get(_signature(member.name for member in members))
        if known is None:
            return None
        folder, file_name = known
        name = f"{SHARDS}/{file_name}"
        size = shard_size_bytes(members)
        path = folder.local_path(name)
        try:
            if path is None or folder.size_bytes(name) != size:
                return None
            if [(member.name, member.size_bytes) for member in check_shard(path)] != [*members]:
                return None
        except StorageError:
            return None
        digest = file_name.removesuffix(".tar")
        target = self._build / name
        if name not in self.shards:
            if not self._sound.is_sound(folder, name):
                if path == target:  # of a killed run; the machine may have gone down with it
                    path.unlink()
                return None
            if path != target:
                link_or_copy(path, target)
        return Part(name=name, digest=digest, size_bytes=size, rows=len(members))

    def _pack(self, pictures: Sequence[tuple[str, PictureBytes]], members: Sequence[Member]) -> Part:
        temporary = self._build / SHARDS / "open.tar"
        digest, size = write_shard(temporary, members, lambda index: self._read(*pictures[index]))
        name = f"{SHARDS}/{digest}.tar"
        os.replace(temporary, self._build / name)
        sync_folder(self._build / SHARDS)
        self._known[_signature(member.name for member in members)] = LocalFolder(self._build), f"{digest}.tar"
        return Part(name=name, digest=digest, size_bytes=size, rows=len(members))

    def _read(self, key: str, picture: PictureBytes) -> bytes:
        """What is packed of a picture."""
        data = _read_checked(key, picture)
        return data if self._seal is None else self._seal.seal_member(picture.digest, data)


def _signature(names: Iterable[str]) -> bytes:
    """Of the members' names without extensions: a manifest does not know those for sure, the shard's own headers do."""
    state = hashlib.sha256()
    for name in names:
        state.update(name.partition(".")[0].encode())
    return state.digest()


def _read_checked(key: str, picture: PictureBytes) -> bytes:
    data = picture.read()
    if len(data) != picture.size_bytes or hashlib.sha256(data).hexdigest() != picture.digest:
        message = f"its {len(data)} bytes are not those of the digest {picture.digest}"
        raise CheckError(
            f"the picture of {key!r} is damaged: {message}",
            hint="Fetch what it was read from again (under DVC: dvc checkout), or update the source's lock.",
            issues=(Issue(code="picture-damaged", message=message, key=key),),
        )
    return data
