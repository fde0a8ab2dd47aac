"""One Pascal VOC XML document, read and written.

Format: the VOC2012 development kit (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/, annotations) and what
tools made of it: labelImg (``verified``, ``path``), Datumaro and CVAT (``attributes``, decimals), Roboflow
(``polygon`` with ``x1 y1 x2 y2 ...``), roLabelImg (``robndbox``, radians, clockwise).

Pixels. ``one_based`` is VOC's own: the top-left pixel is (1, 1) and a box includes both its corners, so
``x = xmin − 1`` and ``w = xmax − xmin + 1`` (as Detectron2 reads it). Points and polygons move by one pixel as well.
``zero_based`` takes the numbers as plain coordinates: ``x = xmin``, ``w = xmax − xmin``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dsetkit.formats.issues import IssueList
from dsetkit.formats.xml_text import shown
from dsetkit.geometry.shape import enclosure
from dsetkit.spec.arrow import Row
from dsetkit.spec.issue import Severity

FLAGS = ("truncated", "difficult", "occluded")
_YES = frozenset({"1", "true", "yes"})
_NO = frozenset({"0", "false", "no"})
_SPACE = "{http://www.w3.org/XML/1998/namespace}space"
UNKNOWN = frozenset({"", "unknown", "unspecified"})
SOURCE_FIELDS = ("database", "annotation", "image", "flickrid")


@dataclass
class VocDocument:
    """What one XML says of one picture; annotations are sparse rows without ids of other files in mind."""

    filename: str = ""
    folder: str = ""
    path: str = ""
    width_px: int | None = None
    height_px: int | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    author: str | None = None
    annotations: list[Row] = field(default_factory=list)
    complete: bool = True
    """False: an object could not be represented."""
    unread: dict[str, int] = field(default_factory=dict)
    """Elements with children that nothing here knows, and how often."""


def read_document(root: Any, file: str, issues: IssueList, *, one_based: bool) -> VocDocument:
    """What an ``<annotation>`` element says. ``file`` is named in issues.

    Annotations get the ids "0", "1", ... in document order: an object, then its parts, then its point.
    """
    found = VocDocument()
    found.attributes.update({"verified": True} if root.get("verified") in _YES else {})
    reader = _Reader(file, found, issues, 1.0 if one_based else 0.0)
    for child in root:
        tag = child.tag
        if tag == "object":
            reader.read_object(child)
        elif tag in ("filename", "folder", "path"):
            setattr(found, tag, _text(child))
        elif tag == "size":
            reader.read_size(child)
        elif tag == "source":
            for item in child:
                if item.tag in SOURCE_FIELDS and _text(item).lower() not in UNKNOWN:
                    found.attributes[item.tag] = _text(item)
        elif tag == "owner":
            found.author = _text(child.find("name")) or None
    return found


class _Reader:
    """Reads the objects of one document; ``shift`` is 1 where pixels are counted from 1, else 0."""

    def __init__(self, file: str, found: VocDocument, issues: IssueList, shift: float) -> None:
        self.file = file
        self.found = found
        self.issues = issues
        self.shift = shift

    def read_size(self, element: Any) -> None:
        sides = [_number(element.find(name)) for name in ("width", "height")]
        if all(side is not None and side >= 1 and side == int(side) and side < 2**31 for side in sides):
            self.found.width_px, self.found.height_px = (int(side) for side in sides if side is not None)
        elif any(side is not None for side in sides):
            shown = " × ".join(_text(element.find(name)) or "?" for name in ("width", "height"))
            self._issue("size-unusable", element, f"it says the picture has {shown} pixels", "warning", "")

    def read_object(self, element: Any, whole: Row | None = None) -> None:
        if _text(element.find("deleted")) == "1":  # LabelMe's web tool keeps what was taken back
            return
        row: Row = {"id": str(len(self.found.annotations)), "kind": "box"}
        attributes: dict[str, Any] = {}
        extras: dict[str, Any] = {}
        findings: list[Row] = []
        shapes: dict[str, Any] = {}
        later: list[Any] = []
        unstated: list[str] = []
        for child in element:
            tag = child.tag
            if tag in ("bndbox", "polygon", "robndbox", "point"):
                shapes.setdefault(tag, child)
            elif tag == "name":
                row["category"] = _text(child)
            elif tag == "part":
                later.append(child)
            elif tag == "unstated":  # written by dsetkit: elements that stand there only because readers want them
                unstated = _text(child).split()
            elif tag == "actions":
                actions = {item.tag: read_flag(_text(item)) for item in child if isinstance(item.tag, str)}
                attributes |= {"actions": actions} if actions else {}
            elif tag == "attributes":
                attributes |= _attributes(child)
            elif tag in FLAGS or tag == "pose":
                text = _text(child)
                attributes |= {tag: text if tag == "pose" else read_flag(text)} if text else {}
            elif len(child):
                self.found.unread[str(tag)] = self.found.unread.get(str(tag), 0) + 1
            elif isinstance(tag, str) and _text(child) and tag not in ("type", "deleted"):
                extras[tag] = _text(child)[:1000]
        for name in unstated:
            attributes.pop(name, None)
        if not row.get("category"):
            row.pop("category", None)
            findings.append({"code": "category-missing", "message": f"line {element.sourceline}: no <name>"})
        if whole is not None:
            row["relations"] = [{"kind": "part_of", "target": whole["id"]}]
        point = shapes.get("point")
        if not self._locate(row, shapes, findings, element):
            return
        row |= {"attributes": attributes} if attributes else {}
        row |= {"extras": {"voc": extras}} if extras else {}
        row |= {"issues": findings} if findings else {}
        self.found.annotations.append(row)
        for part in later:
            self.read_object(part, row)
        if point is not None and row["kind"] != "points":
            self._read_point(point, row)

    def _locate(self, row: Row, shapes: dict[str, Any], findings: list[Row], element: Any) -> bool:
        """Gives the row its shape, the most exact of those there are; false where it has numbers nobody can read."""
        try:
            if "robndbox" in shapes:
                row |= self._rotated(shapes["robndbox"])
            elif "polygon" in shapes and (ring := self._ring(shapes["polygon"])) is not None:
                row |= {"kind": "polygon", "polygons": [[ring]], "bbox_xywh_px": _enclosure(ring)}
            elif "bndbox" in shapes:
                row["bbox_xywh_px"] = self._box(shapes["bndbox"], findings)
            elif "point" in shapes:
                row |= self._point(shapes["point"])
            else:
                row["kind"] = "image_label"
                findings.append({"code": "box-missing", "message": f"line {element.sourceline}: no <bndbox>"})
        except _UnreadableError as error:
            self.found.complete = False
            place = element.find(error.element) if element.find(error.element) is not None else element
            self._issue("box-unreadable", place, str(error), "error", "Correct the number; the object was left out.")
            return False
        return True

    def _box(self, element: Any, findings: list[Row]) -> list[float]:
        left, top, right, bottom = corners = _numbers(element, ("xmin", "ymin", "xmax", "ymax"))
        if right < left or bottom < top:
            findings.append({"code": "box-inverted", "message": f"{_said(corners)}: corners exchanged"})
            left, right, top, bottom = min(left, right), max(left, right), min(top, bottom), max(top, bottom)
        if right == left or bottom == top:
            findings.append(degenerate_finding(corners))
        return [left - self.shift, top - self.shift, right - left + self.shift, bottom - top + self.shift]

    def _ring(self, element: Any) -> list[float] | None:
        """``<x1>..<y1>..`` or ``<pt><x>..<y>..</pt>``; none where there are under three points."""
        points = [item for item in element if item.tag == "pt"]
        if points:
            flat = [value for item in points for value in _numbers(item, ("x", "y"))]
        else:
            count = sum(isinstance(item.tag, str) and item.tag[:1] == "x" for item in element)
            names = [f"{axis}{index}" for index in range(1, count + 1) for axis in "xy"]
            flat = _numbers(element, names)
        return [value - self.shift for value in flat] if len(flat) >= 6 else None

    def _rotated(self, element: Any) -> Row:
        cx, cy, w, h, angle = _numbers(element, ("cx", "cy", "w", "h", "angle"))
        cx, cy = cx - self.shift, cy - self.shift
        shape = {"cx": cx, "cy": cy, "w": w, "h": h, "angle": read_angle(angle)}
        row: Row = {"kind": "rotated_box", "rotated_box": shape}
        return {**row, "bbox_xywh_px": list(enclosure(row) or ())}

    def _point(self, element: Any) -> Row:
        x, y = (value - self.shift for value in _numbers(element, ("x", "y")))
        return {"kind": "points", "points": [x, y], "bbox_xywh_px": [x, y, 0.0, 0.0]}

    def _read_point(self, element: Any, whole: Row) -> None:
        """The reference point of VOC's action task: an annotation of its own, part of the object."""
        row: Row = {"id": str(len(self.found.annotations))}
        try:
            row |= self._point(element)
        except _UnreadableError as error:
            self.found.complete = False
            self._issue("box-unreadable", element, str(error), "error", "Correct the number; the point was left out.")
            return
        row |= {"category": whole["category"]} if "category" in whole else {}
        row["relations"] = [{"kind": "part_of", "target": whole["id"]}]
        self.found.annotations.append(row)

    def _issue(self, code: str, element: Any, message: str, severity: Severity, hint: str) -> None:
        place = f"line {element.sourceline}" if element.sourceline else None
        self.issues.add(code, message, severity=severity, file=self.file, place=place, hint=hint)


