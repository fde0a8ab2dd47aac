"""Polygons as parts → rings → flat x, y, and what shapely does for them: cut at a picture's edge."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

Ring = tuple[float, ...]
Part = tuple[Ring, ...]

_SPECK_PX2 = 1e-9  # what rounding leaves of a polygon that only touches the frame


def ring_points(ring: Sequence[float]) -> NDArray[np.float64]:
    """A flat ring x0, y0, x1, y1, … as float64 of shape (points, 2). Raises ``ValueError`` for an odd count."""
    return np.asarray(ring, np.float64).reshape(-1, 2)


def ring_area(ring: Sequence[float]) -> float:
    """The area a ring encloses, pixels² (shoelace formula, without its sign)."""
    points = ring_points(ring)
    if len(points) < 3:
        return 0.0
    x, y = (points - points[0]).T
    return abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))) / 2.0


def has_area(ring: Sequence[float]) -> bool:
    """Whether a ring has three points that are not on one line."""
    points = ring_points(ring)
    if len(points) < 3:
        return False
    x, y = (points - points[0]).T
    far = int(np.argmax(x * x + y * y))
    return bool(np.any(np.abs(x[far] * y - y[far] * x) > _SPECK_PX2))


def clip_parts(parts: Sequence[Sequence[Sequence[float]]], width_px: int, height_px: int) -> tuple[Part, ...]:
    """What of the parts lies in the frame (0, 0)–(width, height), each part cut on its own, holes kept.

    Parts wholly inside come back as they were. A part that the frame cuts into several becomes several; one without
    area, or outside, is left out. A ring that crosses itself is first made valid, as shapely does it.
    """
    kept: list[Part] = []
    for part in parts:
        if not part or not has_area(part[0]):
            continue
        points = np.concatenate([ring_points(ring) for ring in part])
        low, high = points.min(axis=0), points.max(axis=0)
        if low[0] >= 0 and low[1] >= 0 and high[0] <= width_px and high[1] <= height_px:
            kept.append(tuple(tuple(map(float, ring)) for ring in part))
        elif np.isfinite(points).all():
            kept.extend(_cut(part, width_px, height_px))
    return tuple(kept)


def _cut(part: Sequence[Sequence[float]], width_px: int, height_px: int) -> Iterator[Part]:
    holes = [ring_points(ring) for ring in part[1:] if has_area(ring)]
    shape = shapely.Polygon(ring_points(part[0]), holes)
    if not shape.is_valid:
        shape = shapely.make_valid(shape)
    shape = shape.intersection(shapely.box(0, 0, width_px, height_px))
    for piece in _polygons(shape):
        if piece.area > _SPECK_PX2:
            yield tuple(_flat(ring, width_px, height_px) for ring in (piece.exterior, *piece.interiors))


def _polygons(shape: Any) -> Iterator[Any]:
    if shape.geom_type == "Polygon":
        if not shape.is_empty:
            yield shape
    else:
        for piece in getattr(shape, "geoms", ()):
            yield from _polygons(piece)


def _flat(ring: Any, width_px: int, height_px: int) -> Ring:
    """A shapely ring as flat floats, not closed, held inside the frame against rounding."""
    points = np.asarray(ring.coords, np.float64)[:-1, :2]
    return tuple(np.clip(points, 0.0, (width_px, height_px)).reshape(-1).tolist())


def shape_versions() -> dict[str, str]:
    """The version of GEOS, which decides on the vertices of polygons that are cut."""
    return {"geos": ".".join(map(str, shapely.geos_version))}
