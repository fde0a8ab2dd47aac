"""Annotation rows as SVG that lies over a picture, in the picture's own pixels.

Lines and dots keep their width on the screen however far one zooms (``vector-effect`` in page.css). Everything is
numbers that were formatted here, colours, and text that was escaped: nothing from data can become markup.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from dsetkit.geometry.rle import check_size
from dsetkit.geometry.rle import decode as decode_mask
from dsetkit.geometry.shape import box_corners, ellipse_outline, enclosure
from dsetkit.imaging.palette import NEUTRAL, Color, category_colors, color_of_name, text_color
from dsetkit.imaging.thumbnail import mask_overlay
from dsetkit.report.words import label_name, shorten
from dsetkit.spec.annotation import is_outside
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category

MASK_SIDE_PX = 256
_ABSURD_PX = 1e7
_STEPS = 448 * 4  # places along the longer side that are told apart
_NAME_SHARE = 24  # a name's letters are a 24th of the longer side, where no script sets them
_NAME_LETTERS = 28
_HALO_POINTS = 200  # lines of more points are drawn without a dark rim, which would double their size

_WITHOUT_AREA = ("points", "keypoints", "polyline")

Point = tuple[float, float]


class Frame(NamedTuple):
    """The upright picture that coordinates are of."""

    width_px: int
    height_px: int

    @property
    def longest_px(self) -> int:
        """The longer side."""
        return max(1, self.width_px, self.height_px)


class Painter:
    """Draws annotations of one snapshot's categories."""

    def __init__(self, categories: Sequence[Category]) -> None:
        self._colors = category_colors(categories)
        self._categories = {category.name: category for category in categories}

    def color(self, annotation: Row) -> Color:
        """The colour of its category."""
        name = annotation.get("category")
        return NEUTRAL if name is None else self._colors.get(name) or color_of_name(name)

    def hex_of(self, category: str) -> str:
        """``#rrggbb`` of a category by its name."""
        return hex_color(self._colors.get(category) or color_of_name(category))

    def draw(self, annotation: Row, number: int, frame: Frame) -> Markup:
        """One annotation as an SVG group, empty for a kind without a place and for a shape that is broken, and for an
        object that is not in this frame (``is_outside``).

        ``number`` ties it to its row in the table beside the picture.
        """
        kind = annotation["kind"]
        if is_outside(annotation):
            return Markup("")
        try:
            shape = self._shape(annotation, frame)
            box = enclosure(annotation) if shape else None
        except (ValueError, KeyError, TypeError, OverflowError):
            return Markup("")
        if not shape or box is None or not all(abs(value) < _ABSURD_PX for value in box):
            return Markup("")
        if kind not in _WITHOUT_AREA and min(box[2:]) <= 0:
            shape += _ring(box[0] + box[2] / 2, box[1] + box[3] / 2, frame)
        name = label_name(annotation)
        color = hex_color(self.color(annotation))
        text = self._name(name, box, frame, self.color(annotation)) if name else ""
        return Markup('<g class="a k-{}" data-i="{}" stroke="{}" fill="{}"><title>{}</title>{}{}</g>').format(
            kind, number, color, color, f"{name or 'no category'} · {kind}", Markup(shape), Markup(text)
        )

    def _shape(self, annotation: Row, frame: Frame) -> str:
        kind = annotation["kind"]
        if kind == "box" and annotation.get("bbox_xywh_px"):
            return _upright(annotation["bbox_xywh_px"], frame)
        if kind == "rotated_box" and annotation.get("rotated_box"):
            return _outlined(_path([box_corners(annotation["rotated_box"])], frame, closed=True))
        if kind == "ellipse" and annotation.get("ellipse"):
            return _outlined(_path([ellipse_outline(annotation["ellipse"])], frame, closed=True))
        if kind == "polygon":
            rings = [ring for part in annotation.get("polygons") or () for ring in part]
            return _area(_path(rings, frame, closed=True))
        if kind == "polyline":
            return _outlined(_path([annotation.get("polyline") or ()], frame, closed=False))
        if kind == "points":
            return _dots(_pairs(annotation.get("points") or ()), frame)
        if kind == "mask" and annotation.get("mask"):
            return self._mask(annotation, frame)
        return self._keypoints(annotation, frame) if kind == "keypoints" else ""

    def _mask(self, annotation: Row, frame: Frame) -> str:
        mask = annotation["mask"]
        if check_size(mask.get("size")) != (frame.height_px, frame.width_px):
            return ""
        png = mask_overlay(decode_mask(mask), self.color(annotation), MASK_SIDE_PX)
        data = base64.b64encode(png).decode("ascii")
        size = f'width="{frame.width_px}" height="{frame.height_px}"'
        return f'<image class="m" {size} preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'

    def _keypoints(self, annotation: Row, frame: Frame) -> str:
        shown: dict[str, tuple[Point, bool]] = {}
        for keypoint in annotation.get("keypoints") or ():
            visibility = keypoint.get("visibility", 2)
            if visibility > 0:
                shown[keypoint["name"]] = ((keypoint["x"], keypoint["y"]), visibility < 2)
        category = self._categories.get(annotation.get("category") or "")
        names = category.keypoint_names if category else ()
        bones = [
            (*shown[names[a]][0], *shown[names[b]][0])
            for a, b in (category.skeleton if category else ())
            if min(a, b) >= 0 and max(a, b) < len(names) and names[a] in shown and names[b] in shown
        ]
        lines = _outlined(_path(bones, frame, closed=False)) if bones else ""
        open_dots = _dots([point for point, hidden in shown.values() if hidden], frame, hollow=True)
        return lines + open_dots + _dots([point for point, hidden in shown.values() if not hidden], frame)

    def _name(self, name: str, box: tuple[float, float, float, float], frame: Frame, color: Color) -> str:
        """The category's name at the shape's top left corner, kept inside the picture."""
        x, y, w, _ = box
        size = frame.longest_px / _NAME_SHARE
        inside = y < size * 1.2
        from_right = x > frame.width_px * 0.7
        place = min(x + w, float(frame.width_px)) if from_right else max(0.0, x)
        return Markup('<text class="n" x="{}" y="{}" dy="{}" font-size="{}"{} fill="{}">{}</text>').format(
            _number(place, frame),
            _number(max(0.0, y), frame),
            "1.05em" if inside else "-.35em",
            _number(size, frame),
            Markup(' text-anchor="end"') if from_right else "",
            hex_color(text_color(color)),
            shorten(name, _NAME_LETTERS),
        )


