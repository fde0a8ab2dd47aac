"""Open Images' records of all tables, gathered in columns by the picture that they are about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.formats.issues import IssueList
from dsetkit.formats.open_images.files import TableFile
from dsetkit.formats.open_images.table import Block, Floats, blocks
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.spec.arrow import Row
from dsetkit.storage.tree import Tree

Ints = npt.NDArray[np.int64]
LIMIT = 1e6
"""A fraction of a picture's side beyond this is taken for a fault."""
FLAGS = ("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside")
"""Columns of 1 (yes), 0 (no) and -1 (unknown)."""
_SIDES = ("XMin", "YMin", "XMax", "YMax")
INFO: Mapping[str, str] = {"OriginalURL": "uri", "License": "license", "Author": "author"}
"""Column → field of provenance."""
FACTS: Mapping[str, str] = {
    "Title": "title",
    "OriginalLandingURL": "landing_url",
    "AuthorProfileURL": "author_url",
    "Thumbnail300KURL": "thumbnail_url",
    "OriginalMD5": "original_md5",
    "OriginalSize": "original_size_bytes",
}
"""Column → attribute of a sample."""
_USUAL = {"validation": "val"}


class Numbered:
    """Texts and their numbers, by first appearance."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def of(self, column: pa.Array) -> Ints:
        """The number of each text of a column."""
        encoded = pc.dictionary_encode(column)
        numbers = self.numbers
        codes = np.array([numbers.setdefault(text, len(numbers)) for text in encoded.dictionary.to_pylist()], np.int64)
        return codes[encoded.indices.to_numpy()] if len(codes) else np.zeros(0, np.int64)

    def texts(self) -> list[str]:
        """All texts, by number."""
        return list(self.numbers)


class Gathered:
    """The pictures that tables speak of, and the columns of boxes and of labels of whole pictures.

    With ``only_there``, records of pictures that are not there are passed over and their pictures counted.
    """

    def __init__(self, tree: Tree, pictures: PictureIndex, issues: IssueList, *, only_there: bool) -> None:
        self.tree = tree
        self.pictures = pictures
        self.issues = issues
        self.rows: list[Row] = []
        self.ids: list[str] = []
        """Image ids by row."""
        self.classes = Numbered()
        self.sources = Numbered()
        self.boxes: dict[str, list[npt.NDArray[Any]]] = {}
        self.labels: dict[str, list[npt.NDArray[Any]]] = {}
        self.absent: dict[int, dict[int, None]] = {}
        """Row → classes verified not to be there."""
        self.passed_over: dict[str, None] = {}
        self._only_there = only_there
        self._rows_of: dict[str | None, dict[str, int]] = {}
        self._by_key: dict[str, int] = {}

    def read(self, file: TableFile) -> Iterator[tuple[Block, Ints, Ints]]:
        """The blocks of a table, with the row (-1: passed over) and the record's number of each record."""
        wanted = _WANTED[file.what]
        named = "ImageID"
        for block in blocks(self.tree, file.path, file.columns, wanted, self.issues):
            rows = self._rows(block.columns[named], file, block.first)
            yield block, rows, np.arange(block.first, block.first + len(block))
        unread = [name for name in dict.fromkeys(file.columns) if name not in wanted and name]
        if unread:
            message = f"nothing is made of the columns {', '.join(unread[:12])}"
            self.issues.add("columns-unread", message, severity="info", file=file.path)

    def read_boxes(self, file: TableFile) -> None:
        """A table of boxes."""
        for block, rows, records in self.read(file):
            sides = np.stack([block.numbers(name) for name in _SIDES], axis=1)
            mids = block.columns["LabelName"]
            good = (np.abs(sides) <= LIMIT).all(axis=1) & is_named(mids)
            score = block.numbers("Confidence")
            self.malformed(file, records[(rows >= 0) & ~good], rows[(rows >= 0) & ~good])
            keep = (rows >= 0) & good
            columns: dict[str, npt.NDArray[Any]] = {
                "row": rows,
                "class": self.classes.of(mids),
                "sides": sides,
                "score": np.where(score == 1.0, np.nan, score),
                "source": self._source(block),
                **{name: _flag(block, name) for name in FLAGS},
            }
            _add(self.boxes, columns, keep)

    def read_labels(self, file: TableFile) -> None:
        """A table of labels of whole pictures, by people or by machines."""
        said_by_name = "machine" in file.path.rpartition("/")[2].lower()
        for block, rows, records in self.read(file):
            score = block.numbers("Confidence")
            mids = block.columns["LabelName"]
            good = np.isfinite(score) & is_named(mids)
            self.malformed(file, records[(rows >= 0) & ~good], rows[(rows >= 0) & ~good])
            sources = self._source(block)
            machine = np.full(len(block), said_by_name)
            if "machine" in self.sources.numbers:
                machine |= sources == self.sources.numbers["machine"]
            classes = self.classes.of(mids)
            absent = (rows >= 0) & good & (score == 0.0) & ~machine
            for row, category in zip(rows[absent].tolist(), classes[absent].tolist(), strict=True):
                self.absent.setdefault(row, {})[category] = None
            keep = (rows >= 0) & good & ~absent
            columns: dict[str, npt.NDArray[Any]] = {
                "row": rows,
                "class": classes,
                "score": np.where(~machine & (score == 1.0), np.nan, score),
                "machine": machine,
                "source": sources,
            }
            _add(self.labels, columns, keep)

    def read_info(self, file: TableFile) -> None:
        """A table of facts about pictures; of pictures that no other table and no file is of it says nothing new."""
        for block in blocks(self.tree, file.path, file.columns, _WANTED["info"], self.issues):
            ids = block.columns["ImageID"].to_pylist()
            texts = {name: column.to_pylist() for name, column in block.columns.items()}
            for at, image_id in enumerate(ids):
                subset = texts["Subset"][at] if "Subset" in texts else file.subset
                number = self._known(image_id, _USUAL.get(subset, subset) if subset else None)
                if number is not None:
                    row = self.rows[number]
                    if subset and "subsets" not in row:
                        row["subsets"] = [_USUAL.get(subset, subset)]
                    self._add_facts(row, {name: cells[at] for name, cells in texts.items()})

    def _known(self, image_id: str, subset: str | None) -> int | None:
        for group in (subset, *self._rows_of):
            number = self._rows_of.get(group, {}).get(image_id, -1)
            if number >= 0:
                return number
        if self.pictures.by_stem(image_id) is None or not image_id:
            return None
        return self._row_of(image_id, subset)

    def _add_facts(self, row: Row, cells: Mapping[str, str]) -> None:
        provenance = {ours: cells[name] for name, ours in INFO.items() if cells.get(name)}
        if provenance:
            row["provenance"] = {**provenance, **row.get("provenance", {})}
        facts: dict[str, Any] = {ours: cells[name] for name, ours in FACTS.items() if cells.get(name)}
        size = facts.get("original_size_bytes")
        if size is not None and size.isascii() and size.isdigit() and len(size) < 16:
            facts["original_size_bytes"] = int(size)
        turned = cells.get("Rotation", "").strip().partition(".")[0]
        if turned in ("0", "90", "180", "270"):
            facts["rotation_deg"] = int(turned)
        if facts:
            row["attributes"] = {**facts, **row.get("attributes", {})}

    def _rows(self, column: pa.Array, file: TableFile, first: int) -> Ints:
        """The number of the row of each image id; -1 for those that are passed over."""
        encoded = pc.dictionary_encode(column)
        known = self._rows_of.setdefault(file.subset, {})
        codes = np.empty(len(encoded.dictionary), np.int64)
        for at, image_id in enumerate(encoded.dictionary.to_pylist()):
            number = known.get(image_id)
            if number is None:
                number = known[image_id] = self._row_of(image_id, file.subset, file, first)
            codes[at] = number
        return codes[encoded.indices.to_numpy()] if len(codes) else np.zeros(0, np.int64)

    def _row_of(self, image_id: str, subset: str | None, file: TableFile | None = None, first: int = 0) -> int:
        prefer = (subset, "validation" if subset == "val" else subset) if subset else ()
        key = self.pictures.by_stem(image_id, prefer=prefer) if image_id else None
        if key is None and self._only_there:
            self.passed_over.setdefault(image_id)
            return -1
        if key is None:
            key = reduce_name(image_id)
        if not key:
            message = f"no picture can be named {image_id[:80]!r}"
            hint = "Name the picture by its id."
            place = f"record {first} or later"
            path = file.path if file else None
            self.issues.add("picture-name-unusable", message, file=path, place=place, hint=hint)
            return -1
        number = self._by_key.get(key)
        if number is None:
            number = self._by_key[key] = len(self.rows)
            self.rows.append({"key": key, "source_id": image_id})
            self.ids.append(image_id)
        row = self.rows[number]
        if subset and subset not in row.get("subsets", ()):
            row["subsets"] = [*row.get("subsets", ()), subset]
        return number

    def _source(self, block: Block) -> Ints:
        column = block.columns.get("Source")
        return np.full(len(block), -1) if column is None else self.sources.of(column)

    def malformed(self, file: TableFile, records: Ints, rows: Ints) -> None:
        """Says that records, of these rows, were left out."""
        for record, row in zip(records.tolist(), rows.tolist(), strict=True):
            self.rows[row]["labelled"] = "partial"
            message = "a cell that should be a number or a class is none; the record was left out"
            hint = "Correct the record."
            place, key = f"record {record}", self.rows[row]["key"]
            self.issues.add("row-malformed", message, file=file.path, place=place, key=key, hint=hint)


