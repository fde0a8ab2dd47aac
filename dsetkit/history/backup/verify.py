"""Can a backup be restored? Shown without restoring it: from its branches and tags down to each object they need."""

from __future__ import annotations

import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from dsetkit.errors import DsetkitError, StorageError
from dsetkit.history.backup.bundle import fetch_bundle, unbundle
from dsetkit.history.backup.copies import backup_blocks, hashed
from dsetkit.history.backup.index import (
    MARKER,
    BackupIndex,
    Generation,
    StoredFile,
    StoredVersion,
    bundle_name,
    is_own,
    newest,
    object_name,
    read_generations,
    read_marker,
    repair_hint,
)
from dsetkit.history.backup.inventory import Inventory, ListingReader, recorded_versions, take_inventory
from dsetkit.spec.issue import Issue
from dsetkit.stages.build import NoProgress, Progress
from dsetkit.storage.scratch import scratch_folder
from dsetkit.storage.writable import LocalWritable, RemoteWritable, is_unfinished, open_writable

SAMPLE = 100
"""Objects that are read where nothing else is asked for."""
_WORKERS = 8


@dataclass
class Checked:
    """What a look at a backup gave."""

    url: str
    generations: list[int] = field(default_factory=list)
    """Those that can be used, newest first."""
    versions: int = 0
    objects: int = 0
    read: int = 0
    """Of the objects, how many were read and hashed; of all others presence and size are right."""
    read_bytes: int = 0
    surplus: int = 0
    """Files that no generation names: of a backup that was stopped, or of generations that were dropped."""
    issues: list[Issue] = field(default_factory=list)
    """``index-damaged``, ``bundle-damaged``, ``object-missing``, ``object-damaged``, ``object-unnamed``; as warnings
    ``marker-damaged`` and ``version-incomplete`` (the project itself had lost an object when it was backed up)."""

    @property
    def is_whole(self) -> bool:
        """Whether everything that was looked at can be restored."""
        return not any(issue.severity == "error" for issue in self.issues)


def verify_backup(
    url: str, *, sample: int | None = SAMPLE, generation: int | None = None, progress: Progress | None = None
) -> Checked:
    """Everything that is wrong with a backup.

    Of every generation (or one): its document and git bundle are hashed, git reads the bundle, and from the commits
    in it follows which objects the versions need. Each has to be named, to be there and to have its size. The lists
    of folders' files and ``sample`` other objects, drawn anew each time, are read and hashed; with None all of them.
    Raises ``NotFoundError`` for a place that holds no backup, ``StorageError`` where it cannot be reached.
    """
    folder = open_writable(url)
    sizes = folder.sizes()
    generations, issues = read_generations(folder, sizes)
    if generations or generation is not None or not issues:
        newest(folder, generations, issues, generation)
    if generation is not None:
        generations = [item for item in generations if item.index.generation == generation]
    look = _Look(folder, sizes, generations, progress or NoProgress())
    look.done.issues += issues if generation is None else []
    look.check_marker()
    look.check_bundles()
    look.check_objects(sample)
    return look.done


