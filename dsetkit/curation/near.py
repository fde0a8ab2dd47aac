"""Pictures that are equal, or look alike, found in columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dsetkit.curation.bands import bands_for, candidates
from dsetkit.curation.groups import Ints, clusters, connect, connect_equal
from dsetkit.spec.arrow import Row

FLAT_CONTRAST = 0.01
"""A picture with less contrast shows next to nothing: its hash is made of noise and like any other's.

Measured on 405 aerial pictures of ships, whose file names say which are twins: a bound of 0.02 misses 14 of 310
pairs of twins that are found without, and spares no false pair.
"""
ASPECT_TOLERANCE = 0.05
"""By what share of the larger one the aspect ratios of pictures that are alike may differ."""
STRETCHED = 2
"""Up to so many bits apart pictures are alike whatever their aspect: one was stretched, as tools do that bring all
pictures to a square. Measured: of pairs of differing aspect all 10 up to here were twins, and none of the 12 at 4.
"""
TINY_PX = 32
"""Pictures with a shorter side below this, the side of what is hashed, are alike only if their hashes are equal.

Measured on 10,000 digits of 28×28 px: at 4 bits 1,016 of them would hang together as one cluster.
"""

NEAR_COLUMNS = ("phash", "width_px", "height_px", "contrast")
"""What is looked at."""

MOST_PAIRS = 1 << 22
"""Of more pairs at a time those are let go that connect nothing new, as in frames of one camera."""

_NONE: Ints = np.empty(0, dtype=np.int64)


def find_exact(digests: Iterable[str | None]) -> list[Ints]:
    """Clusters (of two and more rows) of equal bytes; rows without a digest are equal to nothing."""
    values = list(digests)
    return clusters(connect(len(values), *connect_equal(values)))


def find_near(table: pa.Table, distance: int) -> tuple[Ints, Ints]:
    """Pairs of rows that look alike, as two int64 arrays, ``left[i] < right[i]``, sorted.

    Alike: the ``phash`` of both differs in at most ``distance`` of 64 bits (of tiny pictures in none), the aspect
    ratios by at most 5 % (or the hashes by at most ``STRETCHED`` bits), and neither picture is flat. ``table`` has
    ``NEAR_COLUMNS`` of ``Sample``; a row without a hash or size is like nothing, one without contrast is not taken for
    flat. All such pairs, but: rows whose hash and shape are equal give pairs with the first of them only, and of more
    than ``MOST_PAIRS`` some are replaced by others that connect the same rows.
    Measured with copies among random hashes, at a distance of 4: 100,000 rows take 0.1 s, 1,000,000 take 1 s and
    150 MB.
    """
    width, height = _floats(table, "width_px"), _floats(table, "height_px")
    with np.errstate(invalid="ignore", divide="ignore"):
        aspect = width / height
        flat = _floats(table, "contrast") < FLAT_CONTRAST
    usable = ~flat & np.isfinite(aspect) & (aspect > 0) & table.column("phash").is_valid().to_numpy()
    rows = np.flatnonzero(usable)
    hashes = np.asarray(table.column("phash").fill_null(0).to_numpy(), dtype=np.uint64)[rows]
    aspect = aspect[rows]
    limit = np.where(np.fmin(width, height)[rows] < TINY_PX, 0, distance).astype(np.uint8)
    first, inverse = _first_of_equal(hashes, aspect, limit)
    one, other = _pairs_within(hashes[first], aspect[first], limit[first], distance)
    left = np.concatenate((rows[first[inverse]], rows[first[one]]))
    right = np.concatenate((rows, rows[first[other]]))
    return _sorted_pairs(left, right, len(table))


def looks_alike(a: Row, b: Row, distance: int) -> bool:
    """Whether two rows that are not flat look alike; the same rule as that of ``find_near``."""
    sizes = [(int(row["width_px"]), int(row["height_px"])) for row in (a, b)]
    bits = (int(a["phash"]) ^ int(b["phash"])).bit_count()
    one, other = (width / height for width, height in sizes)
    same_aspect = abs(one - other) <= ASPECT_TOLERANCE * max(one, other)
    limit = 0 if min(map(min, sizes)) < TINY_PX else distance
    return bits <= limit and (same_aspect or bits <= STRETCHED)


def _first_of_equal(
    hashes: NDArray[np.uint64], aspect: NDArray[np.float64], limit: NDArray[np.uint8]
) -> tuple[Ints, Ints]:
    """The first place of each hash and shape there is, and for each row which of these it equals.

    One stands for all, so that many copies of one picture cost nothing.
    """
    order = np.lexsort((limit, aspect, hashes))  # stable: equal rows keep their order
    starts = np.ones(len(order), dtype=np.bool_)
    starts[1:] = False
    for values in (hashes, aspect, limit):
        in_order = values[order]
        starts[1:] |= in_order[1:] != in_order[:-1]
    inverse = np.empty(len(order), dtype=np.int64)
    inverse[order] = np.cumsum(starts) - 1
    return order[starts], inverse


def _pairs_within(
    hashes: NDArray[np.uint64], aspect: NDArray[np.float64], limit: NDArray[np.uint8], distance: int
) -> tuple[Ints, Ints]:
    """Pairs of places in the arrays; ``limit`` is how many bits each may be off."""
    left, right, held = [_NONE], [_NONE], 0
    for one, other, bits in candidates(hashes, bands_for(hashes, distance), distance):
        same = np.abs(aspect[one] - aspect[other]) <= ASPECT_TOLERANCE * np.maximum(aspect[one], aspect[other])
        alike = (bits <= np.minimum(limit[one], limit[other])) & (same | (bits <= STRETCHED))
        left.append(one[alike])
        right.append(other[alike])
        held += len(left[-1])
        if held > MOST_PAIRS:
            roots = connect(len(hashes), np.concatenate(left), np.concatenate(right))
            places = np.flatnonzero(roots != np.arange(len(roots)))
            left, right, held = [roots[places]], [places], 0
    return np.concatenate(left), np.concatenate(right)


def _sorted_pairs(left: Ints, right: Ints, count: int) -> tuple[Ints, Ints]:
    differ = left != right
    low, high = np.minimum(left, right)[differ], np.maximum(left, right)[differ]
    low, high = np.divmod(np.unique(low * count + high), max(count, 1))
    return low, high


def _floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    column: Any = table.column(name).cast(pa.float64()).fill_null(float("nan"))
    return np.asarray(column.to_numpy(), dtype=np.float64)
