"""Whether two samples say the same, and one sample made of what several say."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from dsetkit.geometry.coordinates import TOLERANCE_PX, are_close, coordinates
from dsetkit.geometry.overlap import box_iou
from dsetkit.spec.annotation import is_outside
from dsetkit.spec.arrow import Row
from dsetkit.spec.base import canonical_json

ALIKE_IOU = 0.5
"""Boxes of near duplicates that overlap by at least this (intersection over union, relative coordinates) are one."""


def is_labelled(row: Row) -> bool:
    """Whether somebody labelled the sample; one that was looked at and has no objects is."""
    return row.get("labelled", "no") != "no" or bool(row.get("annotations"))


def labels_equal(a: Row, b: Row) -> bool:
    """Whether two samples carry the same labels.

    The same multiset of annotations by kind, categories, geometry (to within ``TOLERANCE_PX``), text, attributes,
    status and crowd and ignore flags; ids, issues, authors, scores and extras do not count, nor do annotations whose
    object is not there (``is_outside``).
    """
    ours, theirs = _by_meaning(a), _by_meaning(b)
    if {key: len(items) for key, items in ours.items()} != {key: len(items) for key, items in theirs.items()}:
        return False
    return all(_numbers_equal(ours[key], theirs[key]) for key in ours)


def labels_alike(a: Row, b: Row) -> bool:
    """Whether the labels of two pictures that look alike mean the same, whatever size each picture has.

    The same multiset of (kind, category, text), and the boxes of each can be paired so that every pair overlaps by at
    least ``ALIKE_IOU`` in relative coordinates. Pairs are taken greedily, best first: labels that are equal enough
    may at worst be told apart, and then both samples are kept. Annotations whose object is not there do not count.
    """
    ours, theirs = _boxes(a), _boxes(b)
    if {key: len(items) for key, items in ours.items()} != {key: len(items) for key, items in theirs.items()}:
        return False
    return all(_boxes_alike(ours[key], theirs[key]) for key in ours)


def merge_samples(rows: Sequence[Row]) -> Row:
    """The first of several samples of one picture, with the labels of all; annotations that are equal come once.

    An id that is taken is put behind the sample's place in ``rows`` and a colon (``2:7``), in links too. Attributes,
    subsets, responses and lists of categories are united, the first sample's values coming first.
    """
    out = dict(rows[0])
    annotations, known = list(rows[0].get("annotations") or ()), _Known(rows[0])
    for place, row in enumerate(rows[1:], start=2):
        new_ids: dict[str, str] = {}
        added = []
        for item in row.get("annotations") or ():
            equal = known.find(item)
            new_ids[item["id"]] = known.free_id(item["id"], place) if equal is None else equal
            if equal is None:
                added.append(item)
        annotations += [known.add(_relink(item, new_ids)) for item in added]
    out["annotations"] = annotations
    out["labelled"] = min((row.get("labelled", "no") for row in rows), key=("yes", "partial", "no").index)
    seen = {item.get("category") for item in annotations if not is_outside(item)}
    for field in ("subsets", "not_exhaustive_categories", "absent_categories", "responses"):
        out[field] = _united([row.get(field) or () for row in rows])
    out["absent_categories"] = [name for name in out["absent_categories"] if name not in seen]
    out["attributes"] = {key: value for row in reversed(rows) for key, value in (row.get("attributes") or {}).items()}
    return {key: value for key, value in out.items() if value not in ([], {})}


class _Known:
    """The annotations and ids of a merged sample so far."""

    def __init__(self, row: Row) -> None:
        self.ids: set[str] = set()
        self.meanings: dict[str, list[tuple[list[float], str]]] = defaultdict(list)
        for item in row.get("annotations") or ():
            self.add(item)

    def add(self, item: Row) -> Row:
        self.ids.add(item["id"])
        key, numbers = _meaning(item)
        self.meanings[key].append((numbers, item["id"]))
        return item

    def find(self, item: Row) -> str | None:
        """The id of an annotation that is equal."""
        key, numbers = _meaning(item)
        return next((name for other, name in self.meanings.get(key, ()) if are_close(numbers, other)), None)

    def free_id(self, name: str, place: int) -> str:
        while name in self.ids:
            name = f"{place}:{name}"
        self.ids.add(name)
        return name


def _relink(item: Row, new_ids: dict[str, str]) -> Row:
    out = {**item, "id": new_ids[item["id"]]}
    if item.get("relations"):
        out["relations"] = [
            {**link, "target": new_ids.get(link["target"], link["target"])} for link in item["relations"]
        ]
    if item.get("based_on") is not None:
        out["based_on"] = new_ids.get(item["based_on"], item["based_on"])
    return out


def _united(lists: Sequence[Sequence[Any]]) -> list[Any]:
    out: list[Any] = []
    for items in lists:
        out += [item for item in items if item not in out]
    return out


def _by_meaning(row: Row) -> dict[str, list[list[float]]]:
    out: dict[str, list[list[float]]] = defaultdict(list)
    for item in row.get("annotations") or ():
        if is_outside(item):
            continue
        key, numbers = _meaning(item)
        out[key].append(numbers)
    return out


def _meaning(item: Row) -> tuple[str, list[float]]:
    """What an annotation says: all but its coordinates as one text, and its coordinates."""
    shape, numbers = coordinates(item)
    seen = [point.get("visibility", 2) for point in item.get("keypoints") or ()]
    rest = {name: item[name] for name in _DISCRETE if item.get(name)}
    return canonical_json([rest, shape, seen, is_outside(item)]), numbers


_DISCRETE = ("kind", "category", "categories", "text", "attributes", "is_crowd", "is_ignored", "status")


def _numbers_equal(ours: list[list[float]], theirs: list[list[float]]) -> bool:
    """Whether each has its like in the other list. Sorted, so that only those with a like first number are tried."""
    if sorted(ours) == (rest := sorted(theirs)):
        return True
    for numbers in sorted(ours):
        place = bisect_left(rest, [numbers[0] - TOLERANCE_PX]) if numbers else 0
        while place < len(rest) and not are_close(numbers, rest[place]):
            if rest[place][:1] > [numbers[0] + TOLERANCE_PX]:
                return False
            place += 1
        if place == len(rest):
            return False
        del rest[place]
    return True


def _boxes(row: Row) -> dict[Any, list[tuple[float, float, float, float] | None]]:
    """Boxes in relative coordinates by (kind, category, text); none for what has no place."""
    width, height = row.get("width_px") or 1, row.get("height_px") or 1
    out: dict[Any, list[tuple[float, float, float, float] | None]] = defaultdict(list)
    for item in row.get("annotations") or ():
        if is_outside(item):
            continue
        box = item.get("bbox_xywh_px")
        key = (item["kind"], item.get("category"), tuple(sorted(item.get("categories") or ())), item.get("text"))
        out[key].append((box[0] / width, box[1] / height, box[2] / width, box[3] / height) if box else None)
    return out


def _boxes_alike(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    if Counter(box is None for box in ours) != Counter(box is None for box in theirs):
        return False
    mine, other = [box for box in ours if box is not None], [box for box in theirs if box is not None]
    pairs = [(-box_iou(a, b), i, j) for i, a in enumerate(mine) for j, b in enumerate(other)]
    taken_i: set[int] = set()
    taken_j: set[int] = set()
    for negative, i, j in sorted(pair for pair in pairs if -pair[0] >= ALIKE_IOU):
        if i not in taken_i and j not in taken_j and negative:
            taken_i.add(i)
            taken_j.add(j)
    return len(taken_i) == len(mine)
