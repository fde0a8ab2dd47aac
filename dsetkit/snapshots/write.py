"""Write a snapshot: rows and pictures in key order go in, shards and manifest parts come out, ``snapshot.json`` last.

In memory are the open shard, the open part (fewer than 65,536 rows and those of one shard) and at most 16,384 rejected
rows; for each shard that is known from before, 32 bytes and its name.
"""

from __future__ import annotations

import filecmp
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.errors import CheckError, UsageError
from dsetkit.snapshots.columns import UNFIT, checked_table, unfit
from dsetkit.snapshots.cut import PartCutter, ShardCutter
from dsetkit.snapshots.envelope import base_info, seal_document, to_json
from dsetkit.snapshots.facet_document import seal_facets
from dsetkit.snapshots.facet_tables import WholeRejected, with_layers
from dsetkit.snapshots.facet_write import FacetTables
from dsetkit.snapshots.facets import Facets, FacetSpec
from dsetkit.snapshots.fingerprint import fingerprint, row_digest
from dsetkit.snapshots.leftovers import WORK, keep_rows, leftovers
from dsetkit.snapshots.naming import FACETS, SAMPLES, SHARDS, SNAPSHOT
from dsetkit.snapshots.order import in_key_order
from dsetkit.snapshots.packing import Packer, PictureBytes, ShardSource
from dsetkit.snapshots.parquet import TableFile
from dsetkit.snapshots.parquet_out import store_facet_table, store_table, write_table
from dsetkit.snapshots.read import Snapshot
from dsetkit.snapshots.rejects import RejectedRows
from dsetkit.snapshots.sealing import Seal
from dsetkit.snapshots.shards import draw_of, is_same
from dsetkit.snapshots.sound import SoundFiles
from dsetkit.snapshots.tally import Tally
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.spec.issue import Issue
from dsetkit.spec.key import check_key, sort_key
from dsetkit.spec.sample import Sample
from dsetkit.spec.snapshot import ManifestPart, Part, SnapshotInfo
from dsetkit.storage.atomic import link_or_copy, remove_tree, sync_folder, write_atomic, written
from dsetkit.storage.folder import LocalFolder

__all__ = ["FacetSpec", "Facets", "PictureBytes", "ShardSource", "SnapshotWriter", "leftovers"]


class _Pending(NamedTuple):
    """A row of the open shard; where there are facets, ``row`` is its base."""

    row: Row
    picture: PictureBytes | None
    is_rejected: bool
    number: int
    layers: Mapping[str, Row]
    """What facets hold of it."""
    whole: Row | None
    """The whole of a rejected row, where there are facets."""


