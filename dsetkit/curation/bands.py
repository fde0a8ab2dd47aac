"""Hashes that differ in few bits, among many.

Multi-index hashing (M. Norouzi, A. Punjani and D. J. Fleet, "Fast Search in Hamming Space with Multi-Index Hashing",
CVPR 2012), with several blocks a table: of ``distance + n`` blocks of bits at most ``distance`` can differ, so ``n`` of
them are equal. There is a table for each choice of ``n`` blocks, and only what is equal in these is compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from dsetkit.curation.groups import Ints

Hashes = NDArray[np.uint64]

_BITS = 64
_MOST_BLOCKS = 3
_SAMPLED_TABLES = 3
_CHUNK_ROWS = 1 << 15
"""Rows compared at a time: few enough to stay in a processor's cache."""
_ROW_COST = 25
"""What a row costs in a table (sorting, gathering), in comparisons; measured."""


def bands_for(hashes: Hashes, distance: int) -> list[int]:
    """Masks of bits, one a table: hashes that differ in at most ``distance`` bits are equal under at least one.

    Those with which the search should be quickest: equal in more blocks means more tables with fewer rows to compare
    in each. How many those are is counted in a few tables, because bits of pictures' hashes are not independent.
    """
    choices = [_masks(distance, blocks) for blocks in range(1, _MOST_BLOCKS + 1) if distance + blocks <= _BITS]
    return min(choices, key=lambda masks: _cost(hashes, masks))


def candidates(hashes: Hashes, masks: Sequence[int], distance: int) -> Iterator[tuple[Ints, Ints, NDArray[np.uint8]]]:
    """Every pair of places whose hashes differ in at most ``distance`` bits, once, with the number of these bits.

    Comes in batches, in no order. ``masks`` are those of ``bands_for``.
    """
    for number, mask in enumerate(masks):
        key = hashes & np.uint64(mask)
        order = np.argsort(key)
        in_order = hashes[order]
        for one, other in _near_in_table(key[order], in_order, distance):
            differing = in_order[one] ^ in_order[other]
            new = differing & np.uint64(mask) == 0
            for earlier in masks[:number]:
                new &= differing & np.uint64(earlier) != 0
            if new.any():
                yield order[one[new]], order[other[new]], np.bitwise_count(differing[new])


def _masks(distance: int, blocks: int) -> list[int]:
    bounds = np.linspace(0, _BITS, distance + blocks + 1).round().astype(np.int64).tolist()
    parts = [((1 << (high - low)) - 1) << low for low, high in pairwise(bounds)]
    return [sum(chosen) for chosen in combinations(parts, blocks)]


def _cost(hashes: Hashes, masks: Sequence[int]) -> float:
    """What the tables cost, in comparisons, as far as some of them tell."""
    sampled = masks[:: math.ceil(len(masks) / _SAMPLED_TABLES)]
    compared = 0
    for mask in sampled:
        _, counts = np.unique(hashes & np.uint64(mask), return_counts=True)
        compared += int(counts @ (counts - 1)) // 2
    return len(masks) * (len(hashes) * _ROW_COST + compared / len(sampled))


def _near_in_table(key: Hashes, hashes: Hashes, distance: int) -> Iterator[tuple[Ints, Ints]]:
    """Pairs of places in a table sorted by ``key`` that are near: all that share a key, and some that do not."""
    last = np.searchsorted(key, key, side="right")
    reach = last - np.arange(1, len(key) + 1)  # how many rows behind a row share its key
    differing, bits = np.empty(_CHUNK_ROWS, np.uint64), np.empty(_CHUNK_ROWS, np.uint8)
    for start in range(0, len(key), _CHUNK_ROWS):
        own = reach[start : start + _CHUNK_ROWS]
        far_first = np.argsort(-own)
        # How many rows there are to compare with the one behind them, the second behind them, ...
        counts = len(own) - np.searchsorted(own[far_first[::-1]], np.arange(1, own.max() + 1))
        for step, count in enumerate(counts.tolist(), start=1):
            if 4 * count > len(own):  # all of them then: what lies side by side takes a quarter of the time
                places = np.arange(min(len(own), len(key) - start - step))
                one, other = hashes[start : start + len(places)], hashes[start + step : start + step + len(places)]
            else:
                places = far_first[:count]
                one, other = hashes[start + places], hashes[start + step + places]
            np.bitwise_xor(one, other, out=differing[: len(places)])
            np.bitwise_count(differing[: len(places)], out=bits[: len(places)])
            near = np.flatnonzero(bits[: len(places)] <= distance)
            if len(near):
                yield start + places[near], start + step + places[near]
