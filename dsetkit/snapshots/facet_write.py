"""Tables of facets, written beside the parts of a manifest: row by row, in row groups of the same size."""

from __future__ import annotations

import filecmp
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from dsetkit.snapshots.columns import checked_table
from dsetkit.snapshots.facet_document import BuiltLayer, Layer
from dsetkit.snapshots.facet_tables import FacetRow
from dsetkit.snapshots.facets import Facets
from dsetkit.snapshots.parquet_out import store_facet_table, write_table
from dsetkit.spec.arrow import Row
from dsetkit.spec.snapshot import ManifestPart, Part
from dsetkit.storage.atomic import link_or_copy
from dsetkit.storage.folder import Folder


class _Shard(NamedTuple):
    """The kept rows of one shard."""

    keys: list[str]
    tables: dict[str, pa.Table]
    """Layer → what it holds of them; of those layers that hold any column of one of them."""


class FacetTables:
    """Collects what layers hold of rows, and writes it a part at a time."""

    def __init__(self, build: Path, facets: Facets, memory: Sequence[Folder] = ()) -> None:
        """``memory``: folders with tables from before, which equal ones are linked from."""
        self.layers: dict[str, BuiltLayer] = {}
        self._build = build
        self._facets = facets
        self._memory = memory
        self._shards: list[_Shard] = []

    def add_shard(self, rows: Sequence[tuple[Row, Mapping[str, Row]]]) -> None:
        """Take the kept rows of a shard: base rows, and what each layer holds of them. Raises ``CheckError``."""
        holding: dict[str, set[str]] = {}
        for split in {row.get("split") for row, _ in rows}:
            for layer, columns in self._facets.columns_of(split).items():
                holding.setdefault(layer, set()).update(columns)
        for layer, names in holding.items():
            self.layers.setdefault(layer, BuiltLayer()).columns.update(names)
        keys = [row["key"] for row, _ in rows]
        tables = {
            layer: checked_table([{"key": row["key"], **held.get(layer, {})} for row, held in rows], FacetRow)
            for layer in holding
        }
        self._shards.append(_Shard(keys, tables))

    def close_part(self, part: ManifestPart) -> None:
        """Write the tables beside a part, of the shards that came since the last. Raises ``OSError``."""
        shards, self._shards = self._shards, []
        for layer in sorted({layer for shard in shards for layer in shard.tables}):
            table = pa.concat_tables(
                shard.tables[layer] if layer in shard.tables else _nothing(shard.keys) for shard in shards
            )
            self.layers[layer].parts[part.name] = self._store(layer, table.combine_chunks())

    def open_layers(self, names: Iterable[str]) -> list[Layer]:
        """Some layers as they were written so far, to be read."""
        return [
            Layer(name, self._facets.seal(name), tuple(self.layers[name].columns), self.layers[name].parts)
            for name in names
            if name in self.layers
        ]

    def _store(self, layer: str, table: pa.Table) -> Part:
        part = store_facet_table(self._build, layer, partial(write_table, table), self._facets.seal(layer))
        path = self._build / part.name
        for folder in self._memory:
            twin = folder.local_path(part.name)
            if twin is not None and filecmp.cmp(twin, path, shallow=False):
                link_or_copy(twin, path)
                break
        return part


def _nothing(keys: Sequence[str]) -> pa.Table:
    return checked_table([{"key": key} for key in keys], FacetRow)
