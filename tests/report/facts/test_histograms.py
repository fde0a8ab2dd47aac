from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.recount import binned

from dsetkit.report.facts.histograms import BOX_CENTERS, BOX_SIZES, HISTOGRAMS, PICTURE_SIZES, Grid, Histogram

numbers = st.floats(-1e6, 1e6) | st.sampled_from([edge for one in HISTOGRAMS.values() for edge in one.edges])
GRIDS = {"picture_sizes": PICTURE_SIZES, "box_sizes": BOX_SIZES, "box_centers": BOX_CENTERS}


@given(name=st.sampled_from(sorted(HISTOGRAMS)), values=st.lists(numbers), cut=st.integers(0, 20))
def test_every_value_is_counted_once_however_they_come(name: str, values: list[float], cut: int) -> None:
    empty = HISTOGRAMS[name]
    whole = empty.counting(np.array(values, np.float64))
    assert whole.counts == binned(empty.edges, values)
    assert whole.total == sum(whole.counts) == len(values)
    parts = [empty.counting(np.array(part, np.float64)) for part in (values[:cut], values[cut:])]
    assert parts[0] + parts[1] == whole
    assert parts[0].counting(np.array(values[cut:], np.float64)) == whole


@given(name=st.sampled_from(sorted(GRIDS)), pairs=st.lists(st.tuples(numbers, numbers)), cut=st.integers(0, 20))
def test_every_pair_is_counted_once_however_they_come(name: str, pairs: list[tuple[float, float]], cut: int) -> None:
    empty = GRIDS[name]

    def count(some: list[tuple[float, float]]) -> Grid:
        x, y = np.array(some, np.float64).reshape(-1, 2).T
        return empty.counting(x, y)

    whole = count(pairs)
    assert whole.total == len(pairs)
    assert whole.per_x == binned(empty.x_edges, [x for x, _ in pairs])
    assert whole.per_y == binned(empty.y_edges, [y for _, y in pairs])
    assert count(pairs[:cut]) + count(pairs[cut:]) == whole
    for row, low in zip(whole.counts, empty.y_edges, strict=False):
        if any(row) and low > empty.y_edges[0] and low != empty.y_edges[-2]:
            assert all(number <= sum(y >= low for _, y in pairs) for number in row)


def test_a_cell_is_where_its_pair_is() -> None:
    grid = Grid.empty((0.0, 1.0, 2.0), (0.0, 1.0, 2.0, 3.0)).counting(np.array([1.5]), np.array([2.5]))
    assert grid.counts == ((0, 0), (0, 0), (0, 1))


def test_edges_ascend_and_are_exact() -> None:
    for edges in (*(one.edges for one in HISTOGRAMS.values()), *(one.x_edges for one in GRIDS.values())):
        assert list(edges) == sorted(set(edges))
    assert HISTOGRAMS["short_side_px"].edges[:5] == (8.0, 12.0, 16.0, 24.0, 32.0)
    assert BOX_SIZES.x_edges[-1] == BOX_CENTERS.x_edges[-1] == 1.0


def test_other_bins_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="other bins"):
        HISTOGRAMS["sharpness"] + HISTOGRAMS["contrast"]
    with pytest.raises(ValueError, match="other bins"):
        Histogram.empty((0.0, 1.0), "px") + Histogram.empty((0.0, 1.0), "")
    with pytest.raises(ValueError, match="other bins"):
        PICTURE_SIZES + BOX_SIZES
