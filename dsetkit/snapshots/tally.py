"""The counts a writer can count itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.spec.annotation import is_outside
from dsetkit.spec.arrow import outside_mask
from dsetkit.spec.snapshot import Counts


class Tally:
    """Counts rows as they are written."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._splits: Counter[str] = Counter()
        self._categories: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()

    def add_kept(self, row: Mapping[str, Any], *, is_variant: bool = False) -> None:
        """A row of the manifest."""
        annotations = row.get("annotations") or ()
        self._counts["samples"] += 1
        self._counts["annotations"] += len(annotations)
        if is_variant:
            self._counts["added_samples"] += 1
            self._counts["added_annotations"] += len(annotations)
        if row.get("split") is not None:
            self._splits[row["split"]] += 1
        for annotation in annotations:
            if is_outside(annotation):
                continue
            category, categories = annotation.get("category"), annotation.get("categories")
            if categories:
                self._categories.update({*categories, category} - {None})
            elif category is not None:
                self._categories[category] += 1

    def add_table(self, table: pa.Table) -> None:
        """Rows of the manifest, none a variant, as columns; counts what ``add_kept`` counts for each."""
        self._counts["samples"] += table.num_rows
        self._splits.update(_values(table["split"]))
        annotations = pc.list_flatten(table["annotations"])
        self._counts["annotations"] += len(annotations)
        if (outside := outside_mask(annotations)).any():
            annotations = annotations.filter(pa.array(~outside))
        several = pc.struct_field(annotations, "categories")
        has_several = pc.fill_null(pc.greater(pc.list_value_length(several), 0), False)
        self._categories.update(_values(pc.struct_field(annotations, "category").filter(pc.invert(has_several))))
        for annotation in annotations.filter(has_several).to_pylist():
            self._categories.update({*annotation["categories"], annotation["category"]} - {None})

    def add_counted(self, counts: Counts) -> None:
        """The manifest of a snapshot without variants, as it was counted when it was written."""
        self._counts.update(samples=counts.samples, annotations=counts.annotations)
        self._splits.update(counts.per_split)
        self._categories.update(counts.per_category)

    def add_rejected(self, row: Mapping[str, Any]) -> None:
        """A rejected row: a whole sample, or annotations of one."""
        self._counts["rejected_samples"] += (row.get("what") or "sample") == "sample"
        self._counts["rejected_annotations"] += len(row.get("annotations") or ())
        self._reasons[row["reason"]] += 1

    def counts(self, given: Counts | Mapping[str, Any] | None = None) -> Counts:
        """All counts.

        What only the caller knows (``samples_in``, ``annotations_in``, ``per_change``) is taken from ``given``, and
        ``added_samples`` and ``added_annotations`` where it has them; the rest is as counted here.
        """
        stated = given.to_row() if isinstance(given, Counts) else dict(given or {})
        return Counts(**{**stated, **self.counted(), **{name: stated[name] for name in _STATED if name in stated}})

    def counted(self) -> dict[str, Any]:
        """What was counted here."""
        names = ("samples", "annotations", "rejected_samples", "rejected_annotations", *_STATED)
        return {
            **{name: self._counts[name] for name in names},
            "per_split": _sorted(self._splits),
            "per_category": _sorted(self._categories),
            "per_reason": _sorted(self._reasons),
        }


_STATED = ("added_samples", "added_annotations")


def _values(column: pa.ChunkedArray) -> dict[str, int]:
    """How often each value stands in a column of texts; nulls are not counted."""
    counted = pc.value_counts(column.drop_null())
    return dict(zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True))


def _sorted(counter: Counter[str]) -> dict[str, int]:
    return {name: counter[name] for name in sorted(counter)}
