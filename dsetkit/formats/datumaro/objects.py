"""One annotation as an object of Datumaro, and what of it is read back otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dsetkit.formats.coco.read import may_be_geometry
from dsetkit.formats.coco.shapes import write_keypoints
from dsetkit.formats.datumaro.plan import DatumaroPlan
from dsetkit.formats.datumaro.shapes import KNOWN
from dsetkit.formats.loss import Ledger
from dsetkit.geometry.shape import ellipse_outline, own_box
from dsetkit.spec.arrow import Row

WHOLE = re.compile(r"0|[1-9][0-9]{0,14}", re.ASCII)
"""An id that Datumaro can hold: a whole number."""


def write_object(
    annotation: Row, groups: Mapping[str, int], plan: DatumaroPlan, ledger: Ledger, where: str
) -> dict[str, Any]:
    """The object, without its id. Raises ``ValueError``, ``KeyError`` or ``TypeError`` for a shape that is broken."""
    kind = annotation["kind"]
    attributes: dict[str, Any] = dict(annotation.get("attributes", {}))
    raw: dict[str, Any] = {"type": _TYPES[kind], "attributes": attributes}
    raw["group"] = groups.get(annotation.get("instance_group") or "", 0)
    if kind != "caption":
        category = annotation.get("category")
        raw["label_id"] = None if category is None else plan.label_ids[category]
    if annotation.get("score") is not None:
        attributes["score"] = annotation["score"]
    if annotation.get("is_crowd"):
        attributes["is_crowd"] = True
    _track(annotation.get("track"), attributes, raw)
    _geometry(raw, annotation, plan, ledger, where)
    extras = annotation.get("extras", {}).get("datumaro", {})
    extras = extras if isinstance(extras, dict) else {}
    if kind not in ("image_label", "caption"):
        level = extras.get("z_order", 0)
        raw["z_order"] = level if isinstance(level, int) and not isinstance(level, bool) else 0
    raw |= {name: value for name, value in extras.items() if name not in KNOWN and not may_be_geometry(value)}
    return raw


def _track(track: Row | None, attributes: dict[str, Any], raw: dict[str, Any]) -> None:
    if not track:
        return
    number = track["id"]
    if WHOLE.fullmatch(number):
        attributes["track_id"] = raw["object_id"] = int(number)
    else:
        attributes["track_id"] = number
    if not track.get("keyframe", True):
        attributes["keyframe"] = False
    if track.get("outside"):
        attributes["outside"] = True


def _geometry(raw: dict[str, Any], annotation: Row, plan: DatumaroPlan, ledger: Ledger, where: str) -> None:
    kind = annotation["kind"]
    if kind == "caption":
        raw["caption"] = annotation.get("text") or ""
    elif kind == "box":
        raw["bbox"] = _floats(annotation["bbox_xywh_px"])
    elif kind == "rotated_box":
        box = annotation["rotated_box"]
        cx, cy, w, h = (float(box[name]) for name in ("cx", "cy", "w", "h"))
        raw["bbox"] = [cx - w / 2, cy - h / 2, w, h]
        raw["attributes"]["rotation"] = box["angle"] % 360.0
    elif kind == "polygon":
        raw["points"] = _floats(annotation["polygons"][0][0])
    elif kind in ("polyline", "points"):
        raw["points"] = _floats(annotation[kind])
    elif kind == "mask":
        raw["rle"] = {"counts": annotation["mask"]["counts"], "size": list(annotation["mask"]["size"])}
    elif kind == "ellipse":
        _ellipse(raw, annotation["ellipse"], ledger, where)
    elif kind == "keypoints":
        _keypoints(raw, annotation, plan, ledger, where)


def _ellipse(raw: dict[str, Any], shape: Row, ledger: Ledger, where: str) -> None:
    cx, cy, rx, ry = (float(shape[name]) for name in ("cx", "cy", "rx", "ry"))
    turned = shape.get("angle", 0.0) % 180.0
    if turned == 90.0:
        rx, ry, turned = ry, rx, 0.0
    if turned:
        ledger.add("kind-changed", "datumaro has no ellipses that are turned; they become polygons", where)
        raw["type"], raw["points"] = "polygon", _floats(ellipse_outline(shape))
        return
    raw["points"] = [cx - rx, cy - ry, cx + rx, cy + ry]


def _keypoints(raw: dict[str, Any], annotation: Row, plan: DatumaroPlan, ledger: Ledger, where: str) -> None:
    category = annotation.get("category")
    if own_box(annotation) is not None:
        message = "datumaro has no box of its own for keypoints; it becomes the one around them"
        ledger.add("keypoints-box", message, where)
    points: dict[str, Row] = {}
    for point in annotation["keypoints"]:
        if point["name"] in points:
            ledger.add("keypoint-twice", "of keypoints of one name the first is kept", where)
            continue
        visibility = point.get("visibility", 2)
        if visibility not in (0, 1, 2):
            ledger.add("keypoint-visibility", "a visibility other than 0, 1, 2 becomes 2", where)
            visibility = 2
        points[point["name"]] = {**point, "visibility": visibility}
    names = list(plan.points[category]) if category is not None else list(points)
    flat = write_keypoints({"keypoints": list(points.values())}, names)
    raw["points"] = _floats([value for index, value in enumerate(flat) if index % 3 != 2])
    raw["visibility"] = [int(value) for value in flat[2::3]]


def _floats(values: Sequence[float]) -> list[float]:
    return [float(value) for value in values]


_TYPES = {
    "image_label": "label",
    "box": "bbox",
    "rotated_box": "bbox",
    "polygon": "polygon",
    "mask": "mask",
    "polyline": "polyline",
    "points": "points",
    "keypoints": "points",
    "ellipse": "ellipse",
    "caption": "caption",
}


def enter_losses(annotation: Row, back: Row, ledger: Ledger, where: str) -> None:
    """What came back otherwise than it was given."""
    if back["kind"] != annotation["kind"] and annotation["kind"] != "ellipse":
        message = f"datumaro cannot tell such a {annotation['kind']} from {back['kind']}, which it is read as"
        ledger.add("kind-changed", message, where)
    names = [point["name"] for point in back.get("keypoints", ())]
    if back["kind"] == "keypoints" and any(point["name"] not in names for point in annotation["keypoints"]):
        message = "names of keypoints stand with their category in Datumaro; without one they are numbered"
        ledger.add("keypoint-names", message, where)
    if annotation["kind"] == "caption" and annotation.get("category") is not None:
        ledger.add("caption-category", "a caption of Datumaro has no category; it is left out", where)
    kept = back.get("attributes", {})
    for name, value in annotation.get("attributes", {}).items():
        if name not in kept or kept[name] != value:
            message = f"the attribute {name!r} stands for something else in Datumaro; it is left out"
            ledger.add("attribute-reserved", message, where)
    if annotation.get("extras", {}).get("datumaro", {}) != back.get("extras", {}).get("datumaro", {}):
        message = "extras that are not what Datumaro writes, or look like coordinates, are left out"
        ledger.add("extras-dropped", message, where, severity="info")
    if annotation.get("instance_group") != back.get("instance_group"):
        message = "groups are numbers in Datumaro; those that are none are numbered"
        ledger.add("group-renumbered", message, where, severity="info")
    track = annotation.get("track")
    if track and track.get("interpolated", False) != (not track.get("keyframe", True)):
        message = "a frame of a track is a keyframe or interpolated in Datumaro, not both or neither"
        ledger.add("track-changed", message, where)
    for name in ("score", "is_crowd"):
        if back.get(name) != annotation.get(name) and back.get(name) is not None:
            message = f"the attribute {name!r} is read as the annotation's {name}"
            ledger.add("attribute-reserved", message, where)
