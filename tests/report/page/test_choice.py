"""Which samples are shown."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from support.pages import PageProject, box, drawn

from dsetkit.report.page.choice import Candidate, choose_samples, in_turn, rank_of, spread

STRATA = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 6)), min_size=1, max_size=4, unique=True)
SAMPLES = st.lists(STRATA, min_size=1, max_size=40)


def candidates(samples: list[list[tuple[str, int]]]) -> list[Candidate]:
    return [Candidate(rank_of(f"s/{place}"), f"s/{place}", tuple(strata)) for place, strata in enumerate(samples)]


@given(SAMPLES, st.integers(0, 50))
def test_every_stratum_is_there_as_far_as_the_limit_allows(samples: list[list[tuple[str, int]]], limit: int) -> None:
    strata = {stratum for here in samples for stratum in here}
    found = spread(candidates(samples), limit, len(strata))
    assert len(found) == len(set(found)) == min(limit, len(samples))
    shown = {stratum for key in found for stratum in samples[int(key[2:])]}
    if limit >= len(strata):
        assert shown == strata
    else:
        assert len(shown) >= limit


@given(SAMPLES, st.integers(1, 20), st.randoms())
def test_the_choice_does_not_depend_on_order(samples: list[list[tuple[str, int]]], limit: int, random: object) -> None:
    ordered = candidates(samples)
    shuffled = list(ordered)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    strata = len({stratum for here in samples for stratum in here})
    assert spread(ordered, limit, strata) == spread(shuffled, limit, strata)


def test_a_rare_category_is_not_drowned() -> None:
    samples = [[("train", 0)]] * 5000 + [[("train", 1)], [("val", 0)]]
    found = spread(candidates(samples), 10, 3)
    assert {"s/5000", "s/5001"} <= set(found)


def test_most_samples_stay_when_others_come() -> None:
    before = spread(candidates([[("train", 0)]] * 1000), 50, 1)
    after = spread(candidates([[("train", 0)]] * 1010), 50, 1)
    assert len(set(before) & set(after)) >= 48


def test_the_rank_is_the_stated_digest() -> None:
    assert rank_of("pets/a.jpg") == hashlib.sha256(b"0:pets/a.jpg").digest()


def test_one_of_each_group_in_turn() -> None:
    assert in_turn([[1, 2, 3], [4], [5, 6]], 5) == [1, 4, 5, 2, 6]
    assert in_turn([], 3) == []
    assert in_turn([[1]], 0) == []


def test_samples_of_a_snapshot(tmp_path: Path) -> None:
    project = PageProject(tmp_path / "project", ["cat", "dog", "owl"])
    for number in range(30):
        project.keep(f"{number:02}.png", drawn((number, 5, 9, 9)), [box(number, 5, 9, 9, "cat")], split="train")
    labels = [box(1, 1, 5, 5, "cat"), box(2, 2, 3, 3, None, categories=["owl", "dog"])]
    project.keep("owl.png", drawn((1, 1, 5, 5)), labels, split="val")
    project.keep("bare.png", drawn(), split="val")
    cleaned = project.write().open("cleaned")
    found = choose_samples(cleaned, 4)
    assert len(found) == 4
    assert {"pets/owl.png", "pets/bare.png"} <= set(found)
    assert choose_samples(cleaned, 0) == []
    assert set(choose_samples(cleaned, 1000)) == set(cleaned.table["key"].to_pylist())
    lowest = min((f"pets/{number:02}.png" for number in range(30)), key=rank_of)
    assert lowest in found
