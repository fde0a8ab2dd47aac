"""One sample as Pascal VOC XML, and the row that reading it back gives; both made together, so that they agree.

An object's first children are ``name, pose, truncated, difficult, bndbox``, in labelImg's order, for readers that
count; what VOC does not know comes behind: ``occluded``, ``actions``, ``attributes`` (Datumaro's form), ``polygon``,
``robndbox``, ``part``. ``pose``, ``truncated`` and ``difficult`` are always there, because many readers fail without;
those the sample says nothing of are named in ``unstated``, so that reading back invents nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from dsetkit.formats.loss import Ledger
from dsetkit.formats.voc.xml import FLAGS, degenerate_finding, read_angle, read_flag, read_value
from dsetkit.geometry.shape import enclosure
from dsetkit.spec.arrow import Row

_NO_XML = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TAG = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,99}\Z")
_KNOWN = frozenset(
    {"name", "pose", "truncated", "difficult", "occluded", "bndbox", "polygon", "robndbox", "point"}
    | {"actions", "attributes", "part", "type", "deleted", "unstated"}
)
_UNSTATED = {"pose": "Unspecified", "truncated": "0", "difficult": "0"}


class Coordinates(NamedTuple):
    """How pixels become numbers in the file."""

    shift: float
    """1 where pixels are counted from 1 and a box includes its corners, else 0."""
    rounded: bool

    def write(self, value: float) -> float:
        """A place (pixels from 0) as the number in the file."""
        return self.exact(value + self.shift)

    def read(self, value: float) -> float:
        """The number in the file as a place."""
        return value - self.shift

    def exact(self, value: float) -> float:
        """The number itself, to a whole one where that is asked for (half up)."""
        return float(math.floor(value + 0.5)) if self.rounded else value


def clean_text(text: str) -> str:
    """Text as XML 1.0 can hold it: characters it forbids, and carriage returns, which it changes, as ``_``."""
    return _NO_XML.sub("_", text)


def category_name(name: str) -> str:
    """A category's name as XML and a line of ``labelmap.txt`` can hold it."""
    return clean_text(name).replace("\n", "_")


def attribute_dropped(name: str) -> str:
    """What is said of an attribute of a sample that is left out."""
    return f"voc has no place for the attribute {name!r} of a sample; not written"


def element(tag: str, text: str) -> str:
    """An element with a text, marked where space at its ends belongs to it."""
    mark = ' xml:space="preserve"' if text.strip() != text else ""
    return f"<{tag}{mark}>{escape(text)}</{tag}>"


