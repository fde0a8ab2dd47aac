"""Which columns must be read to know all that rows say.

A row leaves out what is at its default, so a column that holds nothing else need not be read: the rows are the same
without it. What a column that is left out also told, namely whether the document or list around it is there at all,
must still be told by another one beside it; where none is read for what it says, one is read for that alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

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
