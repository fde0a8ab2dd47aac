"""The one derivation of Arrow schemas from documents."""

from __future__ import annotations

import types
import typing
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

import pyarrow as pa
from pydantic import BaseModel

from dsetkit.spec.base import ArrowJson, ArrowType

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
