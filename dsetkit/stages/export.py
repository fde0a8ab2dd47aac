"""Snapshots and labels out to the formats that training and label tools read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.errors import LossError, NotFoundError
from dsetkit.formats import registry
from dsetkit.formats.dsetkit.sealed import sealed_losses
from dsetkit.formats.export_names import named
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import LossReport
from dsetkit.formats.reading import Opened
from dsetkit.formats.writing import write_labels
from dsetkit.imaging.media import extension_of
from dsetkit.snapshots.read import Snapshot
from dsetkit.spec.arrow import Row, iter_rows, keep_annotations
from dsetkit.spec.category import Category
from dsetkit.spec.issue import Issue
from dsetkit.spec.sample import Sample
from dsetkit.spec.snapshot import License
from dsetkit.stages.labels import open_labels
from dsetkit.storage.scan import Tree


class SnapshotExport:
    """A snapshot (or a selection of one) as writers want it."""

    def __init__(self, snapshot: Snapshot, *, all_statuses: bool = False) -> None:
        self.snapshot = snapshot
        self._all = all_statuses

    @property
    def categories(self) -> tuple[Category, ...]:
        """The snapshot's categories."""
        return tuple(self.snapshot.categories)

    @property
    def info(self) -> dict[str, Any]:
        """What sources said of themselves."""
        return dict(self.snapshot.info.info)

    @property
    def licenses(self) -> tuple[License, ...]:
        """The snapshot's licences."""
        return self.snapshot.info.licenses

    def rows(self) -> Iterator[Row]:
        """Rows in key order; of annotations only the accepted ones, unless all were asked for."""
        return iter_rows(self.tables(), Sample)

    def tables(self) -> Iterator[pa.Table]:
        """The rows as tables, for writers that take them so; one manifest part at a time."""
        for table in self.snapshot.iter_tables():
            if not self._all:
                table = keep_annotations(table, _accepted)
            keys, types = table["key"].to_pylist(), table["media_type"].to_pylist()
            names = [self._name(key, media_type) for key, media_type in zip(keys, types, strict=True)]
            if names != keys:
                place = table.schema.get_field_index("key")
                table = table.set_column(place, table.schema.field(place), [pa.array(names, pa.string())])
            yield table

    def _name(self, key: str, media_type: str | None) -> str:
        """The key as it is written."""
        return _with_extension(key, media_type)

    def picture(self, row: Row) -> bytes | None:
        """The picture's bytes, found by the row's own place in its shard."""
        return self.snapshot.read_bytes(row)


def _accepted(annotations: pa.StructArray) -> npt.NDArray[np.bool_]:
    return np.asarray(pc.equal(pc.struct_field(annotations, "status"), "accepted").to_numpy(zero_copy_only=False))


def _with_extension(key: str, media_type: str | None) -> str:
    """The key as a file name whose ending tells what the bytes are now."""
    if media_type is None:
        return key
    extension = extension_of(media_type)
    ending = PurePosixPath(key).suffix.lower()
    same = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg", ".tif": ".tiff", ".dib": ".bmp"}
    return key if same.get(ending, ending) == same.get(extension, extension) else f"{key}{extension}"


class LabelsExport:
    """Labels that were read from somewhere as writers want them; pictures where they are found beside them."""

    def __init__(self, labels: LabelSet, pictures: Tree | None) -> None:
        self.labels = labels
        self.categories = tuple(labels.categories)
        self.info = dict(labels.info)
        self.licenses = tuple(labels.licenses)
        self._pictures = pictures

    def rows(self) -> Iterator[Row]:
        """Rows in key order."""
        return iter_rows([self.labels.table], Sample)

    def tables(self) -> Iterator[pa.Table]:
        """The rows as tables, for writers that take them so."""
        yield self.labels.table

    @property
    def has_pictures(self) -> bool:
        """Whether any of the pictures that the labels speak of is there."""
        there = self._pictures.entries if self._pictures is not None else {}
        return any(key in there for key in self.labels.table["key"].to_pylist())

    def picture(self, row: Row) -> bytes | None:
        """The picture's bytes, or None where it is not there."""
        if self._pictures is None or row["key"] not in self._pictures.entries:
            return None
        return self._pictures.read(row["key"])


