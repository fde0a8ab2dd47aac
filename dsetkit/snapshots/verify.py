"""Is a snapshot what it says it is: every digest taken again, from the bytes up to the fingerprint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa

from dsetkit.errors import DsetkitError, TamperError
from dsetkit.snapshots.columns import UNFIT
from dsetkit.snapshots.envelope import files_of, files_of_seals
from dsetkit.snapshots.fingerprint import fingerprint, row_digest
from dsetkit.snapshots.order import in_key_order
from dsetkit.snapshots.parquet import TableFile
from dsetkit.snapshots.read import Snapshot
from dsetkit.snapshots.tally import Tally
from dsetkit.snapshots.verify_facets import verify_facets
from dsetkit.snapshots.verify_shard import Place, look_into
from dsetkit.snapshots.verify_stored import StoredFiles, verify_stored
from dsetkit.spec.arrow import Row, iter_rows
from dsetkit.spec.issue import Issue
from dsetkit.spec.key import sort_key
from dsetkit.spec.sample import Rejected, Sample
from dsetkit.spec.snapshot import ManifestPart, Part
from dsetkit.storage.tar import check_shard

__all__ = ["samples_text", "verify", "verify_stored"]

_BUILD = "Build it again."
_EXAMPLES = 3


class _Claim(NamedTuple):
    """What rows say of one shard."""

    pictures: dict[Place, list[str]]
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
    are looked up by what its statistics say), ``fingerprint-wrong``, ``counts-wrong``, ``file-unknown``; of facets,
    besides, ``facet-damaged``, and as an info ``facet-hidden`` for each that is not read: of it only the digests of
    files are taken. Open a
    damaged snapshot by ``open_snapshot(place, check=False)``. Of a selection the whole snapshot is verified. Raises
    ``StorageError`` where it cannot be reached.
    """
    whole = _Verification(snapshot.base)
    return [*whole.run(), *verify_facets(snapshot, whole.stored)]


class _Verification:
    def __init__(self, snapshot: Snapshot) -> None:
        self.info = snapshot.info
        self.folder = snapshot.folder
        self.seal = snapshot.seal
        files = files_of(snapshot.info) if snapshot.seals is None else files_of_seals(snapshot.seals)
        self.stored = StoredFiles(snapshot.folder, files)
        self.issues, self._report = self.stored.issues, self.stored.report
        self.unreadable = self.stored.missing
        self.tally = Tally()
        self.shards = {part.name.rpartition("/")[2]: part for part in self.info.shards}
        self.checked: set[str] = set()

    def run(self) -> list[Issue]:
        self.stored.check_presence(by_shard=True)
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
        with self.stored.on_disk(part) as path:
            self.stored.check_digest(part, path)
            try:
                file = TableFile(self.folder, part, model, self.seal)
                yield from iter_rows([file.read()], model)
                for column, what in file.untrue_columns():
                    self._report("statistics-untrue", what, file=part.name, place=f"column {column}", hint=_BUILD)
            except (DsetkitError, ValueError) as error:
                self.unreadable.add(part.name)
                if isinstance(error, TamperError) and any(issue.file == part.name for issue in self.issues):
                    return  # a sealed one of another digest, which is told already
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
        with self.stored.on_disk(part) as path:
            try:
                members = check_shard(path)
            except DsetkitError as error:
                self._report_shard(part, error.message, claim.keys)
                return
            whole, there, broken_here = look_into(path, members, claim.pictures, self.seal)
        bad = [place for place in claim.pictures if place not in there]
        if not again:
            bad += broken_here
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
        return TableFile(self.folder, self.info.parts[number], Sample, self.seal).read(("key", "row_digest"))


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
