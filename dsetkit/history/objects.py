"""The files of a version by DVC's object ids: from the cache where they are, else by range from the remote."""

from __future__ import annotations

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dsetkit.errors import DsetkitError, NotFoundError, StorageError
from dsetkit.history.dvc_config import check_remotes, open_repo
from dsetkit.history.statements import keys_at
from dsetkit.snapshots.read import Exporter, Snapshot, open_snapshot
from dsetkit.storage.folder import MappedFolder
from dsetkit.storage.retry import Retries, may_pass, patience_s, read_between, reopened, within
from dsetkit.storage.url import full_range, redact

if TYPE_CHECKING:
    from dvc.repo import Repo

T = TypeVar("T")

MAX_WHOLE_BYTES = 1 << 30
"""No list of files, document or part of a manifest is larger; what is, is not read into memory."""
_WORKERS = 16
_OID = re.compile(r"[0-9a-f]{32}\Z")
"""Of a file; it becomes a path, so nothing else will do."""
_HINT = "Fetch it where it is (dvc fetch), or push it from where it was made (dvc push --all-commits)."
_DAMAGED = {
    "in DVC's cache": "Delete it from DVC's cache and fetch it again.",
    "in the remote": "Delete it there, and push it again from where it is whole (docs/remotes.md says how).",
}


