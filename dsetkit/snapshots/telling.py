"""Which columns must be read to know all that rows say.

A row leaves out what is at its default, so a column that holds nothing else need not be read: the rows are the same
without it. What a column that is left out also told, namely whether the document or list around it is there at all,
must still be told by another one beside it; where none is read for what it says, one is read for that alone.

What a column holds is told by its statistics, and those are believed: a file that was meant to deceive can show fewer
labels row by row than as a table. ``verify`` holds them against what the columns hold.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from dsetkit.snapshots.footer import Chunk
from dsetkit.spec.completion import hints_of, model_of

Says = Callable[[int, Any], bool]
"""Number of a leaf column, and its default as Parquet has it (None for none) → whether it says anything."""


def telling(schema: Sequence[pa.Field], model: type[BaseModel], says: Says) -> list[int]:
    """The numbers of the leaf columns to read of a table of a document class, ascending; leaves count in file order.

    ``says`` may answer true where it is not known. At least one column is named.
    """
    leaves, _ = _of_document(schema, model, says, 0)
    return leaves or [0]


def _of_document(fields: Sequence[pa.Field], model: type[BaseModel], says: Says, first: int) -> tuple[list[int], int]:
    """The leaves to read of a document's fields, and the number behind its last leaf."""
    leaves: list[int] = []
    for field in fields:
        found, first = _of_field(field, model, says, first)
        leaves += found
    return leaves, first


@cache
def _facts(model: type[BaseModel], name: str) -> tuple[Any, bool]:
    """A field's default (None for one that must be there), and whether it must be there."""
    info = model.model_fields[name]
    return (None if info.is_required() else info.get_default(call_default_factory=True)), info.is_required()


def _of_field(field: pa.Field, model: type[BaseModel], says: Says, first: int) -> tuple[list[int], int]:
    default, is_required = _facts(model, field.name)
    kind, is_list = field.type, False
    while pa.types.is_list(kind):
        kind, is_list = kind.value_type, True
    # Null and empty lists are both left out of a row only where empty is the default.
    is_plain = default == () if is_list else default is None
    if pa.types.is_struct(kind):
        inner = model_of(hints_of(model)[field.name])
        leaves, end = _of_document(list(kind), inner, says, first)
        # Where a field that must be there is null throughout, there is no document at all.
        is_marked = any(
            one.is_required() for name, one in inner.model_fields.items() if kind.get_field_index(name) >= 0
        )
        return (leaves if leaves or (is_marked and is_plain) else [first]), end
    if is_list:
        return ([first] if not is_plain or says(first, None) else []), first + 1
    if is_required:
        return ([first] if says(first, None) else []), first + 1
    return ([first] if says(first, "{}" if default == {} else default) else []), first + 1


def says(chunk: Chunk, default: Any) -> bool:
    """Whether a column may hold anything but nulls and the default (as Parquet has it; None for none)."""
    if chunk.nulls is None:
        return True
    if chunk.nulls == chunk.values:
        return False
    if default is None or isinstance(default, float) or chunk.low is None:  # a NaN is in no bounds
        return True
    return chunk.low != chunk.high or chunk.low != _plain(default, len(chunk.low))


def untruths(table: pa.Table, chunks: Sequence[Chunk]) -> Iterator[tuple[str, str]]:
    """Columns of a row group whose statistics are not true of what they hold, and what is untrue; in file order.

    ``table``: all of the row group. How many values there are must be exact, bounds need only be bounds.
    """
    for (name, values), chunk in zip(_leaves_of(table), chunks, strict=True):
        there = len(values) - values.null_count
        if chunk.nulls is not None and chunk.values - chunk.nulls != there:
            told = chunk.values - chunk.nulls
            yield name, f"its statistics tell of {told:,} values that are not null, there are {there:,}"
        elif there and not _is_within(values, chunk):
            yield name, "its statistics give bounds that its values are not within"


def _is_within(values: pa.Array, chunk: Chunk) -> bool:
    found = pc.min_max(values).as_py()
    if found["min"] is None:  # NaN alone
        return True
    for bound, value, sign in ((chunk.low, found["min"], 1), (chunk.high, found["max"], -1)):
        if bound is None:
            continue
        told = _value_of(bound, values.type)
        if isinstance(value, str):
            value = value.encode()  # the order of texts is that of their bytes
        if told is None or (told > value if sign > 0 else told < value):
            return False
    return True


def _leaves_of(table: pa.Table) -> Iterator[tuple[str, pa.Array]]:
    """Name and values of each leaf column in file order; nulls of what it is in are nulls or left out."""
    for field in table.schema:
        yield from _within(field.name, pa.concat_arrays(table[field.name].chunks or [pa.nulls(0, field.type)]))


def _within(name: str, values: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    while pa.types.is_list(values.type):
        values = values.flatten()
    if not pa.types.is_struct(values.type):
        yield name, values
        return
    for field, child in zip(values.type, values.flatten(), strict=True):
        yield from _within(f"{name}.{field.name}", child)


def _plain(value: Any, size: int) -> bytes | None:
    """A value as statistics have it in ``size`` bytes; None where it has no place in them."""
    if isinstance(value, str):
        return value.encode()
    try:
        return int(value).to_bytes(size, "little", signed=True)
    except OverflowError:
        return None


def _value_of(bound: bytes, kind: pa.DataType) -> Any:
    """What a bound in statistics means; None where it cannot be a value of this type. Texts stay bytes."""
    if pa.types.is_string(kind):
        return bound
    if pa.types.is_floating(kind):
        return struct.unpack("<d", bound)[0] if len(bound) == 8 else None
    if len(bound) != (1 if pa.types.is_boolean(kind) else 8 if kind.bit_width == 64 else 4):
        return None
    return int.from_bytes(bound, "little", signed=not pa.types.is_unsigned_integer(kind))
