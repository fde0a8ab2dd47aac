"""Are the files of a snapshot those that were written, plain or sealed: looked at as they lie there, without keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dsetkit.snapshots.envelope import StoredFile, files_of_seals
from dsetkit.snapshots.naming import FACETS, SHARDS, SNAPSHOT
from dsetkit.snapshots.opening import wrong_files
from dsetkit.snapshots.parquet_out import hash_file
from dsetkit.spec.issue import Issue
from dsetkit.spec.sealed import Seals
from dsetkit.storage.folder import Folder
from dsetkit.storage.scratch import scratch_folder

GET = "Get a good copy (in a project: dsetkit verify --repair); if there is none, build it again."
_WHY = "Set DSETKIT_IDENTITY to an identity that may read it."


def verify_stored(folder: Folder, seals: Seals, why: str = _WHY, *, is_signed: bool = False) -> list[Issue]:
    """What is wrong with the files of a sealed snapshot, as far as its envelope says; for those without keys.

    ``why`` says what to do to have them; ``is_signed``: the caller has checked the signature.
    Takes the digest and size of each file as it lies there. Codes: ``file-missing``, ``shard-damaged``,
    ``part-damaged``, ``rejected-damaged``, ``facet-damaged``, ``file-unknown``, and always, as an info, ``sealed``:
    what was not looked at. Raises ``StorageError`` where it cannot be reached.
    """
    stored = StoredFiles(folder, files_of_seals(seals))
    stored.check_presence()
    for file in stored.files:
        if file.name not in stored.missing:
            with stored.on_disk(file) as path:
                stored.check_digest(file, path)
    files = "digests and sizes of its files were checked against its envelope"
    if is_signed:
        checked = f"its signature and {files}; pictures, rows, counts and fingerprint were not"
    else:
        checked = f"only {files}, and neither pictures, rows, counts, fingerprint nor its signature"
    stored.issues.append(
        Issue(
            code="sealed",
            severity="info",
            message=f"it is sealed (domain {seals.domain}, epoch {seals.epoch}): {checked}",
            file=SNAPSHOT,
            hint=f"Those who read it can check all of it. {why}",
        )
    )
    return stored.issues


class StoredFiles:
    """The files of a snapshot as they lie there."""

    def __init__(self, folder: Folder, files: Sequence[StoredFile]) -> None:
        self.folder = folder
        self.files = files
        self.issues: list[Issue] = []
        self.missing: set[str] = set()
        self._sizes: dict[str, int] = {file.name: file.size_bytes for file in files}

    def report(self, code: str, message: str, **where: Any) -> None:
        """Take an issue down."""
        self.issues.append(Issue(code=code, message=message, hint=where.pop("hint", GET), **where))

    def check_presence(self, *, by_shard: bool = False) -> None:
        """Files that are not there, and such that are there and are none of it; ``by_shard``: shards are told later."""
        for part, size in wrong_files(self.folder, self.files):
            if size is not None:
                self._sizes[part.name] = size
            else:
                self.missing.add(part.name)
                if not (by_shard and part.name.startswith(f"{SHARDS}/")):
                    self.report("file-missing", "it is not there", file=part.name)
        known = {SNAPSHOT, *(part.name for part in self.files)}
        for name in self.folder.names():
            if name not in known:
                self.report(
                    "file-unknown", "it is no part of the snapshot", file=name, severity="warning", hint="Delete it."
                )

    def check_digest(self, file: StoredFile, path: Path) -> None:
        """Whether a file has its digest."""
        digest, size = hash_file(path)
        if digest != file.digest:
            about = f", and {size} bytes instead of {file.size_bytes}" if size != file.size_bytes else ""
            self.report(_code_of(file.name), f"its digest is {digest}{about}", file=file.name)

    @contextmanager
    def on_disk(self, part: StoredFile) -> Iterator[Path]:
        """The file on this machine; a remote one for as long as it is looked at."""
        path = self.folder.local_path(part.name)
        if path is not None:
            yield path
            return
        with scratch_folder() as folder:
            path = folder / "part"
            with path.open("wb") as file:
                block = 8 * 1024 * 1024
                size = self._sizes[part.name]
                for start in range(0, size, block):
                    length = min(block, size - start)
                    file.write(self.folder.read_range(part.name, start, length))
            yield path


def _code_of(name: str) -> str:
    if name.startswith(f"{SHARDS}/"):
        return "shard-damaged"
    if name.startswith(f"{FACETS}/"):
        return "facet-damaged"
    return "rejected-damaged" if name.startswith("rejected") else "part-damaged"
