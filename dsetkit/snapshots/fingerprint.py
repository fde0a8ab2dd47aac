"""What a row means, and what a snapshot means, as one digest each; other tools can compute both.

**Row digest.** SHA-256, in hex, of one UTF-8 text: the canonical JSON (sorted keys, no spaces, non-ASCII characters
as they are, shortest round-trip floats, −0.0 as 0.0, no NaN; ``dsetkit.spec.base.canonical_json``) of the row's
fields named in ``dsetkit.spec.sample.MEANING``, where

* a field at its default is left out, all the way down (so a new field changes no old digest): null where the
  default is null, an empty list, ``{}``, ``false``, and ``"no"``, ``"accepted"``, ``2`` for ``labelled``, ``status``,
  ``visibility``; a field without a default (an annotation's ``id`` and ``kind``, ``rotated_box.cx``, ...) is never
  left out; null and empty stay apart;
* a number is written as its column's type says: floats with a point or exponent (``1.0``), integers without;
* a JSON object (``attributes``, ``extras``, a step's ``values``) stands as the object, its own numbers as they are.

So it is the same for a row handed to the writer and for that row read back from Parquet.

**Fingerprint.** SHA-256, in hex, of these bytes, all ASCII, each line ended by one ``\\n``:

1. the line ``dsetkit fingerprint 1``;
2. for each row, in key order (UTF-8 bytes of the key), its row digest as 64 hex digits;
3. SHA-256, in hex, of the canonical JSON of the list of categories, each as an object in which, again, fields at
   their defaults are left out.
"""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from json.encoder import encode_basestring
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import from_json

from dsetkit.spec.arrow import Row
from dsetkit.spec.base import ArrowJson, ArrowType, canonical_json, digest_of
from dsetkit.spec.category import Category
from dsetkit.spec.sample import MEANING, Rejected, Sample

HEADER = b"dsetkit fingerprint 1\n"

_ORDERS_KEPT = 4096
_Encode = Callable[[Any], str]


def row_digest(row: Row | Mapping[str, Any]) -> str:
    """What a row means: SHA-256, in hex, over its ``MEANING`` fields at other values than their defaults.

    Takes a sparse or a dense row. Raises ``ValueError`` for NaN, infinities and fields no document has; ``TypeError``
    or ``ValueError`` for values that do not fit their column.
    """
    return hashlib.sha256(_encode_row(row).encode("utf-8", "surrogatepass")).hexdigest()


def fingerprint(row_digests: Iterable[str], categories: Iterable[Category]) -> str:
    """What a snapshot, or a selection of it, means: SHA-256, in hex, over row digests in key order and categories."""
    state = hashlib.sha256(HEADER)
    for digest in row_digests:
        state.update(f"{digest}\n".encode())
    state.update(f"{categories_digest(categories)}\n".encode())
    return state.hexdigest()


def categories_digest(categories: Iterable[Category]) -> str:
    """SHA-256, in hex, of the categories in their order, fields at their defaults left out."""
    return digest_of([category.model_dump(mode="json", exclude_defaults=True) for category in categories])


class _Fields:
    """Writes rows of one document class as canonical JSON, typed as its columns; compiled once, no documents built."""

    def __init__(self, model: type[BaseModel], names: Sequence[str]) -> None:
        hints = typing.get_type_hints(model, include_extras=True)
        self._passed_over = frozenset(Rejected.model_fields) - {*names} if model is Sample else frozenset()
        self._plan: dict[str, tuple[str, tuple[Any, ...], _Encode]] = {}
        for name in names:
            field = model.model_fields[name]
            left_out: tuple[Any, ...] = ()
            if not field.is_required():
                default = field.get_default(call_default_factory=True)
                left_out = {"()": ((), []), "{}": ({}, "{}")}.get(repr(default), (default,))
            self._plan[name] = (f'"{name}":', left_out, _encoder(hints[name]))
        self._orders: dict[tuple[str, ...], tuple[tuple[str, str, tuple[Any, ...], _Encode], ...]] = {}

    def __call__(self, row: Mapping[str, Any]) -> str:
        """One JSON object."""
        names = tuple(row)
        order = self._orders.get(names)
        if order is None:
            order = self._order(names)
        parts = []
        for name, label, left_out, encode in order:
            value = row[name]
            if value is not None and value not in left_out:
                parts.append(label + encode(value))
        return "{" + ",".join(parts) + "}"

    def _order(self, names: tuple[str, ...]) -> tuple[tuple[str, str, tuple[Any, ...], _Encode], ...]:
        """How rows with just these fields are written. There are few such sets, so each is worked out once."""
        unknown = [name for name in names if name not in self._plan and name not in self._passed_over]
        if unknown:
            raise ValueError(f"a row has no field {min(unknown)!r}")
        order = tuple((name, *self._plan[name]) for name in sorted(names) if name in self._plan)
        if len(self._orders) >= _ORDERS_KEPT:
            self._orders.clear()
        self._orders[names] = order
        return order


def _encode_float(value: Any) -> str:
    text = repr(float(value) + 0.0)
    if "n" in text:  # nan, inf
        raise ValueError(f"a number is finite, not {text}")
    return text


def _encode_int(value: Any) -> str:
    number = int(value)
    if number != value:
        raise ValueError(f"a whole number is expected, not {value!r}")
    return repr(number)


def _encode_bool(value: Any) -> str:
    return "true" if value else "false"


def _encode_json(value: Any) -> str:
    return canonical_json(from_json(value) if isinstance(value, str) else value)


def _list_encoder(item: _Encode) -> _Encode:
    if item is _encode_float:

        def encode_floats(values: Any) -> str:
            text = ",".join([repr(float(value) + 0.0) for value in values])
            if "n" in text:
                raise ValueError(f"a number is finite; one of [{text[:80]}] is not")
            return f"[{text}]"

        return encode_floats
    return lambda values: "[" + ",".join([item(value) for value in values]) + "]"


_PLAIN: dict[type, _Encode] = {str: encode_basestring, int: _encode_int, float: _encode_float, bool: _encode_bool}


@cache
def _document_encoder(model: type[BaseModel]) -> _Encode:
    return _Fields(model, tuple(model.model_fields))


def _encoder(hint: Any) -> _Encode:
    """How a value of a field with this hint is written; the same cases as ``spec.arrow`` gives Arrow types for."""
    origin = get_origin(hint)
    if origin is Annotated:
        inner, *marks = get_args(hint)
        if any(isinstance(mark, ArrowJson) for mark in marks):
            return _encode_json
        if any(isinstance(mark, ArrowType) and "int" not in mark.name for mark in marks):
            raise TypeError(f"no canonical text for {hint}")
        return _encoder(inner)
    if origin in (typing.Union, UnionType):
        return _encoder(next(part for part in get_args(hint) if part is not type(None)))
    if origin is Literal:
        return encode_basestring
    if origin is tuple:
        return _list_encoder(_encoder(get_args(hint)[0]))
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return _document_encoder(hint)
    return _PLAIN[hint]


_encode_row = _Fields(Sample, MEANING)
