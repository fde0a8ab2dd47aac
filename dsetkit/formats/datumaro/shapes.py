"""One annotation of Datumaro as a row.

Definition: ``datumaro/components/annotation.py`` and the reader and writer of its own format
(``plugins/data_formats/datumaro``), of Intel's Datumaro and of CVAT's fork. Pixels are plain, from 0. A box is x, y,
width, height; an ellipse the corners of the upright box around it; a mask COCO's RLE. Points with ``visibility`` of a
label that names as many are keypoints, as are ``skeleton`` of CVAT's fork (x, y, visibility in turn).

Facts that stand among attributes and have a field here: ``score``, ``is_crowd``; ``track_id``, ``keyframe`` and
``outside`` (of CVAT's videos); ``rotation`` of a box (CVAT: degrees clockwise about its centre, and the box is that
before it was turned).
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from dsetkit.formats.coco.head import ident
from dsetkit.formats.coco.read import may_be_geometry
from dsetkit.formats.datumaro.labels import Labels
from dsetkit.formats.notes import shown
from dsetkit.geometry import rle
from dsetkit.geometry.shape import enclosure
from dsetkit.spec.arrow import Row

KNOWN = frozenset(
    {"id", "type", "attributes", "group", "label_id", "z_order", "bbox", "points", "visibility", "rle", "caption"}
    | {"object_id", "points_attributes"}
)
LIMIT_PX = 1e9
"""A coordinate beyond this is taken for a fault."""


class ShapeError(ValueError):
    """An annotation nothing can be made of. ``code`` is an issue's."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def read_shape(raw: Mapping[str, Any], labels: Labels) -> Row:
    """The annotation as a row without an id; attributes and fields that are not ``KNOWN`` are clean already.

    Raises ``ShapeError`` with the codes ``type-not-read`` (a type that has no place here), ``shape-unreadable`` or
    ``category-missing`` (a label that is none).
    """
    findings: list[Row] = []
    category = labels.name(raw.get("label_id"))
    attributes = dict(raw.get("attributes") or {})
    row = _located(raw, attributes, category, labels, findings)
    kind = row["kind"]
    if kind != "caption":
        if category is not None:
            row["category"] = category
        elif kind == "image_label":
            raise ShapeError("category-missing", f"there is no label {shown(raw.get('label_id'))}; it was left out")
        elif raw.get("label_id") is not None:
            findings.append({"code": "category-missing", "message": f"there is no label {shown(raw['label_id'])}"})
    _facts(raw, attributes, row)
    if attributes:
        row["attributes"] = attributes
    extras = _extras(raw)
    if extras:
        row["extras"] = {"datumaro": extras}
    if findings:
        row["issues"] = findings
    return row


def _located(
    raw: Mapping[str, Any], attributes: dict[str, Any], category: str | None, labels: Labels, findings: list[Row]
) -> Row:
    kind = raw.get("type")
    if kind == "label":
        return {"kind": "image_label"}
    if kind == "caption":
        return {"kind": "caption", "text": raw.get("caption") or ""}
    if kind == "bbox":
        return _box(raw, attributes)
    if kind == "mask":
        return _mask(raw)
    if kind == "points":
        return _points(raw, category, labels)
    if kind == "skeleton":
        return _skeleton(raw, category, labels, findings)
    if kind == "polygon":
        return _enclosed({"kind": "polygon", "polygons": [[_flat(raw, 6)]]})
    if kind == "polyline":
        return _enclosed({"kind": "polyline", "polyline": _flat(raw, 2)})
    if kind == "ellipse":
        x1, y1, x2, y2 = _numbers(raw, "points", 4)
        shape = {"cx": (x1 + x2) / 2, "cy": (y1 + y2) / 2, "rx": abs(x2 - x1) / 2, "ry": abs(y2 - y1) / 2}
        return _enclosed({"kind": "ellipse", "ellipse": shape})
    if kind == "rotated_bbox":
        names = ("cx", "cy", "w", "h", "angle")
        box = dict(zip(names, _numbers(raw, "points", 5), strict=True))
        return _enclosed({"kind": "rotated_box", "rotated_box": box})
    raise ShapeError("type-not-read", f"an annotation of the type {shown(kind)} has no place here; it was left out")


def _box(raw: Mapping[str, Any], attributes: dict[str, Any]) -> Row:
    x, y, w, h = _numbers(raw, "bbox", 4)
    angle: Any = attributes.get("rotation")
    if _is_number(angle) and abs(angle) <= 1e6:
        del attributes["rotation"]
        if angle:
            box = {"cx": x + w / 2, "cy": y + h / 2, "w": w, "h": h, "angle": float(angle)}
            return _enclosed({"kind": "rotated_box", "rotated_box": box})
    return {"kind": "box", "bbox_xywh_px": [x, y, w, h]}


