"""Folders for what is needed for a moment, among the system's temporary ones; none is left there for good."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dsetkit.storage.atomic import written

_PREFIX = ".dsetkit-scratch-"
_NAME = re.compile(re.escape(_PREFIX) + "[a-z0-9_]{8}")


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder of this block's own, deleted with all in it when the block is left.

    A process that is killed deletes nothing, so the next one does it. A folder in use is known by a lock on it, which
    the system lets go of when the process ends, however it ends. Raises ``StorageError``.
    """
    place = Path(tempfile.gettempdir())
    _remove_abandoned(place)
    with written(place):
        folder, lock = _make()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make() -> tuple[Path, int]:
    """A new folder and the lock on it. Others who tidy up may find it before it is locked; then another is made."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            if _is_locked_here(lock) and _is_there(folder, lock):
                return folder, lock
            os.close(lock)


def _remove_abandoned(place: Path) -> None:
    """Delete the folders of this user that nobody holds; those that cannot be deleted stay."""
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for name in sorted(entry.name for entry in entries if _NAME.fullmatch(entry.name)):
            with contextlib.suppress(OSError):
                lock = os.open(place / name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
                try:
                    if os.fstat(lock).st_uid == os.getuid():
                        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        shutil.rmtree(place / name)
                finally:
                    os.close(lock)


def _is_locked_here(lock: int) -> bool:
    """Lock it, unless somebody has. A file system that knows no locks holds nothing against anybody."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # where it cannot be locked, _remove_abandoned cannot lock it either, and leaves it alone
        return True
    return True


def _is_there(folder: Path, lock: int) -> bool:
    try:
        return os.path.samestat(os.stat(folder), os.fstat(lock))
    except FileNotFoundError:
        return False
