"""Masks as COCO run-length encoding: ``{"size": [height, width], "counts": text}``, column by column.

The text form is that of ``pycocotools`` (``rleToString`` in cocoapi's ``maskApi.c``): five bits a character, the least
significant first, bit 5 says that more follow, the last character's bit 4 is the sign, and from the fourth run on the
difference from the run two before is stored. It is parsed here and not by ``pycocotools``, whose C code trusts it:
nothing is allocated for a mask before its runs are known to fill exactly the size it declares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from dsetkit.geometry.polygons import clip_parts, has_area

if TYPE_CHECKING:
    from dsetkit.spec.arrow import Row

MAX_PIXELS = 178_956_970
"""A mask that declares more is refused (twice the default limit of a picture)."""

_MAX_CHARACTERS = 7  # of one run: 35 bits, enough for any run within MAX_PIXELS


def check_size(size: Any, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Height and width as two integers above 0. Raises ``ValueError`` for anything else or more than ``max_pixels``."""
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise ValueError("a mask's size is [height, width]")
    if any(isinstance(side, bool) or not isinstance(side, int | np.integer) for side in size):
        raise ValueError(f"a mask's size is two whole numbers, not {size[0]!r:.40} and {size[1]!r:.40}")
    height, width = int(size[0]), int(size[1])
    if height <= 0 or width <= 0 or height * width > max_pixels:
        raise ValueError(f"a mask of {width}×{height} pixels is empty or above the limit of {max_pixels} pixels")
    return height, width


def runs(mask: Row, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.int64]:
    """The mask's run lengths, int64 of shape (n,): background and object in turn, background first, maybe 0 long.

    Raises ``ValueError`` for a size or text that is not a mask: wrong characters, a run cut off or below 0, runs that
    do not add up to height × width.
    """
    height, width = check_size(mask.get("size"), max_pixels)
    counts = mask.get("counts")
    if isinstance(counts, bytes):
        counts = counts.decode("ascii", "replace")
    if not isinstance(counts, str):
        raise ValueError("a mask's counts are a text of compressed run lengths")
    # Two runs a pixel at most would be sensible; runs of 0 are allowed but not without bound.
    if not counts or len(counts) > _MAX_CHARACTERS * (2 * height * width + 2):
        raise ValueError("a mask's counts are empty or longer than any mask of its size")
    codes = np.frombuffer(counts.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int64) - 48
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 0x20:
        raise ValueError("a mask's counts are not COCO run-length encoding")
    ends = np.flatnonzero(codes & 0x20 == 0)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > _MAX_CHARACTERS:
        raise ValueError("a mask's counts hold a run longer than any picture")
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, lengths))
    values = np.add.reduceat((codes & 0x1F) << shifts, starts)
    values -= np.where(codes[ends] & 0x10, np.int64(1) << (5 * lengths), 0)
    # From index 3 on, values are differences: odd runs chain from index 1, even ones from index 2.
    # |value| < 2**35 and at most 2**31 of them, so int64 sums may wrap only past any valid mask; checked below.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    if values.min() < 0 or values.max() > height * width or int(values.sum()) != height * width:
        raise ValueError(f"a mask's runs do not fill its {width}×{height} pixels exactly")
    return values


def decode(mask: Row, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.bool_]:
    """The mask as a bool array of shape (height, width), True on the object.

    Raises ``ValueError`` (before allocating it) for a mask that is hostile or broken; see `runs`.
    """
    lengths = runs(mask, max_pixels=max_pixels)
    height, width = check_size(mask["size"], max_pixels)
    on = np.zeros(len(lengths), np.bool_)
    on[1::2] = True
    return np.ascontiguousarray(np.repeat(on, lengths).reshape(width, height).T)


def encode(array: NDArray[Any]) -> Row:
    """A mask row of an array of shape (height, width), any dtype; what is not 0 is the object.

    Raises ``ValueError`` for an array that is empty, too large, or not of two dimensions.
    """
    if array.ndim != 2:
        raise ValueError(f"a mask has two dimensions, not {array.ndim}")
    size = check_size([int(side) for side in array.shape])
    return _row(coco.encode(np.asfortranarray(array != 0, dtype=np.uint8)), size)


