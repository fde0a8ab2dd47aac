"""Pieces of COCO's annotations parsed by Arrow, straight into columns, on threads of their own.

Arrow reads JSON objects that follow one another, of fields and types told beforehand. So outlines are taken out of a
piece (``coordinates``), then what stands between two annotations, and those with a mask (``counts``), which are of
another type, are parsed apart. That every object stood for itself is proven by their number: were two of them one, a
comma would be missing. Whatever Arrow does not take (other fields, other types, no JSON), and the few things that it
takes and ``document`` does not or not so (numbers that are not finite, -0), make ``parse_piece`` give up: the piece is
then parsed as any other.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from dsetkit.formats.annotation_columns import Floats, Ints, Outlines, ranges
from dsetkit.formats.coco.coordinates import TakenOut, take_out
from dsetkit.formats.coco.shapes import LIMIT_PX, POLYGON_SLACK_PX
from dsetkit.formats.coco.stream import NotInPieces, parse_annotations

_BETWEEN = re.compile(rb"\}[ \t\r\n]*,[ \t\r\n]*\{")
_RUNS = b'"counts"'
_RING = pa.list_(pa.float64())
_SCHEMA = pa.schema(
    {
        "id": pa.int64(),
        "image_id": pa.int64(),
        "category_id": pa.int64(),
        "bbox": _RING,
        "segmentation": pa.list_(_RING),
        "area": pa.float64(),
        "iscrowd": pa.int64(),
        "ignore": pa.int64(),
        "score": pa.float64(),
    }
)
"""The fields of an annotation that is read in columns."""
_NEEDED = ("id", "image_id", "category_id")


class ParsedPiece(NamedTuple):
    """A piece of the annotations."""

    total: int
    """How many there are in it."""
    places: Ints
    """Which of them are the columns'."""
    table: pa.Table
    """Their fields but for ``bbox`` and ``segmentation``."""
    boxes: Floats
    """n × 4, as ``enclose`` makes them."""
    outlines: Outlines
    odd: list[tuple[int, dict[str, Any]]]
    """All others, with their places, as ``document`` parses them."""


def parse_piece(text: bytes | memoryview) -> ParsedPiece | None:
    """Annotations that follow one another with commas between them; None where they are not plain enough."""
    taken = take_out(text)
    parsed = None if taken is None else _tried(taken.rest, taken)
    return _tried(bytes(text), None) if parsed is None else parsed


def _tried(text: bytes, taken: TakenOut | None) -> ParsedPiece | None:
    found = _BETWEEN.search(text)
    try:
        return _parse([text] if found is None else text.split(found[0]), taken)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, NotInPieces):
        return None


def _whole(parts: list[bytes], place: int) -> bytes:
    """A part with the braces that went with what stood between."""
    return b"".join((b"{" if place else b"", parts[place], b"}" if place < len(parts) - 1 else b""))


def _parse(parts: list[bytes], taken: TakenOut | None) -> ParsedPiece | None:
    odd = [place for place, part in enumerate(parts) if _RUNS in part]
    if len(odd) * 2 > len(parts):
        return None
    others = set(odd)
    plain = [part for place, part in enumerate(parts) if place not in others] if odd else parts
    places = np.delete(np.arange(len(parts)), odd)
    ends = (b"{" if places[0] else b"", b"}" if places[-1] < len(parts) - 1 else b"")
    body = b"}\n{".join(plain).join(ends)
    table = pj.read_json(
        pa.BufferReader(body),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(body) + 1),
        parse_options=pj.ParseOptions(explicit_schema=_SCHEMA, unexpected_field_behavior="error"),
    ).combine_chunks()
    if table.num_rows != len(plain) or any(table[name].null_count for name in _NEEDED):
        return None
    boxes, rings = _boxes(table["bbox"].chunk(0)), _outlines(table["segmentation"].chunk(0))
    if boxes is None or rings is None or not _is_sound(_values(table["score"].chunk(0).drop_null())):
        return None
    texts: dict[int, int] = {}
    if taken is not None:
        marked = np.flatnonzero(rings.parts)
        if not _is_all(rings, taken):
            return None
        texts = dict(zip(places[marked].tolist(), range(len(marked)), strict=True))
        rings = taken.outlines._replace(parts=_spread(taken.outlines.parts, marked, len(places)))
    table = table.drop_columns(["bbox", "segmentation", "area"])
    is_wrong = (rings.parts == 0) & np.isnan(boxes[:, 0])  # it locates nothing
    enclosures = boxes
    while is_wrong.any() or enclosures is boxes:
        odd += places[is_wrong].tolist()
        keep = np.flatnonzero(~is_wrong)
        if len(keep) < len(places):
            places, table, boxes, rings = places[keep], table.take(pa.array(keep)), boxes[keep], _some_of(rings, keep)
        enclosures, is_wrong = enclose(rings, boxes)
    odd.sort()

    def original(place: int) -> bytes:
        text = _whole(parts, place)
        return text if taken is None or place not in texts else taken.put_back(text, texts[place])

    return ParsedPiece(
        len(parts),
        places,
        table.combine_chunks(),
        enclosures,
        rings,
        [(place, _annotation(original(place))) for place in odd],
    )