def export_snapshot(
    snapshot: Snapshot,
    dst: str | os.PathLike[str],
    *,
    format: str,
    strict: bool = False,
    all_statuses: bool = False,
    options: Mapping[str, Any] | None = None,
    beside: Mapping[str, bytes] | None = None,
    names: str | None = None,
) -> LossReport:
    """Write a snapshot or selection in a label format, pictures beside the labels.

    ``dst`` is a folder that is absent or empty. Only accepted annotations are written, unless ``all_statuses``.
    ``beside``: further files by name, each written unless the format has one of that name. ``names``: a template for
    the names of pictures (see ``dsetkit.formats.export_names``).
    Raises ``LossError`` under ``strict`` where something would be lost, before anything is written.
    """
    sealed = sealed_losses(snapshot)
    refusals = tuple(loss for loss in sealed if loss.severity == "warning")
    if strict and refusals:
        raise LossError(
            f"writing {format} would lose labels: {'; '.join(loss.describe() for loss in refusals)}",
            losses=refusals,
            hint="Export splits that are not sealed, or let somebody export it who reads the facet.",
        )
    export = named(SnapshotExport(snapshot, all_statuses=all_statuses), registry.get(format), names)
    report = write_labels(export, os.fspath(dst), format, strict=strict, options=options, beside=beside)
    return report.model_copy(update={"losses": (*sealed, *report.losses)}) if sealed else report


def convert(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    *,
    to: str,
    source_format: str | None = None,
    strict: bool = False,
    options: Mapping[str, Any] | None = None,
    source_options: Mapping[str, Any] | None = None,
    names: str | None = None,
) -> tuple[LabelSet, LossReport]:
    """Read labels in one format and write them in another; pictures are copied where they are there,
    from a folder, an archive, label files or a URL. Where none is, the labels that are given back have an issue that
    says so. ``names``: a template for the names of pictures (see ``dsetkit.formats.export_names``). The option
    ``frame`` (see ``dsetkit.formats.frames``) is about the source, in whichever of the options it stands.

    Raises what ``read_labels`` and ``write_labels`` raise.
    """
    opened, rest = open_source(src, to, source_format, options, source_options)
    return convert_opened(opened, dst, to=to, strict=strict, options=rest, names=names)


def open_source(
    src: str | os.PathLike[str],
    to: str,
    source_format: str | None = None,
    options: Mapping[str, Any] | None = None,
    source_options: Mapping[str, Any] | None = None,
) -> tuple[Opened, dict[str, Any]]:
    """Labels that are to be written in the format ``to``, read as ``convert`` does, and the options of that."""
    writer = registry.get(to)
    options, source_options = dict(options or {}), dict(source_options or {})
    if "frame" in options and "frame" not in writer.options:
        source_options.setdefault("frame", options.pop("frame"))
    return open_labels(src, source_format, options=source_options, look=True), options


def convert_opened(
    opened: Opened,
    dst: str | os.PathLike[str],
    *,
    to: str,
    strict: bool = False,
    options: Mapping[str, Any] | None = None,
    names: str | None = None,
) -> tuple[LabelSet, LossReport]:
    """``convert`` of labels that were read already."""
    labels, source = opened.labels, opened.tree.url
    if not len(labels):
        raise NotFoundError(f"{source} holds no labels", name=source, hint="Name its format with --from.")
    there = LabelsExport(labels, opened.tree)
    report = write_labels(named(there, registry.get(to), names), os.fspath(dst), to, strict=strict, options=options)
    return labels if there.has_pictures else labels.with_issues([_no_pictures(source, len(labels))]), report


def _no_pictures(source: str, count: int) -> Issue:
    which = "the picture that the labels name is not" if count == 1 else f"none of the {count:,} pictures is"
    return Issue(
        code="picture-missing",
        severity="warning",
        message=f"labels alone were written: {which} in {source}",
        hint="Where there are pictures, name the folder that holds both.",
    )
