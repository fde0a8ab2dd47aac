"""Backup: all versions at another place. Objects go first, the document that names and hashes everything goes last.

Nothing that is there and good is written again, so a backup that was stopped goes on where it was, and the next one
sends what is new. Which objects are there is asked of the place itself each time, by one listing.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from dsetkit.errors import DsetkitError, NotFoundError, StorageError
from dsetkit.history.backup.copies import backup_blocks, copy_object, file_blocks, folder_blocks, hashed
from dsetkit.history.backup.index import (
    MARKER,
    BackupIndex,
    Generation,
    StoredFile,
    bundle_name,
    check_place,
    index_file,
    marker_bytes,
    next_generation,
    object_name,
    read_generations,
)
from dsetkit.history.backup.inventory import (
    Inventory,
    ListingReader,
    recorded_versions,
    sources,
    take_inventory,
)
from dsetkit.history.backup.prune import drop_generations
from dsetkit.history.backup.refs import Refs, check_outside, first_commits, left_out, read_refs
from dsetkit.history.objects import Objects
from dsetkit.history.repository import git
from dsetkit.spec.issue import Issue
from dsetkit.stages.build import NoProgress, Progress
from dsetkit.storage.scratch import scratch_folder
from dsetkit.storage.writable import LocalWritable, RemoteWritable, open_writable

WORKERS = 8


@dataclass
class Created:
    """What a backup did."""

    url: str
    generation: int
    is_new: bool
    """False: nothing was new, so the newest generation stands for it."""
    versions: int
    objects: int
    sent: int = 0
    sent_bytes: int = 0
    issues: list[Issue] = field(default_factory=list)
    """``object-missing``: what versions need and could be had nowhere, or only damaged; ``index-damaged``."""
    notes: list[str] = field(default_factory=list)
    """What is not in the backup, by its nature."""
    dropped: list[int] = field(default_factory=list)
    """Generations that retention took away."""


def create_backup(
    root: Path,
    url: str,
    *,
    keep: int | None = None,
    check: bool = False,
    progress: Progress | None = None,
) -> Created:
    """Bring all versions of the project at ``root`` to a place: git's branches and tags, and every object of DVC.

    An object comes from DVC's cache, else from its remote, and is hashed before it is sent. ``check``: what is there
    already is read too, and sent again where it is damaged. ``keep``: afterwards so many generations stay. Raises
    ``UsageError`` for a place with something else in it or inside the project, ``NotFoundError`` before a first commit,
    ``StorageError``. Stopped at any moment, the generations that were there stand, and the next run goes on.
    """
    refs = read_refs(root)
    roots = first_commits(root)
    check_outside(root, url)
    folder = open_writable(url)
    sizes = folder.sizes()
    needs_marker = check_place(folder, sizes, roots)
    generations, issues = read_generations(folder, sizes)
    objects = Objects(root)
    try:
        work = _Backup(root, folder, sizes, generations, objects, progress or NoProgress(), check)
        if needs_marker:
            folder.write(MARKER, marker_bytes(roots))
        done = work.run(refs)
    finally:
        objects.close()
    done.issues[:0] = issues
    done.notes += left_out(root)
    if keep is not None:
        done.dropped = drop_generations(folder, keep)
    return done


class _Backup:
    def __init__(
        self,
        root: Path,
        folder: LocalWritable | RemoteWritable,
        sizes: dict[str, int],
        generations: list[Generation],
        objects: Objects,
        progress: Progress,
        check: bool,
    ) -> None:
        self.root = root
        self.folder = folder
        self.sizes = sizes
        self.newest = generations[0].index if generations else None
        self.objects = objects
        self.progress = progress
        self.check = check
        self.known: dict[str, StoredFile] = {}
        for generation in reversed(generations):
            self.known.update(generation.index.objects)
        self.sent = 0
        self.sent_bytes = 0
        self.lost: dict[str, str] = {}

    def run(self, refs: Refs) -> Created:
        self.progress.start("listing what versions need", None)
        versions = recorded_versions(self.root)
        inventory, lost = take_inventory(versions, ListingReader(self.objects, self.folder))
        self.lost.update({oid: error.message for oid, error in lost.items()})
        stored = self._send_objects(inventory)
        bundle = self._send_bundle(refs)
        if read_refs(self.root) != refs:
            raise StorageError(
                "branches or tags changed while the backup was made", url=str(self.root), hint="Run it again."
            )
        self._check_sent(stored, bundle)
        index = BackupIndex(
            generation=next_generation(self.sizes),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            project=(git(self.root, "rev-parse", "--show-prefix") or "").rstrip("/"),
            head=refs.head,
            refs=refs.refs,
            head_rev=refs.head_rev,
            bundle=bundle,
            versions=tuple(versions),
            objects=stored,
            missing=tuple(sorted(self.lost)),
        )
        is_new = self.newest is None or _content(index) != _content(self.newest)
        if is_new:
            self.folder.write(*index_file(index))
        else:
            assert self.newest is not None
            index = self.newest
        return Created(
            url=self.folder.url,
            generation=index.generation,
            is_new=is_new,
            versions=len(versions),
            objects=len(stored),
            sent=self.sent,
            sent_bytes=self.sent_bytes,
            issues=[_missing(oid, why, inventory) for oid, why in sorted(self.lost.items())],
        )

    def _send_objects(self, inventory: Inventory) -> dict[str, StoredFile]:
        wanted = [oid for oid in inventory.oids if oid not in self.lost]
        self.progress.start("sending objects", len(wanted))
        stored: dict[str, StoredFile] = {}
        pool = ThreadPoolExecutor(WORKERS)
        try:
            results = pool.map(lambda oid: self._send_object(oid, inventory.describe(oid)), wanted)
            for oid, (found, said) in zip(wanted, results, strict=True):
                self.progress.advance()
                if found is None:
                    self.lost[oid] = said
                    continue
                stored[oid] = found
                if said == "sent":
                    self.sent += 1
                    self.sent_bytes += found.size_bytes
        finally:
            pool.shutdown(cancel_futures=True)
        return stored

    def _send_object(self, oid: str, what: str) -> tuple[StoredFile | None, str]:
        """What the place has of an object afterwards, and whether it was ``sent``; None and why it has none."""
        name = object_name(oid)
        there = self.sizes.get(name)
        known = self.known.get(oid)
        if known is not None and there == known.size_bytes and (not self.check or self._is_sound(oid, known)):
            return known, ""
        why = "it is neither in DVC's cache nor in its remote"
        for number, blocks in enumerate(sources(oid, what, self.objects)):
            with scratch_folder() if number else nullcontext() as scratch:  # the cache's own file can be sent
                path = self.objects.path(oid) if scratch is None else scratch / "object"
                try:
                    found = hashed(blocks()) if scratch is None else copy_object(blocks(), path, oid)
                except NotFoundError:
                    continue
                except DsetkitError as error:
                    why = error.message
                    continue
                if found is None or not found.is_object(oid):
                    why = f"it is damaged in DVC's {'remote' if number else 'cache'}"
                    continue
                if there == found.size_bytes and (not self.check or self._is_sound(oid, found.stored)):
                    return found.stored, ""  # a backup that was stopped has sent it
                self.folder.write_file(name, path)
                return found.stored, "sent"
        if there is not None:  # only the backup has it, from before it was lost here
            with suppress(NotFoundError):
                kept = hashed(backup_blocks(self.folder, oid))
                if kept.is_object(oid) and (known is None or kept.is_file(known)):
                    return kept.stored, ""
        return None, why

    def _is_sound(self, oid: str, stored: StoredFile) -> bool:
        try:
            return hashed(backup_blocks(self.folder, oid)).is_file(stored)
        except NotFoundError:
            return False

    def _send_bundle(self, refs: Refs) -> StoredFile:
        """Brings branches and tags there, whole each time: increments would all be lost with the first of them."""
        before = self.newest
        if before is not None and (before.refs, before.head, before.head_rev) == refs:
            name = bundle_name(before.bundle.digest)
            if self.sizes.get(name) == before.bundle.size_bytes and (
                not self.check or hashed(folder_blocks(self.folder, name)).is_file(before.bundle)
            ):
                return before.bundle
        self.progress.start("sending branches and tags", None)
        with scratch_folder() as scratch:
            path = scratch / "bundle"
            git(self.root, "bundle", "create", "--quiet", str(path), "HEAD", "--branches", "--tags", required=True)
            found = hashed(file_blocks(path))
            self.folder.write_file(bundle_name(found.digest), path)
        self.sizes[bundle_name(found.digest)] = found.size_bytes
        return found.stored

    def _check_sent(self, stored: Mapping[str, StoredFile], bundle: StoredFile) -> None:
        """Look once more before the index says that everything is there: another may have pruned meanwhile."""
        sizes = self.folder.sizes()
        wanted = {object_name(oid): file.size_bytes for oid, file in stored.items()}
        wanted[bundle_name(bundle.digest)] = bundle.size_bytes
        gone = [name for name, size in wanted.items() if sizes.get(name) != size]
        if gone:
            raise StorageError(
                f"{self.folder.url} lost {gone[0]} while the backup was made",
                url=self.folder.url,
                hint="Let nothing else write there (one backup or prune at a time), and run it again.",
            )


def _content(index: BackupIndex) -> BackupIndex:
    """An index without what differs each time."""
    return index.model_copy(update={"generation": 1, "created_at": "", "bundle": index.bundle})


def _missing(oid: str, why: str, inventory: Inventory) -> Issue:
    return Issue(
        code="object-missing",
        message=f"{inventory.describe(oid)} is not in the backup: {why}",
        file=object_name(oid),
        hint="Fetch it from where it still is (dvc pull --all-commits), or mend it (dsetkit verify --all --repair).",
    )