class Objects:
    """DVC's objects of one project: those of its cache, and those of its remote. Threads may share it.

    Nothing that is read from a remote is kept: a version can be looked into without room for it. A connection that is
    lost is opened again a few times; each answer has a limit in time, and is hashed where it is a whole object.
    """

    def __init__(self, root: Path, *, remote: bool = True) -> None:
        """``remote``: whether what the cache lacks is read from the project's remote."""
        self.root = root
        self._may_ask = self._has_remote = remote
        self._lock = threading.Lock()
        self._repo: Repo | None = None
        self._closing = ExitStack()
        self._odb: Any = None
        self._retries = Retries()

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
        """All bytes of an object. ``what`` is its name in messages.

        Raises ``NotFoundError`` where it is nowhere; ``StorageError`` where its bytes are not those it is named for,
        where it is larger than ``MAX_WHOLE_BYTES``, and where the remote cannot be read.
        """
        path = self.path(oid)
        try:
            data, place = path.read_bytes(), "in DVC's cache"
        except FileNotFoundError:
            data, place = self._fetch(oid, what, 0, MAX_WHOLE_BYTES + 1), "in the remote"
        if len(data) > MAX_WHOLE_BYTES:
            raise StorageError(
                f"{what} is larger than {MAX_WHOLE_BYTES:,} bytes {place} ({oid})",
                url=str(self.root),
                hint="No list or table of a snapshot is; something else was put in its place. See docs/remotes.md.",
            )
        if hashlib.md5(data, usedforsecurity=False).hexdigest() != oid.removesuffix(".dir"):
            raise StorageError(f"{what} is damaged {place} ({oid})", url=str(self.root), hint=_DAMAGED[place])
        return data

    def read_range(self, oid: str, what: str, start: int, length: int) -> bytes:
        """Bytes of an object that is in the remote, in one request; fewer where it ends before. Raises as ``read``."""
        if not length:
            return b""
        data = self._fetch(oid, what, start, start + length)
        if len(data) > length:  # a server that knows no ranges sent the whole object
            data = data[start : start + length]
        return data

    def size_bytes(self, oid: str) -> int | None:
        """The size of an object that is in the remote; None where it is not there. Raises ``StorageError``."""

        def asked(driver: Any, path: str) -> int:
            return int(within(driver, "info", path, seconds=patience_s(0))["size"])

        try:
            return self._ask(oid, f"object {oid}", asked)
        except NotFoundError:
            return None

    def sizes_bytes(self, oids: Iterable[str]) -> dict[str, int | None]:
        """The size of each object in the cache or else in the remote; None where it is in neither.

        Raises ``StorageError`` where the remote cannot be asked.
        """
        found: dict[str, int | None] = {}
        for oid in oids:
            try:
                found[oid] = os.stat(self.path(oid)).st_size
            except FileNotFoundError:
                found[oid] = None
        absent = [oid for oid, size in found.items() if size is None]
        if absent and self._remote() is not None:
            with ThreadPoolExecutor(_WORKERS) as pool:
                found.update(zip(absent, pool.map(self.size_bytes, absent), strict=True))
        return found

    def _fetch(self, oid: str, what: str, start: int, end: int) -> bytes:
        """Bytes of an object in the remote, from ``start`` and before ``end``."""
        seconds = patience_s(end - start if end - start <= MAX_WHOLE_BYTES else None)

        def asked(driver: Any, path: str) -> bytes:
            return read_between(driver, path, start, end, seconds=seconds)

        return self._ask(oid, what, asked)

    def _ask(self, oid: str, what: str, call: Callable[[Any, str], T]) -> T:
        """What a call gives for the remote's driver and an object's path there, made again where that may help."""

        def attempt() -> T:
            odb = self._remote()
            if odb is None:
                why = ", and the project has no remote" if self._may_ask else ""
                raise NotFoundError(f"{what} is not in DVC's cache{why}", name=what, hint=_HINT)
            try:
                return call(odb.fs.fs, odb.oid_to_path(oid))
            except FileNotFoundError:
                raise NotFoundError(
                    f"{what} is neither in DVC's cache nor in the remote {redact(odb.fs.unstrip_protocol(odb.path))}",
                    name=what,
                    hint=_HINT,
                ) from None
            except Exception as error:
                if may_pass(error):
                    self._forget(odb)
                raise

        try:
            return self._retries(attempt)
        except DsetkitError:
            raise
        except Exception as error:  # drivers raise what they like
            raise self._unreachable(what, error) from None  # the cause's text may hold a signed URL

    def _unreachable(self, what: str, error: Exception) -> StorageError:
        said = redact(str(error).splitlines()[0] if str(error) else type(error).__name__)
        if may_pass(error):
            message = f"{what} could not be read: the remote did not answer, or the connection was lost ({said})"
            hint = (
                "Try again when the network and the server are there; nothing was changed."
                " dvc fetch brings what is needed into the cache, so that it is there without them."
            )
        else:
            message = f"{what} could not be read from the remote ({said})"
            hint = "Check its address and your credentials (dvc remote list, dvc doctor; docs/remotes.md)."
        return StorageError(message, url=str(self.root), hint=hint)

    def _opened(self) -> Repo:
        with self._lock:
            if self._repo is None:
                self._repo = self._closing.enter_context(open_repo(self.root))
            return self._repo

    def _remote(self) -> Any:
        """DVC's object database of the remote; None where the project has none. Raises ``UsageError``."""
        if not self._has_remote:
            return None
        repo = self._opened()
        with self._lock:
            if self._odb is None:
                from dvc.config import NoRemoteError
                from dvc.exceptions import DvcException

                check_remotes(self.root)
                try:
                    self._odb = repo.cloud.get_remote_odb(command="dsetkit")
                except NoRemoteError:
                    self._has_remote = False
                except DvcException as error:
                    raise self._unreachable("an object", error) from None
            return self._odb

    def _forget(self, odb: Any) -> None:
        """Open the remote anew at the next attempt, if its driver's connection may be lost for good."""
        with self._lock:
            if self._odb is odb and reopened(odb.fs.fs) is not odb.fs.fs:
                self._odb = None


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


def open_object(
    objects: Objects,
    oid: str,
    place: str,
    *,
    rev: str | None = None,
    shown: str | None = None,
    export: Exporter | None = None,
) -> Snapshot:
    """The snapshot of a folder's object. Raises as ``recorded_files`` and ``open_snapshot`` do.

    ``place`` is where it was recorded (``data/cleaned``); a sealed one is refused that is of another stage. ``rev`` is
    the revision that recorded it, whose signatures count for a sealed one; None: the workspace. ``shown``: how messages
    call that revision.
    """
    what = place if rev is None else f"{place} at {shown or rev}"
    folder = ObjectFolder(what, recorded_files(objects, oid, what), objects)
    return open_snapshot(folder, keys=keys_at(objects.root, rev, place), export=export, check=False)


def open_cached(objects: Objects, oid: str, place: str, rev: str | None = None) -> Snapshot | None:
    """As ``open_object``, but None where there is no snapshot that can be opened."""
    try:
        return open_object(objects, oid, place, rev=rev)
    except (DsetkitError, OSError):
        return None
