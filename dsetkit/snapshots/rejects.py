"""What was turned away, on its way to the table of it: sorted by key, then as added."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from dsetkit.snapshots.columns import checked_table
from dsetkit.snapshots.parquet_out import open_scratch, scratch_path, write_scratch, write_tables
from dsetkit.snapshots.sealing import Seal
from dsetkit.spec.arrow import Row, iter_rows
from dsetkit.spec.key import sort_key
from dsetkit.spec.sample import Rejected

HELD_ROWS = 16_384
"""Rows held in memory; more are put aside in files. A multiple of a row group."""

_GROUP_ROWS = 1_024
"""Rows of a file of those that are in memory when all are merged."""

_Entry = tuple[bytes, int, Row]
"""Key, number in the order of adding, row."""


class RejectedRows:
    """Collects rejected rows in any order; holds at most ``HELD_ROWS`` of them."""

    def __init__(
        self, work: Path, seal: Seal | None = None, name: str = "rejected", model: type[Rejected] = Rejected
    ) -> None:
        """``work`` is where rows of ``model`` may be put aside, sealed by ``seal``, in files called by ``name``."""
        self._name = name
        self._model = model
        self._work = work
        self._seal = seal
        self._held: list[_Entry] = []
        self._aside: list[Path] = []

    def add(self, row: Row, number: int) -> None:
        """Take a finished row; ``number`` says when it was added."""
        self._held.append((sort_key(row["key"]), number, row))
        if len(self._held) >= HELD_ROWS:
            self._put_aside()

    def write(self, file: Any) -> int:
        """Write all rows into an open file; how many they are."""
        runs = [iter(sorted(self._held, key=_order)), *(self._read_aside(path) for path in self._aside)]
        rows = (row for _, _, row in heapq.merge(*runs, key=_order))
        tables = (checked_table(batch, self._model) for batch in _batched(rows, HELD_ROWS))
        return write_tables(tables, file, self._model)

    def _put_aside(self) -> None:
        self._held.sort(key=_order)
        table = checked_table([row for _, _, row in self._held], self._model)
        numbers = pa.array([number for _, number, _ in self._held], pa.int64())
        path = scratch_path(self._work, f"{self._name}-{len(self._aside)}", self._seal)
        write_scratch(table.append_column("number", numbers), path, self._seal, _GROUP_ROWS)
        self._aside.append(path)
        self._held = []

    def _read_aside(self, path: Path) -> Iterator[_Entry]:
        with open_scratch(path, self._seal) as file:
            for number in range(file.num_row_groups):
                table = file.read_row_group(
                    number, use_threads=self._seal is None
                )  # see `parquet_file`: no thread calls Python
                numbers = table["number"].to_pylist()
                rows = iter_rows([table.drop_columns(["number"])], self._model)
                for row, count in zip(rows, numbers, strict=True):
                    yield sort_key(row["key"]), count, row


def _order(entry: _Entry) -> tuple[bytes, int]:
    return entry[:2]


def _batched(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
