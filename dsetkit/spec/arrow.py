"""Rows and tables.

A *row* is a plain ``dict`` in document form: nested dicts and sequences, JSON objects as dicts, fields at their
defaults left out. Reading and writing rows never builds a document, so it stays cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from dsetkit.spec.columns import Row, columns_of, rows_of
from dsetkit.spec.schema import arrow_schema

__all__ = [
    "Row",
    "arrow_schema",
    "count_annotations",
    "iter_rows",
    "keep_annotations",
    "outside_mask",
    "rows_from_table",
    "table_from_rows",
]

Mask = npt.NDArray[np.bool_]


def table_from_rows(rows: Sequence[Mapping[str, Any]], model: type[BaseModel]) -> pa.Table:
    """Sparse (or dense) rows as a table of the class's canonical schema, one chunk a column.

    Absent fields, and null where the column holds none, get their defaults. Raises ``ValueError`` (of which
    ``pyarrow.ArrowInvalid`` is one), ``TypeError`` or ``OverflowError`` for a value that does not fit its column, a
    required field that is absent, a field no document has, NaN and infinities.
    """
    return pa.Table.from_arrays(columns_of(rows, model), schema=arrow_schema(model))


def rows_from_table(table: pa.Table, model: type[BaseModel]) -> list[Row]:
    """The table's rows, sparse: fields at their defaults left out. Columns may be some of the class's, at any depth."""
    whole = table.combine_chunks()
    columns = {
        name: whole.column(name).chunk(0) if whole.num_rows else pa.array([], whole.schema.field(name).type)
        for name in whole.column_names
    }
    return rows_of(columns, whole.num_rows, model)


def iter_rows(tables: Iterable[pa.Table], model: type[BaseModel], batch_rows: int = 2048) -> Iterator[Row]:
    """Rows of many tables, one batch in memory at a time."""
    for table in tables:
        for batch in table.to_batches(max_chunksize=batch_rows):
            yield from rows_of(dict(zip(batch.schema.names, batch.columns, strict=True)), batch.num_rows, model)


def count_annotations(table: pa.Table) -> int:
    """How many annotations the rows of a table have together."""
    return int(pc.sum(pc.list_value_length(table["annotations"])).as_py() or 0)


def outside_mask(annotations: pa.StructArray) -> Mask:
    """Bool [annotations]: which of them ``dsetkit.spec.annotation.is_outside`` holds for.

    Without a column ``track.outside`` none is.
    """
    place = annotations.type.get_field_index("track")
    if place < 0 or annotations.type.field(place).type.get_field_index("outside") < 0:
        return np.zeros(len(annotations), np.bool_)
    flags = pc.fill_null(pc.struct_field(annotations, ["track", "outside"]), False)
    return np.asarray(flags.to_numpy(zero_copy_only=False), np.bool_)


def keep_annotations(table: pa.Table, which: Callable[[pa.StructArray], Mask]) -> pa.Table:
    """The rows of a table with only those of their annotations for which ``which`` says so; all other columns stay."""
    place = table.schema.get_field_index("annotations")
    chunks, is_changed = [], False
    for lists in table.column(place).chunks:
        items = lists.flatten()
        kept = which(items)
        if kept.all():
            chunks.append(lists)
            continue
        is_changed = True
        counts = np.concatenate([[0], np.cumsum(kept)])
        lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
        ends = np.concatenate([[0], np.cumsum(lengths)])
        offsets = pa.array(counts[ends].astype(np.int32))
        chunks.append(pa.ListArray.from_arrays(offsets, items.filter(pa.array(kept)), type=lists.type))
    if not is_changed:
        return table
    field = table.schema.field(place)
    return table.set_column(place, field, pa.chunked_array(chunks, field.type))
