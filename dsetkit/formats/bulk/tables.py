"""An export as tables, where it has its rows so, and the batches they are worked on in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import pyarrow as pa

from dsetkit.formats.base import Export
from dsetkit.formats.bulk.arrays import numpy_of, opened
from dsetkit.spec.arrow import Row, iter_rows
from dsetkit.spec.sample import Sample

_T = TypeVar("_T")

BATCH_SAMPLES = 512
MAX_NUMBERS = 2_000_000
"""How many coordinates of outlines are turned to text at a time; a batch with more is written in parts."""


def tables_of(export: Export) -> Iterator[pa.Table] | None:
    """The export's rows as tables, where it has them so (``tables()``: the same rows as ``rows()``)."""
    tables: Callable[[], Iterator[pa.Table]] | None = getattr(export, "tables", None)
    return None if tables is None else tables()


def brief_rows(export: Export, *fields: str) -> Iterator[Row]:
    """``export.rows()``, where it comes in tables with these fields alone, so that outlines stay where they are.

    A field of annotations is called ``annotations.kind``.
    """
    tables = tables_of(export)
    if tables is None:
        return export.rows()
    own = [name for name in fields if "." not in name]
    inner = [name.partition(".")[2] for name in fields if "." in name]
    return iter_rows((_brief(table, own, inner) for table in tables), Sample)


def _brief(table: pa.Table, fields: Sequence[str], inner: Sequence[str]) -> pa.Table:
    brief = table.select([name for name in fields if name in table.column_names])
    if not inner:
        return brief
    lists = [
        pa.ListArray.from_arrays(chunk.offsets, _struct_of(chunk.values, inner))
        for chunk in table.column("annotations").chunks
    ]
    kind = lists[0].type if lists else pa.list_(pa.struct([(name, pa.string()) for name in inner]))
    return brief.append_column("annotations", pa.chunked_array(lists, kind))


def _struct_of(items: pa.StructArray, names: Sequence[str]) -> pa.StructArray:
    there = [name for name in names if items.type.get_field_index(name) >= 0]
    return pa.StructArray.from_arrays([items.field(name) for name in there], there)


def kind_sets(export: Export) -> set[frozenset[str]]:
    """The sets of kinds that samples have: each only once."""
    tables = tables_of(export)
    if tables is None:
        return {frozenset(item["kind"] for item in row.get("annotations", ())) for row in export.rows()}
    found: set[frozenset[str]] = set()
    for table in tables:
        for batch in table.select(["annotations"]).to_batches():
            starts, items = opened(batch.column("annotations"))
            kinds = items.field("kind").dictionary_encode()
            names = kinds.dictionary.to_pylist()
            bits = np.zeros(len(items) + 1, np.int64)  # one more, for samples at the end that have none
            bits[:-1] = 1 << numpy_of(kinds.indices).astype(np.int64)
            of_each = np.bitwise_or.reduceat(bits, starts[:-1]) if batch.num_rows else bits[:0]
            of_each[np.diff(starts) == 0] = 0
            for mask in np.unique(of_each).tolist():
                found.add(frozenset(name for place, name in enumerate(names) if mask >> place & 1))
    return found


def has_pictures(export: Export) -> bool:
    """Whether the export may have the bytes of any picture."""
    return bool(getattr(export, "has_pictures", True))


def bulk_batches(tables: Iterator[pa.Table], render: Callable[[pa.RecordBatch], _T], *, ahead: int = 1) -> Iterator[_T]:
    """What ``render`` makes of the tables, in order, made on another core while the last is being used."""
    batches = (part for table in tables for batch in table.to_batches(BATCH_SAMPLES) for part in _parts_of(batch))
    with ThreadPoolExecutor(1) as pool:
        waiting = []
        for batch in batches:
            waiting.append(pool.submit(render, batch))
            if len(waiting) > ahead:
                yield waiting.pop(0).result()
        for made in waiting:
            yield made.result()


def _parts_of(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch, in halves where its outlines have too many numbers."""
    numbers = _count_numbers(batch.column("annotations"))
    if numbers <= MAX_NUMBERS or batch.num_rows == 1:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _parts_of(batch.slice(0, half))
    yield from _parts_of(batch.slice(half))


def _count_numbers(lists: pa.ListArray) -> int:
    parts = lists.flatten().field("polygons")
    return len(parts.flatten().flatten().flatten())
