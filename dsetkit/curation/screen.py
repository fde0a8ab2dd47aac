"""Which samples of a table surely keep a contract, told from columns, so that only the others are looked at as rows.

What Pydantic demands of a field is read from its core schema (``__pydantic_core_schema__``), which says all of it, the
project's own validators too. Constraints that columns can decide are decided there; of text and JSON each distinct
value is asked for once; anything else makes what it is about doubtful, never valid. A row leaves out what is null or at
the default of ``Annotation`` and ``Sample``, so here too such a value counts as absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel
from pydantic_core import SchemaError, SchemaValidator, from_json

from dsetkit.spec.annotation import Annotation
from dsetkit.spec.arrow import outside_mask
from dsetkit.spec.base import ArrowJson, Document

Mask = npt.NDArray[np.bool_]

_HARMLESS = frozenset({"type", "ref", "metadata", "serialization"})
_BOUNDS: Mapping[str, Callable[[Any, Any], Any]] = {
    "ge": np.greater_equal,
    "gt": np.greater,
    "le": np.less_equal,
    "lt": np.less,
}


class Screen:
    """One class of a contract, read once. ``valid`` says of which structs (documents in columns) it surely takes all.

    A class that it cannot read takes nothing: that only costs time.
    """

    def __init__(self, member: type[BaseModel]) -> None:
        schema: Any = member.__pydantic_core_schema__
        self._definitions: list[Any] = []
        if schema["type"] == "definitions":
            self._definitions = schema["definitions"]
            schema = schema["schema"]
        self._by_ref = {item.get("ref"): item for item in self._definitions}
        self._root = schema
        self._config = schema.get("config")  # one and the same for all documents; see _check_model
        self._validators: dict[int, SchemaValidator] = {}

    def valid(self, array: pa.StructArray) -> Mask:
        """One flag a struct."""
        return self._check(self._root, array)

    def _check(self, node: Any, array: pa.Array) -> Mask:
        """Of which values, none of them null, the schema surely takes all."""
        kind = node["type"]
        if kind == "definition-ref" and node["schema_ref"] in self._by_ref:
            return self._check(self._by_ref[node["schema_ref"]], array)
        if kind in ("default", "nullable"):
            return self._check(node["schema"], array)
        if kind == "union":
            choices = [choice[0] if isinstance(choice, tuple) else choice for choice in node["choices"]]
            any_of: Mask = np.logical_or.reduce([self._check(choice, array) for choice in choices])
            return any_of
        constraints = node.keys() - _HARMLESS
        if kind == "model" and pa.types.is_struct(array.type):
            return self._check_model(node, array)
        if kind == "tuple" and pa.types.is_list(array.type):
            return self._check_tuple(node, array)
        is_whole = pa.types.is_integer(array.type)
        is_number = is_whole or (kind == "float" and pa.types.is_floating(array.type))
        if kind in ("float", "int") and constraints <= _BOUNDS.keys() and is_number:
            values = array.to_numpy(zero_copy_only=False)
            taken: Mask = np.isfinite(values)
            for name in constraints:
                taken &= _BOUNDS[name](values, node[name])
            return taken
        if kind == "bool" and not constraints and pa.types.is_boolean(array.type):
            return np.ones(len(array), bool)
        if kind == "str" and not constraints - {"min_length"} and pa.types.is_string(array.type):
            return _numpy(pc.greater_equal(pc.utf8_length(array), node.get("min_length", 0)))
        return self._check_distinct(node, array, lambda value: value)

    def _check_model(self, node: Any, array: pa.StructArray) -> Mask:
        names = {field.name for field in array.type}
        base = _base_of(node["cls"])
        inner = node["schema"]
        if (
            base is None
            or not names <= base.model_fields.keys()
            or _settings(node) != _settings(_schema_of(base))
            or node.keys() - _HARMLESS - {"cls", "schema", "config", "custom_init", "root_model"}
            or node["custom_init"]
            or node["root_model"]
            or inner["type"] != "model-fields"
            or inner.keys() - _HARMLESS - {"fields", "computed_fields", "model_name"}
        ):
            return np.zeros(len(array), bool)
        children = dict(zip((field.name for field in array.type), array.flatten(), strict=True))
        taken = np.ones(len(array), bool)
        for name, field in inner["fields"].items():
            child = children.pop(name, None)
            schema = field["schema"]
            may_lack = schema["type"] == "default" and not schema.get("validate_default")
            if field.keys() - {"type", "schema", "metadata", "frozen"}:
                return np.zeros(len(array), bool)
            is_there = np.zeros(len(array), bool) if child is None else _is_there(child, base, name)
            if not may_lack:
                taken &= is_there
            if child is not None and is_there.any():
                taken &= ~is_there | self._check_field(schema, child, is_there, _is_json(base, name))
        for name, child in children.items():
            taken &= ~_is_there(child, base, name)
        return taken

    def _check_field(self, schema: Any, array: pa.Array, is_there: Mask, is_json: bool) -> Mask:
        """Of a field's values, where there are any."""
        if pa.types.is_list(array.type):  # empty ones cost nothing, taking the others out of so much would
            return self._check(schema, array)
        places = np.flatnonzero(is_there)
        some = array if len(places) == len(array) else array.take(pa.array(places))
        taken = np.zeros(len(array), bool)
        taken[places] = self._check_distinct(schema, some, _read_json) if is_json else self._check(schema, some)
        return taken

    def _check_tuple(self, node: Any, array: pa.ListArray) -> Mask:
        items = node["items_schema"]
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        taken: Mask
        if node.keys() - _HARMLESS - {"items_schema", "variadic_item_index", "min_length", "max_length"}:
            return np.zeros(len(array), bool)
        if "variadic_item_index" in node:
            taken = lengths >= (node.get("min_length") or 0)
            if node.get("max_length") is not None:
                taken &= lengths <= node["max_length"]
            alike = len(items) == 1
        else:
            taken = lengths == len(items)
            alike = all(one == other for one, other in pairwise(items)) and bool(items)
        if not alike:
            return np.zeros(len(array), bool)
        flat = array.flatten()
        if not len(flat):
            return taken
        if flat.null_count:
            return np.zeros(len(array), bool)
        good = self._check(items[0], flat)
        if not good.all():
            counts = np.concatenate([[0], np.cumsum(~good)])
            ends = np.cumsum(lengths)
            taken &= counts[ends] == counts[ends - lengths]
        return taken

    def _check_distinct(self, node: Any, array: pa.Array, decode: Callable[[Any], Any]) -> Mask:
        """Asks Pydantic for each distinct value once; of what only one value at a time says nothing, none is taken."""
        if pa.types.is_nested(array.type) or not _looks_at_value_alone(node):
            return np.zeros(len(array), bool)
        validator = self._validators.get(id(node))
        if validator is None:
            schema: Any = {"type": "definitions", "schema": node, "definitions": self._definitions}
            try:
                validator = self._validators[id(node)] = SchemaValidator(schema, self._config)
            except SchemaError:  # it cannot stand alone
                return np.zeros(len(array), bool)
        encoded = array.dictionary_encode()
        taken = []
        for value in encoded.dictionary.to_pylist():
            try:
                validator.validate_python(decode(value))
            except Exception:  # a validator of the project's own may raise anything; what it is about is told by rows
                taken.append(False)
            else:
                taken.append(True)
        found: Mask = np.array(taken, bool)[encoded.indices.to_numpy(zero_copy_only=False)]
        return found


