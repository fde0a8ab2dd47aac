"""The one derivation of Arrow schemas from documents, and of tables from rows.

A *row* is a plain ``dict`` in document form: nested dicts and sequences, JSON objects as dicts, fields at their
defaults left out. Reading and writing rows never builds a document, so it stays cheap.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel
from pydantic_core import from_json

from dsetkit.spec.base import ArrowJson, ArrowType, canonical_json

Row = dict[str, Any]
_PLAIN: dict[type, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


@cache
def arrow_schema(model: type[BaseModel]) -> pa.Schema:
    """The Arrow schema of a document class: one field a model field, in order.

    Optional fields are nullable, all others are not. ``tuple[X, ...]`` and ``tuple[X, Y]`` are lists, documents
    are structs, JSON objects are strings.
    """
    return pa.schema(list(_fields(model)))


@cache
def _fields(model: type[BaseModel]) -> tuple[pa.Field, ...]:
    hints = typing.get_type_hints(model, include_extras=True)
    return tuple(pa.field(name, *_field_type(hints[name])) for name in model.model_fields)


def _field_type(hint: Any) -> tuple[pa.DataType, bool]:
    """Arrow type and whether it may be null."""
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        for mark in marks:
            if isinstance(mark, ArrowType):
                return pa.type_for_alias(mark.name), False
            if isinstance(mark, ArrowJson):
                return pa.string(), False
        return _field_type(inner)
    if get_origin(hint) in (typing.Union, types.UnionType):
        parts = [part for part in get_args(hint) if part is not type(None)]
        if len(parts) != 1:
            raise TypeError(f"no Arrow type for a union: {hint}")
        return _field_type(parts[0])[0], True
    if get_origin(hint) is Literal:
        return pa.string(), False
    if get_origin(hint) is tuple:
        item, _ = _field_type(get_args(hint)[0])
        return pa.list_(pa.field("element", item, nullable=False)), False
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return pa.struct(list(_fields(hint))), False
    if hint in _PLAIN:
        return _PLAIN[hint], False
    raise TypeError(f"no Arrow type for {hint}")


Convert = Callable[[Any], Any]


class _Plan:
    """How the rows of one document class go to Arrow and back: dense defaults, and converters for some fields."""

    def __init__(self, model: type[BaseModel]) -> None:
        hints = typing.get_type_hints(model, include_extras=True)
        self.defaults: Row = {}
        self.to_arrow: dict[str, Convert] = {}
        self.from_arrow: dict[str, Convert] = {}
        for name, info in model.model_fields.items():
            default = None if info.is_required() else info.get_default(call_default_factory=True)
            encode, decode = _converters(hints[name])
            self.defaults[name] = "{}" if default == {} else default
            if encode is not None and decode is not None:
                self.to_arrow[name] = encode
                self.from_arrow[name] = decode

    def dense(self, row: Mapping[str, Any]) -> Row:
        full = {**self.defaults, **row}
        for name, encode in self.to_arrow.items():
            value = full[name]
            if value is not self.defaults[name]:
                full[name] = encode(value)
        return full

    def sparse(self, row: Mapping[str, Any]) -> Row:
        defaults, decoders = self.defaults, self.from_arrow
        out: Row = {}
        for name, value in row.items():
            if value is None or value == defaults[name] or (value == [] and defaults[name] == ()):
                continue
            decode = decoders.get(name)
            out[name] = value if decode is None else decode(value)
        return out


@cache
def _plan(model: type[BaseModel]) -> _Plan:
    return _Plan(model)


def _converters(hint: Any) -> tuple[Convert | None, Convert | None]:
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        if any(isinstance(mark, ArrowJson) for mark in marks):
            return (lambda value: value if isinstance(value, str) else canonical_json(value)), from_json
        return _converters(inner)
    if get_origin(hint) in (typing.Union, types.UnionType):
        parts = [part for part in get_args(hint) if part is not type(None)]
        encode, decode = _converters(parts[0])
        if encode is None or decode is None:
            return None, None
        return (
            lambda value: None if value is None else encode(value),
            lambda value: None if value is None else decode(value),
        )
    if get_origin(hint) is tuple:
        encode, decode = _converters(get_args(hint)[0])
        if encode is None or decode is None:
            return None, None
        return (lambda value: [encode(item) for item in value]), (lambda value: [decode(item) for item in value])
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        plan = _plan(hint)
        return plan.dense, plan.sparse
    return None, None


def table_from_rows(rows: Sequence[Mapping[str, Any]], model: type[BaseModel]) -> pa.Table:
    """Rows as a table of the class's canonical schema, in one chunk a column. Absent fields get their defaults.

    Raises ``pyarrow.ArrowInvalid`` or ``ArrowTypeError`` for a value that does not fit its column.
    """
    plan = _plan(model)
    return pa.Table.from_pylist([plan.dense(row) for row in rows], schema=arrow_schema(model)).combine_chunks()


def rows_from_table(table: pa.Table, model: type[BaseModel]) -> list[Row]:
    """The table's rows, sparse: fields at their defaults left out. Columns may be a subset of the class's."""
    plan = _plan(model)
    return [plan.sparse(row) for row in table.to_pylist()]


def iter_rows(tables: Iterable[pa.Table], model: type[BaseModel], batch_rows: int = 2048) -> Iterator[Row]:
    """Rows of many tables, one batch in memory at a time."""
    for table in tables:
        for batch in table.to_batches(max_chunksize=batch_rows):
            yield from rows_from_table(pa.Table.from_batches([batch]), model)


def prune(value: Any, model: type[BaseModel]) -> Any:
    """A row with fields at their defaults left out, all the way down. What ``row_digest`` is taken of."""
    plan = _plan(model)
    return plan.sparse(plan.dense(value))


def count_annotations(table: pa.Table) -> int:
    """How many annotations the rows of a table have together."""
    return int(pc.sum(pc.list_value_length(table["annotations"])).as_py() or 0)
