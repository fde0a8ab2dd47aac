"""Putting rows together that belong together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def connect(count: int, left: Ints, right: Ints) -> Ints:
    """For each of ``count`` rows the smallest row it is connected to, directly or through others.

    ``left`` and ``right`` are int64 arrays of one length: row ``left[i]`` is connected to row ``right[i]``. Every round
    hooks each tree onto the smallest it touches and then flattens all, so few rounds suffice (Shiloach and Vishkin).
    """
    root = np.arange(count, dtype=np.int64)
    while True:
        one, other = root[left], root[right]
        differ = one != other
        if not differ.any():
            return root
        left, right, one, other = left[differ], right[differ], one[differ], other[differ]
        np.minimum.at(root, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(up := root[root], root):
            root = up


def connect_equal(values: Iterable[Hashable | None]) -> tuple[Ints, Ints]:
    """Pairs of rows that connect all rows of equal value: each to the first that has it. None is equal to nothing."""
    first: dict[Hashable, int] = {}
    left: list[int] = []
    right: list[int] = []
    for index, value in enumerate(values):
        if value is None:
            continue
        known = first.setdefault(value, index)
        if known != index:
            left.append(known)
            right.append(index)
    return np.array(left, dtype=np.int64), np.array(right, dtype=np.int64)


def clusters(roots: Ints) -> list[Ints]:
    """The rows of each cluster of two and more, ascending; clusters in the order of their first row."""
    rows = np.flatnonzero(np.bincount(roots)[roots] > 1) if len(roots) else roots
    rows = rows[np.argsort(roots[rows], kind="stable")]
    starts = np.flatnonzero(np.diff(roots[rows], prepend=-1))
    return np.split(rows, starts[1:]) if len(rows) else []


def sort_rows(rows: Iterable[int], keys: Sequence[str]) -> list[int]:
    """Rows by key, in UTF-8 order (which is the order of code points)."""
    return sorted(rows, key=lambda row: keys[row])
