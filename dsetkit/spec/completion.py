"""Tables that an earlier dsetkit wrote, as today's: columns that came later hold their defaults.

The rule of format 1: a field is only ever added with a default, at any depth, and never changes its type or meaning.
So what an older table lacks says nothing, and reading it as the default changes no row digest. A column that is not
known here was written by a later dsetkit and may say something: it is refused, never dropped in silence.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, get_args, get_origin

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from dsetkit.spec.columns import default_column
from dsetkit.spec.schema import arrow_schema


def misfit(found: pa.Schema, model: type[BaseModel]) -> tuple[str, bool] | None:
    """Why tables of a schema cannot be read as the class's; and whether a column is unknown, so of a later dsetkit.

    None where they can, which is where the schema is the class's own, or lacks fields that have a default.
    """
    return _misfit(list(found), model, "")


def select(schema: pa.Schema, names: Iterable[str]) -> pa.Schema:
    """The schema with just the named columns, nested ones by dots, in the order named; all of them must be there."""
    steps: dict[str, list[list[str]]] = {}
    for name in names:
        first, *rest = name.split(".")
        steps.setdefault(first, []).append(rest)
    fields = (schema.field(name) for name in steps)
    return pa.schema([field.with_type(_selected(field.type, steps[field.name])) for field in fields])


def completed(table: pa.Table, wanted: pa.Schema, model: type[BaseModel], rows: int) -> pa.Table:
    """The columns ``wanted`` (the class's schema, or ``select`` of it) of a table that may lack some of them.

    ``rows``: how many the table has, as it may have no column at all. Raises ``ValueError`` for a required field that
    is not there.
    """
    if table.schema.equals(wanted):
        return table
    columns = []
    for field in wanted:
        if field.name in table.column_names:
            chunks = table[field.name].chunks
            done = [_completed(chunk, field.type, hints_of(model)[field.name]) for chunk in chunks]
            columns.append(pa.chunked_array(done, field.type))
        else:
            columns.append(_default(model, field, rows))
    return pa.Table.from_arrays(columns, schema=wanted)


def _misfit(found: Sequence[pa.Field], model: type[BaseModel], path: str) -> tuple[str, bool] | None:
    wanted = list(arrow_schema(model))
    names, known = [field.name for field in found], [field.name for field in wanted]
    for name in names:
        if name not in known:
            return f"{path}{name} is unknown", True
    for field in wanted:
        if field.name not in names:
            if model.model_fields[field.name].is_required():
                return f"{path}{field.name} is missing", False
            continue
        found_field = found[names.index(field.name)]
        inner = _inner(found_field.type, field.type)
        if inner is not None and found_field.nullable == field.nullable:
            nested = _misfit(inner, model_of(hints_of(model)[field.name]), f"{path}{field.name}.")
            if nested is not None:
                return nested
        elif not found_field.equals(field):
            return f"{path}{field.name} is {str(found_field.type)[:60]}, not {str(field.type)[:60]}", False
    if names != [name for name in known if name in names]:
        return f"{f'those of {path[:-1]}' if path else 'they'} stand in another order", False
    return None


def _inner(found: pa.DataType, wanted: pa.DataType) -> list[pa.Field] | None:
    """The fields of documents in a column, through lists; None where the two are not of one make, or hold none."""
    while pa.types.is_list(wanted):
        if not pa.types.is_list(found) or found.value_field.nullable != wanted.value_field.nullable:
            return None
        found, wanted = found.value_type, wanted.value_type
    return list(found) if pa.types.is_struct(wanted) and pa.types.is_struct(found) else None


def _selected(kind: pa.DataType, steps: list[list[str]]) -> pa.DataType:
    if any(not rest for rest in steps):
        return kind
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_selected(kind.value_type, steps)))
    named = {rest[0] for rest in steps}
    inside = [field for field in kind if field.name in named]
    return pa.struct(
        [
            field.with_type(_selected(field.type, [rest[1:] for rest in steps if rest[0] == field.name]))
            for field in inside
        ]
    )


def _completed(array: pa.Array, kind: pa.DataType, hint: Any) -> pa.Array:
    if array.type == kind:
        return array
    mask = array.is_null() if array.null_count else None
    if pa.types.is_list(kind):
        start = array.offsets[0]
        values = array.values.slice(start.as_py(), array.offsets[-1].as_py() - start.as_py())
        item = _completed(values, kind.value_type, get_args(_bare(hint))[0])
        return pa.ListArray.from_arrays(pc.subtract(array.offsets, start), item, type=kind, mask=mask)
    model = model_of(hint)
    children = [
        _completed(array.field(place), field.type, hints_of(model)[field.name])
        if (place := array.type.get_field_index(field.name)) >= 0
        else _default(model, field, len(array))
        for field in kind
    ]
    return pa.StructArray.from_arrays(children, fields=list(kind), mask=mask)


def _default(model: type[BaseModel], field: pa.Field, rows: int) -> pa.Array:
    return _completed(default_column(model, field.name, rows), field.type, hints_of(model)[field.name])


@cache
def hints_of(model: type[BaseModel]) -> dict[str, Any]:
    """The type of each field of a class."""
    return typing.get_type_hints(model, include_extras=True)


def _bare(hint: Any) -> Any:
    """The hint without ``Annotated`` and ``None``."""
    while get_origin(hint) is typing.Annotated:
        hint = get_args(hint)[0]
    if type(None) in get_args(hint):
        hint = next(part for part in get_args(hint) if part is not type(None))
        return _bare(hint)
    return hint


def model_of(hint: Any) -> type[BaseModel]:
    """The document class of a column of documents, through lists."""
    hint = _bare(hint)
    while get_origin(hint) is tuple:
        hint = _bare(get_args(hint)[0])
    model: type[BaseModel] = hint
    return model
