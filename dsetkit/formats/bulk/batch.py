"""Boxes and outlines of many samples at once, in columns, on their way into a format that has a file a picture.

A writer makes one row at a time (``Format.carry``): exact, and slow where there are millions of points. Most samples
hold nothing but boxes, polygons and masks, of which such a format keeps boxes and outlines. ``BulkBatch`` finds them
(``is_plain``) and has what ``dsetkit.formats.carry`` makes of them in arrays, with the losses it would enter. All other
samples of the batch are the writer's own, row by row. What is written, and what is entered, is the same both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from functools import cached_property
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.formats.annotation_columns import Floats, Ints
from dsetkit.formats.bulk.arrays import Bools, numpy_of, opened, says
from dsetkit.formats.bulk.notes import Notes
from dsetkit.formats.bulk.outlines import KeptRings
from dsetkit.formats.bulk.texts import joined
from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.loss import Ledger
from dsetkit.spec.annotation import Annotation
from dsetkit.spec.arrow import Row, rows_from_table
from dsetkit.spec.sample import Provenance, Sample

KINDS = ("box", "polygon", "mask")
ROW_BY_ROW = ("attributes", "extras", "relations", "track")
"""Fields of an annotation that formats treat in ways of their own."""


class BulkBatch:
    """Some samples. Only of those that are plain there is more to be had here."""

    def __init__(self, batch: pa.RecordBatch, format_name: str, capabilities: Capabilities) -> None:
        self.batch = batch
        self.format_name = format_name
        self.capabilities = capabilities
        self.notes = Notes()
        lists = batch.column("annotations")
        self._items: pa.StructArray
        self._starts, self._items = opened(lists)
        self._owners: Ints = np.repeat(np.arange(batch.num_rows), np.diff(self._starts))
        self.is_plain: Bools = np.ones(batch.num_rows, np.bool_)
        """Which samples are."""
        self.annotations = len(self._items)

    @cached_property
    def rows(self) -> list[Row]:
        """The samples without their annotations."""
        return rows_from_table(pa.Table.from_batches([self.batch]).drop_columns("annotations"), Sample)

    def column(self, name: str) -> list[Any]:
        """A field of all samples."""
        return cast("list[Any]", self.batch.column(name).to_pylist())

    @cached_property
    def keys(self) -> list[str]:
        """Their keys."""
        return cast("list[str]", self.batch.column("key").to_pylist())

    def odd_rows(self) -> Iterator[tuple[int, Row]]:
        """The samples that are not plain, whole, and their places."""
        odd = np.flatnonzero(~self.is_plain)
        if len(odd):
            rows = rows_from_table(pa.Table.from_batches([self.batch]).take(pa.array(odd)), Sample)
            yield from zip(odd.tolist(), rows, strict=True)

    def refuse(self, samples: Bools) -> None:
        """Leave samples to the writer."""
        self.is_plain &= ~samples

    def refuse_annotations(self, annotations: Bools) -> None:
        """Leave the samples of annotations to the writer; ``annotations`` of the whole batch."""
        self.is_plain[self._owners[annotations]] = False

    def refuse_subsets(self, names: Container[str]) -> None:
        """Leave the samples to the writer that are in one of these subsets."""
        for sample, subsets in enumerate(self.subsets):
            if any(name in names for name in subsets):
                self.is_plain[sample] = False

    def enter(self, ledger: Ledger) -> None:
        """Count the batch in a ledger, and enter its losses."""
        ledger.samples += self.batch.num_rows
        ledger.annotations += self.annotations
        self.notes.enter(ledger)

    def refuse_numbers(self, is_fine: Callable[[Floats], Bools]) -> None:
        """Leave the samples to the writer of whose outlines ``is_fine`` does not hold for every number."""
        outlined = np.flatnonzero((self.all_kinds == 1) & self.is_plain[self._owners])
        is_odd = ~is_fine(self.rings.numbers(outlined))
        if is_odd.any():
            owners = np.repeat(self._owners[outlined], self.rings.lengths[outlined])
            self.is_plain[owners[is_odd]] = False

    def study(self) -> None:
        """Find out which samples are plain; ``gather`` follows when the writer has refused what it does not take."""
        kinds = self.annotation("kind")
        names = pa.array(KINDS)
        self.all_kinds = numpy_of(pc.fill_null(pc.index_in(kinds, names), -1)).astype(np.int8)
        self.refuse_annotations(self.all_kinds < 0)
        self.refuse_annotations(numpy_of(pc.is_null(self.annotation("category"))))
        for name in ROW_BY_ROW:
            self.refuse_annotations(self.says(name))
        counts = np.diff(self._starts)
        said = self.batch.column("labelled")
        self.refuse(numpy_of(pc.equal(said, "partial")))
        self.refuse(numpy_of(pc.equal(said, "no")) & (counts > 0))
        self._study_subsets()
        self._study_boxes()
        self.rings = KeptRings(self.annotation("polygons"), self.all_kinds == 1)
        self.refuse_annotations(self.rings.is_odd)

    def _study_subsets(self) -> None:
        """As ``carry_row`` does."""
        self.subsets: list[tuple[str, ...]] = []
        room = {"none": 0, "one": 1, "many": None}[self.capabilities.subsets]
        columns = (self.batch.column(name).to_pylist() for name in ("split", "subsets"))
        for sample, (split, given) in enumerate(zip(*columns, strict=True)):
            subsets = tuple(given) if split is None else (split,)
            self.subsets.append(subsets)
            if (split is not None and any(name != split for name in given)) or subsets != subsets[:room]:
                self.is_plain[sample] = False

    def _study_boxes(self) -> None:
        column = self.annotation("bbox_xywh_px")
        sizes = numpy_of(pc.fill_null(pc.list_value_length(column), 0))
        self.refuse_annotations(sizes != 4)
        starts = np.asarray(column.offsets)[:-1].astype(np.int64)
        flat = numpy_of(column.values)
        self.all_boxes: Floats = np.zeros((len(column), 4))
        there = sizes == 4
        self.all_boxes[there] = flat[starts[there][:, None] + np.arange(4)]

    def gather(self, *, polygons_stay: bool) -> None:
        """The annotations of the samples that are plain, and not refused since.

        ``at`` are their places among those of the batch, ``samples`` the samples they belong to; boxes (n × 4), codes
        of categories and the numbers of outlines (``lengths``, 0 for a box, and ``numbers``) follow.
        """
        keep = self.is_plain[self._owners]
        self.at: Ints = np.flatnonzero(keep)
        self.samples = self._owners[self.at]
        self.places = self.at - self._starts[self.samples]
        """Of each annotation, its number in its sample."""
        self.kind = self.all_kinds[self.at]
        self.boxes = self.all_boxes[self.at]
        self.is_outline = (self.kind == 1) & polygons_stay
        self.lengths = np.where(self.is_outline, self.rings.lengths[self.at], 0)
        self.numbers: Floats = self.rings.numbers(self.at[self.is_outline])
        self.ids = self.annotation("id").take(pa.array(self.at))
        coded = self.annotation("category").take(pa.array(self.at)).dictionary_encode()
        self.categories: list[str] = coded.dictionary.to_pylist()
        self.category: Ints = numpy_of(coded.indices).astype(np.int64)

    def note(self, code: str, message: str, which: Bools, *, info: bool = False, new: bool = False) -> None:
        """A loss of those annotations; ``new``: they are named by their new ids, which are their numbers."""
        found = np.flatnonzero(which)

        def example(place: int) -> str:
            index = int(found[place])
            own = self.places[index] if new else self.ids[index].as_py()
            return f"{self.keys[int(self.samples[index])]}#{own}"

        self.notes.add(code, message, self.samples[found], example, severity="info" if info else "warning")

    def note_samples(self, code: str, message: str, samples: Ints, *, info: bool = False) -> None:
        """A loss of those of the samples that are plain."""
        found = samples[self.is_plain[samples]]
        severity: Literal["warning", "info"] = "info" if info else "warning"
        self.notes.add(code, message, found, lambda place: self.keys[int(found[place])], severity=severity)

    def annotation(self, name: str) -> pa.Array:
        """A field of all annotations of the batch."""
        return self._items.field(name)

    @property
    def annotation_fields(self) -> pa.StructType:
        """The fields of annotations, as Arrow has them."""
        return self._items.type

    def says(self, name: str) -> Bools:
        """Whether each annotation of the batch says something in a field."""
        if self._items.type.get_field_index(name) < 0:
            return np.zeros(len(self._items), np.bool_)
        return says(self._items.field(name), Annotation, name)

    def sample_says(self, name: str, inner: str | None = None) -> Bools:
        """Whether each sample says something in a field, or in a field of its ``provenance``."""
        if self.batch.schema.get_field_index(name) < 0:
            return np.zeros(self.batch.num_rows, np.bool_)
        column = self.batch.column(name)
        if inner is None:
            return says(column, Sample, name)
        place = column.type.get_field_index(inner)
        return cast("Bools", says(column.flatten()[place], Provenance, inner) & numpy_of(pc.is_valid(column)))

    def texts_of_samples(self, texts: pa.StringArray) -> list[bytes]:
        """The annotations' texts of each sample of the batch, one after another, UTF-8."""
        starts = np.zeros(self.batch.num_rows + 1, np.int64)
        np.cumsum(np.bincount(self.samples, minlength=self.batch.num_rows), out=starts[1:])
        return cast("list[bytes]", joined(texts, starts).cast(pa.binary()).to_pylist())
