"""Boxes and outlines of many samples at once, in columns, on their way into a format that has a file a picture.

A writer makes one row at a time (``Format.carry``): exact, and slow where there are millions of points. Most samples
hold nothing but boxes, polygons and masks, of which such a format keeps boxes and outlines. ``BulkBatch`` finds them
(``is_plain``) and has what ``dsetkit.formats.carry`` makes of them in arrays, with the losses it would enter. All other
samples of the batch are the writer's own, row by row. What is written, and what is entered, is the same both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, Literal, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel

from dsetkit.formats.annotation_columns import Floats, Ints, ranges
from dsetkit.formats.base import Export
from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.carry import is_bookkeeping, is_measured
from dsetkit.formats.loss import EXAMPLES, Ledger
from dsetkit.geometry.polygons import ring_area
from dsetkit.spec.annotation import Annotation
from dsetkit.spec.arrow import Row, iter_rows, rows_from_table
from dsetkit.spec.sample import Provenance, Sample

Bools = npt.NDArray[np.bool_]
_T = TypeVar("_T")

BATCH_SAMPLES = 512
MAX_NUMBERS = 2_000_000
"""How many coordinates of outlines are turned to text at a time; a batch with more is written in parts."""
LEAST, MOST = 1e-4, 1e9
"""Of which sizes numbers are written alike by Python's ``repr`` and by Arrow: no exponent."""

_KINDS = ("box", "polygon", "mask")
_ROW_BY_ROW = ("attributes", "extras", "relations", "track")
"""Fields of an annotation that formats treat in ways of their own."""
_SHAPED = frozenset({"id", "kind", "category", "bbox_xywh_px", "polygons", "mask", *_ROW_BY_ROW})
_HANDLED = frozenset({"key", "annotations", "split", "subsets", "labelled", "provenance"})


def tables_of(export: Export) -> Iterator[pa.Table] | None:
    """The export's rows as tables, where it has them so (``tables()``: the same rows as ``rows()``)."""
    tables: Callable[[], Iterator[pa.Table]] | None = getattr(export, "tables", None)
    return None if tables is None else tables()


def brief_rows(export: Export, *fields: str) -> Iterator[Row]:
    """``export.rows()``, where it comes in tables with these fields alone, so that outlines stay where they are.

    A field of annotations is called ``annotations.kind``.
    """
    tables = tables_of(export)
    if tables is None:
        return export.rows()
    own = [name for name in fields if "." not in name]
    inner = [name.partition(".")[2] for name in fields if "." in name]
    return iter_rows((_brief(table, own, inner) for table in tables), Sample)


def _brief(table: pa.Table, fields: Sequence[str], inner: Sequence[str]) -> pa.Table:
    brief = table.select([name for name in fields if name in table.column_names])
    if not inner:
        return brief
    lists = [
        pa.ListArray.from_arrays(chunk.offsets, _struct_of(chunk.values, inner))
        for chunk in table.column("annotations").chunks
    ]
    kind = lists[0].type if lists else pa.list_(pa.struct([(name, pa.string()) for name in inner]))
    return brief.append_column("annotations", pa.chunked_array(lists, kind))


def _struct_of(items: pa.StructArray, names: Sequence[str]) -> pa.StructArray:
    there = [name for name in names if items.type.get_field_index(name) >= 0]
    return pa.StructArray.from_arrays([items.field(name) for name in there], there)


def kind_sets(export: Export) -> set[frozenset[str]]:
    """The sets of kinds that samples have: each only once."""
    tables = tables_of(export)
    if tables is None:
        return {frozenset(item["kind"] for item in row.get("annotations", ())) for row in export.rows()}
    found: set[frozenset[str]] = set()
    for table in tables:
        for batch in table.select(["annotations"]).to_batches():
            starts, items = _opened(batch.column("annotations"))
            kinds = items.field("kind").dictionary_encode()
            names = kinds.dictionary.to_pylist()
            bits = np.zeros(len(items) + 1, np.int64)  # one more, for samples at the end that have none
            bits[:-1] = 1 << _numpy(kinds.indices).astype(np.int64)
            of_each = np.bitwise_or.reduceat(bits, starts[:-1]) if batch.num_rows else bits[:0]
            of_each[np.diff(starts) == 0] = 0
            for mask in np.unique(of_each).tolist():
                found.add(frozenset(name for place, name in enumerate(names) if mask >> place & 1))
    return found


