"""Rows put aside on the disk between two steps of a stage, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from dsetkit.snapshots.sealing import Seal
from dsetkit.spec.arrow import Row, arrow_schema, rows_from_table, table_from_rows

BATCH_ROWS = 2048


class Spool:
    """Rows of one document class in a file of Arrow batches: written once in order, then read by batch or by place."""

    def __init__(self, path: Path, model: type[BaseModel], seal: Seal | None = None) -> None:
        """With ``seal`` nothing comes to the disk but what it sealed."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.model = model
        self._batches: _Mapped | _Sealed = _Mapped(path, model) if seal is None else _Sealed(path, model, seal)
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
                self._batches.append(batch)
                self._starts.append(self._starts[-1] + batch.num_rows)
            self._waiting = []

    def close(self) -> None:
        """No more rows come; from now on they can be read."""
        self._flush()
        self._batches.finish()

    def remove(self) -> None:
        """Delete the file."""
        self._batches.close()
        self.path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return self._starts[-1]

    def columns(self, names: Sequence[str]) -> pa.Table:
        """Some columns of all rows: mapped from the file, or, of a sealed one, just these in memory."""
        batches = [self._batches.columns(number, names) for number in range(len(self._starts) - 1)]
        schema = pa.schema([arrow_schema(self.model).field(name) for name in names])
        return pa.Table.from_batches(batches, schema=schema)

    def __iter__(self) -> Iterator[Row]:
        """All rows, in the order they were put aside."""
        for number in range(len(self._starts) - 1):
            yield from rows_from_table(pa.Table.from_batches([self._batches.read(number)]), self.model)

    def rows_at(self, places: Sequence[int]) -> dict[int, Row]:
        """The rows at some places, counted from 0."""
        found: dict[int, Row] = {}
        wanted = sorted(set(places))
        for number in range(len(self._starts) - 1):
            start, end = self._starts[number], self._starts[number + 1]
            inside = [place for place in wanted if start <= place < end]
            if inside:
                table = pa.Table.from_batches([self._batches.read(number)]).take([p - start for p in inside])
                found.update(zip(inside, rows_from_table(table, self.model), strict=True))
        return found


class _Mapped:
    """Batches in an Arrow IPC file, which is mapped to be read."""

    def __init__(self, path: Path, model: type[BaseModel]) -> None:
        self._path = path
        self._file = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._file, arrow_schema(model))

    def append(self, batch: pa.RecordBatch) -> None:
        self._writer.write_batch(batch)

    def finish(self) -> None:
        self._writer.close()
        self._file.close()
        self._reader = pa.ipc.open_file(pa.memory_map(str(self._path)))

    def read(self, number: int) -> pa.RecordBatch:
        return self._reader.get_batch(number)

    def columns(self, number: int, names: Sequence[str]) -> pa.RecordBatch:
        return self.read(number).select(list(names))

    def close(self) -> None:
        self._reader = None


class _Sealed:
    """Batches one behind the other, each an Arrow IPC stream that is sealed under its number."""

    def __init__(self, path: Path, model: type[BaseModel], seal: Seal) -> None:
        self._path = path
        self._seal = seal
        self._schema = arrow_schema(model)
        self._ends = [0]
        self._file = path.open("w+b")

    def append(self, batch: pa.RecordBatch) -> None:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self._schema) as writer:
            writer.write_batch(batch)
        data = self._seal.seal_file("scratch", self._name(len(self._ends) - 1), sink.getvalue().to_pybytes())
        self._file.write(data)
        self._ends.append(self._ends[-1] + len(data))

    def finish(self) -> None:
        self._file.flush()

    def read(self, number: int) -> pa.RecordBatch:
        self._file.seek(self._ends[number])
        data = self._file.read(self._ends[number + 1] - self._ends[number])
        opened = self._seal.open_file("scratch", self._name(number), data)
        return pa.ipc.open_stream(pa.BufferReader(opened)).read_next_batch()

    def columns(self, number: int, names: Sequence[str]) -> pa.RecordBatch:
        batch = self.read(number).select(list(names))
        return batch.take(pa.array(np.arange(batch.num_rows)))  # a copy: a view would hold all the other columns

    def close(self) -> None:
        self._file.close()

    def _name(self, number: int) -> str:
        return f"{self._path.name}:{number}"
