"""Annotations under an affine map, the same map the pixels go through."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dsetkit.geometry import rle
from dsetkit.geometry.polygons import Part, Ring, ring_points
from dsetkit.geometry.shape import (
    Box,
    box_corners,
    enclosure,
    is_labelled,
    is_located,
    own_box,
    turn,
)

if TYPE_CHECKING:
    from dsetkit.spec.arrow import Row

Matrix = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f): x' = a·x + b·y + c, y' = d·x + e·y + f, pixels of the old frame to pixels of the new one."""

IDENTITY: Matrix = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def compose(first: Matrix, then: Matrix) -> Matrix:
    """The one map that does ``first`` and ``then``."""
    a, b, c, d, e, f = first
    p, q, r, s, t, u = then
    return (p * a + q * d, p * b + q * e, p * c + q * f + r, s * a + t * d, s * b + t * e, s * c + t * f + u)


def determinant(matrix: Matrix) -> float:
    """By how much areas grow; below 0 for a mirror."""
    a, b, _, d, e, _ = matrix
    return a * e - b * d


def invert(matrix: Matrix) -> Matrix:
    """The way back. Raises ``ValueError`` for a map that flattens the plane or has numbers that are not finite."""
    a, b, c, d, e, f = matrix
    scale = determinant(matrix)
    if not all(map(math.isfinite, matrix)) or abs(scale) < 1e-12:
        raise ValueError(f"an affine map that cannot be turned round: {matrix}")
    return e / scale, -b / scale, (b * f - c * e) / scale, -d / scale, a / scale, (c * d - a * f) / scale


def transform(ann: Row, matrix: Matrix, *, width_px: int, height_px: int) -> Row:
    """The annotation in a new frame of ``width_px`` × ``height_px``, after the map ``matrix``. Nothing is clipped.

    Every shape it carries moves. A box becomes the enclosure of its four corners (exact where the map keeps upright
    boxes upright). A rotated box stays one where the map keeps its right angles over the whole frame to within a pixel
    (a similarity, or a scaling whose sides were rounded to whole pixels), else it becomes a polygon. An ellipse stays
    an ellipse, as any affine map leaves it one. A mask is sampled at pixel centres. ``bbox_xywh_px`` of all kinds but
    a box is worked out anew, except a keypoints annotation's own box, which moves as a box. Keypoints keep their names
    in a mirror: see `flip_keypoints`. ``image_label`` and ``caption`` come back as they are.
    Raises ``ValueError`` for a map that cannot be turned round, a broken mask, or a frame above `rle.MAX_PIXELS`.
    """
    if not is_located(ann):
        return ann
    invert(matrix)
    out = dict(ann)
    if polygons := ann.get("polygons"):
        out["polygons"] = tuple(_move_part(part, matrix) for part in polygons)
    for name in ("polyline", "points"):
        if flat := ann.get(name):
            out[name] = move_points(flat, matrix)
    if keypoints := ann.get("keypoints"):
        out["keypoints"] = tuple(_move_keypoint(point, matrix) for point in keypoints)
    if rotated := ann.get("rotated_box"):
        _set_rotated_box(out, rotated, matrix, min(width_px, height_px))
    if ellipse := ann.get("ellipse"):
        out["ellipse"] = _move_ellipse(ellipse, matrix)
    if mask := ann.get("mask"):
        out["mask"] = warp_mask(mask, matrix, width_px=width_px, height_px=height_px)
    box = ann.get("bbox_xywh_px")
    if box and (ann["kind"] == "box" or own_box(ann)):
        out["bbox_xywh_px"] = move_box(box, matrix)
    elif (around := enclosure({**out, "bbox_xywh_px": move_box(box, matrix) if box else None})) is not None:
        out["bbox_xywh_px"] = around
    return out


def move_points(flat: Sequence[float], matrix: Matrix) -> Ring:
    """Flat points x0, y0, x1, y1, … after the map."""
    x, y = ring_points(flat).T
    a, b, c, d, e, f = matrix
    return tuple(np.stack((a * x + b * y + c, d * x + e * y + f), axis=1).reshape(-1).tolist())


def move_box(box: Sequence[float], matrix: Matrix) -> Box:
    """The enclosure x, y, width, height of an upright box's four corners after the map; exact for upright maps."""
    x, y, w, h = map(float, box)
    a, b, c, d, e, f = matrix
    left = a * x + b * y + c + min(a * w, 0.0) + min(b * h, 0.0)
    top = d * x + e * y + f + min(d * w, 0.0) + min(e * h, 0.0)
    return left, top, abs(a) * w + abs(b) * h, abs(d) * w + abs(e) * h


def flip_keypoints(ann: Row, flip_pairs: Sequence[tuple[int, int]], names: Sequence[str]) -> Row:
    """The annotation with keypoints renamed as a mirror makes them: left eye ↔ right eye.

    ``flip_pairs`` are pairs of indices into ``names``. Keypoints that stood in the order of ``names`` do so again;
    pairs that point past the names are ignored. The places do not change.
    """
    if not ann.get("keypoints") or not flip_pairs:
        return ann
    swap: dict[str, str] = {}
    for one, other in flip_pairs:
        if 0 <= one < len(names) and 0 <= other < len(names):
            swap[names[one]], swap[names[other]] = names[other], names[one]
    order = {name: index for index, name in enumerate(names)}
    places = [order.get(point["name"], len(order)) for point in ann["keypoints"]]
    renamed = [{**point, "name": swap.get(point["name"], point["name"])} for point in ann["keypoints"]]
    if places == sorted(places):
        renamed.sort(key=lambda point: order.get(point["name"], len(order)))
    return {**ann, "keypoints": tuple(renamed)}


