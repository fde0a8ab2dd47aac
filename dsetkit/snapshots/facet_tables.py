"""Parts of a manifest with the layers of their facets, read as if they were one file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn

import pyarrow as pa

from dsetkit.errors import SnapshotError
from dsetkit.snapshots.facet_document import Layer
from dsetkit.snapshots.facet_merge import lay_over
from dsetkit.snapshots.latest import Latest
from dsetkit.snapshots.parquet import TableFile
from dsetkit.spec.sample import Rejected, Sample
from dsetkit.spec.snapshot import Part
from dsetkit.storage.folder import Folder


class FacetRow(Sample):
    """What a layer of facets holds of one row: its key in the snapshot, and what is protected; the rest at defaults."""

    original_key: str | None = None
    """Its own key, where the one in the snapshot is a pseudonym."""


class WholeRejected(Rejected):
    """What was turned away, as those see it who read all facets."""

    original_key: str | None = None
    """Its own key, where ``key`` is a pseudonym."""


ORIGINAL = "original_key"


class FacetedFile:
    """One part with its layers; offers what readers of a ``TableFile`` use. Threads may share it.

    The files of layers are only opened for columns that they hold. Raises what ``TableFile`` does, and
    ``SnapshotError`` where a layer does not fit.
    """

    def __init__(self, base: TableFile, layers: Sequence[tuple[Layer, TableFile]], url: str) -> None:
        """``layers``: those of fewer facets first."""
        self.part = base.part
        self.base = base
        self.layers = tuple(layers)
        self._url = url

    @property
    def is_of_today(self) -> bool:
        """Whether the part has all the columns of today, and so have its layers."""
        return self.base.is_of_today and all(file.is_of_today for _, file in self.layers)

    @property
    def group_starts(self) -> list[int]:
        """As of ``TableFile``; layers have the same row groups."""
        return self.base.group_starts

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The table, or the named columns of it, in the order named."""
        table = self.base.read(columns)
        for layer, file in self.layers:
            wanted = asked_of(columns, layer.columns)
            if wanted:
                table = self._lay(table, file.read(wanted), layer)
        return table

    def read_group_of(self, row: int) -> tuple[int, pa.Table]:
        """The row group that a row is in: number of its first row, and its table."""
        start, table = self.base.read_group_of(row)
        for layer, file in self.layers:
            table = self._lay(table, self._same(file).read_group_of(row)[1], layer)
        return start, table

    def read_telling_of(self, row: int) -> tuple[int, pa.Table]:
        """As ``read_group_of``, without the columns that say nothing there."""
        if not self.layers:
            return self.base.read_telling_of(row)
        starts = self.group_starts
        number = next(index for index in range(len(starts) - 1) if starts[index] <= row < starts[index + 1])
        files = [self.base, *(self._same(file) for _, file in self.layers)]
        leaves = list(dict.fromkeys(leaf for file in files for leaf in file.telling_leaves(number)))
        found = self.base.read_leaves(number, leaves)
        for layer, file in self.layers:
            held = {path.partition(".")[0] for path in layer.columns}
            wanted = [leaf for leaf in leaves if leaf.partition(".")[0] in held]
            if wanted:
                found = self._lay(found, file.read_leaves(number, wanted), layer)
        return starts[number], found

    def read_groups(self) -> Iterator[pa.Table]:
        """The whole table, a row group at a time."""
        for start in self.group_starts[:-1]:
            yield self.read_group_of(start)[1]

    def original_keys(self) -> Iterator[tuple[str, str]]:
        """Each pseudonym of the part whose own key can be read, and that key."""
        for layer, file in self.layers:
            if ORIGINAL in layer.columns:
                table = file.read(("key", ORIGINAL))
                for key, own in zip(table["key"].to_pylist(), table[ORIGINAL].to_pylist(), strict=True):
                    if own is not None:
                        yield key, own

    def _same(self, file: TableFile) -> TableFile:
        if file.group_starts != self.group_starts:
            self._refuse(file, "it has other row groups than what it is of")
        return file

    def _lay(self, base: pa.Table, over: pa.Table, layer: Layer) -> pa.Table:
        try:
            return lay_over(base, over, layer.columns, Sample)
        except (ValueError, pa.ArrowException) as error:
            self._refuse(self.base, str(error))

    def _refuse(self, file: TableFile, what: str) -> NoReturn:
        raise SnapshotError(
            f"{file.part.name} of {self._url} cannot be read: {what[:200]}",
            path=self._url,
            hint="It is damaged or not of dsetkit's making; fetch it again (under DVC: dvc checkout).",
        )


def asked_of(columns: Sequence[str] | None, held: Iterable[str]) -> list[str]:
    """Which columns to read of a layer that holds some, where ``columns`` are asked for (None: all)."""
    found = dict.fromkeys(path for path in held if path != ORIGINAL)
    if columns is None:
        return list(found)
    wanted = dict.fromkeys(
        name if name == path or name.startswith(f"{path}.") else path
        for name in columns
        for path in found
        if name == path or name.startswith(f"{path}.") or path.startswith(f"{name}.")
    )
    return list(wanted)


def with_layers(
    folder: Folder, base: TableFile, layers: Iterable[Layer], opened: Mapping[str, Latest] = MappingProxyType({})
) -> TableFile | FacetedFile:
    """A part with those layers that have a table beside it. ``opened``: by layer, what keeps its files open."""
    beside = [
        (layer, layer_file(folder, layer.parts[base.part.name], layer, opened.get(layer.name)))
        for layer in layers
        if base.part.name in layer.parts
    ]
    return FacetedFile(base, beside, folder.url) if beside else base


def layer_file(folder: Folder, part: Part, layer: Layer, opened: Latest | None = None) -> TableFile:
    """One table of a layer."""
    return TableFile(folder, part, FacetRow, layer.seal, kind="facet-rows", opened=opened)
