"""Zip and tar archives, read in place as if they were folders, wherever a store has them."""

from __future__ import annotations

import contextlib
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from dsetkit.errors import StorageError
from dsetkit.storage.temporary import ALWAYS_BYTES, MAX_RATIO
from dsetkit.storage.tree import Collector, Entry, Store
from dsetkit.storage.unfold import TemporaryStore, Window, fetched, unfolded, unpacking
from dsetkit.storage.zip_member import Member, member_chunks, read_member

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""What names of files end in that a scan looks into."""

_BLOCK = tarfile.BLOCKSIZE
_DIRECTORY_BYTES = 512 * 1024**2
"""A zip's directory may have so many bytes; a member of it takes about a hundred."""
_HEADER_BYTES = 16 * 1024**2
"""The same for what stands before one member of a tar."""


class ZipStore(Store):
    """Members of a zip archive, each read by its own range."""

    def __init__(self, store: Store, archive: Entry, root: str, members: dict[str, Member]) -> None:
        self.root = root
        self.workers = _workers(store)
        self._store = store
        self._archive = archive
        self._members = members

    def read(self, entry: Entry, length: int | None) -> bytes:
        """See ``Store.read``."""
        return read_member(self._store, self._archive, self.root, self._members[entry.raw], length)

    def read_range(self, entry: Entry, start: int, length: int) -> bytes:
        """See ``Store.read_range``. What stands before has to be unpacked, too, unless nothing is compressed."""
        self.check_range(entry, start, length)
        member = self._members[entry.raw]
        data, at = bytearray(), 0
        for chunk in member_chunks(self._store, self._archive, self.root, member):
            data += chunk[max(0, start - at) : max(0, start + length - at)]
            at += len(chunk)
            if len(data) == length:
                break
        return bytes(data)

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """See ``Store.chunks``."""
        return member_chunks(self._store, self._archive, self.root, self._members[entry.raw])

    def reader(self, entry: Entry) -> Callable[[], bytes]:
        """See ``Store.reader``."""
        return MemberReader(self._store, self._archive, self.root, self._members[entry.raw])


class MemberReader:
    """Reads one member of a zip archive; it carries that member's place and no other's."""

    def __init__(self, store: Store, archive: Entry, root: str, member: Member) -> None:
        self._arguments = (store, archive, root, member, None)

    def __call__(self) -> bytes:
        """All its bytes."""
        return read_member(*self._arguments)


class TarStore(Store):
    """Members of a tar archive that is not compressed, or was unfolded."""

    def __init__(self, store: Store, archive: Entry, root: str, offsets: dict[str, tuple[int, bytes]]) -> None:
        self.root = root
        self.workers = _workers(store)
        self._store = store
        self._archive = archive
        self._offsets = offsets

    def read(self, entry: Entry, length: int | None) -> bytes:
        """See ``Store.read``."""
        return self.reader_of(entry, 0, entry.size_bytes if length is None else min(length, entry.size_bytes))()

    def read_range(self, entry: Entry, start: int, length: int) -> bytes:
        """See ``Store.read_range``."""
        self.check_range(entry, start, length)
        return self.reader_of(entry, start, length)()

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """See ``Store.chunks``."""
        step = 1024 * 1024
        for start in range(0, entry.size_bytes, step):
            yield self.reader_of(entry, start, min(step, entry.size_bytes - start))()

    def reader(self, entry: Entry) -> Callable[[], bytes]:
        """See ``Store.reader``."""
        return self.reader_of(entry, 0, entry.size_bytes)

    def range_reader(self, entry: Entry, start: int, length: int) -> Callable[[], bytes]:
        """See ``Store.range_reader``."""
        self.check_range(entry, start, length)
        return self.reader_of(entry, start, length)

    def reader_of(self, entry: Entry, start: int, length: int) -> TarReader:
        """Reads a range; what it needs to know of this one member, and no other's."""
        offset, header = self._offsets[entry.raw]
        return TarReader(self._store, self._archive, self.root, entry.raw, offset, header, start, length)