class _UnreadableError(ValueError):
    def __init__(self, message: str, element: str) -> None:
        self.element = element
        super().__init__(message)


def _numbers(element: Any, names: tuple[str, ...] | list[str]) -> list[float]:
    """The finite numbers of the named children."""
    texts = {item.tag: item.text for item in element}
    values: list[float] = []
    for name in names:
        text = texts.get(name)
        value = _float(text or "")
        if value is None:
            said = "is missing" if name not in texts else f"is {shown((text or '').strip())!r}, not a number"
            raise _UnreadableError(f"<{name}> of <{element.tag}> {said}", str(element.tag))
        values.append(value)
    return values


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < 1e15 and "_" not in text else None


def _number(element: Any) -> float | None:
    return None if element is None else _float(element.text or "")


def _text(element: Any) -> str:
    """Its text without space around, unless ``xml:space`` says that it belongs there (XML 1.0, 2.10)."""
    if element is None or element.text is None:
        return ""
    text: str = element.text
    return text if text.strip() != text and element.get(_SPACE) == "preserve" else text.strip()


def degenerate_finding(corners: Sequence[float]) -> Row:
    """The finding on a box whose ``xmin, ymin, xmax, ymax`` coincide in x or y: a stray click, in most tools."""
    return {"code": "box-degenerate", "message": f"{_said(corners)}: its corners coincide"}


