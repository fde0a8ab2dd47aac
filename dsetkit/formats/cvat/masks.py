"""CVAT's masks: runs over the rows of the mask's own box, against COCO's over the columns of the whole picture.

``rle`` are whole numbers: background and object in turn, background first, row by row through the box ``left, top,
width, height`` (CVAT's ``XML annotation format``; CVAT trims the box to the object).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsetkit.geometry import rle
from dsetkit.spec.arrow import Row


class BoxMask(NamedTuple):
    """A mask as CVAT writes it, all in pixels."""

    runs: Sequence[int]
    left: int
    top: int
    width: int
    height: int


def to_picture(mask: BoxMask, width_px: int, height_px: int) -> tuple[Row, bool]:
    """The mask over a picture of that size (COCO RLE), and whether some of it lay outside and was cut off.

    Works on runs: nothing of the picture's size is made. Raises ``ValueError`` for runs that do not fill the box, and
    for a box or a picture that is empty or too large.
    """
    rle.check_size((height_px, width_px))
    rle.check_size((mask.height, mask.width))
    runs = np.asarray(mask.runs, np.int64)
    total = mask.width * mask.height
    if not len(runs) or runs.min() < 0 or runs.max() > total or int(runs.sum()) != total:
        raise ValueError(f"a mask's runs do not fill its {mask.width}×{mask.height} pixels exactly")
    on = np.zeros(len(runs), np.bool_)
    on[1::2] = True
    inside = np.repeat(on, runs).reshape(mask.height, mask.width)
    drawn = int(np.count_nonzero(inside))
    x0, y0 = max(0, -mask.left), max(0, -mask.top)
    x1, y1 = min(mask.width, width_px - mask.left), min(mask.height, height_px - mask.top)
    if x0 >= x1 or y0 >= y1:
        inside, left, top = np.zeros((1, 1), np.bool_), 0, 0
    else:
        inside, left, top = inside[y0:y1, x0:x1], mask.left + x0, mask.top + y0
    cut = int(np.count_nonzero(inside)) < drawn
    return rle.from_uncompressed(_column_runs(inside, left, top, width_px, height_px), (height_px, width_px)), cut


def _column_runs(inside: NDArray[np.bool_], left: int, top: int, width_px: int, height_px: int) -> list[int]:
    """Run lengths down the picture's columns, of an object that lies within it."""
    height, width = inside.shape
    padded = np.zeros((width, height + 2), np.int8)
    padded[:, 1:-1] = inside.T
    steps = np.diff(padded, axis=1)
    columns, rows = np.nonzero(steps)  # start and end in turn, column by column
    places = (left + columns.astype(np.int64)) * height_px + top + rows
    starts, ends = places[0::2], places[1::2]
    # A run that ends at the foot of a column goes on in the next where that starts at the head.
    joined = starts[1:] == ends[:-1]
    starts = starts[np.concatenate(([True], ~joined))] if len(starts) else starts
    ends = ends[np.concatenate((~joined, [True]))] if len(ends) else ends
    bounds = np.stack((starts, ends), axis=1).reshape(-1)
    edges = np.concatenate(([0], bounds, [width_px * height_px]))
    lengths: list[int] = np.diff(edges).tolist()
    if lengths[-1] == 0:
        lengths.pop()
    return lengths


def from_picture(mask: Row) -> BoxMask | None:
    """The mask as CVAT writes it; None for one without a pixel. Raises ``ValueError`` for a broken one."""
    box = rle.mask_bbox(mask)
    if box is None:
        return None
    left, top, width, height = map(int, box)
    flat = rle.decode(mask)[top : top + height, left : left + width].reshape(-1)
    changes = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    edges = np.concatenate(([0], changes, [len(flat)]))
    runs: list[int] = np.diff(edges).tolist()
    return BoxMask([0, *runs] if flat[0] else runs, left, top, width, height)
