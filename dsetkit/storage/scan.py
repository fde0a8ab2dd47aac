"""What is there at a path or URL: every file with its size and a stamp, nothing read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from dsetkit.errors import StorageError
from dsetkit.spec.issue import Issue
from dsetkit.storage.archive import is_archive, walk_archive
from dsetkit.storage.exclude import compile_exclude
from dsetkit.storage.local import entry_of, walk
from dsetkit.storage.remote import remote_file, walk_remote
from dsetkit.storage.stat_cache import StatCache
from dsetkit.storage.tree import Collector, Entry, Store, Tree, tree_digest
from dsetkit.storage.url import Remote, not_there, to_local

__all__ = ["Entry", "StatCache", "Tree", "scan", "scan_archive", "tree_digest"]


def scan(url: str | Path, *, exclude: Iterable[str] = (), cache: StatCache | None = None) -> Tree:
    """The files below a folder, in an archive (zip, tar), or one file, under its own name.

    Of an archive behind a URL only the directory and then the members asked for are read, where the server gives
    parts of files; one that is compressed as a whole (``.tar.gz``) is unfolded into a temporary file without a name.

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
        alone = remote_file(remote) if is_archive(remote.root) else None
        if alone is None:
            store = walk_remote(remote, excluded, collect)
        else:
            store = walk_archive(alone[1], alone[0], shown, shown, excluded, collect)
    elif path.is_dir():
        shown = str(path)
        store = walk(path, excluded, collect)
    elif not path.is_file():
        if not path.exists():
            raise not_there(path)
        raise StorageError(f"{path} is neither a file nor a folder", url=str(path), hint="Name one of these.")
    else:
        shown = str(path)
        entry, store = _single(path)
        if is_archive(path):
            store = walk_archive(store, entry, shown, os.path.realpath(path), excluded, collect)
        else:
            _take(entry, path, collect)
    return Tree(shown, collect.entries, store, issues=_sorted(collect), cache=cache)


def scan_archive(tree: Tree, path: str, *, exclude: Iterable[str] = (), cache: StatCache | None = None) -> Tree:
    """The files in an archive that is a file of a tree, as ``scan`` gives them.

    Raises ``NotFoundError`` for a path that is not in the tree, else as ``scan``.
    """
    store, entry = tree.place(path)
    collect = Collector()
    shown = f"{tree.url}/{path}"
    inside = walk_archive(store, entry, shown, shown, compile_exclude(tuple(exclude)), collect)
    return Tree(shown, collect.entries, inside, issues=_sorted(collect), cache=cache)


def _sorted(collect: Collector) -> list[Issue]:
    return sorted(collect.issues, key=lambda issue: ((issue.file or "").encode(), issue.code))


def _single(path: Path) -> tuple[Entry, Store]:
    try:
        return entry_of(path)
    except OSError as error:
        raise StorageError(
            f"{path} could not be looked at ({error.strerror})", url=str(path), hint="Check its permissions."
        ) from error


def _take(entry: Entry, path: Path, collect: Collector) -> None:
    usable = collect.usable(path.name)
    if usable is not None:
        collect.add(entry._replace(path=usable))
