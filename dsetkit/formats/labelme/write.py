"""One sample as a LabelMe document, and the row that reading it back gives: what is written is read by the reader."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dsetkit.formats.carry import convert
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelme.shapes import IGNORE, ShapeError, read_shape
from dsetkit.formats.loss import Ledger
from dsetkit.formats.notes import FileNotes
from dsetkit.geometry import rle
from dsetkit.geometry.shape import box_corners
from dsetkit.imaging.mask_png import write_mask
from dsetkit.spec.arrow import Row

VERSION = "5.5.0"
"""What is written as ``version``; LabelMe 5 and 6 read such files."""
_SHAPE_FIELDS = frozenset(
    {"label", "points", "group_id", "description", "shape_type", "flags", "mask", "score", "attributes", "difficult"}
    | {"line_color", "fill_color"}
)


def as_circles(row: Row, ledger: Ledger) -> Row:
    """The row with each ellipse that is no circle as a polygon."""
    annotations = []
    for item in row.get("annotations", ()):
        if item["kind"] == "ellipse" and item["ellipse"]["rx"] != item["ellipse"]["ry"]:
            message = "labelme has circles and no other ellipses; they become polygons"
            ledger.add("kind-changed", message, f"{row['key']}#{item['id']}")
            item = convert(item, "polygon")
        annotations.append(item)
    return {**row, "annotations": annotations} if annotations else row


class ShapeWriter:
    """Writes the annotations of one sample. ``shapes`` and ``flags`` are the document's, ``carried`` what is read."""

    def __init__(self, key: str, size: tuple[int, int] | None, ledger: Ledger) -> None:
        self.key = key
        self.size = size
        self.ledger = ledger
        self.shapes: list[dict[str, Any]] = []
        self.flags: dict[str, bool] = {}
        self.carried: list[Row] = []
        self._notes = FileNotes(IssueList(), "")
        self._groups: dict[str, int] = {}
        self._taken: set[int] = set()

    def write(self, annotations: Sequence[Row], absent: Iterable[str]) -> None:
        """``annotations`` are of LabelMe's kinds, ids as in the sample; ``absent`` are names of categories."""
        annotations = [item for item in annotations if self._has_label(item)]
        self._groups = _numbered(item["instance_group"] for item in annotations if "instance_group" in item)
        self._taken = set(self._groups.values())
        for item in annotations:
            if item["kind"] != "image_label":
                self._located(item)
        for item in annotations:
            if item["kind"] == "image_label":
                self._whole(item)
        for name in absent:
            if self.flags.setdefault(name, False):
                message = "a category that is on a picture cannot be absent too"
                self.ledger.add("absent-category-dropped", message, self.key)

    def _has_label(self, item: Row) -> bool:
        if item.get("category") is not None or _is_region(item):
            return True
        self._lost("category-none", "labelme needs a category; annotations without one are left out", item)
        return False

    def _located(self, item: Row) -> None:
        pieces = _shapes_of(item)
        if not pieces:
            self._lost("shape-empty", "labelme has no shapes without points; they are left out", item)
            return
        group = self._groups.get(item["instance_group"]) if "instance_group" in item else None
        if len(pieces) > 1:
            message = "labelme has no polygons of several parts; each becomes an annotation, of one group"
            self._lost("polygon-split", message, item)
            if group is None:
                group = _free(self._taken)
                self._taken.add(group)
        if "instance_group" in item and str(group) != item["instance_group"]:
            message = "labelme's groups are whole numbers; others are numbered anew in each sample"
            self._lost("group-renumbered", message, item, info=True)
        for shape_type, points, mask in pieces:
            flags = {name: value for name, value in item.get("attributes", {}).items() if isinstance(value, bool)}
            shape: dict[str, Any] = {
                "label": IGNORE if _is_region(item) else item["category"],
                "points": [list(map(float, point)) for point in points],
                "group_id": group,
                "description": item.get("text", ""),
                "shape_type": shape_type,
                "flags": flags,
                "mask": mask,
            }
            others = {name: value for name, value in item.get("attributes", {}).items() if name not in flags}
            if others:
                shape["attributes"] = others
            if "score" in item:
                shape["score"] = item["score"]
            for name, value in item.get("extras", {}).get("labelme", {}).items():
                if name not in _SHAPE_FIELDS:
                    shape[name] = value
            self._add(shape, item)

    def _add(self, shape: dict[str, Any], item: Row) -> None:
        try:
            back = read_shape(shape, lambda: self.size, self._notes, "")
        except ShapeError as error:
            self._lost("shape-unusable", f"{error}; it is left out", item)
            return
        self._check(item, back)
        self.shapes.append(shape)
        self._carry(item, back)

    def _whole(self, item: Row) -> None:
        if item.get("category") == IGNORE:
            self._lost("category-reserved", f"{IGNORE} is no category of labelme; not written", item)
            return
        if item["category"] in self.flags:
            self._lost("label-repeated", "labelme has each flag of a picture once; others are left out", item)
            return
        for name in ("text", "score", "instance_group", "attributes", "extras"):
            if item.get(name):
                message = f"labelme has flags of a picture without {name}; not written"
                self._lost("field-dropped", message, item, info=name == "extras")
        self.flags[item["category"]] = True
        back: Row = {"kind": "image_label", "category": item["category"]}
        self._ignored(item, back)
        self._carry(item, back)

    def _carry(self, item: Row, back: Row) -> None:
        number = str(len(self.carried))
        if number != item["id"]:
            message = "labelme has no annotation ids; they are numbered anew from 0 in each sample, shapes before flags"
            self._lost("id-renumbered", message, item, info=True)
        self.carried.append({"id": number, **back})

    def _check(self, item: Row, back: Row) -> None:
        """Enters what the shape does not say as the annotation did."""
        self._ignored(item, back)
        if back.get("extras", {}) != item.get("extras", {}):
            self._lost("extras-dropped", "an extra that is labelme's own field is left out", item, info=True)
        if item.get("text") == "":
            self._lost("text-empty", "labelme cannot tell an empty text from none", item, info=True)
        if item["kind"] == "mask" and back["mask"] != {**item["mask"], "size": list(item["mask"]["size"])}:
            self._lost("mask-outside", "a mask of another size than its picture is cut, or filled up", item)

    def _ignored(self, item: Row, back: Row) -> None:
        if bool(item.get("is_ignored")) != bool(back.get("is_ignored")):
            message = f"labelme has nothing that is ignored but what is labelled {IGNORE}, which is no category"
            self._lost("ignored-changed", message, item)

    def _lost(self, code: str, message: str, item: Row, *, info: bool = False) -> None:
        where = f"{self.key}#{item['id']}"
        self.ledger.add(code, message, where, severity="info" if info else "warning")


