"""COCO's annotations straight into columns.

Nearly all annotations of a big file are outlines and boxes in which nothing is wrong: they are read by the piece, with
array arithmetic. Every other one (masks, keypoints, captions, attributes, anything to note) is read as
``read`` reads all, at its place, so that rows, issues and their order are the same.

What needs all annotations of a picture at once raises ``NotInPieces``; the files are then read by ``read``:
annotations without an id or with one that their picture has already, pictures in several files, more keypoints than
their category names, a document in which something is not what it should be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsetkit.formats.annotation_columns import AnnotationColumns, Floats, Outlines, RepeatedIdError, outlines_of
from dsetkit.formats.coco.document import Parsed
from dsetkit.formats.coco.files import CocoFile
from dsetkit.formats.coco.head import ident
from dsetkit.formats.coco.read import CocoReader, FileReader
from dsetkit.formats.coco.shapes import LIMIT_PX, POLYGON_SLACK_PX
from dsetkit.formats.coco.stream import CocoStream, NotInPieces, has_annotations
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.text import utf8_json
from dsetkit.spec.annotation import Annotation
from dsetkit.spec.arrow import Row, arrow_schema, table_from_rows
from dsetkit.spec.key import sort_key
from dsetkit.spec.sample import Sample

_V = TypeVar("_V")
_PLAIN = frozenset({"id", "image_id", "category_id", "bbox", "segmentation", "area", "iscrowd", "ignore", "score"})
"""The fields of an annotation that is read in columns."""
_BATCH = 4096
"""How many annotations are gathered before they become columns."""
_NO_BOX = [np.nan] * 4
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
_KINDS = pa.array(["box", "polygon"])


class CocoColumnsReader(CocoReader):
    """Takes files one after another as ``CocoReader`` does and gives the same label set, made of a table."""

    def __init__(self, pictures: PictureIndex, image_root: str = "") -> None:
        super().__init__(pictures, image_root)
        self.annotations = AnnotationColumns()
        self.shown: set[str] = set()
        """Keys of the pictures of all files with annotations."""
        self.read = 0
        """How many annotations were read."""

    def add(self, file: CocoFile, data: bytes) -> None:
        """Read one file. Raises as ``CocoReader.add`` does, and ``NotInPieces``."""
        data = utf8_json(data, file.path)
        if has_annotations(data):
            _ColumnsFileReader(self, file, CocoStream(data)).read()
        else:
            super().add(file, data)

    def finish(self) -> LabelSet:
        """All that was read. Raises ``NotInPieces``."""
        rows = self.final_rows()
        order = sorted(range(len(rows)), key=lambda number: sort_key(rows[number]["key"]))
        positions = np.empty(len(rows), np.int64)
        positions[order] = np.arange(len(rows))
        try:
            lists = self.annotations.lists(positions)
        except RepeatedIdError:
            raise NotInPieces from None
        table = table_from_rows([rows[number] for number in order], Sample)
        place = table.schema.get_field_index("annotations")
        table = table.set_column(place, arrow_schema(Sample).field(place), lists)
        return LabelSet(table, self.final_categories(), self.info, tuple(self.licenses.values()), self.issues.all())


class _ColumnsFileReader(FileReader):
    reader: CocoColumnsReader

    def __init__(self, reader: CocoColumnsReader, file: CocoFile, stream: CocoStream) -> None:
        super().__init__(reader, file, Parsed(stream.head, {}, {}))
        self.stream = stream
        self.start = reader.read
        self.batch = _Batch()
        self.samples: dict[str | int | None, int] = {}
        """The file's image ids, as text and as whole numbers → their places in the reader's rows."""
        self.names: dict[str | int | None, str] = {}
        """The file's category ids, as text and as whole numbers → names."""
        self.sample_of_key: dict[str, int] = {}
        self.named: dict[str | None, int] = {}
        """Category id → how many keypoints the category names."""

    def read_annotations(self) -> None:
        """The stream's, piece by piece."""
        reader = self.reader
        shown = set(self.keys.values())
        if not shown.isdisjoint(reader.shown):
            raise NotInPieces
        reader.shown |= shown
        self.sample_of_key = {key: number for number, key in enumerate(reader.rows)}
        self.samples = _by_number({name: self.sample_of_key[key] for name, key in self.keys.items()})
        self.names = _by_number(self.category_names)
        for raw in self.stream.head.get("categories") or ():
            names = raw.get("keypoints")
            self.named[ident(raw.get("id"))] = len(names) if isinstance(names, list) else 0
        for piece in self.stream.pieces():
            first = reader.read - self.start
            reader.read += len(piece)
            for index in self._read_plain(piece, first, frozenset()):
                self._read_odd(piece[index], first + index)
            if len(self.batch.places) >= _BATCH:
                self.batch.add_to(reader.annotations)
                self.batch = _Batch()
            piece.clear()  # its numbers go before the next ones come, so that those take their place in the cache
        self.batch.add_to(reader.annotations)

    def _read_odd(self, raw: Mapping[str, Any], index: int) -> None:
        """An annotation that columns cannot take, as a row."""
        keypoints = raw.get("keypoints")
        if keypoints and len(keypoints) // 3 > self.named.get(ident(raw.get("category_id")), len(keypoints)):
            raise NotInPieces  # that category has to be told of it before anything is read
        self.read_annotation(raw, index)

    def file_under_id(self, out: Row, number: str | None, key: str, index: int) -> None:
        """Put an annotation among the columns."""
        if number is None:
            raise NotInPieces
        out["id"] = out["source_id"] = number
        self.reader.annotations.add_row(self.start + index, self.sample_of_key[key], out)

    def _read_plain(self, piece: list[dict[str, Any]], first: int, not_plain: frozenset[int]) -> list[int]:
        """Adds the outlines and boxes of a piece of which there is nothing to say; returns the places of all others.

        ``first`` is the place of the piece in the file; those in ``not_plain`` are known to be something else.
        """
        odd: list[int] = []
        plain: list[int] = []
        samples: list[int] = []
        ids: list[str] = []
        categories: list[str] = []
        parts: list[int] = []
        rings: list[list[float]] = []
        boxes: list[float] = []
        for index, raw in enumerate(piece):
            get = raw.get
            number, image, of = get("id"), get("image_id"), get("category_id")
            if type(number) is type(image) is type(of) is int:  # nearly always
                number, sample, category = str(number), self.samples.get(image), self.names.get(of)
            else:
                number, sample = ident(number), self.samples.get(ident(image))
                category = self.names.get(ident(of))
            shape, box = get("segmentation"), get("bbox")
            if (
                number is None
                or sample is None
                or category is None
                or not (shape or box)
                or (shape and (type(shape) is not list or type(shape[0]) is not list))
                or (box and len(box) != 4)
                or not _PLAIN.issuperset(raw)
                or index in not_plain
            ):
                odd.append(index)
                continue
            plain.append(index)
            samples.append(sample)
            ids.append(number)
            categories.append(category)
            boxes += box or _NO_BOX
            if shape:
                parts.append(len(shape))
                rings += shape
            else:
                parts.append(0)
        if not plain:
            return odd
        outlines = outlines_of(parts, rings)
        enclosures, is_wrong = enclose(outlines, np.array(boxes).reshape(-1, 4))
        if is_wrong.any():
            return self._read_plain(piece, first, not_plain | {plain[index] for index in np.flatnonzero(is_wrong)})
        batch = self.batch
        batch.places += [self.start + first + index for index in plain]
        batch.samples += samples
        batch.ids += ids
        batch.categories += categories
        batch.crowds += [piece[index].get("iscrowd") for index in plain]
        batch.ignored += [piece[index].get("ignore") for index in plain]
        batch.scores += [piece[index].get("score") for index in plain]
        batch.enclosures.append(enclosures)
        batch.outlines.append(outlines)
        return odd