def doubtful_samples(
    table: pa.Table, names: frozenset[str], members: Callable[[str], Sequence[Screen]], samples: Sequence[Screen]
) -> npt.NDArray[np.int64]:
    """The places of the samples of which columns alone do not say that there is nothing to find.

    ``table`` has columns of ``Sample``; ``names`` are the categories that the labels list, if they do; ``members``
    gives the classes that know a kind of annotation; ``samples`` are those of a contract of samples.
    """
    out = []
    start = 0
    for batch in table.to_batches():
        is_doubtful = np.zeros(batch.num_rows, bool)
        if samples:
            whole = batch.to_struct_array()
            is_doubtful |= ~np.logical_or.reduce([screen.valid(whole) for screen in samples])
        if "annotations" in batch.schema.names:
            lists = batch.column("annotations")
            lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
            owners = np.repeat(np.arange(batch.num_rows), lengths)
            annotations = lists.flatten()
            if len(annotations):
                is_doubtful[owners[_doubtful_annotations(annotations, names, members)]] = True
                is_doubtful[_with_repeated_ids(annotations, owners)] = True
                is_doubtful[owners[outside_mask(annotations)]] = True  # contracts do not see these; screens do
        out.append(np.flatnonzero(is_doubtful) + start)
        start += batch.num_rows
    return np.concatenate(out) if out else np.zeros(0, np.int64)


