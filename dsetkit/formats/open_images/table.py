"""Open Images' tables, read block by block: of gigabytes only what is asked for is ever in memory."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from dsetkit.errors import FormatError
from dsetkit.formats.issues import IssueList
from dsetkit.storage.tree import Tree

MAX_BYTES = 16 * 1024**3
"""A larger table is refused unread; the largest that was published has 2.3 GB."""
BLOCK_BYTES = 4 * 1024 * 1024
"""How much is parsed at a time; no record can be longer."""
_NUMBER = r"^[+-]?(\d{1,20}\.?\d{0,40}|\.\d{1,40})([eE][+-]?\d{1,3})?$"

Floats = npt.NDArray[np.float64]


class Block(NamedTuple):
    """Some records of a table, one after another."""

    first: int
    """The number of the first record, from 1, the header not counted."""
    columns: dict[str, pa.Array]
    """Texts by column; of a column that is not there, none."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def texts(self, name: str) -> list[str] | None:
        """A column as texts; None where there is no such column."""
        column = self.columns.get(name)
        return None if column is None else column.to_pylist()

    def numbers(self, name: str) -> Floats:
        """A column as numbers: NaN where a cell is no finite number; all of them where there is no such column."""
        column = self.columns.get(name)
        if column is None:
            return np.full(len(self), np.nan)
        text = pc.utf8_trim_whitespace(column)
        good = pc.match_substring_regex(text, _NUMBER)
        if not pc.all(good, min_count=0).as_py():
            text = pc.if_else(good, text, pa.scalar(None, pa.string()))
        values = pc.cast(text, pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
        return np.where(np.isfinite(values), values, np.nan)


def blocks(
    tree: Tree, path: str, columns: Sequence[str] | None, wanted: Sequence[str], issues: IssueList
) -> Iterator[Block]:
    """The records of a table; records with another number of cells than it has columns are left out, with an issue.

    ``columns`` are those of its header, None where it has none: then all are ``wanted``, in order. Raises
    ``FormatError`` for a file that is too large, no UTF-8 text, or no CSV.
    """
    if tree.entries[path].size_bytes > MAX_BYTES:
        raise FormatError(
            f"{path} has more than {MAX_BYTES:,} bytes", file=path, hint="Split the table into smaller ones."
        )
    if tree.entries[path].size_bytes == 0:
        return

    def odd(row: csv.InvalidRow) -> str:
        message = f"a record has {row.actual_columns} cells, not {row.expected_columns}; it was left out"
        hint = "Put cells that hold a comma in quotes."
        place = f"record {row.number - 1}" if row.number and columns else None
        issues.add("row-malformed", message, file=path, place=place, hint=hint)
        return "skip"

    names = list(wanted) if columns is None else list(columns)
    asked = [name for name in names if name in wanted]
    first = 1
    stream = _Chunks(tree, path)
    try:
        # Columns by number, so that a header with the same name twice is no trouble: the first of them counts.
        numbered = [str(number) for number in range(len(names))]
        picked = {name: str(names.index(name)) for name in dict.fromkeys(asked)}
        reader = csv.open_csv(
            pa.PythonFile(stream, mode="r"),
            read_options=csv.ReadOptions(
                block_size=BLOCK_BYTES, column_names=numbered, skip_rows=0 if columns is None else 1, use_threads=False
            ),
            parse_options=csv.ParseOptions(newlines_in_values=True, invalid_row_handler=odd),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(picked.values(), pa.string()),
                include_columns=list(picked.values()),
                strings_can_be_null=False,
            ),
        )
        for batch in reader:
            made = Block(first, {name: batch.column(number) for name, number in picked.items()})
            first += len(made)
            yield made
    except pa.ArrowInvalid as error:
        said = str(error)
        if stream.broken_at is not None:
            raise _no_utf8(path, stream.broken_at) from None
        if said.startswith("Empty CSV"):
            return
        reason = said.partition(". ")[0].partition("\n")[0][:200]
        raise FormatError(
            f"{path} is no proper CSV from record {first} on ({reason})",
            file=path,
            place=f"record {first}",
            hint="Look for a quote that is not closed there, or get the file again.",
        ) from None
    if stream.broken_at is not None:
        raise _no_utf8(path, stream.broken_at)


def _no_utf8(path: str, at: int) -> FormatError:
    message = f"{path} is not UTF-8 text (byte {at})"
    return FormatError(message, file=path, place=f"byte {at}", hint="Save it as UTF-8.")


class _Chunks(io.RawIOBase):
    """A file of a tree as a stream, which ends where it is no UTF-8: ``broken_at`` is the byte that does not fit.

    The parser would hand such bytes to Python, which cannot take them.
    """

    def __init__(self, tree: Tree, path: str) -> None:
        self.broken_at: int | None = None
        self._chunks = tree.chunks(path)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._seen = 0
        self._rest = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while not self._rest:
            chunk = next(self._chunks, None) if self.broken_at is None else None
            if chunk is None:
                return b""
            self._rest = self._checked(chunk)
        if size is None or size < 0:
            data = self._rest + b"".join(map(self._checked, self._chunks))
            self._rest = b""
            return data
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def _checked(self, chunk: bytes) -> bytes:
        held = len(self._decoder.getstate()[0])
        try:
            self._decoder.decode(chunk)
        except UnicodeDecodeError as error:
            self.broken_at = self._seen + error.start - held
            chunk = chunk[: max(0, error.start - held)]
        self._seen += len(chunk)
        return chunk
