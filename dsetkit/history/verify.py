"""Verify every version: each distinct object once, and what the snapshots in them mean."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.errors import AccessError, DsetkitError, NotFoundError, TamperError
from dsetkit.history.backup.copies import Hashed, cache_blocks, hashed, remote_blocks
from dsetkit.history.backup.inventory import ListingReader, recorded_versions, take_inventory
from dsetkit.history.objects import ObjectFolder, Objects
from dsetkit.history.statements import keys_at
from dsetkit.snapshots.columns import UNFIT
from dsetkit.snapshots.fingerprint import fingerprint, row_digest
from dsetkit.snapshots.naming import SNAPSHOT
from dsetkit.snapshots.opening import Opened, read_seals, read_snapshot, stored_files
from dsetkit.snapshots.order import in_key_order
from dsetkit.snapshots.parquet import TableFile
from dsetkit.snapshots.sealing import Seal
from dsetkit.snapshots.verify import samples_text
from dsetkit.spec.arrow import iter_rows
from dsetkit.spec.issue import Issue
from dsetkit.spec.sample import Sample
from dsetkit.spec.sealed import Seals
from dsetkit.spec.snapshot import ManifestPart
from dsetkit.stages.build import NoProgress, Progress
from dsetkit.stages.sealed import Unsigned, keys_of

_WORKERS = 4
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
    ``row-damaged``, ``fingerprint-wrong``, ``snapshot-unreadable``, ``snapshot-tampered``."""
    bad: list[str] = field(default_factory=list)
    """Objects that are missing or damaged."""
    sealed: int = 0
    """Snapshots sealed to this identity: their files were looked at, not what they mean."""


def verify_versions(root: Path, objects: Objects, progress: Progress | None = None) -> Verified:
    """Verify every version of every branch and tag; each distinct object is read and hashed once.

    An object is read from DVC's cache, or from its remote where the cache lacks it. Both digests are taken: DVC's own,
    and the one that the snapshot names. Of each distinct manifest part the row digests are computed again, and from
    them each distinct snapshot's fingerprint. Of a sealed one the signature is checked that each version has
    (of commits with the same outputs the newest); that takes no key. Raises ``StorageError`` where the remote cannot be
    reached.
    """
    return _Everything(root, objects, progress or NoProgress()).run()


