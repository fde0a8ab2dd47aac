"""What an annotation encloses, how large it is, whether it is anything at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dsetkit.geometry.polygons import Ring, has_area, ring_area, ring_points
from dsetkit.geometry.rle import mask_area, mask_bbox

if TYPE_CHECKING:
    from dsetkit.spec.arrow import Row

Box = tuple[float, float, float, float]
"""x, y, width, height, pixels."""

FIELD_OF_KIND = {
    "box": "bbox_xywh_px",
    "rotated_box": "rotated_box",
    "polygon": "polygons",
    "polyline": "polyline",
    "points": "points",
    "ellipse": "ellipse",
    "mask": "mask",
    "keypoints": "keypoints",
}
"""The field that holds the geometry of each kind that has a place."""

_SHAPE_FIELDS = ("rotated_box", "polygons", "polyline", "points", "ellipse", "mask", "keypoints")


def turn(angle_deg: float) -> tuple[float, float]:
    """Cosine and sine of an angle in degrees: exact for quarter turns, else rounded to 12 decimals.

    Rounded, because the last bit differs between mathematical libraries and the same build must give the same bytes.
    """
    quarters, rest = divmod(angle_deg, 90.0)
    if rest == 0.0:
        return ((1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0))[int(quarters % 4)]
    radians = math.radians(angle_deg % 360.0)
    return round(math.cos(radians), 12), round(math.sin(radians), 12)


def is_located(ann: Row) -> bool:
    """Whether the annotation is of a kind that has a place in the picture (not ``image_label``, not ``caption``)."""
    return ann["kind"] in FIELD_OF_KIND


def shape_field(ann: Row) -> str | None:
    """The field the annotation's place is read from: its kind's own, else the first other shape, else the box."""
    if not is_located(ann):
        return None
    own = FIELD_OF_KIND[ann["kind"]]
    return next((name for name in (own, *_SHAPE_FIELDS, "bbox_xywh_px") if ann.get(name)), None)


def enclosure(ann: Row) -> Box | None:
    """The upright box x, y, width, height (pixels) around what is located, worked out from the shape itself.

    None for ``image_label`` and ``caption``, and where there is no shape and no box. Keypoints that are not labelled
    (visibility 0) do not count; where none is labelled the box that stands there is given. Raises ``ValueError`` for a
    broken mask or a flat list of odd length.
    """
    name = shape_field(ann)
    box = None if name is None else _enclose(name, ann[name])
    if box is None and is_located(ann) and ann.get("bbox_xywh_px"):
        box = _enclose("bbox_xywh_px", ann["bbox_xywh_px"])
    return box


def _enclose(name: str, value: Any) -> Box | None:
    if name == "bbox_xywh_px":
        x, y, w, h = value
        return float(x), float(y), float(w), float(h)
    if name == "mask":
        return mask_bbox(value)
    if name == "ellipse":
        return ellipse_enclosure(value)
    if name == "rotated_box":
        return _around(box_corners(value))
    if name == "polygons":
        return _around([number for part in value for ring in part[:1] for number in ring])
    if name == "keypoints":
        return _around([point[axis] for point in value if is_labelled(point) for axis in ("x", "y")])
    return _around(value)


def _around(flat: Sequence[float]) -> Box | None:
    if not len(flat):
        return None
    points = ring_points(flat)
    (x, y), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x, y, right - x, bottom - y


def is_labelled(point: Row) -> bool:
    """Whether a keypoint has a place: its visibility is 1 or 2 (2 where it is left out)."""
    return bool(point.get("visibility", 2) > 0)


def own_box(ann: Row) -> Box | None:
    """The box of a keypoints annotation that is not just the enclosure of its points: the object's own (COCO).

    Such a box is geometry in its own right: it moves and is clipped as a box. None for all other annotations.
    """
    if ann["kind"] != "keypoints" or not ann.get("bbox_xywh_px"):
        return None
    box = _enclose("bbox_xywh_px", ann["bbox_xywh_px"])
    around = _enclose("keypoints", ann.get("keypoints", ()))
    if box is None or (around is not None and all(abs(a - b) <= 1e-6 for a, b in zip(box, around, strict=True))):
        return None
    return box


def box_corners(box: Row) -> Ring:
    """The four corners of a rotated box as a flat ring, pixels, clockwise from the one at its own top left."""
    cos, sin = turn(box["angle"])
    ux, uy = cos * box["w"] / 2, sin * box["w"] / 2
    vx, vy = -sin * box["h"] / 2, cos * box["h"] / 2
    cx, cy = box["cx"], box["cy"]
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return tuple(value for s, t in signs for value in (cx + s * ux + t * vx, cy + s * uy + t * vy))


def upright_corners(box: Sequence[float]) -> Ring:
    """The four corners of an upright box x, y, width, height as a flat ring."""
    x, y, w, h = map(float, box)
    return x, y, x + w, y, x + w, y + h, x, y + h


def ellipse_enclosure(ellipse: Row) -> Box:
    """The upright box around an ellipse, pixels."""
    cos, sin = turn(ellipse.get("angle", 0.0))
    across = math.hypot(ellipse["rx"] * cos, ellipse["ry"] * sin)
    down = math.hypot(ellipse["rx"] * sin, ellipse["ry"] * cos)
    return ellipse["cx"] - across, ellipse["cy"] - down, 2 * across, 2 * down


def ellipse_outline(ellipse: Row) -> Ring:
    """An ellipse as a flat ring of points on it, so many that the ring leaves it by less than 0.1 px (at most 720)."""
    cos, sin = turn(ellipse.get("angle", 0.0))
    radius = max(ellipse["rx"], ellipse["ry"], 0.2)
    count = min(720, max(16, 4 * math.ceil(math.pi / math.acos(1 - 0.1 / radius) / 4)))
    steps = [turn(360.0 * step / count) for step in range(count)]
    own = [(ellipse["rx"] * u, ellipse["ry"] * v) for u, v in steps]
    return tuple(
        value for u, v in own for value in (ellipse["cx"] + cos * u - sin * v, ellipse["cy"] + sin * u + cos * v)
    )


def polyline_length(flat: Sequence[float]) -> float:
    """The length of a flat polyline, pixels."""
    steps = np.diff(ring_points(flat), axis=0)
    return float(np.hypot(steps[:, 0], steps[:, 1]).sum()) if len(steps) else 0.0


def area_px2(ann: Row) -> float:
    """The area of what is located, pixels².

    Polygons: the sum over parts, each without its holes. Kinds without an area of their own (polyline, points,
    keypoints): of their enclosure. 0 for ``image_label`` and ``caption``. Raises ``ValueError`` for a broken mask.
    """
    name = shape_field(ann)
    if name == "polygons":
        # fsum: correctly rounded, and so the same in every version of Python; sum() is not
        return math.fsum(
            max(0.0, ring_area(part[0]) - math.fsum(map(ring_area, part[1:]))) for part in ann[name] if part
        )
    if name == "mask":
        return float(mask_area(ann[name]))
    if name == "rotated_box":
        return float(ann[name]["w"] * ann[name]["h"])
    if name == "ellipse":
        return float(math.pi * ann[name]["rx"] * ann[name]["ry"])
    box = own_box(ann) or enclosure(ann)
    return 0.0 if box is None else box[2] * box[3]


def is_degenerate(ann: Row, min_side_px: float = 0.0) -> bool:
    """Whether a located annotation is nothing: a side at or below ``min_side_px``, no area, no pixel, no point.

    Box, rotated box, ellipse: either side. Polygon: no part with three points off one line, or an enclosure with such
    a side. Mask: no pixel, or such an enclosure, or broken. Polyline: no length. Points, keypoints: none labelled.
    Numbers that are not finite make any kind degenerate. ``image_label`` and ``caption`` never are.
    """
    if not is_located(ann):
        return False
    kind, value = ann["kind"], ann.get(FIELD_OF_KIND[ann["kind"]])
    if not value:
        return True
    try:
        box = _enclose(FIELD_OF_KIND[kind], value)
    except ValueError:
        return True
    if box is None or not all(map(math.isfinite, box)):
        return True
    if kind in ("points", "keypoints"):
        return False
    if kind == "polyline":
        return polyline_length(value) <= 0.0
    if kind == "polygon" and not any(part and has_area(part[0]) for part in value):
        return True
    sides = box[2:]
    if kind == "rotated_box":
        sides = (value["w"], value["h"])
    elif kind == "ellipse":
        sides = (2 * value["rx"], 2 * value["ry"])
    return min(sides) <= min_side_px
