"""The files of a version by DVC's object ids: from the cache where they are, else by range from the remote."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsetkit.errors import DsetkitError, NotFoundError, StorageError
from dsetkit.snapshots.read import Exporter, Snapshot, open_snapshot
from dsetkit.storage.folder import MappedFolder
from dsetkit.storage.url import full_range

if TYPE_CHECKING:
    from dvc.repo import Repo

_OID = re.compile(r"[0-9a-f]{32}\Z")
"""Of a file; it becomes a path, so nothing else will do."""
_HINT = "Fetch it where it is (dvc fetch), or push it from where it was made (dvc push --all-commits)."


class Objects:
    """DVC's objects of one project: those of its cache, and those of its remote. Threads may share it.

    Nothing that is read from a remote is kept: a version can be looked into without room for it.
    """

    def __init__(self, root: Path, *, remote: bool = True) -> None:
        """``remote``: whether what the cache lacks is read from the project's remote."""
        self.root = root
        self._may_ask = self._has_remote = remote
        self._lock = threading.Lock()
        self._repo: Repo | None = None
        self._closing = ExitStack()
        self._odb: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _objects, (self.root, self._may_ask)

    def close(self) -> None:
        """Let go of DVC's files; the next read opens them again."""
        with self._lock:
            self._closing.close()
            self._repo = self._odb = None

    def path(self, oid: str) -> Path:
        """Where the cache has an object, or would have it."""
        return Path(self._opened().cache.local.oid_to_path(oid))

    def read(self, oid: str, what: str) -> bytes:
        """All bytes of an object. ``what`` is its name in messages. Raises ``NotFoundError``, ``StorageError``."""
        path = self.path(oid)
        with suppress(FileNotFoundError):
            return path.read_bytes()
        return self._fetch(oid, what, None, None)

    def read_range(self, oid: str, what: str, start: int, length: int) -> bytes:
        """Bytes of an object that is in the remote, in one request; fewer where it ends before. Raises as ``read``."""
        return self._fetch(oid, what, start, start + length) if length else b""

    def size_bytes(self, oid: str) -> int | None:
        """The size of an object that is in the remote; None where it is not there."""
        odb = self._remote()
        if odb is None:
            return None
        try:
            return int(odb.fs.size(odb.oid_to_path(oid)))
        except FileNotFoundError:
            return None
        except Exception as error:  # drivers raise what they like
            raise self._unreachable(oid, error) from error

    def _fetch(self, oid: str, what: str, start: int | None, end: int | None) -> bytes:
        odb = self._remote()
        if odb is None:
            why = ", and the project has no remote" if self._may_ask else ""
            raise NotFoundError(f"{what} is not in DVC's cache{why}", name=what, hint=_HINT)
        try:
            data: bytes = odb.fs.fs.cat_file(odb.oid_to_path(oid), start=start, end=end)
        except FileNotFoundError:
            raise NotFoundError(
                f"{what} is neither in DVC's cache nor in the remote {odb.fs.unstrip_protocol(odb.path)}",
                name=what,
                hint=_HINT,
            ) from None
        except Exception as error:  # drivers raise what they like
            raise self._unreachable(what, error) from error
        return data

    def _unreachable(self, what: str, error: Exception) -> StorageError:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        return StorageError(
            f"{what} could not be read from the remote ({said})",
            url=str(self.root),
            hint="Check the connection and the credentials (dvc remote list, dvc doctor), then try again.",
        )

    def _opened(self) -> Repo:
        with self._lock:
            if self._repo is None:
                from dvc.repo import Repo

                self._repo = self._closing.enter_context(Repo(str(self.root)))
            return self._repo

    def _remote(self) -> Any:
        """DVC's object database of the remote; None where the project has none."""
        if not self._has_remote:
            return None
        repo = self._opened()
        with self._lock:
            if self._odb is None:
                from dvc.config import NoRemoteError
                from dvc.exceptions import DvcException

                try:
                    self._odb = repo.cloud.get_remote_odb(command="dsetkit")
                except NoRemoteError:
                    self._has_remote = False
                except DvcException as error:
                    raise self._unreachable("an object", error) from error
            return self._odb


def _objects(root: Path, remote: bool) -> Objects:
    return Objects(root, remote=remote)


class ObjectFolder:
    """A folder as DVC recorded it (a ``Folder``): names and object ids."""

    def __init__(self, url: str, files: Mapping[str, str], objects: Objects) -> None:
        """``url`` says in messages what this is; ``files`` is name → object id. Raises ``StorageError``."""
        self._files = dict(files)
        self._objects = objects
        self._cached = MappedFolder(url, {name: objects.path(oid) for name, oid in files.items()})

    @property
    def url(self) -> str:
        """What this is, as given."""
        return self._cached.url

    def read(self, name: str) -> bytes:
        """See ``Folder.read``."""
        if self._is_remote(name):
            return self._objects.read(self._files[name], f"{name} of {self.url}")
        return self._cached.read(name)

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """See ``Folder.read_range``."""
        if not self._is_remote(name) or start < 0 or length < 0:
            return self._cached.read_range(name, start, length)
        data = self._objects.read_range(self._files[name], f"{name} of {self.url}", start, length)
        return full_range(data, self.url, name, start, length)

    def size_bytes(self, name: str) -> int | None:
        """See ``Folder.size_bytes``."""
        return self._objects.size_bytes(self._files[name]) if self._is_remote(name) else self._cached.size_bytes(name)

    def local_path(self, name: str) -> Path | None:
        """See ``Folder.local_path``: in DVC's cache."""
        return self._cached.local_path(name)

    def names(self) -> Iterator[str]:
        """See ``Folder.names``."""
        return self._cached.names()

    def oid(self, name: str) -> str:
        """DVC's object id of a file that is there."""
        return self._files[name]

    def _is_remote(self, name: str) -> bool:
        return name in self._files and self._cached.local_path(name) is None


def recorded_files(objects: Objects, oid: str, what: str) -> dict[str, str]:
    """Name → object id of the files of a folder's object (``<md5>.dir``).

    Raises ``NotFoundError`` where neither cache nor remote has it, ``StorageError`` for one that is damaged.
    """
    try:
        entries = json.loads(objects.read(oid, f"the list of files of {what}"))
        files = {str(entry["relpath"]): str(entry["md5"]) for entry in entries}
        if not all(_OID.match(found) for found in files.values()):
            raise ValueError("an id is none")
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"the list of files of {what} is damaged ({oid})",
            url=what,
            hint="Delete it from DVC's cache and fetch it again.",
        ) from error
    return files


def open_object(objects: Objects, oid: str, what: str, *, export: Exporter | None = None) -> Snapshot:
    """The snapshot of a folder's object. Raises as ``recorded_files`` and ``open_snapshot`` do."""
    folder = ObjectFolder(what, recorded_files(objects, oid, what), objects)
    return open_snapshot(folder, export=export, check=False)


def open_cached(objects: Objects, oid: str, what: str) -> Snapshot | None:
    """As ``open_object``, but None where there is no snapshot that can be opened."""
    try:
        return open_object(objects, oid, what)
    except (DsetkitError, OSError):
        return None
