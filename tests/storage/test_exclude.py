from __future__ import annotations

import pytest

from dsetkit.errors import UsageError
from dsetkit.storage.exclude import compile_exclude


@pytest.mark.parametrize(
    ("pattern", "matches", "does_not"),
    [
        ("*.txt", ["a.txt", "b/c/a.txt"], ["a.txt.jpg", "a.TXT"]),
        ("drafts", ["drafts", "a/drafts"], ["drafts2"]),
        ("drafts/", ["drafts", "a/drafts"], ["a/drafts2"]),
        ("/drafts", ["drafts"], ["a/drafts"]),
        ("a/*.jpg", ["a/x.jpg"], ["b/a/x.jpg", "a/b/x.jpg"]),
        ("a/**/x.jpg", ["a/x.jpg", "a/b/x.jpg", "a/b/c/x.jpg"], ["x.jpg", "ab/x.jpg"]),
        ("**/x.jpg", ["x.jpg", "a/x.jpg"], ["ax.jpg"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "ab"]),
        ("img_?.jpg", ["img_1.jpg"], ["img_12.jpg", "img_/.jpg"]),
        ("img_[0-3].jpg", ["img_2.jpg"], ["img_4.jpg"]),
        ("img_[!0-3].jpg", ["img_4.jpg"], ["img_2.jpg", "img_/.jpg"]),
        ("[]x].jpg", ["].jpg", "x.jpg"], ["a.jpg"]),
        ("a[b", ["a[b"], ["ab"]),
        ("a.b+c", ["a.b+c"], ["aXbc"]),
        ("caf\u00e9", ["cafe\u0301", "caf\u00e9"], ["cafe"]),
        ("a\nb", ["a\nb"], ["ab"]),
        ("*", ["a", "a/b"], []),
    ],
)
def test_patterns(pattern: str, matches: list[str], does_not: list[str]) -> None:
    excluded = compile_exclude([pattern])
    assert [path for path in matches + does_not if excluded(path)] == matches


def test_any_pattern_counts_and_none_matches_nothing() -> None:
    assert compile_exclude(["a", "b"])("b")
    assert not compile_exclude([])("b")


@pytest.mark.parametrize("pattern", ["", "/", "../a", "a//b", "./a", "[z-a]"])
def test_patterns_that_cannot_mean_anything(pattern: str) -> None:
    with pytest.raises(UsageError, match="exclude pattern"):
        compile_exclude([pattern])