class _Everything:
    def __init__(self, root: Path, objects: Objects, progress: Progress) -> None:
        self.root, self.objects = root, objects
        keys = keys_of(root)
        self.keys = None if keys is None else Unsigned(keys)
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
        if self.keys is not None:
            self._check_signatures(folders)
        return self.done

    def _check_signatures(self, folders: dict[str, dict[str, str]]) -> None:
        """Whether each version's snapshots are what was signed in it, for the stage that they stand for; or rightly
        plain.
        """
        sealed: dict[str, tuple[Seals | None, bytes] | None] = {}
        for version in self.inventory.versions:
            name = version.names[0] if version.names else version.rev[:7]
            for place, oid in version.outputs.items():
                if oid not in folders or folders[oid][SNAPSHOT] not in self.found or not place.startswith("data/"):
                    continue
                if oid not in sealed:
                    sealed[oid] = _document(ObjectFolder(place, folders[oid], self.objects))
                known, keys = sealed[oid], keys_at(self.root, version.rev, place)
                if known is None or keys is None:
                    continue
                try:
                    keys.check_place(place, known[0])
                    if known[0] is not None:
                        keys.check(known[0], known[1])
                except TamperError as error:
                    self._report("snapshot-tampered", f"{place} at {name}: {error.message}", None, error.hint)

    def _report_object(self, oid: str, found: Hashed | None, where: str, folders: dict[str, dict[str, str]]) -> None:
        what = self.inventory.describe(oid)
        keys = self._samples(oid, folders)
        code, said = ("object-missing", "is neither in DVC's cache nor in its remote")
        if found is not None:
            code, said = "object-damaged", f"is damaged in {where}: its MD5 is {found.md5}"
        of = f"; {samples_text(keys)}" if keys else ""
        self._report(code, f"{what} {said}{of}", f"{oid[:2]}/{oid[2:]}", _MEND, keys)

    def _samples(self, oid: str, folders: dict[str, dict[str, str]]) -> tuple[str, ...]:
        """The samples whose pictures are in a shard, as far as a manifest says."""
        for holder, files in folders.items():
            name = next((name for name, file in files.items() if file == oid and name.startswith("shards/")), None)
            if name is None:
                continue
            shard = name.rpartition("/")[2]
            with suppress(DsetkitError, ValueError, OSError, KeyError):
                folder = ObjectFolder(holder, files, self.objects)
                keys: list[str] = []
                opened = self._open(folder)
                for part in opened.info.parts:
                    if shard in part.shards:
                        table = TableFile(folder, part, Sample, opened.seal).read(("key", "shard"))
                        keys += table.filter(pc.equal(table["shard"], shard))["key"].to_pylist()
                return tuple(dict.fromkeys(keys))
        return ()

    def _check_snapshot(self, oid: str, files: dict[str, str]) -> None:
        what = self.inventory.describe(oid).removeprefix("the list of files of ")
        folder = ObjectFolder(what, files, self.objects)
        try:
            parts = stored_files(folder)
        except DsetkitError as error:
            self._report("snapshot-unreadable", error.message, None, error.hint)
            return
        whole = True
        for part in parts:
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
        if whole or not any(
            files.get(part.name) not in self.found for part in parts if not part.name.startswith("shards/")
        ):
            self._check_meaning(folder, what)

    def _open(self, folder: ObjectFolder) -> Opened:
        """The document of a snapshot, and its keys. Raises ``AccessError`` where it is sealed to this identity."""
        return read_snapshot(folder, self.keys)

    def _check_meaning(self, folder: ObjectFolder, what: str) -> None:
        try:
            opened = self._open(folder)
            info, seal = opened.info, opened.seal
        except TamperError as error:
            self._report("snapshot-unreadable", error.message, None, error.hint)
            return
        except AccessError:
            self.done.sealed += 1
            return
        except DsetkitError as error:
            self._report("snapshot-unreadable", error.message, None, error.hint)
            return
        try:
            for part in info.parts:
                self._check_rows(folder, part, what, seal)

            def read(number: int) -> pa.Table:
                return TableFile(folder, info.parts[number], Sample, seal).read(("key", "row_digest"))

            digests = (each for table in in_key_order(info.parts, read) for each in table["row_digest"].to_pylist())
            found = fingerprint(digests, info.categories)
        except (DsetkitError, ValueError) as error:
            said = error.message if isinstance(error, DsetkitError) else str(error)
            self._report("snapshot-unreadable", f"{what}: {said}", None, _REBUILD)
            return
        if found != info.fingerprint:
            said = f"the rows of {what} mean {found}, not {info.fingerprint}"
            self._report("fingerprint-wrong", said, "snapshot.json", _REBUILD)

    def _check_rows(self, folder: ObjectFolder, part: ManifestPart, what: str, seal: Seal | None) -> None:
        oid = folder.oid(part.name)
        if oid in self.sound_parts:
            return
        self.sound_parts[oid] = True
        wrong = []
        file = TableFile(folder, part, Sample, seal)
        for column, said in file.untrue_columns():
            self._report("statistics-untrue", f"{said}, in {what}, column {column}", part.name, _REBUILD)
        for row in iter_rows([file.read()], Sample):
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

    def _report(self, code: str, message: str, file: str | None, hint: str, keys: tuple[str, ...] = ()) -> None:
        self.done.issues.append(Issue(code=code, message=message, file=file, hint=hint, keys=keys))


def _document(folder: ObjectFolder) -> tuple[Seals | None, bytes] | None:
    """The envelope (None: it is plain) and the bytes of a snapshot's document; None where it cannot be read."""
    with suppress(DsetkitError):
        return read_seals(folder), folder.read(SNAPSHOT)
    return None


def look_at(objects: Objects, oid: str) -> tuple[Hashed | None, str]:
    """What an object is where it would be read from, and where that is; None where it is nowhere.

    Raises ``StorageError`` where the remote cannot be reached.
    """
    with suppress(NotFoundError):
        return hashed(cache_blocks(objects, oid)), "DVC's cache"
    with suppress(NotFoundError):
        return hashed(remote_blocks(objects, oid, oid)), "DVC's remote"
    return None, ""
