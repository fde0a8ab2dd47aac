"""Pictures for people: annotations drawn, many pictures on one sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from dsetkit.geometry.rle import decode as decode_mask
from dsetkit.geometry.shape import box_corners, ellipse_outline
from dsetkit.imaging.labels import LabelWriter, writable
from dsetkit.imaging.modes import to_mode
from dsetkit.imaging.palette import NEUTRAL, Color, category_colors, color_of_name
from dsetkit.spec.annotation import is_outside
from dsetkit.spec.category import Category

Row = dict[str, Any]
Point = tuple[float, float]

_HALO: Color = (0, 0, 0)
_IN_CORNER = ("image_label", "caption")
_FILL_ALPHA = 90
_ABSURD_PX = 1e9
_FAR_PX = 100_000.0  # what lies further out is drawn at this distance; the direction hardly changes
_SHEET_GAP_PX = 6
_SHEET_TITLE_PX = 16
_SHEET_COLOR: Color = (245, 245, 245)


def draw_annotations(
    image: Image.Image,
    annotations: Sequence[Row],
    categories: Sequence[Category] = (),
    *,
    width: int = 2,
    min_side_px: int = 0,
    max_side_px: int | None = None,
    with_text: bool = True,
) -> Image.Image:
    """The upright picture in RGB with its annotations (sparse rows) drawn on it; the picture given stays as it is.

    Every kind is drawn in its category's colour, ``width`` pixels wide: outlines with a dark rim, areas (polygons with
    their holes, masks) filled half transparent, keypoints with the category's skeleton (hidden ones hollow), labels on
    a backing box: category, text, score. Image labels and captions stand in the top left corner. A shape that is
    broken (NaN, a mask that is none) is left out, its label too, and so is what is not in this frame (``is_outside``).
    A picture whose shorter side is below ``min_side_px`` is first enlarged by a whole factor, so that labels of tiny
    pictures can be read; one whose longer side is above ``max_side_px`` is first brought down to it, so that labels
    stay readable on a contact sheet. Without ``with_text`` only shapes are drawn.
    """
    factor: float = max(1, math.ceil(min_side_px / max(1, min(image.size))))
    canvas = to_mode(image, "RGB")
    if factor > 1:
        canvas = canvas.resize((canvas.width * int(factor), canvas.height * int(factor)), Image.Resampling.NEAREST)
    elif max_side_px is not None and max(image.size) > max_side_px:
        factor = max_side_px / max(image.size)
        smaller = tuple(max(1, round(side * factor)) for side in image.size)
        canvas = canvas.resize((smaller[0], smaller[1]), Image.Resampling.LANCZOS)
    elif canvas is image:
        canvas = canvas.copy()
    painter = _Painter(canvas, categories, width, factor, image.size)
    annotations = [annotation for annotation in annotations if not is_outside(annotation)]
    for annotation in annotations:  # areas first, so that no area hides an outline, and no outline a label
        painter.fill(annotation)
    for annotation in annotations:
        painter.outline(annotation)
    for annotation in sorted(annotations if with_text else (), key=lambda item: item.get("kind") not in _IN_CORNER):
        painter.label(annotation)  # those that have one place alone come first; the others make room
    return canvas


def contact_sheet(images: Sequence[Image.Image], columns: int, cell_px: int, titles: Sequence[str] = ()) -> Image.Image:
    """Pictures on a grid, row by row, each brought into a square of ``cell_px``; small ones are not enlarged.

    ``titles`` (one a picture) stand below them.
    A row is as tall as its tallest picture. No pictures give one empty cell.
    """
    columns = max(1, min(columns, len(images) or 1))
    cells = [to_mode(image, "RGB").copy() for image in images]
    for cell in cells:
        cell.thumbnail((cell_px, cell_px), Image.Resampling.BILINEAR)
    rows = [cells[at : at + columns] for at in range(0, len(cells), columns)] or [[]]
    heights = [max((cell.height for cell in row), default=cell_px) for row in rows]
    step_x, title_px = cell_px + _SHEET_GAP_PX, _SHEET_TITLE_PX if titles else 0
    tall = sum(height + title_px + _SHEET_GAP_PX for height in heights)
    sheet = Image.new("RGB", (columns * step_x + _SHEET_GAP_PX, tall + _SHEET_GAP_PX), _SHEET_COLOR)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_SHEET_TITLE_PX - 5)
    top = _SHEET_GAP_PX
    for number, (row, height) in enumerate(zip(rows, heights, strict=True)):
        for column, cell in enumerate(row):
            left, index = _SHEET_GAP_PX + column * step_x, number * columns + column
            sheet.paste(cell, (left + (cell_px - cell.width) // 2, top + (height - cell.height) // 2))
            if index < len(titles):
                title = writable(titles[index])
                while len(title) > 1 and font.getlength(title) > cell_px:
                    title = "…" + title.removeprefix("…")[1:]  # the end of a path says more than its beginning
                draw.text((left, top + height + 1), title, fill=(0, 0, 0), font=font)
        top += height + title_px + _SHEET_GAP_PX
    return sheet


class _Painter:
    def __init__(
        self,
        canvas: Image.Image,
        categories: Sequence[Category],
        width: int,
        factor: float,
        size: tuple[int, int],
    ) -> None:
        self._canvas = canvas
        self._draw = ImageDraw.Draw(canvas)
        self._labels = LabelWriter(self._draw, canvas.size)
        self._colors = category_colors(categories)
        self._categories = {category.name: category for category in categories}
        self._width = max(1, width)
        self._factor = factor
        self._size = size  # the picture's own, before it was enlarged or brought down

    def fill(self, annotation: Row) -> None:
        color = self._color(annotation)
        if annotation.get("kind") == "polygon":
            for part in annotation.get("polygons") or ():
                self._fill_part([self._points(ring) for ring in part], color)
        elif annotation.get("kind") == "mask":
            area = self._mask_area(annotation)
            if area is not None:
                self._canvas.paste(color, (0, 0), area)

    def outline(self, annotation: Row) -> None:
        color = self._color(annotation)
        for line in self._outlines(annotation):
            self._draw.line(line, _HALO, self._width + 2, "curve")
            self._draw.line(line, color, self._width, "curve")
        radius = self._width + 2
        for (x, y), hollow in self._dots(annotation):
            self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), None if hollow else color, _HALO)
            if hollow:
                self._draw.ellipse((x - radius + 1, y - radius + 1, x + radius - 1, y + radius - 1), None, color)

    def label(self, annotation: Row) -> None:
        color, text = self._color(annotation), _label_text(annotation)
        if annotation.get("kind") in _IN_CORNER:
            self._labels.in_corner(text, color)
            return
        box = self._enclosure(annotation)
        if box is not None:
            self._labels.at(text, box, color)

    def _enclosure(self, annotation: Row) -> tuple[float, float, float, float] | None:
        points = [point for line in self._outlines(annotation) for point in line]
        points += [point for point, _ in self._dots(annotation)]
        if not points and annotation.get("kind") == "mask":
            points = self._corners(annotation.get("bbox_xywh_px") or ())
        if not points:
            return None
        (left, right), (top, bottom) = ((min(side), max(side)) for side in zip(*points, strict=True))
        return left, top, right - left, bottom - top

    def _color(self, annotation: Row) -> Color:
        name = annotation.get("category")
        if name is None:
            return NEUTRAL
        return self._colors.get(name) or color_of_name(name)

    def _points(self, flat: Sequence[float]) -> list[Point]:
        """Points on the canvas of flat x, y; empty if one is no number that can be meant."""
        if not all(abs(value) <= _ABSURD_PX for value in flat):
            return []
        scaled = [max(-_FAR_PX, min(_FAR_PX, value * self._factor)) for value in flat]
        return list(zip(scaled[::2], scaled[1::2], strict=False))

    def _shape(self, shape: Row, outline: Callable[[Row], Sequence[float]]) -> list[Point]:
        """Points on the canvas of a rotated box or ellipse; empty if a value is no number that can be meant."""
        return self._points(outline(shape)) if all(abs(value) <= _ABSURD_PX for value in shape.values()) else []

    def _corners(self, bbox_xywh: Sequence[float]) -> list[Point]:
        if len(bbox_xywh) != 4:
            return []
        x, y, w, h = bbox_xywh
        return self._points((x, y, x + w, y, x + w, y + h, x, y + h))

    def _outlines(self, annotation: Row) -> list[list[Point]]:
        """Lines on the canvas, closed ones with their first point again at the end."""
        kind = annotation.get("kind")
        closed: list[list[Point]] = []
        if kind == "box":
            closed = [self._corners(annotation.get("bbox_xywh_px") or ())]
        elif kind == "rotated_box" and annotation.get("rotated_box"):
            closed = [self._shape(annotation["rotated_box"], box_corners)]
        elif kind == "ellipse" and annotation.get("ellipse"):
            closed = [self._shape(annotation["ellipse"], ellipse_outline)]
        elif kind == "polygon":
            closed = [self._points(ring) for part in annotation.get("polygons") or () for ring in part]
        elif kind == "polyline":
            return [line for line in [self._points(annotation.get("polyline") or ())] if line]
        elif kind == "keypoints":
            return self._skeleton(annotation)
        return [[*line, line[0]] for line in closed if line]

    def _dots(self, annotation: Row) -> list[tuple[Point, bool]]:
        """Points on the canvas, and whether each is hollow (hidden)."""
        if annotation.get("kind") == "points":
            return [(point, False) for point in self._points(annotation.get("points") or ())]
        if annotation.get("kind") == "keypoints":
            return [(point, visibility < 2) for point, visibility in self._keypoints(annotation).values()]
        return []

    def _keypoints(self, annotation: Row) -> dict[str, tuple[Point, int]]:
        """Labelled keypoints by name."""
        found: dict[str, tuple[Point, int]] = {}
        for keypoint in annotation.get("keypoints") or ():
            visibility = keypoint.get("visibility", 2)
            for point in self._points((keypoint["x"], keypoint["y"])) if visibility > 0 else ():
                found[keypoint["name"]] = (point, visibility)
        return found

    def _skeleton(self, annotation: Row) -> list[list[Point]]:
        category = self._categories.get(annotation.get("category") or "")
        found = self._keypoints(annotation)
        if category is None:
            return []
        names = category.keypoint_names
        bones = [(names[a], names[b]) for a, b in category.skeleton if max(a, b) < len(names) and min(a, b) >= 0]
        return [[found[a][0], found[b][0]] for a, b in bones if a in found and b in found]

    def _fill_part(self, rings: list[list[Point]], color: Color) -> None:
        """Fill the first ring without the others, touching no more of the canvas than it covers."""
        if not rings or len(rings[0]) < 3:
            return
        across, down = ([point[axis] for point in rings[0]] for axis in (0, 1))
        left, top = max(0, math.floor(min(across))), max(0, math.floor(min(down)))
        right = min(self._canvas.width, math.ceil(max(across)) + 1)
        bottom = min(self._canvas.height, math.ceil(max(down)) + 1)
        if left >= right or top >= bottom:
            return
        area = Image.new("L", (right - left, bottom - top))
        draw = ImageDraw.Draw(area)
        for index, ring in enumerate(rings):
            if len(ring) >= 3:
                draw.polygon([(x - left, y - top) for x, y in ring], fill=0 if index else _FILL_ALPHA)
        self._canvas.paste(color, (left, top), area)

    def _mask_area(self, annotation: Row) -> Image.Image | None:
        mask = annotation.get("mask")
        width, height = self._size
        if not mask or tuple(mask.get("size") or ()) != (height, width):
            return None
        try:
            shape = decode_mask(mask)
        except ValueError:
            return None
        area = Image.fromarray(shape.astype("uint8") * _FILL_ALPHA)
        return area.resize(self._canvas.size, Image.Resampling.NEAREST) if self._canvas.size != self._size else area


def _label_text(annotation: Row) -> str:
    names = annotation.get("categories") or [annotation.get("category") or ""]
    parts = [", ".join(names), annotation.get("text") or ""]
    if annotation.get("score") is not None:
        parts.append(f"{annotation['score']:.2f}")
    if annotation.get("is_crowd"):
        parts.append("(crowd)")
    return " ".join(part for part in parts if part)
