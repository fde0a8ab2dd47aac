"""Open a snapshot and read it: samples by key and by number, columns, picture bytes, selections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from dsetkit.errors import AccessError, NotFoundError, UsageError
from dsetkit.imaging.decode import MAX_PIXELS, open_picture
from dsetkit.snapshots.facet_document import OpenFacets
from dsetkit.snapshots.facets import covers, has_labels, protected
from dsetkit.snapshots.fingerprint import fingerprint
from dsetkit.snapshots.html import SamplePicture, snapshot_html
from dsetkit.snapshots.lookup import find_key
from dsetkit.snapshots.opening import absent, check_files, read_snapshot
from dsetkit.snapshots.parquet import TableFile
from dsetkit.snapshots.sealing import Keys, Seal
from dsetkit.snapshots.selection import Conditions, Rows, lowest
from dsetkit.snapshots.shards import Shards
from dsetkit.snapshots.store import PLACE, Store
from dsetkit.spec.arrow import Row, arrow_schema, rows_from_table
from dsetkit.spec.category import Category
from dsetkit.spec.html import set_pictures
from dsetkit.spec.sample import Sample
from dsetkit.spec.sealed import Seals
from dsetkit.spec.snapshot import Part, SealedColumns, SnapshotInfo
from dsetkit.storage.folder import Folder, open_folder

Exporter = Callable[..., Any]
"""Called with the snapshot or selection, the destination, ``format=`` and options; gives the loss report."""


def open_snapshot(
    place: str | PathLike[str] | Folder,
    *,
    keys: Keys | None = None,
    export: Exporter | None = None,
    check: bool = True,
    facets: bool = True,
) -> Snapshot:
    """The snapshot at a path, any fsspec URL, or in a folder that is open already.

    ``keys`` open a sealed one, and are asked whether it may stand there. ``export`` is what ``Snapshot.export`` calls.
    ``check`` looks whether each file is there and has its size; without it (for ``verify``) a missing file shows when
    it is read. Without ``facets`` it is opened as for somebody who reads none of them, whatever ``keys`` could read.

    Raises ``SnapshotError`` for a place that holds no
    snapshot, one of an unknown format or with a document that is not one, one with missing or cut-off files, and one
    whose file names lead elsewhere; ``AccessError`` for a sealed one that these keys do not open, ``TamperError`` for
    one that is not what was sealed; ``UsageError``, ``StorageError`` or ``MissingExtraError`` for the place itself.
    """
    if isinstance(place, str | PathLike):
        try:
            folder = open_folder(place if isinstance(place, str) else Path(place))
        except NotFoundError as error:
            raise absent(str(place)) from error
    else:
        folder = place
    opened = read_snapshot(folder, keys, facets=facets)
    if check:
        check_files(folder, opened)
    if opened.seals is not None and keys is not None:
        keys.opened(opened.seals)
    return Snapshot(Store(folder, opened), export=export)


class Snapshot:
    """One snapshot, open for reading; a ``Selection`` of it offers the same.

    Rows are in key order (UTF-8 bytes of the key). Nothing but ``snapshot.json`` is read until it is asked for, and
    what is asked for is read by part and by column; only ``table`` holds everything. Threads may share it.
    """

    def __init__(self, store: Store, *, export: Exporter | None = None, rows: Rows | None = None) -> None:
        """Use ``open_snapshot``. ``rows``: places in key order, ascending, of a selection; None for all."""
        self._store = store
        self._export = export
        self._rows = rows

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.info.name!r} of {len(self)} samples at {self.folder.url}>"

    @property
    def info(self) -> SnapshotInfo:
        """The document ``snapshot.json``; of a selection the whole snapshot's. Where facets are hidden, the base's."""
        return self._store.info

    @property
    def categories(self) -> tuple[Category, ...]:
        """In order; of a selection the whole snapshot's."""
        return self.info.categories

    @property
    def folder(self) -> Folder:
        """Its files."""
        return self._store.folder

    @property
    def seals(self) -> Seals | None:
        """The envelope of a sealed snapshot; None for a plain one."""
        return self._store.seals

    @property
    def seal(self) -> Seal | None:
        """The keys of a sealed snapshot; None for a plain one."""
        return self._store.seal

    @property
    def hidden(self) -> tuple[SealedColumns, ...]:
        """The facets that were not opened: their columns are at their defaults here."""
        return self._store.facets.hidden

    @property
    def facets(self) -> OpenFacets:
        """The facets that were opened, and their keys."""
        return self._store.facets

    @property
    def whole(self) -> Snapshot:
        """The snapshot that this is a selection of; itself where it is none."""
        return self if self._rows is None else Snapshot(self._store, export=self._export)

    @property
    def base(self) -> Snapshot:
        """The same as those see it who read none of its facets; itself where it has none."""
        return self.without(facet.name for facet in self._store.opened.info.facets)

    def without(self, names: Iterable[str]) -> Snapshot:
        """The same as those see it who do not read some facets; of those that are not read here none can be added.

        Names of facets that it does not have say nothing.
        """
        opened, lacking = self._store.opened, {*names, *(facet.name for facet in self.hidden)}
        hidden = tuple(facet for facet in opened.info.facets if facet.name in lacking)
        if len(hidden) == len(self.hidden):
            return self
        layers = tuple(layer for layer in self.facets.layers if lacking.isdisjoint(layer.name.split("+")))
        store = Store(self.folder, opened._replace(facets=OpenFacets(hidden=hidden, layers=layers)))
        return type(self)(store, export=self._export, rows=self._rows)

    @property
    def shards(self) -> Shards:
        """Its pictures by place, for who knows the places: plain ones are given as they stand there, unchecked."""
        return self._store.shards

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of what it means: of its row digests in key order and the categories."""
        return self.info.fingerprint

    def __len__(self) -> int:
        return len(self._store) if self._rows is None else len(self._rows)

    def __iter__(self) -> Iterator[Sample]:
        for table in self.iter_tables():
            for batch in table.to_batches(max_chunksize=256):
                for row in self._rows_of(pa.Table.from_batches([batch])):
                    yield self._sample(row)

    def __getitem__(self, which: int | str) -> Sample:
        """A sample by its number in key order (negative: from the end) or by its key.

        Raises ``IndexError`` for a number, ``NotFoundError`` for a key that is not there, ``SnapshotError``.
        """
        return self._sample(self.row(which))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._find(key) is not None

    def row(self, which: int | str) -> Row:
        """As ``snapshot[which]``, but the sparse row."""
        return self._store.row(self._place(which))

    def rows(self, start: int, stop: int) -> list[Row]:
        """The sparse rows from number ``start`` to before ``stop``; many at once cost far less than one by one."""
        if self._rows is None:
            return self._store.rows(start, stop)
        return self._store.rows_at(self._rows[start:stop].tolist())

    def rows_at(self, numbers: Sequence[int]) -> list[Row]:
        """The sparse rows of these numbers, in this order; each row group they are in is read once.

        Raises ``IndexError`` for a number there is not (none counts from the end), ``SnapshotError``.
        """
        if any(not 0 <= number < len(self) for number in numbers):
            raise IndexError(f"a sample that is none of {len(self)}")
        return self._store.rows_at(numbers if self._rows is None else self._rows[list(numbers)].tolist())

    @cached_property
    def table(self) -> pa.Table:
        """All of it, in key order. Holds everything in memory."""
        tables = list(self.iter_tables())
        return pa.concat_tables(tables) if tables else arrow_schema(Sample).empty_table()

    def iter_tables(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Tables in key order, at most about one manifest part each; with ``columns`` just those, in that order.

        A column may lead into nested ones: ``annotations.category``. Raises ``UsageError`` for one there is not.
        """
        if self._rows is None:
            yield from self._store.tables(columns)
            return
        start = 0
        for table in self._store.tables(columns):
            low, high = np.searchsorted(self._rows, (start, start + table.num_rows))
            if low < high:
                yield table.take(pa.array(self._rows[low:high] - start))
            start += table.num_rows

    def column(self, names: Sequence[str] | str) -> pa.Table:
        """A table of just these columns, all rows in key order. Raises ``UsageError`` for a column there is not."""
        columns = (names,) if isinstance(names, str) else tuple(names)
        tables = list(self.iter_tables(columns))
        if tables:
            return pa.concat_tables(tables)
        return self._store.empty(columns)

    @property
    def rejected(self) -> pa.Table:
        """What was turned away and why (``dsetkit.spec.sample.Rejected``); of a selection the whole snapshot's."""
        return self._store.rejected()

    def read_rejected(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of ``rejected``. Raises ``UsageError`` for a column there is not."""
        return self._store.rejected(columns)

    @property
    def rejected_file(self) -> TableFile | None:
        """The table of what was turned away, to be read by the row group; None where there is none."""
        return self._store.rejected_file()

    def original_key(self, key: str) -> str:
        """The key that a sample had before a facet gave it a pseudonym; ``key`` itself where it has none.

        Raises ``AccessError`` where a facet that is not read here may hide it.
        """
        found = self._store.original_key(key)
        if found is None and self._find(key) is None:
            found = self.rejected_keys().get(key)
        if found is not None:
            return found
        hiding = self.key_apart(key)
        if hiding:
            raise AccessError(
                f"the own key of {key} is sealed in {', '.join(hiding)}", subject=hiding[0], hint="Ask an admin."
            )
        return key

    def key_apart(self, key: str) -> tuple[str, ...]:
        """The facets not read here that may hide the own key of a sample; none where it is not here."""
        hiding = [facet for facet in self.hidden if facet.hides_keys]
        if not hiding or self._find(key) is None:
            return ()
        split = self._split(key)
        return tuple(facet.name for facet in hiding if covers(facet, split))

    def own_key(self, key: str) -> str:
        """As ``original_key``, but ``key`` itself where its own cannot be read."""
        return key if self.key_apart(key) else self.original_key(key)

    def original_keys(self) -> dict[str, str]:
        """Each pseudonym whose own key can be read here, and that key; of a selection the whole snapshot's."""
        return dict(self._store.original_keys())

    def rejected_keys(self) -> dict[str, str]:
        """As ``original_keys``, of what was turned away: for who reads all facets."""
        return dict(self._store.rejected_keys())

    def own_keys(self) -> dict[str, str]:
        """``rejected_keys`` and ``original_keys``: what pseudonyms stand for, as far as it can be read here."""
        return {**self.rejected_keys(), **self.original_keys()}

    def shown_key(self, key: str) -> str:
        """The key that the sample with this own key has here: its pseudonym, where it has one that can be read.

        Of what was turned away, too.
        """
        known = chain(self._store.original_keys(), self._store.rejected_keys())
        return next((shown for shown, own in known if own == key), key)

    def labels_apart(self, split: str | None) -> tuple[str, ...]:
        """The facets not read here that keep labels of rows of a split apart: these say ``labelled`` is ``no``."""
        return tuple(facet.name for facet in self.hidden if covers(facet, split) and "labelled" in protected(facet))

    @property
    def rejected_apart(self) -> tuple[str, ...]:
        """The facets not read here that may keep apart what was turned away, and why."""
        return tuple(facet.name for facet in self.hidden if has_labels(facet))

    def find_key(self, text: str) -> str:
        """The key that is ``text``, else the only one that ends in ``/<text>``, or in the rest of it within its source.

        So ``pets/cat.jpg`` and ``cat.jpg`` both find ``pets/images/cat.jpg``. Where a facet gave samples pseudonyms,
        their own keys find those as well, if they can be read.

        Raises ``NotFoundError`` where there is none (its hint names near ones) or more than one.
        """
        if self._find(text) is not None:
            return text
        shown = {own: key for key, own in self._store.original_keys() if self._find(key) is not None}
        if text in shown:
            return shown[text]
        keys = (key for table in self.iter_tables(("key",)) for key in table["key"].to_pylist())
        found = find_key(chain(keys, shown), text, self.info.name)
        return shown.get(found, found)

    def read_bytes(self, which: str | Mapping[str, Any] | Sample) -> bytes:
        """A sample's picture bytes, by its key, its row or the sample: one ranged read, checked against the digest.

        Raises ``NotFoundError`` for a key that is not there, ``SnapshotError`` for a sample without bytes or with
        damaged ones, ``StorageError``.
        """
        if isinstance(which, str):
            return self._store.read_bytes(self._store.place(self._place(which)))
        if isinstance(which, Sample):
            return self._store.read_bytes(which.model_dump(include=set(PLACE)))
        return self._store.read_bytes({name: which.get(name) for name in PLACE})

    def image(self, which: int | str, *, max_pixels: int = MAX_PIXELS) -> Any:
        """A sample's picture, upright, a ``PIL.Image.Image``, by its number or key.

        Raises ``PictureError``, and what ``read_bytes`` does.
        """
        return open_picture(self._store.read_bytes(self._store.place(self._place(which))), max_pixels)

    def where(self, **conditions: Any) -> Selection:
        """The samples that meet all conditions; a list of values means any of them.

        ``split=``, ``split_group=`` (None: none is set), ``labelled=`` (no, partial, yes), ``source=``, ``subset=``
        (any of its subsets is that), ``category=`` (any annotation has it, of whatever status), ``key=`` (a glob,
        case counts; ``*`` goes over ``/``). Raises ``UsageError`` for other names, for values that cannot be, and for a
        split, split group, source, subset or category that the whole snapshot does not have (a category that it lists
        and no annotation has gives nothing); ``key=`` may meet nothing.
        """
        asked = Conditions(conditions)
        asked.check_stated(self.info)
        places: list[Rows] = []
        start = 0
        for table in self.iter_tables(asked.columns):
            places.append(np.flatnonzero(asked.mask(table)) + start)
            start += table.num_rows
        if asked.has_unseen and self._rows is not None:
            for table in self._store.tables(asked.columns):
                asked.look_at(table)
        asked.check_seen(self.info)
        return self._select(np.concatenate([np.zeros(0, np.int64), *places]))

    def take(self, n: int, seed: int = 0) -> Selection:
        """``n`` samples (all, where there are fewer): those with the lowest SHA-256 of the text ``<seed>:<key>``.

        So the same samples everywhere, most of which stay when others come or go. Raises ``UsageError`` below 0.
        """
        if n < 0:
            raise UsageError(f"take({n}) cannot mean anything", hint="Take 0 or more samples.")
        keys = (key for table in self.iter_tables(("key",)) for key in table["key"].to_pylist())
        return self._select(lowest(keys, n, seed))

    def at(self, numbers: Rows) -> Selection:
        """The samples of these numbers, which must be ascending and each there once."""
        return self._select(numbers)

    def export(self, dst: str | Path, format: str, **options: Any) -> Any:
        """Write it to ``dst`` in a label format; gives the loss report. Raises what the format raises."""
        if self._export is None:
            raise UsageError("this snapshot was opened without formats", hint="Open it by dsetkit.open().")
        return self._export(self, dst, format=format, **options)

    def iter_shard_members(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each shard's file name and its members' names in order, as they lie there; one part at a time."""
        return self._store.iter_shard_members()

    def iter_shard_rows(self) -> Iterator[tuple[Part, pa.Table]]:
        """Each part, and the rows of each whole shard in it, in the order of the manifest.

        Left out are shards with pictures of rejected rows, and parts with the columns of an earlier dsetkit.
        """
        return self._store.iter_shard_rows()

    def shard_members(self) -> dict[str, tuple[str, ...]]:
        """``iter_shard_members``, all in memory."""
        return dict(self.iter_shard_members())

    def _select(self, places: Rows) -> Selection:
        rows = places if self._rows is None else self._rows[places]
        return Selection(self._store, export=self._export, rows=rows)

    def _place(self, which: int | str) -> int:
        """The place in the whole snapshot."""
        if isinstance(which, str):
            found = self._find(which)
            return self._place(self.find_key(which)) if found is None else found
        place = which + len(self) if which < 0 else which
        if not 0 <= place < len(self):
            raise IndexError(f"sample {which} of {len(self)}")
        return place if self._rows is None else int(self._rows[place])

    def _find(self, key: str) -> int | None:
        found = self._store.find(key)
        if found is None or self._rows is None:
            return found
        at = int(np.searchsorted(self._rows, found))
        return found if at < len(self._rows) and self._rows[at] == found else None

    def _split(self, key: str) -> str | None:
        split: str | None = self.row(key).get("split")
        return split

    def _rows_of(self, table: pa.Table) -> list[Row]:
        try:
            return rows_from_table(table, Sample)
        except ValueError as error:
            raise self._store.damaged(f"a row cannot be read ({error})") from error

    def _sample(self, row: Row) -> Sample:
        try:
            sample = Sample.model_validate(row)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise self._store.damaged(f"{row.get('key')!r} is no sample ({where}: {first['msg']})") from error
        set_pictures(sample, self._view)
        return sample

    @cached_property
    def _view(self) -> SamplePicture:
        """What shows the pictures of samples; a store of its own, so that a sample that is kept keeps no tables."""
        return SamplePicture(self._store.again())

    def _repr_html_(self) -> str:
        """For a notebook: what is in it, and its first samples with their pictures."""
        return snapshot_html(self)


class Selection(Snapshot):
    """Some samples of a snapshot, with all a snapshot offers; ``table``, numbers and ``len`` are of these samples."""

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of what it means; that of the snapshot where everything is selected."""
        digests = (digest for table in self.iter_tables(("row_digest",)) for digest in table["row_digest"].to_pylist())
        return fingerprint(digests, self.categories)
