"""Key order over the parts of a manifest.

The parts of one group (originals, or variants) follow each other by key. Where there are two groups their key ranges
interleave, and rows are merged as they are read: at most the parts that overlap are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.spec.key import sort_key
from dsetkit.spec.snapshot import ManifestPart


def runs_of(parts: Sequence[ManifestPart]) -> list[list[int]]:
    """The parts' numbers, cut where a part does not follow the one before it by key."""
    runs: list[list[int]] = []
    for number, part in enumerate(parts):
        if number and sort_key(parts[number - 1].last_key) < sort_key(part.first_key):
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


def in_key_order(parts: Sequence[ManifestPart], read: Callable[[int], pa.Table]) -> Iterator[pa.Table]:
    """Tables that follow each other by key, all rows of all parts; ``read(number)`` gives a part with its ``key``.

    One table a part where the parts themselves follow each other.
    """
    if len(runs_of(parts)) <= 1:
        yield from (read(number) for number in range(len(parts)))
        return
    queue = sorted(range(len(parts)), key=lambda number: sort_key(parts[number].first_key))
    pending: pa.Table | None = None
    for place, number in enumerate(queue):
        table = read(number)
        if pending is not None and pending.num_rows:
            table = pa.concat_tables([pending, table])
            table = table.take(pc.sort_indices(table["key"]))
        if place + 1 == len(queue):
            yield table
            return
        ready = np.count_nonzero(pc.less(table["key"], parts[queue[place + 1]].first_key).to_numpy())
        if ready:
            yield table.slice(0, ready)
        pending = table.slice(ready).combine_chunks()