def has_pictures(export: Export) -> bool:
    """Whether the export may have the bytes of any picture."""
    return bool(getattr(export, "has_pictures", True))


class Notes:
    """Losses of one batch, found column by column and row by row, entered in a ledger in the order of the rows."""

    def __init__(self) -> None:
        self._found: list[tuple[int, str, str, str | None, Literal["warning", "info"], int]] = []

    def add(
        self,
        code: str,
        message: str,
        samples: Ints,
        examples: Callable[[int], str],
        *,
        severity: Literal["warning", "info"] = "warning",
    ) -> None:
        """A loss of each of these samples, in order (one is named once for each of its annotations).

        ``examples`` names the n-th.
        """
        for place, sample in enumerate(samples[:EXAMPLES].tolist()):
            count = len(samples) if place == 0 else 0
            self._found.append((sample, code, message, examples(place), severity, count))

    def add_row(self, sample: int, ledger: Ledger) -> None:
        """All that a ledger of one sample holds."""
        for loss in ledger.losses():
            for place, example in enumerate(loss.examples or (None,)):
                count = loss.count if place == 0 else 0
                self._found.append((sample, loss.code, loss.message, example, loss.severity, count))

    def enter(self, ledger: Ledger) -> None:
        """Enter all of them."""
        for _, code, message, example, severity, count in sorted(self._found, key=lambda found: found[0]):
            ledger.add(code, message, example, severity=severity, count=count)


