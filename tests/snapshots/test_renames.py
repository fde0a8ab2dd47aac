from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.snapshots.renames import find_renamed


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"a": "1"}, {"b": "1"}, [("a", "b")]),
        ({"a": "1"}, {"b": "2"}, []),
        ({"a": None}, {"b": None}, []),
        # of equal bytes: the same file name first, then in key order
        ({"x/1": "d", "x/2": "d"}, {"y/2": "d", "y/3": "d"}, [("x/2", "y/2"), ("x/1", "y/3")]),
        ({"x/1": "d", "x/2": "d"}, {"y/9": "d"}, [("x/1", "y/9")]),
        # a new picture under an old key is a replacement, also if the old bytes were kept as a copy
        ({"a": "1"}, {"a": "2"}, []),
        ({"a": "1"}, {"a": "2", "copy": "1"}, []),
        ({"a": "1", "gone": "2"}, {"a": "2"}, []),
        # numbered anew, and changed places
        ({"1": "a", "2": "b", "3": "c"}, {"2": "a", "3": "b", "4": "c"}, [("1", "2"), ("2", "3"), ("3", "4")]),
        ({"1": "a", "2": "b"}, {"1": "b", "2": "a"}, [("2", "1"), ("1", "2")]),
        # a chain with a copy at its end: the copy is new
        ({"1": "a", "2": "b"}, {"2": "a", "3": "b", "4": "b"}, [("1", "2"), ("2", "3")]),
        # a chain that nothing explains at its end is none
        ({"1": "a", "2": "b", "3": "c"}, {"1": "x", "2": "a", "3": "b"}, []),
    ],
)
def test_rules(old: dict[str, str], new: dict[str, str], expected: list[tuple[str, str]]) -> None:
    assert find_renamed(old, new) == expected
    assert sorted(find_renamed(new, old)) == sorted((b, a) for a, b in expected)


sides = st.dictionaries(st.sampled_from([f"{d}/{n}" for d in "pq" for n in "1234"]), st.sampled_from("abc"))


@given(sides, sides)
def test_pairs_share_a_digest_and_no_key_is_used_twice(old: dict[str, str], new: dict[str, str]) -> None:
    pairs = find_renamed(old, new)
    assert all(old[a] == new[b] and a != b for a, b in pairs)
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
    assert sorted(find_renamed(new, old)) == sorted((b, a) for a, b in pairs)
    assert pairs == find_renamed(dict(reversed(old.items())), dict(reversed(new.items())))
    assert all(b not in old or (b in dict(pairs) and old[b] != new[b]) for _, b in pairs)
