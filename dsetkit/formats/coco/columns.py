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
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.formats.annotation_columns import (
    AnnotationColumns,
    Floats,
    Outlines,
    RepeatedIdError,
    boxes_column,
    outlines_of,
)
from dsetkit.formats.coco.document import Parsed
from dsetkit.formats.coco.files import CocoFile
from dsetkit.formats.coco.head import ident
from dsetkit.formats.coco.pieces import ParsedPiece, enclose, parse_piece
from dsetkit.formats.coco.read import CocoReader, FileReader
from dsetkit.formats.coco.stream import CocoStream, NotInPieces, has_annotations
from dsetkit.formats.garbage import keep_freed_memory
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.text import utf8_json
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
_THREADS = 2
_PATIENCE = 3


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
        with ThreadPoolExecutor(1) as pool:
            lists = pool.submit(self.annotations.lists, positions)
            table = table_from_rows([rows[number] for number in order], Sample)
        try:
            annotations = lists.result()
        except RepeatedIdError:
            raise NotInPieces from None
        place = table.schema.get_field_index("annotations")
        table = table.set_column(place, arrow_schema(Sample).field(place), annotations)
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
        self.images, self.classes = _Known({}, pa.int64()), _Known({}, pa.string())
        """The same two for columns of numbers."""
        self.sample_of_key: dict[str, int] = {}
        self.named: dict[str | None, int] = {}
        """Category id → how many keypoints the category names."""
        self.pieces: list[tuple[memoryview, Future[ParsedPiece | None]]] = []
        self.refused = 0
        """How many pieces could not be read in columns; after a few no more is tried."""

    def read(self) -> None:
        """Everything in it; annotations are parsed while the head is read."""
        keep_freed_memory()
        with ThreadPoolExecutor(_THREADS) as pool:
            try:
                self.pieces = [(text, pool.submit(self._parse, text)) for text in self.stream.texts()]
                super().read()
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _parse(self, text: memoryview) -> ParsedPiece | None:
        return parse_piece(text) if self.refused < _PATIENCE else None

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
        self.images, self.classes = _Known(self.samples, pa.int64()), _Known(self.names, pa.string())
        for raw in self.stream.head.get("categories") or ():
            names = raw.get("keypoints")
            self.named[ident(raw.get("id"))] = len(names) if isinstance(names, list) else 0
        for text, parsed in self.pieces:
            piece = parsed.result()
            if piece is None or not self._add_piece(piece):
                self.refused += 1
                self._read_text(text)
        self.batch.add_to(reader.annotations)

    def _add_piece(self, piece: ParsedPiece) -> bool:
        """Add a piece that was parsed into columns; not if it speaks of pictures or categories that there are not."""
        table = piece.table
        samples, categories = self.images.find(table["image_id"]), self.classes.find(table["category_id"])
        if samples is None or categories is None:
            return False
        annotations, first = self.reader.annotations, self.reader.read
        self.reader.read += piece.total
        columns = {"id": pc.cast(table["id"].chunk(0), pa.string()), "category": categories}
        columns["source_id"] = columns["id"]
        columns["kind"] = _KINDS.take(pa.array((piece.outlines.parts > 0).astype(np.int8)))
        columns["bbox_xywh_px"] = boxes_column(piece.boxes)
        for name, field in (("is_crowd", "iscrowd"), ("is_ignored", "ignore")):
            marks = pc.fill_null(pc.equal(table[field].chunk(0), 1), False)
            if marks.true_count:
                columns[name] = marks
        if table["score"].null_count < len(table):
            columns["score"] = table["score"].chunk(0)
        if len(table):
            annotations.add(first + piece.places, samples.to_numpy(), columns, [piece.outlines])
        for place, raw in piece.odd:
            self._read_odd(raw, first - self.start + place)
        return True

    def _read_text(self, text: memoryview) -> None:
        """Read a piece of the annotations that Arrow did not take."""
        reader = self.reader
        for piece in self.stream.pieces_of(text):
            first = reader.read - self.start
            reader.read += len(piece)
            for index in self._read_plain(piece, first, frozenset()):
                self._read_odd(piece[index], first + index)
            if len(self.batch.places) >= _BATCH:
                self.batch.add_to(reader.annotations)
                self.batch = _Batch()
            piece.clear()  # its numbers go before the next ones come, so that those take their place in the cache

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


class _Known:
    """What whole numbers stand for, to be looked up by the column."""

    def __init__(self, values: Mapping[str | int | None, _V], kind: pa.DataType) -> None:
        numbers = [number for number in values if isinstance(number, int)]
        self._numbers = pa.array(numbers, pa.int64())
        self._values = pa.array([values[number] for number in numbers], kind)

    def find(self, numbers: pa.ChunkedArray) -> pa.Array | None:
        """What each of the numbers stands for; None where one is not known."""
        places = pc.index_in(numbers.combine_chunks(), self._numbers)
        return None if places.null_count else self._values.take(places)


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
