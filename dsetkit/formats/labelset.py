"""Labels without pictures: what reading a label format gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from dsetkit.formats.garbage import collector_paused
from dsetkit.spec.arrow import Row, rows_from_table, table_from_rows
from dsetkit.spec.category import Category
from dsetkit.spec.issue import Issue
from dsetkit.spec.key import sort_key
from dsetkit.spec.sample import Sample
from dsetkit.spec.snapshot import License


class LabelSet:
    """One row a picture, sorted by key; the key is the picture's path relative to its source.

    ``width_px`` and ``height_px`` of a row are what its label file declares, absent where it declares none.
    Made of a table or of rows; the other form is made when it is first asked for.
    """

    def __init__(
        self,
        table: pa.Table,
        categories: Sequence[Category] = (),
        info: Mapping[str, Any] | None = None,
        licenses: Sequence[License] = (),
        issues: Sequence[Issue] = (),
    ) -> None:
        self._table: pa.Table | None = table
        self._rows: tuple[Row, ...] | None = None
        self.categories = tuple(categories)
        self.info: dict[str, Any] = dict(info or {})
        self.licenses = tuple(licenses)
        self.issues = tuple(issues)

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Row],
        categories: Sequence[Category] = (),
        info: Mapping[str, Any] | None = None,
        licenses: Sequence[License] = (),
        issues: Sequence[Issue] = (),
    ) -> LabelSet:
        """A set of sparse rows in any order; keys must be unique and valid (``dsetkit.spec.key.check_key``)."""
        made = cls.__new__(cls)
        made._table = None
        made._rows = tuple(sorted(rows, key=lambda row: sort_key(row["key"])))
        made.categories = tuple(categories)
        made.info = dict(info or {})
        made.licenses = tuple(licenses)
        made.issues = tuple(issues)
        return made

    @property
    def table(self) -> pa.Table:
        """All rows, in the schema of ``Sample``, key order."""
        if self._table is None:
            with collector_paused():
                self._table = table_from_rows(self._rows or (), Sample)
        return self._table

    @property
    def is_table(self) -> bool:
        """Whether it stands in columns, so that they cost nothing."""
        return self._table is not None

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, sparse, key order. They must not be changed."""
        if self._rows is None:
            self._rows = tuple(rows_from_table(self.table, Sample))
        return self._rows

    def with_issues(self, issues: Sequence[Issue], *, last: bool = False) -> LabelSet:
        """The same labels, with these issues in front of their own, or behind them."""
        if not issues:
            return self
        made = LabelSet.__new__(LabelSet)
        made.__dict__.update(self.__dict__)
        made.issues = (*self.issues, *issues) if last else (*issues, *self.issues)
        return made

    def __len__(self) -> int:
        return self._table.num_rows if self._table is not None else len(self._rows or ())

    def __iter__(self) -> Iterator[Sample]:
        """Samples, in key order."""
        return (Sample.model_validate(row) for row in self.rows)

    def __repr__(self) -> str:
        return f"LabelSet({len(self)} samples, {len(self.categories)} categories, {len(self.issues)} issues)"
