"""A working project out of a backup: git's branches and tags, DVC's objects, and the snapshots checked out.

Everything is built in a hidden folder beside the destination and renamed into place. A restore that was stopped keeps
the objects it has there, and the next one into the same folder goes on with them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from configparser import ConfigParser
from configparser import Error as ConfigError
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dsetkit.errors import DsetkitError, StorageError, UsageError
from dsetkit.history.backup.bundle import fetch_bundle, git_in, unbundle
from dsetkit.history.backup.copies import backup_blocks, copy_object, file_blocks, hashed
from dsetkit.history.backup.index import BackupIndex, StoredFile, newest, object_name, read_generations
from dsetkit.history.backup.inventory import (
    Inventory,
    ListingReader,
    recorded_versions,
    take_inventory,
)
from dsetkit.history.backup.refs import is_below
from dsetkit.history.dvc_config import check_remotes, open_repo
from dsetkit.history.outputs import Outputs
from dsetkit.history.repository import git
from dsetkit.history.revisions import resolve
from dsetkit.spec.issue import Issue
from dsetkit.stages.build import NoProgress, Progress
from dsetkit.storage.atomic import remove_tree, sync_folder, write_atomic, written
from dsetkit.storage.folder import Folder
from dsetkit.storage.url import to_local
from dsetkit.storage.writable import open_writable

_WORKERS = 8
_ELSEWHERE = "Look for it in other generations (--generation), clones and remotes; then: dsetkit verify --all --repair."


@dataclass
class Restored:
    """What a restore gave."""

    root: Path
    """The project."""
    generation: int
    created_at: str
    rev: str
    """The commit that is checked out."""
    versions: int
    objects: int
    """In DVC's cache now."""
    is_whole: bool
    """False: only what one revision needs was asked for."""
    snapshots: list[str] = field(default_factory=list)
    """Outputs that stand in the workspace."""
    issues: list[Issue] = field(default_factory=list)
    """``object-missing``, ``object-damaged``: what versions need and the backup cannot give; they were left out."""


def restore_backup(
    url: str,
    target: Path,
    *,
    rev: str | None = None,
    generation: int | None = None,
    progress: Progress | None = None,
) -> Restored:
    """Make the project of a backup stand in a folder that is empty or not there.

    Without ``rev`` all versions' objects come into DVC's cache, and the branch that was checked out is so again. With
    it, only the objects of that revision, which is checked out. Every object is hashed as it comes; what is damaged is
    left out and becomes an issue, so that the rest can be used. Raises ``UsageError`` for a folder with something in
    it, ``NotFoundError`` for no backup and for a revision that is not in it, ``StorageError`` for one that cannot be
    reached, whose git bundle is damaged, or with paths that lead out of the project.
    """
    place = Path(os.path.abspath(target))
    if os.path.lexists(place) and (not place.is_dir() or any(place.iterdir())):
        raise UsageError(f"{target} is not empty", hint="Name a folder that is not there yet.")
    here = to_local(url)
    if here is not None and is_below(place, here):
        raise UsageError(f"{target} lies inside the backup", hint="Name a folder outside of it.")
    folder = open_writable(url)
    sizes = folder.sizes()
    generations, issues = read_generations(folder, sizes)
    index = newest(folder, generations, issues, generation).index
    work = _Restore(folder, sizes, index, place, progress or NoProgress())
    return work.run(rev)


