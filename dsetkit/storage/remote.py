"""Walks a place that a driver of fsspec reaches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from dsetkit.errors import NotFoundError, StorageError
from dsetkit.storage.tree import Collector, Entry, Store
from dsetkit.storage.url import Remote, nearest

_CHUNK_BYTES = 8 * 1024 * 1024
_WORKERS = 16
_TAGS = ("etag", "ETag", "md5Hash", "md5", "blob_id", "oid", "versionId", "version_id")
"""What drivers call a tag that differs whenever the bytes do, the best first."""
_TIMES = ("mtime", "LastModified", "last_modified", "modified", "updated", "created")


class RemoteStore(Store):
    """Files below a URL; one request reads a small file."""

    workers = _WORKERS

    def __init__(self, remote: Remote) -> None:
        self.root = remote.url
        self._remote = remote

    def read(self, entry: Entry, length: int | None) -> bytes:
        """See ``Store.read``."""
        if length is not None and length < entry.size_bytes:
            return self._remote.read_range(entry.raw, 0, length)
        data = self._remote.read(entry.raw)
        if len(data) != entry.size_bytes:
            raise StorageError(
                f"{self.root}/{entry.raw} has changed since it was listed ({len(data)} bytes, not {entry.size_bytes})",
                url=self.root,
                hint="Run it again when nothing writes there.",
            )
        return data

    def read_range(self, entry: Entry, start: int, length: int) -> bytes:
        """See ``Store.read_range``."""
        self.check_range(entry, start, length)
        return self._remote.read_range(entry.raw, start, length)

    def knows_ranges(self, entry: Entry) -> bool:
        """Whether the server gives parts of this file; where it does not, asking costs reading it whole."""
        return self._remote.knows_ranges(entry.raw)

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """See ``Store.chunks``."""
        if entry.size_bytes <= _CHUNK_BYTES:
            yield self.read(entry, None)
            return
        for start in range(0, entry.size_bytes, _CHUNK_BYTES):
            yield self._remote.read_range(entry.raw, start, min(_CHUNK_BYTES, entry.size_bytes - start))


def walk_remote(remote: Remote, excluded: Callable[[str], bool], collect: Collector) -> RemoteStore:
    """Takes in all files below a URL, or the one file it names; what cannot be taken becomes an issue.

    Raises ``NotFoundError`` where nothing is there, ``StorageError`` where it cannot be listed.
    """
    found = {remote.relative(path): details for path, details in remote.find().items()}
    if found:
        names = [name for name in sorted(found) if not _is_left_out(name, excluded)]
        for name, details in zip(names, _sized(remote, names, found), strict=True):
            if (path := collect.usable(name)) is not None:
                _add(path, name, details, collect)
        return RemoteStore(remote)
    itself = remote.info()
    if itself is None:
        raise NotFoundError(f"{remote.url} is not there", name=remote.url, hint=_near(remote))
    if itself.get("type") == "file":
        return _single(remote, itself, collect)
    return RemoteStore(remote)


def remote_file(remote: Remote) -> tuple[Entry, RemoteStore] | None:
    """The one file that a URL names, under its own name; None where it names a folder or nothing is there."""
    details = remote.info()
    if details is None or details.get("type") != "file" or details.get("size") is None:
        return None
    folder, name = remote.parent()
    stamp, changed_ns = _stamp(details)
    return Entry(name, int(details["size"]), stamp, name, changed_ns), RemoteStore(folder)


def _single(remote: Remote, details: dict[str, Any], collect: Collector) -> RemoteStore:
    folder, name = remote.parent()
    if (path := collect.usable(name)) is not None:
        _add(path, name, details, collect)
    return RemoteStore(folder)


def _is_left_out(name: str, excluded: Callable[[str], bool]) -> bool:
    parts = name.split("/")
    if any(part.startswith(".") and part not in (".", "..") for part in parts):
        return True
    return any(excluded("/".join(parts[:end])) for end in range(1, len(parts) + 1))


def _sized(remote: Remote, names: list[str], found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The details of each file, asked for one by one where a listing (http) tells no size."""

    def details(name: str) -> dict[str, Any]:
        known = found[name]
        return known if known.get("size") is not None else remote.info(name) or known

    with ThreadPoolExecutor(_WORKERS) as pool:
        return list(pool.map(details, names))


def _add(path: str, name: str, details: dict[str, Any], collect: Collector) -> None:
    size = details.get("size")
    if size is None:
        collect.issue("path-unreadable", name, "the server does not tell its size", "Download it and use the copy.")
        return
    stamp, changed_ns = _stamp(details)
    collect.add(Entry(path, int(size), stamp, name, changed_ns))


def _stamp(details: dict[str, Any]) -> tuple[str, int]:
    for key in _TAGS:
        tag = details.get(key)
        if isinstance(tag, str) and tag and not tag.startswith("W/"):  # a weak tag does not stand for the bytes
            return f"{key} {tag}", 0
    for key in _TIMES:
        time = details.get(key)
        if isinstance(time, str):
            with contextlib.suppress(ValueError):
                time = datetime.fromisoformat(time)
        if isinstance(time, datetime):
            time = (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
        if isinstance(time, int | float) and time > 0:
            return f"{key} {time!r}", int(time * 1_000_000_000)
    return "", 0


def _near(remote: Remote) -> str:
    folder, name = remote.parent()
    try:
        siblings = {path.partition("/")[0] for path in (folder.relative(item) for item in folder.list())}
    except (StorageError, NotFoundError):
        siblings = set()
    return nearest(name, siblings) or "Check the address."
