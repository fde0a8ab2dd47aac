"""Is a snapshot what it says it is: every digest taken again, from the bytes up to the fingerprint."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from dsetkit.errors import DsetkitError
from dsetkit.snapshots.columns import UNFIT
from dsetkit.snapshots.fingerprint import fingerprint, row_digest
from dsetkit.snapshots.opening import files_of, wrong_files
from dsetkit.snapshots.order import in_key_order
from dsetkit.snapshots.parquet import TableFile, hash_file
from dsetkit.snapshots.read import Snapshot
from dsetkit.snapshots.tally import Tally
from dsetkit.spec.arrow import Row, iter_rows
from dsetkit.spec.issue import Issue
from dsetkit.spec.key import sort_key
from dsetkit.spec.sample import Rejected, Sample
from dsetkit.spec.snapshot import ManifestPart, Part
from dsetkit.storage.scratch import scratch_folder
from dsetkit.storage.tar import check_shard

_FETCH = "Get a good copy (in a project: dsetkit verify --repair); if there is none, build it again."
_BUILD = "Build it again."
_EXAMPLES = 3

_Place = tuple[int, int, str]
"""Offset, size and digest of a picture."""


class _Claim(NamedTuple):
    """What rows say of one shard."""

    pictures: dict[_Place, list[str]]
    """And the keys of the samples that say so: equal bytes lie in a shard once."""

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(key for keys in self.pictures.values() for key in keys))


def verify(snapshot: Snapshot) -> list[Issue]:
    """Everything that is wrong with a snapshot; an empty list: it is whole, and means what its fingerprint says.

    Takes the digest of each file, each picture in each shard and each row again, then the fingerprint and the counts,
    and compares. Reads every byte, holding one part and one picture at a time. Codes: ``file-missing``,
    ``shard-damaged`` (naming the samples in it), ``picture-damaged``, ``member-unknown``, ``part-damaged``,
    ``rejected-damaged``, ``row-damaged``, ``keys-unordered``, ``statistics-untrue`` (naming the column of a part: rows
    are looked up by what its statistics say), ``fingerprint-wrong``, ``counts-wrong``, ``file-unknown``. Open a
    damaged snapshot by ``open_snapshot(place, check=False)``. Of a selection the whole snapshot is verified. Raises
    ``StorageError`` where it cannot be reached.
    """
    return _Verification(snapshot).run()


class _Verification:
    def __init__(self, snapshot: Snapshot) -> None:
        self.info = snapshot.info
        self.folder = snapshot.folder
        self.issues: list[Issue] = []
        self.tally = Tally()
        self.shards = {part.name.rpartition("/")[2]: part for part in self.info.shards}
        self.checked: set[str] = set()
        self.unreadable: set[str] = set()

    def run(self) -> list[Issue]:
        self._check_presence()
        turned_away = self._check_rejected()
        for part in self.info.parts:
            claims = self._check_part(part)
            for shard in dict.fromkeys([*claims, *part.shards]):
                claim = claims.get(shard) or _Claim({})
                for place, keys in (turned_away.pop(shard, None) or _Claim({})).pictures.items():
                    claim.pictures.setdefault(place, []).extend(keys)
                self._check_shard(shard, claim)
        for shard in [*turned_away, *self.shards]:
            if shard not in self.checked:
                self._check_shard(shard, turned_away.get(shard) or _Claim({}))
        self._check_meaning()
        return self.issues

    def _report(self, code: str, message: str, **where: Any) -> None:
        self.issues.append(Issue(code=code, message=message, hint=where.pop("hint", _FETCH), **where))

    def _check_presence(self) -> None:
        for part, size in wrong_files(self.folder, self.info):
            if size is None:
                self.unreadable.add(part.name)
                if not part.name.startswith("shards/"):
                    self._report("file-missing", "it is not there", file=part.name)
        known = {"snapshot.json", *(part.name for part in files_of(self.info))}
        for name in self.folder.names():
            if name not in known:
                self._report(
                    "file-unknown", "it is no part of the snapshot", file=name, severity="warning", hint="Delete it."
                )

    def _check_part(self, part: ManifestPart) -> dict[str, _Claim]:
        claims: dict[str, _Claim] = {}
        wrong: list[str] = []
        last = b""
        for row in self._rows(part, "part-damaged", Sample):
            at = sort_key(row["key"])
            if at <= last:
                self._report("keys-unordered", "it does not follow the key before it", key=row["key"], hint=_BUILD)
            elif not sort_key(part.first_key) <= at <= sort_key(part.last_key):
                self._report("keys-unordered", f"it lies outside {part.name}", key=row["key"], hint=_BUILD)
            last = at
            try:
                if row_digest(row) != row.get("row_digest"):
                    wrong.append(row["key"])
            except UNFIT:
                wrong.append(row["key"])
            _claim(claims, row)
            self.tally.add_kept(row)
        for key in wrong[:_EXAMPLES]:
            self._report("row-damaged", "its row does not mean what its row digest says", key=key, file=part.name)
        if len(wrong) > _EXAMPLES:
            self.issues[-1] = self.issues[-1].model_copy(update={"count": 1 + len(wrong) - _EXAMPLES})
        return claims

    def _check_rejected(self) -> dict[str, _Claim]:
        claims: dict[str, _Claim] = {}
        if self.info.rejected is not None:
            for row in self._rows(self.info.rejected, "rejected-damaged", Rejected):
                _claim(claims, row)
                self.tally.add_rejected(row)
        return claims

    def _rows(self, part: Part, code: str, model: type[Sample]) -> Iterator[Row]:
        if part.name in self.unreadable:
            return
        with self._file(part) as path:
            digest, size = hash_file(path)
            if digest != part.digest:
                about = f", and {size} bytes instead of {part.size_bytes}" if size != part.size_bytes else ""
                self._report(code, f"its digest is {digest}{about}", file=part.name)
            try:
                file = TableFile(self.folder, part, model)
                yield from iter_rows([file.read()], model)
                for column, what in file.untrue_columns():
                    self._report("statistics-untrue", what, file=part.name, place=f"column {column}", hint=_BUILD)
            except (DsetkitError, ValueError) as error:
                self.unreadable.add(part.name)
                self._report(code, error.message if isinstance(error, DsetkitError) else str(error), file=part.name)

    def _check_shard(self, name: str, claim: _Claim) -> None:
        part = self.shards.get(name)
        if part is None:
            for place, keys in list(claim.pictures.items())[:_EXAMPLES]:
                self._report(
                    "shard-damaged", f"its row points into {name[:80]!r}, no shard of it, at {place[0]}", key=keys[0]
                )
            return
        again = name in self.checked
        self.checked.add(name)
        if part.name in self.unreadable:
            self._report_shard(part, "it is not there", claim.keys)
            return
        with self._file(part) as path:
            try:
                members = check_shard(path)
            except DsetkitError as error:
                self._report_shard(part, error.message, claim.keys)
                return
            there = {(member.offset_bytes, member.size_bytes, member.name[:64]) for member in members}
            bad = [place for place in claim.pictures if place not in there]
            whole, found = _hash_members(path, members)
        if not again:
            bad += [place for place in there if place not in found]
        broken = {place: claim.pictures.get(place, []) for place in sorted(set(bad))}
        if whole != part.digest and not again:
            damaged = _Claim({place: keys for place, keys in broken.items() if keys}).keys
            where = "damaged in it" if damaged else "in it"
            self._report_shard(part, f"its digest is {whole}", damaged or claim.keys, where)
        for place, keys in broken.items():
            said = f"its bytes at {place[0]} are not those of {place[2]}"
            for key in keys or (None,):
                self._report("picture-damaged", said, key=key, file=part.name)
        for place in sorted(there - claim.pictures.keys()) if not again else ():
            self._report(
                "member-unknown", f"no row points at the picture at {place[0]}", file=part.name, severity="warning"
            )
        if not again and len(members) != part.rows:
            self._report("counts-wrong", f"it has {len(members)} members, not {part.rows}", file=part.name, hint=_BUILD)

    def _report_shard(self, part: Part, said: str, keys: tuple[str, ...], where: str = "in it") -> None:
        self._report("shard-damaged", f"{said}; {samples_text(keys, where)}", file=part.name, keys=keys)

    def _check_meaning(self) -> None:
        if self.unreadable & {part.name for part in self.info.parts}:
            return
        digests = (
            digest
            for table in in_key_order(self.info.parts, self._read_digests)
            for digest in table["row_digest"].to_pylist()
        )
        found = fingerprint(digests, self.info.categories)
        if found != self.info.fingerprint:
            self._report(
                "fingerprint-wrong", f"its rows mean {found}, not {self.info.fingerprint}", file="snapshot.json"
            )
        if self.info.rejected is not None and self.info.rejected.name in self.unreadable:
            return
        stated = self.info.counts.model_dump()
        for name, count in self.tally.counted().items():
            if not name.startswith("added_") and stated[name] != count:
                self._report(
                    "counts-wrong", f"{name} is {stated[name]}, counted are {count}", file="snapshot.json", hint=_BUILD
                )

    def _read_digests(self, number: int) -> pa.Table:
        return TableFile(self.folder, self.info.parts[number], Sample).read(("key", "row_digest"))

    @contextmanager
    def _file(self, part: Part) -> Iterator[Path]:
        """The file on this machine; a remote one for as long as it is looked at."""
        path = self.folder.local_path(part.name)
        if path is not None:
            yield path
            return
        with scratch_folder() as folder:
            path = folder / "part"
            with path.open("wb") as file:
                block = 8 * 1024 * 1024
                for start in range(0, part.size_bytes, block):
                    length = min(block, part.size_bytes - start)
                    file.write(self.folder.read_range(part.name, start, length))
            yield path


def _claim(claims: dict[str, _Claim], row: Row) -> None:
    if "shard" in row:
        place = (row.get("offset_bytes", -1), row.get("size_bytes", -1), row.get("digest", ""))
        claims.setdefault(row["shard"], _Claim({})).pictures.setdefault(place, []).append(row["key"])


def samples_text(keys: Sequence[str], where: str = "in it") -> str:
    """The samples that a damaged shard is about, in words: the first few by name."""
    if not keys:
        return "no row needs it"
    more = f" and {len(keys) - _EXAMPLES} more" if len(keys) > _EXAMPLES else ""
    verb = "is the picture" if len(keys) == 1 else "are the pictures"
    return f"{where} {verb} of {', '.join(map(repr, keys[:_EXAMPLES]))}{more}"


def _hash_members(path: Path, members: list[Any]) -> tuple[str, set[_Place]]:
    """The file's digest, and the places whose bytes are what the member's name says; reads it once."""
    whole = hashlib.sha256()
    found: set[_Place] = set()
    with path.open("rb") as file:
        for member in members:
            whole.update(file.read(member.offset_bytes - file.tell()))
            own = hashlib.sha256()
            left = member.size_bytes
            while left and (block := file.read(min(left, 1024 * 1024))):
                whole.update(block)
                own.update(block)
                left -= len(block)
            if own.hexdigest() == member.name[:64]:
                found.add((member.offset_bytes, member.size_bytes, member.name[:64]))
        while block := file.read(1024 * 1024):
            whole.update(block)
    return whole.hexdigest(), found
