"""One annotation as an element of CVAT, and what has to be changed of it before."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lxml import etree

from dsetkit.formats.cvat.labels import Definitions, attribute_text, is_flag
from dsetkit.formats.cvat.masks import from_picture
from dsetkit.formats.cvat.shapes import ORIGINS, OWN
from dsetkit.formats.loss import Ledger
from dsetkit.formats.outlines import mask_unless_plain
from dsetkit.formats.voc.write import category_name, clean_text
from dsetkit.geometry.shape import own_box
from dsetkit.spec.arrow import Row

_SOURCES = {origin: source for source, origin in ORIGINS.items()}
_XML_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}\Z")
_TAGS = {"image_label": "tag", "rotated_box": "box", "keypoints": "skeleton"}


def fit_annotation(annotation: Row, size: tuple[int | None, int | None], ledger: Ledger, key: str) -> Row | None:
    """The annotation as CVAT has place for it; None if it is lost. ``size`` is the picture's height and width, pixels.

    A polygon of several parts or with holes becomes a mask; a keypoint's name is there once.
    """
    where = f"{key}#{annotation['id']}"
    if annotation["kind"] == "polygon":
        return mask_unless_plain(annotation, size, ledger, where)
    if annotation["kind"] == "mask" and tuple(annotation.get("mask", {}).get("size", ())) != size and None not in size:
        ledger.add("shape-broken", "masks that are not of their picture's size are left out", where)
        return None
    if annotation["kind"] != "keypoints":
        return annotation
    if own_box(annotation) is not None:
        message = "cvat has no box of its own for a skeleton; it becomes the one around its points"
        ledger.add("keypoints-box", message, where)
    points: dict[str, Row] = {}
    for point in annotation.get("keypoints", ()):
        name = clean_text(point["name"])
        if name in points or not name:
            ledger.add("keypoint-twice", "of keypoints of one name the first is kept", where)
            continue
        visibility = point.get("visibility", 2)
        if visibility not in (0, 1, 2):
            ledger.add("keypoint-visibility", "a visibility other than 0, 1, 2 becomes 2", where)
        points[name] = {**point, "name": name, "visibility": visibility if visibility in (0, 1, 2) else 2}
    return {**annotation, "keypoints": list(points.values())}


def number(value: float) -> str:
    """A number with all the digits that give the same float back; whole ones without a point."""
    value = float(value)
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def write_shape(annotation: Row, definitions: Definitions, groups: Mapping[str, str]) -> Any:
    """The element. Raises ``ValueError``, ``KeyError`` or ``TypeError`` for a shape that is broken."""
    kind = annotation["kind"]
    element = etree.Element(_TAGS.get(kind, kind))
    extras = annotation.get("extras", {}).get("cvat", {})
    extras = extras if isinstance(extras, dict) else {}
    element.set("label", category_name(annotation["category"]))
    source = _SOURCES.get(annotation.get("origin") or "") or extras.get("source")
    if isinstance(source, str) and source and not (annotation.get("origin") and source not in ORIGINS):
        element.set("source", clean_text(source))
    attributes: Mapping[str, Any] = annotation.get("attributes", {})
    if is_flag(annotation, "occluded", attributes.get("occluded")):
        element.set("occluded", str(int(attributes["occluded"])))
    _geometry(element, annotation, extras)
    if kind != "image_label":
        level = extras.get("z_order", 0)
        element.set("z_order", str(level if isinstance(level, int) and abs(level) < 2**31 else 0))
    if annotation.get("instance_group"):
        element.set("group_id", groups[annotation["instance_group"]])
    for name, value in extras.items():
        if name not in OWN and name != "elements" and isinstance(value, str) and _XML_NAME.match(name):
            element.set(name, clean_text(value))
    for name in sorted(attributes, key=str.encode):
        if name and not is_flag(annotation, name, attributes[name]):
            _attribute(element, name, attribute_text(attributes[name]))
    return element


def _attribute(above: Any, name: str, text: str) -> None:
    item = etree.SubElement(above, "attribute")
    item.set("name", clean_text(name))
    item.text = text or None


def _geometry(element: Any, annotation: Row, extras: Mapping[str, Any]) -> None:
    kind = annotation["kind"]
    if kind == "box":
        x, y, w, h = annotation["bbox_xywh_px"]
        _set(element, xtl=x, ytl=y, xbr=x + w, ybr=y + h)
    elif kind == "rotated_box":
        box = annotation["rotated_box"]
        cx, cy, w, h = box["cx"], box["cy"], box["w"], box["h"]
        _set(element, xtl=cx - w / 2, ytl=cy - h / 2, xbr=cx + w / 2, ybr=cy + h / 2, rotation=box["angle"] % 360.0)
    elif kind == "ellipse":
        shape = annotation["ellipse"]
        _set(element, cx=shape["cx"], cy=shape["cy"], rx=shape["rx"], ry=shape["ry"])
        if shape.get("angle", 0.0) % 360.0:
            _set(element, rotation=shape["angle"] % 360.0)
    elif kind == "polygon":
        element.set("points", _points(annotation["polygons"][0][0]))
    elif kind in ("polyline", "points"):
        element.set("points", _points(annotation[kind]))
    elif kind == "mask":
        mask = from_picture(annotation["mask"])
        if mask is None:
            raise ValueError("masks without a pixel")
        element.set("rle", ", ".join(map(str, mask.runs)))
        for name in ("left", "top", "width", "height"):
            element.set(name, str(getattr(mask, name)))
    elif kind == "keypoints":
        _elements(element, annotation, extras)


def _elements(element: Any, annotation: Row, extras: Mapping[str, Any]) -> None:
    own = extras.get("elements")
    for point in annotation["keypoints"]:
        item = etree.SubElement(element, "points")
        item.set("label", point["name"])
        item.set("outside", str(int(point["visibility"] == 0)))
        item.set("occluded", str(int(point["visibility"] == 1)))
        item.set("points", _points((point["x"], point["y"])))
        said = own.get(point["name"]) if isinstance(own, dict) else None
        for name, text in sorted(said.items()) if isinstance(said, dict) else ():
            if isinstance(text, str) and name:
                _attribute(item, name, text)


def hide_elements(element: Any) -> None:
    """Makes all elements of a skeleton ``outside``."""
    for item in element.iterchildren("points"):
        item.set("outside", "1")
        item.set("occluded", "0")


def _set(element: Any, **numbers: float) -> None:
    for name, value in numbers.items():
        element.set(name, number(value))


def _points(flat: Any) -> str:
    if len(flat) % 2:
        raise ValueError("a list of coordinates of odd length")
    return ";".join(f"{number(x)},{number(y)}" for x, y in zip(flat[0::2], flat[1::2], strict=True))