class _Look:
    def __init__(
        self,
        folder: LocalWritable | RemoteWritable,
        sizes: Mapping[str, int],
        generations: list[Generation],
        progress: Progress,
    ) -> None:
        self.folder = folder
        self.sizes = sizes
        self.generations = generations
        self.progress = progress
        self.done = Checked(folder.url, [item.index.generation for item in generations])
        self.versions: dict[str, StoredVersion] = {}
        self.known: dict[str, dict[str, str]] = {}

    def report(self, code: str, file: str, message: str, **more: str) -> None:
        hint = more.pop("hint", repair_hint(self.folder.url))
        self.done.issues.append(
            Issue.model_validate({"code": code, "file": file, "message": message, "hint": hint, **more})
        )

    def check_marker(self) -> None:
        try:
            found = read_marker(self.folder, self.sizes)
            said = "it is not there" if found is None else None
        except ValueError as error:
            said = f"it cannot be used: {str(error)[:200]}"
        if said is not None:
            self.report("marker-damaged", MARKER, said, severity="warning", hint="The next backup writes it again.")

    def check_bundles(self) -> None:
        """Read each distinct bundle, and learn from it what the versions need."""
        self.progress.start("reading branches and tags", len(self.generations))
        for item in self.generations:
            try:
                found = self._read_bundle(item.index)
            except StorageError as error:
                names = ", ".join(f"generation {item.index.generation} ({name})" for name in _named(item.index))
                self.report("bundle-damaged", bundle_name(item.index.bundle.digest), f"{error.message}; {names}")
                found = list(item.index.versions)
            for version in found:
                self.versions.setdefault(version.rev, version)
            named = {*item.index.objects, *item.index.missing}
            inventory, _ = take_inventory(found, ListingReader(None, self.folder))
            for oid in inventory.oids:
                if oid not in named:
                    what = f"{inventory.describe(oid)} is not named by generation {item.index.generation}"
                    self.report("object-unnamed", object_name(oid), what)
            for oid in item.index.missing if item is self.generations[0] else ():
                what = f"{inventory.describe(oid)} was lost before it was backed up"
                hint = "Nothing to do if you know; else look for it in other clones and remotes."
                self.report("version-incomplete", object_name(oid), what, severity="warning", hint=hint)
            self.progress.advance()

    def _read_bundle(self, index: BackupIndex) -> list[StoredVersion]:
        with scratch_folder() as scratch:
            fetch_bundle(self.folder, index, scratch / "bundle")
            return recorded_versions(unbundle(scratch / "bundle", scratch / "repository", index), self.known)

    def check_objects(self, sample: int | None) -> None:
        """Presence and size of all, the bytes of some."""
        self.done.versions = len(self.versions)
        inventory, _ = take_inventory(list(self.versions.values()), ListingReader(None, self.folder))
        stored: dict[str, StoredFile] = {}
        for item in reversed(self.generations):
            stored.update(item.index.objects)
        self.done.objects = len(stored)
        here = []
        for oid, file in sorted(stored.items()):
            size = self.sizes.get(object_name(oid))
            if size is None:
                self.report("object-missing", object_name(oid), f"{inventory.describe(oid)} is not there")
            elif size != file.size_bytes:
                what = f"{inventory.describe(oid)} has {size:,} bytes, not {file.size_bytes:,}"
                self.report("object-damaged", object_name(oid), what)
            else:
                here.append(oid)
        self._read(_drawn(here, sample), stored, inventory)
        named = {object_name(oid) for oid in stored} | {item.name for item in self.generations} | {MARKER}
        named |= {bundle_name(item.index.bundle.digest) for item in self.generations}
        named |= {str(issue.file) for issue in self.done.issues}
        self.done.surplus = sum(1 for name in self.sizes if name not in named and (is_own(name) or is_unfinished(name)))

    def _read(self, oids: list[str], stored: Mapping[str, StoredFile], inventory: Inventory) -> None:
        self.progress.start("reading objects", len(oids))

        def look(oid: str) -> tuple[str | None, int]:
            try:
                found = hashed(backup_blocks(self.folder, oid))
            except DsetkitError as error:
                return error.message, 0
            if not found.is_object(oid):
                return f"its MD5 is {found.md5}", found.size_bytes
            said = None if found.is_file(stored[oid]) else f"its digest is {found.digest}, not {stored[oid].digest}"
            return said, found.size_bytes

        pool = ThreadPoolExecutor(_WORKERS)
        try:
            for oid, (said, size) in zip(oids, pool.map(look, oids), strict=True):
                self.done.read += 1
                self.done.read_bytes += size
                if said is not None:
                    self.report("object-damaged", object_name(oid), f"{inventory.describe(oid)} is damaged: {said}")
                self.progress.advance()
        finally:
            pool.shutdown(cancel_futures=True)


def _drawn(oids: list[str], sample: int | None) -> list[str]:
    """All lists of files, which everything else hangs on, and some of the other objects."""
    if sample is None:
        return oids
    lists = [oid for oid in oids if oid.endswith(".dir")]
    others = [oid for oid in oids if not oid.endswith(".dir")]
    return lists + sorted(random.SystemRandom().sample(others, min(sample, len(others))))


def _named(index: BackupIndex) -> list[str]:
    names = [ref.removeprefix("refs/tags/") for ref in index.refs if ref.startswith("refs/tags/")]
    return [", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")] if names else ["no tags"]
