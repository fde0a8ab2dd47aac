"""Panoptic files and their label maps into rows.

Ids are the segments' numbers, which are unique on a picture. One that two files give the same picture is told apart as
``coco.read`` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from dsetkit.errors import PictureError
from dsetkit.formats.coco.document import Parsed, parse
from dsetkit.formats.coco.files import CocoFile
from dsetkit.formats.coco.head import ident
from dsetkit.formats.coco.panoptic import MapIndex, names_in
from dsetkit.formats.coco.read import CocoReader, FileReader, may_be_geometry
from dsetkit.formats.coco.shapes import MASK_SLACK_PX
from dsetkit.formats.coco_panoptic.ids import Segments, masks_of
from dsetkit.formats.matching import without_extension
from dsetkit.formats.notes import shown
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.geometry import rle
from dsetkit.imaging.id_png import read_ids
from dsetkit.spec.arrow import Row
from dsetkit.storage.tree import Tree

OWN = frozenset({"id", "category_id", "area", "bbox", "iscrowd", "ignore", "score", "attributes"})
_WORKERS = 8
_BATCH = 64


class _Entry(NamedTuple):
    """One of ``annotations``: a picture's segments."""

    at: int
    """Its place in the list."""
    key: str
    map_path: str
    segments: list[Any]


class PanopticReader(CocoReader):
    """Takes files one after another, gives one label set."""

    def __init__(self, pictures: PictureIndex, labels: Tree, image_root: str = "") -> None:
        super().__init__(pictures, image_root)
        self.labels = labels

    def add(self, file: CocoFile, data: bytes) -> None:
        """Read one file and its maps. Raises ``FormatError`` for one that is no COCO at all."""
        _PanopticFileReader(self, file, parse(data, file.path, self.issues)).read()


