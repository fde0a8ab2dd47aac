"""The shapes of LabelMe, read: one element of ``shapes`` as an annotation row.

Points are x, y in pixels from the top-left corner of the top-left pixel of the upright picture, as LabelMe's canvas
gives them; a rectangle's are two corners in any order. The one shape of whole pixels is ``mask``: its first point
(rounded) is the top-left pixel, its second, for whole numbers, the last pixel, included.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dsetkit.errors import PictureError
from dsetkit.formats.labelme.document import rest_of
from dsetkit.formats.notes import FileNotes, shown
from dsetkit.geometry import rle
from dsetkit.geometry.shape import enclosure
from dsetkit.imaging.mask_png import read_mask
from dsetkit.spec.arrow import Row

LIMIT_PX = 1e9
"""A coordinate beyond this is taken for a fault."""
SLACK_PX = 1.0
"""Four corners that are this near to those of a rectangle are one."""
IGNORE = "__ignore__"
"""The label that LabelMe's converters take for no category: what is there does not count."""

_POINTS = {"rectangle": (2, 4), "circle": (2,), "line": (2,), "point": (1,), "mask": (2,)}
_CORNERS = ("oriented_rectangle", "rotation")  # the second is X-AnyLabeling's name
_KNOWN = frozenset(
    {"label", "points", "shape_type", "mask", "score", "group_id", "description", "flags", "attributes", "difficult"}
    | {"line_color", "fill_color"}  # how it was shown
)
Size = tuple[int, int]


class ShapeError(ValueError):
    """A shape that cannot be kept. ``code`` is an issue's."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def read_shape(raw: dict[str, Any], size: Callable[[], Size | None], notes: FileNotes, place: str) -> Row:
    """A checked shape as a row without an id. ``size`` gives the picture's width and height, pixels, if known.

    ``place`` is where it stands, for ``notes``. Raises ``ShapeError``.
    """
    findings: list[Row] = []
    row = _locate(raw, size, findings)
    label = raw.get("label")
    if label == IGNORE:
        row["is_ignored"] = True
    elif isinstance(label, str | int | float) and not isinstance(label, bool) and str(label) != "":
        row["category"] = str(label)
    else:
        findings.append({"code": "category-missing", "message": f"its label is {shown(label)}"})
    attributes = _attributes(raw, notes, place)
    if attributes:
        row["attributes"] = attributes
    text = raw.get("description")
    if isinstance(text, str) and text:
        row["text"] = text
    group = raw.get("group_id")
    if group is not None and group != "" and isinstance(group, int | str) and not isinstance(group, bool):
        row["instance_group"] = str(group)
    if raw.get("score") is not None:
        row["score"] = raw["score"]
    extras = dict(rest_of(raw, _KNOWN, notes, place))
    if extras:
        row["extras"] = {"labelme": extras}
    if findings:
        row["issues"] = findings
    return row


def read_flags(flags: Any) -> dict[str, bool]:
    """LabelMe's check boxes: an object of booleans; some versions and tools give a list of those ticked."""
    if isinstance(flags, dict):
        return {str(name): value for name, value in flags.items() if isinstance(value, bool)}
    if isinstance(flags, list):
        return {name: True for name in flags if isinstance(name, str)}
    return {}


def _attributes(raw: dict[str, Any], notes: FileNotes, place: str) -> dict[str, Any]:
    given = raw.get("attributes")
    attributes: dict[str, Any] = dict(notes.clean(given, f"{place}.attributes")) if isinstance(given, dict) else {}
    if isinstance(raw.get("difficult"), bool):
        attributes["difficult"] = raw["difficult"]
    return attributes | read_flags(raw.get("flags"))


def _locate(raw: dict[str, Any], size: Callable[[], Size | None], findings: list[Row]) -> Row:
    kind = raw.get("shape_type") or "polygon"  # LabelMe 2 had nothing else and did not say so
    points = raw.get("points") or []
    flat = [value for point in points for value in point]
    if not flat:
        raise ShapeError("shape-invalid", f"a {kind} without points")
    if max(map(abs, flat)) > LIMIT_PX:
        raise ShapeError("shape-invalid", f"a coordinate of its {kind} is beyond any picture (1e9 px)")
    if kind in _POINTS and len(points) not in _POINTS[kind]:
        wanted = " or ".join(map(str, _POINTS[kind]))
        raise ShapeError("shape-invalid", f"a {kind} has {wanted} points, not {len(points)}")
    if kind == "rectangle" and len(points) == 2:
        (x, y), (right, bottom) = points
        return {"kind": "box", "bbox_xywh_px": [min(x, right), min(y, bottom), abs(right - x), abs(bottom - y)]}
    if kind == "mask":
        return _read_mask(raw, points, size, findings)
    if kind == "circle":
        (x, y), (on_x, on_y) = points
        radius = math.hypot(on_x - x, on_y - y)
        row: Row = {"kind": "ellipse", "ellipse": {"cx": x, "cy": y, "rx": radius, "ry": radius, "angle": 0.0}}
    elif kind in ("line", "linestrip"):
        row = {"kind": "polyline", "polyline": flat}
    elif kind in ("point", "points"):
        row = {"kind": "points", "points": flat}
    elif (kind in _CORNERS or kind == "rectangle") and len(points) == 4:
        row = read_corners(flat, findings, upright=kind == "rectangle")
    elif kind in ("polygon", "quadrilateral", *_CORNERS):
        row = {"kind": "polygon", "polygons": [[flat]]}
        if kind in _CORNERS:
            findings.append({"code": "box-not-rectangular", "message": f"an oriented box of {len(points)} points"})
    else:
        raise ShapeError("shape-unknown", f"LabelMe has no shape {kind[:40]!r}")
    if "bbox_xywh_px" not in row:
        row["bbox_xywh_px"] = list(enclosure(row) or ()) if row["kind"] in ("ellipse", "rotated_box") else _around(flat)
    return row


