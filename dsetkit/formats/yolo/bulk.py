"""Many samples as YOLO label files at once: those that hold nothing but boxes, polygons and masks.

The text is what ``dsetkit.formats.yolo.write.render`` writes of such annotations, letter by letter.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.formats.annotation_columns import Floats, Ints, ranges
from dsetkit.formats.bulk.arrays import Bools
from dsetkit.formats.bulk.batch import BulkBatch
from dsetkit.formats.bulk.losses import note_losses
from dsetkit.formats.bulk.texts import is_writable, woven
from dsetkit.formats.yolo.plan import YoloPlan
from dsetkit.formats.yolo.text import SLACK

BULK_TASKS = frozenset({"any", "detect", "segment"})
"""The tasks whose lines are made here."""
BOX_AMONG_POLYGONS = "a yolo file with a polygon has polygons alone; boxes in it become polygons of four corners"
_CORNERS = ((0, 1), (2, 1), (2, 3), (0, 3))
"""Of left, top, right, bottom: the places of x and y of each corner, as ``upright_corners`` has them."""


class Written(NamedTuple):
    """What is written of a sample."""

    folder: str
    name: str
    """The file name of its picture."""
    stem: str
    lines: bytes | None
    """Its label file; none where nobody labelled it."""


class _Lines(NamedTuple):
    """The lines of all plain samples."""

    is_polygon: Bools
    starts: Ints
    """Where each line's numbers start; last, where all end."""
    values: Floats


def write_batch(batch: BulkBatch, plan: YoloPlan) -> list[Written]:
    """One each sample of a studied batch; those that are not plain any more are the caller's to write."""
    _refuse_odd(batch, plan)
    sizes = np.array([batch.column("width_px"), batch.column("height_px")], np.float64).T
    while True:
        batch.gather(polygons_stay=plan.task != "detect")
        ids = np.array([plan.ids[name] for name in batch.categories], np.int64)[batch.category]
        lines = _lines(batch, plan, sizes)
        odd = _odd_samples(batch, lines, ids)
        if not len(odd):
            break
        batch.is_plain[odd] = False
    note_losses(batch)
    batch.note("kind-changed", BOX_AMONG_POLYGONS, lines.is_polygon & ~batch.is_outline, new=True)
    numbers = woven(pa.array([" "]), np.zeros(len(lines.values), np.int64), lines.values, lines.starts)
    whole = pc.binary_join_element_wise(pc.cast(pa.array(ids), pa.string()), numbers, "\n", "")
    files = zip(
        batch.keys,
        batch.subsets,
        batch.column("media_type"),
        batch.column("labelled"),
        batch.texts_of_samples(whole),
        strict=True,
    )
    written: list[Written] = []
    for key, subsets, media_type, labelled, text in files:
        stem, name = plan.names.both(key, media_type)
        folder = plan.folders[subsets[0] if subsets else None]
        written.append(Written(folder, name, stem, None if labelled == "no" else text))
    return written


def _refuse_odd(batch: BulkBatch, plan: YoloPlan) -> None:
    batch.refuse_subsets({split for split, folder in plan.folders.items() if split is not None and split != folder})
    for name in ("width_px", "height_px"):
        known = pc.fill_null(pc.greater(batch.batch.column(name), 0), False)
        batch.refuse(~known.to_numpy(zero_copy_only=False))
    known = pc.is_in(batch.annotation("category"), pa.array(list(plan.ids), pa.string()))
    batch.refuse_annotations(~known.to_numpy(zero_copy_only=False))
    batch.refuse_annotations((batch.all_kinds == 1) & (batch.rings.lengths < 6))


def _lines(batch: BulkBatch, plan: YoloPlan, sizes: Floats) -> _Lines:
    has_polygon = np.full(batch.batch.num_rows, plan.task == "segment")
    has_polygon[batch.samples[batch.is_outline]] = True
    is_polygon = has_polygon[batch.samples]
    counts = np.where(batch.is_outline, batch.lengths, np.where(is_polygon, 8, 4))
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    values = np.empty(int(starts[-1]))
    outlined = np.flatnonzero(batch.is_outline)
    per_point = np.repeat(sizes[batch.samples[outlined]], batch.lengths[outlined] // 2, axis=0)
    values[ranges(starts[outlined], batch.lengths[outlined])] = (batch.numbers.reshape(-1, 2) / per_point).ravel()
    for which, shape in ((is_polygon & ~batch.is_outline, _corners), (~is_polygon, _centred)):
        there = np.flatnonzero(which)
        fractions = shape(batch.boxes[there], sizes[batch.samples[there]])
        values[starts[there][:, None] + np.arange(fractions.shape[1])] = fractions
    return _Lines(is_polygon, starts, values)


def _corners(boxes: Floats, sizes: Floats) -> Floats:
    sides = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    return sides[:, np.ravel(_CORNERS)] / np.tile(sizes, 4)


def _centred(boxes: Floats, sizes: Floats) -> Floats:
    return np.concatenate([(boxes[:, :2] + boxes[:, 2:] / 2) / sizes, boxes[:, 2:] / sizes], axis=1)


def _odd_samples(batch: BulkBatch, lines: _Lines, ids: Ints) -> Ints:
    """The samples of which there is more to say: a line sticks out of the picture, or may be there twice."""
    values, starts = lines.values, lines.starts
    is_odd = (values < -SLACK) | (values > 1.0 + SLACK) | ~is_writable(values)
    counts = np.diff(starts)
    odd = batch.samples[np.repeat(np.arange(len(counts)), counts)[is_odd]]
    marks = [batch.samples, ids, counts, values[starts[:-1]], values[starts[:-1] + 1], values[starts[1:] - 1]]
    order = np.lexsort(marks)
    like = np.ones(max(len(order) - 1, 0), np.bool_)
    for mark in marks:
        in_order = mark[order]
        like &= in_order[1:] == in_order[:-1]
    return np.unique(np.concatenate([odd, batch.samples[order][1:][like]]))
