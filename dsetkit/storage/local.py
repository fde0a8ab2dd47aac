"""Walks a folder on this machine."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dsetkit.errors import StorageError
from dsetkit.storage.tree import Collector, Entry, Store
from dsetkit.storage.url import full_range

_CHUNK_BYTES = 1024 * 1024


class LocalStore(Store):
    """Files below a folder, opened only while they are what the scan saw."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.workers = min(8, (os.cpu_count() or 1) + 1)

    def read(self, entry: Entry, length: int | None) -> bytes:
        """See ``Store.read``."""
        with self._opened(entry) as number:
            left = entry.size_bytes if length is None else min(length, entry.size_bytes)
            data = os.read(number, left)
            while len(data) < left and (more := os.read(number, left - len(data))):
                data += more
            return data

    def read_range(self, entry: Entry, start: int, length: int) -> bytes:
        """See ``Store.read_range``."""
        self.check_range(entry, start, length)
        with self._opened(entry) as number:
            data = os.pread(number, length, start)
            while len(data) < length and (more := os.pread(number, length - len(data), start + len(data))):
                data += more
        return full_range(data, self.root, entry.raw, start, length)

    def chunks(self, entry: Entry) -> Iterator[bytes]:
        """See ``Store.chunks``."""
        left = entry.size_bytes
        with self._opened(entry) as number:
            while left and (chunk := os.read(number, min(left, _CHUNK_BYTES))):
                left -= len(chunk)
                yield chunk

    @contextmanager
    def _opened(self, entry: Entry) -> Iterator[int]:
        path = os.path.join(self.root, entry.raw)
        changed = StorageError(
            f"{path} has changed since it was scanned", url=path, hint="Run it again when nothing writes there."
        )
        number = -1
        try:
            # A pipe that took the file's place must not block.
            number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            yield number
            # Asked once, at the end: what was read by then is what the scan saw, or the stamp would be another.
            if not _is_same(entry, os.fstat(number)):
                raise changed
        except (FileNotFoundError, NotADirectoryError):
            raise changed from None
        except OSError as error:
            raise StorageError(
                f"{path} could not be read ({error.strerror})", url=path, hint="Check its permissions and the disk."
            ) from error
        finally:
            if number >= 0:
                os.close(number)


def walk(root: Path, excluded: Callable[[str], bool], collect: Collector) -> LocalStore:
    """Takes in all files below ``root``; what cannot be taken becomes an issue.

    Links to files and folders inside the root are followed; within a folder reached by a link, links to folders are
    not, so that the walk ends. Hidden names are skipped. Raises ``StorageError`` where the root itself cannot be read.
    """
    real_root = os.path.realpath(root)
    pending: list[tuple[str, bool]] = [("", False)]
    while pending:
        folder, linked = pending.pop()
        try:
            with os.scandir(os.path.join(real_root, folder) if folder else real_root) as scanned:
                items = sorted(scanned, key=lambda item: os.fsencode(item.name))
        except OSError as error:
            if not folder:
                raise StorageError(
                    f"{root} could not be read ({error.strerror})", url=str(root), hint="Check its permissions."
                ) from error
            collect.issue("path-unreadable", folder, f"the folder could not be read ({error.strerror})", "Check it.")
            continue
        inner: list[tuple[str, bool]] = []
        for item in items:
            if item.name.startswith("."):
                continue
            raw = f"{folder}/{item.name}" if folder else item.name
            if excluded(raw) or (path := collect.usable(raw)) is None:
                continue
            try:
                is_link = item.is_symlink()
                if is_link and not _is_inside(item.path, real_root, raw, collect):
                    continue
                found = item.stat()
            except OSError as error:
                collect.issue("path-unreadable", raw, f"it could not be looked at ({error.strerror})", "Check it.")
                continue
            if stat.S_ISREG(found.st_mode):
                collect.add(_entry(path, raw, found))
            elif not stat.S_ISDIR(found.st_mode):
                collect.issue(
                    "path-special", raw, "it is neither a file nor a folder (a pipe, socket or device)", "Remove it."
                )
            elif not is_link:
                inner.append((raw, linked))
            elif linked or _is_around(item.path):
                collect.issue(
                    "path-loop",
                    raw,
                    "the link leads into a folder around it or was reached through another link to a folder",
                    "Its files are left out here; give the folder itself or copy the files.",
                )
            else:
                inner.append((raw, True))
        pending.extend(reversed(inner))
    return LocalStore(real_root)


def entry_of(path: Path) -> tuple[Entry, LocalStore]:
    """A single file as an entry under its own name. Raises ``OSError``."""
    real = Path(os.path.realpath(path))
    return _entry(path.name, real.name, real.stat()), LocalStore(str(real.parent))


def _entry(path: str, raw: str, found: os.stat_result) -> Entry:
    return Entry(path, found.st_size, _stamp(found), raw, max(found.st_mtime_ns, found.st_ctime_ns))


def _stamp(found: os.stat_result) -> str:
    return f"{found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"


def _is_same(entry: Entry, found: os.stat_result) -> bool:
    return stat.S_ISREG(found.st_mode) and found.st_size == entry.size_bytes and _stamp(found) == entry.stamp


def _is_inside(path: str, real_root: str, raw: str, collect: Collector) -> bool:
    try:
        target = os.path.realpath(path, strict=True)
    except OSError:
        collect.issue("path-broken", raw, "the link leads nowhere", "Remove it or put back what it points at.")
        return False
    if target != real_root and not target.startswith(real_root.rstrip("/") + "/"):
        collect.issue(
            "path-outside", raw, "the link leads out of the source", "Copy what it points at into the source."
        )
        return False
    return True


def _is_around(link: str) -> bool:
    target = os.path.realpath(link)
    around = os.path.realpath(os.path.dirname(link))
    return around == target or around.startswith(target.rstrip("/") + "/")