def _mask(raw: Mapping[str, Any]) -> Row:
    given = raw.get("rle")
    if given is None:
        raise ShapeError("shape-unreadable", "a mask without rle; it was left out")
    try:
        if isinstance(given["counts"], str):
            mask: Row = {"size": list(given["size"]), "counts": given["counts"]}
            rle.runs(mask)
        else:
            mask = rle.from_uncompressed(given["counts"], given["size"])
    except ValueError as error:
        raise ShapeError("shape-unreadable", f"{error}; it was left out") from None
    return _enclosed({"kind": "mask", "mask": mask})


def _points(raw: Mapping[str, Any], category: str | None, labels: Labels) -> Row:
    flat = _flat(raw, 2)
    visibility = raw.get("visibility")
    names = labels.points(category)
    if visibility is None or (len(names) * 2 != len(flat) and all(value == 2 for value in visibility)):
        return _enclosed({"kind": "points", "points": flat})
    if len(visibility) * 2 != len(flat):
        message = f"{len(flat) // 2} points and {len(visibility)} visibilities; it was left out"
        raise ShapeError("shape-unreadable", message)
    return _keypoints([*zip(flat[0::2], flat[1::2], visibility, strict=True)], names)


def _skeleton(raw: Mapping[str, Any], category: str | None, labels: Labels, findings: list[Row]) -> Row:
    given = raw.get("points") or []
    if not given or len(given) % 3 or not all(map(_is_number, given)):
        message = f"{len(given)} numbers are no list of x, y, visibility; it was left out"
        raise ShapeError("shape-unreadable", message)
    _check_limit(given)
    row = _keypoints([*zip(given[0::3], given[1::3], given[2::3], strict=True)], labels.points(category))
    said = raw.get("points_attributes")
    if isinstance(said, list) and any(said):
        message = "attributes of single points of a skeleton have no place here; they were left out"
        findings.append({"code": "point-attributes-not-read", "message": message})
    return row


def _keypoints(points: Sequence[tuple[float, float, float]], names: Sequence[str]) -> Row:
    made: list[Row] = []
    for index, (x, y, visibility) in enumerate(points):
        point: Row = {"name": names[index] if index < len(names) else str(index), "x": x, "y": y}
        if visibility in (0, 1):
            point["visibility"] = int(visibility)
        made.append(point)
    return _enclosed({"kind": "keypoints", "keypoints": made})


def _facts(raw: Mapping[str, Any], attributes: dict[str, Any], row: Row) -> None:
    score = attributes.get("score")
    if _is_number(score):
        row["score"] = float(attributes.pop("score"))
    if isinstance(attributes.get("is_crowd"), bool) and attributes.pop("is_crowd"):
        row["is_crowd"] = True
    group = ident(raw.get("group"))
    if group is not None and group != "0":
        row["instance_group"] = group
    track = ident(attributes.get("track_id"))
    if track is not None:
        del attributes["track_id"]
    else:
        number = ident(raw.get("object_id"))
        track = number if number is not None and not number.startswith("-") else None
    if track is None:
        return
    said: Row = {"id": track}
    if isinstance(attributes.get("keyframe"), bool) and not attributes.pop("keyframe"):
        said |= {"keyframe": False, "interpolated": True}
    if isinstance(attributes.get("outside"), bool) and attributes.pop("outside"):
        said["outside"] = True
    row["track"] = said


def _extras(raw: Mapping[str, Any]) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    level = raw.get("z_order")
    if isinstance(level, int) and not isinstance(level, bool) and level and abs(level) < 2**53:
        extras["z_order"] = level
    for name in sorted(raw.keys() - KNOWN):
        if not may_be_geometry(raw[name]):
            extras[str(name)] = raw[name]
    return extras


def _is_number(value: Any) -> bool:
    # Compared, not converted: an int may be too large for a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _numbers(raw: Mapping[str, Any], name: str, count: int) -> list[float]:
    given = raw.get(name)
    if given is None or len(given) != count or not all(map(_is_number, given)):
        said = "is missing" if given is None else f"is {count} numbers, not {shown(given)}"
        raise ShapeError("shape-unreadable", f"its {name} {said}; it was left out")
    _check_limit(given)
    return list(given)


def _flat(raw: Mapping[str, Any], least: int) -> list[float]:
    given = raw.get("points")
    if not given or len(given) % 2 or isinstance(given[0], list):
        said = "are missing" if not given else f"are {shown(given)}, no list of x, y pairs"
        raise ShapeError("shape-unreadable", f"its points {said}; it was left out")
    if len(given) < least:
        raise ShapeError("shape-unreadable", f"a {raw.get('type')} of {len(given) // 2} points; it was left out")
    _check_limit(given)
    return list(given)


def _check_limit(flat: Sequence[float]) -> None:
    if max(flat) > LIMIT_PX or min(flat) < -LIMIT_PX:
        raise ShapeError("shape-unreadable", "a coordinate is beyond any picture (1e9 px); it was left out")


def _enclosed(row: Row) -> Row:
    box = enclosure(row)
    if box is not None:
        row["bbox_xywh_px"] = list(box)
    return row