class BulkBatch:
    """Some samples. Only of those that are plain there is more to be had here."""

    def __init__(self, batch: pa.RecordBatch, format_name: str, capabilities: Capabilities) -> None:
        self.batch = batch
        self.format_name = format_name
        self.capabilities = capabilities
        self.notes = Notes()
        lists = batch.column("annotations")
        self._items: pa.StructArray
        self._starts, self._items = _opened(lists)
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
        lengths = np.where((self.all_kinds == 1) & self.is_plain[self._owners], self.all_lengths, 0)
        outlined = np.flatnonzero(lengths)
        numbers = self._flat[ranges(self._number_starts[self._ring[outlined]], lengths[outlined])]
        is_odd = ~is_fine(numbers)
        if is_odd.any():
            self.is_plain[self._owners[np.repeat(outlined, lengths[outlined])[is_odd]]] = False

    def study(self) -> None:
        """Find out which samples are plain; ``gather`` follows when the writer has refused what it does not take."""
        kinds = self.annotation("kind")
        names = pa.array(_KINDS)
        self.all_kinds = _numpy(pc.fill_null(pc.index_in(kinds, names), -1)).astype(np.int8)
        self.refuse_annotations(self.all_kinds < 0)
        self.refuse_annotations(_numpy(pc.is_null(self.annotation("category"))))
        for name in _ROW_BY_ROW:
            self.refuse_annotations(self.says(name))
        counts = np.diff(self._starts)
        said = self.batch.column("labelled")
        self.refuse(_numpy(pc.equal(said, "partial")))
        self.refuse(_numpy(pc.equal(said, "no")) & (counts > 0))
        self._study_subsets()
        self._study_boxes()
        self._study_outlines()

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
        sizes = _numpy(pc.fill_null(pc.list_value_length(column), 0))
        self.refuse_annotations(sizes != 4)
        starts = np.asarray(column.offsets)[:-1].astype(np.int64)
        flat = _numpy(column.values)
        self.all_boxes: Floats = np.zeros((len(column), 4))
        there = sizes == 4
        self.all_boxes[there] = flat[starts[there][:, None] + np.arange(4)]

    def _study_outlines(self) -> None:
        """Which ring of each polygon is kept, and of what it is left."""
        parts = self.annotation("polygons")
        part_starts, rings = _opened(parts)
        ring_starts, lines = _opened(rings)
        self._number_starts = np.asarray(lines.offsets).astype(np.int64)
        self._flat = _numpy(lines.values)
        self._parts = np.diff(part_starts)
        is_polygon = self.all_kinds == 1
        self.refuse_annotations(is_polygon & (self._parts == 0))
        ring_counts = np.diff(ring_starts)
        owner = np.repeat(np.arange(len(parts)), self._parts)
        is_odd = np.zeros(len(parts), np.bool_)
        is_odd[owner[ring_counts != 1]] = True  # holes, or no ring at all
        self._ring = np.zeros(len(parts), np.int64)
        one = (self._parts > 0) & ~is_odd
        self._ring[one] = ring_starts[part_starts[:-1][one]]
        lengths = np.diff(self._number_starts)
        several = np.flatnonzero(is_polygon & (self._parts > 1) & ~is_odd)
        if len(several):
            self._ring[several] += self._largest(self._ring[several], self._parts[several], lengths)
        self.all_lengths = np.zeros(len(parts), np.int64)
        self.all_lengths[one] = lengths[self._ring[one]]
        self.refuse_annotations(is_polygon & (is_odd | (self.all_lengths == 0) | (self.all_lengths % 2 == 1)))

    def _largest(self, first: Ints, counts: Ints, lengths: Ints) -> Ints:
        """Of rings that follow each other (``first`` and how many), the number of the one of the largest area."""
        rings = ranges(first, counts)
        sizes = lengths[rings]
        starts = np.cumsum(counts) - counts
        if (sizes % 2).any() or (sizes == 0).any():
            return np.array([self._exactly_largest(*run) for run in zip(first.tolist(), counts.tolist(), strict=True)])
        numbers = self._flat[ranges(self._number_starts[rings], sizes)]
        points = sizes // 2
        at = np.cumsum(points) - points
        x, y = (numbers[axis::2] - np.repeat(numbers[axis::2][at], points) for axis in (0, 1))
        following = np.arange(1, len(x) + 1)
        following[at + points - 1] = at
        terms = x * y[following] - y * x[following]
        areas = np.abs(np.add.reduceat(terms, at))
        error = np.maximum.reduceat(np.add.reduceat(np.abs(terms), at), starts) * 1e-9
        is_largest = (areas >= np.repeat(np.maximum.reduceat(areas, starts) - error, counts)).astype(np.int64)
        largest: Ints = np.flatnonzero(is_largest)[np.cumsum(np.add.reduceat(is_largest, starts)) - 1] - starts
        # Sums in another order differ in their last digits: where two areas are as good as equal, it is taken the
        # one that counts as the largest wherever rows are carried.
        for close in np.flatnonzero(np.add.reduceat(is_largest, starts) > 1).tolist():
            largest[close] = self._exactly_largest(int(first[close]), int(counts[close]))
        return largest

    def _exactly_largest(self, first: int, count: int) -> int:
        areas = []
        for ring in range(first, first + count):
            areas.append(ring_area(self._flat[self._number_starts[ring] : self._number_starts[ring + 1]].tolist()))
        return areas.index(max(areas))

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
        self.lengths = np.where(self.is_outline, self.all_lengths[self.at], 0)
        outlined = self.at[self.is_outline]
        runs = self.all_lengths[outlined]
        starts = self._number_starts[self._ring[outlined]]
        self.numbers: Floats = self._flat[ranges(starts, runs)]
        self.ids = self.annotation("id").take(pa.array(self.at))
        coded = self.annotation("category").take(pa.array(self.at)).dictionary_encode()
        self.categories: list[str] = coded.dictionary.to_pylist()
        self.category: Ints = _numpy(coded.indices).astype(np.int64)

    def note_losses(self) -> None:
        """What plain samples lose: as ``carry_row`` says it."""
        self._note_samples()
        self._note_annotations()

    def note(self, code: str, message: str, which: Bools, *, info: bool = False, new: bool = False) -> None:
        """A loss of those annotations; ``new``: they are named by their new ids, which are their numbers."""
        found = np.flatnonzero(which)

        def example(place: int) -> str:
            index = int(found[place])
            own = self.places[index] if new else self.ids[index].as_py()
            return f"{self.keys[int(self.samples[index])]}#{own}"

        self.notes.add(code, message, self.samples[found], example, severity="info" if info else "warning")

    def annotation(self, name: str) -> pa.Array:
        """A field of all annotations of the batch."""
        return self._items.field(name)

    def says(self, name: str) -> Bools:
        """Whether each annotation of the batch says something in a field."""
        if self._items.type.get_field_index(name) < 0:
            return np.zeros(len(self._items), np.bool_)
        return _says(self._items.field(name), Annotation, name)

    def sample_says(self, name: str, inner: str | None = None) -> Bools:
        """Whether each sample says something in a field, or in a field of its ``provenance``."""
        if self.batch.schema.get_field_index(name) < 0:
            return np.zeros(self.batch.num_rows, np.bool_)
        column = self.batch.column(name)
        if inner is None:
            return _says(column, Sample, name)
        place = column.type.get_field_index(inner)
        return cast("Bools", _says(column.flatten()[place], Provenance, inner) & _numpy(pc.is_valid(column)))

    def _note_samples(self) -> None:
        """As ``carry_row`` does."""
        for name in self.batch.schema.names:
            if name not in _HANDLED | self.capabilities.sample_fields and not is_measured(name):
                self._note_sample(name, self.sample_says(name), info=is_bookkeeping(name))
        for name in Provenance.model_fields.keys() - self.capabilities.provenance_fields:
            self._note_sample(f"provenance.{name}", self.sample_says("provenance", name), info=True)

    def _note_sample(self, name: str, says: Bools, *, info: bool) -> None:
        message = f"{self.format_name} has no place for the {name} of a sample; not written"
        self.note_samples("field-dropped", message, np.flatnonzero(says), info=info)

    def note_samples(self, code: str, message: str, samples: Ints, *, info: bool = False) -> None:
        """A loss of those of the samples that are plain."""
        found = samples[self.is_plain[samples]]
        severity: Literal["warning", "info"] = "info" if info else "warning"
        self.notes.add(code, message, found, lambda place: self.keys[int(found[place])], severity=severity)

    def _note_annotations(self) -> None:
        """As ``carry_annotation`` does, of boxes, polygons and masks without attributes."""
        fmt = self.format_name
        for code, kind in enumerate(_KINDS):
            if kind not in self.capabilities.kinds:
                target = self.capabilities.becomes[kind]
                message = f"{fmt} cannot say {kind}; it becomes {target}"
                self.note("kind-changed", message, self.kind == code)
        for name, own in (("polygons", 1), ("mask", 2)):
            self._note_field(name, self.says(name)[self.at] & (self.kind != own))
        message = f"{fmt} has no polygons of several parts; the largest is kept"
        self.note("polygon-parts", message, self.is_outline & (self._parts[self.at] > 1))
        for field in self._items.type:
            if field.name not in _SHAPED and field.name not in self.capabilities.annotation_fields:
                self._note_field(field.name, self.says(field.name)[self.at])
        numbered = pc.cast(pa.array(self.places), pa.string())
        message = f"{fmt} has no annotation ids; they are numbered anew from 0 in each sample"
        self.note("id-renumbered", message, _numpy(pc.not_equal(self.ids, numbered)), info=True)

    def _note_field(self, name: str, which: Bools) -> None:
        message = f"{self.format_name} has no place for the {name} of an annotation; not written"
        self.note("field-dropped", message, which, info=is_bookkeeping(name, of_annotation=True))

    def texts_of_samples(self, texts: pa.Array) -> list[bytes]:
        """The annotations' texts of each sample of the batch, one after another, UTF-8."""
        starts = np.zeros(self.batch.num_rows + 1, np.int32)
        np.cumsum(np.bincount(self.samples, minlength=self.batch.num_rows), out=starts[1:])
        joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(starts), texts), "")
        return cast("list[bytes]", joined.cast(pa.binary()).to_pylist())


