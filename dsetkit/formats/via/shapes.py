"""VIA's regions as annotations and back.

Numbers are pixels as VIA's canvas has them; ``theta`` of an ellipse is in radians, clockwise on the screen, from the
picture's x axis to the half axis ``rx`` (``polygon_to_bbox`` and ``_via_draw_ellipse`` of ``via.js``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dsetkit.geometry.shape import enclosure
from dsetkit.spec.arrow import Row

_NEEDED: Mapping[str, tuple[str, ...]] = {
    "rect": ("x", "y", "width", "height"),
    "circle": ("cx", "cy", "r"),
    "ellipse": ("cx", "cy", "rx", "ry"),
    "polygon": ("all_points_x", "all_points_y"),
    "polyline": ("all_points_x", "all_points_y"),
    "point": ("cx", "cy"),
}


class ShapeError(ValueError):
    """A shape that cannot be kept. ``code`` is an issue's."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def read_shape(shape: Mapping[str, Any]) -> Row:
    """Checked ``shape_attributes`` as a row with kind and geometry. Raises ``ShapeError``."""
    name = shape.get("name")
    needed = _NEEDED.get(str(name))
    if needed is None:
        raise ShapeError("shape-unknown", f"VIA has no shape {str(name)[:40]!r}")
    if any(item not in shape for item in needed):
        missing = ", ".join(item for item in needed if item not in shape)
        raise ShapeError("region-invalid", f"a {name} without {missing}")
    if name == "rect":
        return {"kind": "box", "bbox_xywh_px": [shape[item] for item in needed]}
    if name in ("circle", "ellipse"):
        rx, ry = (shape["r"], shape["r"]) if name == "circle" else (shape["rx"], shape["ry"])
        if rx < 0 or ry < 0:
            raise ShapeError("region-invalid", f"a {name} whose half axis is below 0")
        # Rounded, so that degrees written as radians come back as they were.
        angle = round(math.degrees(shape.get("theta", 0.0)), 9) + 0.0 if name == "ellipse" else 0.0
        made = {"cx": shape["cx"], "cy": shape["cy"], "rx": rx, "ry": ry, "angle": angle}
        return _enclosed({"kind": "ellipse", "ellipse": made})
    if name == "point":
        x, y = shape["cx"], shape["cy"]
        return {"kind": "points", "points": [x, y], "bbox_xywh_px": [x, y, 0.0, 0.0]}
    xs, ys = shape["all_points_x"], shape["all_points_y"]
    if len(xs) != len(ys) or not xs:
        raise ShapeError("region-invalid", f"a {name} of {len(xs)} x and {len(ys)} y")
    if name == "polygon" and len(xs) > 3 and xs[0] == xs[-1] and ys[0] == ys[-1]:
        xs, ys = xs[:-1], ys[:-1]  # version 1 says the first point again
    flat = [value for pair in zip(xs, ys, strict=True) for value in pair]
    box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    if name == "polyline":
        return {"kind": "polyline", "polyline": flat, "bbox_xywh_px": box}
    row: Row = {"kind": "polygon", "polygons": [[flat]], "bbox_xywh_px": box}
    if len(xs) < 3:
        row["issues"] = [{"code": "polygon-degenerate", "message": f"a polygon of {len(xs)} points covers nothing"}]
    return row


def shapes_of(item: Row) -> list[dict[str, Any]]:
    """The ``shape_attributes`` of the regions that stand for an annotation; several for several parts or points."""
    kind = item["kind"]
    if kind == "box":
        x, y, w, h = map(_plain, item["bbox_xywh_px"])
        return [{"name": "rect", "x": x, "y": y, "width": w, "height": h}]
    if kind == "ellipse":
        own = item["ellipse"]
        centre = {"cx": _plain(own["cx"]), "cy": _plain(own["cy"])}
        if own["rx"] == own["ry"] and not own.get("angle"):
            return [{"name": "circle", **centre, "r": _plain(own["rx"])}]
        axes = {"rx": _plain(own["rx"]), "ry": _plain(own["ry"])}
        return [{"name": "ellipse", **centre, **axes, "theta": math.radians(own.get("angle", 0.0))}]
    if kind == "points":
        flat = item.get("points", ())
        pairs = zip(flat[0::2], flat[1::2], strict=False)
        return [{"name": "point", "cx": _plain(x), "cy": _plain(y)} for x, y in pairs]
    if kind == "polyline":
        return [_line("polyline", item["polyline"])] if item.get("polyline") else []
    return [_line("polygon", part[0]) for part in item.get("polygons", ()) if part and part[0]]


def _line(name: str, flat: Sequence[float]) -> dict[str, Any]:
    points = list(map(_plain, flat))
    return {"name": name, "all_points_x": points[0::2], "all_points_y": points[1::2]}


def _enclosed(row: Row) -> Row:
    return {**row, "bbox_xywh_px": list(enclosure(row) or ())}


def _plain(value: float) -> int | float:
    """A whole number without a point, as VIA has them."""
    return int(value) if value == int(value) else float(value)
