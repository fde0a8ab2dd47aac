"""Rows to Arrow columns and back, column by column.

Fields that no row has become constant columns at once, columns that hold nothing but defaults are never turned to
Python, and nested ones are flattened first; so the cost follows what rows say and not how many fields documents have.
"""

from __future__ import annotations

import itertools
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, get_args, get_origin

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel
from pydantic_core import from_json

from dsetkit.spec.base import ArrowJson, canonical_json
from dsetkit.spec.schema import arrow_schema

Row = dict[str, Any]
_Build = Callable[[list[Any]], pa.Array]
_Read = Callable[[pa.Array], list[Any]]


def columns_of(rows: Sequence[Mapping[str, Any]], model: type[BaseModel]) -> list[pa.Array]:
    """One array a field of ``model``, each as long as ``rows``; see ``dsetkit.spec.arrow.table_from_rows``."""
    return _document(model).columns(rows)


def rows_of(columns: Mapping[str, pa.Array], count: int, model: type[BaseModel]) -> list[Row]:
    """``count`` sparse rows of some columns of ``model``; see ``dsetkit.spec.arrow.rows_from_table``."""
    return _document(model).rows(columns, count)


def default_column(model: type[BaseModel], name: str, count: int) -> pa.Array:
    """``count`` times the default of one field of ``model``. Raises ``ValueError`` for a field that has none."""
    return _document(model).default(name, count)


class _Column(typing.NamedTuple):
    field: pa.Field
    default: Any
    build: _Build
    read: _Read


class _Document:
    """How rows of one document class become arrays; compiled once."""

    def __init__(self, model: type[BaseModel]) -> None:
        hints = typing.get_type_hints(model, include_extras=True)
        self.fields = list(arrow_schema(model))
        self._columns: list[_Column] = []
        for field in self.fields:
            info = model.model_fields[field.name]
            default = None if info.is_required() else info.get_default(call_default_factory=True)
            hint = hints[field.name]
            self._columns.append(_Column(field, default, _builder(hint, field.type), _reader(hint, field.type)))
        self._names = frozenset(model.model_fields)
        self._null = pa.array([None], pa.struct(self.fields))

    def columns(self, rows: Sequence[Mapping[str, Any]]) -> list[pa.Array]:
        """One array a field, each as long as ``rows``."""
        present: set[str] = set().union(*rows)
        if not present <= self._names:
            raise ValueError(f"a row has no field {min(present - self._names)!r}")
        return [self._column(column, rows, column.field.name in present) for column in self._columns]

    def default(self, name: str, count: int) -> pa.Array:
        """A column of nothing but a field's default."""
        column = next(column for column in self._columns if column.field.name == name)
        return self._column(column, [{}] * count, False)

    def rows(self, columns: Mapping[str, pa.Array], count: int) -> list[Row]:
        """Sparse rows: what is null or at its default is left out."""
        rows: list[Row] = [{} for _ in range(count)]
        for column in self._columns:
            name = column.field.name
            array = columns.get(name)
            if array is None or _says_nothing(array, column.default):
                continue
            default = column.default
            if isinstance(default, dict):
                default = None if default else {}
            for row, value in zip(rows, column.read(array), strict=True):
                if value is not None and value != default and not (default == () and not value):
                    row[name] = value
        return rows

    def documents(self, array: pa.StructArray) -> list[Row | None]:
        """A struct array as sparse rows, None for nulls."""
        children = dict(zip((field.name for field in array.type), array.flatten(), strict=True))
        rows: list[Row | None] = list(self.rows(children, len(array)))
        if array.null_count:
            return [row if there else None for row, there in zip(rows, array.is_valid().to_pylist(), strict=True)]
        return rows

    def _column(self, column: _Column, rows: Sequence[Mapping[str, Any]], is_present: bool) -> pa.Array:
        field, default, build = column.field, column.default, column.build
        if not is_present:
            array = build([None] * len(rows)) if default is None else _constant(build, default, len(rows))
        else:
            name = field.name
            values = [row.get(name) for row in rows]
            if default is not None:
                values = [default if value is None else value for value in values]
            array = build(values)
        if array.null_count and not field.nullable:
            raise ValueError(f"the field {field.name!r} is missing")
        return array

    def structs(self, values: list[Any]) -> pa.Array:
        """Documents, or None, as a struct array."""
        there = [value for value in values if value is not None]
        array = pa.StructArray.from_arrays(self.columns(there), fields=self.fields)
        if len(there) == len(values):
            return array
        counter = itertools.count()
        null = len(there)
        places = [null if value is None else next(counter) for value in values]
        return pa.concat_arrays([array, self._null]).take(pa.array(places, pa.int64()))

    def nulls(self, count: int) -> pa.Array:
        """No documents. Parquet wants a value under a null document wherever a field is required; this has them."""
        return self._null.take(pa.array(np.zeros(count, np.int64)))