def is_writable(values: Floats) -> Bools:
    """Which numbers ``texts`` writes as Python does."""
    sizes = np.abs(values)
    return cast("Bools", ((sizes >= LEAST) & (sizes < MOST)) | (values == 0.0))


def texts(values: Floats) -> pa.Array:
    """Numbers (all ``is_writable``) as text: the shortest digits that give them back, whole ones without a point."""
    values = values + 0.0  # no -0
    hundredths = np.rint(values * 100.0)
    # A number that is the nearest to so many hundredths is written with at most two decimals, and most are: each such
    # text is made once. (n / 100 is rounded correctly, and of numbers below 2**53 the shortest text is unique.)
    low, high = (float(hundredths.min()), float(hundredths.max())) if len(values) else (0.0, 0.0)
    if high - low > len(values) / 2 or max(abs(low), abs(high)) > 2.0**50:
        return pc.cast(pa.array(values), pa.string())
    is_short = hundredths / 100.0 == values
    others = np.flatnonzero(~is_short)
    if len(others) > len(values) / 2:
        return pc.cast(pa.array(values), pa.string())
    known = np.arange(low, high + 1) / 100.0
    table = pc.cast(pa.array(np.concatenate([known + 0.0, values[others]])), pa.string())
    at = (hundredths - low).astype(np.int32)
    at[others] = len(known) + np.arange(len(others), dtype=np.int32)
    return table.take(pa.array(at))


