"""What results are gathered into: a sheet a picture. Sheets that nobody writes on at the moment are kept as columns.

A picture may be spoken of in several tasks, far from each other, so that no sheet is ever done before the last file is
read. As columns it takes a tenth of the memory, and is made a row again when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from dsetkit.spec.arrow import Row, rows_from_table, table_from_rows
from dsetkit.spec.key import sort_key
from dsetkit.spec.sample import Sample

_LISTS = ("annotations", "responses")
_OBJECTS = ("attributes", "provenance")


@dataclass
class Sheet:
    """What is gathered of one picture."""

    row: Row
    file: str
    """The file that spoke of it first."""
    number: int
    """How many pictures were spoken of before."""
    size: tuple[int, int] | None = None
    by_id: dict[str, Row] = field(default_factory=dict)
    """Its annotations, of all tasks, by id."""


class Sheets:
    """All sheets by key."""

    def __init__(self) -> None:
        self._open: dict[str, Sheet] = {}
        self._put_away: dict[str, tuple[int, int, str, int]] = {}
        """Key → which table and which row of it, file, number."""
        self._tables: list[pa.Table] = []
        self._first_uses: dict[str, tuple[int, int, int]] = {}
        """Category → number of the picture, of the annotation and of the name where it is used first."""
        self._count = 0

    def get(self, key: str) -> Sheet | None:
        """The sheet of a picture, to be written on; None where there is none."""
        place = self._put_away.pop(key, None)
        if place is None:
            return self._open.get(key)
        table, at, file, number = place
        (row,) = rows_from_table(self._tables[table].slice(at, 1), Sample)
        row = {**row, **{name: list(row.get(name, ())) for name in _LISTS}}
        row |= {name: dict(row.get(name, {})) for name in _OBJECTS}
        sheet = Sheet(row, file, number, by_id={one["id"]: one for one in row["annotations"]})
        self._open[key] = sheet
        return sheet

    def add(self, key: str, file: str) -> Sheet:
        """A new one."""
        row: Row = {"key": key, "annotations": [], "attributes": {}, "responses": [], "provenance": {}}
        sheet = self._open[key] = Sheet(row, file, self._count)
        self._count += 1
        return sheet

    def put_away(self) -> None:
        """Keep all that are open as columns. Nobody may hold one any more."""
        if not self._open:
            return
        sheets = sorted(self._open.values(), key=lambda sheet: sheet.number)
        self._note_uses(sheets)
        for at, sheet in enumerate(sheets):
            self._put_away[sheet.row["key"]] = len(self._tables), at, sheet.file, sheet.number
        self._tables.append(table_from_rows([_sparse(sheet.row) for sheet in sheets], Sample))
        self._open = {}

    def finish(self) -> list[Row] | pa.Table:
        """All rows: a list where none was ever put away, else a table in key order."""
        if not self._tables:
            sheets = list(self._open.values())
            self._note_uses(sheets)
            return [_sparse(sheet.row) for sheet in sheets]
        self.put_away()
        starts = [0]
        for table in self._tables:
            starts.append(starts[-1] + table.num_rows)
        places = [
            starts[self._put_away[key][0]] + self._put_away[key][1] for key in sorted(self._put_away, key=sort_key)
        ]
        whole = pa.concat_tables(self._tables)
        self._tables = []
        return whole if places == list(range(whole.num_rows)) else whole.take(pa.array(places, pa.int64()))

    def used(self) -> list[str]:
        """The categories of all annotations in the order they are met, once ``finish`` was called."""
        return sorted(self._first_uses, key=self._first_uses.__getitem__)

    def _note_uses(self, sheets: list[Sheet]) -> None:
        for sheet in sheets:
            for at, annotation in enumerate(sheet.row["annotations"]):
                for rank, name in enumerate(_names(annotation)):
                    place = (sheet.number, at, rank)
                    if place < self._first_uses.get(name, (self._count, 0, 0)):
                        self._first_uses[name] = place


def _names(annotation: Row) -> Iterator[str]:
    for name in annotation.get("categories") or [annotation.get("category")]:
        if name is not None:
            yield name


def _sparse(row: Row) -> Row:
    return {name: value for name, value in row.items() if value not in ([], {})}