@cache
def _document(model: type[BaseModel]) -> _Document:
    return _Document(model)


def _constant(build: _Build, value: Any, count: int) -> pa.Array:
    if isinstance(value, tuple):
        return build([()] * count)
    return pa.repeat(build([value])[0], count)


def _builder(hint: Any, kind: pa.DataType) -> _Build:
    """How a list of values becomes an array of the type, by the field's hint."""
    origin = get_origin(hint)
    if origin is typing.Annotated:
        inner, *marks = get_args(hint)
        if any(isinstance(mark, ArrowJson) for mark in marks):
            return lambda values: pa.array([_json(value) for value in values], pa.string())
        return _builder(inner, kind)
    if pa.types.is_list(kind):
        item = _builder(get_args(hint)[0], kind.value_type)
        return lambda values: _lists(values, item, kind)
    if pa.types.is_struct(kind):
        model = next(part for part in (hint, *get_args(hint)) if isinstance(part, type) and issubclass(part, BaseModel))
        document = _document(model)
        return lambda values: (
            document.structs(values) if any(value is not None for value in values) else document.nulls(len(values))
        )
    if pa.types.is_floating(kind):
        return _floats
    return lambda values: pa.array(values, kind)


def _json(value: Any) -> str | None:
    if not value:
        return None if value is None else "{}"
    return value if isinstance(value, str) else canonical_json(value)


def _floats(values: list[Any]) -> pa.Array:
    array = pa.array(values, pa.float64())
    if not pc.all(pc.is_finite(array), min_count=0).as_py():
        raise ValueError("a number is not finite")
    return array


def _lists(values: list[Any], item: _Build, kind: pa.DataType) -> pa.Array:
    is_null = [value is None for value in values]
    if all(is_null):
        return pa.nulls(len(values), kind)
    if any(is_null):
        values = [value or () for value in values]
    offsets = [0, *itertools.accumulate(map(len, values))]
    flat = item(list(itertools.chain.from_iterable(values)))
    if flat.null_count:
        raise ValueError("a list holds no null")
    mask = pa.array(is_null) if any(is_null) else None
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat, type=kind, mask=mask)


def _says_nothing(array: pa.Array, default: Any) -> bool:
    """Whether all of it is null or at the default, told without turning it to Python."""
    if array.null_count == len(array):
        return True
    if default == () and pa.types.is_list(array.type):
        return not pc.any(pc.greater(pc.list_value_length(array), 0)).as_py()
    if isinstance(default, dict):
        return bool(pc.all(pc.equal(array, "{}")).as_py())
    if isinstance(default, str | bool | int | float):
        return bool(pc.all(pc.equal(array, pa.scalar(default, array.type)), skip_nulls=False).as_py())
    return False


def _reader(hint: Any, kind: pa.DataType) -> _Read:
    """How an array of the type becomes a list of values, by the field's hint."""
    if get_origin(hint) is typing.Annotated:
        inner, *marks = get_args(hint)
        if any(isinstance(mark, ArrowJson) for mark in marks):
            return lambda array: [None if text is None else from_json(text) for text in array.to_pylist()]
        return _reader(inner, kind)
    if pa.types.is_list(kind):
        item = _reader(get_args(hint)[0], kind.value_type)
        return lambda array: _read_lists(array, item)
    if pa.types.is_struct(kind):
        model = next(part for part in (hint, *get_args(hint)) if isinstance(part, type) and issubclass(part, BaseModel))
        document = _document(model)
        return lambda array: list(document.documents(array))
    return lambda array: list(array.to_pylist())


def _read_lists(array: pa.ListArray, item: _Read) -> list[Any]:
    offsets = np.asarray(array.offsets)
    start = int(offsets[0]) if len(offsets) else 0
    flat = item(array.values.slice(start, int(offsets[-1]) - start if len(offsets) else 0))
    ends = (offsets - start).tolist()
    lists: list[Any] = [flat[low:high] for low, high in itertools.pairwise(ends)]
    if array.null_count:
        return [value if there else None for value, there in zip(lists, array.is_valid().to_pylist(), strict=True)]
    return lists
