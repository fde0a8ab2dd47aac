"""dsetkit: a snapshot (``snapshot.json``, ``samples/*.parquet``, ``shards/*.tar``) as a source of another project.

Definition: ``dsetkit.spec.snapshot`` and ``dsetkit.spec.sample``. Read: every row as it is, under its own key, with
its annotations, attributes, provenance, lineage, split group and declared size; its ``split`` comes first among its
``subsets``, as the project that takes it in splits anew. What was measured or says where bytes are (digests, sharpness,
shard, ...) is left out: it is found again. Categories, ``info`` and licences are the snapshot's. Pictures are read from
the shards by their place, each held against its digest. What the snapshot had turned away is not read, and told of.
A sealed one is read with the keys of the project it lies in (``with_keys``); facets that those do not open are told of.

Frame: upright, whatever EXIF a raw snapshot's pictures have. Ids are the snapshot's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, ClassVar, Self

import pyarrow as pa

from dsetkit.errors import FormatError
from dsetkit.formats.base import Capabilities, Detection, Export, Format, HeldPicture, Options
from dsetkit.formats.carry import SHAPE_FIELD, is_measured
from dsetkit.formats.dsetkit.files import (
    DOCUMENT,
    PackedPicture,
    TreeFolder,
    only_root,
    snapshot_files,
    snapshot_roots,
)
from dsetkit.formats.dsetkit.sealed import sealed_losses
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.pictures import PictureIndex
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.sealing import Keys
from dsetkit.spec.annotation import Annotation
from dsetkit.spec.arrow import arrow_schema, table_from_rows
from dsetkit.spec.category import Category
from dsetkit.spec.sample import Provenance, Sample
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_ASK = "Let somebody do it who reads the facet, or ask an admin: dsetkit access list says who."
_KEPT = frozenset({"width_px", "height_px"})
_PLACE = ("key", "digest", "shard", "offset_bytes", "size_bytes")
_SAMPLE = frozenset(Sample.model_fields) - {"key", "annotations", "subsets", "labelled", "provenance", "split"}


class Dsetkit(Format):
    """A snapshot of dsetkit."""

    name = "dsetkit"
    title = "dsetkit snapshot"
    extensions: ClassVar[frozenset[str]] = frozenset({".json", ".parquet", ".tar"})
    looks_for = "snapshot.json with samples/ and shards/ beside it"
    frame = "upright"
    sizes_known = True
    capabilities = Capabilities(
        kinds=frozenset(SHAPE_FIELD),
        annotation_fields=frozenset(Annotation.model_fields) - {"kind", "category", "attributes"},
        outside=True,
        attributes=None,
        sample_fields=frozenset(name for name in _SAMPLE if not is_measured(name) or name in _KEPT),
        provenance_fields=frozenset(Provenance.model_fields),
        category_fields=frozenset(Category.model_fields) - {"name", "index"},
        needs_category=False,
        subsets="many",
        holes=True,
        names="fixed",
        writes=False,
    )

    def __init__(self, keys: Keys | None = None) -> None:
        self._keys = keys

    def with_keys(self, keys: Keys | None) -> Self:
        """See ``Format.with_keys``."""
        return type(self)(keys)

    def detect(self, tree: Tree) -> Detection | None:
        """A document of that name, and a snapshot's folders beside it."""
        roots = snapshot_roots(tree)
        if not roots:
            return None
        more = f" and {len(roots) - 1} more" if len(roots) > 1 else ""
        return Detection(self.name, 0.99, f"found {roots[0]}{DOCUMENT}{more}, a snapshot of dsetkit")

    def label_files(self, tree: Tree) -> list[str]:
        """All files of the snapshot."""
        roots = snapshot_roots(tree)
        return sorted({path for root in roots for path in snapshot_files(tree, root)}, key=str.encode)

    def side_files(self, tree: Tree) -> list[str]:
        """All but the parts of the manifest."""
        return [path for path in self.label_files(tree) if "samples" not in path.split("/")[-2:-1]]

    def pictures(self, tree: Tree) -> list[str]:
        """None but those in shards."""
        return []

    def held(self, tree: Tree, options: Options) -> Iterable[HeldPicture]:
        """Pictures in shards; of the manifest the places are read."""
        root = only_root(tree)
        return () if root is None else _pictures(tree, root, self._keys)

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """One row a sample."""
        root = only_root(labels)
        if root is None:
            raise self.no_labels(labels)
        snapshot = open_snapshot(TreeFolder(labels, root), keys=self._keys)
        tables = [_as_source(table) for table in snapshot.iter_tables()]
        table = pa.concat_tables(tables) if tables else arrow_schema(Sample).empty_table()
        issues = IssueList()
        for loss in sealed_losses(snapshot):
            issues.add(loss.code, f"{loss.message} ({loss.count:,} samples)", severity=loss.severity, hint=_ASK)
        part = snapshot.info.rejected
        if part is not None and part.rows:
            message = f"the snapshot had turned away {part.rows:,} samples or annotations; they are not read"
            hint = f"See {part.name}, or take the raw snapshot in."
            issues.add("rejected-unread", message, severity="info", file=root + part.name, hint=hint)
        info = snapshot.info
        return LabelSet(table.combine_chunks(), info.categories, info.info, info.licenses, issues.all())

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """Not written; ``write_labels`` says so before it comes here."""
        raise NotImplementedError


def _pictures(tree: Tree, root: str, keys: Keys | None) -> Iterator[HeldPicture]:
    snapshot: Snapshot = open_snapshot(TreeFolder(tree, root), keys=keys)
    sizes = {part.name: part.size_bytes for part in snapshot.info.shards}
    for table in snapshot.iter_tables(_PLACE):
        for row in table.to_pylist():
            key, digest, shard, start, size = (row[name] for name in _PLACE)
            if digest is None or shard is None or start is None or size is None:
                continue
            name = f"shards/{shard}"
            if name not in sizes or not 0 <= start <= start + size <= sizes[name]:
                raise FormatError(
                    f"{key!r} points at bytes {start} to {start + size} of {name}, which are not there",
                    file=root + DOCUMENT,
                    hint="See what else is damaged: dsetkit verify; then fetch the snapshot again.",
                )
            read: Callable[[], bytes] = PackedPicture(tree.range_reader(root + name, start, size), digest, key)
            if snapshot.seals is not None:  # with keys, which no other process may have: this one is not pickled
                read = partial(snapshot.read_bytes, row)
            yield HeldPicture(key, root + name, read, size)


def _as_source(table: pa.Table) -> pa.Table:
    """The rows without what is found again, and with the split as the first of the subsets."""
    empty = table_from_rows([{"key": "x"}], Sample)
    nothing = pa.array([0] * table.num_rows, pa.int64())
    columns: dict[str, Any] = {name: table.column(name) for name in table.column_names}
    for name in columns:
        if is_measured(name) and name not in _KEPT:
            columns[name] = empty.column(name).take(nothing)
    splits = table.column("split").to_pylist()
    if any(split is not None for split in splits):
        given = table.column("subsets").to_pylist()
        subsets = [
            names if split is None else [split, *(name for name in names if name != split)]
            for split, names in zip(splits, given, strict=True)
        ]
        columns["subsets"] = pa.chunked_array([pa.array(subsets, table.schema.field("subsets").type)])
        columns["split"] = empty.column("split").take(nothing)
    return pa.table(list(columns.values()), schema=table.schema)
