"""Folders: files by name at one place, local, remote, or scattered. Ranged reads take one request, no read-ahead."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

from dsetkit.errors import NotFoundError, StorageError
from dsetkit.storage.url import Remote, check_name, full_range, is_local, nearest, not_there, to_local

__all__ = ["Folder", "LocalFolder", "MappedFolder", "RemoteFolder", "is_local", "open_folder"]


@runtime_checkable
class Folder(Protocol):
    """Read access to the files below one place. Implementations are picklable and safe to share among threads.

    A *name* is a relative path with ``/`` between its parts. Every method that takes one raises ``StorageError`` for a
    name that is absolute or has a ``..`` part, and for what the system or a driver could not do.
    """

    @property
    def url(self) -> str:
        """Where it is; safe to show and to record (credentials and query strings are redacted)."""
        ...

    def read(self, name: str) -> bytes:
        """All bytes of a file. Raises ``NotFoundError`` where it is not there."""
        ...

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """Exactly ``length`` bytes from byte ``start``.

        Raises ``NotFoundError`` where the file is not there, ``StorageError`` where it ends before.
        """
        ...

    def size_bytes(self, name: str) -> int | None:
        """A file's size; None where it is not there."""
        ...

    def local_path(self, name: str) -> Path | None:
        """The file itself, where it stands on this machine; None where it does not or is not there."""
        ...

    def names(self) -> Iterator[str]:
        """The names of all files, hidden ones too, sorted."""
        ...


class _OnDisk:
    """What folders on this machine have in common: a name leads to a path."""

    @property
    def url(self) -> str:
        """Where it is."""
        raise NotImplementedError

    def read(self, name: str) -> bytes:
        """See ``Folder.read``."""
        with self._opened(name) as (path, _):
            return path.read_bytes()

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """See ``Folder.read_range``."""
        _check_range(self.url, start, length)
        with self._opened(name) as (path, size):
            there = max(0, min(length, size - start))  # a lying length must not reserve memory
            with path.open("rb", buffering=0) as file:
                file.seek(start)
                data = file.read(there)
                while len(data) < there and (more := file.read(there - len(data))):
                    data += more
        return full_range(data, self.url, name, start, length)

    def size_bytes(self, name: str) -> int | None:
        """See ``Folder.size_bytes``."""
        path = self.local_path(name)
        return None if path is None else path.stat().st_size

    def local_path(self, name: str) -> Path | None:
        """See ``Folder.local_path``."""
        path = self._place(check_name(name, self.url))
        return path if path is not None and path.is_file() else None

    def _place(self, name: str) -> Path | None:
        raise NotImplementedError

    def _missing(self, name: str) -> NotFoundError:
        raise NotImplementedError

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[Path, int]]:
        path = self._place(check_name(name, self.url))
        if path is None:
            raise self._missing(name)
        try:
            yield path, path.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing(name) from None
        except OSError as error:
            raise StorageError(
                f"{path} could not be read ({error.strerror})",
                url=str(path),
                hint="Check the permissions and the disk.",
            ) from error


class LocalFolder(_OnDisk):
    """A folder on this machine. Links are followed: DVC may link a snapshot's files into its cache."""

    def __init__(self, path: Path | str) -> None:
        """The folder need not exist yet."""
        self._path = Path(path)

    def __repr__(self) -> str:
        return f"LocalFolder({self.url!r})"

    @property
    def url(self) -> str:
        """The path, as given."""
        return str(self._path)

    def names(self) -> Iterator[str]:
        """See ``Folder.names``."""
        found: list[str] = []
        for folder, _, files in os.walk(self._path):
            inner = Path(folder).relative_to(self._path).as_posix()
            found += files if inner == "." else [f"{inner}/{file}" for file in files]
        return iter(sorted(found))

    def _place(self, name: str) -> Path:
        return self._path / name

    def _missing(self, name: str) -> NotFoundError:
        error = not_there(self._path / name)
        return NotFoundError(error.message, name=name, hint=error.hint)


class RemoteFolder:
    """A folder that a driver of fsspec reaches."""

    def __init__(self, url: str) -> None:
        """Raises ``UsageError`` for an unknown protocol, ``MissingExtraError`` for one without its library."""
        self._remote = Remote(url)

    def __repr__(self) -> str:
        return f"RemoteFolder({self.url!r})"

    @property
    def url(self) -> str:
        """The address, redacted: to open the folder elsewhere hand the folder itself on."""
        return self._remote.url

    def read(self, name: str) -> bytes:
        """See ``Folder.read``."""
        return self._remote.read(check_name(name, self.url))

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """See ``Folder.read_range``."""
        _check_range(self.url, start, length)
        return self._remote.read_range(check_name(name, self.url), start, length)

    def size_bytes(self, name: str) -> int | None:
        """See ``Folder.size_bytes``. Reads the whole file where the server does not tell its size."""
        details = self._remote.info(check_name(name, self.url))
        if details is None or details.get("type") == "directory":
            return None
        size = details.get("size")
        return len(self._remote.read(name)) if size is None else int(size)

    def local_path(self, name: str) -> Path | None:
        """None."""
        check_name(name, self.url)
        return None

    def names(self) -> Iterator[str]:
        """See ``Folder.names``; over http(s) what the server's index pages link to."""
        return iter(sorted(self._remote.relative(path) for path in self._remote.find()))


class MappedFolder(_OnDisk):
    """Files that stand elsewhere on this machine, under given names: a snapshot's in DVC's cache."""

    def __init__(self, url: str, files: Mapping[str, Path]) -> None:
        """``url`` says in messages what this is; ``files`` is name → path. Raises ``StorageError`` for a bad name."""
        self._url = url
        self._files = {check_name(name, url): Path(path) for name, path in files.items()}

    def __repr__(self) -> str:
        return f"MappedFolder({self.url!r}, {len(self._files)} files)"

    @property
    def url(self) -> str:
        """What this is, as given."""
        return self._url

    def names(self) -> Iterator[str]:
        """See ``Folder.names``: the given ones, whether or not they stand where they should."""
        return iter(sorted(self._files))

    def _place(self, name: str) -> Path | None:
        return self._files.get(name)

    def _missing(self, name: str) -> NotFoundError:
        place = self._files.get(name)
        if place is not None:
            return NotFoundError(
                f"{name} of {self.url} is not at {place}", name=name, hint="Fetch it (under DVC: dvc fetch)."
            )
        hint = nearest(name, self._files) or "Check the name."
        return NotFoundError(f"{self.url} has no {name}", name=name, hint=hint)


def open_folder(url: str | Path) -> Folder:
    """The folder at a path or any fsspec URL.

    Raises ``NotFoundError`` where a local folder is not there (a remote one is not asked: object stores have no
    folders), ``StorageError`` where it is a file, ``UsageError`` for an unknown protocol, ``MissingExtraError``.
    """
    path = to_local(url)
    if path is None:
        return RemoteFolder(str(url))
    if not path.exists():
        raise not_there(path)
    if not path.is_dir():
        raise StorageError(f"{path} is a file", url=str(path), hint="Name the folder it is in.")
    return LocalFolder(path)


def _check_range(url: str, start: int, length: int) -> None:
    if start < 0 or length < 0:
        raise StorageError(
            f"No file of {url} has {length} bytes from byte {start}",
            url=url,
            hint="Both are at least 0; the manifest that says so is damaged.",
        )