class _PanopticFileReader(FileReader):
    reader: PanopticReader

    def __init__(self, reader: PanopticReader, file: CocoFile, parsed: Parsed) -> None:
        super().__init__(reader, file, parsed)
        self.is_labelled = False  # each picture is, of which there is an annotation
        self.maps = MapIndex(reader.labels, file, names_in(parsed.document.get("images") or ()))
        self.has_categories = bool(parsed.document.get("categories"))
        self.unnamed: dict[str, None] = {}

    def read_annotations(self) -> None:
        """All of the document, a few maps at a time."""
        with ThreadPoolExecutor(_WORKERS) as pool:
            batch: list[_Entry] = []
            for entry in self._entries():
                batch.append(entry)
                if len(batch) == _BATCH:
                    self._read_batch(pool, batch)
                    batch = []
            self._read_batch(pool, batch)
        if self.unnamed:
            message = f"it lists no categories; its {len(self.unnamed)} are called by their ids"
            self.notes.add("category-unnamed", message, "categories", "List them with their names.", "warning")

    def _read_batch(self, pool: ThreadPoolExecutor, batch: Sequence[_Entry]) -> None:
        for entry, found in zip(batch, pool.map(self._read_map, batch), strict=True):
            if isinstance(found, str):
                hint = "Restore the map, or take the annotation out."
                self._note(entry, "map-unreadable", found, hint, "file_name")
            else:
                self._read_segments(entry, found)

    def _entries(self) -> Iterator[_Entry]:
        """Annotations of pictures and maps that are there; what is wrong with others is noted."""
        for index, raw in enumerate(self.parsed.document.get("annotations") or ()):
            key = self._picture_of(raw, index)
            if key is None:
                continue
            row = self.reader.rows[key]
            row["labelled"] = "yes"
            segments = raw.get("segments_info")
            entry = _Entry(index, key, "", segments if isinstance(segments, list) else [])
            if not isinstance(segments, list):
                message = f"segments_info is no list but {shown(segments)}; the annotation was left out"
                self._note(entry, "annotation-invalid", message, "Correct it in the file.", "segments_info")
                continue
            name = raw.get("file_name")
            path = self.maps.find(name) if isinstance(name, str) and name else None
            if path is None and not segments and name is None:
                continue  # it says that nothing is there, without a map of it
            if path is None:
                message = f"there is no label map {shown(name)}; its {len(segments)} segments were left out"
                hint = f"Put it into the folder {without_extension(self.file.path)}/."
                self._note(entry, "map-missing", message, hint, "file_name")
                continue
            yield entry._replace(map_path=path)

    def _picture_of(self, raw: Mapping[str, Any], index: int) -> str | None:
        key = self.keys.get(ident(raw.get("image_id")) or "")
        if key is not None:
            return key
        place = self.parsed.place("annotations", index)
        name = raw.get("file_name")
        if not self.parsed.document.get("images") and isinstance(name, str) and name:
            # Predictions name no pictures: it is the one called like the map.
            found = self.reader.pictures.by_stem(without_extension(name), prefer=self.file.folder_hints)
            key = found or reduce_name(without_extension(name))
            if key:
                row = self.reader.rows.setdefault(key, {"key": key, "annotations": [], "subsets": []})
                if self.file.subset is not None and self.file.subset not in row["subsets"]:
                    row["subsets"].append(self.file.subset)
                return key
        message = f"there is no image {shown(raw.get('image_id'))}; the annotation was left out"
        hint = "Add the image, or take the annotation out."
        self.notes.add("image-missing", message, f"{place}.image_id", hint)
        return None

    def _read_map(self, entry: _Entry) -> Segments | str:
        """The masks of a map, or what is wrong with it. Runs in a thread."""
        try:
            ids = read_ids(self.reader.labels.read(entry.map_path))
            wanted = [number for segment in entry.segments if (number := _number(segment)) is not None]
            return masks_of(ids, wanted)
        except (PictureError, ValueError) as error:
            said = error.message if isinstance(error, PictureError) else str(error)
            return f"the map cannot be read ({said}); its {len(entry.segments)} segments were left out"

    def _read_segments(self, entry: _Entry, found: Segments) -> None:
        seen: set[int] = set()
        for position, segment in enumerate(entry.segments):
            field = f"segments_info[{position}]"
            number = _number(segment)
            if number is None or not isinstance(segment, dict):
                message = f"a segment is an object with an id from 1 on, not {shown(segment)}; it was left out"
                self._note(entry, "annotation-invalid", message, "Correct it in the file.", field)
                continue
            if number in seen:
                message = f"the id {number} is there already on the same picture; it was left out"
                self._note(entry, "annotation-id-twice", message, "Give each segment an id of its own.", field)
                continue
            seen.add(number)
            mask = found.masks.get(number)
            if mask is None:
                message = f"no pixel of {entry.map_path} has the number {number}; the segment was left out"
                self._note(entry, "segment-missing", message, "Correct the map or the id.", field)
                continue
            self._read_segment(entry, segment, number, mask, field)
        if found.others:
            listed = ", ".join(f"{number} ({pixels} px)" for number, pixels in list(found.others.items())[:3])
            count = len(found.others) + found.more
            message = f"{entry.map_path} has {count} numbers that no segment has: {listed}; they were left out"
            hint = "List them in segments_info, or make them 0."
            self._note(entry, "segment-unlisted", message, hint, "segments_info")

    def _read_segment(self, entry: _Entry, segment: dict[str, Any], number: int, mask: Row, field: str) -> None:
        findings = self._of_another_size(entry, mask)
        out: Row = {"id": "", "kind": "mask", "mask": mask, "bbox_xywh_px": rle.mask_bbox(mask)}
        category = self._category(segment, entry, field, findings)
        if category is not None:
            out["category"] = category
        _compare(segment, out, findings)
        score = segment.get("score")
        if isinstance(score, int | float) and not isinstance(score, bool) and abs(score) < 1e9:
            out["score"] = float(score)
        if segment.get("iscrowd") in (1, True):
            out["is_crowd"] = True
        if segment.get("ignore") in (1, True):
            out["is_ignored"] = True
        self._open_parts(out, segment, entry, field)
        if findings:
            out["issues"] = findings
        self.file_under_id(out, str(number), entry.key, entry.at)

    def _of_another_size(self, entry: _Entry, mask: Row) -> list[Row]:
        """A finding where the map is not of the size that is declared for the picture."""
        row = self.reader.rows[entry.key]
        height, width = mask["size"]
        declared = row.get("width_px", width), row.get("height_px", height)
        if (width, height) in (declared, declared[::-1]):
            return []
        message = f"the map is {width}×{height} px, the picture {declared[0]}×{declared[1]} px"
        return [{"code": "mask-size-differs", "message": message}]

    def _category(self, segment: Mapping[str, Any], entry: _Entry, field: str, findings: list[Row]) -> str | None:
        number = ident(segment.get("category_id"))
        category = self.category_names.get(number or "")
        if category is None and number is not None and not self.has_categories:
            self.reader.categories.drafts.setdefault(number, {"name": number, "source_ids": [number]})
            self.unnamed.setdefault(number)
            return number
        if category is None:
            message = f"there is no category {shown(segment.get('category_id'))}"
            findings.append({"code": "category-missing", "message": message})
            place = f"{self.parsed.place('annotations', entry.at)}.{field}.category_id"
            message += "; the segment has none"
            self.notes.add("category-missing", message, place, "Add it, or correct the id.", key=entry.key)
        return category

    def _open_parts(self, out: Row, segment: Mapping[str, Any], entry: _Entry, field: str) -> None:
        """Attributes, and as extras what panoptic files do not know."""
        place = f"{self.parsed.place('annotations', entry.at)}.{field}"
        attributes = segment.get("attributes")
        if attributes and isinstance(attributes, dict):
            out["attributes"] = self.notes.clean(attributes, f"{place}.attributes")
        extras: Row = {}
        for name in sorted(segment.keys() - OWN):
            if may_be_geometry(segment[name]):
                message = f"{name} may hold coordinates, which would go stale when pixels move; it was left out"
                hint = "Put it into attributes if it is no geometry."
                self.notes.add("extras-geometry", message, f"{place}.{name}", hint, "warning")
            else:
                extras[name] = self.notes.clean(segment[name], f"{place}.{name}")
        if extras:
            out["extras"] = {"coco_panoptic": extras}

    def _note(self, entry: _Entry, code: str, message: str, hint: str, field: str) -> None:
        """Notes what makes a picture labelled in part."""
        place = f"{self.parsed.place('annotations', entry.at)}.{field}"
        self.notes.add(code, message, place, hint, key=entry.key)
        self.reader.incomplete.add(entry.key)


