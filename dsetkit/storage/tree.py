"""The files of a source as one scan saw them."""

from __future__ import annotations

import hashlib
import os
import re
import time
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from dsetkit.errors import NotFoundError, StorageError
from dsetkit.spec.issue import Issue
from dsetkit.spec.key import check_key, sort_key
from dsetkit.storage.stat_cache import Remembered, StatCache
from dsetkit.storage.url import nearest

_PLAIN = re.compile(r"(?=.{1,1024}\Z)[0-9A-Za-z_-][0-9A-Za-z_. -]*(?:/[0-9A-Za-z_-][0-9A-Za-z_. -]*)*\Z")
_BATCH = 64
"""Files a thread hashes in a row."""


class Entry(NamedTuple):
    """One file of a tree."""

    path: str
    """Relative to the tree, ``/`` between its parts, NFC."""
    size_bytes: int
    stamp: str
    """What changes when the file does, without reading it: times and inode, or an entity tag; empty if nothing does."""
    raw: str
    """The path as the storage spells it, relative to the root of the scan."""
    changed_ns: int = 0
    """When it last changed, in ns since 1970; 0 where the stamp alone is proof."""


class Store(ABC):
    """Where a tree's bytes come from. Each method raises ``StorageError`` where a file is no longer as scanned.

    Safe to share among threads.
    """

    root: str
    """What the stat cache knows the place by; safe to write down."""
    workers: int
    """How many files to read at a time."""

    @abstractmethod
    def read(self, entry: Entry, length: int | None) -> bytes:
        """All bytes of a file, or at most the first ``length``."""

    @abstractmethod
    def read_range(self, entry: Entry, start: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``start`` on; ``StorageError`` where there are not so many."""

    @abstractmethod
    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """All bytes of a file in pieces of a few MiB at most."""

    def reader(self, entry: Entry) -> Callable[[], bytes]:
        """What ``read`` gives, to be had in another process: small, and picklable where the store can make it so."""
        return partial(self.read, entry, None)

    def range_reader(self, entry: Entry, start: int, length: int) -> Callable[[], bytes]:
        """What ``read_range`` gives, as ``reader``."""
        return partial(self.read_range, entry, start, length)

    def check_range(self, entry: Entry, start: int, length: int) -> None:
        """Raises ``StorageError`` where a file does not have these bytes, so that nobody makes room for them."""
        if start < 0 or length < 0 or start + length > entry.size_bytes:
            raise StorageError(
                f"{entry.raw} in {self.root} has {entry.size_bytes:,} bytes, not {length:,} from byte {start:,} on",
                url=self.root,
                hint="The file was cut short, or what names a place in it is wrong; fetch it again.",
            )


class Tree:
    """Files at one place, as they were when scanned. Reading a file that changed since raises ``StorageError``.

    ``entries`` maps paths to entries, sorted by the paths' UTF-8 bytes. ``issues`` tells what was left out. Safe to
    share among threads.
    """

    def __init__(
        self,
        url: str,
        entries: Mapping[str, Entry],
        store: Store,
        *,
        issues: Iterable[Issue] = (),
        cache: StatCache | None = None,
        digests: dict[str, str] | None = None,
    ) -> None:
        self.url = url
        self.entries = {path: entries[path] for path in sorted(entries, key=sort_key)}
        self.issues = list(issues)
        self._store = store
        self._cache = cache
        self._digests = self._recall() if digests is None else digests  # raw path → SHA-256; subtrees share it

    @property
    def workers(self) -> int:
        """How many files to read at a time; few where they are on this machine."""
        return self._store.workers

    def __repr__(self) -> str:
        return f"Tree({self.url!r}, {len(self.entries)} files)"

    def read(self, path: str, limit_bytes: int | None = None) -> bytes:
        """All bytes of a file.

        Raises ``NotFoundError`` for a path that is not in the tree, ``StorageError`` for a file that is larger than
        ``limit_bytes``, has changed since the scan, or cannot be read.
        """
        entry = self._entry(path)
        if limit_bytes is not None and entry.size_bytes > limit_bytes:
            raise StorageError(
                f"{path} has {entry.size_bytes:,} bytes, more than the {limit_bytes:,} allowed",
                url=self.url,
                hint="Raise ingest.max_file_bytes or exclude the file.",
            )
        return self._store.read(entry, None)

    def reader(self, path: str) -> Callable[[], bytes]:
        """Reads the file as ``read`` does; small and picklable, so that it can be handed to a worker."""
        return self._store.reader(self._entry(path))

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Exactly ``length`` bytes of a file from ``start`` on. Raises as ``read`` does, also where it ends before."""
        return self._store.read_range(self._entry(path), start, length)

    def range_reader(self, path: str, start: int, length: int) -> Callable[[], bytes]:
        """Reads as ``read_range`` does; small and picklable, so that it can be handed to a worker."""
        return self._store.range_reader(self._entry(path), start, length)

    def chunks(self, path: str) -> Iterator[bytes]:
        """All bytes of a file in pieces of a few MiB at most. Raises as ``read`` does."""
        return self._store.chunks(self._entry(path))

    def place(self, path: str) -> tuple[Store, Entry]:
        """What reads a file, and as what. Raises ``NotFoundError``."""
        return self._store, self._entry(path)

    def state(self, path: str) -> tuple[str, str, int, str]:
        """What tells this file in this state from all others: its place, name, size and stamp; nothing is read."""
        entry = self._entry(path)
        return self._store.root, entry.raw, entry.size_bytes, entry.stamp

    def read_head(self, path: str, length: int) -> bytes:
        """The first ``length`` bytes of a file, fewer where it has fewer. Raises as ``read`` does."""
        return self._store.read(self._entry(path), length)

    def digest(self, path: str) -> str:
        """The SHA-256, in hex, of a file. For many files ``digests`` is faster. Raises as ``read`` does."""
        return self.digests((path,))[path]

    def digests(self, paths: Iterable[str] | None = None) -> dict[str, str]:
        """The SHA-256, in hex, of each of these files (all without ``paths``), hashed by several threads.

        What the stat cache remembers is not read again; what was read is remembered, also when a file fails. Raises as
        ``read`` does.
        """
        entries = [self._entry(path) for path in (self.entries if paths is None else paths)]
        missing = list({entry.raw: entry for entry in entries if entry.raw not in self._digests}.values())
        if missing:
            read_ns = time.time_ns()
            hashed: list[tuple[Entry, str]] = []
            try:
                self._hash(missing, hashed)
            finally:
                self._remember(hashed, read_ns)
        return {entry.path: self._digests[entry.raw] for entry in entries}

    def subtree(self, prefix: str) -> Tree:
        """The files below the folder ``prefix``, with paths relative to it; the file itself if it is one.

        Raises ``NotFoundError`` where neither is there.
        """
        prefix = unicodedata.normalize("NFC", prefix).strip("/")
        if prefix in ("", "."):
            return self
        if prefix in self.entries:
            name = prefix.rpartition("/")[2]
            inner = {name: self.entries[prefix]._replace(path=name)}
        else:
            start = prefix + "/"
            inner = {
                path[len(start) :]: entry._replace(path=path[len(start) :])
                for path, entry in self.entries.items()
                if path.startswith(start)
            }
            if not inner:
                raise self._missing(prefix)
        issues = [
            issue.model_copy(update={"file": issue.file[len(prefix) + 1 :]})
            for issue in self.issues
            if issue.file is not None and issue.file.startswith(prefix + "/")
        ]
        return Tree(f"{self.url}/{prefix}", inner, self._store, issues=issues, cache=self._cache, digests=self._digests)

    def extended(self, entries: Mapping[str, Entry], around: Callable[[Store], Store], issues: Iterable[Issue]) -> Tree:
        """This tree with more entries, which the store that ``around`` makes of the present one reads."""
        store = around(self._store)
        return Tree(self.url, {**entries, **self.entries}, store, issues=issues, cache=self._cache)

    def _entry(self, path: str) -> Entry:
        entry = self.entries.get(path)
        if entry is None:
            raise self._missing(path)
        return entry

    def _missing(self, path: str) -> NotFoundError:
        folders = {"/".join(item.split("/")[: path.count("/") + 1]) for item in self.entries}
        names = {item.rpartition("/")[2]: item for item in self.entries}
        elsewhere = names.get(path.rpartition("/")[2])
        hint = f"There is {elsewhere}." if elsewhere else nearest(path, folders) or "Check the path."
        return NotFoundError(f"{self.url} has no {path}", name=path, hint=hint)

    def _hash(self, entries: Sequence[Entry], hashed: list[tuple[Entry, str]]) -> None:
        def work(batch: Sequence[Entry]) -> None:
            for entry in batch:
                digest = hashlib.sha256()
                for chunk in self._store.chunks(entry):
                    digest.update(chunk)
                hashed.append((entry, digest.hexdigest()))

        size = max(1, min(_BATCH, len(entries) // self._store.workers))
        batches = [entries[start : start + size] for start in range(0, len(entries), size)]
        if len(batches) == 1:
            work(batches[0])
            return
        pool = ThreadPoolExecutor(min(self._store.workers, len(batches)))
        try:
            for _ in pool.map(work, batches):
                pass
        finally:
            pool.shutdown(cancel_futures=True)

    def _recall(self) -> dict[str, str]:
        if self._cache is None:
            return {}
        known = self._cache.recall(self._store.root)
        return {
            entry.raw: found.digest
            for entry in self.entries.values()
            if entry.stamp
            and (found := known.get(entry.raw)) is not None
            and (found.size_bytes, found.stamp) == (entry.size_bytes, entry.stamp)
        }

    def _remember(self, hashed: Sequence[tuple[Entry, str]], read_ns: int) -> None:
        self._digests.update((entry.raw, digest) for entry, digest in hashed)
        if self._cache is not None:
            items = (
                (Remembered(entry.raw, entry.size_bytes, entry.stamp, digest), entry.changed_ns)
                for entry, digest in hashed
            )
            self._cache.remember(self._store.root, items, read_ns)


def tree_digest(tree: Tree, paths: Iterable[str]) -> str:
    """SHA-256, in hex, over a line ``<path>\\0<sha256>\\n`` for each file, in the order of the paths' UTF-8 bytes.

    A path given twice counts once. Raises as ``Tree.read`` does.
    """
    digests = tree.digests(paths)
    total = hashlib.sha256()
    for path in sorted(digests, key=sort_key):
        total.update(f"{path}\0{digests[path]}\n".encode())
    return total.hexdigest()


class Collector:
    """Gathers entries and issues while a place is walked; the rules on names are here."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.issues: list[Issue] = []

    def usable(self, raw: str) -> str | None:
        """The path in NFC; None, with an issue, for one that can be no key."""
        if _PLAIN.match(raw):  # almost all are; several times faster than the whole check
            return raw
        try:
            path = check_key(raw)
        except ValueError as error:
            reason = "is not valid UTF-8" if _has_surrogates(raw) else str(error).partition(":")[0]
            self.issue("path-unusable", raw, f"the name cannot be a key ({reason})", "Rename it.")
            return None
        return path

    def add(self, entry: Entry) -> None:
        """Takes a file in, unless one of the same path is there already."""
        if entry.path in self.entries:
            self.issue(
                "path-collision",
                entry.raw,
                "a second file has the same path once its characters are composed (NFC)",
                "Rename one of the two; this one is left out.",
            )
        else:
            self.entries[entry.path] = entry

    def issue(self, code: str, raw: str, message: str, hint: str) -> None:
        """Notes what was left out."""
        self.issues.append(Issue(code=code, message=message, file=printable(raw), hint=hint))


def printable(raw: str) -> str:
    """A path in which bytes that are no UTF-8, control and direction-changing characters are shown as escapes."""
    text = os.fsencode(raw).decode("utf-8", "backslashreplace") if _has_surrogates(raw) else raw
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in text)
