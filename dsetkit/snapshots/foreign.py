"""Parquet files that somebody else wrote, read a row group at a time, under limits.

A small file may claim, or unfold to, more than any memory holds. So before anything of a column is decoded, its footer
and the header of each of its pages are read here: how many values, how many bytes once unpacked, in which encoding.
Texts and bytes are kept as a dictionary where the file has them so (one picture named a million times stays one), and
encodings in which few bytes stand for many (``DELTA_BYTE_ARRAY``) are refused. pyarrow is not asked what a footer says
of columns, as it may end the whole process over it (see ``footer``).

Format: ``ColumnMetaData`` and ``PageHeader`` of
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dsetkit.errors import FormatError
from dsetkit.snapshots.footer import ENDING_BYTES, LEAF, EncryptedError, Shape, footer_size, read_footer, read_struct

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
_PAGE_HEAD_BYTES = (1024, 256 * 1024)
_KNOWN_ENCODINGS = {0: "PLAIN", 2: "PLAIN_DICTIONARY", 3: "RLE", 4: "BIT_PACKED", 5: "DELTA_BINARY_PACKED"}
_KNOWN_ENCODINGS |= {6: "DELTA_LENGTH_BYTE_ARRAY", 8: "RLE_DICTIONARY", 9: "BYTE_STREAM_SPLIT"}
_HINT = "It is damaged, or not meant to be read; fetch it again, or write it anew with another tool."
_THRIFT: dict[str, int] = {"thrift_string_size_limit": 64 * 1024 * 1024, "thrift_container_size_limit": 10_000_000}

_CHUNK = Shape({3: Shape({3: LEAF, 5: LEAF, 6: LEAF, 7: LEAF, 9: LEAF, 11: LEAF}, dict)}, lambda fields: fields[3])
_GROUPS = Shape({4: Shape({1: _CHUNK, 3: LEAF}, dict)}, dict)
_VALUES = Shape({1: LEAF, 2: LEAF}, dict)
_VALUES_2 = Shape({1: LEAF, 4: LEAF}, dict)
_PAGE = Shape({1: LEAF, 2: LEAF, 3: LEAF, 5: _VALUES, 7: _VALUES, 8: _VALUES_2}, dict)


class _Chunk(NamedTuple):
    """A column in one row group."""

    path: str
    values: int
    packed_bytes: int
    start: int


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
                    _check_empty_lists(piece)
            if table.num_rows != self._rows[number]:
                raise ValueError("a row group of it does not have the rows that it states")
            return table

    def read_rows(self, number: int, columns: Sequence[str]) -> list[dict[str, Any]]:
        """As ``read_group``, as Python's values. Raises ``FormatError`` also where texts would be beyond measure."""
        table = self.read_group(number, columns)
        with self._refused():
            size = sum(_text_bytes(chunk) for column in table.columns for chunk in column.chunks)
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

    def _unpacked_bytes(self, chunk: _Chunk) -> tuple[int, bool]:
        """What the pages of a column unfold to, by their own headers, and whether one is a dictionary.

        Raises ``ValueError`` beyond the limits.
        """
        if chunk.values > MAX_VALUES:
            raise ValueError(f"the column {chunk.path} has {chunk.values:,} values, more than {MAX_VALUES:,}")
        at, end = chunk.start, chunk.start + chunk.packed_bytes
        if at < 0 or chunk.packed_bytes < 0 or end > self._size:
            raise ValueError(f"the column {chunk.path} lies outside of the file")
        limit = max(ALWAYS_BYTES, MAX_RATIO * chunk.packed_bytes)
        total = values = 0
        has_dictionary = False
        while at < end and values < chunk.values:
            page, length = self._page(at, end)
            unpacked, packed = page[2], page[3]
            about = page.get(5) or page.get(8) or page.get(7) or {}
            encoding = about.get(4 if 8 in page else 2, 0)
            count = about.get(1, 0)
            if min(unpacked, packed, count) < 0:
                raise ValueError(f"a page of the column {chunk.path} has a negative size")
            if encoding not in _KNOWN_ENCODINGS:
                raise ValueError(f"the column {chunk.path} has the encoding {encoding}, which is not read")
            has_dictionary |= 7 in page
            if 7 not in page:
                values += count
            elif count > MAX_VALUES:
                raise ValueError(f"the column {chunk.path} has a dictionary of {count:,} values")
            total += unpacked
            if total > limit:
                raise ValueError(f"the column {chunk.path} unfolds to more than {limit:,} bytes")
            at += length + packed
        if values > chunk.values:
            raise ValueError(f"the pages of the column {chunk.path} have more values than it states")
        return total, has_dictionary

    def _page(self, at: int, end: int) -> tuple[dict[int, Any], int]:
        """The header of a page, and its length."""
        for size in _PAGE_HEAD_BYTES:
            data = self._read(at, min(size, end - at))
            try:
                page, length = read_struct(data, 0, 0, _PAGE)
            except IndexError:
                if len(data) < size:
                    break
                continue
            if length <= len(data) and {2, 3} <= page.keys() and all(type(page[key]) is int for key in (2, 3)):
                return page, length
        raise ValueError("the header of a page is damaged")

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


def _chunks_of(group: Mapping[int, Any]) -> list[_Chunk]:
    chunks = []
    for about in group.get(1, ()):
        starts = [about[key] for key in (9, 11) if about.get(key)]  # 0 stands for none, too: there is the magic
        chunks.append(_Chunk(b".".join(about[3]).decode(), about[5], about[7], min(starts)))
    return chunks


def _leads_to(column: str, leaf: str) -> bool:
    return leaf == column or leaf.startswith(f"{column}.")


def _check_empty_lists(array: pa.Array) -> None:
    """Raise ``ValueError`` for an array of no lists that begins behind its values, at any depth.

    ``validate`` lets it pass, and Arrow ends the process when it is flattened.
    """
    kind = array.type
    if pa.types.is_struct(kind):
        for index in range(kind.num_fields):
            _check_empty_lists(array.field(index))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        offsets = array.buffers()[1]
        width = 8 if pa.types.is_large_list(kind) else 4
        is_there = not len(array) and offsets is not None and offsets.size >= width * (array.offset + 1)
        if is_there and array.offsets[0].as_py() > len(array.values):
            raise ValueError("a list of it leads behind its values")
        _check_empty_lists(array.values)


def _text_bytes(array: pa.Array) -> int:
    """How many bytes texts have in an array, at any depth, once each is given out for itself."""
    kind = array.type
    if pa.types.is_dictionary(kind):
        lengths = pc.binary_length(array.dictionary).take(array.indices)
        return int(pc.sum(lengths).as_py() or 0)
    if pa.types.is_struct(kind):
        return sum(_text_bytes(array.field(index)) for index in range(kind.num_fields))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _text_bytes(array.flatten())
    if pa.types.is_map(kind):
        return _text_bytes(array.keys) + _text_bytes(array.items)
    if pa.types.is_binary(kind) or pa.types.is_string(kind) or pa.types.is_large_binary(kind):
        return int(pc.sum(pc.binary_length(array)).as_py() or 0)
    return int(array.nbytes)
