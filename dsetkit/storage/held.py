"""Pictures that lie inside other files (a table, an array, JSON) as entries of a tree, as if they were files.

tree, there = holding(tree, [HeldPicture("0.png", "images.idx", read)], containers=tree, version="1")
tree.read("0.png")
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

from dsetkit.errors import PictureError
from dsetkit.spec.issue import Issue
from dsetkit.storage.tree import Collector, Entry, Store, Tree

T = TypeVar("T")

LARGEST_BYTES = 2 * 1024**3
"""A picture that its container says is larger is left out."""
KEPT = 4
"""How many containers that have to be opened whole are kept open in a process."""


class HeldPicture(NamedTuple):
    """A picture inside a file."""

    path: str
    """Its key: a relative path with the ending of what ``read`` gives; a name made up by a stated rule."""
    container: str
    """The file that holds it, a path in the tree of labels."""
    read: Callable[[], bytes]
    """Gives the whole picture's bytes, always the same; picklable, small, safe in several threads at a time.

    ``Tree.range_reader`` and ``picked`` make such ones. It raises ``PictureError`` where the bytes are no picture that
    could be told of; then it counts as empty. A container that changed meanwhile raises ``StorageError`` by itself.
    """
    size_bytes: int | None = None
    """How large it is, about; None where that is not known before it is read."""


class HeldStore(Store):
    """Another store's files, and pictures held in files."""

    def __init__(self, base: Store, readers: dict[str, Callable[[], bytes]]) -> None:
        self.root = base.root
        self.workers = base.workers
        self._base = base
        self._readers = readers

    def read(self, entry: Entry, length: int | None) -> bytes:
        """See ``Store.read``."""
        read = self._readers.get(entry.raw)
        if read is None:
            return self._base.read(entry, length)
        return HeldReader(read)()[:length]

    def read_range(self, entry: Entry, start: int, length: int) -> bytes:
        """See ``Store.read_range``."""
        if entry.raw not in self._readers:
            return self._base.read_range(entry, start, length)
        data = self.read(entry, None)
        self.check_range(entry._replace(size_bytes=len(data)), start, length)
        return data[start : start + length]

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """See ``Store.chunks``."""
        if entry.raw not in self._readers:
            return self._base.chunks(entry)
        return iter((self.read(entry, None),))

    def reader(self, entry: Entry) -> Callable[[], bytes]:
        """See ``Store.reader``."""
        read = self._readers.get(entry.raw)
        return self._base.reader(entry) if read is None else HeldReader(read)

    def range_reader(self, entry: Entry, start: int, length: int) -> Callable[[], bytes]:
        """See ``Store.range_reader``."""
        if entry.raw not in self._readers:
            return self._base.range_reader(entry, start, length)
        return super().range_reader(entry, start, length)


class HeldReader:
    """Reads one picture; empty where it cannot be had."""

    def __init__(self, read: Callable[[], bytes]) -> None:
        self._read = read

    def __call__(self) -> bytes:
        """Its bytes."""
        try:
            return self._read()
        except PictureError:
            return b""


def holding(
    tree: Tree, pictures: Iterable[HeldPicture], *, containers: Tree, version: str
) -> tuple[Tree, frozenset[str]]:
    """The tree with these pictures in it, and their paths; ``containers`` is the tree their containers are in.

    A file that is there comes before a picture of the same path. What is left out becomes an issue of the tree:
    ``path-unusable``, ``path-collision`` (two held pictures of one path), ``picture-too-large``.
    ``version`` changes when the same container may give other bytes (the version of an encoder, an option): digests
    are remembered under it and the container's stamp. Raises ``NotFoundError`` for a container that is not there.
    """
    collect = Collector()
    readers: dict[str, Callable[[], bytes]] = {}
    unsized: dict[str, list[str]] = {}
    inside: tuple[str, Entry] | None = None
    for picture in pictures:
        if inside is None or inside[0] != picture.container:
            inside = picture.container, containers.place(picture.container)[1]
        path = collect.usable(picture.path)
        if path is None or path in tree.entries:
            continue
        if (picture.size_bytes or 0) > LARGEST_BYTES:
            message = f"its container says it has {picture.size_bytes:,} bytes"
            collect.issue("picture-too-large", picture.path, message, "Check the container.")
            continue
        place = inside[1]
        raw = f"{place.raw}//{path}" if containers is tree else f"{containers.url}//{place.raw}//{path}"
        stamp = f"{version} {place.size_bytes} {place.stamp}" if place.stamp else ""
        collect.add(Entry(path, picture.size_bytes or 0, stamp, raw, place.changed_ns))
        readers.setdefault(raw, picture.read)
        if picture.size_bytes is None:
            unsized.setdefault(picture.container, []).append(path)
    if not readers and not collect.issues:
        return tree, frozenset()
    for container, paths in unsized.items():  # about: so that work can be shared out
        share = max(1, containers.entries[container].size_bytes // len(paths))
        for path in paths:
            collect.entries[path] = collect.entries[path]._replace(size_bytes=share)
    issues: list[Issue] = [*tree.issues, *collect.issues]
    whole = tree.extended(collect.entries, lambda base: HeldStore(base, readers), issues)
    return whole, frozenset(collect.entries)


_kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
_opening = threading.Lock()


class _Picked:
    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments

    def __call__(self) -> bytes:
        state, read, open_container, pick, which = self._arguments
        return bytes(pick(_opened(state, read, open_container), *which))


def picked(
    tree: Tree, container: str, open_container: Callable[[bytes], T], pick: Callable[..., bytes], *which: Any
) -> Callable[[], bytes]:
    """Reads one picture of a container that has to be opened whole: ``pick(open_container(all bytes), *which)``.

    What ``open_container`` gives is kept for the next picture, in each process that of the last ``KEPT`` containers;
    so it must be fit for several threads. Both are functions of a module, and ``which`` small, so that the reader can
    be pickled. Where a range of bytes is the picture, ``Tree.range_reader`` is better.
    """
    return _Picked(tree.state(container), tree.reader(container), open_container, pick, which)


def _opened(state: tuple[Any, ...], read: Callable[[], bytes], open_container: Callable[[bytes], T]) -> T:
    key = (*state, open_container)
    with _opening:  # several threads would open the same one
        if key in _kept:
            _kept.move_to_end(key)
            kept: T = _kept[key]
            return kept
        made = open_container(read())
        if state[-1]:  # without a stamp nobody knows whether it is still the same
            _kept[key] = made
            while len(_kept) > KEPT:
                _kept.popitem(last=False)
        return made
