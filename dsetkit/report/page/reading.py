"""Rows and pictures that a page asks for, read with as little around them as the snapshot allows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from dsetkit.errors import SnapshotError
from dsetkit.report.drawing.overlay import Painter
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.spec.arrow import Row, arrow_schema, rows_from_table
from dsetkit.spec.key import sort_key
from dsetkit.spec.sample import Rejected
from dsetkit.stages.project import Project
from dsetkit.stages.sources import sorted_sources

_HEAD = ("key", "what", "reason", "duplicate_of")


@dataclass(frozen=True)
class Turned:
    """One row of a ``rejected.parquet``, as far as choosing needs it."""

    at: int
    """Its place in the file."""
    key: str
    what: str
    reason: str
    duplicate_of: str | None


@dataclass(frozen=True)
class Shelf:
    """The snapshots of a project that a page shows."""

    raw: dict[str, Snapshot]
    cleaned: Snapshot
    augmented: Snapshot | None

    @classmethod
    def open(cls, project: Project) -> Shelf:
        """Of exactly the sources that params name. Raises ``SnapshotError`` where raw or cleaned are absent."""
        augmented = project.augmented
        return cls(
            {
                name: open_snapshot(project.raw(name), keys=project.keys).base
                for name in sorted_sources(list(project.params.sources))
            },
            open_snapshot(project.cleaned, keys=project.keys).base,
            open_snapshot(augmented, keys=project.keys).base if (augmented / "snapshot.json").is_file() else None,
        )

    def stages(self) -> Iterator[tuple[str, Snapshot]]:
        """Name and snapshot, in the order in which data flows."""
        yield from ((f"raw/{name}", snapshot) for name, snapshot in self.raw.items())
        yield "cleaned", self.cleaned
        if self.augmented is not None:
            yield "augmented", self.augmented

    def painters(self) -> dict[str, Painter]:
        """One for each stage's categories."""
        return {name: Painter(snapshot.categories) for name, snapshot in self.stages()}

    def read_raw(self, key: str) -> bytes:
        """A picture as it came in. Raises ``SnapshotError`` where raw has none."""
        snapshot = self.raw.get(key.partition("/")[0])
        if snapshot is None or key not in snapshot:
            raise SnapshotError(f"raw has no picture {key!r}", path=key, hint="It was rejected there already.")
        return snapshot.read_bytes(key)


def rows_by_key(snapshot: Snapshot, keys: Iterable[str]) -> dict[str, Row]:
    """The rows of some keys, read in key order; a key that is not there is left out."""
    return {key: snapshot.row(key) for key in sorted(keys, key=sort_key) if key in snapshot}


def reader_of(snapshot: Snapshot, row: Row) -> Callable[[], bytes]:
    """What reads the picture of a row of the snapshot."""
    return partial(snapshot.read_bytes, {name: row.get(name) for name in _PLACE})


def turned_away(snapshot: Snapshot) -> list[Turned]:
    """All rows of its ``rejected.parquet``, without what they carry. Raises ``SnapshotError``."""
    file = snapshot.rejected_file
    if file is None:
        return []
    table = file.read(_HEAD)
    columns = [table[name].to_pylist() for name in _HEAD]
    return [Turned(at, *values) for at, values in enumerate(zip(*columns, strict=True))]


def turned_rows(snapshot: Snapshot, places: Iterable[int]) -> dict[int, Row]:
    """The whole rows at some places of ``rejected.parquet``, one row group in memory at a time."""
    file = snapshot.rejected_file
    left = sorted(set(places))
    found: dict[int, Row] = {}
    if file is None or not left:
        return found
    start = 0
    for table in file.read_groups():
        here = [place for place in left if start <= place < start + table.num_rows]
        if here:
            chosen = table.take(pa.array([place - start for place in here])).select(arrow_schema(Rejected).names)
            found.update(zip(here, rows_from_table(chosen, Rejected), strict=True))
        start += table.num_rows
    return found


def union(pairs: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Clusters of names that pairs tie together, each sorted by key, in order of their first."""
    leader: dict[str, str] = {}

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            leader[name] = name = leader[leader[name]]
        return name

    for one, other in pairs:
        low, high = sorted((find(one), find(other)), key=sort_key)
        leader[high] = low
    clusters: dict[str, list[str]] = {}
    for name in sorted(leader, key=sort_key):
        clusters.setdefault(find(name), []).append(name)
    return list(clusters.values())


_PLACE = ("key", "digest", "shard", "offset_bytes", "size_bytes")
