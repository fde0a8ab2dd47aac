"""Which annotation is which: the fewest changes that are true."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.geometry.overlap import iou
from dsetkit.snapshots.pairing import best_pairs, pair_annotations


def box(name: str, x: float, y: float, category: str = "a", **fields: Any) -> Any:
    return {"id": name, "kind": "box", "category": category, "bbox_xywh_px": [x, y, 10.0, 10.0], **fields}


def label(name: str, category: str, **fields: Any) -> Any:
    return {"id": name, "kind": "image_label", "category": category, **fields}


def caption(name: str, text: str) -> Any:
    return {"id": name, "kind": "caption", "text": text}


CASES = {
    "the one in front was removed, ids are places": (
        [box("0", 0, 0), box("1", 50, 0), box("2", 99, 0)],
        [box("0", 50, 0), box("1", 99, 0)],
        [(1, 0), (2, 1)],
    ),
    "one was added in front": (
        [box("0", 0, 0), box("1", 50, 0)],
        [box("0", 200, 0), box("1", 0, 0), box("2", 50, 0)],
        [(0, 1), (1, 2)],
    ),
    "removed in front, and the rest moved a little": (
        [box("0", 0, 0), box("1", 50, 0), box("2", 99, 0)],
        [box("0", 51, 0), box("1", 99, 2)],
        [(1, 0), (2, 1)],
    ),
    "removed in front, added behind, one in between has another attribute": (
        [box("0", 0, 0), box("1", 50, 0), box("2", 99, 0)],
        [box("0", 50, 0, attributes={"x": 1}), box("1", 99, 0), box("2", 200, 0)],
        [(1, 0), (2, 1)],
    ),
    "all of them moved, one gone in front and one more behind": (
        [box("0", 0, 0), box("1", 50, 0), box("2", 99, 0)],
        [box("0", 51, 0), box("1", 100, 0), box("2", 200, 0)],
        [(1, 0), (2, 1)],
    ),
    "the same id and category, moved far": ([box("7", 0, 0)], [box("7", 300, 0)], [(0, 0)]),
    "an id that means another thing now": ([box("7", 0, 0)], [box("7", 300, 0, "b")], []),
    "re-categorised in place, ids are places": (
        [box("0", 0, 0), box("1", 50, 0, "b"), box("2", 99, 0)],
        [box("0", 50, 0, "c"), box("1", 99, 0)],
        [(1, 0), (2, 1)],
    ),
    "moved far and given anew: no saying": ([box("7", 0, 0)], [box("8", 300, 0)], []),
    "moved a little and given a new id": ([box("7", 0, 0)], [box("8", 2, 2)], [(0, 0)]),
    "overlapping by less than counts, of another id": ([box("7", 0, 0)], [box("8", 9, 8)], []),
    "another category needs more overlap": ([box("7", 0, 0)], [box("8", 5, 0, "b")], []),
    "another category with enough of it": ([box("7", 0, 0)], [box("8", 2, 0, "b")], [(0, 0)]),
    "two alike at one place keep their ids": (
        [box("1", 0, 0), box("2", 0, 0)],
        [box("2", 0, 0), box("1", 0, 0)],
        [(0, 1), (1, 0)],
    ),
    "two categories at one place: the one that is left": (
        [box("1", 0, 0, "a"), box("2", 0, 0, "b")],
        [box("5", 0, 0, "b", attributes={"x": 1})],
        [(1, 0)],
    ),
    "the best assignment is not the greedy one": (
        [box("10", 0, 0), box("11", 4, 0)],
        [box("20", 2.5, 0), box("21", -4, 0)],
        [(0, 1), (1, 0)],
    ),
    "a class corrected": ([label("0", "cat")], [label("0", "dog")], [(0, 0)]),
    "a class corrected under another id": ([label("0", "cat")], [label("9", "dog")], [(0, 0)]),
    "of several classes one went": (
        [label("0", "cat"), label("1", "dog")],
        [label("0", "dog")],
        [(1, 0)],
    ),
    "a caption rewritten": ([caption("0", "one")], [caption("0", "two")], [(0, 0)]),
    "captions added in front": ([caption("0", "one")], [caption("0", "new"), caption("1", "one")], [(0, 1)]),
    "a label and a box of one id": ([label("0", "a")], [box("0", 0, 0)], []),
    "a point moved, its id too": (
        [{"id": "0", "kind": "points", "category": "a", "points": [3.0, 3.0]}],
        [{"id": "4", "kind": "points", "category": "a", "points": [4.0, 3.0]}],
        [(0, 0)],
    ),
    "a box traced as a polygon": (
        [box("3", 0, 0)],
        [{"id": "9", "kind": "polygon", "category": "a", "polygons": [[[0, 0, 10, 0, 10, 9, 0, 10]]]}],
        [(0, 0)],
    ),
    "nothing": ([], [box("0", 0, 0)], []),
}


@pytest.mark.parametrize("case", CASES)
def test_rules(case: str) -> None:
    old, new, expected = CASES[case]
    assert pair_annotations(old, new) == expected
    assert pair_annotations(new, old) == sorted((j, i) for i, j in expected)


number = st.integers(0, 4).map(lambda n: n * 4.0)
annotation = st.one_of(
    st.builds(box, st.just(""), number, number, st.sampled_from("ab")),
    st.builds(label, st.just(""), st.sampled_from("ab")),
    st.builds(caption, st.just(""), st.sampled_from("xy")),
)


@st.composite
def sides(draw: Any) -> Any:
    def named(items: Any) -> Any:
        ids = draw(st.permutations([str(place) for place in range(len(items) + 2)]))
        return [{**item, "id": name} for item, name in zip(items, ids, strict=False)]

    return named(draw(st.lists(annotation, max_size=6))), named(draw(st.lists(annotation, max_size=6)))


def meaning(item: Any) -> str:
    return repr({name: value for name, value in item.items() if name != "id"})


@given(sides())
def test_pairs_are_one_to_one_turn_round_and_lose_no_equal_ones(sides: Any) -> None:
    old, new = sides
    pairs = pair_annotations(old, new)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert pair_annotations(new, old) == sorted((j, i) for i, j in pairs)
    equal = sum(meaning(old[i]) == meaning(new[j]) for i, j in pairs)
    texts = [meaning(item) for item in new]
    assert equal == sum(min([meaning(o) for o in old].count(t), texts.count(t)) for t in set(texts))
    assert all(old[i]["kind"] == new[j]["kind"] for i, j in pairs)


@given(sides())
def test_ids_in_another_order_change_nothing(sides: Any) -> None:
    old, _ = sides
    renumbered = [{**item, "id": f"n{place}"} for place, item in enumerate(old)]
    assert len(pair_annotations(old, renumbered)) == len(old)
    assert [meaning(old[i]) for i, _ in pair_annotations(old, renumbered)] == [
        meaning(renumbered[j]) for _, j in pair_annotations(old, renumbered)
    ]


@given(st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 3)), st.integers(1, 9).map(lambda n: n / 10)))
def test_best_pairs_has_the_largest_sum(met: Any) -> None:
    mine, other = "old {}".format, "new {}".format
    pairs = best_pairs(met, mine, other)
    assert all(pair in met for pair in pairs)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    best = max(sum(met.get((i, j), 0.0) for i, j in enumerate(order)) for order in permutations(range(4)))
    assert sum(met[pair] for pair in pairs) == pytest.approx(best)
    turned = best_pairs({(j, i): value for (i, j), value in met.items()}, other, mine)
    assert sorted((i, j) for j, i in turned) == sorted(pairs)


def test_many_boxes_take_no_long_time() -> None:
    old = [box(str(n), (n % 40) * 13.0, (n // 40) * 13.0) for n in range(1600)]
    new = [
        {**item, "id": f"n{item['id']}", "bbox_xywh_px": [item["bbox_xywh_px"][0] + 2, *item["bbox_xywh_px"][1:]]}
        for item in old
    ]
    assert pair_annotations(old, new) == [(n, n) for n in range(1600)]
    assert iou(old[0], new[0]) == pytest.approx(80 / 120)
