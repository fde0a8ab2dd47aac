"""The bytes of a file by ranges, once they are those that the document of its snapshot names.

Whoever reads a sealed snapshot holds its keys, so they could seal another table under the same name: that it opens says
nothing of who made it. The digest in the document does, as a builder signed that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import NoReturn

from dsetkit.errors import StorageError, TamperError
from dsetkit.snapshots.envelope import StoredFile
from dsetkit.snapshots.parquet_out import hash_file
from dsetkit.storage.folder import Folder

_HELD_BYTES = 64 * 1024 * 1024
"""A file of a remote folder up to this size is fetched once and held; a larger one is read twice."""

_BLOCK_BYTES = 8 * 1024 * 1024


def check_digests(folder: Folder, files: Iterable[StoredFile]) -> None:
    """Raises ``TamperError`` for the first file that is not the one the document names, ``StorageError``."""
    for file in files:
        StoredBytes(folder, file).reader()


class StoredBytes:
    """One file of a folder. Its digest is taken before it is read, and again where another file is there by then."""

    def __init__(self, folder: Folder, part: StoredFile) -> None:
        self._folder, self._part = folder, part
        self._known: tuple[int, ...] | None = None

    def reader(self) -> Callable[[int, int], bytes]:
        """``read(start, length)``. Raises ``TamperError``, ``StorageError``."""
        name, size = self._part.name, self._part.size_bytes
        path = self._folder.local_path(name)
        if path is not None:
            try:
                state = path.stat()
                known = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
                if known != self._known:
                    self._check(hash_file(path)[0])
                    self._known = known
            except OSError as error:
                raise StorageError(
                    f"{path} could not be read ({error.strerror})",
                    url=str(path),
                    hint="Check the permissions and the disk.",
                ) from error
        elif size <= _HELD_BYTES:
            data = self._folder.read_range(name, 0, size)
            self._check(hashlib.sha256(data).hexdigest())
            return lambda start, length: data[start : start + length]
        elif self._known is None:
            digest = hashlib.sha256()
            for start in range(0, size, _BLOCK_BYTES):
                digest.update(self._folder.read_range(name, start, min(_BLOCK_BYTES, size - start)))
            self._check(digest.hexdigest())
            self._known = ()
        return partial(self._folder.read_range, name)

    def _check(self, digest: str) -> None:
        if digest != self._part.digest:
            self._refuse(digest)

    def _refuse(self, digest: str) -> NoReturn:
        raise TamperError(
            f"{self._part.name} of {self._folder.url} is not the file that snapshot.json names: its digest is {digest}",
            subject=self._part.name,
            hint="Fetch it again (under DVC: dvc checkout; dsetkit verify --repair); if it stays so, somebody altered "
            "it: build it again.",
        )
