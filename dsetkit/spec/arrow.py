"""Rows and tables.

A *row* is a plain ``dict`` in document form: nested dicts and sequences, JSON objects as dicts, fields at their
defaults left out. Reading and writing rows never builds a document, so it stays cheap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from dsetkit.spec.columns import Row, columns_of, rows_of
from dsetkit.spec.schema import arrow_schema

__all__ = ["Row", "arrow_schema", "count_annotations", "iter_rows", "rows_from_table", "table_from_rows"]


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