def _by_number(values: Mapping[str, _V]) -> dict[str | int | None, _V]:
    """Values by ids, also by those ids that are the text of a whole number as that number."""
    found: dict[str | int | None, _V] = {}
    found.update(values.items())
    found.update((int(name), value) for name, value in values.items() if _WHOLE.fullmatch(name))
    return found


class _Batch:
    """Plain annotations of some pieces, on the way into columns."""

    def __init__(self) -> None:
        self.places: list[int] = []
        self.samples: list[int] = []
        self.ids: list[str] = []
        self.categories: list[str] = []
        self.crowds: list[Any] = []
        self.ignored: list[Any] = []
        self.scores: list[float | None] = []
        self.enclosures: list[Floats] = []
        self.outlines: list[Outlines] = []

    def add_to(self, annotations: AnnotationColumns) -> None:
        """Add what is there."""
        if not self.places:
            return
        ids = pa.array(self.ids, pa.string())
        is_outline = np.concatenate([outlines.parts for outlines in self.outlines]) > 0
        columns = {
            "id": ids,
            "source_id": ids,
            "kind": _KINDS.take(pa.array(is_outline.astype(np.int8))),
            "category": pa.array(self.categories, pa.string()),
            "bbox_xywh_px": boxes_column(np.concatenate(self.enclosures)),
        }
        for name, marks in (("is_crowd", self.crowds), ("is_ignored", self.ignored)):
            if any(marks):
                columns[name] = pa.array([mark in (1, True) for mark in marks])
        if any(score is not None for score in self.scores):
            columns["score"] = pa.array(self.scores, pa.float64())
        annotations.add(np.array(self.places, np.int64), np.array(self.samples, np.int64), columns, self.outlines)