def _said(corners: Sequence[float]) -> str:
    return "xmin {:.10g}, ymin {:.10g}, xmax {:.10g}, ymax {:.10g}".format(*corners)


def read_angle(radians: float) -> float:
    """Degrees, rounded so that degrees written as radians come back as they were."""
    return round(math.degrees(radians), 9) + 0.0


def read_flag(text: str) -> Any:
    """A boolean where it says one; else what it says (some tools give ``truncated`` as a share)."""
    lower = text.lower()
    return True if lower in _YES else False if lower in _NO else read_value(text)


def read_value(text: str) -> Any:
    """``true`` and ``false`` as booleans, numbers as numbers, all else as text."""
    if text in ("true", "True", "false", "False"):
        return text.lower() == "true"
    if text.lstrip("-").isdigit() and text.isascii() and len(text) < 16:
        return int(text)
    value = _float(text)
    return text if value is None else value


def _attributes(element: Any) -> Iterator[tuple[str, Any]]:
    """``<attribute><name>..</name><value>..</value></attribute>`` (Datumaro, CVAT)."""
    for item in element:
        name = _text(item.find("name"))
        if name:
            yield name, read_value(_text(item.find("value")))


def _enclosure(ring: list[float]) -> list[float]:
    xs, ys = ring[0::2], ring[1::2]
    return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
