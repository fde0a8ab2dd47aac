"""What plain samples lose: as ``dsetkit.formats.carry`` says it row by row, found column by column."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.formats.bulk.arrays import Bools, numpy_of
from dsetkit.formats.bulk.batch import KINDS, ROW_BY_ROW, BulkBatch
from dsetkit.formats.carry import is_bookkeeping, is_measured
from dsetkit.spec.sample import Provenance

_SHAPED = frozenset({"id", "kind", "category", "bbox_xywh_px", "polygons", "mask", *ROW_BY_ROW})
_HANDLED = frozenset({"key", "annotations", "split", "subsets", "labelled", "provenance"})


def note_losses(batch: BulkBatch) -> None:
    """Notes them, of the samples that were gathered."""
    _note_samples(batch)
    _note_annotations(batch)


def _note_samples(batch: BulkBatch) -> None:
    """As ``carry_row`` does."""
    for name in batch.batch.schema.names:
        if name not in _HANDLED | batch.capabilities.sample_fields and not is_measured(name):
            _note_sample(batch, name, batch.sample_says(name), info=is_bookkeeping(name))
    for name in Provenance.model_fields.keys() - batch.capabilities.provenance_fields:
        _note_sample(batch, f"provenance.{name}", batch.sample_says("provenance", name), info=True)


def _note_sample(batch: BulkBatch, name: str, says: Bools, *, info: bool) -> None:
    message = f"{batch.format_name} has no place for the {name} of a sample; not written"
    batch.note_samples("field-dropped", message, np.flatnonzero(says), info=info)


def _note_annotations(batch: BulkBatch) -> None:
    """As ``carry_annotation`` does, of boxes, polygons and masks without attributes."""
    fmt = batch.format_name
    for code, kind in enumerate(KINDS):
        if kind not in batch.capabilities.kinds:
            target = batch.capabilities.becomes[kind]
            message = f"{fmt} cannot say {kind}; it becomes {target}"
            batch.note("kind-changed", message, batch.kind == code)
    for name, own in (("polygons", 1), ("mask", 2)):
        _note_field(batch, name, batch.says(name)[batch.at] & (batch.kind != own))
    message = f"{fmt} has no polygons of several parts; the largest is kept"
    batch.note("polygon-parts", message, batch.is_outline & (batch.rings.parts[batch.at] > 1))
    for field in batch.annotation_fields:
        if field.name not in _SHAPED and field.name not in batch.capabilities.annotation_fields:
            _note_field(batch, field.name, batch.says(field.name)[batch.at])
    numbered = pc.cast(pa.array(batch.places), pa.string())
    message = f"{fmt} has no annotation ids; they are numbered anew from 0 in each sample"
    batch.note("id-renumbered", message, numpy_of(pc.not_equal(batch.ids, numbered)), info=True)


def _note_field(batch: BulkBatch, name: str, which: Bools) -> None:
    message = f"{batch.format_name} has no place for the {name} of an annotation; not written"
    batch.note("field-dropped", message, which, info=is_bookkeeping(name, of_annotation=True))
