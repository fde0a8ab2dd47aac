"""The geometry of one result, as a row's fields and back.

Lengths are percent of the picture: x and widths of its width, y and heights of its height, so that angles, degrees
clockwise, hold in pixels only. A rectangle turns about its top-left corner, an ellipse about its centre (Konva).
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from typing import Any

from dsetkit.errors import PictureError
from dsetkit.formats.label_studio.brush import read_brush, write_brush
from dsetkit.geometry import rle
from dsetkit.geometry.shape import enclosure, turn
from dsetkit.imaging.mask_png import read_mask
from dsetkit.spec.arrow import Row

LIMIT_PX = 1e9
"""A coordinate beyond this is taken for a fault."""
_DIGITS = 9
_POINT_PERCENT = 0.5
"""How large a key point is drawn, percent of the picture's width."""
BASES = ("rectangle", "polygon", "brush", "bitmask", "keypoint", "ellipse", "vector")
"""Types of results with a place, each also with ``labels`` behind it."""


class ShapeError(ValueError):
    """A shape that cannot be read; ``code`` is an issue's."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def base_of(kind: str, value: Mapping[str, Any]) -> str | None:
    """Which of ``BASES`` a result is by its type, or by what its value holds (``labels``); None without a place."""
    base = kind.removesuffix("labels")
    if base in BASES:
        return base
    if kind != "labels":
        return None
    for base, names in (
        ("ellipse", ("radiusX",)),
        ("rectangle", ("x", "y", "width", "height")),
        ("keypoint", ("x", "y", "width")),
        ("polygon", ("points",)),
        ("vector", ("vertices",)),
        ("brush", ("rle",)),
        ("bitmask", ("imageDataURL",)),
    ):
        if all(name in value for name in names):
            return base
    return None


def read_shape(base: str, value: Mapping[str, Any], size: tuple[int, int], findings: list[Row]) -> Row:
    """``kind``, ``bbox_xywh_px`` and the shape's field; ``size`` is the picture's width and height, pixels.

    What is wrong and can be lived with is appended to ``findings``. Raises ``ShapeError`` for the rest.
    """
    width, height = size
    out: Row
    if base == "rectangle":
        out = _read_rectangle(value, width, height)
    elif base == "ellipse":
        x, y, rx, ry = _numbers(value, ("x", "y", "radiusX", "radiusY"))
        shape = {"cx": _px(x, width), "cy": _px(y, height), "rx": _px(abs(rx), width), "ry": _px(abs(ry), height)}
        angle = _angle(value)
        out = {"kind": "ellipse", "ellipse": {**shape, "angle": angle} if angle else shape}
    elif base == "keypoint":
        x, y = _numbers(value, ("x", "y"))
        out = {"kind": "points", "points": [_px(x, width), _px(y, height)]}
    elif base in ("polygon", "vector"):
        out = _read_line(base, value, width, height, findings)
    else:
        try:
            mask = read_brush(_list(value, "rle"), width, height) if base == "brush" else _bitmask(value, width, height)
        except ValueError as error:
            if isinstance(error, ShapeError):
                raise
            raise ShapeError("mask-invalid", str(error)) from None
        out = {"kind": "mask", "mask": mask}
    if out["kind"] != "box":
        out["bbox_xywh_px"] = enclosure(out) or (0.0, 0.0, 0.0, 0.0)  # an empty mask
    if max(map(abs, out["bbox_xywh_px"])) > LIMIT_PX:
        raise ShapeError("coordinate-beyond", "a coordinate is beyond any picture (1e9 px)")
    return out


def _read_rectangle(value: Mapping[str, Any], width: int, height: int) -> Row:
    x, y, w, h = _numbers(value, ("x", "y", "width", "height"))
    x, y, w, h = x / 100 * width, y / 100 * height, w / 100 * width, h / 100 * height
    angle = _angle(value)
    if not angle:
        left, top = min(x, x + w), min(y, y + h)
        return {"kind": "box", "bbox_xywh_px": (_round(left), _round(top), _round(abs(w)), _round(abs(h)))}
    cos, sin = turn(angle)
    cx, cy = x + w / 2 * cos - h / 2 * sin, y + w / 2 * sin + h / 2 * cos
    shape = {"cx": _round(cx), "cy": _round(cy), "w": _round(abs(w)), "h": _round(abs(h)), "angle": angle}
    return {"kind": "rotated_box", "rotated_box": shape}


def _read_line(base: str, value: Mapping[str, Any], width: int, height: int, findings: list[Row]) -> Row:
    flat: list[float] = []
    for point in _list(value, "points" if base == "polygon" else "vertices"):
        if isinstance(point, dict):
            x, y = _numbers(point, ("x", "y"))
        elif isinstance(point, list) and len(point) == 2:
            x, y = _numbers({"x": point[0], "y": point[1]}, ("x", "y"))
        else:
            raise ShapeError("polygon-invalid", "a point is not two numbers")
        flat += (_px(x, width), _px(y, height))
    if not flat:
        raise ShapeError("polygon-invalid", "it has no points")
    if base == "vector" and any(isinstance(point, dict) and point.get("isBezier") for point in value["vertices"]):
        message = "its Bézier curves are taken for straight lines between their points"
        findings.append({"code": "curve-straightened", "message": message})
    # A polygon that was closed says so, or, in older versions, says nothing; a vector is open unless it says so.
    is_closed = value.get("closed") is not False if base == "polygon" else value.get("closed") is True
    if is_closed:
        return {"kind": "polygon", "polygons": [[flat]]}
    return {"kind": "polyline", "polyline": flat}


def _bitmask(value: Mapping[str, Any], width: int, height: int) -> Row:
    head, comma, text = str(value.get("imageDataURL")).partition(",")
    if not head.startswith("data:image/") or not comma or not head.endswith(";base64"):
        raise ShapeError("mask-invalid", "its imageDataURL is no picture in base64")
    rle.check_size([height, width])
    try:
        mask = read_mask(base64.b64decode(text, validate=True), max_pixels=width * height)
    except (binascii.Error, PictureError) as error:
        said = error.message if isinstance(error, PictureError) else error
        raise ShapeError("mask-invalid", f"its imageDataURL cannot be decoded: {said}") from None
    if mask.shape != (height, width):
        raise ShapeError(
            "mask-invalid", f"its bitmask has {mask.shape[1]}×{mask.shape[0]} pixels, not {width}×{height}"
        )
    return rle.encode(mask)


def _numbers(value: Mapping[str, Any], names: Sequence[str]) -> list[float]:
    found: list[float] = []
    for name in names:
        number = value.get(name)
        if type(number) is float and -1e12 < number < 1e12:  # nearly always
            found.append(number)
            continue
        if isinstance(number, bool) or not isinstance(number, int | float) or not abs(number) < 1e12:
            said = "is missing" if name not in value else f"is {repr(number)[:40]}, not a number that can be"
            raise ShapeError("coordinate-invalid", f"{name} {said}")
        found.append(float(number))
    return found


def _list(value: Mapping[str, Any], name: str) -> list[Any]:
    items = value.get(name)
    if not isinstance(items, list):
        raise ShapeError("shape-missing", f"it has no list of {name}")
    return items


def _angle(value: Mapping[str, Any]) -> float:
    return _numbers(value, ("rotation",))[0] + 0.0 if value.get("rotation") is not None else 0.0


def _px(percent: float, side: int) -> float:
    return _round(percent / 100 * side)


def _round(value: float) -> float:
    """Without what changing to percent and back leaves in the last digits."""
    return round(value, _DIGITS) + 0.0


def write_shape(annotation: Row, size: tuple[int, int]) -> tuple[str, Row] | None:
    """The base type and the value of a located annotation, keypoints as their box; None where it has no place.

    ``size`` is the picture's width and height, pixels. Polygons are of one ring. Raises ``ValueError`` for a shape that
    cannot be written.
    """
    width, height = size
    kind = annotation["kind"]
    if kind in ("box", "keypoints"):
        box = annotation.get("bbox_xywh_px") or enclosure(annotation)
        if box is None:
            return None
        x, y, w, h = box
        return "rectangle", {**_percents({"x": x, "y": y, "width": w, "height": h}, size), "rotation": 0}
    if kind == "rotated_box" and annotation.get("rotated_box"):
        shape = annotation["rotated_box"]
        w, h = shape["w"], shape["h"]
        cos, sin = turn(shape["angle"])
        x, y = shape["cx"] - w / 2 * cos + h / 2 * sin, shape["cy"] - w / 2 * sin - h / 2 * cos
        value = _percents({"x": x, "y": y, "width": w, "height": h}, size)
        return "rectangle", {**value, "rotation": _finite(shape["angle"])}
    if kind == "ellipse" and annotation.get("ellipse"):
        shape = annotation["ellipse"]
        value = {"x": shape["cx"], "y": shape["cy"], "radiusX": shape["rx"], "radiusY": shape["ry"]}
        return "ellipse", {**_percents(value, size), "rotation": _finite(shape.get("angle", 0.0))}
    if kind == "points" and annotation.get("points"):
        return "keypoint", write_point(annotation["points"][0], annotation["points"][1], size)
    if kind == "polygon" and annotation.get("polygons"):
        ring = annotation["polygons"][0][0]
        return "polygon", {"points": _pairs(ring, width, height), "closed": True}
    if kind == "polyline" and annotation.get("polyline"):
        points = _pairs(annotation["polyline"], width, height)
        vertices: list[Row] = []
        for number, (x, y) in enumerate(points):
            before = f"p{number - 1}" if number else None
            vertices.append({"id": f"p{number}", "x": x, "y": y, "prevPointId": before, "isBezier": False})
        return "vector", {"vertices": vertices, "closed": False}
    if kind == "mask" and annotation.get("mask"):
        return "brush", {"format": "rle", "rle": write_brush(annotation["mask"])}
    return None


def write_point(x: float, y: float, size: tuple[int, int]) -> Row:
    """The value of a key point."""
    return {**_percents({"x": x, "y": y}, size), "width": _POINT_PERCENT}


def _percents(value: Mapping[str, float], size: tuple[int, int]) -> Row:
    across = ("x", "width", "radiusX")
    return {name: _percent(number, size[0] if name in across else size[1]) for name, number in value.items()}


def _pairs(flat: Sequence[float], width: int, height: int) -> list[list[float]]:
    if not flat or len(flat) % 2:
        raise ValueError("a line of half a point")
    return [[_percent(x, width), _percent(y, height)] for x, y in zip(flat[0::2], flat[1::2], strict=True)]


def _percent(value: float, side: int) -> float:
    return _finite(value) * 100 / side + 0.0


def _finite(value: float) -> float:
    if not math.isfinite(value) or abs(value) > LIMIT_PX:
        raise ValueError("coordinates that are no finite numbers")
    return float(value)