def _around(flat: Sequence[float]) -> list[float]:
    # Plain Python: for the few points of a usual shape this is several times faster than an array.
    xs, ys = flat[0::2], flat[1::2]
    left, top = min(xs), min(ys)
    return [left, top, max(xs) - left, max(ys) - top]


def read_corners(flat: Sequence[float], findings: list[Row], *, upright: bool = False) -> Row:
    """Four corners in order as a box (``upright``, and if they are one), a rotated box, or else a polygon.

    A rotated box's own x axis runs from the first corner to the second, as LabelMe draws its arrow.
    """
    corners = np.array(flat, np.float64).reshape(4, 2)
    low, high = corners.min(axis=0), corners.max(axis=0)
    if upright and bool(((corners == low) | (corners == high)).all()):
        return {"kind": "box", "bbox_xywh_px": [*low.tolist(), *(high - low).tolist()]}
    across, down = corners[1] - corners[0], corners[2] - corners[1]
    w, h = math.hypot(*across.tolist()), math.hypot(*down.tolist())
    gap = float(np.abs(corners[0] + corners[2] - corners[1] - corners[3]).max())
    skew = abs(float(across @ down)) / max(w, h) if max(w, h) else 0.0
    if gap > SLACK_PX or skew > SLACK_PX:
        off = max(gap, skew)
        findings.append({"code": "box-not-rectangular", "message": f"its corners are {off:g} px off a rectangle"})
        return {"kind": "polygon", "polygons": [[list(flat)]]}
    angle = math.atan2(across[1], across[0]) if w else math.atan2(-down[0], down[1])
    cx, cy = corners.mean(axis=0).tolist()
    # Rounded, so that degrees written as corners come back as they were.
    shape = {"cx": cx, "cy": cy, "w": w, "h": h, "angle": round(math.degrees(angle), 9) + 0.0}
    return {"kind": "rotated_box", "rotated_box": shape}


def _read_mask(
    raw: dict[str, Any], points: Sequence[Sequence[float]], size: Callable[[], Size | None], findings: list[Row]
) -> Row:
    data = raw.get("mask")
    if not data:
        raise ShapeError("mask-invalid", "a mask without its picture (the field mask)")
    try:
        cut = read_mask(base64.b64decode(data, validate=True), max_pixels=rle.MAX_PIXELS)
    except (binascii.Error, ValueError):
        raise ShapeError("mask-invalid", "the field mask is no base64") from None
    except PictureError as error:
        raise ShapeError("mask-invalid", f"the picture in the field mask cannot be used: {error.message}") from None
    (x1, y1), (x2, y2) = points
    left, top = math.floor(x1 + 0.5), math.floor(y1 + 0.5)
    if all(value == int(value) for value in (x1, y1, x2, y2)):
        box_w, box_h = int(x2) - left + 1, int(y2) - top + 1
        if (box_h, box_w) != cut.shape:
            said = f"the mask is {cut.shape[1]}×{cut.shape[0]} px, its points say {box_w}×{box_h}"
            findings.append({"code": "mask-box-disagrees", "message": said})
            cut = cut[: max(box_h, 0), : max(box_w, 0)]
    known = size()
    if known is None:
        known = max(left + cut.shape[1], 1), max(top + cut.shape[0], 1)
        message = f"the picture's size is not known; taken to end where the mask does, at {known[0]}×{known[1]} px"
        findings.append({"code": "mask-size-unknown", "message": message})
    try:
        rle.check_size([known[1], known[0]])
    except ValueError as error:
        raise ShapeError("mask-invalid", str(error)) from None
    whole = np.zeros((known[1], known[0]), np.bool_)
    inside = cut[max(-top, 0) : max(known[1] - top, 0), max(-left, 0) : max(known[0] - left, 0)]
    whole[max(top, 0) : max(top, 0) + inside.shape[0], max(left, 0) : max(left, 0) + inside.shape[1]] = inside
    lost = int(np.count_nonzero(cut)) - int(np.count_nonzero(inside))
    if lost:
        message = f"{lost} pixels of the mask lie outside the picture; they were cut away"
        findings.append({"code": "mask-outside", "message": message})
    mask = rle.encode(whole)
    box = rle.mask_bbox(mask)
    if box is None:
        findings.append({"code": "mask-empty", "message": "no pixel of the mask is in the picture"})
        box = (float(left), float(top), float(cut.shape[1]), float(cut.shape[0]))
    return {"kind": "mask", "mask": mask, "bbox_xywh_px": list(box)}
