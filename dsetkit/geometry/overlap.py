"""How far two annotations of one picture cover the same: intersection over union (IoU).

Upright boxes by arithmetic; rotated boxes, ellipses and polygons with their holes by shapely; masks by their runs
(``pycocotools``), and what is compared with a mask is drawn as one first. What covers nothing (points, keypoints,
polylines) is taken by the box around it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pycocotools import mask as coco

from dsetkit.geometry.coordinates import is_same_place
from dsetkit.geometry.polygons import has_area, ring_points
from dsetkit.geometry.rle import check_size, mask_from_polygons, runs
from dsetkit.geometry.shape import Box, box_corners, ellipse_outline, enclosure, own_box, shape_field, upright_corners

if TYPE_CHECKING:
    from dsetkit.spec.arrow import Row

_CHUNK = 512  # rows of the table of boxes × boxes that are in memory at once
_ABSURD_PX = 1e9  # a shape that reaches further is taken by its box
_AREAS = ("rotated_box", "ellipse", "polygons")


def box_iou(a: Sequence[float], b: Sequence[float]) -> float:
    """IoU of two upright boxes x, y, width, height; 1 for equal ones, also without area."""
    if tuple(a) == tuple(b):
        return 1.0
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    inside = max(across, 0.0) * max(down, 0.0)
    union = a[2] * a[3] + b[2] * b[3] - inside
    return inside / union if 0 < union < math.inf else 0.0


def iou(a: Row, b: Row) -> float:
    """IoU, 0 to 1, of two annotations of one picture, whatever kind each is.

    1 where they are at the same place, also without area; 0 where one has no place. Broken shapes (a mask that is
    none, a polygon without area) are taken by their box. Masks of two sizes are compared by their boxes.
    """
    if shape_field(a) is None or shape_field(b) is None:
        return 0.0
    return 1.0 if is_same_place(a, b) else _Shapes([a]).iou(0, _Shapes([b]), 0)


def overlaps(ours: Sequence[Row], theirs: Sequence[Row], least: float) -> Iterator[tuple[int, int, float]]:
    """Pairs (number in ``ours``, number in ``theirs``, IoU) of annotations whose IoU is at least ``least`` (above 0).

    Boxes are compared all at once, in numpy; shapes are only cut where their boxes meet.
    """
    a, b = _Shapes(ours), _Shapes(theirs)
    for start in range(0, len(ours), _CHUNK):
        table = _box_table(a.boxes[start : start + _CHUNK], b.boxes)
        for row, column in np.argwhere(table > 0.0).tolist():
            i = start + row
            both_boxes = a.fields[i] not in (*_AREAS, "mask") and b.fields[column] not in (*_AREAS, "mask")
            value = float(table[row, column]) if both_boxes else a.iou(i, b, column)
            if value >= least:
                yield i, column, value


class _Shapes:
    """Annotations with the box of each (NaN: it has no place) and, made when first asked for, its area."""

    def __init__(self, annotations: Sequence[Row]) -> None:
        self._annotations = annotations
        self.fields = [shape_field(item) for item in annotations]
        boxes = [_box_of(item) or (np.nan,) * 4 for item in annotations]
        self.boxes = np.array(boxes, np.float64).reshape(-1, 4)
        self._areas: dict[int, Any] = {}

    def iou(self, i: int, other: _Shapes, j: int) -> float:
        fields = (self.fields[i], other.fields[j])
        if "mask" in fields:
            found = self._mask_iou(i, other, j)
            if found is not None:
                return found
        elif any(field in _AREAS for field in fields):
            a, b = self._area(i), other._area(j)
            if a is not None and b is not None:
                inside = float(shapely.intersection(a, b).area)
                return min(1.0, inside / (float(a.area) + float(b.area) - inside))
        ours, theirs = self.boxes[i], other.boxes[j]
        return box_iou(ours.tolist(), theirs.tolist()) if np.isfinite((ours, theirs)).all() else 0.0

    def _area(self, i: int) -> Any:
        """The shapely geometry it covers; None where it covers nothing."""
        if i not in self._areas:
            parts = [
                shapely.make_valid(shapely.Polygon(ring_points(part[0]), [ring_points(r) for r in part[1:]]))
                for part in self._parts(i)
            ]
            area = shapely.union_all(parts) if parts else None
            self._areas[i] = area if area is not None and area.area > 0.0 else None
        return self._areas[i]

    def _parts(self, i: int) -> list[list[Sequence[float]]]:
        """What it covers as parts → rings (the first the outline), those that cover nothing left out."""
        item, field = self._annotations[i], self.fields[i]
        if field == "polygons":
            parts = [[part[0], *filter(_covers, part[1:])] for part in item[field] if part]
        elif field == "rotated_box":
            parts = [[box_corners(item[field])]]
        elif field == "ellipse":
            parts = [[ellipse_outline(item[field])]]
        else:
            parts = [[upright_corners(self.boxes[i].tolist())]]
        return [part for part in parts if _covers(part[0])]

    def _mask_iou(self, i: int, other: _Shapes, j: int) -> float | None:
        """IoU where one is a mask; None where there is no saying: two sizes, or a mask that is none."""
        sizes = {tuple(s._annotations[n]["mask"]["size"]) for s, n in ((self, i), (other, j)) if s.fields[n] == "mask"}
        if len(sizes) != 1:
            return None
        try:
            size = check_size(sizes.pop())
            packed = [_packed(shapes, number, size) for shapes, number in ((self, i), (other, j))]
        except ValueError:
            return None
        value = float(coco.iou([packed[0]], [packed[1]], [False])[0][0])
        return value if np.isfinite(value) else None  # two masks without a pixel


def _covers(ring: Sequence[float]) -> bool:
    return bool(np.all(np.abs(ring) <= _ABSURD_PX)) and has_area(ring)  # NaN is no more than anything


def _packed(shapes: _Shapes, number: int, size: tuple[int, int]) -> Row:
    """As ``pycocotools`` takes masks. Raises ``ValueError``: its C code trusts what it is given."""
    if shapes.fields[number] == "mask":
        mask = shapes._annotations[number]["mask"]
        runs(mask)
    else:
        mask = mask_from_polygons(shapes._parts(number), size)
    return {"size": list(size), "counts": mask["counts"].encode()}


def _box_of(item: Row) -> Box | None:
    """The box around it, a keypoints annotation's own where it has one; None where there is none with numbers."""
    try:
        box = own_box(item) or enclosure(item)
    except ValueError:
        x, y, w, h = item.get("bbox_xywh_px") or (np.nan,) * 4
        box = float(x), float(y), float(w), float(h)
    return box if box is not None and np.isfinite(box).all() else None


def _box_table(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of boxes [n, 4] and [m, 4] as [n, m]; 1 for equal ones; 0 where one is NaN."""
    a, b = a[:, None, :], b[None, :, :]
    with np.errstate(over="ignore", invalid="ignore"):  # boxes beyond all bounds give NaN, which is no overlap
        spans = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
        inside = np.prod(np.maximum(spans, 0.0), axis=-1)
        union = a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - inside
        table: NDArray[np.float64] = np.divide(inside, union, out=np.zeros_like(inside), where=union > 0.0)
    table[np.all(a == b, axis=-1)] = 1.0
    return table
