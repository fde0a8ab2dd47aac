"""The bytes of a file by ranges, once they are those that the document of its snapshot names, and only those.

Whoever reads a sealed snapshot holds its keys, so they could seal another table under the same name: that it opens says
nothing of who made it. The digest in the document does, as a builder signed that. It is of the whole file, and the file
may be another by the next read (a cache that is shared, links, a server): so each range is checked as it is read.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from dsetkit.errors import StorageError, TamperError
from dsetkit.snapshots.envelope import StoredFile
from dsetkit.storage.folder import Folder
from dsetkit.storage.url import full_range

_HELD_BYTES = 64 * 1024 * 1024
"""A file of a remote folder up to this size is fetched once and held; a larger one is read twice."""

HEAD_BYTES = 24
RANGE_BYTES = 1024 * 1024 + 16
"""The first range, and those after it: header and chunks of a sealed file, so that a chunk is just one range."""

_AT_ONCE = 8
"""Ranges of a remote file that are fetched by one request while its digest is taken."""


def check_digests(folder: Folder, files: Iterable[StoredFile]) -> None:
    """Raises ``TamperError`` for the first file that is not the one the document names, ``StorageError``."""
    for file in files:
        StoredBytes(folder, file).reader()


class StoredBytes:
    """One file of a folder. Its digest is taken before it is read; what is read later is what that digest is of."""

    def __init__(self, folder: Folder, part: StoredFile) -> None:
        self._folder, self._part = folder, part
        self._states: list[Any] = []
        self._size = 0

    def reader(self) -> Callable[[int, int], bytes]:
        """``read(start, length)``, which raises too. Raises ``TamperError``, ``StorageError``."""
        name, size = self._part.name, self._part.size_bytes
        if self._folder.local_path(name) is None and size <= _HELD_BYTES:
            data = self._folder.read_range(name, 0, size)
            self._check(hashlib.sha256(data).hexdigest())
            return lambda start, length: data[start : start + length]
        if not self._states:
            self._take()
        return self._read

    def _take(self) -> None:
        """Take the digest, and remember SHA-256 as it is between ranges.

        Going on from such a state with the bytes of one range must give the next: that is as hard to forge as the
        digest itself, and nothing is hashed twice. A state is some hundred bytes for each mebibyte of the file.
        """
        state, size = hashlib.sha256(), 0
        states = [state.copy()]
        for data in self._ranges():
            state.update(data)
            size += len(data)
            states.append(state.copy())
        self._check(state.hexdigest())
        self._states, self._size = states, size

    def _ranges(self) -> Iterator[bytes]:
        name, size = self._part.name, self._part.size_bytes
        path = self._folder.local_path(name)
        if path is None:
            yield self._folder.read_range(name, 0, min(HEAD_BYTES, size))
            for start in range(HEAD_BYTES, size, _AT_ONCE * RANGE_BYTES):
                data = self._folder.read_range(name, start, min(_AT_ONCE * RANGE_BYTES, size - start))
                for at in range(0, len(data), RANGE_BYTES):
                    yield data[at : at + RANGE_BYTES]
            return
        try:
            with path.open("rb") as file:  # to its end: what follows on the stated size would be another file
                yield file.read(HEAD_BYTES)
                while data := file.read(RANGE_BYTES):
                    yield data
        except OSError as error:
            raise StorageError(
                f"{path} could not be read ({error.strerror})",
                url=str(path),
                hint="Check the permissions and the disk.",
            ) from error

    def _read(self, start: int, length: int) -> bytes:
        """Whole ranges around what is asked for, each checked."""
        name, end = self._part.name, start + length
        if length == 0 or not 0 <= start < end <= self._size:
            return full_range(b"", self._folder.url, name, start, length)
        first, last = _number(start), _number(end - 1)
        begin = _start(first)
        data = self._folder.read_range(name, begin, min(_start(last + 1), self._size) - begin)
        if first == last:  # as nearly always: no bytes are copied
            self._check_range(first, data)
        else:
            view, bounds = memoryview(data), [*map(_start, range(first, last + 2))]
            for number, (at, until) in enumerate(itertools.pairwise(bounds), first):
                self._check_range(number, view[at - begin : until - begin])
        return data if len(data) == length else data[start - begin : end - begin]

    def _check_range(self, number: int, data: bytes | memoryview) -> None:
        state = self._states[number].copy()
        state.update(data)
        if state.digest() != self._states[number + 1].digest():
            raise TamperError(
                f"{self._part.name} of {self._folder.url} is no longer the file that snapshot.json names: it was "
                "altered after it was opened",
                subject=self._part.name,
                hint=_HINT,
            )

    def _check(self, digest: str) -> None:
        if digest != self._part.digest:
            self._refuse(digest)

    def _refuse(self, digest: str) -> NoReturn:
        raise TamperError(
            f"{self._part.name} of {self._folder.url} is not the file that snapshot.json names: its digest is {digest}",
            subject=self._part.name,
            hint=_HINT,
        )


_HINT = (
    "Fetch it again (under DVC: dvc checkout; dsetkit verify --repair); if it stays so, somebody altered it: build it "
    "again."
)


def _number(position: int) -> int:
    """The range that a byte is in."""
    return 0 if position < HEAD_BYTES else 1 + (position - HEAD_BYTES) // RANGE_BYTES


def _start(number: int) -> int:
    """The first byte of a range."""
    return 0 if number == 0 else HEAD_BYTES + (number - 1) * RANGE_BYTES
