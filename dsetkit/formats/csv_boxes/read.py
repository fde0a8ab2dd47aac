"""Label tables into rows."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping

from dsetkit.errors import FormatError
from dsetkit.formats.base import SUBSET_NAMES, Options
from dsetkit.formats.csv_boxes.columns import Columns, find_columns, header_line, records
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.pictures import PictureIndex
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
LIMIT_PX = 1e9
"""A number beyond this is taken for a fault."""


class CsvReader:
    """The rows gathered so far."""

    def __init__(self, pictures: PictureIndex, options: Options, subsets: Mapping[str, str]) -> None:
        self.pictures = pictures
        self.options = options
        self.subsets = subsets
        self.shift = 1 if options.get("pixels") == "one_based" else 0
        self.issues = IssueList()
        self.rows: dict[str, Row] = {}
        self.categories: dict[str, None] = {}
        self.seen: dict[str, Counter[str]] = {}

    def read_file(self, path: str, text: str) -> None:
        """All records of one table."""
        columns = find_columns(header_line(text), path, self.options)
        if columns is None:
            raise FormatError(
                f"{path} has no column that names pictures",
                file=path,
                place="line 1",
                hint="Put a header line on top, or say which column it is by the option filename.",
            )
        counts: dict[str, Counter[str]] = {}
        small = large = 0
        for line, cells in records(text, columns, path):
            box = self._read_record(path, line, cells, columns, counts)
            if box is not None:
                small, large = (small + 1, large) if max(map(abs, box)) <= 1.0 else (small, large + 1)
        if small and not large:
            self.issues.add(
                "coordinates-normalised",
                "no coordinate is above 1, so they look like fractions of the size, not pixels",
                severity="warning",
                file=path,
                hint="Multiply them by the picture's size.",
            )
        for key, counter in counts.items():
            known = self.seen.setdefault(key, Counter())
            known |= counter

    def _read_record(
        self, path: str, line: int, cells: list[str], columns: Columns, counts: dict[str, Counter[str]]
    ) -> tuple[float, ...] | None:
        place = f"line {line}"
        if len(cells) > columns.width and any(cell.strip() for cell in cells[columns.width :]):
            message = f"it has {len(cells)} cells, the header {columns.width}"
            hint = "Put cells that hold a delimiter in quotes."
            self.issues.add("row-malformed", message, file=path, place=place, hint=hint)
            return None
        values = {name: cells[at] if at < len(cells) else "" for name, at in columns.places.items()}
        row = self._row_of(path, place, values)
        if row is None:
            return None
        annotation: Row = {}
        if values.get("category", "").strip():
            annotation["category"] = values["category"]
        text = values.get("text", "")
        if text.strip():
            annotation["text"] = text
        try:
            score = self._number(values, "score")
            box = self._box(values, columns)
        except ValueError as error:
            hint = "Correct the cell; the row was left out."
            self.issues.add("row-malformed", str(error), file=path, place=place, key=row["key"], hint=hint)
            row["labelled"] = "partial"
            return None
        if not annotation and box is None:
            return None
        if score is not None:
            annotation["score"] = score
        if box is not None:
            annotation["bbox_xywh_px"] = box
        kind = "box" if box is not None else "image_label" if "category" in annotation else "caption"
        annotation["kind"] = kind
        said = repr(sorted(annotation.items()))
        counter = counts.setdefault(row["key"], Counter())
        counter[said] += 1
        if counter[said] > self.seen.get(row["key"], Counter())[said]:  # a row another file has too counts once
            if "category" in annotation:
                self.categories.setdefault(annotation["category"])
            row["annotations"].append({"id": str(len(row["annotations"])), **annotation})
        return box

    def _row_of(self, path: str, place: str, values: Mapping[str, str]) -> Row | None:
        name = values["filename"]
        if not name.strip():
            hint = "Name the picture, or take the row out."
            self.issues.add("row-malformed", "it names no picture", file=path, place=place, hint=hint)
            return None
        near = path.rpartition("/")[0]
        subset = values.get("split", "").strip() or self.subsets.get(path)
        prefer = (subset,) if subset else ()
        key = None
        if not self.pictures.candidates(name, near, prefer):
            key = self.pictures.by_stem(name, near, prefer)
        if key is None:
            key = self.pictures.key_of(name, self.issues, near=near, prefer=prefer, file=path, place=place)
        if key is None:
            return None
        row = self.rows.setdefault(key, {"key": key, "labelled": "yes", "annotations": [], "subsets": []})
        if subset and subset not in row["subsets"]:
            row["subsets"].append(subset)
        self._size(row, path, place, values)
        return row

    def _size(self, row: Row, path: str, place: str, values: Mapping[str, str]) -> None:
        try:
            width, height = self._number(values, "width"), self._number(values, "height")
        except ValueError:
            width = height = None
        if width is None or height is None or not (1 <= width < 2**31 and 1 <= height < 2**31):
            return
        size = {"width_px": int(width), "height_px": int(height)}
        if "width_px" not in row:
            row.update(size)
        elif {name: row[name] for name in size} != size:
            self.issues.add(
                "size-differs",
                f"it gives {int(width)}×{int(height)} px, a row above {row['width_px']}×{row['height_px']} px",
                severity="warning",
                file=path,
                place=place,
                key=row["key"],
                hint="Check which of them is right; the first counts.",
            )

    def _number(self, values: Mapping[str, str], name: str) -> float | None:
        cell = values.get(name, "").strip()
        if not cell:
            return None
        if not _NUMBER.fullmatch(cell) and _NUMBER.fullmatch(cell.replace(",", ".")):
            cell = cell.replace(",", ".")
        number = float(cell) if len(cell) < 64 and _NUMBER.fullmatch(cell) else math.nan
        if not math.isfinite(number):
            raise ValueError(f"{name} is {cell[:40]!r}, which is no finite number")
        if abs(number) > LIMIT_PX:
            raise ValueError(f"{name} is {cell[:40]}, beyond any picture (1e9 px)")
        return number

    def _box(self, values: Mapping[str, str], columns: Columns) -> tuple[float, ...] | None:
        if not columns.has_boxes:
            return None
        names = ("xmin", "ymin", "xmax", "ymax") if columns.has_corners else ("x", "y", "w", "h")
        numbers = [self._number(values, name) for name in names]
        given = [number for number in numbers if number is not None]
        if not given:
            return None
        if len(given) < 4:
            missing = ", ".join(name for name, number in zip(names, numbers, strict=True) if number is None)
            raise ValueError(f"its box has no {missing}")
        x, y, third, fourth = given
        x, y = x - self.shift, y - self.shift
        return (x, y, third - x, fourth - y) if columns.has_corners else (x, y, third, fourth)

    def finish(self) -> LabelSet:
        """All rows, defaults left out."""
        rows = [{name: value for name, value in row.items() if value != []} for row in self.rows.values()]
        categories = [
            Category(name=name, index=index, source_ids=(name,)) for index, name in enumerate(self.categories)
        ]
        return LabelSet.from_rows(rows, categories, issues=self.issues.all())


def subsets_by_name(files: list[str]) -> dict[str, str]:
    """Subset by file, where file names tell at least two apart."""
    found: dict[str, str] = {}
    for path in files:
        words = re.split(r"[\W_]+", path.rpartition("/")[2].rpartition(".")[0].lower())
        named = [word for word in words if word in SUBSET_NAMES]
        if len(named) == 1:
            found[path] = named[0]
    return found if len(set(found.values())) > 1 else {}
