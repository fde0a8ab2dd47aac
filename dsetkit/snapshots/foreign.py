"""Parquet files that somebody else wrote, read a row group at a time, under limits.

A small file may claim, or unfold to, more than any memory holds. So before anything of a column is decoded, its footer
and the header of each of its pages are read here: how many values, how many bytes once unpacked, in which encoding.
Texts and bytes are kept as a dictionary where the file has them so (one picture named a million times stays one), and
encodings in which few bytes stand for many (``DELTA_BYTE_ARRAY``) are refused. pyarrow is not asked what a footer says
of columns, as it may end the whole process over it (see ``footer``).

Format: ``ColumnMetaData`` of
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from dsetkit.errors import FormatError
from dsetkit.snapshots.footer import ENDING_BYTES, LEAF, EncryptedError, Shape, footer_size, read_footer, read_struct
from dsetkit.snapshots.pages import Place, check_empty_lists, text_bytes, unfolded

MAX_ROWS = 2_000_000
"""Rows in a file."""
MAX_GROUPS = 100_000
MAX_VALUES = 2**24
"""Values of one column in one row group."""
MAX_GROUP_BYTES = 2 * 1024**3
"""What the columns that are read of one row group unfold to."""
ALWAYS_BYTES = 64 * 1024**2
MAX_RATIO = 200
"""A column of a row group may unfold to ``ALWAYS_BYTES``, or to ``MAX_RATIO`` times its size if that is more."""
MAX_TEXT_BYTES = 256 * 1024**2
"""What texts and bytes of one row group have together when they are given out as Python's."""

_TAIL_BYTES = 64 * 1024
_HINT = "It is damaged, or not meant to be read; fetch it again, or write it anew with another tool."
_THRIFT: dict[str, int] = {"thrift_string_size_limit": 64 * 1024 * 1024, "thrift_container_size_limit": 10_000_000}

_CHUNK = Shape({3: Shape({3: LEAF, 5: LEAF, 6: LEAF, 7: LEAF, 9: LEAF, 11: LEAF}, dict)}, lambda fields: fields[3])
_GROUPS = Shape({4: Shape({1: _CHUNK, 3: LEAF}, dict)}, dict)