def warp_mask(mask: Row, matrix: Matrix, *, width_px: int, height_px: int) -> Row:
    """The mask in the new frame: each new pixel takes what lies under its centre; outside the old frame is nothing.

    Raises ``ValueError`` as `rle.decode` and `invert` do.
    """
    rle.check_size((height_px, width_px))
    out = np.zeros((height_px, width_px), np.bool_)
    old = rle.decode(mask)
    place = rle.mask_bbox(mask)
    if place is not None:
        x, y, w, h = move_box(place, matrix)  # only here can anything land
        left, right = (min(max(math.floor(v), 0), width_px) for v in (x, x + w + 1))
        top, bottom = (min(max(math.floor(v), 0), height_px) for v in (y, y + h + 1))
        a, b, c, d, e, f = invert(matrix)
        across = np.arange(left, right) + 0.5
        down = (np.arange(top, bottom) + 0.5)[:, None]
        from_x = np.floor(a * across + b * down + c).astype(np.int64)
        from_y = np.floor(d * across + e * down + f).astype(np.int64)
        inside = (from_x >= 0) & (from_x < old.shape[1]) & (from_y >= 0) & (from_y < old.shape[0])
        from_x[~inside] = 0
        from_y[~inside] = 0
        out[top:bottom, left:right] = old[from_y, from_x] & inside
    return rle.encode(out)


def _move_part(part: Sequence[Sequence[float]], matrix: Matrix) -> Part:
    return tuple(move_points(ring, matrix) for ring in part)


def _move_keypoint(point: Row, matrix: Matrix) -> Row:
    x, y = float(point["x"]), float(point["y"])
    if not is_labelled(point) and x == 0.0 and y == 0.0:
        return dict(point)  # COCO's way of saying that it has no place
    a, b, c, d, e, f = matrix
    return {**point, "x": a * x + b * y + c, "y": d * x + e * y + f}


def _set_rotated_box(out: dict[str, Any], box: Row, matrix: Matrix, side_px: int) -> None:
    """The rotated box after the map, put into ``out``; as a polygon where it is no box any more."""
    a, b, c, d, e, f = matrix
    mirror = determinant(matrix) < 0
    across, down = math.hypot(a, d), math.hypot(b, e)
    skew = max(abs(across - down), abs(a * b + d * e) / max(across, down))
    upright = b == d == 0.0 or a == e == 0.0
    tolerance = max(across, down) * (1.0 / max(side_px, 1) if upright else 1e-9)
    if skew > tolerance and not (upright and box["angle"] % 90.0 == 0.0):
        corners = move_points(box_corners(box), matrix)
        del out["rotated_box"]
        if out["kind"] == "rotated_box":
            out["kind"] = "polygon"
            out["polygons"] = ((corners,),)
        return
    cos, sin = turn(box["angle"])
    cx, cy = box["cx"], box["cy"]
    out["rotated_box"] = {
        "cx": a * cx + b * cy + c,
        "cy": d * cx + e * cy + f,
        "w": box["w"] * math.hypot(a * cos + b * sin, d * cos + e * sin),
        "h": box["h"] * math.hypot(b * cos - a * sin, e * cos - d * sin),
        "angle": _turned(box["angle"], matrix, mirror),
    }


def _turned(angle: float, matrix: Matrix, mirror: bool) -> float:
    """Where a direction points after a similarity, degrees above −180 to 180; untouched where it does not turn."""
    a, _, _, d, e, _ = matrix
    if d == 0.0 and a > 0 and e > 0:
        return float(angle)
    turned = round(math.degrees(math.atan2(d, a)), 9) + (-angle if mirror else angle)
    turned = math.remainder(turned, 360.0)
    return 180.0 if turned == -180.0 else turned


def _move_ellipse(ellipse: Row, matrix: Matrix) -> Row:
    a, b, c, d, e, f = matrix
    cx, cy, angle = ellipse["cx"], ellipse["cy"], ellipse.get("angle", 0.0)
    across, down = math.hypot(a, d), math.hypot(b, e)
    if abs(across - down) <= 1e-9 * across and abs(a * b + d * e) <= 1e-9 * across * across:
        rx, ry = ellipse["rx"] * across, ellipse["ry"] * across
        angle = _turned(angle, matrix, determinant(matrix) < 0)
    elif angle % 180.0 == 0.0 and b == d == 0.0:
        rx, ry = ellipse["rx"] * abs(a), ellipse["ry"] * abs(e)
    else:  # the map times the ellipse's own axes, taken apart into turn × axes × turn (2×2 singular values)
        cos, sin = turn(angle)
        m00, m01 = (a * cos + b * sin) * ellipse["rx"], (b * cos - a * sin) * ellipse["ry"]
        m10, m11 = (d * cos + e * sin) * ellipse["rx"], (e * cos - d * sin) * ellipse["ry"]
        p, q, r, s = (m00 + m11) / 2, (m00 - m11) / 2, (m10 + m01) / 2, (m10 - m01) / 2
        rx, ry = math.hypot(p, s) + math.hypot(q, r), abs(math.hypot(p, s) - math.hypot(q, r))
        angle = round(math.degrees((math.atan2(r, q) + math.atan2(s, p)) / 2), 9)
    moved = {"cx": a * cx + b * cy + c, "cy": d * cx + e * cy + f, "rx": rx, "ry": ry}
    return {**moved, "angle": angle} if angle else moved
