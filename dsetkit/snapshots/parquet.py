"""Tables in Parquet files: always written alike, and read with limits, as a file may be hostile.

Limits on reading, taken from the footer before any data is decoded: at most ``MAX_BYTES`` of decompressed data, and at
most ``MAX_VALUES`` values in one leaf column; rows and row groups exactly as they must be; columns as they are today or
were before (``dsetkit.spec.completion``); page checksums are verified. A file that lies in its footer is found by its
digest (``verify``), not here.
"""

from __future__ import annotations

import bisect
import hashlib
import io
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from dsetkit.errors import SnapshotError, UsageError
from dsetkit.snapshots.telling import telling
from dsetkit.spec.arrow import arrow_schema
from dsetkit.spec.completion import completed, misfit, select
from dsetkit.spec.snapshot import Part
from dsetkit.storage.folder import Folder

GROUP_ROWS = 4_096
"""Rows in a row group: what is decoded to look at one row."""

MAX_BYTES = 4 * 1024**3
"""Decompressed bytes in one file, as its footer states."""

MAX_VALUES = 2**27
"""Values in one leaf column of one file."""

MAX_GROUPS = 100_000
"""Row groups in one file."""

_DAMAGED = "It is damaged or not of dsetkit's making; fetch it again (under DVC: dvc checkout)."
_LATER = "A later dsetkit wrote it; update this one: pip install -U dsetkit."

_OPTIONS: dict[str, Any] = {
    "version": "2.6",
    "data_page_version": "1.0",
    "compression": "zstd",
    "compression_level": 3,
    "use_dictionary": True,
    "dictionary_pagesize_limit": 1024 * 1024,
    "data_page_size": 1024 * 1024,
    "write_batch_size": 1024,
    "write_statistics": True,
    "write_page_index": False,
    "write_page_checksum": True,
    "use_compliant_nested_type": True,
    "store_schema": True,
}


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table, its chunks combined, by one call; on disk (fsync) when this returns."""
    with path.open("xb") as file:
        pq.write_table(table.combine_chunks(), file, row_group_size=GROUP_ROWS, **_OPTIONS)
        file.flush()
        os.fsync(file.fileno())


def write_scratch(table: pa.Table, path: Path) -> None:
    """Write a table for this build alone: quickly, and not waiting for the disk."""
    pq.write_table(table, path, compression="none", use_dictionary=False, write_statistics=False)


def write_tables(tables: Iterator[pa.Table], path: Path, model: type[BaseModel]) -> int:
    """Write tables one after the other into one file, as ``write_table`` would write them all; the rows written.

    Each but the last must have a multiple of ``GROUP_ROWS`` rows.
    """
    rows = 0
    with path.open("xb") as file:
        with pq.ParquetWriter(file, arrow_schema(model), **_OPTIONS) as writer:
            for table in tables:
                rows += table.num_rows
                writer.write_table(table.combine_chunks(), row_group_size=GROUP_ROWS)
        file.flush()
        os.fsync(file.fileno())
    return rows


def hash_file(path: Path) -> tuple[str, int]:
    """SHA-256, in hex, and size in bytes of a file, read by the mebibyte. Raises ``OSError``."""
    state = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while block := file.read(1024 * 1024):
            state.update(block)
            size += len(block)
    return state.hexdigest(), size


class TableFile:
    """One part of a snapshot, opened for reading. Threads may share it."""

    def __init__(self, folder: Folder, part: Part, model: type[BaseModel]) -> None:
        """Raises ``SnapshotError`` for a file that is not the part: no Parquet, another schema, too large."""
        self.part = part
        self._folder = folder
        self._schema = arrow_schema(model)
        self._lock = threading.Lock()
        self._model = model

    @cached_property
    def _file(self) -> pq.ParquetFile:
        part = self.part
        with self._refused():
            path = self._folder.local_path(part.name)
            source = pa.PythonFile(_RangeFile(self._folder, part), "r") if path is None else str(path)
            file = pq.ParquetFile(
                source,
                pre_buffer=path is None,
                thrift_string_size_limit=64 * 1024 * 1024,
                thrift_container_size_limit=10_000_000,
                page_checksum_verification=True,
            )
            self._check(file.metadata, file.schema_arrow)
            return file

    @staticmethod
    def count_rows(path: Path) -> int:
        """The rows a file's footer states. Raises ``OSError`` or ``ValueError`` for a file that is no Parquet."""
        return int(pq.read_metadata(path).num_rows)

    @property
    def is_of_today(self) -> bool:
        """Whether it has all the columns of today, so that writing its rows again would give this very file."""
        return bool(self._columns.equals(self._schema))

    def _check(self, footer: pq.FileMetaData, schema: pa.Schema) -> None:
        wrong = misfit(schema, self._model)
        if wrong is not None:
            what, is_unknown = wrong
            self._refuse(
                f"its columns are not those of {self._model.__name__} ({what})", _LATER if is_unknown else _DAMAGED
            )
        if footer.num_rows != self.part.rows:
            self._refuse(f"it has {footer.num_rows} rows, where snapshot.json says {self.part.rows}")
        if footer.num_row_groups > MAX_GROUPS:
            self._refuse(f"it has {footer.num_row_groups} row groups, more than {MAX_GROUPS:,}")
        groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
        if any(group.num_rows < 0 for group in groups) or sum(group.num_rows for group in groups) != footer.num_rows:
            self._refuse("its row groups do not add up")
        size = 0
        for number in range(footer.num_columns):
            values = 0
            for group in groups:
                column = group.column(number)
                size += max(0, column.total_uncompressed_size)
                values += max(0, column.num_values)
            if values > MAX_VALUES:
                self._refuse(f"one of its columns has {values:,} values, more than {MAX_VALUES:,}")
        if size > MAX_BYTES:
            self._refuse(f"it would be {size:,} bytes when decompressed, more than {MAX_BYTES:,}")

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The table, or the named columns of it, in the order named.

        A name may lead into nested columns by dots: ``annotations.category`` gives ``annotations`` with nothing but
        the categories in it. Raises ``SnapshotError`` for a damaged file, ``UsageError`` for an unknown column.
        """
        paths = None if columns is None else [column_path(name, self._schema) for name in columns]
        wanted = self._schema if columns is None else select(self._schema, columns)
        with self._lock, self._refused():
            if paths is not None and not self.is_of_today:
                paths = list(dict.fromkeys(path for name in columns or () for path in self._paths_here(name)))
            table = self._file.read(columns=paths)
            table.validate(full=True)
            return completed(table, wanted, self._model, self.part.rows)

    def _paths_here(self, name: str) -> list[str]:
        """What to read for a column of today: itself, else what holds it, else nothing."""
        there = self._columns
        for known in (name, name.partition(".")[0]):
            try:
                return [column_path(known, there)]
            except UsageError:
                continue
        return []

    def read_group_of(self, row: int) -> tuple[int, pa.Table]:
        """The row group that a row of the part is in: number of its first row, and its table."""
        starts = self.group_starts
        number = next(index for index in range(len(starts) - 1) if starts[index] <= row < starts[index + 1])
        with self._lock, self._refused():
            table = self._file.read_row_group(number)
            table.validate(full=True)
            table = completed(table, self._schema, self._model, starts[number + 1] - starts[number])
        return starts[number], table

    def read_telling_of(self, row: int) -> tuple[int, pa.Table]:
        """As ``read_group_of``, without the columns that say nothing there: what they would give is their default.

        So told by the statistics of the row group, which cost nothing to look at; most columns of most snapshots are
        such. ``rows_from_table`` gives the same rows of both.
        """
        starts = self.group_starts
        number = bisect.bisect_right(starts, row) - 1
        with self._lock, self._refused():
            group = self._file.metadata.row_group(number)
            leaves = telling(self._columns, self._model, lambda leaf, empty: _says(group.column(leaf), empty))
            table = self._file.read_row_group(number, columns=[group.column(leaf).path_in_schema for leaf in leaves])
            table.validate(full=True)
        return starts[number], table

    @cached_property
    def _columns(self) -> pa.Schema:
        """The columns of this file, which may be an earlier dsetkit's."""
        return self._file.schema_arrow

    def read_groups(self) -> Iterator[pa.Table]:
        """The whole table, a row group (at most ``GROUP_ROWS`` rows) at a time."""
        for start in self.group_starts[:-1]:
            yield self.read_group_of(start)[1]

    @cached_property
    def group_starts(self) -> list[int]:
        """Number of the first row of each row group, and the number of rows at the end."""
        footer = self._file.metadata
        return [0, *accumulate(footer.row_group(number).num_rows for number in range(footer.num_row_groups))]

    @contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, ValueError) as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            self._refuse(text[:200].rstrip("."))

    def _refuse(self, what: str, hint: str = _DAMAGED) -> None:
        raise SnapshotError(
            f"{self.part.name} of {self._folder.url} cannot be read: {what}", path=self._folder.url, hint=hint
        )


