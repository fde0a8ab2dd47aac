from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.curation.comparison import labels_equal
from dsetkit.curation.duplicates import Decisions, decide
from dsetkit.spec.arrow import table_from_rows
from dsetkit.spec.params import DuplicatesParams
from dsetkit.spec.sample import Sample

A, B, C, D = (f"{number:064x}" for number in (10, 11, 12, 13))


def picture(key: str, digest: str, *annotations: Any, phash: int = 0, **more: Any) -> Any:
    row = {"key": key, "digest": digest, "phash": phash, "width_px": 100, "height_px": 80, "contrast": 0.2}
    return {**row, "labelled": "yes" if annotations else "no", "annotations": list(annotations), **more}


def decided(*rows: Any, **params: Any) -> Decisions:
    return decide(table_from_rows(rows, Sample), DuplicatesParams(**params))


def short(decisions: Decisions) -> dict[str, tuple[str, str, str]]:
    return {key: (v.verdict, v.reason, v.duplicate_of) for key, v in decisions.verdicts.items()}


FAR = 0xFFFF


def test_of_equal_bytes_the_smallest_key_is_kept(box: Any) -> None:
    out = decided(picture("a/2", A, box()), picture("a/1", A, box("9")), picture("a/0", B, box(), phash=FAR))
    assert short(out) == {"a/2": ("drop", "duplicate", "a/1")}
    assert out.verdicts["a/2"].message == "'a/1' has the same bytes"
    assert (out.groups, out.merges, out.subsets) == ({}, {}, {})


def test_the_labelled_one_wins(box: Any) -> None:
    out = decided(picture("a/1", A), picture("a/2", A, box(), labelled="partial"), picture("a/3", A, box()))
    assert short(out) == {"a/1": ("drop", "duplicate", "a/3"), "a/2": ("drop", "duplicate", "a/3")}
    assert short(decided(picture("a/2", A), picture("a/1", A))) == {"a/2": ("drop", "duplicate", "a/1")}


CONFLICT = [("a/1", "RBC"), ("a/2", "WBC"), ("a/3", "RBC")]


def conflict(box: Any, **params: Any) -> Decisions:
    return decided(*(picture(key, A, box("0", name)) for key, name in CONFLICT), **params)


def test_labels_that_differ_turn_all_away(box: Any) -> None:
    out = conflict(box)
    assert short(out) == {
        "a/1": ("refuse", "duplicate-labels-differ", "a/2"),
        "a/2": ("refuse", "duplicate-labels-differ", "a/1"),
        "a/3": ("refuse", "duplicate-labels-differ", "a/1"),
    }
    assert out.verdicts["a/2"].message == "'a/1' has the same bytes and other labels"
    assert out.groups == {}


def test_or_all_are_kept_in_one_group(box: Any) -> None:
    for near in ("group", "drop", "keep"):
        out = conflict(box, on_label_conflict="keep", near=near)
        assert out.verdicts == {}
        assert out.groups == {"a/1": "a/1", "a/2": "a/1", "a/3": "a/1"}


def test_or_one_is_kept_with_the_labels_of_all(box: Any) -> None:
    out = conflict(box, on_label_conflict="merge")
    assert short(out) == {"a/2": ("drop", "duplicate", "a/1"), "a/3": ("drop", "duplicate", "a/1")}
    assert out.merges == {"a/1": ("a/2", "a/3")}


def test_a_picture_without_objects_and_one_with_are_a_conflict(box: Any) -> None:
    assert len(decided(picture("a/1", A, box()), picture("a/2", A, labelled="yes")).verdicts) == 2


def test_equal_bytes_may_be_kept_and_share_a_group(box: Any) -> None:
    out = decided(picture("a/2", A, box()), picture("a/1", A), exact="keep", near="keep")
    assert (out.verdicts, out.groups) == ({}, {"a/1": "a/1", "a/2": "a/1"})


def test_near_duplicates_share_a_group(box: Any) -> None:
    rows = [picture("a/1", A, box()), picture("a/2", B, box("0", "WBC"), phash=1), picture("a/3", C, phash=FAR)]
    assert decided(*rows) == Decisions({}, {"a/1": "a/1", "a/2": "a/1"}, {}, {})
    assert decided(*rows, near="keep").groups == {}
    assert decided(*rows, near_distance=0).groups == {}


def test_near_duplicates_with_like_labels_may_go(box: Any) -> None:
    rows = [
        picture("a/1", A, box(), phash=1, width_px=50, height_px=40),
        picture("a/2", B, box("0", at=(20, 20, 41, 40)), width_px=200, height_px=160),
        picture("a/3", C, box("0", "WBC"), phash=2),
        picture("a/4", D, phash=4),
    ]
    rows[0]["annotations"] = [box(at=(5, 5, 10, 10))]
    out = decided(*rows, near="drop")
    assert short(out) == {"a/1": ("drop", "duplicate-near", "a/2"), "a/4": ("drop", "duplicate-near", "a/2")}
    assert out.groups == {"a/2": "a/2", "a/3": "a/2"}


