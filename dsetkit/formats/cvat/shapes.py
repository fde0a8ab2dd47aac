"""One shape or tag of CVAT as a row.

Definition: CVAT's "XML annotation format" 1.1 (https://docs.cvat.ai/docs/dataset_management/formats/format-xml/) and
its own dumper. Pixels are plain: 0 is the left edge of the first pixel, ``xbr − xtl`` a width. ``rotation`` is degrees,
clockwise, about the box's or ellipse's own centre. An ellipse has half axes. A skeleton's elements are points, each of
a label of its own: ``outside`` means not labelled, ``occluded`` hidden.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from dsetkit.formats.cvat.masks import BoxMask, to_picture
from dsetkit.formats.cvat.meta import Meta
from dsetkit.formats.xml_text import shown
from dsetkit.geometry.shape import enclosure
from dsetkit.spec.arrow import Row

SHAPES = frozenset({"box", "ellipse", "polygon", "polyline", "points", "mask", "skeleton", "tag"})
LIMIT_PX = 1e9
"""A coordinate beyond this is taken for a fault."""
ORIGINS = {"manual": "human", "auto": "model", "consensus": "consensus"}
"""``source`` → origin. Others (``semi-auto``, ``file``) say nothing of who made it and are kept as extras."""
OWN = frozenset(
    {"label", "source", "occluded", "outside", "keyframe", "frame", "z_order", "group_id", "rotation", "points", "rle"}
    | {"left", "top", "width", "height", "cx", "cy", "rx", "ry", "xtl", "ytl", "xbr", "ybr", "score", "id", "task_id"}
    | {"unstated"}
)
"""XML attributes that mean something here; others are kept as extras."""
_TWO_NUMBERS = re.compile(r"\d[\s.\d]*[,;\s]\s*-?\d")


class ShapeError(ValueError):
    """A shape nothing can be made of. ``code`` is an issue's."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def read_shape(element: Any, meta: Meta, label: str | None, size: tuple[int, int] | None) -> Row:
    """The element as a row without an id. ``label`` is its own or its track's, ``size`` width and height in pixels.

    Raises ``ShapeError`` with the codes ``shape-not-read`` (a shape with no place here: cuboids), ``shape-unreadable``
    (numbers nobody can read) or ``mask-unreadable``.
    """
    given: Mapping[str, str] = element.attrib
    findings: list[Row] = []
    extras: dict[str, Any] = {}
    row = _located(element, given, size, findings, extras)
    if label:
        row["category"] = label
    else:
        findings.append({"code": "category-missing", "message": "its label is empty"})
    attributes = _attributes(element, meta, label)
    if "occluded" in given and row["kind"] != "image_label":
        attributes["occluded"] = _flag(given["occluded"])
    if attributes:
        row["attributes"] = attributes
    _facts(given, row, extras)
    if extras:
        row["extras"] = {"cvat": extras}
    if findings:
        row["issues"] = findings
    return row


def _located(
    element: Any, given: Mapping[str, str], size: tuple[int, int] | None, findings: list[Row], extras: dict[str, Any]
) -> Row:
    tag = element.tag
    if tag == "tag":
        return {"kind": "image_label"}
    if tag == "box":
        return _box(given, findings)
    if tag == "ellipse":
        shape = {name: _number(given, name) for name in ("cx", "cy", "rx", "ry")}
        if shape["rx"] < 0 or shape["ry"] < 0:
            raise ShapeError("shape-unreadable", "a half axis is below 0; the shape was left out")
        if "rotation" in given:
            shape["angle"] = _number(given, "rotation")
        return _enclosed({"kind": "ellipse", "ellipse": shape})
    if tag in ("polyline", "points"):
        return _enclosed({"kind": tag, tag: _points(given, 1)})
    if tag == "polygon":
        return _enclosed({"kind": "polygon", "polygons": [[_points(given, 3)]]})
    if tag == "mask":
        return _mask(given, size, findings)
    if tag == "skeleton":
        return _skeleton(element, extras)
    raise ShapeError("shape-not-read", f"a <{shown(str(tag))}> has no place here; it was left out")


def _box(given: Mapping[str, str], findings: list[Row]) -> Row:
    left, top, right, bottom = (_number(given, name) for name in ("xtl", "ytl", "xbr", "ybr"))
    if right < left or bottom < top:
        said = f"xtl {left:.10g}, ytl {top:.10g}, xbr {right:.10g}, ybr {bottom:.10g}"
        findings.append({"code": "box-inverted", "message": f"{said}: corners exchanged"})
        left, right, top, bottom = min(left, right), max(left, right), min(top, bottom), max(top, bottom)
    if "rotation" not in given:
        return {"kind": "box", "bbox_xywh_px": [left, top, right - left, bottom - top]}
    angle = _number(given, "rotation")
    shape = {"cx": (left + right) / 2, "cy": (top + bottom) / 2, "w": right - left, "h": bottom - top, "angle": angle}
    return _enclosed({"kind": "rotated_box", "rotated_box": shape})


