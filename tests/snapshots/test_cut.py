"""Where shards and parts end."""

from __future__ import annotations

import hashlib
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.snapshots.cut import PART_ROWS, PartCutter, ShardCutter

DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
ITEMS = st.lists(st.tuples(DIGESTS, st.integers(0, 60_000)), max_size=60)
TARGET = 10_000


def shards_of(items: list[tuple[str, int]], target: int = TARGET) -> list[tuple[tuple[str, int], ...]]:
    cutter = ShardCutter(target)
    shards: list[list[tuple[str, int]]] = [[]]
    for item in items:
        shards[-1].append(item)
        if cutter.add(*item):
            shards.append([])
    return [tuple(shard) for shard in shards if shard]


def weight(items: tuple[tuple[str, int], ...]) -> int:
    return sum(max(size, -(-TARGET // 4096)) for _, size in items)


def test_a_shard_ends_where_the_digest_as_a_fraction_is_below_size_over_target() -> None:
    half = "8" + "0" * 63
    below_half = "7" + "f" * 63
    assert not ShardCutter(1000).add(half, 500)
    assert ShardCutter(1000).add(below_half, 500)
    assert ShardCutter(1000).add("f" * 64, 1000)  # the fraction is always below 1


def test_never_under_a_quarter_always_by_four_times() -> None:
    low, high = "0" * 64, "f" * 64
    cutter = ShardCutter(1000)
    assert [cutter.add(low, 100) for _ in range(3)] == [False, False, True]
    assert [cutter.add(high, 999) for _ in range(5)] == [False, False, False, False, True]


def test_only_the_first_eight_bytes_count_for_shards_the_next_eight_for_parts() -> None:
    assert ShardCutter(1000).add("0" * 16 + "f" * 48, 300)
    assert not ShardCutter(1000).add("f" * 16 + "0" * 48, 300)
    assert PartCutter(1000).add("f" * 16 + "0" * 16 + "f" * 32, 300)
    assert not PartCutter(1000).add("0" * 16 + "f" * 16 + "0" * 32, 300)


def test_a_part_aims_at_16384_rows() -> None:
    assert PartCutter().target == PART_ROWS == 16_384
    cutter = PartCutter()
    ends = [cutter.add("f" * 64, 1024) for _ in range(64)]
    assert ends.index(True) == 63


def test_tiny_pictures_make_no_endless_shard() -> None:
    cutter = ShardCutter(8 * 1024 * 1024)
    count = next(number for number in range(1, 100_000) if cutter.add("f" * 64, 0))
    assert count == 16_384


@given(ITEMS)
def test_shards_hold_what_came_within_their_bounds(items: list[tuple[str, int]]) -> None:
    shards = shards_of(items)
    assert [item for shard in shards for item in shard] == items
    for shard in shards[:-1]:
        assert 4 * weight(shard) >= TARGET
        assert weight(shard[:-1]) < 4 * TARGET


@given(ITEMS, ITEMS, ITEMS)
def test_after_a_common_end_all_goes_on_alike(
    one: list[tuple[str, int]], other: list[tuple[str, int]], rest: list[tuple[str, int]]
) -> None:
    end = ("0" * 64, TARGET)
    alike = shards_of(rest)
    for before in (one, other):
        shards = shards_of([*before, end, *rest])
        assert shards[len(shards) - len(alike) :] == alike


@pytest.mark.parametrize("edit", ["insert", "delete"])
def test_one_sample_more_or_less_changes_the_shards_near_it(edit: str) -> None:
    generator = random.Random(1)
    items = [(hashlib.sha256(f"{n}".encode()).hexdigest(), generator.randrange(50, 1500)) for n in range(4000)]
    before = set(shards_of(items))
    new = []
    for trial in range(150):
        place = generator.randrange(len(items))
        changed = items.copy()
        if edit == "insert":
            changed.insert(place, (hashlib.sha256(f"new {trial}".encode()).hexdigest(), 700))
        else:
            del changed[place]
        new.append(len(set(shards_of(changed)) - before))
    assert max(new) <= 2
    assert sum(new) / len(new) < 1.2


def test_average_shard_is_about_the_target() -> None:
    generator = random.Random(2)
    items = [(generator.randbytes(32).hex(), 100) for _ in range(100_000)]
    sizes = [weight(shard) for shard in shards_of(items)]
    assert 0.9 * TARGET < sum(sizes) / len(sizes) < 1.3 * TARGET


def test_arithmetic_is_exact() -> None:
    target = 2**63 + 1
    below, not_below = (f"{number:016x}" + "0" * 48 for number in (2**64 // 2 - 2, 2**64 // 2 + 2))
    assert ShardCutter(target).add(below, target // 2)
    assert not ShardCutter(target).add(not_below, target // 2)


def test_it_refuses_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        ShardCutter(0)
    with pytest.raises(ValueError, match="not negative"):
        ShardCutter(10).add("0" * 64, -1)
    with pytest.raises(ValueError, match="not negative"):
        PartCutter().add("0" * 64, -1)


def test_shards_are_told_apart() -> None:
    shards = shards_of([(f"{n:064x}", 3000) for n in range(20)])
    assert all(one != other for one, other in pairwise(shards))
