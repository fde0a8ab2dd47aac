"""Cityscapes' labels of a whole tree, as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dsetkit.errors import FormatError, PictureError
from dsetkit.formats.cityscapes.document import MAX_JSON_BYTES, parse
from dsetkit.formats.cityscapes.files import (
    POLYGONS,
    LabelFile,
    Pictures,
    label_files,
    made_key,
    picture_stem,
    place_of,
    subset_of,
)
from dsetkit.formats.cityscapes.ids import read_ids
from dsetkit.formats.cityscapes.labels import FRAME_ONLY, Label, categories_of, own_labels
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.text import read_label_bytes
from dsetkit.spec.arrow import Row
from dsetkit.storage.tree import Tree

MAX_PNG_BYTES = 512 * 1024**2


class CityscapesReader:
    """Reads one tree; collects issues."""

    def __init__(self, tree: Tree, pictures: PictureIndex, sets: Literal["auto", "fine", "coarse"]) -> None:
        self.tree = tree
        self.pictures = pictures
        self.issues = IssueList()
        self.refused: list[FormatError] = []
        found = label_files(tree)
        wanted = found if sets == "auto" else [file for file in found if file.is_fine == (sets == "fine")]
        self.files = sorted(wanted, key=lambda file: not file.is_fine)
        self._own: Mapping[int, Label] | None = None

    def label_set(self) -> LabelSet:
        """One row a picture. Raises ``FormatError`` where no file can be read, or a table of classes cannot."""
        self._own = own_labels(self.tree)
        rows: dict[str, Row] = {}
        taken: dict[str, LabelFile] = {}
        index = Pictures(self.pictures.paths)
        used: dict[str, None] = {}
        read = 0
        for file in self.files:
            keys = [key for key in self._keys(file, index) if self._is_free(key, file, taken)]
            said = self._read(file) if keys else {}
            read += said is not None
            for key in keys if said is not None else ():
                taken[key] = file
                rows[key] = {**named_row(key, file), **(said or {})}
                used.update(dict.fromkeys(item["category"] for item in (said or {}).get("annotations", ())))
        if self.refused and not read:
            raise self.refused[0]
        for path in self.pictures.paths:
            if path not in rows and len(row := named_row(path)) > 1:
                rows[path] = row
        return LabelSet.from_rows(rows.values(), categories_of(used, self._own), issues=self.issues.all())

    def _keys(self, file: LabelFile, index: Pictures) -> list[str]:
        keys = []
        for found in index.of(file):
            if len(found) == 1:
                keys.append(found[0])
                continue
            shown = ", ".join(found[:3])
            message = f"it could be about any of {len(found)} pictures ({shown})"
            hint = "Lay pictures and labels out alike: leftImg8bit/<split>/<city>, gtFine/<split>/<city>."
            self.issues.add("picture-ambiguous", message, file=file.path, hint=hint)
        return keys or [made_key(file)]

    def _is_free(self, key: str, file: LabelFile, taken: Mapping[str, LabelFile]) -> bool:
        other = taken.get(key)
        if other is None:
            return True
        if other.is_fine and not file.is_fine:
            message = f"{other.path} says more of {key}; its coarse labels were left out"
            hint = "Pass the option labels: coarse, if those are wanted."
            self.issues.add("labels-coarse", message, severity="info", file=file.path, hint=hint)
        else:
            message = f"it is about {key}, which {other.path} labels already; it was left out"
            hint = "Take one of the two away."
            self.issues.add("labels-twice", message, severity="warning", file=file.path, hint=hint)
        return False

    def _read(self, file: LabelFile) -> Row | None:
        """What a file says: size, annotations, and whether that is all; None where it cannot be read."""
        try:
            if file.kind == POLYGONS:
                data = read_label_bytes(self.tree, file.path, MAX_JSON_BYTES)
                size, annotations, complete = parse(data, file.path, self.issues)
            else:
                data = read_label_bytes(self.tree, file.path, MAX_PNG_BYTES)
                size, annotations = read_ids(data, file.kind, self._own)
                complete = True
        except (FormatError, PictureError, ValueError) as error:
            message = error.message if isinstance(error, FormatError) else f"{file.path} is no picture of ids: {error}"
            place = error.place if isinstance(error, FormatError) else None
            hint = "Get the file again." if not isinstance(error, FormatError) else error.hint
            self.refused.append(FormatError(message, file=file.path, place=place, hint=hint))
            self.issues.add("labels-unreadable", message, file=file.path, place=place, hint=hint)
            return None
        row: Row = {} if size is None else {"width_px": size[0], "height_px": size[1]}
        row["labelled"] = labelled_of(annotations, subset_of(file.path), complete=complete and file.is_fine)
        if annotations:
            row["annotations"] = annotations
        return row


def labelled_of(annotations: Sequence[Row], subset: str | None, *, complete: bool) -> str:
    """``partial`` for coarse labels, and in the test set, whose labels are kept back, where nothing else is said."""
    names = {item["category"] for item in annotations}
    return "partial" if not complete or (subset == "test" and names and names <= FRAME_ONLY) else "yes"


def named_row(key: str, file: LabelFile | None = None) -> Row:
    """What the path of a picture (or of its labels, ``file``) says: subset, city, sequence and frame."""
    row: Row = {"key": key}
    subset = subset_of(key if file is None else file.path)
    if subset is not None:
        row["subsets"] = [subset]
    return row | facts_of(picture_stem(key) if file is None else file.stem)


def facts_of(stem: str) -> dict[str, Any]:
    """City, sequence and frame, where a name says them."""
    place = place_of(stem)
    if place is None:
        return {}
    video = f"{place.city}_{place.sequence}"
    return {"attributes": {"city": place.city}, "provenance": {"video": video, "frame": place.frame}}
