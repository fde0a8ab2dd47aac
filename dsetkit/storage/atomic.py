"""Never half: files and folders that come into place by one rename, also when the machine or the process dies.

``swap_folder`` uses three names beside its place: ``.<name>.dsetkit-old`` is the folder that stood there, while the
place is empty between two renames; ``.<name>.dsetkit-trash`` is what may be deleted; ``.<name>.dsetkit-new`` is a copy
of what was built on another file system. ``finish_swap`` needs nothing else to put a killed swap right. Two processes
must not swap the same place at once; the caller holds a lock.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from dsetkit.errors import NotFoundError, StorageError

TEMPORARY_SUFFIX = ".dsetkit-tmp"
"""How the names of unfinished files end; they begin with a dot."""


def write_atomic(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Puts ``data`` at ``path``: whole, or not at all; on disk (fsync) when this returns.

    A file that stood there is replaced, never written into, so a hard link to it keeps the old bytes. Parent folders
    are made. ``mode`` is who may read and write it, less what the umask takes away. Raises ``StorageError``.
    """
    with written(path), temporary_beside(path) as temporary:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_folder(path.parent)


def swap_folder(built: Path, place: Path) -> None:
    """Renames the finished folder ``built`` to ``place``; a folder that stood there is deleted afterwards.

    Killed at any moment, either folder stands whole at ``place``, or none and ``finish_swap(place)`` brings the old one
    back (``built`` is then still where it was). On another file system ``built`` is copied beside ``place`` first.
    Files in ``built`` must have been synced by who wrote them. Raises ``NotFoundError``, ``StorageError``.
    """
    old, trash, copied = _names(place)
    with written(place):
        if not built.is_dir():
            raise NotFoundError(f"{built} is not there", name=str(built), hint="Build the folder again.")
        place.parent.mkdir(parents=True, exist_ok=True)
        finish_swap(place)
        if place.exists() and not place.is_dir():
            raise StorageError(f"{place} is a file", url=str(place), hint="Move it away: a folder is to stand there.")
        for folder, _, _ in os.walk(built):
            sync_folder(Path(folder))
        source = built
        if built.stat().st_dev != place.parent.stat().st_dev:
            source = _copy_tree(built, copied)
        try:
            _exchange(source, place, old)
        except OSError as error:
            if error.errno != errno.EXDEV or source is copied:
                raise
            source = _copy_tree(built, copied)  # the same device mounted twice
            _exchange(source, place, old)
        if source is copied:
            remove_tree(built)
        elif built.parent != place.parent and built.parent.is_dir():
            sync_folder(built.parent)
        if os.path.lexists(old):
            os.rename(old, trash)
            remove_tree(trash)


def finish_swap(place: Path) -> bool:
    """Puts a killed ``swap_folder`` right; does nothing where none was. True: the old folder was brought back.

    Afterwards ``place`` is as it was before that swap, or as it was to be after it. Raises ``StorageError``.
    """
    old, trash, copied = _names(place)
    restored = False
    with written(place):
        if os.path.lexists(old):
            if os.path.lexists(place):
                remove_tree(trash)
                os.rename(old, trash)
            else:
                os.rename(old, place)
                restored = True
            sync_folder(place.parent)
        remove_tree(trash)
        remove_tree(copied)
    return restored


def link_or_copy(source: Path, target: Path) -> bool:
    """Makes ``target`` the same file as ``source`` by a hard link (True), else a synced copy of it (False).

    A file at ``target`` is replaced. Links are resolved first: the file itself is shared. Who links must never write
    into either. Raises ``NotFoundError``, ``StorageError``.
    """
    with written(target), temporary_beside(target) as temporary:
        if not source.is_file():
            raise NotFoundError(f"{source} is not there", name=str(source), hint="Fetch it (under DVC: dvc checkout).")
        linked = True
        try:
            os.link(source.resolve(), temporary)
        except OSError:  # another file system, too many links, or not allowed
            linked = False
            shutil.copyfile(source, temporary)
            _sync(temporary)
        os.replace(temporary, target)  # does nothing where both are one file already; the temporary name goes below
        return linked


def remove_tree(path: Path) -> None:
    """Deletes a folder with all in it, a file, or a link (not what it points at); nothing there is fine.

    Read-only folders in it are deleted too. Raises ``StorageError``.
    """
    with written(path):
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
            return
        for folder, _, _ in os.walk(path):
            if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                os.chmod(folder, 0o700)
        shutil.rmtree(path)


def sync_folder(path: Path) -> None:
    """Brings the names in a folder to the disk (fsync). Raises ``OSError``."""
    _sync(path)


@contextlib.contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A hidden name in the folder of ``path`` (which is made) for a file to be renamed to it; deleted if it remains."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def written(path: Path) -> Iterator[None]:
    """Turns an ``OSError`` into a ``StorageError`` about ``path``."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StorageError(
            f"{path} could not be written ({error.strerror or error})",
            url=str(path),
            hint="Make room on the disk and run it again." if full else "Check the permissions and the disk.",
        ) from error


def _names(place: Path) -> tuple[Path, Path, Path]:
    return (
        place.with_name(f".{place.name}.dsetkit-old"),
        place.with_name(f".{place.name}.dsetkit-trash"),
        place.with_name(f".{place.name}.dsetkit-new"),
    )


def _exchange(source: Path, place: Path, old: Path) -> None:
    aside = os.path.lexists(place)
    if aside:
        os.rename(place, old)
    try:
        os.rename(source, place)
    except OSError:
        if aside:
            os.rename(old, place)
        raise
    sync_folder(place.parent)


def _copy_tree(built: Path, copied: Path) -> Path:
    remove_tree(copied)
    shutil.copytree(built, copied, symlinks=True, copy_function=shutil.copyfile)
    for folder, _, files in os.walk(copied):
        for name in files:
            _sync(Path(folder, name))
        sync_folder(Path(folder))
    return copied


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