class ObjectWriter:
    """Writes the annotations of one sample. ``carried`` are those as read back, ``lines`` their XML."""

    def __init__(self, key: str, coordinates: Coordinates, ledger: Ledger) -> None:
        self.key = key
        self.coordinates = coordinates
        self.ledger = ledger
        self.carried: list[Row] = []
        self.lines: list[str] = []

    def write(self, annotations: Sequence[Row]) -> None:
        """``annotations`` are of VOC's kinds, ids as in the sample; parts are put inside their wholes."""
        parts, points = self._family(annotations)
        inside = {id(item) for items in (*parts.values(), *points.values()) for item in items}
        for annotation in annotations:
            if id(annotation) in inside:
                continue
            if annotation["kind"] == "points":
                self._lost("kind-dropped", "voc has points only as the one reference point of an object", annotation)
                continue
            whole = self._object(annotation, "object", None)
            for part in parts.get(annotation["id"], ()):
                self._object(part, "part", whole)
            for point in points.get(annotation["id"], ()):
                self._point(point, whole)
            self.lines.append("\t</object>")

    def _family(self, annotations: Sequence[Row]) -> tuple[dict[str, list[Row]], dict[str, list[Row]]]:
        """Parts and points by the id of their whole: one level, as in VOC; other relations are lost."""
        by_id = {item["id"]: item for item in annotations}
        wholes = {item["id"]: self._whole_of(item, by_id) for item in annotations}
        parts: dict[str, list[Row]] = {}
        points: dict[str, list[Row]] = {}
        for item in annotations:
            whole = wholes[item["id"]]
            kept = whole is not None and wholes[whole["id"]] is None
            if whole is not None and kept:
                same = item.get("category") == whole.get("category")
                if item["kind"] != "points":
                    parts.setdefault(whole["id"], []).append(item)
                elif len(item.get("points", ())) == 2 and same and whole["id"] not in points:
                    points[whole["id"]] = [item]
                else:
                    kept = False
            if len(item.get("relations", ())) > int(kept):
                message = "voc knows no relation but that of a part to its whole, one level deep; others are left out"
                self._lost("relation-dropped", message, item)
        return parts, points

    @staticmethod
    def _whole_of(item: Row, by_id: Mapping[str, Row]) -> Row | None:
        for relation in item.get("relations", ()):
            whole = by_id.get(relation["target"])
            if relation["kind"] == "part_of" and whole is not None and whole is not item and whole["kind"] != "points":
                return whole
        return None

    def _object(self, annotation: Row, tag: str, whole: Row | None) -> Row:
        row: Row = {"id": str(len(self.carried)), "kind": annotation["kind"]}
        tabs = "\t" if whole is None else "\t\t"
        lines = [f"{tabs}<{tag}>"]
        self._name(annotation, row, lines, tabs)
        attributes = dict(annotation.get("attributes", {}))
        kept: dict[str, Any] = {}
        unstated: list[str] = []
        for name in ("pose", "truncated", "difficult"):
            if name in attributes:
                self._flag(name, attributes.pop(name), annotation, kept, lines, tabs)
            if name not in kept and whole is None:
                lines.append(f"{tabs}\t<{name}>{_UNSTATED[name]}</{name}>")
                unstated.append(name)
        shape = self._shape(annotation, row, lines, tabs)
        if "occluded" in attributes:
            self._flag("occluded", attributes.pop("occluded"), annotation, kept, lines, tabs)
        self._attributes(attributes, annotation, kept, lines, tabs)
        lines += shape
        self._extras(annotation, row, lines, tabs)
        lines += [f"{tabs}\t<unstated>{' '.join(unstated)}</unstated>"] if unstated else []
        row |= {"attributes": kept} if kept else {}
        if whole is not None:
            row["relations"] = [{"kind": "part_of", "target": whole["id"]}]
            lines.append(f"{tabs}</{tag}>")
        self._add(row, annotation, lines)
        return row

    def _name(self, annotation: Row, row: Row, lines: list[str], tabs: str) -> None:
        category = annotation["category"]
        name = category_name(category)
        if name != category:
            self._lost("category-renamed", f"{category!r} cannot stand in XML; it becomes {name!r}", annotation)
        row["category"] = name
        lines.append(f"{tabs}\t{element('name', name)}")

    def _shape(self, annotation: Row, row: Row, lines: list[str], tabs: str) -> list[str]:
        """Adds ``bndbox``, which every reader wants; gives the lines of what else there is."""
        x, y, w, h = annotation["bbox_xywh_px"]
        place = self.coordinates
        left, top, right, bottom = place.write(x), place.write(y), place.exact(x + w), place.exact(y + h)
        thin = right < left or bottom < top
        right, bottom = max(left, right), max(top, bottom)
        corners = (left, top, right, bottom)
        numbers = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        lines.append(f"{tabs}\t<bndbox>")
        lines += [f"{tabs}\t\t<{name}>{_number(value)}</{name}>" for name, value in numbers]
        lines.append(f"{tabs}\t</bndbox>")
        kind = annotation["kind"]
        if kind == "polygon":
            return self._polygon(annotation, row, tabs)
        if kind == "rotated_box":
            return self._rotated(annotation, row, tabs)
        if thin:
            message = "voc has no box under one pixel wide or high; such sides become one pixel"
            self._lost("box-thin", message, annotation)
        box = [place.read(left), place.read(top), right - left + place.shift, bottom - top + place.shift]
        if place.rounded and not thin and box != [x, y, w, h]:
            self._rounded(annotation)
        row["bbox_xywh_px"] = box
        if right == left or bottom == top:
            row["issues"] = [degenerate_finding(corners)]
            if not thin and not any(found["code"] == "box-degenerate" for found in annotation.get("issues", ())):
                message = "voc's readers take a box one pixel wide or high for a stray click; it is read as degenerate"
                self._lost("box-thin", message, annotation)
        return []

    def _polygon(self, annotation: Row, row: Row, tabs: str) -> list[str]:
        given = annotation["polygons"][0][0]
        written = [self.coordinates.write(value) for value in given]
        ring = [self.coordinates.read(value) for value in written]
        if self.coordinates.rounded and ring != list(given):
            self._rounded(annotation)
        xs, ys = ring[0::2], ring[1::2]
        row["polygons"] = [[ring]]
        row["bbox_xywh_px"] = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
        names = (f"{axis}{index}" for index in range(1, len(ring) // 2 + 1) for axis in "xy")
        inner = "".join(f"<{name}>{_number(value)}</{name}>" for name, value in zip(names, written, strict=True))
        return [f"{tabs}\t<polygon>{inner}</polygon>"]

    def _rotated(self, annotation: Row, row: Row, tabs: str) -> list[str]:
        shape = annotation["rotated_box"]
        shift, angle = self.coordinates.shift, math.radians(shape["angle"])
        numbers = {
            "cx": shape["cx"] + shift,
            "cy": shape["cy"] + shift,
            "w": shape["w"],
            "h": shape["h"],
            "angle": angle,
        }
        back = {"cx": numbers["cx"] - shift, "cy": numbers["cy"] - shift, "angle": read_angle(angle)}
        row["rotated_box"] = {**shape, **back}
        row["bbox_xywh_px"] = list(enclosure(row) or ())
        inner = "".join(f"<{name}>{_number(value)}</{name}>" for name, value in numbers.items())
        return [f"{tabs}\t<type>robndbox</type>", f"{tabs}\t<robndbox>{inner}</robndbox>"]

    def _point(self, annotation: Row, whole: Row) -> None:
        numbers = [self.coordinates.write(value) for value in annotation["points"]]
        x, y = (self.coordinates.read(value) for value in numbers)
        if self.coordinates.rounded and [x, y] != list(annotation["points"]):
            self._rounded(annotation)
        for name in ("attributes", "extras"):
            if annotation.get(name):
                self._lost("attribute-dropped", f"voc has no {name} of a point; they are left out", annotation)
        row: Row = {"id": str(len(self.carried)), "kind": "points", "category": whole["category"], "points": [x, y]}
        row["bbox_xywh_px"] = [x, y, 0.0, 0.0]
        row["relations"] = [{"kind": "part_of", "target": whole["id"]}]
        line = f"\t\t<point><x>{_number(numbers[0])}</x><y>{_number(numbers[1])}</y></point>"
        self._add(row, annotation, [line])

    def _flag(self, name: str, value: Any, source: Row, kept: dict[str, Any], lines: list[str], tabs: str) -> None:
        text = _scalar_text(value) if name not in FLAGS or not isinstance(value, bool) else str(int(value))
        if not text or (name == "pose" and not isinstance(value, str)):
            self._lost("attribute-dropped", f"voc cannot say such a value of the attribute {name!r}", source)
            return
        back = text if name == "pose" else read_flag(text)
        self._check(name, value, back, source)
        kept[name] = back
        lines.append(f"{tabs}\t{element(name, text)}")

    def _attributes(
        self, values: Mapping[str, Any], source: Row, kept: dict[str, Any], lines: list[str], tabs: str
    ) -> None:
        actions = values.get("actions")
        items: list[str] = []
        for name, value in values.items():
            text = _scalar_text(value)
            if name == "actions" and isinstance(actions, dict):
                self._actions(actions, source, kept, lines, tabs)
            elif text is None or not name:
                self._lost("attribute-dropped", f"voc cannot say such a value of the attribute {name!r}", source)
            else:
                clean, back = clean_text(name), read_value(text)
                self._check(name, value, back, source)
                kept[clean] = back
                if clean != name:
                    self._lost("attribute-changed", f"{name!r} cannot stand in XML; it becomes {clean!r}", source)
                pair = element("name", clean) + element("value", text)
                items.append(f"{tabs}\t\t<attribute>{pair}</attribute>")
        lines += [f"{tabs}\t<attributes>", *items, f"{tabs}\t</attributes>"] if items else []

    def _actions(
        self, actions: Mapping[str, Any], source: Row, kept: dict[str, Any], lines: list[str], tabs: str
    ) -> None:
        done: dict[str, Any] = {}
        for name, value in actions.items():
            text = str(int(value)) if isinstance(value, bool) else _scalar_text(value)
            if text is None or not _TAG.match(name):
                self._lost("attribute-dropped", "voc cannot say such a value or name of an action", source)
                continue
            done[name] = read_flag(text)
            self._check("actions", value, done[name], source)
        if done:
            kept["actions"] = done
            texts = {
                name: str(int(value)) if isinstance(value, bool) else _scalar_text(value)
                for name, value in done.items()
            }
            lines.append(f"{tabs}\t<actions>")
            lines += [f"{tabs}\t\t{element(name, text or '')}" for name, text in texts.items()]
            lines.append(f"{tabs}\t</actions>")

    def _extras(self, annotation: Row, row: Row, lines: list[str], tabs: str) -> None:
        done: dict[str, str] = {}
        for name, value in annotation.get("extras", {}).get("voc", {}).items():
            text = clean_text(value)[:1000] if isinstance(value, str) else ""
            if not text or text != value or name in _KNOWN or not _TAG.match(name):
                self._lost(
                    "extras-dropped", "an extra that is no text of an element is left out", annotation, info=True
                )
                continue
            done[name] = text
            lines.append(f"{tabs}\t{element(name, text)}")
        if done:
            row["extras"] = {"voc": done}

    def _check(self, name: str, value: Any, back: Any, source: Row) -> None:
        if back != value or type(back) is not type(value):
            message = f"voc has only texts as values of the attribute {name!r}; one is read back changed"
            self._lost("attribute-changed", message, source)

    def _add(self, row: Row, source: Row, lines: list[str]) -> None:
        if row["id"] != source["id"]:
            message = "voc has no annotation ids; they are numbered anew from 0 in each sample"
            self._lost("id-renumbered", message, source, info=True)
        self.carried.append(row)
        self.lines += lines

    def _rounded(self, annotation: Row) -> None:
        self._lost("coordinates-rounded", "coordinates are rounded to whole pixels", annotation)

    def _lost(self, code: str, message: str, annotation: Row, *, info: bool = False) -> None:
        where = f"{self.key}#{annotation['id']}"
        self.ledger.add(code, message, where, severity="info" if info else "warning")


def _scalar_text(value: Any) -> str | None:
    """A value as the text that stands for it; None for what is no plain value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)
    return clean_text(value) if isinstance(value, str) else None


def _number(value: float) -> str:
    """Whole numbers without a point, others with the digits that give the same number back."""
    return str(int(value)) if value == int(value) else repr(float(value))
