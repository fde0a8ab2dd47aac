"""What layers of facets hold, laid over base rows, as columns.

A value is in one place only, the base row or a layer, and at its default everywhere else; so what is not at its default
counts. Lists of documents of which a layer holds some fields stand in both, as long in one as in the other; of these,
only the columns of those fields are touched.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from dsetkit.spec.completion import hints_of, model_of


def lay_over(base: pa.Table, over: pa.Table, held: Collection[str], model: type[BaseModel]) -> pa.Table:
    """``base`` with what ``over`` holds of its columns, row by row.

    ``held``: what the layer holds, fields of documents by dots; others of ``over`` are passed over. Raises
    ``ValueError`` where they do not fit.
    """
    if base.num_rows != over.num_rows:
        raise ValueError("a facet has other rows than what it is of")
    for number, field in enumerate(base.schema):
        name = field.name
        fields = frozenset(path.partition(".")[2] for path in held if path.startswith(f"{name}."))
        if name in over.column_names and (name in held or fields):
            columns = _one(base[name]), _one(over[name])
            laid = _value(*columns, model, name) if name in held else _fields(*columns, model, name, fields)
            base = base.set_column(number, field, laid)
    return base


def _value(base: pa.Array, over: pa.Array, model: type[BaseModel], name: str) -> pa.Array:
    """A column, or a field, of which the layer has the whole value of its rows."""
    kind = base.type
    if over.type != kind:
        raise ValueError(f"a facet has {over.type} for {name}")
    if pa.types.is_list(kind):
        sizes = [_sizes(array) for array in (base, over)]
        if np.any((sizes[0] > 0) & (sizes[1] > 0)):
            raise ValueError(f"a facet has {name} of a row that has its own")
        return _chosen(base, over, sizes[1] > 0)
    if pa.types.is_struct(kind):
        there = [array.is_valid().to_numpy(zero_copy_only=False) for array in (base, over)]
        return _chosen(base, over, ~there[0] & there[1])
    default = _default(model, name)
    if default is None:
        return pc.if_else(pc.is_null(over), base, over)
    is_default = pc.fill_null(pc.equal(over, pa.scalar(default, kind)), True)
    return pc.if_else(is_default, base, over)


def _fields(base: pa.Array, over: pa.Array, model: type[BaseModel], name: str, fields: frozenset[str]) -> pa.Array:
    """A column of documents, or of lists of them, of which the layer has some fields."""
    inner = model_of(hints_of(model)[name])
    if not pa.types.is_list(base.type):
        return _structs(base, over, inner, fields)
    sizes = [_sizes(array) for array in (base, over)]
    has_over = sizes[1] > 0
    if base.null_count or not np.array_equal(sizes[0][has_over], sizes[1][has_over]):
        raise ValueError("a facet has a list of another length")
    of_over = np.repeat(has_over, sizes[0])
    index = np.cumsum(of_over) - 1
    aligned = over.flatten().take(pa.array(index, pa.int64(), mask=~of_over))
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes[0])]), pa.int32())
    return pa.ListArray.from_arrays(offsets, _structs(base.flatten(), aligned, inner, fields), type=base.type)


def _structs(base: pa.Array, over: pa.Array, model: type[BaseModel], fields: frozenset[str]) -> pa.Array:
    parts = [
        _value(pc.struct_field(base, field.name), pc.struct_field(over, field.name), model, field.name)
        if field.name in fields and over.type.get_field_index(field.name) >= 0
        else pc.struct_field(base, field.name)
        for field in base.type
    ]
    return pa.StructArray.from_arrays(parts, fields=list(base.type), mask=pc.is_null(base))


def _sizes(array: pa.Array) -> np.ndarray[Any, Any]:
    """How long each list is; 0 for none."""
    return np.asarray(pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False))


def _chosen(base: pa.Array, over: pa.Array, from_over: np.ndarray[Any, Any]) -> pa.Array:
    """``base``, but what of ``over`` is marked."""
    if not from_over.any():
        return base
    index = np.where(from_over, len(base) + np.arange(len(base)), np.arange(len(base)))
    return pa.concat_arrays([base, over]).take(pa.array(index))


def _one(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)


@cache
def _default(model: type[BaseModel], name: str) -> Any:
    """A field's default as a column has it."""
    info = model.model_fields[name]
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    return "{}" if default == {} else default
