"""Tables in Parquet files, read with limits, as a file may be hostile; ``parquet_out`` writes them.

Limits, taken from the footer before any data is decoded: at most ``MAX_BYTES`` of decompressed data, and at
most ``MAX_VALUES`` values in one leaf column; rows and row groups exactly as they must be; columns as they are today or
were before (``dsetkit.spec.completion``); page checksums are verified. Before a column is decoded the headers of its
pages are read (``pages``): what they unfold to must be in proportion to the file, whatever its footer says, and so must
texts that a dictionary has once and rows have often. Untrue statistics are found by ``untrue_columns``, not here. What
a footer says of columns is read by ``footer`` and never asked of pyarrow, which may end the whole process over it.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from dsetkit.errors import SnapshotError, UsageError
from dsetkit.snapshots.footer import Chunk, EncryptedError, Group
from dsetkit.snapshots.latest import Latest
from dsetkit.snapshots.pages import Place, check_empty_lists, text_bytes, unfolded
from dsetkit.snapshots.parquet_file import OpenParquet, open_parquet
from dsetkit.snapshots.sealing import FileKind, Seal
from dsetkit.snapshots.stored_bytes import StoredBytes
from dsetkit.snapshots.telling import says, telling, untruths
from dsetkit.spec.arrow import arrow_schema
from dsetkit.spec.completion import completed, misfit, select
from dsetkit.spec.sample import Rejected
from dsetkit.spec.snapshot import Part
from dsetkit.storage.folder import Folder

MAX_BYTES = 4 * 1024**3
"""Decompressed bytes in one file, as its footer states."""

MAX_VALUES = 2**27
"""Values in one leaf column of one file."""

ALWAYS_BYTES, MAX_RATIO = 256 * 1024**2, 200
"""What pages of one file unfold to, and its texts, may be so much, or so many times its size if that is more."""

ALWAYS_CELLS, MAX_CELL_RATIO = 2**27, 200
"""Values in all leaf columns of one file, and for each byte of it: where all is null, few bytes stand for many."""

MAX_GROUPS = 100_000
"""Row groups in one file."""

_ASKED_BYTES = 64 * 1024**2
"""Where all rows might have the longest text of a dictionary and come to more, they are counted first."""

_DAMAGED = "It is damaged or not of dsetkit's making; fetch it again (under DVC: dvc checkout)."
_LATER = "A later dsetkit wrote it; update this one: pip install -U dsetkit."
_ENCRYPTED = (
    "dsetkit neither writes nor reads Parquet's own encryption; fetch the file as it was written (under DVC: dvc "
    "checkout), or decrypt it with what encrypted it and build the snapshot again."
)


class TableFile:
    """One part of a snapshot, opened for reading. Threads may share it."""

    def __init__(
        self,
        folder: Folder,
        part: Part,
        model: type[BaseModel],
        seal: Seal | None = None,
        *,
        kind: FileKind | None = None,
        opened: Latest | None = None,
    ) -> None:
        """``seal`` has the keys of a sealed file, ``kind`` says what it is where that is not plain from ``model``.

        A sealed file that is open holds some of its content; with ``opened`` only those used last are kept open.
        Reading raises ``SnapshotError`` for a file that is not the part: no Parquet, another schema, too large;
        ``TamperError`` for sealed bytes that are not what was sealed, or not those that the part has the digest of
        (but for ``scratch``, which the same user wrote).
        """
        self.part = part
        self._folder = folder
        self._schema = arrow_schema(model)
        self._lock = threading.Lock()
        self._model = model
        self._seal = seal
        self._kind: FileKind = kind or ("rejected" if model is Rejected else "samples")
        self._stored = None if seal is None or kind == "scratch" else StoredBytes(folder, part)
        self._held = opened if seal is not None and opened is not None else Latest()
        self._known: set[tuple[int, str]] = set()
        self._unfolded = self._texts = 0

    @property
    def _opened(self) -> OpenParquet:
        """The file, and what its footer says of its row groups."""
        return self._held.get(self.part.name, self._open)

    def _open(self) -> OpenParquet:
        with self._refused():
            stored = None if self._stored is None else self._stored.reader()
            opened = open_parquet(self._folder, self.part, self._seal, self._kind, stored)
            self._check(opened.file.metadata, opened.groups, opened.file.schema_arrow)
            return opened

    @property
    def _file(self) -> pq.ParquetFile:
        return self._opened.file

    @property
    def _groups(self) -> tuple[Group, ...]:
        return self._opened.groups

    def _decode(self, numbers: Sequence[int] | None = None, paths: Sequence[str] | None = None) -> pa.Table:
        """These columns of these row groups (None: of all), decoded once it is known how much that is."""
        opened = self._opened
        asked = None if paths is None else {*paths}
        wanted = [
            (number, chunk)
            for number in (range(len(opened.groups)) if numbers is None else numbers)
            for chunk in opened.groups[number].chunks
            if asked is None or not asked.isdisjoint(_and_above(chunk.path))
        ]
        unknown = [(number, chunk) for number, chunk in wanted if (number, chunk.path) not in self._known]
        for _, chunk in wanted:
            if chunk.start < 0 or chunk.packed_bytes < 0 or chunk.start + chunk.packed_bytes > opened.size_bytes:
                raise ValueError(f"the column {chunk.path} lies outside of the file")
        read = unknown if opened.is_on_disk else wanted
        with opened.held.holding((chunk.start, chunk.start + chunk.packed_bytes) for _, chunk in read):
            self._look_at(opened, unknown)
            if numbers is None:
                table = opened.file.read(columns=paths, use_threads=opened.is_on_disk)
            else:
                table = opened.file.read_row_groups(numbers, columns=paths, use_threads=opened.is_on_disk)
        table.validate(full=True)
        for column in table.columns:
            for piece in column.chunks:
                check_empty_lists(piece)
        return table

    def _look_at(self, opened: OpenParquet, chunks: Sequence[tuple[int, Chunk]]) -> None:
        """Note what columns unfold to: pages by their headers, texts that stand in dictionaries by being counted."""
        limit = min(MAX_BYTES, max(ALWAYS_BYTES, MAX_RATIO * opened.size_bytes))
        repeated: list[tuple[int, str]] = []
        unfolds = self._unfolded
        for number, chunk in chunks:
            place = Place(chunk.path, chunk.values, chunk.packed_bytes, chunk.start)
            found = unfolded(place, opened.size_bytes, opened.held.read, max_values=MAX_VALUES, max_bytes=limit)
            unfolds += found.size_bytes
            if unfolds > limit:
                raise ValueError(f"its pages unfold to more than {limit:,} bytes")
            if chunk.values * (found.dictionary_bytes or 0) > _ASKED_BYTES:
                repeated.append((number, chunk.path))
        columns = opened.file.schema
        kinds = {column.path: column.physical_type for column in map(columns.column, range(len(columns)))}
        texts = self._texts
        repeated = [(number, path) for number, path in repeated if kinds[path] == "BYTE_ARRAY"]
        asking = opened.reopen(sorted({path for _, path in repeated})) if repeated else opened.file
        for number in dict.fromkeys(number for number, _ in repeated):
            paths = [path for there, path in repeated if there == number]
            table = asking.read_row_group(number, columns=paths, use_threads=False)
            table.validate(full=True)
            texts += sum(text_bytes(piece) for column in table.columns for piece in column.chunks)
            if texts > limit:
                raise ValueError(f"its texts have {texts:,} bytes, more than {limit:,}")
        self._unfolded, self._texts = unfolds, texts
        self._known.update((number, chunk.path) for number, chunk in chunks)

    @property
    def is_of_today(self) -> bool:
        """Whether it has all the columns of today, so that writing its rows again would give this very file."""
        return bool(self._columns.equals(self._schema))

    def _check(self, footer: pq.FileMetaData, groups: Sequence[Group], schema: pa.Schema) -> None:
        wrong = misfit(schema, self._model)
        if wrong is not None:
            what, is_unknown = wrong
            self._refuse(
                f"its columns are not those of {self._model.__name__} ({what})", _LATER if is_unknown else _DAMAGED
            )
        if footer.num_rows != self.part.rows:
            self._refuse(f"it has {footer.num_rows} rows, where snapshot.json says {self.part.rows}")
        if len(groups) > MAX_GROUPS:
            self._refuse(f"it has {len(groups)} row groups, more than {MAX_GROUPS:,}")
        if any(group.rows < 0 for group in groups) or sum(group.rows for group in groups) != footer.num_rows:
            self._refuse("its row groups do not add up")
        if any(len(group.chunks) != footer.num_columns for group in groups):
            self._refuse("its row groups do not have all columns")
        most = max(
            (sum(chunk.values for chunk in column) for column in zip(*(group.chunks for group in groups), strict=True)),
            default=0,
        )
        cells = sum(chunk.values for group in groups for chunk in group.chunks)
        if cells > (limit := max(ALWAYS_CELLS, MAX_CELL_RATIO * self.part.size_bytes)):
            self._refuse(f"its columns have {cells:,} values, more than {limit:,}")
        if most > MAX_VALUES:
            self._refuse(f"one of its columns has {most:,} values, more than {MAX_VALUES:,}")
        size = sum(chunk.size_bytes for group in groups for chunk in group.chunks)
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
            table = self._decode(None, paths)
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
            table = self._decode([number])
            table = completed(table, self._schema, self._model, starts[number + 1] - starts[number])
        return starts[number], table

    def read_telling_of(self, row: int) -> tuple[int, pa.Table]:
        """As ``read_group_of``, without the columns that say nothing there: what they would give is their default.

        So told by the statistics of the row group, which cost nothing to look at; most columns of most snapshots are
        such. ``rows_from_table`` gives the same rows of both, unless the statistics lie (``untrue_columns``).
        """
        starts = self.group_starts
        number = bisect.bisect_right(starts, row) - 1
        return starts[number], self.read_leaves(number, self.telling_leaves(number))

    def telling_leaves(self, number: int) -> list[str]:
        """Paths of the leaf columns that say anything in a row group, by its statistics, in file order."""
        with self._lock, self._refused():
            chunks = self._groups[number].chunks
            leaves = telling(self._columns, self._model, lambda leaf, empty: says(chunks[leaf], empty))
            return [chunks[leaf].path for leaf in leaves]

    def read_leaves(self, number: int, leaves: Sequence[str]) -> pa.Table:
        """A row group with just these leaf columns, as far as the file has them."""
        with self._lock, self._refused():
            there = {chunk.path for chunk in self._groups[number].chunks}
            return self._decode([number], [path for path in leaves if path in there])

    def untrue_columns(self) -> Iterator[tuple[str, str]]:
        """Columns whose statistics are not true of what they hold, as ``annotations.category``, and what is untrue.

        Reads everything, a row group at a time; each column is named once. Rows that are looked up, and other tools'
        queries, go by what statistics say. Raises ``SnapshotError`` for a damaged file.
        """
        known: set[str] = set()
        for number, group in enumerate(self._groups):
            with self._lock, self._refused():
                table = self._decode([number])
            for column, what in untruths(table, group.chunks):
                if column not in known:
                    known.add(column)
                    yield column, f"{what} (row group {number})"

    @cached_property
    def _columns(self) -> pa.Schema:
        """The columns of this file, which may be an earlier dsetkit's."""
        return self._file.schema_arrow

    def read_groups(self) -> Iterator[pa.Table]:
        """The whole table, a row group at a time."""
        for start in self.group_starts[:-1]:
            yield self.read_group_of(start)[1]

    @cached_property
    def group_starts(self) -> list[int]:
        """Number of the first row of each row group, and the number of rows at the end."""
        return [0, *accumulate(group.rows for group in self._groups)]

    @contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except EncryptedError as error:
            self._refuse(str(error), _ENCRYPTED)
        except (pa.ArrowException, OSError, ValueError) as error:
            text = str(error).splitlines()[0] if str(error) else type(error).__name__
            self._refuse(text[:200].rstrip("."))

    def _refuse(self, what: str, hint: str = _DAMAGED) -> None:
        raise SnapshotError(
            f"{self.part.name} of {self._folder.url} cannot be read: {what}", path=self._folder.url, hint=hint
        )


@lru_cache(1024)
def _and_above(path: str) -> tuple[str, ...]:
    """The path of a leaf column, and of all it is in."""
    steps = path.split(".")
    return tuple(".".join(steps[:count]) for count in range(1, len(steps) + 1))


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
