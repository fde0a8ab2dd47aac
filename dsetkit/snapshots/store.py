"""The files of one open snapshot: its parts read by column, by row and by key; picture bytes by range."""

from __future__ import annotations

import bisect
import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.errors import SnapshotError, TamperError
from dsetkit.imaging.media import extension_of
from dsetkit.snapshots.facet_document import OpenFacets
from dsetkit.snapshots.facet_tables import ORIGINAL, FacetedFile, WholeRejected, with_layers
from dsetkit.snapshots.latest import Latest
from dsetkit.snapshots.naming import FACETS
from dsetkit.snapshots.opening import Opened
from dsetkit.snapshots.order import in_key_order, runs_of
from dsetkit.snapshots.parquet import TableFile, column_path
from dsetkit.snapshots.sealing import Seal
from dsetkit.snapshots.selection import Rows
from dsetkit.snapshots.shards import Shards, member_of, stored_size
from dsetkit.spec.arrow import Row, arrow_schema, rows_from_table
from dsetkit.spec.key import sort_key
from dsetkit.spec.sample import Rejected, Sample
from dsetkit.spec.sealed import Seals
from dsetkit.spec.snapshot import Part, SnapshotInfo
from dsetkit.storage.folder import Folder

PLACE = ("key", "digest", "shard", "offset_bytes", "size_bytes")
"""The columns that say where a picture is."""

_DAMAGED = "See what else is damaged: dsetkit verify; then fetch it again (under DVC: dvc checkout)."

_MEMBER = ("shard", "offset_bytes", "digest", "size_bytes", "media_type")


