"""Four corners as a box turned about its centre, and the smallest such box around points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from dsetkit.geometry.polygons import ring_points
from dsetkit.geometry.shape import box_corners

if TYPE_CHECKING:
    from dsetkit.spec.arrow import Row

SLACK_PX = 0.05
"""Corners this near to a rectangle's, along each axis, are the rectangle's: files round to one decimal."""


def rotated_box_of(corners: Sequence[float], slack_px: float = SLACK_PX) -> Row | None:
    """The rotated box ``cx, cy, w, h, angle`` whose corners are these four (flat, pixels); None where they are no
    rectangle's within ``slack_px``.

    Its own x axis goes from the first corner to the second where they go round clockwise (as seen on the screen), else
    to the fourth, so the first corner is its own top left. Angles are above -180 to 180, rounded to 9 decimals.
    Raises ``ValueError`` for anything but 8 numbers.
    """
    if len(corners) != 8:
        raise ValueError(f"{len(corners)} numbers are not four corners")
    ax, ay, bx, by, cx, cy, dx, dy = corners  # plain Python: for four points many times faster than arrays
    if not math.isfinite(sum(map(abs, corners))):
        return None
    wx, wy = (bx - ax + cx - dx) / 2, (by - ay + cy - dy) / 2
    hx, hy = (dx - ax + cx - bx) / 2, (dy - ay + cy - by) / 2
    if wx * hy - wy * hx < 0:  # they go round the other way
        wx, wy, hx, hy = hx, hy, wx, wy
        bx, by, dx, dy = dx, dy, bx, by
    w, h = math.hypot(wx, wy), math.hypot(hx, hy)
    angle = _degrees(wx, wy) if w >= h else _degrees(hy, -hx)  # the longer side tells the direction better
    box = {"cx": (ax + bx + cx + dx) / 4, "cy": (ay + by + cy + dy) / 4, "w": w, "h": h, "angle": angle}
    own = box_corners(box)
    apart = max(abs(one - other) for one, other in zip((ax, ay, bx, by, cx, cy, dx, dy), own, strict=True))
    return box if apart <= slack_px else None


def least_box_around(flat: Sequence[float]) -> Row | None:
    """The rotated box of the smallest area around points (flat, pixels); None where there is none with finite numbers.

    One side of it lies along a side of their convex hull. Points on one line give a box with a side of 0. The angle is
    from 0 to below 90.
    """
    points = ring_points(flat)
    if not len(points) or not np.isfinite(points).all():
        return None
    hull = np.asarray(shapely.get_coordinates(shapely.convex_hull(shapely.MultiPoint(points))), np.float64)
    sides = np.diff(hull, axis=0)
    sides = sides[np.hypot(sides[:, 0], sides[:, 1]) > 0.0]
    angles = sorted({_degrees(x, y) % 90.0 for x, y in sides.tolist()}) or [0.0]
    boxes = [_box_at(hull, angle) for angle in angles]
    return min(boxes, key=lambda box: (round(box["w"] * box["h"], 9), box["angle"]))


def _box_at(points: NDArray[np.float64], angle: float) -> Row:
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along, aside = points @ (cos, sin), points @ (-sin, cos)
    u, v = (float(along.min() + along.max()) / 2, float(aside.min() + aside.max()) / 2)
    w, h = float(along.max() - along.min()), float(aside.max() - aside.min())
    return {"cx": cos * u - sin * v, "cy": sin * u + cos * v, "w": w, "h": h, "angle": angle}


def _degrees(x: float, y: float) -> float:
    angle = round(math.degrees(math.atan2(y, x)), 9) + 0.0
    return 180.0 if angle == -180.0 else angle
