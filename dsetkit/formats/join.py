"""Several label sets over the same pictures, and the pictures nobody labelled, as one set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.spec.arrow import Row, table_from_rows
from dsetkit.spec.category import merge_categories
from dsetkit.spec.sample import Sample
from dsetkit.spec.snapshot import License

_UNION = ("subsets", "absent_categories", "not_exhaustive_categories", "responses", "derived_from")


def join(sets: Sequence[tuple[LabelSet, str | None]], pictures: Iterable[str]) -> LabelSet:
    """One row a picture, key order.

    ``sets`` are label sets, each with the annotator who made those of its annotations that name none. ``pictures``
    are the paths of the pictures that are there: one that no set speaks of becomes a row labelled ``no``; a row whose
    picture is not there stays, with an issue ``picture-missing``.

    Annotations of one picture are listed set by set. An ``id`` that an earlier set uses on that picture gets
    ``<n>:`` in front, n the set's place in the list from 0 (``1:7``), and references to it follow. A fact two sets
    give differently (size, source id, attributes) is the first set's; a size that differs is an issue ``size-differs``.
    A picture is labelled ``yes`` if any set says so, else ``partial`` if any does.
    """
    if len(sets) == 1 and sets[0][1] is None and sets[0][0].is_table:
        return _with_pictures(sets[0][0], set(pictures))
    rows: dict[str, Row] = {}
    issues = IssueList()
    for number, (labels, annotator) in enumerate(sets):
        for given in labels.rows:
            row = _named(given, annotator) if annotator is not None else given
            known = rows.get(row["key"])
            rows[row["key"]] = row if known is None else _merge(known, row, number, issues)
    there = set(pictures)
    _add_missing(issues, rows.keys() - there)
    for path in there - rows.keys():
        rows[path] = {"key": path}
    info: dict[str, Any] = {}
    licenses: dict[License, None] = {}
    for labels, _ in sets:
        info = {**labels.info, **info}
        licenses.update(dict.fromkeys(labels.licenses))
    found = [issue for labels, _ in sets for issue in labels.issues]
    categories = merge_categories(*(labels.categories for labels, _ in sets))
    return LabelSet.from_rows(rows.values(), categories, info, tuple(licenses), (*found, *issues.all()))


def _with_pictures(labels: LabelSet, there: set[str]) -> LabelSet:
    """One set alone, in columns: its rows as they are, and one for each picture it does not speak of."""
    keys = labels.table["key"].to_pylist()
    issues = IssueList()
    _add_missing(issues, set(keys) - there)
    others = sorted(there - set(keys))
    table = labels.table
    if others:
        order = sorted(range(len(keys) + len(others)), key=(keys + others).__getitem__)  # code points: as UTF-8 sorts
        unlabelled = table_from_rows([{"key": path} for path in others], Sample)
        table = pa.concat_tables([table, unlabelled]).take(pa.array(order, pa.int64()))
    categories = merge_categories(labels.categories)
    licenses = tuple(dict.fromkeys(labels.licenses))
    return LabelSet(table, categories, labels.info, licenses, (*labels.issues, *issues.all()))


def _add_missing(issues: IssueList, keys: Iterable[str]) -> None:
    for key in sorted(keys, key=str.encode):
        issues.add(
            "picture-missing",
            f"the labels name {key}, which is not there",
            key=key,
            hint="Put the picture there, or take it out of the labels.",
        )


def _named(row: Row, annotator: str) -> Row:
    annotations = row.get("annotations", ())
    if not annotations:
        return row
    return {**row, "annotations": [{"annotator": annotator, **annotation} for annotation in annotations]}


def _merge(first: Row, second: Row, number: int, issues: IssueList) -> Row:
    merged = {**second, **first}
    size, other = (tuple(row.get(name) for name in ("width_px", "height_px")) for row in (first, second))
    if size != other and None not in size and None not in other:
        issues.add(
            "size-differs",
            f"one label file declares {size[0]}×{size[1]} px, another {other[0]}×{other[1]} px",
            severity="warning",
            key=first["key"],
            hint="Check that the label files are of the same picture.",
        )
    for name in _UNION:
        items = [*first.get(name, ()), *second.get(name, ())]
        if items:
            merged[name] = [item for index, item in enumerate(items) if item not in items[:index]]
    for name in ("attributes", "provenance"):
        if name in first and name in second:
            merged[name] = {**second[name], **first[name]}
    said = {first.get("labelled", "no"), second.get("labelled", "no")}
    merged["labelled"] = "yes" if "yes" in said else "partial" if "partial" in said else "no"
    annotations = [*first.get("annotations", ()), *_renamed(first, second, number)]
    if annotations:
        merged["annotations"] = annotations
    return merged


def _renamed(first: Row, second: Row, number: int) -> Sequence[Row]:
    """The second row's annotations, under ids that the first does not use."""
    taken = {annotation["id"] for annotation in first.get("annotations", ())}
    own = {annotation["id"] for annotation in second.get("annotations", ())}
    names: dict[str, str] = {}
    for name in sorted(own & taken):
        new = f"{number}:{name}"
        while new in taken or new in own:
            new = f"{number}:{new}"
        names[name] = new
    if not names:
        return list(second.get("annotations", ()))
    out = []
    for annotation in second.get("annotations", ()):
        renamed = {**annotation, "id": names.get(annotation["id"], annotation["id"])}
        if annotation.get("based_on") in names:
            renamed["based_on"] = names[annotation["based_on"]]
        if annotation.get("relations"):
            renamed["relations"] = [
                {**relation, "target": names.get(relation["target"], relation["target"])}
                for relation in annotation["relations"]
            ]
        out.append(renamed)
    return out