def test_only_what_is_directly_alike_goes(box: Any) -> None:
    chain = [picture(f"a/{i}", f"{i:064x}", box(), phash=(1 << 3 * i) - 1) for i in range(4)]
    out = decided(*chain, near="drop", near_distance=4)
    assert short(out) == {"a/1": ("drop", "duplicate-near", "a/0"), "a/3": ("drop", "duplicate-near", "a/2")}
    assert out.groups == {"a/0": "a/0", "a/2": "a/0"}


def test_what_was_dropped_for_one_that_goes_follows_it(box: Any) -> None:
    rows = [
        picture("a/1", A, box(), width_px=200, height_px=160, subsets=["train"]),
        picture("a/2", B, box(at=(5, 5, 10, 10)), subsets=["val"]),
        picture("a/3", B, box(at=(5, 5, 10, 10)), subsets=["test"]),
    ]
    out = decided(*rows, near="drop")
    assert short(out) == {"a/2": ("drop", "duplicate-near", "a/1"), "a/3": ("drop", "duplicate-near", "a/1")}
    assert out.subsets == {"a/1": ("train", "val", "test")}


def test_the_subsets_of_what_was_dropped_are_kept(box: Any) -> None:
    out = decided(picture("a/1", A, box(), subsets=["train"]), picture("a/2", A, box(), split="test"))
    assert out.subsets == {"a/1": ("train", "test")}


def test_labels_are_fetched_only_of_duplicates(box: Any) -> None:
    rows = [picture("a/1", A, box()), picture("a/2", A, box()), picture("a/3", B, box(), phash=FAR)]
    table = table_from_rows(rows, Sample).drop_columns(["annotations"])
    asked: list[int] = []

    def fetch(places: Any) -> Any:
        asked.extend(places)
        return [rows[place] for place in places]

    assert set(decide(table, DuplicatesParams(), fetch=fetch).verdicts) == {"a/2"}
    assert asked == [0, 1]


label = st.sampled_from([[], ["a"], ["b"], ["a", "b"]])
pictures = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 2), label, st.sampled_from(["yes", "partial"])), min_size=1, max_size=9
)
params = st.builds(
    DuplicatesParams,
    exact=st.sampled_from(["drop", "keep"]),
    near=st.sampled_from(["drop", "group", "keep"]),
    on_label_conflict=st.sampled_from(["refuse", "keep", "merge"]),
)


@given(pictures, params, st.randoms(use_true_random=False))
def test_decisions_do_not_depend_on_order_and_lose_nothing(items: Any, chosen: DuplicatesParams, random: Any) -> None:
    rows = []
    for index, (digest, phash, names, labelled) in enumerate(items):
        boxes = [{"id": n, "kind": "box", "category": n, "bbox_xywh_px": [9.0, 9.0, 9.0, 9.0]} for n in names]
        row = picture(f"a/{index}", f"{digest:064x}", *boxes, phash=digest * 1000 + phash)
        rows.append({**row, "labelled": labelled if names else "no"})
    out = decide(table_from_rows(rows, Sample), chosen)
    shuffled = list(rows)
    random.shuffle(shuffled)
    assert decide(table_from_rows(shuffled, Sample), chosen) == out
    by_key = {row["key"]: row for row in rows}
    kept = set(by_key) - set(out.verdicts)
    for key, verdict in out.verdicts.items():
        if verdict.verdict == "drop":
            assert verdict.duplicate_of in kept
            assert by_key[verdict.duplicate_of]["labelled"] != "no" or by_key[key]["labelled"] == "no" or out.merges
        else:
            twins = [row for row in rows if row["digest"] == by_key[key]["digest"]]
            assert any(not labels_equal(a, b) for a in twins for b in twins)
    assert set(out.groups) <= kept
    assert all(name in kept and out.groups[name] == name for name in out.groups.values())
    assert set(out.merges) <= kept


@pytest.mark.realdata
def test_real_duplicates(shared_data: Any) -> None:
    import hashlib

    from dsetkit.imaging.probe import probe

    rows = []
    for path in sorted((shared_data / "raccoon" / "images").glob("*.jpg")):
        data = path.read_bytes()
        row = {"key": f"r/{path.stem}", "digest": hashlib.sha256(data).hexdigest(), **probe(data, max_pixels=10**8)}
        rows.append(row)
    out = decided(*rows, near="keep")
    pairs = {tuple(sorted((key, v.duplicate_of))) for key, v in out.verdicts.items()}
    assert pairs == {
        ("r/raccoon-65", "r/raccoon-98"),
        ("r/raccoon-120", "r/raccoon-83"),
        ("r/raccoon-11", "r/raccoon-116"),
        ("r/raccoon-52", "r/raccoon-74"),
    }
    near = decided(*rows)
    assert near.groups["r/raccoon-45"] == "r/raccoon-21"
    assert near.groups["r/raccoon-85"] == "r/raccoon-51"
    assert len(near.groups) == 6
