"""Open Images' tables of a whole tree into a label set, in columns; only what belongs together is read row by row.

Most annotations are boxes and labels in which nothing is to be looked up: those become columns by array arithmetic.
Pictures with masks, relations between boxes, or an EXIF orientation are put together one by one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dsetkit.errors import FormatError
from dsetkit.formats.annotation_columns import AnnotationColumns, Outlines, boxes_column
from dsetkit.formats.frames import Frame, is_stored_frame, to_upright
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.open_images.files import TableFile
from dsetkit.formats.open_images.gather import FLAGS, Gathered, Ints, joined
from dsetkit.formats.open_images.links import Links, read_links
from dsetkit.formats.open_images.names import ClassNames, read_sizes
from dsetkit.formats.open_images.rows import attributes_of, extras_of, origin_of
from dsetkit.formats.pictures import PictureIndex
from dsetkit.spec.arrow import Row, arrow_schema, table_from_rows
from dsetkit.spec.base import canonical_json
from dsetkit.spec.key import sort_key
from dsetkit.spec.sample import Sample
from dsetkit.spec.snapshot import License
from dsetkit.storage.tree import Tree

_NONE = np.zeros(0, np.int64)


class OpenImagesReader:
    """Reads one tree. ``frame`` says which picture coordinates are of; ``only_there`` passes over absent pictures."""

    def __init__(
        self, tree: Tree, files: Sequence[TableFile], pictures: PictureIndex, frame: Frame, *, only_there: bool
    ) -> None:
        self.tree = tree
        self.files = files
        self.pictures = pictures
        self.frame = frame
        self.issues = IssueList()
        self.names = ClassNames(self.issues)
        self.found = Gathered(tree, pictures, self.issues, only_there=only_there)
        self.links = Links()
        self.refused: list[FormatError] = []
        self._annotations = AnnotationColumns()
        self._used: list[int] = []

    def label_set(self) -> LabelSet:
        """All tables. Raises ``FormatError`` where none can be read."""
        self.names.read(self.tree, self.files)
        sizes = read_sizes(self.tree, self.files, self.issues)
        found = self.found
        by_kind = {"boxes": found.read_boxes, "labels": found.read_labels}
        for what in ("boxes", "labels", "masks", "relations", "info"):
            for file in (file for file in self.files if file.what == what):
                try:
                    if what == "info":
                        found.read_info(file)
                    elif what in by_kind:
                        by_kind[what](file)
                    else:
                        read_links(found, self.links, file)
                except FormatError as error:
                    self.refused.append(error)
                    hint = error.hint
                    self.issues.add("table-unreadable", error.message, file=file.path, place=error.place, hint=hint)
        for file in (file for file in self.files if file.what == "points"):
            message = "labels of single points are not read"
            self.issues.add("points-unread", message, severity="info", file=file.path)
        tables = [file for file in self.files if file.what in ("boxes", "labels", "masks", "relations")]
        if not found.rows and len(self.refused) >= len(tables) > 0:
            raise self.refused[0]
        self._say_passed_over()
        return self._put_together(sizes)

    def _say_passed_over(self) -> None:
        if self.found.passed_over:
            count, one = len(self.found.passed_over), next(iter(self.found.passed_over))
            message = f"labels of {count:,} pictures that are not here were left out (the first is {one[:80]})"
            hint = "Put the pictures there, or pass the option pictures: all."
            self.issues.add("pictures-absent", message, severity="warning", hint=hint)

    def _put_together(self, sizes: Mapping[str, tuple[int, int]]) -> LabelSet:
        found = self.found
        names = [self.names.name_of(mid) for mid in found.classes.texts()]
        count = len(found.rows)
        boxes, labels = _Columns(found.boxes), _Columns(found.labels)
        needs_size = np.zeros(count, np.bool_)
        needs_size[boxes.row] = True
        needs_size[list(self.links.rows())] = True
        turned = self._sizes(sizes, needs_size)
        apart = np.zeros(count, np.bool_)
        apart[[*turned, *self.links.rows()]] = True
        is_sized = np.array(["width_px" in row for row in found.rows], np.bool_) if count else np.zeros(0, np.bool_)
        self._used = self._classes(boxes, labels)
        self._labelled(boxes, labels, needs_size & ~is_sized, names)
        boxes = boxes.where(is_sized)
        self._add_columns(boxes.where(~apart), labels.where(~apart), names)
        self._add_rows(boxes.where(apart), labels.where(apart), names, turned)
        return self._finish()

    def _classes(self, boxes: _Columns, labels: _Columns) -> list[int]:
        """The numbers of the classes that anything is said of, by first appearance."""
        used = set(np.unique(np.r_[boxes.get("class"), labels.get("class")]).tolist())
        used.update(number for classes in self.found.absent.values() for number in classes)
        used.update(one.category for masks in self.links.masks.values() for one in masks)
        return sorted(used)

    def _sizes(self, sizes: Mapping[str, tuple[int, int]], needed: npt.NDArray[np.bool_]) -> dict[int, int]:
        """Puts stored sizes on rows; gives the EXIF orientation of those rows that have to be turned."""
        turned: dict[int, int] = {}
        for number, (row, image_id) in enumerate(zip(self.found.rows, self.found.ids, strict=True)):
            given = sizes.get(image_id)
            header = self.pictures.header(row["key"]) if needed[number] or given is not None else None
            if header is not None:
                upright, orientation = header
                stored = upright[::-1] if orientation is not None and orientation >= 5 else upright
                frame = self.frame if given is not None or self.frame != "auto" else "stored"
                if is_stored_frame(frame, given, upright, orientation) and orientation is not None:
                    turned[number] = orientation
                    given = given or stored
                given = given or upright
            if given is not None:
                row |= {"width_px": given[0], "height_px": given[1]}
            elif needed[number]:
                message = "the picture is not there or shows no size, so its fractions cannot become pixels"
                hint = "Put the pictures beside the labels, or their sizes into images.meta."
                self.issues.add("picture-size-unknown", message, key=row["key"], hint=hint)
        return turned

    def _labelled(self, boxes: _Columns, labels: _Columns, lost: npt.NDArray[np.bool_], names: list[str]) -> None:
        by_people = np.zeros(len(self.found.rows), np.bool_)
        by_people[boxes.row] = True
        by_people[labels.row[~labels.get("machine", np.bool_)]] = True
        by_people[list(self.found.absent)] = True
        by_people[list(self.links.rows())] = True
        proposed = np.zeros(len(self.found.rows), np.bool_)
        proposed[labels.row] = True
        for number, row in enumerate(self.found.rows):
            if lost[number] or (proposed[number] and not by_people[number]):
                row["labelled"] = "partial"
            elif by_people[number]:
                row.setdefault("labelled", "yes")
        present = set(zip(labels.row.tolist(), labels.get("class").tolist(), strict=True)) if self.found.absent else ()
        for number, classes in self.found.absent.items():
            row = self.found.rows[number]
            kept = {names[category]: None for category in classes if (number, category) not in present}
            if kept:
                row["absent_categories"] = list(kept)
            if len(kept) < len({names[category] for category in classes}):
                message = "a class is said to be on the picture, and not to be; it is taken to be"
                hint = "Correct the labels of the picture."
                self.issues.add("labels-contradict", message, severity="warning", key=row["key"], hint=hint)

    def _add_columns(self, boxes: _Columns, labels: _Columns, names: list[str]) -> None:
        in_front = np.bincount(boxes.row, minlength=len(self.found.rows))
        sources = [*self.found.sources.texts(), ""]  # the last stands for -1: no column of sources
        if len(boxes.row):
            sizes = np.array([(row.get("width_px", 0), row.get("height_px", 0)) for row in self.found.rows], np.float64)
            corners = boxes.get("sides", np.float64) * np.tile(sizes[boxes.row], 2)
            corners[:, 2:] -= corners[:, :2]
            flags = np.stack([boxes.get(name, np.int8) for name in FLAGS], axis=1).astype(np.int64)
            group = flags[:, FLAGS.index("IsGroupOf")]
            columns = {
                "id": _texts(_ranks(boxes.row)),
                "kind": pa.repeat("box", len(boxes.row)),
                "category": pa.array(names, pa.string()).take(pa.array(boxes.get("class"))),
                "bbox_xywh_px": boxes_column(corners),
                "attributes": _per_kind(flags, lambda one: canonical_json(attributes_of(one))),
                "is_crowd": pa.array(group == 1),
                **_said(boxes, sources, group < 0),
            }
            self._annotations.add(np.arange(len(boxes.row)), boxes.row, columns, [_no_outlines(len(boxes.row))])
        if len(labels.row):
            machine = labels.get("machine", np.bool_)
            columns = {
                "id": _texts(_ranks(labels.row) + in_front[labels.row]),
                "kind": pa.repeat("image_label", len(labels.row)),
                "category": pa.array(names, pa.string()).take(pa.array(labels.get("class"))),
                "status": pa.array(["accepted", "proposed"]).take(pa.array(machine.astype(np.int8))),
                **_said(labels, sources, np.zeros(len(labels.row), np.bool_), machine),
            }
            places = len(boxes.row) + np.arange(len(labels.row))
            self._annotations.add(places, labels.row, columns, [_no_outlines(len(labels.row))])

    def _add_rows(self, boxes: _Columns, labels: _Columns, names: list[str], turned: Mapping[int, int]) -> None:
        sources = [*self.found.sources.texts(), ""]
        made: dict[int, list[Row]] = {number: [] for number in (*turned, *self.links.rows())}
        corners = boxes.get("sides", np.float64)
        flags = [boxes.get(name, np.int8) for name in FLAGS]
        for at, number in enumerate(boxes.row.tolist()):
            row = self.found.rows[number]
            x, y, right, bottom = (corners[at] * np.tile((row["width_px"], row["height_px"]), 2)).tolist()
            states = [int(values[at]) for values in flags]
            box: Row = {"kind": "box", "category": names[boxes.get("class")[at]], "is_crowd": states[2] == 1}
            box |= {"bbox_xywh_px": [x, y, right - x, bottom - y], "attributes": attributes_of(states)}
            box |= {"_at": (int(boxes.get("class")[at]), tuple(corners[at].tolist()))}
            made[number].append(box | _facts(boxes, at, sources, states[2] < 0))
        self.links.join(made, self.found, names, self.issues)
        for at, number in enumerate(labels.row.tolist()):
            label: Row = {"kind": "image_label", "category": names[labels.get("class")[at]]}
            machine = bool(labels.get("machine", np.bool_)[at])
            label |= {"status": "proposed"} if machine else {}
            made[number].append(label | _facts(labels, at, sources, False, machine=machine))
        place = len(boxes.row) + len(labels.row) + sum(map(len, self.found.boxes.get("row", ())))
        place += sum(map(len, self.found.labels.get("row", ())))
        for number, items in made.items():
            row = self.found.rows[number]
            plain = [{k: v for k, v in item.items() if k != "_at" and v != {}} for item in items]
            plain = [{"id": str(index), **item} for index, item in enumerate(plain)]
            if number in turned:
                stored = row["width_px"], row["height_px"]
                upright = stored[::-1] if turned[number] >= 5 else stored
                row |= {"width_px": upright[0], "height_px": upright[1]}
                plain = to_upright(plain, turned[number], upright)
            for item in plain:
                self._annotations.add_row(place, number, item)
                place += 1

    def _finish(self) -> LabelSet:
        rows = self.found.rows
        order = sorted(range(len(rows)), key=lambda number: sort_key(rows[number]["key"]))
        positions = np.empty(len(rows), np.int64)
        positions[order] = np.arange(len(rows))
        lists = self._annotations.lists(positions)
        table = table_from_rows([rows[number] for number in order], Sample)
        place = table.schema.get_field_index("annotations")
        table = table.set_column(place, arrow_schema(Sample).field(place), lists)
        texts = self.found.classes.texts()
        categories = self.names.categories(texts[number] for number in self._used)
        urls = dict.fromkeys(row["provenance"]["license"] for row in rows if "license" in row.get("provenance", ()))
        licenses = [License(name=url, url=url) for url in urls]
        return LabelSet(table, categories, None, licenses, self.issues.all())


class _Columns:
    """Columns of records of one kind."""

    def __init__(self, given: Mapping[str, Sequence[npt.NDArray[Any]]]) -> None:
        self._columns = {name: joined(given, name) for name in given}

    @property
    def row(self) -> Ints:
        """The rows that they are of."""
        return self._columns.get("row", _NONE)

    def get(self, name: str, like: Any = np.int64) -> npt.NDArray[Any]:
        """One column."""
        return self._columns.get(name, np.zeros((0, 4) if name == "sides" else 0, like))

    def where(self, of_row: npt.NDArray[np.bool_]) -> _Columns:
        """The records of some rows."""
        made = _Columns({})
        keep = of_row[self.row]
        made._columns = {name: values[keep] for name, values in self._columns.items()}
        return made


def _said(
    of: _Columns, sources: list[str], unknown: npt.NDArray[np.bool_], machine: npt.NDArray[np.bool_] | None = None
) -> dict[str, pa.Array]:
    """The columns that are alike for boxes and labels: score, origin and extras."""
    score, source = of.get("score", np.float64), of.get("source")
    by_machine = np.zeros(len(source), np.bool_) if machine is None else machine
    kinds = np.stack([source, unknown, by_machine], axis=1).astype(np.int64)
    columns = {"extras": _per_kind(kinds, lambda one: canonical_json(extras_of(sources[one[0]], bool(one[1]))))}
    columns["origin"] = _per_kind(kinds, lambda one: origin_of(sources[one[0]], machine=bool(one[2])))
    columns["score"] = pa.array(score, pa.float64(), mask=np.isnan(score))
    return columns


def _facts(of: _Columns, at: int, sources: list[str], unknown: bool, *, machine: bool = False) -> Row:
    score, source = float(of.get("score", np.float64)[at]), sources[int(of.get("source")[at])]
    out: Row = {"extras": extras_of(source, unknown)}
    if (origin := origin_of(source, machine=machine)) is not None:
        out["origin"] = origin
    return out if np.isnan(score) else {**out, "score": score}


def _per_kind(kinds: Ints, make: Any) -> pa.Array:
    """A text for each row of numbers; made once for all rows that are alike."""
    low = kinds.min(axis=0)
    spans = kinds.max(axis=0) - low + 1
    code = np.ravel_multi_index(tuple((kinds - low).T), tuple(spans.tolist()))
    _, first, inverse = np.unique(code, return_index=True, return_inverse=True)
    texts = pa.array([make(kinds[at].tolist()) for at in first.tolist()], pa.string())
    return texts.take(pa.array(inverse.reshape(-1)))


def _ranks(rows: Ints) -> Ints:
    """For each record, how many of its row are before it."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(rows) else _NONE
    lengths = np.diff(np.r_[starts, len(rows)])
    ranks = np.empty(len(rows), np.int64)
    ranks[order] = np.arange(len(rows)) - np.repeat(starts, lengths)
    return ranks


def _texts(numbers: Ints) -> pa.Array:
    return pa.array(numbers).cast(pa.string())


def _no_outlines(count: int) -> Outlines:
    return Outlines(np.zeros(count, np.int64), np.zeros(0, np.int64), np.zeros(0))