def _says(column: Any, default: Any) -> bool:
    """Whether a column chunk may hold anything but nulls and the default (as Parquet has it; None for none)."""
    statistics = column.statistics
    if statistics is None or not statistics.has_null_count:
        return True
    if statistics.null_count == column.num_values:
        return False
    if default is None or isinstance(default, float) or not statistics.has_min_max:  # a NaN is in no minimum
        return True
    return bool(statistics.min != default or statistics.max != default)


def column_path(name: str, schema: pa.Schema) -> str:
    """A column's path in Parquet: ``annotations.category`` → ``annotations.list.element.category``.

    Raises ``UsageError`` for a column that is not there.
    """
    path: list[str] = []
    kind: pa.DataType = pa.struct(list(schema))
    for step in name.split("."):
        while pa.types.is_list(kind):
            path += ["list", "element"]
            kind = kind.value_type
        place = kind.get_field_index(step) if pa.types.is_struct(kind) else -1
        if place < 0:
            raise UsageError(f"no column {name!r}", hint=f"Columns are: {', '.join(schema.names)}.")
        path.append(step)
        kind = kind.field(place).type
    return ".".join(path)


class _RangeFile(io.RawIOBase):
    """A file in a folder, read by ranges."""

    def __init__(self, folder: Folder, part: Part) -> None:
        self._folder = folder
        self._part = part
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._part.size_bytes}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        count = max(0, min(len(buffer), self._part.size_bytes - self._position))
        if count:
            buffer[:count] = self._folder.read_range(self._part.name, self._position, count)
            self._position += count
        return count