class _Restore:
    def __init__(
        self, folder: Folder, sizes: Mapping[str, int], index: BackupIndex, place: Path, progress: Progress
    ) -> None:
        self.folder = folder
        self.sizes = sizes
        self.index = index
        self.place = place
        self.progress = progress
        self.work = place.with_name(f".{place.name[:100]}.dsetkit-restoring")
        self.cache = self.work / "cache"
        self.top = self.work / "project"
        self.issues: list[Issue] = []

    def run(self, rev: str | None) -> Restored:
        self._begin()
        self.progress.start("reading branches and tags", None)
        fetch_bundle(self.folder, self.index, self.work / "bundle")
        root = unbundle(self.work / "bundle", self.top, self.index)
        commit = self._check_out_git(root, rev)
        self._check_project(root)
        outputs = Outputs(root).at(commit)
        self._check_places(root, outputs)
        versions = recorded_versions(root)
        inventory, lost = take_inventory(versions, ListingReader(None, self.folder))
        oids = inventory.oids if rev is None else inventory.needed_by(outputs)
        self.progress.start("fetching objects", len(oids))
        for oid in (oid for oid in oids if oid in lost):
            code = "object-damaged" if object_name(oid) in self.sizes else "object-missing"
            self._lose(oid, code, lost[oid].message, inventory)
        count = self._fetch_all([oid for oid in oids if oid not in lost], inventory)
        self.progress.start("checking out", None)
        self._place_cache(root)
        self._check_out_dvc(root, outputs)
        self._finish()
        final = self.place / self.index.project if self.index.project else self.place
        return Restored(
            root=final,
            generation=self.index.generation,
            created_at=self.index.created_at,
            rev=commit,
            versions=len(versions) if rev is None else 1,
            objects=count,
            is_whole=rev is None,
            snapshots=sorted(name for name in outputs if (final / name).exists()),
            issues=self.issues,
        )

    def _begin(self) -> None:
        """Make the folder to build in; what a restore that was stopped has fetched stays."""
        with written(self.work):
            self.work.mkdir(parents=True, exist_ok=True)
            placed = (self.top / self.index.project if self.index.project else self.top) / ".dvc" / "cache"
            if placed.is_dir() and not self.cache.exists() and is_below(placed, self.top):
                os.rename(placed, self.cache)
        remove_tree(self.top)

    def _check_out_git(self, root: Path, rev: str | None) -> str:
        commit = self.index.head_rev if rev is None else resolve(root, rev)
        if rev is not None:
            if f"refs/heads/{rev}" in self.index.refs:
                git_in(root, "symbolic-ref", "HEAD", f"refs/heads/{rev}")
            else:
                git_in(root, "update-ref", "--no-deref", "HEAD", commit)
        git_in(self.top, "reset", "--quiet", "--hard")
        return commit

    def _check_project(self, root: Path) -> None:
        dvc = root / ".dvc"
        if not dvc.is_dir():
            raise self._refused(f"it has no DVC project at {self.index.project or 'its top'}")
        if not is_below(dvc, self.top) or os.path.lexists(dvc / "cache") or os.path.lexists(dvc / "config.local"):
            raise self._refused("its .dvc leads elsewhere, or has files that git never keeps")

    def _check_places(self, root: Path, outputs: dict[str, str]) -> None:
        for name in outputs:
            if not is_below(root / name, self.top):
                raise self._refused(f"{name} leads out of the project")

    def _refused(self, what: str) -> StorageError:
        return StorageError(
            f"{self.folder.url} cannot be restored: {what}",
            url=self.folder.url,
            hint="It is no backup that dsetkit made of a sound project; look into it with git (docs/backup.md).",
        )

    def _fetch_all(self, oids: list[str], inventory: Inventory) -> int:
        pool = ThreadPoolExecutor(_WORKERS)
        count = 0
        try:
            for oid, wrong in zip(oids, pool.map(self._fetch, oids), strict=True):
                self.progress.advance()
                if wrong is None:
                    count += 1
                else:
                    self._lose(oid, *wrong, inventory)
        finally:
            pool.shutdown(cancel_futures=True)
        return count

    def _fetch(self, oid: str) -> tuple[str, str] | None:
        """Brings an object into the cache; code and message where there is no good one."""
        stored = self.index.objects.get(oid)
        target = self.cache / object_name(oid)
        size = self.sizes.get(object_name(oid))
        if stored is None:
            return "object-missing", "it was lost before it was backed up"
        if _is_sound(target, oid, stored):
            return None
        if size is None:
            return "object-missing", "it is not there"
        if size != stored.size_bytes:
            return "object-damaged", f"it has {size:,} bytes, not {stored.size_bytes:,}"
        found = copy_object(backup_blocks(self.folder, oid), target, oid)
        if found is None or not found.is_file(stored):
            with suppress(OSError):
                target.unlink(missing_ok=True)
            return "object-damaged", "its bytes are not those that were backed up"
        return None

    def _lose(self, oid: str, code: str, said: str, inventory: Inventory) -> None:
        self.issues.append(
            Issue(
                code=code,
                message=f"{inventory.describe(oid)} was not restored: {said}",
                file=object_name(oid),
                hint=_ELSEWHERE,
                severity="warning" if oid in self.index.missing else "error",
            )
        )

    def _place_cache(self, root: Path) -> None:
        with written(self.cache):
            self.cache.mkdir(parents=True, exist_ok=True)
            os.rename(self.cache, root / ".dvc" / "cache")
        if _names_cache(root / ".dvc" / "config"):
            # The cache that the project shared is another machine's; the restored one has its own.
            write_atomic(root / ".dvc" / "config.local", b"[cache]\n    dir = cache\n")

    def _check_out_dvc(self, root: Path, outputs: dict[str, str]) -> None:
        from dvc.exceptions import DvcException

        wanted = [str(root / name) for name, oid in outputs.items() if self._is_here(root, oid)]
        if not wanted:
            return
        try:
            check_remotes(root)
            with warnings.catch_warnings(), open_repo(root) as repo:
                warnings.simplefilter("ignore")  # of the libraries that DVC uses
                repo.checkout(targets=wanted, force=True, allow_missing=True)
        except (DvcException, UsageError, StorageError) as error:
            self.issues.append(
                Issue(
                    code="checkout-failed",
                    message=f"DVC could not check out the snapshots: {error}",
                    hint="Run dvc checkout in the project and see what it says.",
                )
            )

    def _is_here(self, root: Path, oid: str) -> bool:
        return (root / ".dvc" / "cache" / object_name(oid)).is_file()

    def _finish(self) -> None:
        with written(self.place):
            os.rename(self.top, self.place)  # onto an empty folder or nothing, else it fails
            sync_folder(self.place.parent)
        remove_tree(self.work)
        git(self.place, "update-index", "-q", "--refresh")


def _is_sound(path: Path, oid: str, stored: StoredFile) -> bool:
    """Whether a restore that was stopped has brought an object here already."""
    try:
        found = hashed(file_blocks(path))
    except DsetkitError:
        return False
    return found.is_object(oid) and found.is_file(stored)


def _names_cache(config: Path) -> bool:
    """Whether a DVC configuration says where the cache is."""
    parser = ConfigParser(interpolation=None, strict=False, allow_no_value=True)
    try:
        parser.read_string(config.read_text(encoding="utf-8"))
    except (ConfigError, OSError, ValueError):
        return True
    return parser.has_option("cache", "dir")
