"""Tables with columns taken out at any depth: what an earlier dsetkit would have written."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def without(table: pa.Table, paths: tuple[str, ...]) -> pa.Table:
    """The table without some columns, nested ones by dots."""
    names = [name for name in table.column_names if name not in paths]
    inner = {name: tuple(p.partition(".")[2] for p in paths if p.startswith(f"{name}.")) for name in names}
    columns = [_array(table[name].combine_chunks(), inner[name]) for name in names]
    fields = [table.schema.field(name).with_type(array.type) for name, array in zip(names, columns, strict=True)]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _array(array: Any, paths: tuple[str, ...]) -> pa.Array:
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    if not paths:
        return array
    mask = array.is_null() if array.null_count else None
    if pa.types.is_list(array.type):
        item = _array(array.values, paths)
        kind = pa.list_(array.type.value_field.with_type(item.type))
        return pa.ListArray.from_arrays(array.offsets, item, type=kind, mask=mask)
    kept = [field for field in array.type if field.name not in paths]
    inner = {f.name: tuple(p.partition(".")[2] for p in paths if p.startswith(f"{f.name}.")) for f in kept}
    children = [_array(array.field(array.type.get_field_index(f.name)), inner[f.name]) for f in kept]
    fields = [field.with_type(child.type) for field, child in zip(kept, children, strict=True)]
    return pa.StructArray.from_arrays(children, fields=fields, mask=mask)