class Store:
    """Reads the files of a snapshot. Threads may share it; a plain one can be pickled where its folder can."""

    def __init__(self, folder: Folder, opened: Opened) -> None:
        self.folder = folder
        self.opened = opened
        self.info: SnapshotInfo = opened.meant
        self.seals: Seals | None = opened.seals
        self.seal: Seal | None = opened.seal
        self.facets: OpenFacets = opened.facets
        self.shards = Shards(folder, self.seal)
        info, bases = self.info, Latest()
        layers = {layer.name: Latest() for layer in self.facets.layers}
        self._files: list[TableFile | FacetedFile] = [
            with_layers(folder, TableFile(folder, part, Sample, self.seal, opened=bases), self.facets.layers, layers)
            for part in info.parts
        ]
        self._starts = [0, *accumulate(part.rows for part in info.parts)]
        self._runs = runs_of(info.parts)
        self._sizes = {part.name: part.size_bytes for part in info.shards}
        self._groups, self._keys, self._places, self._originals = Latest(), Latest(), Latest(), Latest()

    def __reduce__(self) -> tuple[type[Store], tuple[Folder, Opened]]:
        return Store, (self.folder, self.opened)  # keys refuse to be pickled

    def again(self) -> Store:
        """The same, holding nothing of what this one has read."""
        return Store(self.folder, self.opened)

    def original_keys(self) -> Iterator[tuple[str, str]]:
        """Each pseudonym whose own key can be read, and that key; in the order of the parts."""
        for file in self._files:
            if isinstance(file, FacetedFile):
                yield from file.original_keys()

    def original_key(self, key: str) -> str | None:
        """The own key of a pseudonym; None where it cannot be read, or ``key`` is none."""
        for number in self._parts_of(key):
            file = self._files[number]
            if isinstance(file, FacetedFile):
                own = self._originals.get(number, lambda file=file: dict(file.original_keys()))  # type: ignore[misc]
                if key in own:
                    return str(own[key])
        return None

    def __len__(self) -> int:
        return self._starts[-1]

    def read_part(self, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """One part, in its own order. Raises ``SnapshotError`` where it is damaged."""
        return self._files[number].read(columns)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """All rows in key order, with just these columns.

        Where the parts follow each other, one part at a time; with all columns one row group at a time.
        """
        if len(self._runs) <= 1 and columns is None:
            for file in self._files:
                yield from file.read_groups()
            return
        if len(self._runs) <= 1:
            yield from (self.read_part(number, columns) for number in range(len(self._files)))
            return
        wanted = columns if columns is None or "key" in columns else (*columns, "key")
        for table in in_key_order(self.info.parts, lambda number: self.read_part(number, wanted)):
            yield table.drop_columns(["key"]) if wanted is not columns else table

    def empty(self, columns: Sequence[str]) -> pa.Table:
        """A table of these columns without rows. Raises ``UsageError`` for a column there is not."""
        schema = arrow_schema(Sample)
        for name in columns:
            column_path(name, schema)
        return schema.empty_table().select(list(dict.fromkeys(name.partition(".")[0] for name in columns)))

    def rejected(self, columns: Sequence[str] | None = None) -> pa.Table:
        """What was turned away, or some columns of it."""
        file = self.rejected_file()
        if file is None:
            table = arrow_schema(Rejected).empty_table()
            return table if columns is None else table.select(list(columns))
        if columns is None and self.facets.top is not None:
            columns = arrow_schema(Rejected).names  # and not `original_key`: all see the same columns
        return file.read(columns)

    def rejected_keys(self) -> Iterator[tuple[str, str]]:
        """Each pseudonym of what was turned away whose own key can be read, and that key."""
        file = self.rejected_file() if self.facets.top is not None else None
        if file is not None:
            table = file.read(("key", ORIGINAL))
            for key, own in zip(table["key"].to_pylist(), table[ORIGINAL].to_pylist(), strict=True):
                if own is not None:
                    yield key, own

    def rejected_file(self) -> TableFile | None:
        """The table of what was turned away; None where there is none."""
        part = self.info.rejected
        if part is not None and part.name.startswith(f"{FACETS}/"):
            return TableFile(self.folder, part, WholeRejected, self.facets.top, kind="facet-rows")
        return None if part is None else TableFile(self.folder, part, Rejected, self.seal)

    def iter_shard_members(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each shard's file name and its members' names in order, from the manifest; one part at a time."""
        left = self._members(self.rejected(_MEMBER))
        for number in range(len(self._files)):
            for shard, members in self._members(self.read_part(number, _MEMBER)).items():
                members.update(left.pop(shard, {}))
                yield shard, _in_order(members)
        for shard, members in left.items():
            yield shard, _in_order(members)

    def iter_shard_rows(self) -> Iterator[tuple[Part, pa.Table]]:
        """Each part and the rows of each whole shard in it; see ``Snapshot.iter_shard_rows``."""
        mixed = set(self.rejected(("shard",))["shard"].to_pylist())
        for file in self._files:
            table = file.read() if file.is_of_today else arrow_schema(Sample).empty_table()
            runs = pc.run_end_encode(table["shard"].combine_chunks())
            for shard, (start, end) in zip(runs.values, pairwise([0, *runs.run_ends.to_pylist()]), strict=True):
                if shard.is_valid and shard.as_py() not in mixed:
                    yield file.part, table.slice(start, end - start)

    def _members(self, table: pa.Table) -> dict[str, dict[int, str]]:
        """Shard → offset → name of the member, for rows that have bytes."""
        found: dict[str, dict[int, str]] = {}
        for row in table.filter(pc.is_valid(table["shard"])).to_pylist():
            extension = extension_of(row["media_type"]) if row["media_type"] else ".bin"
            member = member_of(row["digest"], row["size_bytes"] or 0, extension, self.seal)
            found.setdefault(row["shard"], {})[row["offset_bytes"]] = member.name
        return found

    def row(self, index: int) -> Row:
        """The sparse row at a place in key order."""
        return self._rows_from(index, 1)[0]

    def rows(self, start: int, stop: int) -> list[Row]:
        """The sparse rows at the places from ``start`` to before ``stop`` in key order, as far as there are any."""
        rows: list[Row] = []
        while start + len(rows) < min(stop, len(self)):
            at = start + len(rows)
            rows += self._rows_from(at, stop - at if len(self._runs) <= 1 else 1)
        return rows

    def rows_at(self, places: Sequence[int]) -> list[Row]:
        """The sparse rows at these places in key order, in the order asked; each row group is read once."""
        groups: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for number, index in enumerate(places):
            part, within = self._physical(index)
            group = bisect.bisect_right(self._files[part].group_starts, within) - 1
            groups.setdefault((part, group), []).append((within, number))
        rows: dict[int, Row] = {}
        for (part, group), wanted in groups.items():
            start, table = self._group(part, group)
            found = table.take(pa.array([within - start for within, _ in wanted], pa.int64()))
            rows.update(zip((number for _, number in wanted), self._to_rows(found, part), strict=True))
        return [rows[number] for number in range(len(places))]

    def _rows_from(self, index: int, count: int) -> list[Row]:
        """At most ``count`` rows from a place on: those that follow it in its row group."""
        part, within = self._physical(index)
        start, table = self._group(part, bisect.bisect_right(self._files[part].group_starts, within) - 1)
        return self._to_rows(table.slice(within - start, count), part)

    def _group(self, part: int, group: int) -> tuple[int, pa.Table]:
        """A row group of a part: number of its first row, and its table, without columns that say nothing in it."""
        file = self._files[part]
        return self._groups.get((part, group), lambda: file.read_telling_of(file.group_starts[group]))

    def _to_rows(self, table: pa.Table, part: int) -> list[Row]:
        try:
            return rows_from_table(table, Sample)
        except ValueError as error:
            raise self.damaged(f"a row of {self.info.parts[part].name} cannot be read ({error})") from error

    def place(self, index: int) -> Row:
        """``PLACE`` of the row at a place in key order."""
        part, within = self._physical(index)
        table = self._places.get(part, lambda: self.read_part(part, PLACE))
        place: Row = table.slice(within, 1).to_pylist()[0]
        return place

    def find(self, key: str) -> int | None:
        """The place in key order of the row with just this key."""
        for part in self._parts_of(key):
            keys = self.keys(part)
            within = bisect.bisect_left(keys, key)  # texts sort by code point, which is the order of their UTF-8
            if within < len(keys) and keys[within] == key:
                at = self._starts[part] + within
                return at if len(self._runs) <= 1 else int(self._ranks[at])
        return None

    def _parts_of(self, key: str) -> Iterator[int]:
        """Numbers of the parts that a key may be in."""
        place = sort_key(key)
        for run in self._runs:
            number = bisect.bisect_right(run, place, key=lambda part: sort_key(self.info.parts[part].first_key)) - 1
            if number >= 0 and place <= sort_key(self.info.parts[run[number]].last_key):
                yield run[number]

    def keys(self, part: int) -> list[str]:
        """The keys of one part."""

        def read() -> list[str]:
            keys: list[str] = self.read_part(part, ("key",))["key"].to_pylist()
            return keys

        return self._keys.get(part, read)

    def read_bytes(self, place: Row) -> bytes:
        """A picture's bytes by its ``PLACE``: one ranged read, checked against the digest.

        Raises ``SnapshotError`` where the snapshot has no bytes for it, or damaged ones.
        """
        key = place["key"]
        digest, shard, start, size = (place.get(name) for name in ("digest", "shard", "offset_bytes", "size_bytes"))
        if digest is None or shard is None or start is None or size is None:
            raise SnapshotError(
                f"{self.folder.url} has no picture bytes for {key!r}",
                path=self.folder.url,
                hint="Only its labels were taken in; see its row.",
            )
        name = f"shards/{shard}"
        whole = self._sizes.get(name)
        # A size is believed only after it was found to fit.
        if whole is None or not (0 <= start <= whole and 0 <= size <= whole and start + self._stored(size) <= whole):
            raise self.damaged(f"{key!r} points at bytes {start} to {start + size} of {name}, which are not there")
        try:
            data = self.shards.read(shard, start, size, digest)
        except TamperError as error:
            raise TamperError(
                f"{self.folder.url}: the picture of {key!r} in {name} is not the one that was sealed",
                subject=name,
                hint=_DAMAGED,
            ) from error
        if len(data) != size or (self.seal is None and hashlib.sha256(data).hexdigest() != digest):
            raise self.damaged(f"the picture of {key!r} in {name} is not the one that was packed")
        return data

    def _stored(self, size_bytes: int) -> int:
        return stored_size(size_bytes, self.seal)

    def damaged(self, what: str) -> SnapshotError:
        """The error for content that is not what it must be."""
        return SnapshotError(
            f"{self.folder.url}: {what}",
            path=self.folder.url,
            hint=_DAMAGED,
        )

    def _physical(self, index: int) -> tuple[int, int]:
        """Part, and row in it, of a place in key order."""
        at = index if len(self._runs) <= 1 else int(self._order[index])
        part = bisect.bisect_right(self._starts, at) - 1
        return part, at - self._starts[part]

    @cached_property
    def _order(self) -> Rows:
        """Int64 [rows]: for each place in key order the row's place in the parts as they are listed."""

        def read(number: int) -> pa.Table:
            table = self.read_part(number, ("key",))
            return table.append_column("at", pa.array(np.arange(table.num_rows) + self._starts[number]))

        tables = in_key_order(self.info.parts, read)
        return np.concatenate([table["at"].to_numpy() for table in tables] or [np.zeros(0, np.int64)])

    @cached_property
    def _ranks(self) -> Rows:
        """Int64 [rows]: the inverse of ``_order``."""
        ranks = np.empty(len(self._order), np.int64)
        ranks[self._order] = np.arange(len(ranks))
        return ranks


def _in_order(members: dict[int, str]) -> tuple[str, ...]:
    return tuple(members[offset] for offset in sorted(members))
