"""One XML document of LabelMe's web tool, as a sample row without a key."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from dsetkit.errors import PictureError
from dsetkit.formats.issues import IssueList
from dsetkit.formats.voc.xml import read_value
from dsetkit.geometry import rle
from dsetkit.geometry.shape import enclosure
from dsetkit.imaging.mask_png import read_mask
from dsetkit.spec.arrow import Row
from dsetkit.spec.issue import Severity

LIMIT_PX = 1e9
"""A coordinate beyond this is taken for a fault."""
FindMask = Callable[[str], bytes | None]
"""The bytes of the mask of that file name; None where there is none."""

_SOURCE = ("sourceImage", "sourceAnnotation")
_LISTED = frozenset({"name", "deleted", "verified", "occluded", "attributes", "parts", "id", "polygon", "segm", "type"})
_MOST_TEXT = 1000


class XmlDocument:
    """Reads one ``<annotation>`` element; ``file`` is named in issues. What it said is in ``row``."""

    def __init__(self, root: Any, file: str, issues: IssueList, find_mask: FindMask) -> None:
        self.file = file
        self.issues = issues
        self.row: Row = {"labelled": "yes"}
        self._find_mask = find_mask
        self._gone: set[str] = set()
        self._parts: list[tuple[str, str, Any]] = []
        self._annotations: list[Row] = []
        self.filename, self.folder = text_of(root.find("filename")), text_of(root.find("folder"))
        self._picture(root)
        objects = root.findall("object")
        self._ids = {text_of(element.find("id")) for element in objects}
        for element in objects:
            self._object(element)
        self._relate()
        deleted = sum(text_of(element.find("deleted")) == "1" for element in objects)
        if deleted:
            message = f"annotators deleted {deleted} {'object' if deleted == 1 else 'objects'}"
            hint = "LabelMe keeps them in the file; they were left out."
            self._issue("objects-deleted", None, message, "info", hint)
        if self._annotations:
            self.row["annotations"] = self._annotations

    def categories(self) -> Iterator[str]:
        """The names used, in order."""
        return (item["category"] for item in self._annotations if "category" in item)

    def _picture(self, root: Any) -> None:
        size = root.find("imagesize")
        if size is not None:
            sides = [_number(text_of(size.find(name))) for name in ("ncols", "nrows")]
            usable = [side for side in sides if side is not None and 1 <= side < 2**31 and side == int(side)]
            if len(usable) == 2:
                self.row |= {"width_px": int(usable[0]), "height_px": int(usable[1])}
            elif any(side is not None for side in sides):
                shown = " × ".join(text_of(size.find(name))[:20] or "?" for name in ("ncols", "nrows"))
                self._issue("size-unusable", size, f"it says the picture has {shown} pixels", "warning", "")
        source = root.find("source")
        said = {} if source is None else {name: text_of(source.find(name))[:_MOST_TEXT] for name in _SOURCE}
        attributes = {name: text for name, text in said.items() if text}
        if attributes:
            self.row["attributes"] = attributes

    def _object(self, element: Any) -> None:
        number = self._number_of(element)
        if text_of(element.find("deleted")) == "1":
            self._gone.add(number)
            return
        findings: list[Row] = []
        try:
            located = self._locate(element, findings)
        except ValueError as error:
            self.row["labelled"] = "partial"
            self._gone.add(number)
            self._issue("object-unreadable", element, f"{error}; the object was left out", "error", "Correct it.")
            return
        annotation: Row = {"id": number, **located}
        name = text_of(element.find("name"))
        if name:
            annotation["category"] = name
        else:
            findings.append({"code": "category-missing", "message": f"line {element.sourceline}: no <name>"})
        attributes = _attributes(element)
        extras = {
            str(child.tag): text_of(child)[:_MOST_TEXT]
            for child in element
            if isinstance(child.tag, str) and child.tag not in _LISTED and not len(child) and text_of(child)
        }
        annotation |= {"attributes": attributes} if attributes else {}
        annotation |= {"extras": {"labelme_xml": extras}} if extras else {}
        annotation |= {"issues": findings} if findings else {}
        self._annotations.append(annotation)
        parts = element.find("parts")
        if parts is not None:
            self._parts += [(number, whole, parts) for whole in _listed(parts.find("ispartof"))]
            self._parts += [(part, number, parts) for part in _listed(parts.find("hasparts"))]

    def _number_of(self, element: Any) -> str:
        """The object's id; one that is missing or there already gets the next number that is free."""
        number = text_of(element.find("id"))[:100]
        known = {item["id"] for item in self._annotations} | self._gone
        if number and number not in known:
            return number
        free = 0
        while str(free) in known or str(free) in self._ids:
            free += 1
        if number:
            message = f"the id {number} is there already; the object is called {free}"
            self._issue("object-id-twice", element, message, "warning", "Parts of it count as parts of the first.")
        return str(free)

    def _relate(self) -> None:
        """Gives parts their wholes, each once; a part or whole that is nowhere is an issue."""
        by_id = {item["id"]: item for item in self._annotations}
        for part, whole, element in self._parts:
            missing = next((one for one in (part, whole) if one not in by_id), None)
            if missing is not None:
                if missing not in self._gone:
                    message = f"object {part} is said to be a part of {whole}, and there is no object {missing}"
                    self._issue("part-missing", element, message, "warning", "The relation was left out.")
                continue
            relation = {"kind": "part_of", "target": whole}
            relations = by_id[part].setdefault("relations", [])
            if part != whole and relation not in relations:
                relations.append(relation)
            if not relations:
                del by_id[part]["relations"]

    def _locate(self, element: Any, findings: list[Row]) -> Row:
        segment, polygon = element.find("segm"), element.find("polygon")
        place = polygon if segment is None else segment
        if place is None:
            raise ValueError("it has neither <polygon> nor <segm>")
        row = self._segment(segment, findings) if segment is not None else self._polygon(element, polygon)
        if "bbox_xywh_px" not in row:
            row["bbox_xywh_px"] = list(enclosure(row) or ())
        annotator = text_of(place.find("username"))
        return {**row, "annotator": annotator} if annotator else row

    def _polygon(self, element: Any, polygon: Any) -> Row:
        flat = [_coordinate(point, axis) for point in polygon.findall("pt") for axis in "xy"]
        if not flat:
            raise ValueError("its <polygon> has no points")
        if len(flat) == 2:
            return {"kind": "points", "points": flat}
        if len(flat) == 4:
            return {"kind": "polyline", "polyline": flat}
        xs, ys = flat[0::2], flat[1::2]
        box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
        at_corners = all(x in (min(xs), max(xs)) and y in (min(ys), max(ys)) for x, y in zip(xs, ys, strict=True))
        if text_of(element.find("type")) == "bounding_box" and len(flat) == 8 and at_corners:
            return {"kind": "box", "bbox_xywh_px": box}
        return {"kind": "polygon", "polygons": [[flat]], "bbox_xywh_px": box}

    def _segment(self, segment: Any, findings: list[Row]) -> Row:
        name = text_of(segment.find("mask"))
        try:
            data = self._find_mask(name) if name else None
            if data is not None:
                return self._mask(data, findings)
            message = f"there is no mask {name[:80]!r}"
        except (PictureError, ValueError) as error:
            message = f"the mask {name[:80]!r} cannot be used: {getattr(error, 'message', error)}"
        box = segment.find("box")
        if box is None:
            raise ValueError(f"{message}, and no <box>")
        left, top, right, bottom = (_coordinate(box, name) for name in ("xmin", "ymin", "xmax", "ymax"))
        findings.append({"code": "mask-missing", "message": f"{message}; its box counts"})
        return {
            "kind": "box",
            "bbox_xywh_px": [min(left, right), min(top, bottom), abs(right - left), abs(bottom - top)],
        }

    def _mask(self, data: bytes, findings: list[Row]) -> Row:
        mask = rle.encode(read_mask(data, max_pixels=rle.MAX_PIXELS))
        height, width = mask["size"]
        if "width_px" in self.row and (width, height) != (self.row["width_px"], self.row["height_px"]):
            message = f"the mask has {width}×{height} px, the file says {self.row['width_px']}×{self.row['height_px']}"
            findings.append({"code": "mask-size-differs", "message": message})
        box = rle.mask_bbox(mask)
        if box is None:
            raise ValueError("no pixel of it is set")
        return {"kind": "mask", "mask": mask, "bbox_xywh_px": list(box)}

    def _issue(self, code: str, element: Any, message: str, severity: Severity, hint: str) -> None:
        place = f"line {element.sourceline}" if element is not None and element.sourceline else None
        self.issues.add(code, message, severity=severity, file=self.file, place=place, hint=hint)


def text_of(element: Any) -> str:
    """Its text without space around (LabelMe's files have line breaks inside); empty where there is none."""
    return "" if element is None or element.text is None else str(element.text).strip()


def _attributes(element: Any) -> dict[str, Any]:
    """The line of attributes (``red, parked, doors=4``), and what has elements of its own."""
    attributes: dict[str, Any] = {}
    for item in text_of(element.find("attributes"))[:_MOST_TEXT].split(","):
        name, equals, value = item.partition("=")
        if name.strip():
            attributes[name.strip()] = read_value(value.strip()) if equals else True
    occluded = text_of(element.find("occluded")).lower()
    if occluded in ("yes", "no"):
        attributes["occluded"] = occluded == "yes"
    if text_of(element.find("verified")) == "1":
        attributes["verified"] = True
    return attributes


def _listed(element: Any) -> list[str]:
    return [item.strip() for item in text_of(element).split(",") if item.strip()]


def _coordinate(element: Any, name: str) -> float:
    text = text_of(element.find(name))
    value = _number(text)
    if value is None:
        said = "is missing" if not text else f"is {text[:40]!r}, no coordinate"
        raise ValueError(f"<{name}> of <{element.tag}> {said}")
    return value


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) <= LIMIT_PX and "_" not in text else None