def joined(columns: Mapping[str, Sequence[npt.NDArray[Any]]], name: str, like: Any = np.int64) -> npt.NDArray[Any]:
    """One column whole; of nothing, an empty one of the type ``like``."""
    return np.concatenate(columns[name]) if columns.get(name) else np.zeros(0, like)


def _add(target: dict[str, list[npt.NDArray[Any]]], columns: Mapping[str, npt.NDArray[Any]], keep: Any) -> None:
    if keep.any():
        for name, values in columns.items():
            target.setdefault(name, []).append(values[keep])


def _flag(block: Block, name: str) -> npt.NDArray[np.int8]:
    """1, 0, or -1 for what is unknown; where there is no such column -1, but 0 for a group: then nothing is one."""
    if name not in block.columns:
        return np.full(len(block), 0 if name == "IsGroupOf" else -1, np.int8)
    values: Floats = block.numbers(name)
    return np.where(values == 1.0, 1, np.where(values == 0.0, 0, -1)).astype(np.int8)


def is_named(mids: pa.Array) -> npt.NDArray[np.bool_]:
    """Which texts can be a class."""
    lengths = pc.utf8_length(mids).to_numpy()
    return np.asarray((lengths > 0) & (lengths <= 1000), np.bool_)


_WANTED: Mapping[str, tuple[str, ...]] = {
    "boxes": ("ImageID", "LabelName", "Confidence", "Source", *_SIDES, *FLAGS),
    "labels": ("ImageID", "LabelName", "Confidence", "Source"),
    "masks": (
        *("ImageID", "LabelName", "MaskPath", "BoxID", "BoxXMin", "BoxYMin", "BoxXMax", "BoxYMax"),
        "PredictedIoU",
    ),
    "relations": (
        *("ImageID", "LabelName1", "LabelName2", "RelationshipLabel", "RelationLabel"),
        *("XMin1", "YMin1", "XMax1", "YMax1", "XMin2", "YMin2", "XMax2", "YMax2"),
    ),
    "info": ("ImageID", "Subset", "Rotation", *INFO, *FACTS),
}
