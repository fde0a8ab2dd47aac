"""Categories that moved are told, with the line that keeps their numbers."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.curation.mapping import CategoryMapper
from dsetkit.curation.renumbering import renumbered
from dsetkit.spec.category import Category
from dsetkit.spec.params import CategoriesParams


def listed(*names: str) -> tuple[Category, ...]:
    return tuple(Category(name=name, index=index) for index, name in enumerate(names))


def line_of(hint: str) -> tuple[str, ...]:
    """What a user would paste, read as params are."""
    start = hint.index("names: ")
    return tuple(yaml.safe_load(hint[start:])["names"])


@pytest.mark.parametrize(
    ("old", "new"), [("", ""), ("", "ab"), ("ab", "ab"), ("ab", "abc")], ids=lambda text: text or "none"
)
def test_what_is_appended_moves_nothing(old: str, new: str) -> None:
    assert renumbered(listed(*old), listed(*new)) is None


@pytest.mark.parametrize(
    ("old", "new", "changed", "kept"),
    [
        ("ab", "axb", "1 was 'b', is 'x'", "abx"),
        ("ab", "ba", "0 was 'a', is 'b'; 1 was 'b', is 'a'", "ab"),
        ("abc", "ac", "1 was 'b', is 'c'; 2 was 'c', is none", "abc"),
        ("abc", "axc", "1 was 'b', is 'x'", "abcx"),
        ("abcde", "xabcde", "0 was 'a', is 'x'; 1 was 'b', is 'a'; 2 was 'c', is 'b'; and 2 more", "abcdex"),
    ],
)
def test_what_moved_is_told_with_what_keeps_it(old: str, new: str, changed: str, kept: str) -> None:
    issue = renumbered(listed(*old), listed(*new))
    assert issue is not None
    assert (issue.code, issue.severity) == ("categories-renumbered", "warning")
    assert issue.message == (
        f"categories have not kept their numbers of the version before ({changed}), so a model trained on that one "
        "misreads this one"
    )
    assert line_of(issue.hint) == tuple(kept)


def test_the_last_one_gone_leaves_a_number_that_must_stay_free() -> None:
    issue = renumbered(listed("a", "b"), listed("a"))
    assert issue is not None
    assert issue.message == (
        "categories have not kept their numbers of the version before (1 was 'b', is none), so the next one that is "
        "added takes a number that models know for something else"
    )
    assert line_of(issue.hint) == ("a", "b")


def test_a_name_that_no_source_has_stays_at_its_number() -> None:
    made = CategoryMapper(CategoriesParams(names=("a", "gone", "c")), {"s": listed("c", "a")})
    assert [(item.name, item.index) for item in made.categories] == [("a", 0), ("gone", 1), ("c", 2)]
    assert made.issues == ()


def test_what_is_called_otherwise_is_the_same_one() -> None:
    sources = {"s": listed("wbc", "rbc")}
    before = CategoryMapper(CategoriesParams(), sources).categories
    after = CategoryMapper(CategoriesParams(map={"wbc": "WBC"}), sources).categories
    assert [item.name for item in after] == ["WBC", "rbc"]
    assert renumbered(before, after) is None
    merged = CategoryMapper(CategoriesParams(map={"wbc": "cell", "rbc": "cell"}), sources).categories
    issue = renumbered(before, merged)
    assert issue is not None
    assert line_of(issue.hint) == ("cell", "rbc")


@pytest.mark.parametrize(
    "name", ["yes", "1", "a, b", "null", "größer", 'say "a"', "a: b", "#x", "\u202etxt", "\x07", ""]
)
def test_the_line_is_yaml_whatever_the_names(name: str) -> None:
    issue = renumbered(listed("a", f"{name}!"), listed(f"{name}!", "a"))
    assert issue is not None
    assert line_of(issue.hint) == ("a", f"{name}!")


NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=6)


@given(NAMES, NAMES, st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from("abcxyz"), max_size=3))
def test_the_line_keeps_every_number(old: list[str], new: list[str], table: dict[str, str]) -> None:
    before = CategoryMapper(CategoriesParams(), {"s": listed(*old)}).categories
    sources = {"s": listed(*new)}
    after = CategoryMapper(CategoriesParams(map=table), sources).categories
    issue = renumbered(before, after)
    if issue is None:
        return
    fixed = CategoryMapper(CategoriesParams(map=table, names=line_of(issue.hint)), sources)
    assert renumbered(before, fixed.categories) is None
    assert {item.name for item in fixed.categories} >= {item.name for item in after}
    for category in before:
        now = fixed.categories[category.index]
        assert now.name == category.name or category.name in now.source_ids