class SnapshotWriter:
    """Builds one snapshot in a folder of its own; the caller swaps it into place after ``finish``."""

    def __init__(
        self,
        build: Path,
        *,
        target_bytes: int,
        memory: Sequence[ShardSource] = (),
        sound: SoundFiles | None = None,
        seal: Seal | None = None,
        facets: Facets | None = None,
    ) -> None:
        """Begin in ``build``, which is made if it is not there.

        Finished shards that a killed run left in it are kept for reuse until ``finish``; its other files are deleted.
        Shards are cut at ``target_bytes``; those that ``memory`` has already are linked, where ``sound`` finds them
        to be what they were. With ``seal`` nothing comes to the disk but what it sealed; what ``facets`` protect is
        sealed by theirs. Raises ``StorageError``, ``UsageError`` for facets of what is not sealed.
        """
        if facets and seal is None:
            raise UsageError("what is plain has no facets", hint="This is a mistake in the stage; report it.")
        self.build = build
        self.target_bytes = target_bytes
        self._seal = seal
        self._facets = facets or Facets(())
        self._tally, self._base_tally = Tally(), Tally()
        self._parts: list[ManifestPart] = []
        self._memory = tuple(source.folder for source in memory)
        with written(build):
            for path in build.iterdir() if build.is_dir() else ():
                if path.name not in (SHARDS, WORK):
                    remove_tree(path)
            self._sound = SoundFiles() if sound is None else sound
            self._packer = Packer(build, memory, self._sound, seal)
            for path in (build / WORK).glob("rejected-*"):
                path.unlink()
            for name in (SAMPLES, WORK):
                (build / name).mkdir(parents=True, exist_ok=True)
        self._rejected = RejectedRows(build / WORK, seal)
        top = self._facets.seal(self._facets.top) if self._facets else seal
        self._whole_rejected = RejectedRows(build / WORK, top, "rejected-whole", WholeRejected)
        self._facet_tables = FacetTables(build, self._facets, self._memory)
        self._added = 0
        self._group = 0
        self._start_group()

    def _start_group(self) -> None:
        self._shard_cutter = ShardCutter(self.target_bytes)
        self._part_cutter = PartCutter()
        self._last_kept = self._last_packed = b""
        self._pending: list[_Pending] = []
        self._tables: list[pa.Table] = []
        self._part_shards: dict[str, None] = {}

    @property
    def statistics(self) -> dict[str, int]:
        """``shards_total``; of them ``shards_linked`` as they were and ``shards_packed``, these ``bytes_packed``."""
        return dict(self._packer.statistics)

    def add(
        self,
        row: Row,
        picture: PictureBytes | None,
        *,
        rejected: bool = False,
        group: int = 0,
        original_key: str | None = None,
    ) -> None:
        """Take the next row, sparse, and its picture's bytes.

        Rows of one group come in key order, each key once; only rejected rows without bytes may come at any time.
        Group 0 (originals) comes before group 1 (variants). The fields ``shard``, ``offset_bytes``, ``size_bytes``,
        ``digest`` and ``row_digest`` are set here; the row itself is left as it is. ``picture`` None: the snapshot
        has no bytes for this row. Where a facet hides keys, the row has the one that ``Facets.base_key`` gives, and its
        own is ``original_key``. Raises ``UsageError`` for rows out of order, ``CheckError`` naming the key for a
        row that does not fit or bytes that are not those of ``picture.digest``, ``StorageError``.
        """
        if group != self._group:
            self._change_group(group)
        key = row["key"]
        place = self._check_order(key, picture is not None, rejected)
        row = {name: value for name, value in row.items() if name not in ("shard", "offset_bytes", "row_digest")}
        if picture is not None:
            if row.get("digest") not in (None, picture.digest):
                raise UsageError(
                    f"{key} has the digest {row['digest']}, the bytes given with it have {picture.digest}",
                    hint="This is a mistake in the stage; report it.",
                )
            row["digest"] = picture.digest
            row["size_bytes"] = picture.size_bytes
        if original_key is None and not rejected and group == 0 and self._facets.needs_original(row.get("split")):
            raise UsageError(f"{key} is to be hidden", hint="This is a mistake in the stage; report it.")
        layers: Mapping[str, Row] = {}
        whole: Row | None = None
        try:
            if not self._facets:
                row["row_digest"] = row_digest(row)
            elif rejected:
                whole = {**row, "row_digest": row_digest(row)}
                if original_key is not None:
                    whole["original_key"] = original_key
                row = self._facets.part_rejected(row)
            else:
                self._tally.add_kept(row, is_variant=group == 1)
                row, layers = self._facets.part(row, original_key)
        except UNFIT as error:
            raise unfit(key, error) from error
        is_seen = picture is not None or not self._facets.hides_rejected
        if not rejected:
            (self._base_tally if self._facets else self._tally).add_kept(row, is_variant=group == 1)
        else:
            self._tally.add_rejected(row if whole is None else whole)
            if whole is not None and is_seen:
                self._base_tally.add_rejected(row)
        number = self._added
        self._added += 1
        if rejected and picture is None:
            if whole is not None:
                self._whole_rejected.add(whole, number)
            if is_seen:
                self._rejected.add(row, number)
            return
        self._last_packed = place
        self._pending.append(_Pending(row, picture, rejected, number, layers, whole))
        draw = draw_of(picture.digest if picture else hashlib.sha256(place).hexdigest(), self._seal)
        if self._shard_cutter.add(draw, picture.size_bytes if picture else 0):
            self._close_shard(draw)

    def carry(self, snapshot: Snapshot) -> bool:
        """Take a whole snapshot over as group 0: its parts and shards by link, as adding each of its rows would.

        False, and nothing done, where adding them would give something else (it has variants, bytes of rejected rows,
        shards cut at another target, columns of an earlier dsetkit, another seal, or facets on either side), or one of
        its files is not here or not sound. Comes before any ``add``. Raises ``StorageError``.
        """
        info, folder = snapshot.info, snapshot.folder
        if self._added or info.stage == "augmented" or info.shard_target_bytes != self.target_bytes:
            return False
        if not is_same(self._seal, snapshot.seal) or self._facets or info.facets:
            return False
        if info.rejected is not None and pc.any(pc.is_valid(snapshot.rejected["shard"])).as_py():
            return False
        if not all(self._sound.is_sound(folder, part.name, part.digest) for part in info.parts):
            return False
        if not all(TableFile(folder, part, Sample, self._seal).is_of_today for part in info.parts):
            return False
        with written(self.build):
            if not self._packer.carry(folder, info.shards):
                return False
            for part in info.parts:
                path = folder.local_path(part.name)
                assert path is not None
                link_or_copy(path, self.build / part.name)
        self._parts = list(info.parts)
        self._tally.add_counted(info.counts)
        self._added = info.counts.samples
        self._group = 1
        return True

    def carry_shard(self, rows: pa.Table, snapshot: Snapshot, *, is_last: bool) -> bool:
        """Take one whole shard of a snapshot over by link, with its rows, as adding each of them would.

        ``rows`` are as the snapshot has them (``Snapshot.iter_shard_rows``), none rejected, none a variant;
        ``is_last``: no others follow. False, and nothing done, where adding them would give something else (the open
        shard has rows already, this one would not end just where it ends, or it is sealed otherwise), or where the
        shard is not here or not sound. Raises ``UsageError`` for rows out of order, ``StorageError``.
        """
        if self._pending or self._group or not is_same(self._seal, snapshot.seal):
            return False
        if self._facets or snapshot.info.facets:
            return False
        cutter = ShardCutter(self.target_bytes)
        draws, count = [draw_of(digest, self._seal) for digest in rows["digest"].to_pylist()], rows.num_rows
        ends = [cutter.add(*item) for item in zip(draws, rows["size_bytes"].to_pylist(), strict=True)]
        if True in ends[:-1] or not (ends[-1] or is_last):
            return False
        name = rows["shard"][0].as_py()
        part = next((part for part in snapshot.info.shards if part.name == f"{SHARDS}/{name}"), None)
        with written(self.build):
            if part is None or part.name in self._packer.shards or not self._packer.carry(snapshot.folder, [part]):
                return False
        for index in sorted({0, count - 1}):
            self._last_packed = self._check_order(rows["key"][index].as_py(), True, False)
        self._tally.add_table(rows)
        self._added += count
        self._close_rows(rows, draws[-1], [name])
        return True

    def finish(self, info_fields: Mapping[str, Any]) -> SnapshotInfo:
        """Write the last parts, what was rejected and ``snapshot.json``; the folder is then a whole snapshot.

        ``info_fields`` are those of ``SnapshotInfo`` the writer cannot know: stage, name, categories, ...; its
        ``counts`` those it cannot count. Given back is what the snapshot means whole. Raises ``CheckError`` where two
        groups have a key in common, ``StorageError``, ``pydantic.ValidationError`` for fields that are not
        ``SnapshotInfo``'s.
        """
        self._close_group()
        with written(self.build):
            rejected = base_rejected = store_table(self.build, "rejected", self._rejected.write, self._seal)
            if self._facets:
                top = self._facets.seal(self._facets.top)
                rejected = store_facet_table(self.build, self._facets.top, self._whole_rejected.write, top)
            parts = tuple(self._parts)
            categories = tuple(
                item if isinstance(item, Category) else Category(**item) for item in info_fields.get("categories", ())
            )
            info = SnapshotInfo(
                **{
                    **info_fields,
                    "categories": categories,
                    "fingerprint": fingerprint(self._row_digests(parts), categories),
                    "shard_target_bytes": self.target_bytes,
                    "counts": self._tally.counts(info_fields.get("counts")),
                    "parts": parts,
                    "shards": tuple(self._packer.shards.values()),
                    "rejected": rejected,
                    "facets": self._facets.notes,
                }
            )
            remove_tree(self.build / WORK)
            for path in (self.build / SHARDS).iterdir():
                if f"{SHARDS}/{path.name}" not in self._packer.shards:
                    remove_tree(path)
            for folder in (self.build / SHARDS, self.build / SAMPLES, *(self.build / FACETS).glob("*")):
                sync_folder(folder)
        write_atomic(self.build / SNAPSHOT, self._document(info, base_rejected))
        self._sound.keep()
        return info

    def _document(self, info: SnapshotInfo, rejected: Part) -> bytes:
        """``snapshot.json``; ``rejected`` is the table of what may be seen without facets."""
        if self._seal is None:
            return to_json(info)
        if not self._facets:
            return seal_document(info, self._seal)
        base = base_info(
            info,
            counts=self._base_tally.counts(),
            fingerprint=fingerprint(self._row_digests(info.parts, is_whole=False), info.categories),
            rejected=rejected,
            facets=self._facets.notes,
        )
        return seal_document(
            base, self._seal, seal_facets(self._facets, self._facet_tables.layers, info, to_json(base))
        )

    def _check_order(self, key: str, is_packed: bool, rejected: bool) -> bytes:
        try:
            if check_key(key) != key:
                raise ValueError("it is not in Unicode's NFC")
        except ValueError as error:
            raise UsageError(f"{key!r} cannot be a key ({error})", hint="Rename the file in its source.") from error
        place = sort_key(key)
        if not rejected and self._last_kept and place <= self._last_kept:
            said = "comes twice" if place == self._last_kept else f"comes after {self._last_kept.decode()!r}"
            raise UsageError(f"{key!r} {said}", hint="Rows come in key order, each key once; report this.")
        if (is_packed or not rejected) and place < self._last_packed:
            raise UsageError(
                f"{key!r} comes after {self._last_packed.decode()!r}", hint="Rows come in key order; report this."
            )
        if not rejected:
            self._last_kept = place
        return place

    def _change_group(self, group: int) -> None:
        if group not in (0, 1) or group < self._group:
            raise UsageError(
                f"a row of group {group} comes after group {self._group}", hint="Group 0 comes before group 1."
            )
        self._close_group()
        self._group = group
        self._start_group()

    def _close_group(self) -> None:
        if self._pending:
            last = self._pending[-1]
            digest = last.picture.digest if last.picture else hashlib.sha256(self._last_packed).hexdigest()
            self._close_shard(draw_of(digest, self._seal))
        self._close_part()

    def _close_shard(self, last_draw: str) -> None:
        pending, self._pending = self._pending, []
        with written(self.build):
            packed, rows = self._place(pending)
            kept = [row for row, entry in zip(rows, pending, strict=True) if not entry.is_rejected]
            table = checked_table(kept, Sample)
            if packed is not None:
                keep_rows(self.build, packed, table, self._seal)
            if self._facets:
                layers = [entry.layers for entry in pending if not entry.is_rejected]
                self._facet_tables.add_shard(list(zip(kept, layers, strict=True)))
        for row, entry in zip(rows, pending, strict=True):
            if entry.is_rejected:
                self._rejected.add(row, entry.number)
            if entry.whole is not None:
                placed: Row = {name: row[name] for name in ("shard", "offset_bytes") if name in row}
                self._whole_rejected.add({**entry.whole, **placed}, entry.number)
        self._close_rows(table, last_draw, [row["shard"] for row in kept if "shard" in row])

    def _close_rows(self, table: pa.Table, last_draw: str, shards: Sequence[str]) -> None:
        """Take the kept rows of a shard that is done into the open part."""
        self._tables.append(table)
        self._part_shards.update(dict.fromkeys(shards))
        if self._part_cutter.add(last_draw, table.num_rows):
            self._close_part()

    def _place(self, pending: Sequence[_Pending]) -> tuple[str | None, list[Row]]:
        """Bring a shard into the folder: its digest where it was packed, and the rows with their places in it."""
        pictures: dict[str, tuple[str, PictureBytes]] = {}
        for entry in pending:
            if entry.picture is not None:
                pictures.setdefault(entry.picture.digest, (entry.row["key"], entry.picture))
        if not pictures:
            return None, [entry.row for entry in pending]
        placed = self._packer.place(list(pictures.values()))
        name = placed.part.name.rpartition("/")[2]
        rows = [
            entry.row
            if entry.picture is None
            else {**entry.row, "shard": name, "offset_bytes": placed.offsets[entry.picture.digest]}
            for entry in pending
        ]
        return placed.part.digest if placed.is_new else None, rows

    def _close_part(self) -> None:
        tables, self._tables = self._tables, []
        shards, self._part_shards = tuple(self._part_shards), {}
        if not sum(table.num_rows for table in tables):
            return
        table = pa.concat_tables(tables).combine_chunks()
        with written(self.build):
            part = store_table(self.build, "samples", partial(write_table, table), self._seal)
        keys = table["key"]
        ends = {"first_key": keys[0].as_py(), "last_key": keys[-1].as_py()}
        self._parts.append(ManifestPart(**part.model_dump(), **ends, shards=shards))
        if self._facets:
            with written(self.build):
                self._facet_tables.close_part(self._parts[-1])
        path = self.build / part.name
        for folder in self._memory:
            twin = folder.local_path(part.name)
            if twin is not None and filecmp.cmp(twin, path, shallow=False):
                link_or_copy(twin, path)
                break

    def _row_digests(self, parts: Sequence[ManifestPart], *, is_whole: bool = True) -> Iterator[str]:
        """In key order, from the parts as written; with ``is_whole`` those of whole rows, else of base rows."""
        here = LocalFolder(self.build)
        last = None
        layers = self._facet_tables.open_layers([self._facets.top] if is_whole else [])

        def read(number: int) -> pa.Table:
            file = TableFile(here, parts[number], Sample, self._seal)
            return with_layers(here, file, layers).read(("key", "row_digest"))

        for table in in_key_order(parts, read):
            for key, digest in zip(table["key"].to_pylist(), table["row_digest"].to_pylist(), strict=True):
                if key == last:
                    raise CheckError(
                        f"two samples have the key {key!r}",
                        hint="Rename one of them, or the recipe that makes it.",
                        issues=(Issue(code="key-twice", message="two samples have this key", key=key),),
                    )
                last = key
                yield digest