def bulk_batches(tables: Iterator[pa.Table], render: Callable[[pa.RecordBatch], _T], *, ahead: int = 1) -> Iterator[_T]:
    """What ``render`` makes of the tables, in order, made on another core while the last is being used."""
    batches = (part for table in tables for batch in table.to_batches(BATCH_SAMPLES) for part in _parts_of(batch))
    with ThreadPoolExecutor(1) as pool:
        waiting = []
        for batch in batches:
            waiting.append(pool.submit(render, batch))
            if len(waiting) > ahead:
                yield waiting.pop(0).result()
        for made in waiting:
            yield made.result()


def _parts_of(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch, in halves where its outlines have too many numbers."""
    numbers = _count_numbers(batch.column("annotations"))
    if numbers <= MAX_NUMBERS or batch.num_rows == 1:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _parts_of(batch.slice(0, half))
    yield from _parts_of(batch.slice(half))


def _count_numbers(lists: pa.ListArray) -> int:
    parts = lists.flatten().field("polygons")
    return len(parts.flatten().flatten().flatten())


def _opened(lists: pa.ListArray) -> tuple[Ints, pa.Array]:
    """Where each list starts among all values of theirs (and where all end), and those values."""
    offsets = np.asarray(lists.offsets).astype(np.int64)
    return offsets - offsets[0], lists.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))


def _says(array: pa.Array, model: type[BaseModel], name: str) -> Bools:
    """Which values a sparse row would have: those that are not null and not the field's default."""
    info = model.model_fields[name]
    default: Any = None if info.is_required() else info.get_default(call_default_factory=True)
    if array.null_count == len(array):
        return np.zeros(len(array), np.bool_)
    if default == () or (isinstance(default, list | tuple) and not default):
        return _numpy(pc.fill_null(pc.greater(pc.list_value_length(array), 0), False))
    if isinstance(default, dict):
        return _numpy(pc.fill_null(pc.not_equal(array, "{}"), False))
    if isinstance(default, str | bool | int | float):
        return _numpy(pc.fill_null(pc.not_equal(array, pa.scalar(default, array.type)), False))
    return _numpy(pc.is_valid(array))


def _numpy(array: pa.Array) -> npt.NDArray[Any]:
    return cast("npt.NDArray[Any]", array.to_numpy(zero_copy_only=False))
