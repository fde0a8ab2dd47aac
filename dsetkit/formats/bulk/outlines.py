"""Of the polygons of many annotations, the one ring that formats keep that know no parts and no holes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from dsetkit.formats.annotation_columns import Floats, Ints, ranges
from dsetkit.formats.bulk.arrays import Bools, numpy_of, opened
from dsetkit.geometry.polygons import ring_area


class KeptRings:
    """The largest ring of each annotation of a column of ``polygons``; ``is_polygon`` says whose are looked at."""

    def __init__(self, column: pa.ListArray, is_polygon: Bools) -> None:
        part_starts, rings = opened(column)
        ring_starts, lines = opened(rings)
        self.number_starts: Ints = np.asarray(lines.offsets).astype(np.int64)
        self.flat: Floats = numpy_of(lines.values)
        self.parts: Ints = np.diff(part_starts)
        """How many parts each annotation has."""
        owner = np.repeat(np.arange(len(column)), self.parts)
        has_holes = np.zeros(len(column), np.bool_)
        has_holes[owner[np.diff(ring_starts) != 1]] = True  # or no ring at all
        ring = np.zeros(len(column), np.int64)
        one = (self.parts > 0) & ~has_holes
        ring[one] = ring_starts[part_starts[:-1][one]]
        lengths = np.diff(self.number_starts)
        several = np.flatnonzero(is_polygon & (self.parts > 1) & ~has_holes)
        if len(several):
            ring[several] += self._largest(ring[several], self.parts[several], lengths)
        self.starts: Ints = self.number_starts[ring]
        """Where the numbers of each annotation's ring start."""
        self.lengths: Ints = np.zeros(len(column), np.int64)
        """How many numbers its ring has; 0 where there is none, or one with holes."""
        self.lengths[one] = lengths[ring[one]]
        self.is_odd: Bools = is_polygon & (has_holes | (self.lengths == 0) | (self.lengths % 2 == 1))
        """Which polygons are not a list of points."""

    def numbers(self, annotations: Ints) -> Floats:
        """x and y of the rings of those annotations, one after another."""
        return self.flat[ranges(self.starts[annotations], self.lengths[annotations])]

    def _largest(self, first: Ints, counts: Ints, lengths: Ints) -> Ints:
        """Of rings that follow each other (``first`` and how many), the number of the one of the largest area."""
        rings = ranges(first, counts)
        sizes = lengths[rings]
        starts = np.cumsum(counts) - counts
        if (sizes % 2).any() or (sizes == 0).any():
            return np.array([self._exactly_largest(*run) for run in zip(first.tolist(), counts.tolist(), strict=True)])
        numbers = self.flat[ranges(self.number_starts[rings], sizes)]
        points = sizes // 2
        at = np.cumsum(points) - points
        x, y = (numbers[axis::2] - np.repeat(numbers[axis::2][at], points) for axis in (0, 1))
        following = np.arange(1, len(x) + 1)
        following[at + points - 1] = at
        terms = x * y[following] - y * x[following]
        areas = np.abs(np.add.reduceat(terms, at))
        error = np.maximum.reduceat(np.add.reduceat(np.abs(terms), at), starts) * 1e-9
        is_largest = (areas >= np.repeat(np.maximum.reduceat(areas, starts) - error, counts)).astype(np.int64)
        largest: Ints = np.flatnonzero(is_largest)[np.cumsum(np.add.reduceat(is_largest, starts)) - 1] - starts
        # Sums in another order differ in their last digits: where two areas are as good as equal, it is taken the
        # one that counts as the largest wherever rows are carried.
        for close in np.flatnonzero(np.add.reduceat(is_largest, starts) > 1).tolist():
            largest[close] = self._exactly_largest(int(first[close]), int(counts[close]))
        return largest

    def _exactly_largest(self, first: int, count: int) -> int:
        areas = []
        for ring in range(first, first + count):
            areas.append(ring_area(self.flat[self.number_starts[ring] : self.number_starts[ring + 1]].tolist()))
        return areas.index(max(areas))