def enclose(outlines: Outlines, given: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Boxes (x, y, width, height; n × 4) of annotations, and of which of them there is something to note.

    As ``shapes.read_shape``: the box that is given (NaN where none is) counts if it is the outline's own within
    ``POLYGON_SLACK_PX``. Noted are others, coordinates beyond ``LIMIT_PX``, and rings that are empty or of half pairs.
    """
    own = np.full(given.shape, np.nan)
    is_wrong = cast("npt.NDArray[np.bool_]", ((given > LIMIT_PX) | (given < -LIMIT_PX)).any(axis=1))
    is_outline = outlines.parts > 0
    if is_outline.any():
        first_rings = (np.cumsum(outlines.parts) - outlines.parts)[is_outline]
        is_broken = (outlines.lengths & 1 == 1) | (outlines.lengths == 0)
        if is_broken.any():
            is_wrong[is_outline] |= np.logical_or.reduceat(is_broken, first_rings)
            return own, is_wrong
        first_points = ((np.cumsum(outlines.lengths) - outlines.lengths) // 2)[first_rings]
        x, y = outlines.flat[0::2], outlines.flat[1::2]
        left, top = np.minimum.reduceat(x, first_points), np.minimum.reduceat(y, first_points)
        right, bottom = np.maximum.reduceat(x, first_points), np.maximum.reduceat(y, first_points)
        own[is_outline] = np.stack([left, top, right - left, bottom - top], axis=1)
        is_wrong[is_outline] |= (np.minimum(left, top) < -LIMIT_PX) | (np.maximum(right, bottom) > LIMIT_PX)
    corners = given[:, :2] - own[:, :2]
    others = given[:, :2] + given[:, 2:] - own[:, :2] - own[:, 2:]
    apart = np.maximum(np.abs(corners), np.abs(others)).max(axis=1)
    is_given = ~np.isnan(given[:, :1])
    return np.where(is_given, given, own), is_wrong | (apart > POLYGON_SLACK_PX)


def boxes_column(boxes: Floats) -> pa.ListArray:
    """n × 4 numbers as a column of ``bbox_xywh_px``."""
    offsets = np.arange(0, 4 * len(boxes) + 1, 4, dtype=np.int32)
    kind = arrow_schema(Annotation).field("bbox_xywh_px").type
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(boxes.ravel()), type=kind)