def document_of(row: Row, picture: str, writer: ShapeWriter) -> dict[str, Any]:
    """The document of a sample, fields in LabelMe's order; what LabelMe keeps without knowing it comes last."""
    document: dict[str, Any] = {
        "version": VERSION,
        "flags": writer.flags,
        "shapes": writer.shapes,
        "imagePath": picture,
        "imageData": None,
        "imageHeight": row.get("height_px"),
        "imageWidth": row.get("width_px"),
    }
    if row.get("attributes"):
        document["attributes"] = row["attributes"]
    document["subsets"] = list(row.get("subsets", ()))
    return document


def _is_region(item: Row) -> bool:
    """Whether it says that what is there does not count, and not what it is."""
    return bool(item.get("is_ignored")) and item.get("category") is None and item["kind"] != "image_label"


def _shapes_of(item: Row) -> list[tuple[str, Sequence[Sequence[float]], str | None]]:
    """Type, points and mask of the shapes that stand for an annotation."""
    kind = item["kind"]
    if kind == "box":
        x, y, w, h = item["bbox_xywh_px"]
        return [("rectangle", ((x, y), (x + w, y + h)), None)]
    if kind == "rotated_box":
        return [("oriented_rectangle", _points(box_corners(item["rotated_box"])), None)]
    if kind == "ellipse":
        shape = item["ellipse"]
        return [("circle", ((shape["cx"], shape["cy"]), (shape["cx"] + shape["rx"], shape["cy"])), None)]
    if kind == "polygon":
        return [("polygon", _points(rings[0]), None) for rings in item.get("polygons", ()) if rings and rings[0]]
    if kind == "mask":
        return _mask(item["mask"])
    points = _points(item.get(kind, ()))
    if not points:
        return []
    names = {"polyline": ("linestrip", "line"), "points": ("points", "point")}[kind]
    return [(names[len(points) == (2 if kind == "polyline" else 1)], points, None)]


def _mask(mask: Mapping[str, Any]) -> list[tuple[str, Sequence[Sequence[float]], str | None]]:
    box = rle.mask_bbox(dict(mask))
    if box is None:
        return []
    x, y, w, h = map(int, box)
    png = write_mask(rle.decode(dict(mask))[y : y + h, x : x + w])
    return [("mask", ((x, y), (x + w - 1, y + h - 1)), base64.b64encode(png).decode("ascii"))]


def _points(flat: Sequence[float]) -> list[Sequence[float]]:
    return [flat[index : index + 2] for index in range(0, len(flat) - 1, 2)]


def _numbered(groups: Iterable[str]) -> dict[str, int]:
    """Whole numbers for the groups: their own where they are such, else free ones, in order."""
    names = list(dict.fromkeys(groups))
    numbers = {name: int(name) for name in names if name.removeprefix("-").isdecimal() and len(name) < 10}
    numbers = {name: number for name, number in numbers.items() if str(number) == name}
    for name in names:
        if name not in numbers:
            numbers[name] = _free(numbers.values())
    return numbers


def _free(taken: Iterable[int]) -> int:
    used = set(taken)
    number = 0
    while number in used:
        number += 1
    return number
