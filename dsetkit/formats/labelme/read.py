"""LabelMe's JSON files of a whole tree, as rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from dsetkit.errors import FormatError
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelme.document import Parsed, parse, rest_of
from dsetkit.formats.labelme.files import MAX_JSON_BYTES
from dsetkit.formats.labelme.shapes import IGNORE, ShapeError, Size, read_flags, read_shape
from dsetkit.formats.notes import FileNotes
from dsetkit.formats.per_picture import LabelFile
from dsetkit.formats.text import read_label_bytes
from dsetkit.spec.arrow import Row

if TYPE_CHECKING:
    from dsetkit.storage.tree import Tree

_KNOWN = frozenset(
    {"version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth", "attributes", "subsets"}
    | {"lineColor", "fillColor"}  # how it was shown
)


class LabelmeReader:
    """Reads one tree; collects issues and names of categories."""

    def __init__(self, tree: Tree, issues: IssueList, size: Callable[[LabelFile], Size | None]) -> None:
        self.tree = tree
        self.issues = issues
        self.refused: list[FormatError] = []
        self.categories: dict[str, None] = {}
        self._size = size

    def files(self, paths: Iterable[str]) -> list[LabelFile]:
        """The files that are LabelMe's; other JSON is passed over, unreadable files are issues."""
        found = []
        for path in paths:
            try:
                parsed = parse(read_label_bytes(self.tree, path, MAX_JSON_BYTES), path, self.issues)
            except FormatError as error:
                self.refused.append(error)
                self.issues.add("json-unreadable", error.message, file=path, place=error.place, hint=error.hint)
                continue
            if parsed is not None:
                found.append(self._read(path, parsed))
        return found

    def _read(self, path: str, parsed: Parsed) -> LabelFile:
        document = parsed.document
        name = document.get("imagePath")
        file = LabelFile(path, {}, [name] if isinstance(name, str) and name else [])
        notes = FileNotes(self.issues, path)
        row = file.row = self._declared(notes, document)
        annotations: list[Row] = []
        complete = parsed.complete

        def size() -> Size | None:
            return (row["width_px"], row["height_px"]) if "width_px" in row else self._size(file)

        for index, raw in parsed.shapes:
            place = f"shapes[{index}]"
            try:
                made = read_shape(raw, size, notes, place)
            except ShapeError as error:
                complete = False
                message = f"{error}; it was left out"
                self.issues.add(error.code, message, file=path, place=place, hint="Correct it in LabelMe.")
                continue
            annotations.append({"id": str(len(annotations)), **made})
            if "category" in made:
                self.categories.setdefault(made["category"])
        self._flags(row, document, annotations)
        row["labelled"] = "yes" if complete else "partial"
        if annotations:
            row["annotations"] = annotations
        return file

    def _declared(self, notes: FileNotes, document: dict[str, Any]) -> Row:
        row: Row = {}
        sides = [document.get(name) for name in ("imageWidth", "imageHeight")]
        usable = [isinstance(side, int) and not isinstance(side, bool) and 0 < side < 2**31 for side in sides]
        if all(usable):
            row |= {"width_px": sides[0], "height_px": sides[1]}
        elif any(side is not None for side in sides):
            shown = " × ".join(repr(side)[:20] for side in sides)
            notes.add("size-unusable", f"it says the picture has {shown} pixels", "imageWidth", "", "warning")
        given = document.get("attributes")
        attributes = dict(rest_of(document, _KNOWN, notes))
        if isinstance(given, dict):
            attributes |= dict(rest_of(given, frozenset(), notes, "attributes"))
        if attributes:
            row["attributes"] = attributes
        subsets = document.get("subsets")
        if isinstance(subsets, list):  # written by dsetkit, and kept by LabelMe
            row["subsets"] = list(dict.fromkeys(item for item in subsets if isinstance(item, str) and item))
        return row

    def _flags(self, row: Row, document: dict[str, Any], annotations: list[Row]) -> None:
        """Flags of the picture: a ticked one is a label of the whole picture, another one an absent category."""
        absent = []
        for name, ticked in read_flags(document.get("flags")).items():
            if not name:
                continue
            if name == IGNORE:
                if ticked:
                    row["attributes"] = {**row.get("attributes", {}), IGNORE: True}
                continue
            self.categories.setdefault(name)
            if ticked:
                annotations.append({"id": str(len(annotations)), "kind": "image_label", "category": name})
            else:
                absent.append(name)
        if absent:
            row["absent_categories"] = absent
