"""The data of a version: fetched through DVC where the cache lacks it, hashed, built, and its fingerprint taken."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dsetkit.errors import AccessError, DsetkitError, NotFoundError, SnapshotError, StorageError, TamperError
from dsetkit.history.dvc_config import check_remotes, open_repo
from dsetkit.history.objects import Objects, recorded_files
from dsetkit.history.rollback.git import shown
from dsetkit.history.statements import keys_at
from dsetkit.snapshots.fingerprint import fingerprint
from dsetkit.snapshots.opening import read_seals
from dsetkit.snapshots.read import open_snapshot
from dsetkit.snapshots.verify_stored import verify_stored
from dsetkit.storage.atomic import sync_folder
from dsetkit.storage.folder import Folder, LocalFolder
from dsetkit.storage.url import check_name

if TYPE_CHECKING:
    from dvc.repo import Repo

_CHUNK_BYTES = 1 << 20
_WORKERS = min(4, (os.cpu_count() or 1) + 1)
_FETCH = "Push it from where it is (dvc push --all-commits), or restore it from a backup; nothing was changed."


class Wanted(NamedTuple):
    """The DVC objects of some outputs of one version."""

    folders: dict[str, dict[str, str]]
    """Path in the project → name → object, for folders."""
    whose: dict[str, str]
    """Object → what it is, in words; the lists of files (``<md5>.dir``) too."""


def wanted(objects: Objects, outputs: Mapping[str, str], version: str) -> Wanted:
    """What is needed for outputs (path → object). Raises as ``recorded_files`` does."""
    folders: dict[str, dict[str, str]] = {}
    whose: dict[str, str] = {}
    for path, oid in outputs.items():
        what = f"{path} of {version}"
        whose.setdefault(oid, f"the list of files of {what}" if oid.endswith(".dir") else what)
        if oid.endswith(".dir"):
            folders[path] = recorded_files(objects, oid, what)
            for name, inner in folders[path].items():
                whose.setdefault(inner, f"{check_name(name, path)} of {what}")
    return Wanted(folders, whose)


def missing(objects: Objects, oids: Iterable[str]) -> list[str]:
    """The objects that are not in the cache."""
    return [oid for oid in oids if not objects.path(oid).is_file()]


def fetch(repo: Repo, objects: Objects, whose: Mapping[str, str]) -> int:
    """Bring into the cache, through DVC, what it lacks or has damaged; how many objects came.

    Every object is hashed: DVC trusts one that nobody may write to without a look. A damaged one is deleted, as DVC
    does, and fetched again. Raises ``NotFoundError`` naming what no remote has, ``StorageError`` where one cannot be
    reached.
    """
    lacking = missing(objects, whose)
    _pull(repo, objects, lacking, whose)
    damaged = _damaged(objects, whose)
    for oid in damaged:
        with _about(whose[oid]):
            objects.path(oid).unlink(missing_ok=True)
    if damaged:
        try:
            _pull(repo, objects, damaged, whose)
        except NotFoundError as error:
            raise NotFoundError(f"damaged in DVC's cache: {error.message}", name=error.name, hint=_FETCH) from error
        if again := _damaged(objects, {oid: whose[oid] for oid in damaged}):
            raise StorageError(
                f"damaged in the remote too: {shown(whose[oid] for oid in again)}", url=str(objects.root), hint=_FETCH
            )
    return len(lacking) + len(damaged)


def build_folder(repo: Repo, objects: Objects, files: Mapping[str, str], place: Path) -> None:
    """Make a folder of objects of the cache, linked as DVC is configured to. Raises ``StorageError``."""
    from dvc_objects.fs.generic import test_links, transfer

    with _about(str(place)):
        place.mkdir(parents=True)
        cache = repo.cache.local
        links = test_links(cache.cache_types, cache.fs, cache.path, repo.fs, str(place / "x")) or ["copy"]
        folders = {place}
        for name, oid in files.items():
            target = place / check_name(name, str(place))
            if target.parent not in folders:
                target.parent.mkdir(parents=True, exist_ok=True)
                folders.update(folder for folder in target.parents if place in folder.parents)
            transfer(cache.fs, str(objects.path(oid)), repo.fs, str(target), links=list(links))
            _sync_copy(target)
        for folder in sorted(folders, reverse=True):
            sync_folder(folder)


def build_file(repo: Repo, objects: Objects, oid: str, place: Path) -> None:
    """As ``build_folder``, for an output that is one file."""
    from dvc_objects.fs.generic import test_links, transfer

    with _about(str(place)):
        cache = repo.cache.local
        links = test_links(cache.cache_types, cache.fs, cache.path, repo.fs, str(place)) or ["copy"]
        transfer(cache.fs, str(objects.path(oid)), repo.fs, str(place), links=list(links))
        _sync_copy(place)


def check_built(built: Path, place: str, root: Path, rev: str) -> bool:
    """Look whether a folder, if it is the snapshot of a place at a revision, is whole and means what it says.

    Of one that is sealed to this identity, whether its files are what its envelope says; False then. Raises
    ``SnapshotError``, and ``TamperError`` for what was not signed then.
    """
    if not (built / "snapshot.json").exists():
        return True
    what = f"{place} of {rev}"
    try:
        snapshot = open_snapshot(built, keys=keys_at(root, rev, place))
    except TamperError:
        raise
    except AccessError:
        check_stored(LocalFolder(built), what)
        return False
    digests = (digest for table in snapshot.iter_tables(("row_digest",)) for digest in table["row_digest"].to_pylist())
    found = fingerprint(digests, snapshot.categories)
    if found != snapshot.fingerprint:
        raise SnapshotError(
            f"{what} does not mean what it says: its rows have the fingerprint {found}, not {snapshot.fingerprint}",
            path=what,
            hint="It was damaged before it was recorded; choose another version. Nothing was changed.",
        )
    return True


def check_stored(folder: Folder, what: str) -> None:
    """Whether the files of a sealed snapshot are what its envelope says. Raises ``SnapshotError``."""
    seals = read_seals(folder)
    wrong = [] if seals is None else [item for item in verify_stored(folder, seals) if item.severity == "error"]
    if wrong:
        raise SnapshotError(
            f"{what} is damaged: {wrong[0].file} {wrong[0].message}",
            path=what,
            hint="Choose another version, or mend it: dsetkit verify --all --repair. Nothing was changed.",
        )


def rebuild(root: Path, oid: str, what: str, place: Path) -> None:
    """Make the folder of a DVC object of a project at a place; the cache has all of it. Raises ``DsetkitError``."""
    objects = Objects(root, remote=False)
    try:
        with _about(what):
            files = recorded_files(objects, oid, what)
            with open_repo(root) as repo:
                build_folder(repo, objects, files, place)
    finally:
        objects.close()


def remember(repo: Repo, files: Iterable[tuple[Path, str]]) -> None:
    """Tell DVC what it would else find by hashing: path → object. What fails is no harm."""
    from dvc_data.hashfile.hash_info import HashInfo

    with suppress(Exception):  # whatever the database of its cache raises
        repo.state.save_many([(str(path), HashInfo("md5", oid), None) for path, oid in files], repo.fs)


def object_at(repo: Repo, path: Path) -> str | None:
    """DVC's object of what stands at a path; None where nothing does. Raises ``StorageError``."""
    from dvc_data.hashfile.build import build

    if not os.path.lexists(path):
        return None
    with _about(str(path)):
        _, _, found = build(repo.cache.local, str(path), repo.fs, "md5", ignore=repo.dvcignore, dry_run=True)
    return str(found.hash_info.value) if found.hash_info is not None else None


