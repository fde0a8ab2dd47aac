"""Many samples as VOC XML at once: those that hold nothing but boxes, polygons and masks without attributes.

The text is what ``dsetkit.formats.voc.write.ObjectWriter`` writes of such annotations, letter by letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple
from xml.sax.saxutils import escape

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic_core import from_json

from dsetkit.formats.annotation_columns import Floats, Ints
from dsetkit.formats.bulk.batch import BulkBatch
from dsetkit.formats.bulk.losses import note_losses
from dsetkit.formats.bulk.texts import is_writable, texts, woven
from dsetkit.formats.flat_names import FlatNames
from dsetkit.formats.voc.sets import subset_order
from dsetkit.formats.voc.write import attribute_dropped, category_name, element
from dsetkit.formats.voc.xml import SOURCE_FIELDS

_HEAD = (
    "\t<object>\n\t\t{name}\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>0</truncated>\n"
    "\t\t<difficult>0</difficult>\n\t\t<bndbox>\n\t\t\t<xmin>"
)
_DOCUMENT = (
    "<annotation>\n\t<folder>JPEGImages</folder>\n\t<filename>{name}</filename>\n"
    "\t<source>\n\t\t<database>Unknown</database>\n\t</source>\n{size}\t<segmented>0</segmented>\n"
)
_SIZE = "\t<size>\n\t\t<width>{width}</width>\n\t\t<height>{height}</height>\n\t\t<depth>{depth}</depth>\n\t</size>\n"
_TAIL = "\t\t<unstated>pose truncated difficult</unstated>\n\t</object>\n"


class Written(NamedTuple):
    """What is written of a sample."""

    name: str
    """The file name of its picture."""
    stem: str
    subsets: Sequence[str]
    """As they are read back."""
    document: bytes | None
    """The XML; none where nobody labelled it."""


def write_batch(batch: BulkBatch, shift: float, names: FlatNames) -> list[Written]:
    """One each sample of a studied batch; those that are not plain any more are the caller's to write.

    ``shift`` is that of ``Coordinates``.
    """
    _refuse_odd(batch, shift)
    batch.gather(polygons_stay=True)
    note_losses(batch)
    written: list[Written] = []
    columns = map(batch.column, ("media_type", "mode", "width_px", "height_px", "labelled"))
    for key, subsets, objects, media_type, mode, width, height, labelled in zip(
        batch.keys, batch.subsets, _objects(batch, shift), *columns, strict=True
    ):
        stem, name = names.both(key, media_type)
        document = None
        if labelled != "no":
            size = ""
            if width is not None and height is not None:
                depth = 1 if mode in ("L", "1", "I;16") else 3
                size = _SIZE.format(width=width, height=height, depth=depth)
            head = _DOCUMENT.format(name=escape(name), size=size)
            document = b"".join((head.encode(), objects, b"</annotation>\n"))
        written.append(Written(name, stem, subset_order(subsets), document))
    return written


def _refuse_odd(batch: BulkBatch, shift: float) -> None:
    """Leave to the writer what needs a word of its own: thin boxes, names that XML cannot hold, numbers too long."""
    batch.refuse(batch.sample_says("provenance", "author"))
    texts_of = batch.batch.column("attributes")
    dropped: dict[str, list[int]] = {}
    for sample in np.flatnonzero(batch.sample_says("attributes") & batch.is_plain).tolist():
        names_of = from_json(texts_of[sample].as_py())
        if "verified" in names_of or not names_of.keys().isdisjoint(SOURCE_FIELDS):
            batch.is_plain[sample] = False
        for name in names_of:
            dropped.setdefault(name, []).append(sample)
    names = pc.unique(batch.annotation("category")).to_pylist()
    odd = [name for name in names if name is not None and category_name(name) != name]
    if odd:
        is_odd = pc.is_in(batch.annotation("category"), pa.array(odd, pa.string()))
        batch.refuse_annotations(is_odd.to_numpy(zero_copy_only=False))
    left_top, right_bottom = _corners(batch.all_boxes, shift)
    is_thin = (right_bottom <= left_top).any(axis=1) & (batch.all_kinds != 1)
    is_long = ~(is_writable(left_top) & is_writable(right_bottom)).all(axis=1)
    batch.refuse_annotations(is_thin | is_long)
    batch.refuse_numbers(lambda numbers: is_writable(numbers + shift))
    for name, samples in dropped.items():
        batch.note_samples("attribute-dropped", attribute_dropped(name), np.array(samples))


def _corners(boxes: Floats, shift: float) -> tuple[Floats, Floats]:
    return boxes[:, :2] + shift, boxes[:, :2] + boxes[:, 2:]


def _objects(batch: BulkBatch, shift: float) -> list[bytes]:
    """The ``object`` elements of each sample of the batch; empty where it has none, or is not plain."""
    left_top, right_bottom = _corners(batch.boxes, shift)
    corners = texts(np.concatenate([left_top, np.maximum(left_top, right_bottom)], axis=1).T.ravel())
    count = len(batch.at)
    xmin, ymin, xmax, ymax = (corners.slice(number * count, count) for number in range(4))
    heads = pa.array([_HEAD.format(name=element("name", name)) for name in batch.categories], pa.string())
    objects = pc.binary_join_element_wise(
        heads.take(pa.array(batch.category)),
        xmin,
        "</xmin>\n\t\t\t<ymin>",
        ymin,
        "</ymin>\n\t\t\t<xmax>",
        xmax,
        "</xmax>\n\t\t\t<ymax>",
        ymax,
        "</ymax>\n\t\t</bndbox>\n",
        *_polygons(batch.lengths, batch.numbers + shift),
        _TAIL,
        "",
    )
    return batch.texts_of_samples(objects)


def _polygons(lengths: Ints, numbers: Floats) -> Sequence[pa.Array]:
    """The ``polygon`` elements of all annotations (empty for a box), in two pieces that follow each other."""
    longest = int(lengths.max()) if len(lengths) else 0
    names = [f"{axis}{index}" for index in range(1, longest // 2 + 1) for axis in "xy"]
    before = [f"</{last}><{name}>" for last, name in pairwise(names)]
    between = pa.array([f"\t\t<polygon><{names[0]}>" if names else "", *before], pa.string())
    ends = pa.array(["", *(f"</{name}></polygon>\n" for name in names)], pa.string())
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    place = np.arange(len(numbers)) - np.repeat(starts[:-1], lengths)
    return woven(between, place, numbers, starts), ends.take(pa.array(lengths))
