"""Labels of any shape, one by one: label sets, snapshots, tables, documents, plain dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
from pydantic import BaseModel

from dsetkit.curation.links import Breach, annotations_of, id_of
from dsetkit.curation.nearest import short, suggest
from dsetkit.errors import UsageError
from dsetkit.spec.annotation import Annotation
from dsetkit.spec.arrow import arrow_schema, iter_rows
from dsetkit.spec.issue import Finding
from dsetkit.spec.sample import Sample

NOT_A_LABEL = "contract-not-a-label"
"""Something among the labels that is neither a sample nor an annotation."""
CATEGORY_UNDEFINED = "category-undefined"
"""A category that the labels themselves do not list."""


class Item(NamedTuple):
    """One sample, one annotation, or something that is neither."""

    row: Any
    """A sample's row, an annotation's row, or whatever was there instead."""
    is_sample: bool
    is_trusted: bool
    """It comes from a table, so its fields have the types of ``Sample``."""
    place: str | None = None


def iter_items(labels: Any, samples_expected: bool, choose: Callable[[pa.Table], pa.Table]) -> Iterator[Item]:
    """Labels of any shape as items; see ``dsetkit.curation.contract.validate``. Raises ``UsageError`` for no labels.

    Of a table of samples with our columns only the rows that ``choose`` gives are turned into items.
    """
    if isinstance(labels, pa.Table):
        return _table_items(labels, choose)
    if hasattr(labels, "iter_tables"):
        return (item for table in labels.iter_tables() for item in _table_items(table, choose))
    if isinstance(getattr(labels, "table", None), pa.Table):
        return _table_items(labels.table, choose)
    if isinstance(labels, Mapping | BaseModel):
        return iter([_item(labels, None, samples_expected)])
    if isinstance(labels, str | bytes) or not isinstance(labels, Iterable):
        raise UsageError(
            f"cannot validate {short(labels)}",
            hint="Hand over a label set, a snapshot, a table, or a list of samples or annotations.",
        )
    return (_item(value, f"[{index}]", samples_expected) for index, value in enumerate(labels))


def _table_items(table: pa.Table, choose: Callable[[pa.Table], pa.Table]) -> Iterator[Item]:
    """Rows of a table: of ours as they are, of any other (another type, another column) as dicts to be doubted."""
    is_sample = "key" in table.column_names
    model: type[BaseModel] = Sample if is_sample else Annotation
    schema = arrow_schema(model)
    if all(field.name in schema.names and field.type == schema.field(field.name).type for field in table.schema):
        chosen = choose(table) if is_sample else table
        return (Item(row, is_sample, True) for row in iter_rows([chosen], model))
    rows = (row for batch in table.to_batches(max_chunksize=2048) for row in batch.to_pylist())
    present = ({name: value for name, value in row.items() if value is not None} for row in rows)
    return (Item(row, is_sample, False, f"[{index}]") for index, row in enumerate(present))


def _item(value: Any, place: str | None, samples_expected: bool) -> Item:
    if isinstance(value, BaseModel):
        row = value.model_dump(mode="python", exclude_unset=True, warnings=False)
        return Item(row, isinstance(value, Sample), False, place)
    if isinstance(value, Mapping):
        is_sample = "key" in value or ("kind" not in value and samples_expected)
        return Item(dict(value), is_sample, False, place)
    return Item(value, False, False, place)


def category_names(labels: Any) -> frozenset[str]:
    """The names of the categories that labels list; none where they list none."""
    listed = getattr(labels, "categories", None)
    if not isinstance(listed, list | tuple):
        return frozenset()
    return frozenset(name for item in listed if isinstance(name := getattr(item, "name", None), str))


def undefined_categories(item: Item, names: frozenset[str]) -> Iterator[Breach]:
    """Categories that the labels use and do not list."""
    if not names or not isinstance(item.row, Mapping):
        return
    for annotation in annotations_of(item.row) if item.is_sample else [item.row]:
        if not isinstance(annotation, Mapping):
            continue
        several = annotation.get("categories")
        used = [annotation.get("category"), *(several if isinstance(several, list | tuple) else ())]
        for name in dict.fromkeys(name for name in used if isinstance(name, str)):
            if name not in names:
                message = f"category {short(name)} is not among the labels' categories{suggest(name, names)}"
                yield Breach(Finding(code=CATEGORY_UNDEFINED, message=message), id_of(annotation))
