"""Remembers the SHA-256 of files that have not changed since, as git's index does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeVar

SETTLED_NS = 2_000_000_000
"""How long a file must have been left alone before its digest is remembered: the coarsest clock of a file system."""

_VERSION = 1
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_FOR_NOW = frozenset(
    (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
        sqlite3.SQLITE_NOMEM,
    )
)
"""Errors that say nothing against the file: it is not used this time."""

_Result = TypeVar("_Result")


class Remembered(NamedTuple):
    """The digest of one file in a state."""

    path: str
    """Relative to its root."""
    size_bytes: int
    stamp: str
    """What else tells states of the file apart: times and inode, or an entity tag. Never empty."""
    digest: str


class StatCache:
    """A SQLite file: (root, path) → (size, stamp, SHA-256). Losing it costs time, nothing else.

    Safe under threads and processes that share it (each call is one transaction under a lock file). A damaged file
    is started anew; one that cannot be used (read-only, disk full, locked for long, another user's) is left alone and
    nothing is remembered. No method raises. Only its owner can read it: names and digests tell of what is in the files.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def recall(self, root: str) -> dict[str, Remembered]:
        """All that is remembered of the files below ``root``, by path."""

        def select(connection: sqlite3.Connection) -> dict[str, Remembered]:
            rows = connection.execute("SELECT path, size, stamp, digest FROM files WHERE root = ?", (root,))
            found = (Remembered(*row) for row in rows)
            return {item.path: item for item in found if isinstance(item.digest, str) and _DIGEST.match(item.digest)}

        return self._use(select) or {}

    def remember(self, root: str, items: Iterable[tuple[Remembered, int]], read_ns: int) -> None:
        """Keeps the digests of files below ``root``.

        With each comes when its file last changed, in ns since 1970 (0 where the stamp alone is proof). ``read_ns`` is
        a time before the first of them was read. A file that had not been left alone for 2 s by then is forgotten
        instead: it may change again without its stamp showing it (git's "racily clean").
        """
        keep: list[tuple[str, str, int, str, str]] = []
        forget: list[tuple[str, str]] = []
        for item, changed_ns in items:
            if item.stamp and changed_ns + SETTLED_NS < read_ns:
                keep.append((root, *item))
            else:
                forget.append((root, item.path))
        if not keep and not forget:
            return

        def replace(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM files WHERE root = ? AND path = ?", forget)
            connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", keep)

        self._use(replace)

    def _use(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result | None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with _opened_alone(self._path.with_name(self._path.name + ".lock")) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                _opened_alone(self._path).close()  # SQLite makes its files beside it with the same permissions
                try:
                    return self._transact(work)
                except (sqlite3.Error, UnicodeError) as error:
                    if (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF in _FOR_NOW:
                        return None
                for suffix in ("", "-journal", "-wal", "-shm"):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
                _opened_alone(self._path).close()
                return self._transact(work)
        except (OSError, sqlite3.Error, UnicodeError):
            return None

    def _transact(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        with contextlib.closing(sqlite3.connect(self._path, timeout=30)) as connection, connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise sqlite3.DatabaseError(f"version {version}")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS files (root TEXT, path TEXT, size INTEGER, stamp TEXT, digest TEXT,"
                " PRIMARY KEY (root, path)) WITHOUT ROWID"
            )
            connection.execute(f"PRAGMA user_version = {_VERSION}")
            return work(connection)


def _opened_alone(path: Path) -> BinaryIO:
    """A file for this user alone, made where it is not there; one of before that others could read is closed to them.

    Raises ``OSError``, also where it is another user's.
    """
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    file = os.fdopen(number, "r+b", buffering=0)
    try:
        state = os.fstat(number)
        if state.st_mode & 0o077 and state.st_uid == os.geteuid():
            os.fchmod(number, 0o600)
    except OSError:
        file.close()
        raise
    return file