def _number(segment: object) -> int | None:
    """A segment's id; None where it is none that a map can hold."""
    text = ident(segment.get("id")) if isinstance(segment, dict) else None
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 10:
        return None
    return int(text) or None


def _compare(segment: Mapping[str, Any], out: Row, findings: list[Row]) -> None:
    """Findings where the box or area that is given is not the mask's."""
    box, own = segment.get("bbox"), out["bbox_xywh_px"]
    if isinstance(box, list) and len(box) == 4 and all(map(_is_number, box)) and own is not None:
        ends = (own[0], own[1], own[0] + own[2], own[1] + own[3])
        given = (box[0], box[1], box[0] + box[2], box[1] + box[3])
        apart = max(abs(a - b) for a, b in zip(given, ends, strict=True))
        if apart > MASK_SLACK_PX:
            listed = ", ".join(f"{value:g}" for value in box)
            message = f"the bbox given is [{listed}], {apart:g} px off what is outlined; the map counts"
            findings.append({"code": "bbox-disagrees", "message": message})
    elif box is not None:
        findings.append({"code": "bbox-invalid", "message": f"the bbox given is {shown(box)}, no four numbers"})
    area = segment.get("area")
    if _is_number(area):
        pixels = rle.mask_area(out["mask"])
        if abs(float(area or 0) - pixels) >= 1.0:
            message = f"the area given is {area:g} px², but the map has {pixels} pixels; the map counts"
            findings.append({"code": "area-disagrees", "message": message})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
