"""Label maps into masks: one number a pixel, 0 for what is nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsetkit.geometry import rle
from dsetkit.spec.arrow import Row

_MOST_RUNS = 16_000_000
"""A map of more runs than this is noise; its masks are then made one by one, which takes less memory."""


class Segments(NamedTuple):
    """What stands in one label map."""

    size: tuple[int, int]
    """Height and width, pixels."""
    masks: dict[int, Row]
    """Number → mask, of those that were asked for and are there."""
    others: dict[int, int]
    """Numbers that nobody asked for → pixels; at most ``MOST_OTHERS`` of them."""
    more: int = 0
    """How many more such numbers there are."""


MOST_OTHERS = 16


def masks_of(ids: NDArray[np.uint32], wanted: Iterable[int]) -> Segments:
    """The masks of a label map of shape (height, width). Raises ``ValueError`` for one that is too large."""
    height, width = rle.check_size(ids.shape)
    flat = np.asfortranarray(ids).reshape(-1, order="F")  # column by column, as masks go
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    asked = sorted({number for number in wanted if 0 < number < 2**32})
    if len(changes) > _MOST_RUNS:
        del changes
        found = {number: on for number in asked if (on := ids == number).any()}
        masks = {number: rle.encode(on) for number, on in found.items()}
        values, counts = np.unique(flat, return_counts=True)
    else:
        edges = np.concatenate(([0], changes + 1, [len(flat)]))
        kinds = flat[edges[:-1]]
        order = np.argsort(kinds, kind="stable")
        values, first = np.unique(kinds[order], return_index=True)
        groups = np.split(order, first[1:])
        places = dict(zip(values.tolist(), groups, strict=True))
        masks = {
            number: _mask(edges[places[number]], edges[places[number] + 1], (height, width))
            for number in asked
            if number in places
        }
        counts = np.array([int((edges[group + 1] - edges[group]).sum()) for group in groups])
    rest = [(value, count) for value, count in zip(values.tolist(), counts.tolist(), strict=True) if value]
    others = [item for item in rest if item[0] not in masks]
    return Segments((height, width), masks, dict(others[:MOST_OTHERS]), max(0, len(others) - MOST_OTHERS))


def _mask(starts: NDArray[np.int64], ends: NDArray[np.int64], size: tuple[int, int]) -> Row:
    bounds = np.stack((starts, ends), axis=1).reshape(-1)
    lengths: list[int] = np.diff(np.concatenate(([0], bounds, [size[0] * size[1]]))).tolist()
    return rle.from_uncompressed(lengths if lengths[-1] else lengths[:-1], size)
