"""Folders that can be written to, file by file: where a backup is kept. Each file comes into place whole.

On this machine, and on servers that rename (sftp, ssh, smb, hdfs, ftp), a file gets its name when it is whole. Object
stores (S3, GCS, Azure) show a file when all of it has arrived.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from dsetkit.errors import NotFoundError, StorageError, UsageError
from dsetkit.storage.atomic import TEMPORARY_SUFFIX, sync_folder, temporary_beside, write_atomic, written
from dsetkit.storage.folder import Folder, LocalFolder, RemoteFolder
from dsetkit.storage.retry import protocols
from dsetkit.storage.url import check_name, to_local

_RENAMING = frozenset({"sftp", "ssh", "smb", "hdfs", "webhdfs", "ftp"})
"""Drivers that write into the file itself, and can rename."""

_AT_ONCE_BYTES = 64 * 1024 * 1024
"""A larger file is sent from the disk, in parts."""


@runtime_checkable
class WritableFolder(Folder, Protocol):
    """A ``Folder`` that takes files. Names as there; threads may share it where they write different names."""

    def sizes(self) -> dict[str, int]:
        """Name → size of every file, hidden and unfinished ones too; empty where nothing is there.

        One listing, never from a cache. Raises ``StorageError``.
        """
        ...

    def write(self, name: str, data: bytes) -> None:
        """Puts a file, replacing what stood there. Raises ``StorageError``, ``UsageError`` for a read-only place."""
        ...

    def write_file(self, name: str, source: Path) -> None:
        """Puts a copy of a file of this machine, never a link to it. Raises as ``write`` does."""
        ...

    def delete(self, name: str) -> None:
        """Takes a file away; nothing there is fine. Raises ``StorageError``."""
        ...


class LocalWritable(LocalFolder):
    """A folder on this machine that takes files; what was written is on disk (fsync) when a call returns."""

    def sizes(self) -> dict[str, int]:
        """See ``WritableFolder.sizes``."""
        found = {}
        for name in self.names():
            path = self.local_path(name)
            if path is not None:
                found[name] = path.stat().st_size
        return found

    def write(self, name: str, data: bytes) -> None:
        """See ``WritableFolder.write``."""
        write_atomic(self._place(check_name(name, self.url)), data)

    def write_file(self, name: str, source: Path) -> None:
        """See ``WritableFolder.write_file``."""
        target = self._place(check_name(name, self.url))
        with written(target), temporary_beside(target) as temporary:
            with source.open("rb") as given, temporary.open("xb") as file:
                shutil.copyfileobj(given, file, 1024 * 1024)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
            sync_folder(target.parent)

    def delete(self, name: str) -> None:
        """See ``WritableFolder.delete``."""
        path = self._place(check_name(name, self.url))
        with written(path):
            path.unlink(missing_ok=True)


class RemoteWritable(RemoteFolder):
    """A folder that a driver of fsspec reaches, and that takes files."""

    def sizes(self) -> dict[str, int]:
        """See ``WritableFolder.sizes``."""
        found = {}
        for path, details in self._remote.find().items():
            name = self._remote.relative(path)
            size = details.get("size")
            found[name] = int(size) if size is not None else self.size_bytes(name) or 0
        return found

    def write(self, name: str, data: bytes) -> None:
        """See ``WritableFolder.write``."""
        self._put(name, lambda target: self._remote.write(target, data))

    def write_file(self, name: str, source: Path) -> None:
        """See ``WritableFolder.write_file``."""
        with written(source):
            data = source.read_bytes() if source.stat().st_size <= _AT_ONCE_BYTES else None
        if data is None:
            self._put(name, lambda target: self._remote.write_file(target, source))
        else:
            self.write(name, data)

    def delete(self, name: str) -> None:
        """See ``WritableFolder.delete``."""
        self._check_writable(name)
        with contextlib.suppress(NotFoundError):
            self._remote.delete(name)

    def _put(self, name: str, put: Callable[[str], None]) -> None:
        """Let ``put`` write a file; where drivers write into the file itself, under another name at first."""
        self._check_writable(name)
        if not self._renames:
            put(name)
            return
        temporary = _temporary(name)
        put(temporary)
        self._remote.rename(temporary, name)

    @property
    def _renames(self) -> bool:
        return not _RENAMING.isdisjoint(protocols(self._remote.fs))

    def _check_writable(self, name: str) -> None:
        check_name(name, self.url)
        if self._remote.is_http:
            raise UsageError(
                f"{self.url} can only be read: http(s) takes no files",
                hint="Name a folder, or an address of s3, gs, az or sftp.",
            )


def open_writable(url: str | Path) -> LocalWritable | RemoteWritable:
    """The folder at a path or any fsspec URL; nothing need be there yet, and nothing is made before it is written to.

    Raises ``StorageError`` where a file stands there, ``UsageError`` for an unknown protocol, ``MissingExtraError``.
    """
    path = to_local(url)
    if path is None:
        return RemoteWritable(str(url))
    if path.exists() and not path.is_dir():
        raise StorageError(f"{path} is a file", url=str(path), hint="Name a folder.")
    return LocalWritable(path)


def is_unfinished(name: str) -> bool:
    """Whether this is the name of a file that a write which was stopped has left."""
    last = name.rpartition("/")[2]
    return last.startswith(".") and last.endswith(TEMPORARY_SUFFIX)


def _temporary(name: str) -> str:
    folder, mark, last = name.rpartition("/")
    return f"{folder}{mark}.{last[:100]}.{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
