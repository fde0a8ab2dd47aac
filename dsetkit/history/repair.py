"""Verify every version, and put good copies where damaged or missing files are; never the other way round.

A good copy is one whose bytes have the digest that a version records. What is fetched is hashed before it takes any
file's place, and a file that is good is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.errors import DsetkitError, NotFoundError
from dsetkit.history.backup.copies import (
    Hashed,
    backup_blocks,
    cache_blocks,
    copy_object,
    file_blocks,
    hashed,
    remote_blocks,
)
from dsetkit.history.backup.index import parse_listing
from dsetkit.history.backup.inventory import (
    Inventory,
    ListingReader,
    recorded_versions,
    take_inventory,
)
from dsetkit.history.objects import ObjectFolder, Objects
from dsetkit.history.recorded import recorded_outputs
from dsetkit.snapshots.columns import UNFIT
from dsetkit.snapshots.fingerprint import fingerprint, row_digest
from dsetkit.snapshots.opening import files_of, read_info
from dsetkit.snapshots.order import in_key_order
from dsetkit.snapshots.parquet import TableFile
from dsetkit.spec.arrow import iter_rows
from dsetkit.spec.issue import Issue
from dsetkit.spec.sample import Sample
from dsetkit.spec.snapshot import ManifestPart, Part, SnapshotInfo
from dsetkit.stages.build import NoProgress, Progress
from dsetkit.storage.atomic import link_or_copy
from dsetkit.storage.folder import Folder, LocalFolder

_WORKERS = 4
_EXAMPLES = 3
_MEND = "Fetch a good copy: dsetkit verify --all --repair (--from BACKUP_URL)."
_REBUILD = "Go back to a version that verifies, or build it again."


@dataclass
class Verified:
    """What a look at every version gave."""

    versions: int
    snapshots: int
    objects: int
    issues: list[Issue] = field(default_factory=list)
    """``object-missing``, ``object-damaged``, and of snapshots that were recorded wrong ``file-wrong``,
    ``row-damaged``, ``fingerprint-wrong``, ``snapshot-unreadable``."""
    bad: list[str] = field(default_factory=list)
    """Objects that are missing or damaged."""


@dataclass
class Repaired:
    """What a repair did."""

    mended: list[str] = field(default_factory=list)
    """What was missing or damaged and is good now."""
    issues: list[Issue] = field(default_factory=list)
    """``repair-failed``: of what no good copy was found."""


def verify_versions(root: Path, objects: Objects, progress: Progress | None = None) -> Verified:
    """Verify every version of every branch and tag; each distinct object is read and hashed once.

    An object is read from DVC's cache, or from its remote where the cache lacks it. Both digests are taken: DVC's own,
    and the one that the snapshot names. Of each distinct manifest part the row digests are computed again, and from
    them each distinct snapshot's fingerprint. Raises ``StorageError`` where the remote cannot be reached.
    """
    return _Everything(root, objects, progress or NoProgress()).run()


class _Everything:
    def __init__(self, root: Path, objects: Objects, progress: Progress) -> None:
        self.objects = objects
        self.progress = progress
        versions = recorded_versions(root)
        self.inventory, self.lost = take_inventory(versions, ListingReader(objects))
        self.found: dict[str, Hashed] = {}
        self.sound_parts: dict[str, bool] = {}
        self.done = Verified(len(versions), 0, 0)

    def run(self) -> Verified:
        oids = self.inventory.oids
        self.done.objects = len(oids)
        bad: dict[str, tuple[Hashed | None, str]] = {}
        self.progress.start("verifying objects", len(oids))
        with ThreadPoolExecutor(_WORKERS) as pool:
            for oid, looked in zip(oids, pool.map(lambda oid: look_at(self.objects, oid), oids), strict=True):
                self.progress.advance()
                found, _ = looked
                if found is not None and found.is_object(oid):
                    self.found[oid] = found
                else:
                    bad[oid] = looked
        folders = {oid: files for oid, files in self.inventory.listings.items() if "snapshot.json" in files}
        for oid, (found, where) in bad.items():
            self.done.bad.append(oid)
            self._report_object(oid, found, where, folders)
        self.progress.start("verifying snapshots", len(folders))
        for oid, files in folders.items():
            self.progress.advance()
            self.done.snapshots += 1
            if files["snapshot.json"] in self.found:
                self._check_snapshot(oid, files)
        return self.done

    def _report_object(self, oid: str, found: Hashed | None, where: str, folders: dict[str, dict[str, str]]) -> None:
        what = self.inventory.describe(oid)
        keys = self._samples(oid, folders)
        code, said = ("object-missing", "is neither in DVC's cache nor in its remote")
        if found is not None:
            code, said = "object-damaged", f"is damaged in {where}: its MD5 is {found.md5}"
        of = f"; in it are the pictures of {keys}" if keys else ""
        self._report(code, f"{what} {said}{of}", f"{oid[:2]}/{oid[2:]}", _MEND)

    def _samples(self, oid: str, folders: dict[str, dict[str, str]]) -> str:
        """The samples whose pictures are in a shard, as far as a manifest says."""
        for holder, files in folders.items():
            name = next((name for name, file in files.items() if file == oid and name.startswith("shards/")), None)
            if name is None:
                continue
            shard = name.rpartition("/")[2]
            with suppress(DsetkitError, ValueError, OSError, KeyError):
                folder = ObjectFolder(holder, files, self.objects)
                keys: list[str] = []
                for part in read_info(folder).parts:
                    if shard in part.shards:
                        table = TableFile(folder, part, Sample).read(("key", "shard"))
                        keys += table.filter(pc.equal(table["shard"], shard))["key"].to_pylist()
                more = f" and {len(keys) - _EXAMPLES} more" if len(keys) > _EXAMPLES else ""
                return ", ".join(map(repr, keys[:_EXAMPLES])) + more
        return ""

    def _check_snapshot(self, oid: str, files: dict[str, str]) -> None:
        what = self.inventory.describe(oid).removeprefix("the list of files of ")
        folder = ObjectFolder(what, files, self.objects)
        try:
            info = read_info(folder)
        except DsetkitError as error:
            self._report("snapshot-unreadable", error.message, None, error.hint)
            return
        whole = True
        for part in files_of(info):
            file = files.get(part.name)
            found = self.found.get(file or "")
            if file is None:
                self._report("file-wrong", f"{what} was recorded without {part.name}", part.name, _REBUILD)
            elif found is not None and (found.digest, found.size_bytes) != (part.digest, part.size_bytes):
                said = f"{what} was recorded with a damaged {part.name}: its digest is {found.digest}"
                self._report("file-wrong", said, part.name, _REBUILD)
            elif found is not None:
                continue
            whole = False
        if whole or not self._lacks_parts(info, files):
            self._check_meaning(folder, info, what)

    def _lacks_parts(self, info: SnapshotInfo, files: dict[str, str]) -> bool:
        return any(files.get(part.name) not in self.found for part in info.parts)

    def _check_meaning(self, folder: ObjectFolder, info: SnapshotInfo, what: str) -> None:
        try:
            for part in info.parts:
                self._check_rows(folder, part, what)

            def read(number: int) -> pa.Table:
                return TableFile(folder, info.parts[number], Sample).read(("key", "row_digest"))

            digests = (each for table in in_key_order(info.parts, read) for each in table["row_digest"].to_pylist())
            found = fingerprint(digests, info.categories)
        except (DsetkitError, ValueError) as error:
            said = error.message if isinstance(error, DsetkitError) else str(error)
            self._report("snapshot-unreadable", f"{what}: {said}", None, _REBUILD)
            return
        if found != info.fingerprint:
            said = f"the rows of {what} mean {found}, not {info.fingerprint}"
            self._report("fingerprint-wrong", said, "snapshot.json", _REBUILD)

    def _check_rows(self, folder: ObjectFolder, part: ManifestPart, what: str) -> None:
        oid = folder.oid(part.name)
        if oid in self.sound_parts:
            return
        self.sound_parts[oid] = True
        wrong = []
        for row in iter_rows([TableFile(folder, part, Sample).read()], Sample):
            try:
                if row_digest(row) == row.get("row_digest"):
                    continue
            except UNFIT:
                pass
            wrong.append(row["key"])
        if wrong:
            self.done.issues.append(
                Issue(
                    code="row-damaged",
                    message=f"its row does not mean what its row digest says, in {what}",
                    key=wrong[0],
                    file=part.name,
                    hint=_REBUILD,
                    count=len(wrong),
                )
            )

    def _report(self, code: str, message: str, file: str | None, hint: str) -> None:
        self.done.issues.append(Issue(code=code, message=message, file=file, hint=hint))


def look_at(objects: Objects, oid: str) -> tuple[Hashed | None, str]:
    """What an object is where it would be read from, and where that is; None where it is nowhere.

    Raises ``StorageError`` where the remote cannot be reached.
    """
    with suppress(NotFoundError):
        return hashed(cache_blocks(objects, oid)), "DVC's cache"
    with suppress(NotFoundError):
        return hashed(remote_blocks(objects, oid, oid)), "DVC's remote"
    return None, ""


def repair_versions(root: Path, objects: Objects, bad: Iterable[str], backup: Folder | None = None) -> Repaired:
    """Fetch good copies of objects into DVC's cache: from its remote, else from a backup.

    A folder's object that was missing names others; those are looked at too.
    """
    done = Repaired()
    inventory, _ = take_inventory(recorded_versions(root), ListingReader(objects, backup))
    pending = list(dict.fromkeys(bad))
    for oid in pending:
        _repair_object(objects, oid, inventory, backup, done)
        for file in inventory.listings.get(oid, {}).values():
            found, _ = look_at(objects, file) if file not in pending else (None, "")
            if file not in pending and (found is None or not found.is_object(file)):
                pending.append(file)
    return done


def repair_outputs(root: Path, objects: Objects, outputs: dict[str, str], backup: Folder | None = None) -> Repaired:
    """As ``repair_versions``, for what some outputs (path in the project → object) need."""
    inventory, lost = take_inventory(recorded_versions(root), ListingReader(objects, backup))
    bad = []
    for oid in inventory.needed_by(outputs):
        found, _ = look_at(objects, oid)
        if found is None or not found.is_object(oid):
            bad.append(oid)
    done = Repaired()
    for oid in bad:
        _repair_object(objects, oid, inventory, backup, done)
    for oid in sorted(set(outputs.values()) & set(lost) - set(bad)):
        done.issues.append(_failed(inventory.describe(oid)))
    return done


def repair_workspace(root: Path, place: Path, objects: Objects, backup: Folder | None = None) -> Repaired:
    """Put good copies in place of the missing and damaged files of a snapshot in the workspace, by way of the cache.

    What its files have to be says ``snapshot.json`` where it can be read, else what ``dvc.lock`` records there.
    """
    inventory, _ = take_inventory(recorded_versions(root), ListingReader(objects, backup))
    lock = root / "dvc.lock"
    text = lock.read_text(encoding="utf-8") if lock.is_file() else ""
    oid = recorded_outputs(text).get(place.relative_to(root).as_posix(), "")
    with suppress(DsetkitError):
        if oid and oid not in inventory.listings:  # built, and not committed yet
            data = ListingReader(objects, backup)(oid, str(place))
            inventory.add_listing(oid, parse_listing(data, oid, str(place)))
    done = Repaired()
    files = inventory.listings.get(oid, {})
    expected = _expected(place, files, objects, inventory, backup, done)
    by_name: dict[str, list[str]] = {}
    for listing in [files, *inventory.listings.values()]:
        for name, file in listing.items():
            by_name.setdefault(name, []).append(file)
    for part in expected:
        target = place / part.name
        if _is_part(target, part):
            continue
        candidates = list(dict.fromkeys(by_name.get(part.name, ())))
        _mend_part(target, part, candidates, objects, inventory, backup, done)
    return done


def _expected(
    place: Path,
    files: dict[str, str],
    objects: Objects,
    inventory: Inventory,
    backup: Folder | None,
    done: Repaired,
) -> list[Part]:
    """The files that a snapshot in the workspace must have; mends ``snapshot.json`` first where it is no good."""
    name = "snapshot.json"
    with suppress(DsetkitError):
        return list(files_of(read_info(LocalFolder(place))))
    oid = files.get(name)
    if oid is None:
        done.issues.append(_failed(f"{place}/{name}"))
        return []
    if not _cache_is_sound(objects, oid) and not _repair_object(objects, oid, inventory, backup, done):
        return []
    link_or_copy(objects.path(oid), place / name)
    done.mended.append(f"{place.name}/{name}")
    return list(files_of(read_info(LocalFolder(place))))


def _mend_part(
    target: Path,
    part: Part,
    candidates: list[str],
    objects: Objects,
    inventory: Inventory,
    backup: Folder | None,
    done: Repaired,
) -> None:
    for oid in candidates:
        if not _cache_is_sound(objects, oid):
            quiet = Repaired()
            if not _repair_object(objects, oid, inventory, backup, quiet):
                continue
            done.mended += quiet.mended
        if _is_part(objects.path(oid), part):
            link_or_copy(objects.path(oid), target)
            done.mended.append(f"{target.relative_to(target.parents[2 if '/' in part.name else 1])}")
            return
    done.issues.append(_failed(str(target)))


def _repair_object(objects: Objects, oid: str, inventory: Inventory, backup: Folder | None, done: Repaired) -> bool:
    """Whether the cache has a good copy of an object afterwards."""
    what = inventory.describe(oid)
    if _cache_is_sound(objects, oid):
        return True
    places: list[Callable[[], Iterator[bytes]]] = [lambda: remote_blocks(objects, oid, what)]
    if backup is not None:
        places.append(lambda: backup_blocks(backup, oid))
    for blocks in places:
        with suppress(DsetkitError):
            if copy_object(blocks(), objects.path(oid), oid) is not None:
                done.mended.append(f"{what} in DVC's cache")
                return True
    done.issues.append(_failed(what))
    return False


def _cache_is_sound(objects: Objects, oid: str) -> bool:
    try:
        return hashed(cache_blocks(objects, oid)).is_object(oid)
    except DsetkitError:
        return False


def _is_part(path: Path, part: Part) -> bool:
    try:
        found = hashed(file_blocks(path))
    except DsetkitError:
        return False
    return (found.digest, found.size_bytes) == (part.digest, part.size_bytes)


def _failed(what: str) -> Issue:
    return Issue(
        code="repair-failed",
        message=f"no good copy of {what} was found",
        hint="Name a backup (--from URL), push it from a clone that has it, or build it again.",
    )
