"""DVC's objects as streams: hashed as they pass, copied only where they are what their name says."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from dsetkit.errors import NotFoundError, StorageError
from dsetkit.history.backup.index import StoredFile, object_name
from dsetkit.history.objects import Objects
from dsetkit.storage.atomic import sync_folder, temporary_beside, written
from dsetkit.storage.folder import Folder

BLOCK_BYTES = 8 * 1024 * 1024


class Hashed(NamedTuple):
    """What a stream of bytes was."""

    md5: str
    digest: str
    size_bytes: int

    def is_object(self, oid: str) -> bool:
        """Whether these are the bytes of an object of DVC."""
        return self.md5 == oid.removesuffix(".dir")

    def is_file(self, stored: StoredFile) -> bool:
        """Whether these are the bytes that an index names."""
        return (self.digest, self.size_bytes) == (stored.digest, stored.size_bytes)

    @property
    def stored(self) -> StoredFile:
        """As an index names it."""
        return StoredFile(size_bytes=self.size_bytes, digest=self.digest)


Blocks = Callable[[], Iterable[bytes]]
"""Begins to read from somewhere. Raises ``DsetkitError``, at once or on the way."""


def hashed(blocks: Iterable[bytes]) -> Hashed:
    """Reads all and keeps nothing."""
    md5, digest, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    for block in blocks:
        md5.update(block)
        digest.update(block)
        size += len(block)
    return Hashed(md5.hexdigest(), digest.hexdigest(), size)


def copy_object(blocks: Iterable[bytes], target: Path, oid: str) -> Hashed | None:
    """Writes an object to a path, as DVC keeps it (read-only); None, and nothing is written, for other bytes.

    What stood at ``target`` is replaced by a rename: another name of it (a hard link) keeps the old bytes. Raises
    ``StorageError``, and what ``blocks`` raises.
    """
    with written(target), temporary_beside(target) as temporary:
        with temporary.open("xb") as file:
            found = hashed(teed(blocks, file))
            file.flush()
            os.fsync(file.fileno())
        if not found.is_object(oid):
            return None
        os.chmod(temporary, 0o444)
        os.replace(temporary, target)
        sync_folder(target.parent)
    return found


def teed(blocks: Iterable[bytes], file: BinaryIO) -> Iterator[bytes]:
    """The same blocks, each written to a file as it passes."""
    for block in blocks:
        file.write(block)
        yield block


def file_blocks(path: Path) -> Iterator[bytes]:
    """A file of this machine. Raises ``NotFoundError``, ``StorageError``."""
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block
    except FileNotFoundError:
        raise NotFoundError(f"{path} is not there", name=str(path), hint="Fetch it: dvc fetch.") from None
    except OSError as error:
        raise StorageError(
            f"{path} could not be read ({error.strerror})", url=str(path), hint="Check the permissions and the disk."
        ) from error


def folder_blocks(folder: Folder, name: str) -> Iterator[bytes]:
    """A file of a folder, in ranges, as long as it says it is. Raises ``NotFoundError``, ``StorageError``."""
    size = folder.size_bytes(name)
    if size is None:
        raise NotFoundError(f"{folder.url}/{name} is not there", name=name, hint="See dsetkit backup verify.")
    for start in range(0, size, BLOCK_BYTES):
        yield folder.read_range(name, start, min(BLOCK_BYTES, size - start))


def cache_blocks(objects: Objects, oid: str) -> Iterator[bytes]:
    """An object of DVC's cache. Raises ``NotFoundError``, ``StorageError``."""
    return file_blocks(objects.path(oid))


def remote_blocks(objects: Objects, oid: str, what: str) -> Iterator[bytes]:
    """An object of the project's remote. Raises ``NotFoundError``, ``StorageError``."""
    size = objects.size_bytes(oid)
    if size is None:
        raise NotFoundError(f"{what} is not in DVC's remote", name=what, hint="Push it from where it was made.")
    for start in range(0, size, BLOCK_BYTES):
        length = min(BLOCK_BYTES, size - start)
        data = objects.read_range(oid, what, start, length)
        if len(data) != length:
            raise StorageError(f"{what} ends before its size in the remote", url=what, hint="Run it again.")
        yield data


def backup_blocks(folder: Folder, oid: str) -> Iterator[bytes]:
    """An object of a backup. Raises ``NotFoundError``, ``StorageError``."""
    return folder_blocks(folder, object_name(oid))