class ForeignParquet:
    """One file, open for reading. Threads may share it."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        """Reads the footer alone. Raises ``FormatError`` for a file that is no Parquet, encrypted or too large."""
        self._file = file
        self._name = name
        self._lock = threading.Lock()
        with self._refused():
            self._size = file.seek(0, os.SEEK_END)
            footer = self._read_footer()
            told = read_footer(footer[:-ENDING_BYTES])
            rows = [group.rows for group in told]
            self._null = [{chunk.path for chunk in group.chunks if chunk.nulls == chunk.values} for group in told]
            fields, _ = read_struct(footer, 0, 0, _GROUPS)
            self._groups = [_chunks_of(group) for group in fields.get(4, ())]
            if any(count < 0 for count in rows) or len(rows) > MAX_GROUPS or sum(rows) > MAX_ROWS:
                raise ValueError(f"it has {sum(rows):,} rows in {len(rows):,} row groups, more than {MAX_ROWS:,}")
            self._rows = tuple(rows)
            self._metadata = pq.ParquetFile(pa.BufferReader(footer), **_THRIFT).metadata
            self._schema: pa.Schema = self._open(()).schema_arrow
            if any(len(group) != len(self._leaves) for group in self._groups):
                raise ValueError("its row groups do not have all columns")

    @property
    def schema(self) -> pa.Schema:
        """Its columns, as pyarrow has them."""
        return self._schema

    @property
    def metadata(self) -> Mapping[bytes, bytes]:
        """What else the file says: ``b"huggingface"`` and the like."""
        return self._schema.metadata or {}

    @property
    def group_rows(self) -> tuple[int, ...]:
        """How many rows each row group has."""
        return self._rows

    def is_null(self, number: int, leaf: str) -> bool:
        """Whether the file says that a column holds nothing in a row group; it may lie."""
        return leaf in self._null[number]

    def read_group(self, number: int, columns: Sequence[str]) -> pa.Table:
        """Columns of one row group; a name may lead into structs by dots: ``image.bytes``.

        Texts and bytes are dictionary arrays where the file has them so, at any depth. Raises ``FormatError`` where
        there is no such column, or what it holds is damaged or too much.
        """
        with self._lock, self._refused():
            wanted = [leaf for leaf in self._leaves if any(_leads_to(column, leaf) for column in columns)]
            if len({column for column in columns for leaf in wanted if _leads_to(column, leaf)}) < len(set(columns)):
                raise ValueError(f"it has no column {', '.join(columns)}")
            total, kept = 0, []
            for chunk in self._groups[number]:
                if chunk.path in wanted:
                    size, has_dictionary = self._unpacked_bytes(chunk)
                    total += size
                    kept += [chunk.path] if has_dictionary else []
            if total > MAX_GROUP_BYTES:
                raise ValueError(f"a row group of it unfolds to {total:,} bytes, more than {MAX_GROUP_BYTES:,}")
            table = self._open(kept).read_row_group(number, columns=wanted, use_threads=False)
            table.validate(full=True)
            for column in table.columns:
                for piece in column.chunks:
                    check_empty_lists(piece)
            if table.num_rows != self._rows[number]:
                raise ValueError("a row group of it does not have the rows that it states")
            return table

    def read_rows(self, number: int, columns: Sequence[str]) -> list[dict[str, Any]]:
        """As ``read_group``, as Python's values. Raises ``FormatError`` also where texts would be beyond measure."""
        table = self.read_group(number, columns)
        with self._refused():
            size = sum(text_bytes(chunk) for column in table.columns for chunk in column.chunks)
            if size > MAX_TEXT_BYTES:
                raise ValueError(f"texts of a row group of it have {size:,} bytes, more than {MAX_TEXT_BYTES:,}")
            rows: list[dict[str, Any]] = table.to_pylist()
            return rows

    @property
    def _leaves(self) -> list[str]:
        """Paths of leaf columns."""
        schema = self._metadata.schema
        return [schema.column(index).path for index in range(len(schema))]

    def _open(self, dictionaries: Sequence[str]) -> pq.ParquetFile:
        """The file for pyarrow; texts and bytes of these columns stay as dictionaries."""
        schema = self._metadata.schema
        texts = [
            column.path
            for index in range(len(schema))
            if (column := schema.column(index)).physical_type == "BYTE_ARRAY" and column.path in dictionaries
        ]
        return pq.ParquetFile(
            pa.PythonFile(self._file, "r"),
            metadata=self._metadata,
            read_dictionary=texts or None,
            pre_buffer=False,
            page_checksum_verification=True,
            **_THRIFT,
        )

    def _read_footer(self) -> bytes:
        start = max(0, self._size - _TAIL_BYTES)
        tail = self._read(start, self._size - start)
        length = footer_size(tail[-ENDING_BYTES:]) + ENDING_BYTES
        if length > self._size:
            raise ValueError("its footer is longer than the file")
        if length > len(tail):
            tail = self._read(self._size - length, length - len(tail)) + tail
        return tail[-length:]

    def _read(self, start: int, length: int) -> bytes:
        self._file.seek(start)
        data = self._file.read(length)
        if len(data) != length:
            raise ValueError("it ends too early")
        return data

    def _unpacked_bytes(self, chunk: Place) -> tuple[int, bool]:
        """What the pages of a column unfold to, by their own headers, and whether one is a dictionary.

        Raises ``ValueError`` beyond the limits.
        """
        limit = max(ALWAYS_BYTES, MAX_RATIO * chunk.packed_bytes)
        found = unfolded(chunk, self._size, self._read, max_values=MAX_VALUES, max_bytes=limit)
        return found.size_bytes, found.dictionary_bytes is not None

    @contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except EncryptedError as error:
            hint = "Parquet's own encryption is not read; decrypt it with what encrypted it."
            raise FormatError(f"{self._name} cannot be read: {error}", file=self._name, hint=hint) from error
        except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            text = str(error).splitlines()[0][:200].rstrip(".") if str(error) else "it is damaged"
            raise FormatError(f"{self._name} cannot be read: {text}", file=self._name, hint=_HINT) from error


def _chunks_of(group: Mapping[int, Any]) -> list[Place]:
    chunks = []
    for about in group.get(1, ()):
        starts = [about[key] for key in (9, 11) if about.get(key)]  # 0 stands for none, too: there is the magic
        chunks.append(Place(b".".join(about[3]).decode(), about[5], about[7], min(starts)))
    return chunks


def _leads_to(column: str, leaf: str) -> bool:
    return leaf == column or leaf.startswith(f"{column}.")
