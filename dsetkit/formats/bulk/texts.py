"""Many numbers as text."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.formats.annotation_columns import Floats, Ints
from dsetkit.formats.bulk.arrays import Bools

_Places = npt.NDArray[np.int32]

LEAST, MOST = 1e-4, 1e9
"""Of which sizes numbers are written alike by Python's ``repr`` and by Arrow: no exponent."""


def is_writable(values: Floats) -> Bools:
    """Which numbers ``texts`` writes as Python does."""
    sizes = np.abs(values)
    return cast("Bools", ((sizes >= LEAST) & (sizes < MOST)) | (values == 0.0))


def texts(values: Floats) -> pa.Array:
    """Numbers (all ``is_writable``) as text: the shortest digits that give them back, whole ones without a point."""
    distinct, at = _distinct_texts(values)
    return distinct if at is None else distinct.take(pa.array(at))


def woven(separators: pa.Array, which: Ints, values: Floats, starts: Ints) -> pa.StringArray:
    """One text for each run of numbers (all ``is_writable``): its numbers, each behind a separator.

    ``which`` is the separator of each number; ``starts`` is where each run starts and, last, where all end.
    """
    distinct, at = _distinct_texts(values)
    places = np.empty(2 * len(values), np.int32)
    places[0::2] = which
    places[1::2] = np.arange(len(values)) if at is None else at
    places[1::2] += len(separators)
    # What is taken lies in memory letter behind letter, so the texts are there already and only have to be marked off.
    return joined(pa.concat_arrays([separators, distinct]).take(pa.array(places)), 2 * starts)


def joined(parts: pa.StringArray, starts: Ints) -> pa.StringArray:
    """Texts that follow one another (none is null) as fewer, longer ones; ``starts`` as of ``woven``. Copies none."""
    ends, letters = np.zeros(1, np.int32), None
    if len(parts):
        _, offsets, letters = parts.buffers()
        ends = np.frombuffer(offsets, np.int32, len(parts) + 1, 4 * parts.offset)
    return pa.StringArray.from_buffers(len(starts) - 1, pa.py_buffer(ends[starts]), letters or pa.py_buffer(b""))


def _distinct_texts(values: Floats) -> tuple[pa.StringArray, _Places | None]:
    """Texts, and which of them is each number's; None: each has its own."""
    values = values + 0.0  # no -0
    hundredths = np.rint(values * 100.0)
    # A number that is the nearest to so many hundredths is written with at most two decimals, and most are: each such
    # text is made once. (n / 100 is rounded correctly, and of numbers below 2**53 the shortest text is unique.)
    low, high = (float(hundredths.min()), float(hundredths.max())) if len(values) else (0.0, 0.0)
    if high - low > len(values) / 2 or max(abs(low), abs(high)) > 2.0**50:
        return pc.cast(pa.array(values), pa.string()), None
    is_short = hundredths / 100.0 == values
    others = np.flatnonzero(~is_short)
    if len(others) > len(values) / 2:
        return pc.cast(pa.array(values), pa.string()), None
    known = np.arange(low, high + 1) / 100.0
    table = pc.cast(pa.array(np.concatenate([known + 0.0, values[others]])), pa.string())
    at = (hundredths - low).astype(np.int32)
    at[others] = len(known) + np.arange(len(others), dtype=np.int32)
    return table, at