def encode_each(array: NDArray[Any]) -> dict[int, Row]:
    """A mask row for each value of a whole-number array of shape (height, width), by growing value.

    The array is gone through once, however many values it has. Raises ``ValueError`` as `encode` does.
    """
    if array.ndim != 2:
        raise ValueError(f"a picture of ids has two dimensions, not {array.ndim}")
    height, width = check_size([int(side) for side in array.shape])
    flat = np.ascontiguousarray(array.T).reshape(-1)
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    ends = np.append(starts[1:], len(flat))
    values = flat[starts]
    order = np.argsort(values, kind="stable")
    each, first = np.unique(values[order], return_index=True)
    out: dict[int, Row] = {}
    for value, places in zip(each.tolist(), np.split(order, first[1:]), strict=True):
        edges = np.stack((starts[places], ends[places]), axis=1).reshape(-1)
        counts = np.diff(edges, prepend=0, append=len(flat)).tolist()
        counts = counts if counts[-1] else counts[:-1]  # as `encode` has it
        packed = coco.frPyObjects({"counts": counts, "size": [height, width]}, height, width)
        out[int(value)] = _row(packed, (height, width))
    return out


def from_uncompressed(counts: Sequence[int], size: Sequence[int]) -> Row:
    """A mask row of COCO's uncompressed form: a list of run lengths, background first.

    Raises ``ValueError`` for counts that are not whole numbers from 0 that add up to height × width.
    """
    height, width = check_size(list(size))
    if not isinstance(counts, list | tuple) or len(counts) > 2 * height * width + 2:
        raise ValueError("a mask's uncompressed counts are a list, no longer than any mask of its size")
    kinds = set(map(type, counts))
    if any(kind is bool or not issubclass(kind, int) for kind in kinds) or (
        counts and not 0 <= min(counts) <= max(counts) <= height * width
    ):
        raise ValueError("a mask's uncompressed counts are whole numbers from 0 to its number of pixels")
    if sum(counts) != height * width:
        raise ValueError(f"a mask's runs do not fill its {width}×{height} pixels exactly")
    packed = coco.frPyObjects({"counts": list(counts), "size": [height, width]}, height, width)
    return _row(packed, (height, width))


def mask_area(mask: Row) -> int:
    """How many pixels the object has. Raises ``ValueError`` as `runs` does."""
    return int(runs(mask)[1::2].sum())


def mask_bbox(mask: Row) -> tuple[float, float, float, float] | None:
    """Upright enclosure x, y, width, height (whole pixels) of the object, or None where it has no pixel.

    Worked out on the runs alone, without decoding. Raises ``ValueError`` as `runs` does.
    """
    return runs_bbox(runs(mask), check_size(mask["size"])[0])


def runs_bbox(lengths: NDArray[np.int64], height: int) -> tuple[float, float, float, float] | None:
    """As `mask_bbox`, of the run lengths of a mask: background and object in turn, background first."""
    ends = np.cumsum(lengths)[1::2]
    first = ends - lengths[1::2]
    drawn = lengths[1::2] > 0
    first, last = first[drawn], ends[drawn] - 1
    if not len(first):
        return None
    left, right = int(first[0] // height), int(last[-1] // height)
    if np.any(first // height != last // height):  # a run goes round the foot of a column to the head of the next
        top, bottom = 0, height - 1
    else:
        top, bottom = int((first % height).min()), int((last % height).max())
    return float(left), float(top), float(right - left + 1), float(bottom - top + 1)


def mask_from_polygons(polygons: Sequence[Sequence[Sequence[float]]], size: Sequence[int]) -> Row:
    """A mask row of what polygons cover: the union of all parts, each without its holes.

    ``polygons`` is parts → rings → flat x, y (ring 0 the outline); ``size`` is height, width. Pixels are chosen by
    COCO's own rasteriser. Rings of fewer than three points cover nothing; what lies outside is cut away before it is
    drawn, so far-off coordinates cost nothing. Raises ``ValueError`` for a size out of bounds.
    """
    height, width = check_size(list(size))
    parts = clip_parts(polygons, width, height)
    if not parts:
        return encode(np.zeros((height, width), np.bool_))
    drawn: list[Any] = []
    for outline, *rest in parts:
        holes = [ring for ring in rest if has_area(ring)]
        packed = coco.frPyObjects([list(outline)], height, width)
        if holes:
            inside = coco.decode(packed)[:, :, 0] != 0
            cut = coco.merge(coco.frPyObjects([list(hole) for hole in holes], height, width))
            packed = [coco.encode(np.asfortranarray(inside & (coco.decode(cut) == 0), dtype=np.uint8))]
        drawn.extend(packed)
    return _row(coco.merge(drawn), (height, width))


def _row(packed: Any, size: tuple[int, int]) -> Row:
    return {"size": list(size), "counts": packed["counts"].decode("ascii")}
