"""Which samples a page shows: a stated choice, the same on every run, spread over splits and categories."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from dsetkit.snapshots.read import Snapshot
from dsetkit.spec.arrow import outside_mask

SEED = 0
CHOICE = f"the lowest SHA-256 of “{SEED}:<key>”"
"""How samples are chosen, for people."""

_SPARE = 4  # candidates held of each stratum, as a multiple of its share

Stratum = Hashable
_T = TypeVar("_T")


class Candidate(NamedTuple):
    """A sample that may be chosen."""

    rank: bytes
    """SHA-256 of ``<seed>:<key>``."""
    key: str
    strata: tuple[Stratum, ...]
    """What it stands for: its split with each of its categories, or with none."""


def rank_of(key: str, seed: int = SEED) -> bytes:
    """What decides which of many is shown: SHA-256 of ``<seed>:<key>``, as ``Snapshot.take`` does."""
    return hashlib.sha256(f"{seed}:{key}".encode("utf-8", "surrogatepass")).digest()


def choose_samples(snapshot: Snapshot, limit: int) -> list[str]:
    """Keys of at most ``limit`` samples, the most telling first: see ``spread``. Reads columns, twice."""
    if limit <= 0:
        return []
    sizes = Counter(stratum for _, strata in _strata(snapshot) for stratum in strata)
    return spread((Candidate(rank_of(key), key, strata) for key, strata in _strata(snapshot)), limit, len(sizes))


def spread(candidates: Iterable[Candidate], limit: int, strata: int) -> list[str]:
    """Keys of at most ``limit`` candidates, so that each stratum is there as far as the limit allows.

    Round by round each stratum (in order) that has the fewest samples so far is given its lowest by rank that is not
    chosen yet; a sample counts for all its strata. What is left of the limit goes to the lowest of all. ``strata`` is
    how many strata there are at most; memory is bounded by the limit and their number.
    """
    held = max(2, _SPARE * -(-limit // max(1, strata)))
    pools: dict[Stratum, _Lowest[Candidate]] = {}
    anyone: _Lowest[Candidate] = _Lowest(limit)
    for candidate in candidates:
        anyone.add(candidate.rank, candidate)
        for stratum in candidate.strata:
            pools.setdefault(stratum, _Lowest(held)).add(candidate.rank, candidate)
    queues = {stratum: iter(pools[stratum].sorted()) for stratum in sorted(pools, key=repr)}
    chosen: dict[str, None] = {}
    shown: Counter[Stratum] = Counter()
    target = 0
    while queues and len(chosen) < limit:
        target += 1
        for stratum in list(queues):
            while shown[stratum] < target and len(chosen) < limit:
                found = next((one for one in queues[stratum] if one.key not in chosen), None)
                if found is None:
                    del queues[stratum]
                    break
                chosen[found.key] = None
                shown.update(found.strata)
    for candidate in anyone.sorted():
        if len(chosen) >= limit:
            break
        chosen.setdefault(candidate.key)
    return list(chosen)


def in_turn(groups: Sequence[Sequence[_T]], limit: int) -> list[_T]:
    """At most ``limit`` items, one of each group in turn, so that no large group leaves no room for small ones."""
    taken: list[_T] = []
    for place in range(max(map(len, groups), default=0)):
        for group in groups:
            if len(taken) >= limit:
                return taken
            if place < len(group):
                taken.append(group[place])
    return taken


class _Lowest(list[tuple[int, int, _T]]):
    """The items of lowest rank, at most so many."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def add(self, rank: bytes, item: _T) -> None:
        """Take an item, if it is among the lowest."""
        entry = (-int.from_bytes(rank), len(self), item)  # a heap of the negative: the highest rank first
        if len(self) < self._limit:
            heapq.heappush(self, entry)
        elif self and entry[0] > self[0][0]:
            heapq.heapreplace(self, entry)

    def sorted(self) -> list[_T]:
        """The lowest first."""
        return [item for _, _, item in sorted(self, key=lambda entry: -entry[0])]


def _strata(snapshot: Snapshot) -> Iterator[tuple[str, tuple[Stratum, ...]]]:
    columns = ("key", "split", "annotations.category", "annotations.categories", "annotations.track.outside")
    for table in snapshot.iter_tables(columns):
        names = _names(table["annotations"].combine_chunks())
        keys, splits = table["key"].to_pylist(), table["split"].to_pylist()
        for key, split, here in zip(keys, splits, names, strict=True):
            yield key, tuple((split or "", name) for name in sorted(here)) or ((split or "", ""),)


def _names(annotations: pa.ListArray) -> list[set[str]]:
    """The categories of what can be seen of each row's annotations."""
    offsets = np.asarray(annotations.offsets).tolist()
    flat = annotations.values
    outside = outside_mask(flat).tolist()
    one = flat.field("category").to_pylist()
    many = flat.field("categories")
    several = many.to_pylist() if len(many.flatten()) else [()] * len(one)
    found = []
    for low, high in itertools.pairwise(offsets):
        names: set[str] = set()
        for place in range(low, high):
            if not outside[place]:
                names |= {one[place], *(several[place] or ())} - {None}
        found.append(names)
    return found