def _is_all(rings: Outlines, taken: TakenOut) -> bool:
    """Whether the outlines of a piece are the marks for those that were taken out of it, and all of them."""
    is_mark = bool((rings.parts <= 1).all() and (rings.lengths == 1).all() and (rings.flat == int(taken.mark)).all())
    return is_mark and len(rings.flat) == len(taken.texts)


def _spread(values: Ints, places: Ints, count: int) -> Ints:
    spread = np.zeros(count, np.int64)
    spread[places] = values
    return spread


def enclose(outlines: Outlines, given: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Boxes (x, y, width, height; n × 4) of annotations, and of which of them there is something to note.

    As ``shapes.read_shape``: the box that is given (NaN where none is) counts if it is the outline's own within
    ``POLYGON_SLACK_PX``. Noted are others, coordinates beyond ``LIMIT_PX``, and rings that are empty or of half pairs.
    """
    own = np.full(given.shape, np.nan)
    is_wrong = cast("npt.NDArray[np.bool_]", ((given > LIMIT_PX) | (given < -LIMIT_PX)).any(axis=1))
    is_outline = outlines.parts > 0
    if is_outline.any():
        first_rings = (np.cumsum(outlines.parts) - outlines.parts)[is_outline]
        is_broken = (outlines.lengths & 1 == 1) | (outlines.lengths == 0)
        if is_broken.any():
            is_wrong[is_outline] |= np.logical_or.reduceat(is_broken, first_rings)
            return own, is_wrong
        first_points = ((np.cumsum(outlines.lengths) - outlines.lengths) // 2)[first_rings]
        x, y = outlines.flat[0::2], outlines.flat[1::2]
        left, top = np.minimum.reduceat(x, first_points), np.minimum.reduceat(y, first_points)
        right, bottom = np.maximum.reduceat(x, first_points), np.maximum.reduceat(y, first_points)
        own[is_outline] = np.stack([left, top, right - left, bottom - top], axis=1)
        is_wrong[is_outline] |= (np.minimum(left, top) < -LIMIT_PX) | (np.maximum(right, bottom) > LIMIT_PX)
    corners = given[:, :2] - own[:, :2]
    others = given[:, :2] + given[:, 2:] - own[:, :2] - own[:, 2:]
    apart = np.maximum(np.abs(corners), np.abs(others)).max(axis=1)
    is_given = ~np.isnan(given[:, :1])
    return np.where(is_given, given, own), is_wrong | (apart > POLYGON_SLACK_PX)


def _annotation(text: bytes) -> dict[str, Any]:
    parsed = parse_annotations(text)
    if len(parsed) != 1:
        raise NotInPieces
    return parsed[0]


def _boxes(column: pa.ListArray) -> Floats | None:
    """n × 4 numbers, NaN where there is no box."""
    lengths = _values(pc.fill_null(pc.list_value_length(column), 0))
    flat = column.flatten()
    if not np.isin(lengths, (0, 4)).all() or flat.null_count or not _is_sound(_values(flat)):
        return None
    boxes = np.full((len(lengths), 4), np.nan)
    boxes[lengths == 4] = _values(flat).reshape(-1, 4)
    return boxes


def _outlines(column: pa.ListArray) -> Outlines | None:
    rings = column.flatten()
    flat = rings.flatten()
    numbers = _values(flat)
    if rings.null_count or flat.null_count or not _is_sound(numbers):
        return None
    parts = _values(pc.fill_null(pc.list_value_length(column), 0)).astype(np.int64)
    return Outlines(parts, _values(pc.list_value_length(rings)).astype(np.int64), numbers)


def _some_of(rings: Outlines, keep: Ints) -> Outlines:
    ring = ranges((np.cumsum(rings.parts) - rings.parts)[keep], rings.parts[keep])
    number = ranges((np.cumsum(rings.lengths) - rings.lengths)[ring], rings.lengths[ring])
    return Outlines(rings.parts[keep], rings.lengths[ring], rings.flat[number])


def _is_sound(numbers: Floats) -> bool:
    """Whether all are finite, and none is -0, which is 0 where it is written as a whole number."""
    return bool(np.isfinite(numbers).all() and not (np.signbit(numbers) & (numbers == 0.0)).any())


def _values(array: pa.Array) -> Any:
    return cast("Any", array.to_numpy(zero_copy_only=False))
