"""Counts over fixed bins: the bins of a quantity never depend on the data, so two versions can be compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """How often a quantity fell into each bin; bin ``i`` holds ``edges[i] <= value < edges[i + 1]``.

    Values below the first edge are counted in the first bin, values from the last edge on in the last.
    """

    edges: tuple[float, ...]
    """One more than there are bins, ascending."""
    counts: tuple[int, ...]
    unit: str = ""
    """Of the edges: ``px``, ``annotations``, ...; empty for a number without one."""

    @classmethod
    def empty(cls, edges: tuple[float, ...], unit: str = "") -> Histogram:
        """Nothing counted yet."""
        return cls(edges, (0,) * (len(edges) - 1), unit)

    @property
    def total(self) -> int:
        """All values counted."""
        return sum(self.counts)

    def __add__(self, other: Histogram) -> Histogram:
        """Both counted together. Raises ``ValueError`` for other bins."""
        if (self.edges, self.unit) != (other.edges, other.unit):
            raise ValueError("histograms with other bins cannot be added")
        return Histogram(self.edges, tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)), self.unit)

    def counting(self, values: Floats) -> Histogram:
        """With ``values`` (float64 [n]) counted too."""
        bins = np.bincount(_bins(self.edges, values), minlength=len(self.counts))
        return self + Histogram(self.edges, tuple(bins.tolist()), self.unit)


@dataclass(frozen=True)
class Grid:
    """How often a pair of quantities fell into each cell; outliers are counted in the outermost cells."""

    x_edges: tuple[float, ...]
    y_edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]
    """``counts[y][x]``, row 0 the lowest y."""

    @classmethod
    def empty(cls, x_edges: tuple[float, ...], y_edges: tuple[float, ...]) -> Grid:
        """Nothing counted yet."""
        return cls(x_edges, y_edges, ((0,) * (len(x_edges) - 1),) * (len(y_edges) - 1))

    @property
    def total(self) -> int:
        """All pairs counted."""
        return sum(map(sum, self.counts))

    @property
    def per_x(self) -> tuple[int, ...]:
        """Counts per bin of x, over all y."""
        return tuple(sum(row[place] for row in self.counts) for place in range(len(self.x_edges) - 1))

    @property
    def per_y(self) -> tuple[int, ...]:
        """Counts per bin of y, over all x."""
        return tuple(map(sum, self.counts))

    def __add__(self, other: Grid) -> Grid:
        """Both counted together. Raises ``ValueError`` for other bins."""
        if (self.x_edges, self.y_edges) != (other.x_edges, other.y_edges):
            raise ValueError("grids with other bins cannot be added")
        rows = zip(self.counts, other.counts, strict=True)
        return Grid(
            self.x_edges, self.y_edges, tuple(tuple(a + b for a, b in zip(*pair, strict=True)) for pair in rows)
        )

    def counting(self, x: Floats, y: Floats) -> Grid:
        """With the pairs ``x[i], y[i]`` (float64 [n]) counted too."""
        width, height = len(self.x_edges) - 1, len(self.y_edges) - 1
        cells = _bins(self.y_edges, y) * width + _bins(self.x_edges, x)
        rows = np.bincount(cells, minlength=width * height).reshape(height, width).tolist()
        return self + Grid(self.x_edges, self.y_edges, tuple(map(tuple, rows)))


def _bins(edges: tuple[float, ...], values: Floats) -> npt.NDArray[np.int64]:
    places = np.searchsorted(np.asarray(edges, np.float64), values, side="right").astype(np.int64)
    bins: npt.NDArray[np.int64] = np.clip(places - 1, 0, len(edges) - 2)
    return bins


def _doubling(first: float, last: float) -> tuple[float, ...]:
    """Two bins a doubling, at readable numbers: 1, 1.5, 2, 3, 4, 6, 8, ...; exact in binary."""
    edges = [first]
    while edges[-1] < last:
        edges.append(edges[-2] * 2 if len(edges) > 1 else first * 1.5)
    return tuple(edges)


PIXEL_EDGES = _doubling(8.0, 16384.0)
"""Sides of pictures, pixels."""

UNIT_EDGES = tuple(place / 40 for place in range(41))
"""A number from 0 to 1, in steps of 1/40."""

POSITION_EDGES = tuple(place / 20 for place in range(21))
"""A place from 0 (left, top) to 1 (right, bottom), in steps of 1/20."""

SHARE_EDGES = (0.0, *_doubling(1 / 256, 1.0))
"""A box's side as a share of the picture's, two bins a doubling: many boxes are small."""

HISTOGRAMS = {
    "sharpness": Histogram.empty((0.0, *_doubling(1.0, 65536.0)), "grey levels²"),
    "brightness": Histogram.empty(UNIT_EDGES),
    "contrast": Histogram.empty(tuple(edge / 2 for edge in UNIT_EDGES)),
    "short_side_px": Histogram.empty(PIXEL_EDGES, "px"),
    "annotations_per_sample": Histogram.empty((*map(float, range(16)), *_doubling(16.0, 4096.0)), "annotations"),
}
"""The quantities that have a histogram, nothing counted."""

PICTURE_SIZES = Grid.empty(PIXEL_EDGES, PIXEL_EDGES)
BOX_SIZES = Grid.empty(SHARE_EDGES, SHARE_EDGES)
BOX_CENTERS = Grid.empty(POSITION_EDGES, POSITION_EDGES)
