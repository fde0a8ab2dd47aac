"""Shapes of VIA 3 as those of version 2, and back: a list whose first number says which it is (``_VIA_RSHAPE``).

An extreme rectangle is four points on a box's sides, an extreme circle three points on a circle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

_POINT, _RECTANGLE, _CIRCLE, _ELLIPSE, _LINE, _POLYLINE, _POLYGON, _EXTREME_RECTANGLE, _EXTREME_CIRCLE = range(1, 10)
_NAMES: Mapping[int, tuple[str, tuple[str, ...]]] = {
    _POINT: ("point", ("cx", "cy")),
    _RECTANGLE: ("rect", ("x", "y", "width", "height")),
    _CIRCLE: ("circle", ("cx", "cy", "r")),
    _ELLIPSE: ("ellipse", ("cx", "cy", "rx", "ry")),
}
_LINES = {_LINE: "polyline", _POLYLINE: "polyline", _POLYGON: "polygon"}


def shape_of(xy: Sequence[float]) -> dict[str, Any]:
    """The ``shape_attributes`` of version 2; where it is no shape, ones that are refused with what is wrong."""
    code, numbers = xy[0], list(xy[1:])
    if code in _NAMES:
        name, fields = _NAMES[int(code)]
        return {"name": name, **dict(zip(fields, numbers, strict=False))}
    if code in _LINES:
        return {"name": _LINES[int(code)], "all_points_x": numbers[0::2], "all_points_y": numbers[1::2]}
    if code == _EXTREME_RECTANGLE and len(numbers) >= 4 and not len(numbers) % 2:
        xs, ys = numbers[0::2], numbers[1::2]
        return {"name": "rect", "x": min(xs), "y": min(ys), "width": max(xs) - min(xs), "height": max(ys) - min(ys)}
    if code == _EXTREME_CIRCLE and (circle := _circle_through(numbers)) is not None:
        return {"name": "circle", **dict(zip(("cx", "cy", "r"), circle, strict=True))}
    return {"name": f"{code:g} of {len(numbers)} numbers"}


def _circle_through(numbers: Sequence[float]) -> tuple[float, float, float] | None:
    """Centre and radius of the circle through three points; None where they lie on a line."""
    if len(numbers) != 6:
        return None
    ax, ay, *others = numbers
    bx, by, cx, cy = others[0] - ax, others[1] - ay, others[2] - ax, others[3] - ay
    area = 2 * (bx * cy - by * cx)
    if area == 0:
        return None
    b, c = bx * bx + by * by, cx * cx + cy * cy
    x, y = (cy * b - by * c) / area, (bx * c - cx * b) / area
    return x + ax, y + ay, math.hypot(x, y)


def xy_of(shape: Mapping[str, Any]) -> list[int | float]:
    """The list for ``shape_attributes`` of version 2; how far an ellipse is turned has no place in it."""
    for code, (name, fields) in _NAMES.items():
        if shape["name"] == name:
            return [code, *(shape[field] for field in fields)]
    code = _POLYGON if shape["name"] == "polygon" else _POLYLINE
    pairs = zip(shape["all_points_x"], shape["all_points_y"], strict=True)
    return [code, *(number for pair in pairs for number in pair)]
