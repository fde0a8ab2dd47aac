"""Annotations cut at the edge of the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dsetkit.geometry import rle
from dsetkit.geometry.polygons import Part, Ring, clip_parts, ring_points
from dsetkit.geometry.shape import (
    FIELD_OF_KIND,
    Box,
    box_corners,
    ellipse_enclosure,
    ellipse_outline,
    enclosure,
    is_labelled,
    is_located,
    own_box,
    polyline_length,
)

if TYPE_CHECKING:
    from dsetkit.spec.arrow import Row

_ROUNDING_PX = 1e-6
"""A rotated box or an ellipse that sticks out by no more than this lies inside."""


def overhang_px(ann: Row, width_px: int, height_px: int) -> float:
    """How far the annotation sticks out of the picture where it sticks out most, pixels; 0 where it does not.

    Infinite for numbers that are not finite. Raises ``ValueError`` for a broken mask.
    """
    boxes = [box for box in (enclosure(ann), own_box(ann)) if box is not None]
    return max((_overhang(box, width_px, height_px) for box in boxes), default=0.0)


def _overhang(box: Box, width_px: int, height_px: int) -> float:
    x, y, w, h = box
    if not all(map(math.isfinite, box)):
        return math.inf
    return max(0.0, -x, -y, x + w - width_px, y + h - height_px)


def clip(ann: Row, width_px: int, height_px: int) -> Row | None:
    """What of the annotation lies in the picture, or None where nothing does.

    Box: cut. Polygon: cut part by part; holes stay, a part may become several. Rotated box and ellipse: stay where
    they lie inside, else become the polygon that is left. Polyline: cut, and of several pieces the longest stays
    (the first of equals). Points outside go; keypoints outside become not labelled (visibility 0 at 0, 0), and where
    none is left nothing is. A mask is brought to the picture's size. ``bbox_xywh_px`` is worked out anew and never
    sticks out. ``image_label`` and ``caption`` come back as they are, and so does what lies inside.
    Raises ``ValueError`` for a broken mask.
    """
    if not is_located(ann):
        return ann
    out = dict(ann)
    field = FIELD_OF_KIND[ann["kind"]]
    main = field if ann.get(field) else "bbox_xywh_px"
    for name, cut in _CUTS.items():
        if value := ann.get(name):
            left = cut(value, width_px, height_px)
            if left is None and name == main:
                return None
            _put(out, name, left)
    if ann["kind"] in ("rotated_box", "ellipse") and main not in out:
        out["kind"] = "polygon"
    own = ann.get("bbox_xywh_px") if main == "bbox_xywh_px" else own_box(ann)
    box = clip_box(own, width_px, height_px) if own else None
    if box is None and own and main == "bbox_xywh_px":
        return None
    box = box or enclosure({**out, "bbox_xywh_px": None})
    if box is not None:
        out["bbox_xywh_px"] = _hold(box, width_px, height_px)
    elif own:
        return None  # keypoints of which none is labelled, and their box is gone
    return out


def _put(out: dict[str, Any], name: str, value: Any) -> None:
    """Sets a shape, takes it away where nothing is left, or sets the polygon it became (a tuple, not a document)."""
    if name in ("rotated_box", "ellipse") and isinstance(value, tuple):
        del out[name]
        if FIELD_OF_KIND[out["kind"]] == name:
            out["polygons"] = value
    elif value is None:
        out.pop(name, None)
    else:
        out[name] = value


def clip_box(box: Sequence[float], width_px: int, height_px: int) -> Box | None:
    """A box x, y, width, height cut to the frame, or None where nothing is left.

    ``x + w`` and ``y + h`` are never past the frame, not even by rounding. A box with a side of 0 or below stays where
    it lies inside or on the edge: whether it is worth keeping is not decided here.
    """
    x, y, w, h = map(float, box)
    across, down = _clip_span(x, w, width_px), _clip_span(y, h, height_px)
    if across is None or down is None:
        return None
    return across[0], down[0], across[1], down[1]


def _hold(box: Box, width_px: int, height_px: int) -> Box:
    """The box of what was clipped, held inside the frame against rounding."""
    x, y, w, h = box
    x, y = min(max(x, 0.0), float(width_px)), min(max(y, 0.0), float(height_px))
    across, down = _clip_span(x, w, width_px), _clip_span(y, h, height_px)
    return x, y, across[1] if across else 0.0, down[1] if down else 0.0


def _clip_span(start: float, length: float, limit: int) -> tuple[float, float] | None:
    if min(start, start + length) >= 0 and max(start, start + length) <= limit:
        return start, length
    low, high = max(start, 0.0), min(start + length, float(limit))
    if not (high > low or (length == 0 and high == low)):
        return None
    size = high - low
    return low, size if low + size <= high else math.nextafter(size, 0.0)


def _clip_rotated(box: Row, width_px: int, height_px: int) -> Row | tuple[Part, ...] | None:
    corners = ring_points(box_corners(box))
    low, high = corners.min(axis=0), corners.max(axis=0)
    around = (low[0], low[1], high[0] - low[0], high[1] - low[1])
    if _overhang(around, width_px, height_px) <= _ROUNDING_PX:
        return box
    return clip_parts([[box_corners(box)]], width_px, height_px) or None


def _clip_ellipse(ellipse: Row, width_px: int, height_px: int) -> Row | tuple[Part, ...] | None:
    if _overhang(ellipse_enclosure(ellipse), width_px, height_px) <= _ROUNDING_PX:
        return ellipse
    return clip_parts([[ellipse_outline(ellipse)]], width_px, height_px) or None


def _clip_polygons(parts: Sequence[Sequence[Sequence[float]]], width_px: int, height_px: int) -> Any:
    points = [ring_points(ring) for part in parts for ring in part]
    flat = np.concatenate(points) if points else np.zeros((0, 2))
    if len(flat) and flat.min() >= 0 and flat[:, 0].max() <= width_px and flat[:, 1].max() <= height_px:
        return parts  # also a polygon without area: whether it is worth keeping is not decided here
    return clip_parts(parts, width_px, height_px) or None


def _clip_polyline(flat: Sequence[float], width_px: int, height_px: int) -> Sequence[float] | None:
    points = ring_points(flat)
    inside = (points >= 0) & (points <= (width_px, height_px))
    if inside.all():
        return flat
    pieces: list[list[float]] = []
    end: tuple[float, float] | None = None
    for start, stop in zip(points[:-1].tolist(), points[1:].tolist(), strict=True):
        cut = _clip_segment(start, stop, (float(width_px), float(height_px)))
        if cut is None:
            continue
        (x0, y0), (x1, y1) = cut
        if end != (x0, y0) or end != tuple(start):
            pieces.append([x0, y0])
        pieces[-1] += [x1, y1]
        end = (x1, y1)
    lengths = [polyline_length(piece) for piece in pieces]
    longest = max(lengths, default=0.0)
    return tuple(pieces[lengths.index(longest)]) if longest > 0.0 else None


Point = tuple[float, float]


def _clip_segment(start: list[float], stop: list[float], frame: Point) -> tuple[Point, Point] | None:
    """What of a segment lies in the frame (Liang and Barsky 1984), ends on the frame set exactly onto it."""
    enter, leave = 0.0, 1.0
    for axis in (0, 1):
        step = stop[axis] - start[axis]
        if step == 0.0:
            if not 0.0 <= start[axis] <= frame[axis]:
                return None
            continue
        near, far = sorted((-start[axis] / step, (frame[axis] - start[axis]) / step))
        enter, leave = max(enter, near), min(leave, far)
    if not enter <= leave:
        return None

    def at(share: float) -> Point:
        if share in (0.0, 1.0):
            x, y = stop if share else start
        else:
            x, y = (start[axis] + share * (stop[axis] - start[axis]) for axis in (0, 1))
        return min(max(x, 0.0), frame[0]), min(max(y, 0.0), frame[1])

    return at(enter), at(leave)


def _clip_points(flat: Sequence[float], width_px: int, height_px: int) -> Ring | None:
    points = ring_points(flat)
    inside = ((points >= 0) & (points <= (width_px, height_px))).all(axis=1)
    return tuple(points[inside].reshape(-1).tolist()) or None


def _clip_keypoints(keypoints: Sequence[Row], width_px: int, height_px: int) -> tuple[Row, ...] | None:
    if not any(map(is_labelled, keypoints)):
        return tuple(keypoints)  # nothing to cut: whether it is worth keeping is not decided here
    kept = tuple(
        point
        if not is_labelled(point) or (0 <= point["x"] <= width_px and 0 <= point["y"] <= height_px)
        else {**point, "x": 0.0, "y": 0.0, "visibility": 0}
        for point in keypoints
    )
    return kept if any(map(is_labelled, kept)) else None


def _clip_mask(mask: Row, width_px: int, height_px: int) -> Row | None:
    if rle.mask_bbox(mask) is None:
        return mask if tuple(mask["size"]) == (height_px, width_px) else None
    if tuple(mask["size"]) == (height_px, width_px):
        return mask
    rle.check_size((height_px, width_px))
    old = rle.decode(mask)[:height_px, :width_px]
    new = np.zeros((height_px, width_px), np.bool_)
    new[: old.shape[0], : old.shape[1]] = old
    return rle.encode(new) if new.any() else None


_CUTS: dict[str, Any] = {
    "rotated_box": _clip_rotated,
    "polygons": _clip_polygons,
    "polyline": _clip_polyline,
    "points": _clip_points,
    "ellipse": _clip_ellipse,
    "mask": _clip_mask,
    "keypoints": _clip_keypoints,
}