def _enclosed(row: Row) -> Row:
    box = enclosure(row)
    if box is not None:
        row["bbox_xywh_px"] = list(box)
    return row


def _mask(given: Mapping[str, str], size: tuple[int, int] | None, findings: list[Row]) -> Row:
    if size is None:
        message = "the picture's size is neither given nor to be learnt, and a mask needs it; it was left out"
        raise ShapeError("mask-unreadable", message)
    left, top, width, height = (_number(given, name) for name in ("left", "top", "width", "height"))
    try:
        runs = [int(run) for run in given.get("rle", "").split(",")]
        mask, cut = to_picture(BoxMask(runs, int(left), int(top), int(width), int(height)), *size)
    except (ValueError, OverflowError) as error:
        text = str(error)
        said = "its rle is no list of whole numbers" if "int" in text or "digits" in text else text
        raise ShapeError("mask-unreadable", f"{said}; it was left out") from None
    if cut:
        message = f"it reaches out of the picture of {size[0]}×{size[1]} px; what is outside was cut off"
        findings.append({"code": "mask-outside", "message": message})
    row = _enclosed({"kind": "mask", "mask": mask})
    if "bbox_xywh_px" not in row:
        raise ShapeError("mask-unreadable", "not a pixel of it is in the picture; it was left out")
    return row


def _skeleton(element: Any, extras: dict[str, Any]) -> Row:
    points: list[Row] = []
    said: dict[str, dict[str, str]] = {}
    for item in element:
        if item.tag == "attribute":
            continue
        name = item.get("label") or ""
        if item.tag != "points" or not name:
            message = f"a skeleton with the element <{shown(str(item.tag))} label={shown(name)!r}> has no place here"
            raise ShapeError("shape-not-read", f"{message}; it was left out")
        flat = _points(item.attrib, 1)
        if len(flat) != 2:
            raise ShapeError("shape-unreadable", f"the element {shown(name)!r} has {len(flat) // 2} points, not one")
        point: Row = {"name": name, "x": flat[0], "y": flat[1]}
        if _flag(item.get("outside", "0")) is True:
            point["visibility"] = 0
        elif _flag(item.get("occluded", "0")) is True:
            point["visibility"] = 1
        points.append(point)
        own = {one.get("name"): one.text or "" for one in item.iterfind("attribute") if one.get("name")}
        if own:
            said[name] = own
    if not points:
        raise ShapeError("shape-unreadable", "a skeleton without elements; it was left out")
    if said:
        extras["elements"] = said
    return _enclosed({"kind": "keypoints", "keypoints": points})


def _attributes(element: Any, meta: Meta, label: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in element.iterchildren("attribute"):
        name = item.get("name")
        if name:
            found[name] = meta.value(label, name, item.text or "")
    return found


def _facts(given: Mapping[str, str], row: Row, extras: dict[str, Any]) -> None:
    source = given.get("source", "")
    if source in ORIGINS:
        row["origin"] = ORIGINS[source]
    elif source:
        extras["source"] = source[:1000]
    group = given.get("group_id", "").strip()
    if group and group != "0":
        row["instance_group"] = group[:1000]
    z_order = given.get("z_order", "0")
    if z_order != "0":
        try:
            level = int(z_order[:20])
        except ValueError:
            level = 0
        if level:
            extras["z_order"] = level
    if "score" in given:
        row["score"] = _number(given, "score")
    for name, value in given.items():
        if name not in OWN and not _TWO_NUMBERS.search(value):
            extras[str(name)] = value[:1000]


def _flag(text: str) -> Any:
    lower = text.strip().lower()
    return True if lower in ("1", "true") else False if lower in ("0", "false") else text[:1000]


def _number(given: Mapping[str, str], name: str) -> float:
    text = given.get(name)
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if text is None or "_" in text or not math.isfinite(value):
        said = "is missing" if text is None else f"is {shown(text)!r}, no finite number"
        raise ShapeError("shape-unreadable", f"{name} {said}; the shape was left out")
    if abs(value) > LIMIT_PX:
        raise ShapeError("shape-unreadable", f"{name} is beyond any picture (1e9 px); the shape was left out")
    return value + 0.0


def _points(given: Mapping[str, str], least: int) -> list[float]:
    """Flat coordinates of ``x,y;x,y;...``."""
    text = (given.get("points") or "").strip().rstrip(";")
    pairs = text.split(";")
    try:
        flat = [float(number) for number in text.replace(";", ",").split(",")]
    except ValueError:
        flat = []
    if not flat or "_" in text or any(pair.count(",") != 1 for pair in pairs):
        raise ShapeError("shape-unreadable", f"points are {shown(text)!r}, no list of x,y; the shape was left out")
    if not all(map(math.isfinite, flat)) or max(flat) > LIMIT_PX or min(flat) < -LIMIT_PX:
        raise ShapeError("shape-unreadable", "a coordinate is beyond any picture (1e9 px); the shape was left out")
    if len(pairs) < least:
        raise ShapeError("shape-unreadable", f"a polygon of {len(pairs)} points; the shape was left out")
    return flat
