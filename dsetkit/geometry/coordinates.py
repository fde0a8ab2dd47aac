"""Where an annotation is, as numbers, so that two of them can be told to be at the same place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsetkit.spec.arrow import Row

TOLERANCE_PX = 1e-6
"""Coordinates that differ by less are equal: formats round, and so do floats."""

GEOMETRY_FIELDS = (
    "bbox_xywh_px",
    "rotated_box",
    "ellipse",
    "polygons",
    "polyline",
    "points",
    "keypoints",
    "mask",
)
"""The fields that say where an annotation is."""

_SIDES = {"rotated_box": ("cx", "cy", "w", "h", "angle"), "ellipse": ("cx", "cy", "rx", "ry", "angle")}


def coordinates(ann: Row) -> tuple[list[Any], list[float]]:
    """What an annotation's place is made of, and its numbers in that order (pixels, degrees).

    The first is JSON: which shapes there are, of how many numbers, the names of keypoints (not their visibility), and
    a mask as it is, whose runs cannot be nearly equal. Two annotations whose first are equal have as many numbers.
    """
    numbers: list[float] = []
    shape: list[Any] = []

    def note(name: str, values: Sequence[float]) -> None:
        if len(values):
            shape.append([name, len(values)])
            numbers.extend(float(value) for value in values)

    note("box", ann.get("bbox_xywh_px") or ())
    for name, sides in _SIDES.items():
        if ann.get(name):
            note(name, [ann[name].get(side, 0.0) for side in sides])
    for part in ann.get("polygons") or ():
        shape.append("part")
        for ring in part:
            note("ring", ring)
    note("polyline", ann.get("polyline") or ())
    note("points", ann.get("points") or ())
    for point in ann.get("keypoints") or ():
        shape.append(point["name"])
        note("keypoint", (point["x"], point["y"]))
    if mask := ann.get("mask"):
        shape.append(["mask", *mask["size"], mask["counts"]])
    return shape, numbers


def are_close(a: Sequence[float], b: Sequence[float], tolerance_px: float = TOLERANCE_PX) -> bool:
    """Whether two equally long lists of numbers differ nowhere by more than the tolerance."""
    return all(abs(x - y) <= tolerance_px for x, y in zip(a, b, strict=True))


def is_same_place(a: Row, b: Row) -> bool:
    """Whether two annotations of one picture have the same shapes, to within ``TOLERANCE_PX``."""
    ours, theirs = coordinates(a), coordinates(b)
    return ours[0] == theirs[0] and are_close(ours[1], theirs[1])
