"""Which annotation of one version of a sample is which of another version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

import numpy as np

from dsetkit.geometry.coordinates import GEOMETRY_FIELDS, coordinates
from dsetkit.geometry.overlap import overlaps
from dsetkit.geometry.shape import is_located
from dsetkit.spec.arrow import Row
from dsetkit.spec.base import canonical_json

MIN_IOU = 0.1
"""Annotations of one category that overlap by less are two, unless they share an id."""
ALIKE_IOU = 0.5
"""Annotations of different categories that overlap by at least this are one that was re-categorised."""

_LINKS = ("id", "relations", "based_on")
_DECIMALS = 6


def pair_annotations(old: Sequence[Row], new: Sequence[Row]) -> list[tuple[int, int]]:
    """Pairs (number in ``old``, number in ``new``), sorted; what is in no pair was removed, or added.

    Both lists are in one frame. An id may be no more than a place in a file (formats without ids number from ``"0"``),
    and then one annotation removed in front shifts all ids behind it. So ids come after what cannot mislead. In turn,
    each annotation in one pair at most:

    1. those equal in all but id and links: with the same id, then whatever their ids;
    2. those of one kind at the same place: with the same id, then of the same category, then any;
    3. those with the same id, if they can be one: both located and of one category or overlapping by ``MIN_IOU``, or
       neither located and of one kind. Not where step 1 or 2 showed that ids were given anew (an old id is now that
       of another), and not where one of the two overlaps another of its category by ``ALIKE_IOU`` and by more;
    4. those of one category that overlap by ``MIN_IOU``, then of any by ``ALIKE_IOU``; so that the sum of
       intersections over union is the largest there can be;
    5. of what cannot overlap: the only one left of its kind and category, then the only image label left.

    ``pair_annotations(new, old)`` gives the same pairs turned round.
    """
    pairs = _Pairs(old, new)
    ours, theirs = ([_content(item) for item in items] for items in (old, new))
    pairs.zip(lambda side, i: (ours, theirs)[side][i], lambda side, i: (old, new)[side][i]["id"])
    pairs.zip(lambda side, i: (ours, theirs)[side][i])
    if pairs.is_open():
        _pair_changed(pairs, old, new)
    return sorted(pairs.found)


def _pair_changed(pairs: _Pairs, old: Sequence[Row], new: Sequence[Row]) -> None:
    """Steps 2 to 5."""
    sides = (old, new)

    def place(side: int, i: int) -> Hashable:
        item = sides[side][i]
        if not is_located(item):
            return None
        shape, numbers = coordinates(item)
        return canonical_json([item["kind"], shape, [round(number, _DECIMALS) for number in numbers]])

    def name(side: int, i: int) -> str:
        return str(sides[side][i]["id"])

    def category(side: int, i: int) -> Hashable:
        return _category(sides[side][i])

    for also in (name, category, None):
        pairs.zip(place, also)
    mine, other = pairs.left()
    if not mine or not other:
        return
    met = {
        (mine[i], other[j]): value for i, j, value in overlaps([old[i] for i in mine], [new[j] for j in other], MIN_IOU)
    }
    if not pairs.renumbered():
        _pair_ids(pairs, old, new, met)
    same = {pair: value for pair, value in met.items() if category(0, pair[0]) == category(1, pair[1])}
    for candidates in (same, {pair: value for pair, value in met.items() if value >= ALIKE_IOU}):
        open_ones = {pair: value for pair, value in candidates.items() if pairs.is_free(*pair)}
        for pair in best_pairs(open_ones, lambda i: _content(old[i], True), lambda j: _content(new[j], True)):
            pairs.add(*pair)
    pairs.zip_single(lambda side, i: _extentless(sides[side][i], False))
    pairs.zip_single(lambda side, i: _extentless(sides[side][i], True))


def _pair_ids(pairs: _Pairs, old: Sequence[Row], new: Sequence[Row], met: dict[tuple[int, int], float]) -> None:
    """Step 3."""
    best_old: dict[int, float] = defaultdict(float)
    best_new: dict[int, float] = defaultdict(float)
    for (i, j), value in met.items():
        if value >= ALIKE_IOU and _category(old[i]) == _category(new[j]):
            best_old[i], best_new[j] = max(best_old[i], value), max(best_new[j], value)
    mine, other = pairs.left()
    places = {new[j]["id"]: j for j in other}
    for i in mine:
        if old[i]["id"] not in places:
            continue
        j = places[old[i]["id"]]
        a, b, value = old[i], new[j], met.get((i, j), 0.0)
        if is_located(a) and is_located(b):
            can_be = (_category(a) == _category(b) or value > 0.0) and max(best_old[i], best_new[j]) <= value
        else:
            can_be = a["kind"] == b["kind"]
        if can_be:
            pairs.add(i, j)


def best_pairs(
    met: dict[tuple[int, int], float], old_order: Callable[[int], str], new_order: Callable[[int], str]
) -> list[tuple[int, int]]:
    """Pairs out of ``met`` (pair → value above 0), no number twice on a side, with the largest sum of values.

    Solved for each group of annotations that meet each other on its own. Where several answers are as good, the texts
    that ``old_order`` and ``new_order`` give for a number decide, alike from whichever side it is asked.
    """
    found: list[tuple[int, int]] = []
    for group in _groups(met):
        if len(group) == 1:
            found += group
            continue
        from scipy.optimize import linear_sum_assignment  # takes longer to load than most diffs need

        first = {i: (old_order(i), i) for i, _ in group}
        second = {j: (new_order(j), j) for _, j in group}
        rows, columns = sorted(first, key=first.__getitem__), sorted(second, key=second.__getitem__)
        table = np.zeros((len(rows), len(columns)))
        at_row, at_column = ({number: place for place, number in enumerate(side)} for side in (rows, columns))
        for i, j in group:
            table[at_row[i], at_column[j]] = met[i, j]
        turned = [first[i][0] for i in rows] > [second[j][0] for j in columns]
        chosen = linear_sum_assignment(table.T if turned else table, maximize=True)
        at = zip(*(reversed(chosen) if turned else chosen), strict=True)
        found += [(rows[r], columns[c]) for r, c in at if table[r, c] > 0.0]
    return found


def _groups(met: dict[tuple[int, int], float]) -> list[list[tuple[int, int]]]:
    """The pairs, put together where they share a number."""
    leads: dict[tuple[int, int], tuple[int, int]] = {}

    def top(node: tuple[int, int]) -> tuple[int, int]:
        leads.setdefault(node, node)
        while leads[node] != node:
            leads[node] = node = leads[leads[node]]
        return node

    for i, j in met:
        leads[top((0, i))] = top((1, j))
    groups: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for i, j in met:
        groups[top((0, i))].append((i, j))
    return list(groups.values())


class _Pairs:
    """Pairs found so far, and what is left of each side."""

    def __init__(self, old: Sequence[Row], new: Sequence[Row]) -> None:
        self.found: list[tuple[int, int]] = []
        self._ids = [item["id"] for item in old], [item["id"] for item in new]
        self._free = dict.fromkeys(range(len(old))), dict.fromkeys(range(len(new)))

    def left(self) -> tuple[list[int], list[int]]:
        return list(self._free[0]), list(self._free[1])

    def is_open(self) -> bool:
        return bool(self._free[0] and self._free[1])

    def is_free(self, i: int, j: int) -> bool:
        return i in self._free[0] and j in self._free[1]

    def add(self, i: int, j: int) -> None:
        self.found.append((i, j))
        del self._free[0][i], self._free[1][j]

    def renumbered(self) -> bool:
        """Whether an old id is now that of another annotation."""
        mine, other = self._ids
        known_old, known_new = set(mine), set(other)
        return any(mine[i] != other[j] and (mine[i] in known_new or other[j] in known_old) for i, j in self.found)

    def zip(self, key: _Key, also: _Key | None = None) -> None:
        """Pair what is left where the keys are equal (and not None), in order."""
        for mine, other in self._by_key(key, also):
            for i, j in zip(mine, other, strict=False):
                self.add(i, j)

    def zip_single(self, key: _Key) -> None:
        """As ``zip``, where each side has just one with the key."""
        for mine, other in self._by_key(key, None):
            if len(mine) == len(other) == 1:
                self.add(mine[0], other[0])

    def _by_key(self, key: _Key, also: _Key | None) -> list[tuple[list[int], list[int]]]:
        groups: dict[Hashable, tuple[list[int], list[int]]] = {}
        for side in (0, 1):
            for i in self._free[side]:
                value = key(side, i)
                if value is not None:
                    whole = value if also is None else (value, also(side, i))
                    groups.setdefault(whole, ([], []))[side].append(i)
        return list(groups.values())


_Key = Callable[[int, int], Hashable]
"""Side (0 old, 1 new) and number → what must be equal."""


def _content(item: Row, with_id: bool = False) -> str:
    """All an annotation says but its id and links, as one text, coordinates rounded."""
    shape, numbers = coordinates(item)
    seen = [point.get("visibility", 2) for point in item.get("keypoints") or ()]
    rest = {name: value for name, value in item.items() if name not in _LINKS and name not in GEOMETRY_FIELDS}
    return canonical_json(
        [rest, shape, seen, [round(number, _DECIMALS) for number in numbers], item["id"] if with_id else None]
    )


def _category(item: Row) -> tuple[str | None, tuple[str, ...]]:
    return item.get("category"), tuple(sorted(item.get("categories") or ()))


def _extentless(item: Row, any_category: bool) -> Hashable:
    kind = str(item["kind"])
    if any_category:
        return kind if kind == "image_label" else None
    return (kind, _category(item)) if kind in ("image_label", "caption", "points", "polyline") else None