def _pull(repo: Repo, objects: Objects, oids: list[str], whose: Mapping[str, str]) -> None:
    """Ask the default remote, then all others. Raises ``NotFoundError``, ``StorageError``, ``UsageError``."""
    from dvc_data.hashfile.hash_info import HashInfo

    names: list[str | None] = [None] if repo.config["core"].get("remote") else []
    names += [name for name in repo.config["remote"] if name != repo.config["core"].get("remote")]
    if missing(objects, oids):
        check_remotes(objects.root)
    problem: Exception | None = None
    for name in names:
        # Lists of files last: DVC takes one that is there as proof that all in it is.
        for kind in (False, True):
            lacking = [oid for oid in missing(objects, oids) if oid.endswith(".dir") is kind]
            if lacking:
                try:
                    with _quiet():
                        repo.cloud.pull([HashInfo("md5", oid) for oid in lacking], remote=name)
                except Exception as error:  # drivers raise what they like
                    problem = error
    if not (lost := missing(objects, oids)):
        return
    if isinstance(problem, OSError) and problem.errno is not None:
        with _about(str(objects.path(lost[0]).parent)):
            raise problem
    if problem is not None:
        said = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise StorageError(
            f"{shown(whose[oid] for oid in lost)} could not be fetched ({said})",
            url=str(objects.root),
            hint="Check the connection and the credentials (dvc remote list, dvc doctor); nothing was changed.",
        ) from problem
    where = "nor in a remote" if names else "and the project has no remote"
    start = "neither in DVC's cache" if names else "not in DVC's cache"
    raise NotFoundError(f"{start} {where}: {shown(whose[oid] for oid in lost)}", name=whose[lost[0]], hint=_FETCH)


def _damaged(objects: Objects, oids: Mapping[str, str]) -> list[str]:
    def is_damaged(oid: str) -> bool:
        digest = hashlib.md5(usedforsecurity=False)
        with _about(oids[oid]), objects.path(oid).open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest() != oid.removesuffix(".dir")

    with ThreadPoolExecutor(_WORKERS) as pool:
        return [oid for oid, wrong in zip(oids, pool.map(is_damaged, oids), strict=True) if wrong]


def _sync_copy(path: Path) -> None:
    """Bring a copy to the disk; a link's bytes are there."""
    if path.is_symlink() or path.stat().st_nlink > 1:
        return
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def _about(what: str) -> Iterator[None]:
    """Turns what the system or DVC raises into a ``StorageError`` that says nothing was changed."""
    try:
        yield
    except DsetkitError:
        raise
    except Exception as error:  # DVC raises what it likes
        said: Any = getattr(error, "strerror", None) or error
        raise StorageError(
            f"{what}: {said}", url=what, hint="Make room, or mend that, and run it again; nothing was changed."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without DVC's own words about what it could not transfer: that is looked at, and said, here."""
    loggers = [logging.getLogger(name) for name in ("dvc", "dvc_data", "dvc_objects")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
