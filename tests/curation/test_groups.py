from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.curation.groups import clusters, connect, connect_equal, sort_rows

pairs = st.integers(1, 30).flatmap(
    lambda count: st.tuples(
        st.just(count), st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=40)
    )
)


@given(pairs)
def test_connected_rows_get_the_smallest_of_them(case: tuple[int, list[tuple[int, int]]]) -> None:
    count, links = case
    label = list(range(count))
    for _ in range(count):
        for one, other in links:
            label[one] = label[other] = min(label[one], label[other])
    flat = np.array(links, dtype=np.int64).reshape(-1, 2)
    assert connect(count, flat[:, 0], flat[:, 1]).tolist() == label


def test_a_long_chain_is_connected_in_few_rounds() -> None:
    rows = np.random.default_rng(0).permutation(200_000)
    assert not connect(len(rows), rows[:-1], rows[1:]).any()


def test_clusters_and_equal_values() -> None:
    roots = connect(6, *connect_equal(["a", None, "b", "a", None, "b"]))
    assert [part.tolist() for part in clusters(roots)] == [[0, 3], [2, 5]]
    assert clusters(np.empty(0, dtype=np.int64)) == []


def test_rows_are_sorted_by_utf8() -> None:
    keys = ["z", "é", "\U0001f600", "ｚ", "a"]
    assert sort_rows(range(5), keys) == sorted(range(5), key=lambda row: keys[row].encode())
