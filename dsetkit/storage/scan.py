"""What is there at a path or URL: every file with its size and a stamp, nothing read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dsetkit.errors import StorageError
from dsetkit.storage.archive import is_archive, walk_archive
from dsetkit.storage.exclude import compile_exclude
from dsetkit.storage.local import entry_of, walk
from dsetkit.storage.remote import walk_remote
from dsetkit.storage.stat_cache import StatCache
from dsetkit.storage.tree import Collector, Entry, Store, Tree, tree_digest
from dsetkit.storage.url import Remote, not_there, to_local

__all__ = ["Entry", "StatCache", "Tree", "scan", "tree_digest"]


def scan(url: str | Path, *, exclude: Iterable[str] = (), cache: StatCache | None = None) -> Tree:
    """The files below a folder, in an archive on this machine (zip, tar), or one file, under its own name.

    Hidden files and folders (a name that starts with ``.``) are skipped, and what a pattern of ``exclude`` matches
    (see ``exclude.compile_exclude``). What else is left out stands in the tree's ``issues``: ``path-unusable`` (a name
    that is no valid key), ``path-collision`` (the same path in NFC as another's), ``path-outside`` and ``path-broken``
    (links out of the root or to nothing), ``path-loop`` (links to folders that would not end), ``path-special`` (pipes,
    sockets, devices), ``path-unreadable``. ``cache`` remembers digests of files that do not change.

    Raises ``NotFoundError`` where nothing is there, ``StorageError`` where it cannot be listed, ``UsageError`` for an
    unknown protocol or pattern, ``MissingExtraError`` for a protocol whose library is not installed.
    """
    excluded = compile_exclude(tuple(exclude))
    collect = Collector()
    path = to_local(url)
    store: Store
    if path is None:
        remote = Remote(str(url))
        shown = remote.url
        store = walk_remote(remote, excluded, collect)
    elif path.is_dir():
        shown = str(path)
        store = walk(path, excluded, collect)
    elif not path.is_file():
        if not path.exists():
            raise not_there(path)
        raise StorageError(f"{path} is neither a file nor a folder", url=str(path), hint="Name one of these.")
    else:
        shown = str(path)
        store = walk_archive(path, excluded, collect) if is_archive(path) else _single(path, collect)
    issues = sorted(collect.issues, key=lambda issue: ((issue.file or "").encode(), issue.code))
    return Tree(shown, collect.entries, store, issues=issues, cache=cache)


def _single(path: Path, collect: Collector) -> Store:
    try:
        entry, store = entry_of(path)
    except OSError as error:
        raise StorageError(
            f"{path} could not be looked at ({error.strerror})", url=str(path), hint="Check its permissions."
        ) from error
    usable = collect.usable(path.name)
    if usable is not None:
        collect.add(entry._replace(path=usable))
    return store
