"""Datumaro's files into rows: a file a subset, an item a picture.

Ids. Annotations keep their ids where all of an item's are different; else (Datumaro gives 0 where there is none) they
are numbered from "0" in the order of the file, and what the file gives stands in ``source_id``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dsetkit.formats.coco.head import ident
from dsetkit.formats.datumaro.document import parse
from dsetkit.formats.datumaro.labels import Labels, categories_of, read_labels
from dsetkit.formats.datumaro.shapes import KNOWN, ShapeError, read_shape
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.matching import stem_of
from dsetkit.formats.notes import FileNotes, shown
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.formats.places import safe_part
from dsetkit.spec.arrow import Row

NO_SUBSET = "default"
_VERSIONS = ("1.0", "legacy")
_MAX_SIDE_PX = 2**31 - 1
_NO_PICTURES = ("point_cloud", "video", "table_row", "multiframe_image")
_HINT = "Correct it in the file."
_NO_LABEL = frozenset({"hash_key", "feature_vector"})
"""Types that nobody annotated: Datumaro works them out of the picture."""


@dataclass
class Item:
    """One item and what it says of one picture."""

    name: str
    place: str
    notes: FileNotes
    subset: str | None
    root: str
    row: Row = field(default_factory=dict)
    annotations: list[Row] = field(default_factory=list)
    complete: bool = True


class DatumaroReader:
    """Takes files one after another, gives one label set."""

    def __init__(self, pictures: PictureIndex, *, empty_is_labelled: bool) -> None:
        self.pictures = pictures
        self.empty_is_labelled = empty_is_labelled
        self.issues = IssueList()
        self.labels: list[Labels] = []
        self.info: dict[str, Any] = {}
        self.items: list[Item] = []
        self.rows: dict[str, Row] = {}
        self.partial: set[str] = set()

    def add(self, path: str, data: bytes) -> None:
        """Read one file. Raises ``FormatError`` for one that is no Datumaro at all."""
        notes = FileNotes(self.issues, path)
        parsed = parse(data, path, notes)
        version = parsed.document.get("dm_format_version", "legacy")
        if version not in _VERSIONS:
            message = f"it is of version {shown(version)}, which is none of {', '.join(_VERSIONS)}"
            notes.add("version-unknown", message, "dm_format_version", "Check what was read.", "warning")
        labels = read_labels(parsed.document.get("categories"), notes)
        self.labels.append(labels)
        infos = parsed.document.get("infos")
        groups = {"label_groups": notes.clean(labels.groups, "categories.label.label_groups")} if labels.groups else {}
        said = notes.clean(infos, "infos") if isinstance(infos, dict) else {}
        self.info = {**said, **groups, **self.info}
        folder, stem = path.rpartition("/")[0], stem_of(path)
        root = folder.removesuffix("annotations").rstrip("/") if folder.endswith("annotations") else folder
        subset = stem if stem != NO_SUBSET else None
        for index, raw in parsed.items:
            item = Item("", f"items[{index}]", notes, subset, root)
            item.complete = index not in parsed.incomplete
            if self._read_item(item, raw):
                self._read_annotations(item, raw, labels)
                self.items.append(item)

    def _read_item(self, item: Item, raw: Mapping[str, Any]) -> bool:
        """What the item says of its picture; false where it is of something else."""
        number = ident(raw.get("id"))
        for name in _NO_PICTURES:
            if isinstance(raw.get(name), dict):
                message = f"it is of a {name.replace('_', ' ')}, no picture; it was left out"
                item.notes.add("media-not-picture", message, f"{item.place}.{name}", "Take its pictures out first.")
                return False
        image = raw.get("image") if isinstance(raw.get("image"), dict) else raw.get("media")
        image = image if isinstance(image, dict) else {}
        path = image.get("path")
        item.name = path if isinstance(path, str) and path else ""
        frame = raw.get("video_frame")
        if isinstance(frame, dict):
            video, index = frame.get("video_path"), frame.get("frame_index")
            said: Row = {"video": video} if isinstance(video, str) and video else {}
            if type(index) is int and 0 <= index < 2**53:
                said["frame"] = index
            if said:
                item.row["provenance"] = said
        if not item.name and number is None:
            item.notes.add("item-invalid", "it has neither an image nor an id; it was left out", item.place, _HINT)
            return False
        item.row |= {"source_id": number} if number is not None else {}
        item.row |= _size(image.get("size"))
        attributes = raw.get("attr")
        if isinstance(attributes, dict) and attributes:
            item.row["attributes"] = item.notes.clean(attributes, f"{item.place}.attr")
        item.row["labelled"] = "yes" if raw.get("labelled") == "yes" or self.empty_is_labelled else "no"
        return True

    def _read_annotations(self, item: Item, raw: Mapping[str, Any], labels: Labels) -> None:
        ids: list[str | None] = []
        for index, given in enumerate(raw.get("annotations") or ()):
            place = f"{item.place}.annotations[{index}]"
            raw_attributes = given.get("attributes")
            if raw_attributes is not None and not isinstance(raw_attributes, dict):
                message = f"its attributes are no object but {shown(raw_attributes)}; they were left out"
                item.notes.add("attributes-invalid", message, f"{place}.attributes", _HINT)
                given = {**given, "attributes": None}
            loose = {"attributes", *(given.keys() - KNOWN)} & given.keys()
            clean = {name: item.notes.clean(given[name], f"{place}.{name}") for name in sorted(loose)}
            try:
                row = read_shape({**given, **clean}, labels)
            except ShapeError as error:
                computed = given.get("type") in _NO_LABEL
                item.notes.add(
                    error.code, str(error), place, "" if computed else _HINT, "info" if computed else "error"
                )
                item.complete = item.complete and computed
                continue
            ids.append(ident(given.get("id")))
            item.annotations.append(row)
        keeps = None not in ids and len(set(ids)) == len(ids)
        for index, (number, row) in enumerate(zip(ids, item.annotations, strict=True)):
            row["id"] = number if keeps else str(index)
            if not keeps and number is not None:
                row["source_id"] = number

    def finish(self) -> LabelSet:
        """All that was read."""
        found = [self._find(item) for item in self.items]
        missing = Counter(_name(item) for item, path in zip(self.items, found, strict=True) if path is None)
        for item, path in zip(self.items, found, strict=True):
            key = path if path is not None else self._made_key(item, missing[_name(item)] > 1)
            if key is not None:
                self._file(item, key)
        for key in self.partial:
            self.rows[key]["labelled"] = "partial"
        rows = [{name: value for name, value in row.items() if value not in ([], "no")} for row in self.rows.values()]
        return LabelSet.from_rows(rows, categories_of(self.labels), self.info, issues=self.issues.all())

    def _find(self, item: Item) -> str | None:
        """The path of the picture: below ``images``, in the folder of its subset, or by its name."""
        below = f"{item.root}/images" if item.root else "images"
        subset = safe_part(item.subset or NO_SUBSET)
        reduced = reduce_name(_name(item))
        if not len(self.pictures) or not reduced:
            return None
        for path in (f"{below}/{subset}/{reduced}", f"{below}/{reduced}"):
            if path in self.pictures:
                return path
        prefer = (subset,)
        found = self.pictures.candidates(item.name, item.root, prefer) if item.name else ()
        if found:
            return found[0] if len(found) == 1 else None
        number = item.row.get("source_id")
        return None if number is None else self.pictures.by_stem(number, f"{below}/{subset}", prefer)

    def _made_key(self, item: Item, is_several: bool) -> str | None:
        name = _name(item)
        if is_several and item.subset is not None:
            name = f"{safe_part(item.subset)}/{name}"
        return self.pictures.key_of(
            name,
            self.issues,
            near=item.root,
            prefer=(item.subset or NO_SUBSET,),
            file=item.notes.path,
            place=item.place,
        )

    def _file(self, item: Item, key: str) -> None:
        if not item.complete:
            self.partial.add(key)
        subsets = [item.subset] if item.subset is not None else []
        labelled = "yes" if item.annotations else item.row["labelled"]
        known = self.rows.get(key)
        if known is None:
            row = {**item.row, "key": key, "labelled": labelled, "annotations": item.annotations, "subsets": subsets}
            self.rows[key] = row
            return
        known["subsets"] = [*known["subsets"], *(name for name in subsets if name not in known["subsets"])]
        known["labelled"] = "yes" if "yes" in (labelled, known["labelled"]) else "no"
        again = known["annotations"] == item.annotations
        what = "says the same of it; it was left out" if again else "labels it too; both were taken"
        message = f"{key} is there already, and this {what}"
        item.notes.add(
            "image-twice", message, item.place, "List each picture once.", "info" if again else "warning", key
        )
        if not again:
            known["annotations"] = _together(known["annotations"], item.annotations)


def _together(first: Sequence[Row], second: Sequence[Row]) -> list[Row]:
    """Two items' annotations under ids of their own: the second's that are taken get a number not in use."""
    taken = {row["id"] for row in first} | {row["id"] for row in second}
    used = {row["id"] for row in first}
    out, fresh = list(first), 0
    for row in second:
        if row["id"] in used:
            while str(fresh) in taken:
                fresh += 1
            taken.add(str(fresh))
            row = {**row, "id": str(fresh), "source_id": row.get("source_id", row["id"])}
        out.append(row)
    return out


def _name(item: Item) -> str:
    return item.name or f"{item.row['source_id']}.jpg"


def _size(given: Any) -> dict[str, int]:
    """Datumaro gives height, width."""
    if not isinstance(given, list) or len(given) != 2:
        return {}
    whole = [int(side) for side in given if isinstance(side, int | float) and 1 <= side <= _MAX_SIDE_PX]
    return {"height_px": whole[0], "width_px": whole[1]} if len(whole) == 2 else {}
