"""Whether what is protected now could be read before."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.snapshots.facets import FacetSpec, protected
from dsetkit.snapshots.read import Snapshot
from dsetkit.spec.issue import Issue
from dsetkit.spec.snapshot import SealedColumns

READABLE = "facet-readable-in-history"


def readable_in_history(older: Snapshot, facets: Iterable[FacetSpec | SealedColumns]) -> list[Issue]:
    """An issue for each facet whose columns stand in the rows of an older snapshot, for all who read that.

    Rows are those of the facet's splits there; whether they are of the same split now is not asked. Opens no facet of
    the older one. Raises ``SnapshotError``.
    """
    base = older.base
    found = []
    for facet in facets:
        columns = sorted(column for column in protected(facet) if column not in _WEAK)
        count = sum(_told(table, facet.splits) for table in base.iter_tables(("split", *columns)))
        if count:
            rows = "1 row" if count == 1 else f"{count:,} rows"
            found.append(
                Issue(
                    code=READABLE,
                    severity="warning",
                    message=f"what the facet {facet.name} protects stands unprotected in {rows} of an older "
                    f"{base.info.name} ({base.fingerprint[:12]})",
                    hint="Who could read that version has it, and keeps it: draw another split, or take it as known.",
                )
            )
    return found


_WEAK = frozenset({"split_group", "annotations.issues"})
"""Columns that tell of others but are no secret of their own."""


def _told(table: pa.Table, splits: tuple[str, ...]) -> int:
    """How many rows of these splits say anything in columns other than ``split``."""
    says = np.zeros(table.num_rows, dtype=bool)
    for name in table.column_names:
        if name != "split":
            says |= _says(pa.concat_arrays(table[name].chunks or [pa.nulls(0, table[name].type)]))
    if splits:
        split = table["split"]
        of_them = pc.or_(pc.is_in(split, value_set=pa.array(splits, pa.string())), pc.is_null(split))
        says &= of_them.to_numpy()
    return int(np.count_nonzero(says))


def _says(values: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Bool [values]: which say anything; ``"no"``, ``"{}"``, null and empty do not."""
    kind = values.type
    if pa.types.is_list(kind):
        inner = _says(values.flatten())
        parents = pc.list_parent_indices(values).to_numpy(zero_copy_only=False)
        found = np.zeros(len(values), dtype=bool)
        found[parents[inner]] = True
        return found
    if pa.types.is_struct(kind):
        found = np.zeros(len(values), dtype=bool)
        for child in values.flatten():
            found |= _says(child)
        return found
    valid = values.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_string(kind):
        quiet = pc.is_in(values, value_set=pa.array(["no", "{}", ""])).to_numpy(zero_copy_only=False)
        return np.asarray(valid & ~quiet, dtype=np.bool_)
    return np.asarray(valid, dtype=np.bool_)
