"""Who may change the project's files: one rollback at a time, and never while DVC is at work."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsetkit.errors import StorageError, UsageError
from dsetkit.history.dvc_config import open_repo
from dsetkit.storage.atomic import written

if TYPE_CHECKING:
    from dvc.repo import Repo

_WAIT_S = 0.05


@contextmanager
def own_lock(root: Path, wait_s: float = 0.0) -> Iterator[bool]:
    """Whether this process alone may roll the project back while the block runs; False where another does.

    The system lets go of it when the process ends, however it ends. ``wait_s``: how long to wait for another.
    """
    path = root / ".dvc" / "tmp" / "dsetkit" / "rollback.lock"
    with written(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    with file:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    yield False
                    return
                time.sleep(_WAIT_S)
        yield True


@contextmanager
def dvc_lock(root: Path) -> Iterator[Repo]:
    """DVC's repository, with its lock held.

    Raises ``UsageError`` where another DVC process has it, or runs a stage: DVC lets go of its lock meanwhile and
    writes what it works on into ``.dvc/tmp/rwlock``.
    """
    from dvc.lock import LockError
    from dvc.repo import lock_repo

    refuse_busy(root)  # at once, where DVC's own lock would be waited for
    with dvc_errors(root):
        repo = open_repo(root)
    with repo:
        lock = lock_repo(repo)
        try:
            with written(root / ".dvc" / "tmp" / "lock"):
                lock.__enter__()
        except LockError as error:
            raise UsageError(
                "DVC is at work in this project",
                hint="Wait until it has ended (or end it), then run the command again; nothing was changed.",
            ) from error
        try:
            refuse_busy(root)
            yield repo
        finally:
            lock.__exit__(None, None, None)


@contextmanager
def dvc_errors(root: Path) -> Iterator[None]:
    """Turns what DVC, its databases and the system raise into a ``StorageError``."""
    from dvc.exceptions import DvcException

    try:
        yield
    except (DvcException, sqlite3.Error, OSError) as error:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise StorageError(
            f"DVC cannot work here: {said}",
            url=str(root),
            hint="Is there room on the disk? See what dvc status says, and mend that; nothing was changed.",
        ) from error


def refuse_busy(root: Path) -> None:
    """Raises ``UsageError`` where a living process is in DVC's ``rwlock``, or builds a snapshot without DVC."""
    if building := ", ".join(_building(root)):
        raise UsageError(
            f"a stage is building in this project: {building}", hint="Wait until it has ended; nothing was changed."
        )
    path = root / ".dvc" / "tmp" / "rwlock"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    try:
        entries = list(_entries(json.loads(text)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} cannot be read, so nobody knows whether DVC is at work",
            hint="Where no dvc is running, delete that file; then run the command again.",
        ) from error
    busy = {pid: command for pid, command in entries if pid != os.getpid() and _is_alive(pid)}
    if busy:
        what = ", ".join(f"{command} (process {pid})" for pid, command in sorted(busy.items()))
        raise UsageError(
            f"a stage is running in this project: {what}",
            hint="Wait until it has ended (or end it), then run the command again; nothing was changed."
            f" Where such a process is no dvc, an earlier dvc was killed: delete {path}.",
        )


def _building(root: Path) -> Iterator[str]:
    """What stages build right now that were started without DVC; each holds a lock beside its folder."""
    for path in sorted((root / ".dvc" / "tmp" / "dsetkit" / "build").glob("*.lock")):
        with suppress(OSError), path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield path.stem


def _entries(document: dict[str, Any]) -> Iterator[tuple[int, str]]:
    infos = list(document.get("write", {}).values())
    for readers in document.get("read", {}).values():
        infos.extend(readers)
    for info in infos:
        if info:
            yield int(info["pid"]), str(info["cmd"])


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