def _doubtful_annotations(
    annotations: pa.StructArray, names: frozenset[str], members: Callable[[str], Sequence[Screen]]
) -> Mask:
    column = dict(zip((field.name for field in annotations.type), annotations.flatten(), strict=True))
    taken = np.zeros(len(annotations), bool)
    verdicts: dict[int, Mask] = {}
    kinds = column["kind"].dictionary_encode()
    codes = pc.fill_null(kinds.indices, -1).to_numpy(zero_copy_only=False)
    for code, kind in enumerate(kinds.dictionary.to_pylist()):
        for screen in members(kind):
            if id(screen) not in verdicts:
                verdicts[id(screen)] = screen.valid(annotations)
            taken |= verdicts[id(screen)] & (codes == code)
    taken &= _numpy(annotations.is_valid()) & _numpy(column["based_on"].is_null())
    taken &= ~_is_there(column["relations"], Annotation, "relations")
    if names:
        listed = pa.array(sorted(names), pa.string())
        taken &= _numpy(column["category"].is_null()) | _numpy(pc.is_in(column["category"], value_set=listed))
        taken &= ~_is_there(column["categories"], Annotation, "categories")
    return ~taken


def _with_repeated_ids(annotations: pa.StructArray, owners: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The samples of which two annotations have one id."""
    codes = pc.struct_field(annotations, "id").dictionary_encode(null_encoding="encode").indices.to_numpy()
    pairs, counts = np.unique(owners * (len(annotations) + 1) + codes, return_counts=True)
    repeated: npt.NDArray[np.int64] = pairs[counts > 1] // (len(annotations) + 1)
    return repeated


def _base_of(model: type) -> type[Document] | None:
    """The document that a class narrows: the one right below ``Document``."""
    return next((one for one in reversed(model.__mro__) if issubclass(one, Document) and one is not Document), None)


def _is_json(base: type[BaseModel], name: str) -> bool:
    return any(isinstance(mark, ArrowJson) for mark in base.model_fields[name].metadata)


def _read_json(text: str) -> Any:
    value = from_json(text)
    if not value:  # a row would not have it
        raise ValueError
    return value


def _is_there(array: pa.Array, base: type[BaseModel], name: str) -> Mask:
    """Which values a row would have: neither null nor at the default of the field of ``base``."""
    there = _numpy(array.is_valid())
    info = base.model_fields[name]
    default = None if info.is_required() else info.get_default(call_default_factory=True)
    if default is None:
        return there
    if default == ():
        return there & _numpy(pc.fill_null(pc.greater(pc.list_value_length(array), 0), False))
    default = "{}" if default == {} else default
    return there & _numpy(pc.fill_null(pc.not_equal(array, pa.scalar(default, array.type)), False))


def _looks_at_value_alone(node: Any) -> bool:
    """Whether no function in the schema asks for more than the value: for other fields, say."""
    if isinstance(node, Mapping):
        function = node.get("function")
        if isinstance(function, Mapping) and function.get("type") != "no-info":
            return False
        return all(_looks_at_value_alone(value) for name, value in node.items() if name != "metadata")
    return all(map(_looks_at_value_alone, node)) if isinstance(node, list | tuple) else True


def _schema_of(model: type[BaseModel]) -> Any:
    schema: Any = model.__pydantic_core_schema__
    return schema["schema"] if schema["type"] == "definitions" else schema


def _settings(node: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in node.get("config", {}).items() if name != "title"}


def _numpy(mask: pa.Array) -> Mask:
    flags: Mask = mask.to_numpy(zero_copy_only=False)
    return flags
