"""Annotations of many pictures, gathered bit by bit in columns: no row is made, no row is kept."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsetkit.spec.annotation import Annotation
from dsetkit.spec.arrow import Row, arrow_schema
from dsetkit.spec.columns import columns_of, default_column

_T = TypeVar("_T", np.float64, np.int64)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_SCHEMA = arrow_schema(Annotation)
_POLYGONS: pa.DataType = _SCHEMA.field("polygons").type
_ROWS = 1024
"""How many rows are turned into columns at a time."""


class RepeatedIdError(Exception):
    """Two annotations of one sample have the same id; who gathers them has to give them others."""


class Outlines(NamedTuple):
    """The polygons of annotations, one after another. Each part is one ring: none has holes."""

    parts: Ints
    """How many parts each annotation has."""
    lengths: Ints
    """How many numbers (x and y) each ring has."""
    flat: Floats
    """All numbers, pixels."""


class AnnotationColumns:
    """Takes annotations in any order, as columns or as rows, and lists them sample by sample."""

    def __init__(self) -> None:
        self._places: list[Ints] = []
        self._samples: list[Ints] = []
        self._outlines: list[Outlines] = []
        self._columns: list[dict[str, pa.Array]] = []
        self._rows: list[tuple[int, int, Row]] = []

    def add(self, places: Ints, samples: Ints, columns: Mapping[str, pa.Array], outlines: Sequence[Outlines]) -> None:
        """Annotations by column; of fields that are not among ``columns`` they have none.

        ``samples`` are numbers of the caller's; annotations of one sample will be listed by their ``places``. The
        polygons of all are in ``outlines``, one after another.
        """
        self._places.append(places)
        self._samples.append(samples)
        self._columns.append(dict(columns))
        self._outlines += outlines

    def add_row(self, place: int, sample: int, row: Row) -> None:
        """One annotation as a row."""
        self._rows.append((place, sample, row))
        if len(self._rows) >= _ROWS:
            self._flush()

    def lists(self, positions: Ints) -> pa.ListArray:
        """A list of annotations a sample. ``positions`` are where each sample (by its number) shall stand.

        Nothing can be added afterwards. Raises ``RepeatedIdError`` where two annotations of one sample have the
        same id.
        """
        self._flush()
        count = len(positions)
        if not self._places:
            none = pa.array([], pa.struct(list(_SCHEMA)))
            return _list_array(np.zeros(count + 1, np.int64), none, pa.list_(_element(none.type)))
        at = positions[np.concatenate(self._samples)]
        ids = pa.chunked_array([columns["id"] for columns in self._columns]).combine_chunks()
        codes = ids.dictionary_encode().indices.to_numpy()
        if codes.max() < len(ids) - 1 and len(np.unique(at * len(ids) + codes)) < len(ids):
            raise RepeatedIdError
        order = np.lexsort((np.concatenate(self._places), at))
        arrays = [self._column(field, order) for field in _SCHEMA]
        structs = pa.StructArray.from_arrays(arrays, fields=list(_SCHEMA))
        offsets = np.zeros(count + 1, np.int64)
        np.cumsum(np.bincount(at, minlength=count), out=offsets[1:])
        return _list_array(offsets, structs, pa.list_(_element(structs.type)))

    def _flush(self) -> None:
        if not self._rows:
            return
        places, samples, rows = zip(*self._rows, strict=True)
        self._rows = []
        present = set().union(*rows) - {"polygons"}
        arrays = columns_of([{name: row[name] for name in row if name != "polygons"} for row in rows], Annotation)
        shapes: list[Sequence[Sequence[Sequence[float]]]] = [row.get("polygons", ()) for row in rows]
        rings = [part[0] for parts in shapes for part in parts]
        self.add(
            np.array(places, np.int64),
            np.array(samples, np.int64),
            {field.name: array for field, array in zip(_SCHEMA, arrays, strict=True) if field.name in present},
            [outlines_of(list(map(len, shapes)), rings)],
        )

    def _column(self, field: pa.Field, order: Ints) -> pa.Array:
        name = field.name
        if name == "polygons":
            outlines, self._outlines = self._outlines, []  # of millions of numbers no more is held than has to be
            return _polygons(outlines, order)
        pieces = [columns.pop(name, None) for columns in self._columns]
        if all(piece is None for piece in pieces):
            return _defaults(name, len(order))
        filled = [
            _defaults(name, len(places)) if piece is None else piece
            for piece, places in zip(pieces, self._places, strict=True)
        ]
        return pa.chunked_array(filled, field.type).combine_chunks().take(pa.array(order))


def outlines_of(parts: Sequence[int], rings: Sequence[Sequence[float]]) -> Outlines:
    """Rings as one array of numbers; ``parts`` says how many of them each annotation has."""
    lengths = np.fromiter(map(len, rings), np.int64, len(rings))
    # A third faster than np.fromiter.
    packed = struct.pack(f"{int(lengths.sum())}d", *chain.from_iterable(rings))
    return Outlines(np.array(parts, np.int64), lengths, np.frombuffer(packed))


def ranges(starts: Ints, counts: Ints) -> Ints:
    """``starts[0], starts[0] + 1, ...`` so many, then those of the next."""
    ends = np.cumsum(counts)
    found: Ints = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)
    return found


def boxes_column(boxes: Floats) -> pa.ListArray:
    """n × 4 numbers as a column of ``bbox_xywh_px``."""
    offsets = np.arange(0, 4 * len(boxes) + 1, 4, dtype=np.int32)
    kind = _SCHEMA.field("bbox_xywh_px").type
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(boxes.ravel()), type=kind)


def _defaults(name: str, count: int) -> pa.Array:
    return default_column(Annotation, name, 1).take(pa.array(np.zeros(count, np.int64)))


def _polygons(outlines: list[Outlines], order: Ints) -> pa.ListArray:
    """The polygons in another order; takes them out of ``outlines``."""
    counts = np.concatenate([one.parts for one in outlines])
    lengths = np.concatenate([one.lengths for one in outlines])
    rings = _starts(counts)
    numbers = np.diff(_starts(lengths)[rings])  # of each annotation
    parts = _in_order([lengths], counts, order)
    flat = _in_order([one.flat for one in outlines], numbers, order)
    outlines.clear()
    per_ring = _list_array(_starts(parts), pa.array(flat), _POLYGONS.value_type.value_type)
    per_part = _list_array(np.arange(len(parts) + 1), per_ring, _POLYGONS.value_type)
    return _list_array(_starts(counts[order]), per_part, _POLYGONS)


def _in_order(pieces: Sequence[npt.NDArray[_T]], counts: Ints, order: Ints) -> npt.NDArray[_T]:
    """Runs of so many values, one after another in the pieces, in another order: each is copied once."""
    targets = np.empty(len(counts), np.int64)
    targets[order] = _starts(counts[order])[:-1]
    ends = np.cumsum(counts)
    out = np.empty(int(ends[-1]) if len(ends) else 0, pieces[0].dtype)
    at = 0
    for piece in pieces:
        if len(piece):
            here = slice(np.searchsorted(ends, at, "right"), np.searchsorted(ends, at + len(piece), "left") + 1)
            out[ranges(targets[here], counts[here])] = piece
            at += len(piece)
    return out


def _starts(counts: npt.NDArray[np.generic]) -> Ints:
    """Where each run starts, and, last, where all end."""
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def _element(kind: pa.DataType) -> pa.Field:
    return pa.field("element", kind, nullable=False)


def _list_array(offsets: Ints, values: pa.Array, kind: pa.DataType) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values, type=kind)
