"""Rows put aside on the disk between two steps of a stage, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
from pydantic import BaseModel

from dsetkit.spec.arrow import Row, arrow_schema, rows_from_table, table_from_rows

BATCH_ROWS = 2048


class Spool:
    """Rows of one document class in an Arrow IPC file: written once in order, then read by batch or by place."""

    def __init__(self, path: Path, model: type[BaseModel]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.model = model
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, arrow_schema(model))
        self._waiting: list[Row] = []
        self._starts = [0]

    def add(self, row: Row) -> None:
        """Put a row aside."""
        self._waiting.append(row)
        if len(self._waiting) >= BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            for batch in table_from_rows(self._waiting, self.model).to_batches():
                self._writer.write_batch(batch)
                self._starts.append(self._starts[-1] + batch.num_rows)
            self._waiting = []

    def close(self) -> None:
        """No more rows come; from now on they can be read."""
        self._flush()
        self._writer.close()
        self._file.close()
        self._reader = pa.ipc.open_file(pa.memory_map(str(self.path)))

    def remove(self) -> None:
        """Delete the file."""
        self._reader = None
        self.path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return self._starts[-1]

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns of all rows, mapped from the file."""
        batches = [self._reader.get_batch(number).select(list(names)) for number in range(len(self._starts) - 1)]
        schema = pa.schema([arrow_schema(self.model).field(name) for name in names])
        return pa.Table.from_batches(batches, schema=schema)

    def __iter__(self) -> Iterator[Row]:
        """All rows, in the order they were put aside."""
        for number in range(len(self._starts) - 1):
            yield from rows_from_table(pa.Table.from_batches([self._reader.get_batch(number)]), self.model)

    def rows_at(self, places: Sequence[int]) -> dict[int, Row]:
        """The rows at some places, counted from 0."""
        found: dict[int, Row] = {}
        wanted = sorted(set(places))
        for number in range(len(self._starts) - 1):
            start, end = self._starts[number], self._starts[number + 1]
            inside = [place for place in wanted if start <= place < end]
            if inside:
                table = pa.Table.from_batches([self._reader.get_batch(number)]).take([p - start for p in inside])
                found.update(zip(inside, rows_from_table(table, self.model), strict=True))
        return found
