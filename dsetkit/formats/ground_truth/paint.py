"""Masks of one picture into a label map of semantic segmentation, and what is left of them there.

A pixel is of one class, so where masks of two classes overlap one gives way: the larger mask to the smaller, then the
later to the earlier. Masks of one class are one mask. A map has a palette, whose index is the number of a class, as
long as there are at most 256 of these; of more classes it is in colours. Number 0 is ``BACKGROUND``, white.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.carry import carry_annotation
from dsetkit.formats.ground_truth.masks import BACKGROUND
from dsetkit.formats.label_maps import as_mask, size_of
from dsetkit.formats.loss import Ledger
from dsetkit.geometry import rle
from dsetkit.imaging.id_png import write_indexed
from dsetkit.imaging.palette import Color, category_colors
from dsetkit.imaging.pixels import pixels_to_png
from dsetkit.spec.annotation import is_outside
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category

Ids = NDArray[np.int32]
AREAS = frozenset({"mask", "polygon", "rotated_box", "ellipse"})
"""Kinds that a label map shows."""
_WHITE: Color = (255, 255, 255)
_PALETTE = 256
_SHARED = {"score": "warning", "origin": "info", "annotator": "info", "model": "info"}


def class_colors(categories: Sequence[Category]) -> dict[str, Color]:
    """A colour for each class, no two alike and none white: the category's own where it is free, else by its place."""
    wished = category_colors([item.model_copy(update={"index": place}) for place, item in enumerate(categories)])
    taken = {_WHITE}
    found: dict[str, Color] = {}
    spare = 0
    for category in categories:
        color = wished[category.name]
        while color in taken:
            color, spare = (spare >> 16 & 255, spare >> 8 & 255, spare & 255), spare + 1
        taken.add(color)
        found[category.name] = color
    return {**found, BACKGROUND: _WHITE}


def paint(row: Row, numbers: Mapping[str, int], able: Capabilities, ledger: Ledger) -> tuple[Row, Ids | None]:
    """The row with one mask a class for all that covers an area, and its map; none where its size is not known.

    Masks stand last, in order of their classes' ``numbers``. What cannot be painted, or is not in the frame, stays as
    it is, or is left out with a loss. ``able`` is what the format can carry, for losses of masks that become one.
    """
    size, key = size_of(row), row["key"]
    others: list[Row] = []
    masks: list[Row] = []
    for item in row.get("annotations", ()):
        if item["kind"] not in AREAS or item.get("category") not in numbers or is_outside(item):
            others.append(item)
            continue
        where = f"{key}#{item['id']}"
        if item["category"] == BACKGROUND:
            message = "BACKGROUND is what is nothing in a label map; masks of it are left out"
            ledger.add("mask-background", message, where)
            continue
        mask = as_mask(item, size, ledger, where)
        if mask is not None:
            (masks if mask["kind"] == "mask" else others).append(mask)
    try:
        ids = None if size is None else np.zeros(rle.check_size(size), np.int32)
    except ValueError:
        ids = None
    if ids is None or size is None:
        return {**row, "annotations": [*others, *masks]}, None
    shown = _paint(masks, ids, numbers, ledger, key)
    merged = [_merge(of_class, rle.encode(ids == numbers[name]), able, ledger, key) for name, of_class in shown.items()]
    merged.sort(key=lambda item: numbers[item["category"]])
    return {**row, "height_px": size[0], "width_px": size[1], "annotations": [*others, *merged]}, ids


def _paint(
    masks: Sequence[Row], ids: Ids, numbers: Mapping[str, int], ledger: Ledger, key: str
) -> dict[str, list[Row]]:
    """Paint the masks; those of which a pixel is left, by category."""
    areas = [rle.mask_area(item["mask"]) for item in masks]
    for at in sorted(range(len(masks)), key=lambda at: (-areas[at], -at)):
        ids[rle.decode(masks[at]["mask"])] = numbers[masks[at]["category"]]
    shown: dict[str, list[Row]] = {}
    for item, area in zip(masks, areas, strict=True):
        left = int(np.count_nonzero(ids[rle.decode(item["mask"])] == numbers[item["category"]]))
        if not left:
            message = "a mask that others hide has no pixel left of it in a label map; such masks are left out"
            ledger.add("mask-hidden", message, f"{key}#{item['id']}")
            continue
        if left < area:
            message = "masks overlap, and in a label map a pixel is of one class; the pixels of the others are left out"
            ledger.add("mask-overlap", message, f"{key}#{item['id']}")
        shown.setdefault(item["category"], []).append(item)
    return shown


def _merge(items: Sequence[Row], mask: Row, able: Capabilities, ledger: Ledger, key: str) -> Row:
    """The masks of one class as one, with what is said of all of them alike."""
    first = {**items[0], "mask": mask, "bbox_xywh_px": rle.mask_bbox(mask)}
    for item in items[1:]:
        message = "a label map has one mask a class; masks of one class become one"
        ledger.add("masks-merged", message, f"{key}#{item['id']}")
        carry_annotation(item, able, ledger, key)  # for its losses
    for name, severity in _SHARED.items():
        if any(item.get(name) != first.get(name) for item in items):
            message = f"masks of one class that become one have one {name}; it is left out where they differ"
            ledger.add(
                "field-dropped", message, f"{key}#{first['id']}", severity="info" if severity == "info" else "warning"
            )
            first.pop(name, None)
    return first


def map_png(ids: Ids, colors: Sequence[Color]) -> bytes:
    """The map as a PNG; ``colors`` by number."""
    if len(colors) <= _PALETTE:
        return write_indexed(ids.astype(np.uint8), colors)
    return pixels_to_png(np.array(colors, np.uint8)[ids])
