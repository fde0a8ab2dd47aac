"""Compare two snapshots, or selections of them: in columns first; only rows that differ are turned into Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.errors import UsageError
from dsetkit.snapshots.compare_rows import Entries
from dsetkit.snapshots.fingerprint import row_digest
from dsetkit.snapshots.html import ChangedPictures
from dsetkit.snapshots.read import Snapshot
from dsetkit.snapshots.renames import find_renamed
from dsetkit.snapshots.selection import Rows
from dsetkit.spec.arrow import iter_rows
from dsetkit.spec.category import Category
from dsetkit.spec.diff import (
    AnnotationChanges,
    CategoryChange,
    CategoryChanges,
    CategoryEntry,
    Diff,
    FieldChange,
    Renamed,
    SampleChanges,
    SampleEntry,
    Side,
)
from dsetkit.spec.html import set_pictures
from dsetkit.spec.sample import Sample

_AT_ONCE = 1024
"""Pairs of rows in memory."""


def diff(old: Snapshot, new: Snapshot) -> Diff:
    """What differs between two snapshots, or selections of them, down to the single annotation.

    Rows are told apart by ``row_digest``; two snapshots of one fingerprint are not read at all. Where some facets are
    read and others are not, digests are taken of the rows as they are seen. A sample is the same
    one under the same key, or as ``snapshots.renames`` says for new keys; an annotation as ``snapshots.pairing`` says.
    Of params and schema it knows what ``snapshot.json`` does. Memory grows with what differs. In a notebook the result
    shows pictures as long as both snapshots can be read. Raises ``SnapshotError`` or ``StorageError`` for a snapshot
    that cannot be read, ``UsageError`` for what is no snapshot.
    """
    for side in (old, new):
        if not isinstance(side, Snapshot):
            raise UsageError(
                f"two snapshots are compared, and {side!r} is none",
                hint="Open it: dsetkit.open('data/cleaned', rev='v1').",
            )
    samples, annotations = SampleChanges(), AnnotationChanges()
    if old.fingerprint != new.fingerprint or _reads_some(old) or _reads_some(new):
        samples, annotations = _compare_samples(old, new)
    found = Diff(
        old=Side(name=old.info.name, fingerprint=old.fingerprint),
        new=Side(name=new.info.name, fingerprint=new.fingerprint),
        samples=samples,
        annotations=annotations,
        categories=_compare_categories(old.categories, new.categories),
        params=_changes(params_digest=(old.info.params_digest, new.info.params_digest)),
        schema_=_changes(
            reference=(getattr(old.info.schema_, "reference", None), getattr(new.info.schema_, "reference", None)),
            digest=(getattr(old.info.schema_, "digest", None), getattr(new.info.schema_, "digest", None)),
        ),
    )
    set_pictures(found, ChangedPictures(old, new))
    return found


def _compare_samples(old: Snapshot, new: Snapshot) -> tuple[SampleChanges, AnnotationChanges]:
    mine, other = (_Changed(side, places) for side, places in zip((old, new), _differing(old, new), strict=True))
    renamed = find_renamed(mine.digests, other.digests)
    went, came = dict(renamed), {b: a for a, b in renamed}
    pairs = [
        (came.get(key, key), key) for key in other.digests if key in came or (key in mine.digests and key not in went)
    ]
    paired_old, paired_new = {a for a, _ in pairs}, {b for _, b in pairs}
    entries = Entries(went)
    for start in range(0, len(pairs), _AT_ONCE):
        batch = pairs[start : start + _AT_ONCE]
        ours = old.rows_at([mine.places[a] for a, _ in batch])
        theirs = new.rows_at([other.places[b] for _, b in batch])
        for a, b in zip(ours, theirs, strict=True):
            entries.compare(a, b)
    samples = SampleChanges(
        added=other.entries(lambda key: key not in paired_new),
        removed=mine.entries(lambda key: key not in paired_old),
        renamed=tuple(Renamed(old_key=a, key=b, digest=other.digests[b] or "") for a, b in renamed),
        **entries.samples,
    )
    return samples, AnnotationChanges(**entries.annotations)


def renamed_keys(old: Snapshot, new: Snapshot) -> dict[str, str]:
    """New key → old key of the samples that a diff would call renamed; reads no more columns than that needs."""
    mine, other = (_Changed(side, places) for side, places in zip((old, new), _differing(old, new), strict=True))
    return {key: old_key for old_key, key in find_renamed(mine.digests, other.digests)}


class _Changed:
    """The samples of one side whose row the other side does not have."""

    def __init__(self, snapshot: Snapshot, places: Rows) -> None:
        """``places``: their numbers, ascending."""
        self._snapshot, self._numbers = snapshot, places
        table = snapshot.at(places).column(("key", "digest"))
        keys = table["key"].to_pylist()
        self.digests: dict[str, str | None] = dict(zip(keys, table["digest"].to_pylist(), strict=True))
        """Key → digest, in key order."""
        self.places: dict[str, int] = dict(zip(keys, places.tolist(), strict=True))
        """Key → number in the snapshot."""

    def entries(self, wanted: Callable[[str], bool]) -> tuple[SampleEntry, ...]:
        """Those whose key is wanted, in key order."""
        numbers = [place for key, place in self.places.items() if wanted(key)]
        if not numbers:
            return ()
        part = self._snapshot.at(np.array(numbers, np.int64))
        table = part.column(("key", "digest", "split", "annotations.kind"))
        counts = pc.list_value_length(table["annotations"])
        columns = (table["key"], table["digest"], table["split"], counts)
        rows = zip(*(column.to_pylist() for column in columns), strict=True)
        return tuple(SampleEntry(key=k, digest=d, split=s, annotations=n or 0) for k, d, s, n in rows)


def _differing(old: Snapshot, new: Snapshot) -> tuple[Rows, Rows]:
    """Numbers, ascending, of the rows of each side whose ``row_digest`` the other side does not have."""
    if _reads_some(old) or _reads_some(new):
        mine, other = (pa.chunked_array([_digests(side)]) for side in (old, new))
    else:
        mine, other = (side.column("row_digest")["row_digest"] for side in (old, new))

    def lacking(digests: pa.ChunkedArray, known: pa.ChunkedArray) -> Rows:
        places: Rows = np.flatnonzero(~pc.is_in(digests, value_set=known, skip_nulls=True).to_numpy())
        return places

    return lacking(mine, other), lacking(other, mine)


def _reads_some(snapshot: Snapshot) -> bool:
    """Whether some facets are read and some are not, so that row digests do not say all that is seen."""
    return bool(snapshot.hidden and snapshot.facets.layers)


def _digests(snapshot: Snapshot) -> pa.Array:
    rows = iter_rows(snapshot.iter_tables(), Sample)
    return pa.array([row_digest(row) for row in rows], pa.string())


def _compare_categories(old: Sequence[Category], new: Sequence[Category]) -> CategoryChanges:
    mine, other = ({category.name: category for category in side} for side in (old, new))
    changed = []
    for name, category in other.items():
        before = mine[name].model_dump(mode="json") if name in mine else {}
        after = category.model_dump(mode="json")
        fields = _changes(**{field: (value, after[field]) for field, value in before.items()})
        if fields:
            changed.append(CategoryChange(name=name, fields=fields))
    return CategoryChanges(
        added=tuple(CategoryEntry(name=c.name, index=c.index) for c in new if c.name not in mine),
        removed=tuple(CategoryEntry(name=c.name, index=c.index) for c in old if c.name not in other),
        changed=tuple(changed),
    )


def _changes(**values: tuple[Any, Any]) -> tuple[FieldChange, ...]:
    """The fields whose old and new value differ."""
    return tuple(FieldChange(name=name, old=old, new=new) for name, (old, new) in values.items() if old != new)
