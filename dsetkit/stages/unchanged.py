"""Which shards of the snapshot before hold just the samples and labels that are read now, told column by column.

Their rows are taken over as they stand: nothing of them becomes a row in Python.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.formats.frames import Frame, is_stored_frame
from dsetkit.snapshots.read import Snapshot
from dsetkit.snapshots.sound import SoundFiles
from dsetkit.spec.arrow import Row, arrow_schema, rows_from_table, table_from_rows
from dsetkit.spec.sample import Sample
from dsetkit.stages.memory import PICTURE_FIELDS

_SIZE = ("width_px", "height_px")
_SET_HERE = frozenset((*PICTURE_FIELDS, "key", "provenance", "made_from", "shard", "offset_bytes", "row_digest"))
_GIVEN = tuple(name for name in arrow_schema(Sample).names if name not in _SET_HERE)
"""What a row has from its labels alone."""
_MEASURED = tuple(name for name in PICTURE_FIELDS if name not in _SIZE)


class Stretch(NamedTuple):
    """Labels that follow each other, numbers ``start`` to before ``stop``."""

    start: int
    stop: int
    shard: pa.Table | None
    """Their rows in the snapshot before, where those are a whole shard and still the same."""


class Source(NamedTuple):
    """What decides, besides labels, what becomes of them."""

    prefix: str
    """Of keys: the source's name and a slash."""
    frame: Frame
    provenance: Callable[[Row, str], Row]
    """Of a row of labels and the picture's path."""
    made_from: Callable[[str], str | None]
    """Of the picture's path; None for one that is not there."""


def stretches(labels: pa.Table, source: Source, known: Snapshot | None, sound: SoundFiles) -> Iterator[Stretch]:
    """All labels (schema of ``Sample``, key order), cut into what is as it was and what may not be.

    ``known`` was made of the same source without a contract of its own; None: nothing is known.
    """
    count, at = labels.num_rows, 0
    if known is not None and all(_is_silent(labels[name]) for name in _MEASURED):
        keys = labels["key"].to_pylist()
        for part, shard in known.iter_shard_rows():
            first = shard["key"][0].as_py().removeprefix(source.prefix)
            start = bisect_left(keys, first, at)
            stop = start + shard.num_rows
            if stop > count or not sound.is_sound(known.folder, part.name, part.digest):
                continue
            if _is_same(labels.slice(start, shard.num_rows), keys[start:stop], shard, source):
                if at < start:
                    yield Stretch(at, start, None)
                yield Stretch(start, stop, shard)
                at = stop
    if at < count:
        yield Stretch(at, count, None)


def _is_same(labels: pa.Table, paths: list[str], shard: pa.Table, source: Source) -> bool:
    """Whether ingesting these labels would give just these rows, and no issue."""
    if shard["key"].to_pylist() != [source.prefix + path for path in paths]:
        return False
    if shard["made_from"].to_pylist() != [source.made_from(path) for path in paths]:
        return False
    if not all(_is_equal(labels[name], shard[name]) for name in _GIVEN):
        return False
    given = rows_from_table(labels.select(["provenance"]), Sample)
    rows = [{"key": "", "provenance": source.provenance(row, path)} for row, path in zip(given, paths, strict=True)]
    return _is_equal(table_from_rows(rows, Sample)["provenance"], shard["provenance"]) and _fits(labels, shard, source)


def _fits(labels: pa.Table, shard: pa.Table, source: Source) -> bool:
    """Whether all labels are of the upright picture, and of its size where they declare one."""
    declared, upright = ([table[name] for name in _SIZE] for table in (labels, shard))
    as_is = pc.and_(pc.equal(declared[0], upright[0]), pc.equal(declared[1], upright[1]))
    turned = pc.and_(pc.equal(declared[0], upright[1]), pc.equal(declared[1], upright[0]))
    if not pc.all(pc.fill_null(pc.or_(as_is, turned), True), min_count=0).as_py():
        return False
    orientations = shard["exif_orientation"]
    is_turned = pc.fill_null(pc.greater(orientations, 1), False)
    sizes = zip(*(column.filter(is_turned).to_pylist() for column in (*declared, *upright, orientations)), strict=True)
    return not any(
        is_stored_frame(source.frame, None if None in (w, h) else (w, h), (width, height), orientation)
        for w, h, width, height, orientation in sizes
    )


def _is_silent(column: pa.ChunkedArray) -> bool:
    if pa.types.is_list(column.type):
        return not pc.any(pc.greater(pc.list_value_length(column), 0)).as_py()
    return bool(column.null_count == len(column))


def _is_equal(first: pa.ChunkedArray, second: pa.ChunkedArray) -> bool:
    """Whether two columns are the same to the bit: Arrow takes 0.0 and −0.0 for equal."""
    if not first.equals(second):
        return False
    signs = ([np.signbit(floats) for floats in _floats(column.combine_chunks())] for column in (first, second))
    return all(np.array_equal(one, other) for one, other in zip(*signs, strict=True))


def _floats(array: pa.Array) -> Iterator[np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """The numbers with a point anywhere in an array, a leaf at a time; nulls as 0.0."""
    if pa.types.is_list(array.type):
        yield from _floats(array.flatten())
    elif pa.types.is_struct(array.type):
        for child in array.flatten():
            yield from _floats(child)
    elif pa.types.is_floating(array.type):
        yield pc.fill_null(array, 0.0).to_numpy(zero_copy_only=False)
