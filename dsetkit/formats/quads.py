"""Annotations as four corners, for formats that know nothing else (DOTA, oriented YOLO)."""

from __future__ import annotations

from collections.abc import Sequence

from dsetkit.formats.loss import Ledger
from dsetkit.geometry.quads import least_box_around, rotated_box_of
from dsetkit.geometry.shape import box_corners, enclosure
from dsetkit.spec.arrow import Row

BECOME_QUADS = ("box", "polygon", "ellipse", "mask", "keypoints")
"""Kinds that become a rotated box; a polygon of four corners stays what it is."""


def as_quad(annotation: Row, ledger: Ledger, where: str) -> Row:
    """The annotation as a rotated box, or as a polygon of one part with four corners; a change is entered.

    An upright box becomes one that is not turned, an ellipse the box around it along its axes, a polygon that is no
    four corners the smallest box around it, masks and keypoints the upright box around them. Four corners of a
    rectangle are a rotated box when they are read back. Other kinds, and what locates nothing, stay as they are.
    """
    kind = annotation["kind"]
    if kind not in BECOME_QUADS:
        return annotation
    box: Row | None = None
    if kind == "ellipse" and annotation.get("ellipse"):
        shape = annotation["ellipse"]
        box = {"cx": shape["cx"], "cy": shape["cy"], "w": 2 * shape["rx"], "h": 2 * shape["ry"]}
        box["angle"] = shape.get("angle", 0.0)
    elif kind == "polygon" and annotation.get("polygons"):
        parts = annotation["polygons"]
        if len(parts) == len(parts[0]) == 1 and len(parts[0][0]) == 8:
            if rotated_box_of(parts[0][0]) is None:
                return annotation
            message = f"{ledger.format_name} tells no polygon of a rectangle's corners from a rotated box"
            ledger.add("kind-changed", f"{message}; it becomes rotated_box", where)
            return _without_shape(annotation, rotated_box_of(parts[0][0]))
        box = least_box_around([number for rings in parts for number in rings[0]])
    else:
        upright = annotation.get("bbox_xywh_px") or enclosure(annotation)
        if upright is not None:
            x, y, w, h = upright
            box = {"cx": x + w / 2, "cy": y + h / 2, "w": w, "h": h, "angle": 0.0}
    if box is None:
        return annotation
    around = "the smallest rotated box around it" if kind == "polygon" else "rotated_box"
    ledger.add("kind-changed", f"{ledger.format_name} cannot say {kind}; it becomes {around}", where)
    return _without_shape(annotation, box)


def corners_of(annotation: Row) -> Sequence[float]:
    """The four corners, flat, of what ``as_quad`` gave; empty where it is neither of the two."""
    if annotation.get("rotated_box"):
        return box_corners(annotation["rotated_box"])
    parts = annotation.get("polygons", ())
    return parts[0][0] if len(parts) == 1 and len(parts[0][0]) == 8 else ()


def quad_shape(corners: Sequence[float]) -> Row:
    """``kind``, the shape and ``bbox_xywh_px`` of four corners: a rotated box where they are one, else a polygon."""
    xs, ys = corners[0::2], corners[1::2]
    enclosed = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    box = rotated_box_of(corners)
    if box is not None:
        return {"kind": "rotated_box", "rotated_box": box, "bbox_xywh_px": enclosed}
    return {"kind": "polygon", "polygons": [[list(corners)]], "bbox_xywh_px": enclosed}


def _without_shape(annotation: Row, box: Row | None) -> Row:
    own = ("polygons", "ellipse", "mask", "keypoints", "bbox_xywh_px")
    rest = {name: value for name, value in annotation.items() if name not in own}
    out = {**rest, "kind": "rotated_box", "rotated_box": box}
    return {**out, "bbox_xywh_px": enclosure(out)}
