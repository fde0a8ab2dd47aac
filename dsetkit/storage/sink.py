"""Where exports go: a new folder on this machine, whole or not at all, or any URL that can be written to."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from dsetkit.errors import NotFoundError, StorageError, UsageError
from dsetkit.storage.atomic import TEMPORARY_SUFFIX, remove_tree, sync_folder, written
from dsetkit.storage.url import Remote, check_name, to_local

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class Sink:
    """Takes files by name. As a context it commits at its end, or aborts where an error left it.

    Each name is written once. Not for several threads at once.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        """Where the files go; safe to show."""
        self._names: set[str] = set()
        self._closed = False

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def write(self, name: str, data: bytes) -> None:
        """Writes one file, its folders with it.

        ``name`` is a relative path with ``/`` between its parts. Raises ``StorageError`` for a name that is absolute
        or has a ``..`` part and for what the storage refuses, ``UsageError`` for a name that was written before or
        after the end.
        """
        check_name(name, self.url)
        if self._closed or name in self._names:
            what = "is closed" if self._closed else f"has {name} already"
            raise UsageError(f"{self.url} {what}", hint="Write each file once, before the commit.")
        self._names.add(name)
        self._put(name, data)

    def commit(self) -> None:
        """Makes what was written stand. Raises ``StorageError``; on this machine, nothing is there then."""
        if not self._closed:
            self._closed = True
            self._finish()

    def abort(self) -> None:
        """Takes away what was written; nothing after a commit. Raises ``StorageError``."""
        if not self._closed:
            self._closed = True
            self._undo()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            with contextlib.suppress(StorageError):  # the error that led here says more
                self.abort()

    def _put(self, name: str, data: bytes) -> None:
        raise NotImplementedError

    def _finish(self) -> None:
        raise NotImplementedError

    def _undo(self) -> None:
        raise NotImplementedError


class LocalSink(Sink):
    """Builds a hidden folder beside the destination and renames it at commit. Files are not synced one by one."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._place = Path(os.path.realpath(path))
        with written(path):
            if self._place.exists() and not self._place.is_dir():
                raise UsageError(f"{path} is a file", hint="Name a folder that is not there yet.")
            if self._place.is_dir() and any(self._place.iterdir()):
                raise UsageError(f"{path} is not empty", hint="Name another folder, or empty this one first.")
            self._place.parent.mkdir(parents=True, exist_ok=True)
            self._building = self._place.with_name(
                f".{self._place.name[:100]}.{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
            )
            self._building.mkdir()
        self._folders = {""}
        self._root = f"{self._building}{os.sep}"

    def _put(self, name: str, data: bytes) -> None:
        # Labels are tens of thousands of small files: no more is done for each than the system asks for.
        try:
            self._create(name, data)
        except OSError as error:
            with written(self._building / name):
                raise error

    def _create(self, name: str, data: bytes) -> None:
        folder = name.rpartition("/")[0]
        if folder not in self._folders:
            os.makedirs(f"{self._root}{folder}", exist_ok=True)
            self._folders.add(folder)
        file = os.open(f"{self._root}{name}", _NEW_FILE, 0o666)
        try:
            done = os.write(file, data)
            while done < len(data):
                done += os.write(file, memoryview(data)[done:])
        finally:
            os.close(file)

    def _finish(self) -> None:
        try:
            with written(self._place):
                os.rename(self._building, self._place)  # onto an empty folder or nothing, else it fails
                sync_folder(self._place.parent)
        except StorageError:
            self._undo()
            raise

    def _undo(self) -> None:
        remove_tree(self._building)


class RemoteSink(Sink):
    """Puts each file at once; a reader may see some of them before the commit. ``abort`` deletes what was put."""

    def __init__(self, url: str) -> None:
        self._remote = Remote(url)
        super().__init__(self._remote.url)
        if self._remote.find():
            raise UsageError(f"{self.url} is not empty", hint="Name another address, or empty this one first.")

    def _put(self, name: str, data: bytes) -> None:
        self._remote.write(name, data)

    def _finish(self) -> None:
        pass

    def _undo(self) -> None:
        for name in sorted(self._names):
            with contextlib.suppress(StorageError, NotFoundError):
                self._remote.delete(name)


def open_sink(dst: str | Path) -> Sink:
    """A sink into a folder or fsspec URL in which nothing is yet.

    Raises ``UsageError`` for a destination that is a file or not empty, ``StorageError``, ``MissingExtraError``.
    """
    path = to_local(dst)
    return RemoteSink(str(dst)) if path is None else LocalSink(path)
