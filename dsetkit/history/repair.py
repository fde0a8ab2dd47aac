"""Put good copies where damaged or missing files are; never the other way round.

A good copy is one whose bytes have the digest that a version records. What is fetched is hashed before it takes any
file's place, and a file that is good is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dsetkit.errors import DsetkitError, NotFoundError
from dsetkit.history.backup.copies import backup_blocks, cache_blocks, copy_object, file_blocks, hashed, remote_blocks
from dsetkit.history.backup.index import parse_listing
from dsetkit.history.backup.inventory import ListingReader, recorded_versions, take_inventory
from dsetkit.history.objects import Objects
from dsetkit.history.recorded import recorded_outputs
from dsetkit.history.verify import look_at
from dsetkit.snapshots.envelope import StoredFile
from dsetkit.snapshots.opening import stored_files
from dsetkit.spec.issue import Issue
from dsetkit.storage.atomic import link_or_copy
from dsetkit.storage.folder import Folder, LocalFolder

_INFO = "snapshot.json"


@dataclass
class Repaired:
    """What a repair did."""

    mended: list[str] = field(default_factory=list)
    """What was missing or damaged and is good now."""
    issues: list[Issue] = field(default_factory=list)
    """``repair-failed``: of what no good copy was found."""


def repair_versions(root: Path, objects: Objects, bad: Iterable[str], backup: Folder | None = None) -> Repaired:
    """Fetch good copies of objects into DVC's cache: from its remote, else from a backup.

    A folder's object that was missing names others; those are looked at too.
    """
    work = _Repair(root, objects, backup)
    pending = dict.fromkeys(bad)
    for oid in list(pending):
        work.mend(oid)
        for file in work.inventory.listings.get(oid, {}).values():
            if file not in pending and not work.is_good(file):
                pending[file] = None
                work.mend(file)
    return work.done


def repair_outputs(root: Path, objects: Objects, outputs: dict[str, str], backup: Folder | None = None) -> Repaired:
    """As ``repair_versions``, for what some outputs (path in the project → object) need."""
    work = _Repair(root, objects, backup)
    for oid in [oid for oid in work.inventory.needed_by(outputs) if not work.is_good(oid)]:
        work.mend(oid)
    return work.done


def repair_workspace(root: Path, place: Path, objects: Objects, backup: Folder | None = None) -> Repaired:
    """Put good copies in place of the missing and damaged files of a snapshot in the workspace, by way of the cache.

    What its files have to be says ``snapshot.json`` where it can be read, else what ``dvc.lock`` records there.
    """
    work = _Repair(root, objects, backup)
    work.mend_folder(place)
    return work.done


class _Repair:
    """Where good copies may be, and what has been done with them."""

    def __init__(self, root: Path, objects: Objects, backup: Folder | None) -> None:
        self.root = root
        self.objects = objects
        self.backup = backup
        self.inventory, _ = take_inventory(recorded_versions(root), ListingReader(objects, backup))
        self.done = Repaired()

    def is_good(self, oid: str) -> bool:
        """Whether an object is what its name says, where it is read from."""
        found, _ = look_at(self.objects, oid)
        return found is not None and found.is_object(oid)

    def mend(self, oid: str) -> bool:
        """Whether the cache has a good copy of an object afterwards; an issue where it has not."""
        why = self._fetch(oid)
        if why is not None:
            self._fail(self.inventory.describe(oid), why)
        return why is None

    def _fetch(self, oid: str) -> str | None:
        """Brings a good copy of an object into the cache, if it has none; what is wrong where none is to be had."""
        what = self.inventory.describe(oid)
        with suppress(DsetkitError):
            if hashed(cache_blocks(self.objects, oid)).is_object(oid):
                return None
        places = [("DVC's remote", remote_blocks(self.objects, oid, what))]
        if self.backup is not None:
            places.append((self.backup.url, backup_blocks(self.backup, oid)))
        why = []
        for name, blocks in places:
            try:
                if copy_object(blocks, self.objects.path(oid), oid) is not None:
                    self.done.mended.append(f"{what} in DVC's cache")
                    return None
                why.append(f"that of {name} is damaged, too")
            except NotFoundError:
                why.append(f"{name} has none")
            except DsetkitError as error:
                why.append(error.message)
        return "; ".join(why)

    def mend_folder(self, place: Path) -> None:
        """Put good copies of a snapshot's files in the workspace where they are missing or damaged."""
        name = place.relative_to(self.root).as_posix()
        files = self._recorded(name)
        wanted = self._wanted(place, name, files)
        known: dict[str, list[str]] = {}
        for listing in (files, *self.inventory.listings.values()):
            for file, oid in listing.items():
                known.setdefault(file, []).append(oid)
        for part in wanted:
            if not _is_part(place / part.name, part):
                self._mend_part(place / part.name, f"{name}/{part.name}", part, known.get(part.name, []))

    def _recorded(self, name: str) -> dict[str, str]:
        """Name → object of the files that ``dvc.lock`` in the workspace records at a place; none where it does not."""
        lock = self.root / "dvc.lock"
        oid = recorded_outputs(lock.read_text(encoding="utf-8") if lock.is_file() else "").get(name, "")
        with suppress(DsetkitError):
            if oid and oid not in self.inventory.listings:  # built, and not committed yet
                data = ListingReader(self.objects, self.backup)(oid, name)
                self.inventory.add_listing(oid, parse_listing(data, oid, name))
        return self.inventory.listings.get(oid, {})

    def _wanted(self, place: Path, name: str, files: dict[str, str]) -> list[StoredFile]:
        """The files that a snapshot must have; mends ``snapshot.json`` first where it is no good."""
        with suppress(DsetkitError):
            return list(stored_files(LocalFolder(place)))
        oid = files.get(_INFO)
        if oid is None:
            self._fail(f"{name}/{_INFO}", "dvc.lock records no snapshot there, or the list of its files is lost")
            return []
        if not self.mend(oid):
            return []
        link_or_copy(self.objects.path(oid), place / _INFO)
        self.done.mended.append(f"{name}/{_INFO}")
        return list(stored_files(LocalFolder(place)))

    def _mend_part(self, target: Path, name: str, part: StoredFile, oids: list[str]) -> None:
        why = ["no version has a file of this name"] if not oids else []
        for oid in dict.fromkeys(oids):
            wrong = self._fetch(oid)
            if wrong is None and _is_part(self.objects.path(oid), part):
                link_or_copy(self.objects.path(oid), target)
                self.done.mended.append(name)
                return
            why.append(wrong or "the one that was recorded is another")
        self._fail(name, "; ".join(dict.fromkeys(why)))

    def _fail(self, what: str, why: str) -> None:
        self.done.issues.append(
            Issue(
                code="repair-failed",
                message=f"no good copy of {what} was found: {why}",
                hint="Name a backup (--from URL), push it from a clone that has it, or build it again.",
            )
        )


def _is_part(path: Path, part: StoredFile) -> bool:
    try:
        found = hashed(file_blocks(path))
    except DsetkitError:
        return False
    return (found.digest, found.size_bytes) == (part.digest, part.size_bytes)
