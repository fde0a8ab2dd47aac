"""CSV: one row a box (or a class of a whole picture, or a picture without any), as tutorials and Kaggle have it.

A header is needed; its columns are known by common names in any order, or by options. Boxes are two corners or a
corner and a size.

Pixels. ``zero_based`` (the default) takes the numbers as they stand: the box reaches from ``xmin`` to ``xmax``. A file
that was made from 1-based Pascal VOC with both corners included is read with ``pixels: one_based``: ``x = xmin - 1``,
``w = xmax - xmin + 1``. Nothing in a file tells which it is; most are written by scripts that hold 0-based edges.

Several files that describe the same picture are put together; a row that another file has too counts once. The name of
a file gives the subset (``train_labels.csv``) where at least two files have different ones and there is no such column.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any, ClassVar

from dsetkit.errors import FormatError
from dsetkit.formats.base import Capabilities, Detection, Export, Format, Options, choose
from dsetkit.formats.carry import carry_row, withdraw_labelled
from dsetkit.formats.csv_boxes.columns import MEANINGS, Columns, find_columns, header_line, records
from dsetkit.formats.csv_boxes.read import CsvReader, subsets_by_name
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.places import Places, safe_path
from dsetkit.formats.text import decode, read_label_text
from dsetkit.imaging.media import PICTURE_EXTENSIONS
from dsetkit.spec.arrow import Row
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_HEAD_BYTES = 16 * 1024
_HEADER = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax", "split")
_PIXELS = ("zero_based", "one_based")


class CsvBoxes(Format):
    """Label tables."""

    name = "csv"
    title = "CSV"
    extensions: ClassVar[frozenset[str]] = frozenset({".csv", ".tsv"})
    looks_for = "a .csv or .tsv file whose header has a column of picture names and one of classes or boxes"
    capabilities = Capabilities(
        kinds=frozenset({"box", "image_label"}),
        becomes=dict.fromkeys(("rotated_box", "polygon", "mask", "ellipse", "keypoints"), "box"),
        sample_fields=frozenset({"width_px", "height_px"}),
        categories="used",
        subsets="one",
        names="free",
    )
    options: ClassVar[Mapping[str, str]] = {
        "pixels": "what coordinates count from: zero_based (edges, as they stand) or one_based (VOC, both included)",
        "delimiter": "what stands between columns; found from the header where it is left out",
        **{meaning: f"the name of the column that is the {meaning}" for meaning in MEANINGS},
    }

    def detect(self, tree: Tree) -> Detection | None:
        """Never certain: a CSV often lies beside labels in another format that say more."""
        best: Detection | None = None
        for path, columns in self._tables(tree):
            if not columns.has_boxes and "category" not in columns.places:
                continue
            what = "boxes" if columns.has_boxes else "classes"
            found = Detection(self.name, 0.4 if columns.has_boxes else 0.35, f"found {path} with columns for {what}")
            if best is None or found.confidence > best.confidence:
                best = found
        return best

    def label_files(self, tree: Tree) -> list[str]:
        """Tables in whose header a column names pictures and one a class, box, subset or text."""
        return [path for path, columns in self._tables(tree) if len(columns.places) > 1]

    def _tables(self, tree: Tree) -> list[tuple[str, Columns]]:
        found = []
        pictures = PictureIndex(tree, self.pictures(tree))
        for path in tree.entries:
            if not path.lower().endswith(tuple(self.extensions)):
                continue
            try:
                text = decode(_cut(tree.read_head(path, _HEAD_BYTES)), path)
                columns = find_columns(header_line(text), path, {})
                if columns is None:
                    continue
                sample = [cells for _, cells in zip(range(10), records(text, columns, path), strict=False)]
            except FormatError:
                continue
            names = [cells[columns.places["filename"]] for _, cells in sample if len(cells) == columns.width]
            if not names or any(_names_picture(name, pictures) for name in names):
                found.append((path, columns))
        return found

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """Labels of all tables. Annotations are numbered in the order of rows; categories by first appearance."""
        choose(options, "pixels", _PIXELS, "zero_based")
        named = any(meaning in options for meaning in MEANINGS)
        files = [path for path in labels.entries if path.lower().endswith(tuple(self.extensions))]
        known = set(self.label_files(labels))
        files = [path for path in files if named or path in known or len(files) == 1]
        if not files:
            raise self.no_labels(labels)
        reading = CsvReader(pictures, options, subsets_by_name(files))
        for path in files:
            reading.read_file(path, read_label_text(labels, path))
        return reading.finish()

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> dict[str, str]:
        """Where each picture goes, by key."""
        choose(options, "pixels", _PIXELS, "zero_based")
        super().prepare(export, options, ledger)
        places = Places()
        return {row["key"]: places.take(f"images/{safe_path(row['key'])}") for row in export.rows()}

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """Boxes and image labels with their class; a picture nobody labelled has no line of its own."""
        out = carry_row(row, self.capabilities, ledger)
        out["key"] = prepared[row["key"]]
        annotations = out.pop("annotations", [])
        kept = [item for item in annotations if item["category"].strip()]
        if len(kept) < len(annotations):
            message = "a class of blanks alone is read as none; such annotations are left out"
            ledger.add("category-blank", message, row["key"], count=len(annotations) - len(kept))
        if kept:
            out["annotations"] = [{**item, "id": str(index)} for index, item in enumerate(kept)]
        withdraw_labelled(row, out, ledger)
        if "subsets" in out and not out["subsets"][0].strip():
            ledger.add("split-dropped", "a split of blanks alone is read as none", row["key"])
            del out["subsets"]
        if "labelled" not in out:
            for name in ("subsets", "width_px", "height_px"):
                if out.pop(name, None) is not None and name == "subsets":
                    ledger.add("split-dropped", "a picture nobody labelled has no line, so no split", row["key"])
        return out

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """``labels.csv`` and ``images/<key>``; file names in the table are paths from its folder."""
        shift = 1 if options.get("pixels") == "one_based" else 0
        ledger = Ledger(self.name)
        places = self.prepare(export, options, ledger)
        text = io.StringIO(newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow(_HEADER)
        for row in export.rows():
            data = export.picture(row)
            if data is not None:
                sink.write(places[row["key"]], data)
            carried = self.carry(row, places, ledger)
            if "labelled" not in carried:
                continue
            head = [carried["key"], carried.get("width_px", ""), carried.get("height_px", "")]
            split = carried.get("subsets", ("",))[0]
            for annotation in carried.get("annotations") or [{}]:
                box = annotation.get("bbox_xywh_px")
                corners = [""] * 4 if box is None else _corners(box, shift)
                table.writerow([*head, annotation.get("category", ""), *corners, split])
        sink.write("labels.csv", text.getvalue().encode())


def _corners(box: tuple[float, ...], shift: int) -> list[str]:
    x, y, w, h = box
    return [_plain(x + shift), _plain(y + shift), _plain(x + w), _plain(y + h)]


def _plain(number: float) -> str:
    return str(int(number)) if float(number).is_integer() and abs(number) < 1e15 else repr(float(number))


def _cut(head: bytes) -> bytes:
    """The beginning of a file without its last, broken line (so that no character is cut in two)."""
    return head if len(head) < _HEAD_BYTES else head[: head.rfind(b"\n") + 1]


def _names_picture(name: str, pictures: PictureIndex) -> bool:
    extension = "." + name.strip().rpartition(".")[2].lower()
    return extension in PICTURE_EXTENSIONS or pictures.by_stem(name) is not None
