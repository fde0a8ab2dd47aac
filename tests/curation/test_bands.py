from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.curation import bands
from dsetkit.curation.bands import bands_for, candidates

Values = list[int]


@st.composite
def hashes(draw: st.DrawFn) -> Values:
    """Hashes of which many are a few bits apart."""
    base = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
    bits = st.sets(st.integers(0, 63), max_size=9)
    return [draw(st.sampled_from(base)) ^ sum(1 << bit for bit in draw(bits)) for _ in range(draw(st.integers(0, 24)))]


def wanted(values: Values, distance: int) -> list[tuple[int, int, int]]:
    pairs = [(i, j, (values[i] ^ values[j]).bit_count()) for j in range(len(values)) for i in range(j)]
    return sorted(pair for pair in pairs if pair[2] <= distance)


def got(values: Values, masks: list[int], distance: int) -> list[tuple[int, int, int]]:
    array = np.array(values, dtype=np.uint64)
    found = []
    for one, other, bits in candidates(array, masks, distance):
        found += [
            (min(i, j), max(i, j), k) for i, j, k in zip(one.tolist(), other.tolist(), bits.tolist(), strict=True)
        ]
    return sorted(found)


@given(hashes(), st.integers(0, 16), st.integers(1, 3))
def test_every_near_pair_is_found_once_and_no_other(values: Values, distance: int, blocks: int) -> None:
    assert got(values, bands._masks(distance, blocks), distance) == wanted(values, distance)


@pytest.mark.parametrize("chunk_rows", [1, 3, 64])
def test_pairs_across_chunks_are_found(monkeypatch: pytest.MonkeyPatch, chunk_rows: int) -> None:
    monkeypatch.setattr(bands, "_CHUNK_ROWS", chunk_rows)
    random = np.random.default_rng(0)
    values = [int(value) & 0xFF for value in random.integers(0, 256, 200)]  # all in one bucket of most tables
    assert got(values, bands._masks(3, 1), 3) == wanted(values, 3)


@given(st.integers(0, 16), st.integers(1, 3), st.sets(st.integers(0, 63), max_size=16))
def test_a_mask_is_left_whole_by_that_many_changed_bits(distance: int, blocks: int, changed: set[int]) -> None:
    spoiled = sum(1 << bit for bit in sorted(changed)[:distance])
    assert any(not mask & spoiled for mask in bands._masks(distance, blocks))


def test_more_blocks_are_taken_when_one_would_leave_too_much_to_compare() -> None:
    random = np.random.default_rng(0)
    few = random.integers(0, 2**64, 200, dtype=np.uint64)
    many = random.integers(0, 2**64, 300_000, dtype=np.uint64)
    assert len(bands_for(few, 4)) == 5
    assert len(bands_for(many, 8)) == 45
    # Alike in their upper half, as pictures of one place are: what is compared is counted, not reckoned.
    alike = few[0] & np.uint64(0xFFFFFFFF00000000) | (many[:20_000] & np.uint64(0xFFFFFFFF))
    assert len(bands_for(many[:20_000], 4)) == 5 < len(bands_for(alike, 4))