class TarReader:
    """Reads a range of one member of a tar, if its header still stands right before it.

    So an archive on a server that was replaced meanwhile is noticed without another request.
    """

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments

    def __call__(self) -> bytes:
        """The bytes."""
        store, archive, root, raw, offset, header, start, length = self._arguments
        with unpacking(root, raw):
            if start:
                return bytes(store.read_range(archive, offset + start, length))
            data: bytes = store.read_range(archive, offset - _BLOCK, length + _BLOCK)
            if data[:_BLOCK] != header:
                raise StorageError(
                    f"{root} has changed since it was scanned", url=root, hint="Run it again when nothing writes there."
                )
            return data[_BLOCK:]


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether a scan looks into this file, by its name."""
    return os.fspath(path).lower().endswith(SUFFIXES)


def walk_archive(
    store: Store, archive: Entry, shown: str, root: str, excluded: Callable[[str], bool], collect: Collector
) -> Store:
    """Takes in the files of an archive that ``store`` has; folders are passed over, links and encrypted members
    become issues.

    ``shown`` is what messages call it, ``root`` what the stat cache does. Raises ``StorageError`` for a file that is no
    archive of its kind, is damaged, or unfolds beyond all measure.
    """
    with unpacking(shown):
        knows_ranges = getattr(store, "knows_ranges", None)
        reach, inside = store, archive
        if knows_ranges is not None and not knows_ranges(archive):
            reach = fetched(store, archive)
        name, limit = archive.raw.lower(), max(ALWAYS_BYTES, MAX_RATIO * archive.size_bytes)
        if name.endswith(".zip"):
            return _walk_zip(reach, inside, shown, root, limit, excluded, collect)
        if not name.endswith(".tar"):
            reach = unfolded(reach, archive, name.rpartition(".")[2], limit, shown)
            inside = archive._replace(size_bytes=reach.size_bytes)
        return _walk_tar(reach, inside, root, excluded, collect)


def _walk_zip(
    store: Store,
    archive: Entry,
    shown: str,
    root: str,
    limit: int,
    excluded: Callable[[str], bool],
    collect: Collector,
) -> ZipStore:
    with zipfile.ZipFile(Window(store, archive, _DIRECTORY_BYTES)) as directory:
        listed = directory.infolist()
    total, end = 0, 0
    for info in sorted(listed, key=lambda info: info.header_offset):
        total += info.file_size
        if info.header_offset < end:
            raise zipfile.BadZipFile(f"members overlap at {info.filename!r}")
        end = info.header_offset + 30 + info.compress_size
    if total > limit:
        raise StorageError(
            f"{shown} unfolds to more than {limit:,} bytes", url=shown, hint="Unpack it by hand if you trust it."
        )
    members: dict[str, Member] = {}
    for info in listed:
        raw = info.filename
        if info.is_dir() or _is_left_out(raw, excluded):
            continue
        if info.flag_bits & 1:
            collect.issue("path-unreadable", raw, "it is encrypted", "Unpack the archive with its password.")
        elif stat.S_ISLNK(info.external_attr >> 16):
            collect.issue("path-special", raw, "it is a link", "Unpack the archive.")
        elif (key := collect.usable(raw)) is not None:
            members.setdefault(raw, Member.of(info))
            mark = f"{archive.stamp} {info.header_offset} {info.CRC:08x}" if archive.stamp else ""
            collect.add(Entry(key, info.file_size, mark, raw, archive.changed_ns))
    return ZipStore(store, archive, root, members)


def _walk_tar(store: Store, archive: Entry, root: str, excluded: Callable[[str], bool], collect: Collector) -> TarStore:
    offsets: dict[str, tuple[int, bytes]] = {}
    window = Window(store, archive, _HEADER_BYTES)
    with contextlib.closing(tarfile.open(fileobj=window, mode="r:")) as opened:
        while (member := opened.next()) is not None:
            opened.members = []  # type: ignore[attr-defined]  # it would keep all of them
            raw = member.name.removeprefix("./")
            if member.isdir() or _is_left_out(raw, excluded):
                continue
            if not member.isreg() or member.issparse():
                collect.issue("path-special", raw, "it is a link or another special member", "Unpack the archive.")
            elif (key := collect.usable(raw)) is not None:
                if raw not in offsets:
                    offsets[raw] = (member.offset_data, window.peek(member.offset_data - _BLOCK, _BLOCK))
                mark = f"{archive.stamp} {member.offset_data}" if archive.stamp else ""
                collect.add(Entry(key, member.size, mark, raw, archive.changed_ns))
    return TarStore(store, archive, root, offsets)


def _is_left_out(raw: str, excluded: Callable[[str], bool]) -> bool:
    parts = raw.split("/")
    if any(part.startswith(".") and part not in (".", "..") for part in parts) or parts[0] == "__MACOSX":
        return True
    return any(excluded("/".join(parts[:end])) for end in range(1, len(parts) + 1))


def _workers(store: Store) -> int:
    """As many as the store takes; where bytes are near, what is compressed keeps the processors busy."""
    near = isinstance(store, TemporaryStore) or store.workers <= 8
    return min(4, os.cpu_count() or 1) if near else store.workers