def hex_color(color: Color) -> str:
    """``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def _upright(box: Sequence[float], frame: Frame) -> str:
    x, y, w, h = box
    if not all(abs(value) < _ABSURD_PX for value in box):
        return ""
    sides = [_number(value, frame) for value in (x, y, max(0.0, w), max(0.0, h))]
    rect = 'x="{}" y="{}" width="{}" height="{}"'.format(*sides)
    if w <= 0 or h <= 0:  # SVG does not draw a rectangle without a side; such a box is shown as the line it is
        d = _path([(x, y, x + w, y, x + w, y + h, x, y + h)], frame, closed=True)
        return _outlined(d)
    return f'<rect class="h" {rect}/><rect class="o" {rect}/>'


def _outlined(d: str) -> str:
    if not d:
        return ""
    halo = f'<path class="h" d="{d}"/>' if d.count(" ") < _HALO_POINTS else ""
    return f'{halo}<path class="o" d="{d}"/>'


def _area(d: str) -> str:
    return f'<path class="f" fill-rule="evenodd" d="{d}"/>' if d else ""


def _dots(points: Sequence[Point], frame: Frame, *, hollow: bool = False) -> str:
    """Lines of no length with round ends: dots whose size on the screen stays."""
    d = "".join(f"M{_number(x, frame)} {_number(y, frame)}h0" for x, y in points if _sensible((x, y)))
    if not d:
        return ""
    inner = f'<path class="e" d="{d}"/>' if hollow else ""
    return f'<path class="dh" d="{d}"/><path class="d" d="{d}"/>{inner}'


def _ring(x: float, y: float, frame: Frame) -> str:
    """A mark around a shape that is nothing, which nobody would see."""
    return f'<path class="r" d="M{_number(x, frame)} {_number(y, frame)}h0"/>'


def _path(lines: Sequence[Sequence[float]], frame: Frame, *, closed: bool) -> str:
    """``M…L…Z`` of flat coordinate lists; points that fall together at the page's resolution are left out."""
    parts = []
    for flat in lines:
        points = _pairs(flat)
        if not points or not all(map(_sensible, points)):
            continue
        texts = [f"{_number(x, frame)} {_number(y, frame)}" for x, y in points]
        kept = [text for place, text in enumerate(texts) if place == 0 or text != texts[place - 1]]
        parts.append(f"M{'L'.join(kept)}{'Z' if closed else 'h0' if len(kept) == 1 else ''}")
    return "".join(parts)


def _pairs(flat: Sequence[float]) -> list[Point]:
    return list(zip(flat[::2], flat[1::2], strict=False))


def _sensible(point: Point) -> bool:
    return all(abs(value) < _ABSURD_PX for value in point)  # NaN is not


def _number(value: float, frame: Frame) -> str:
    """A coordinate as short as the page's resolution allows."""
    step = frame.longest_px / _STEPS
    places = max(0, math.ceil(-math.log10(step))) if step < 1 else 0
    text = f"{value:.{min(places, 3)}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
