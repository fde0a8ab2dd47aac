from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.curation.splits import assign_splits, split_of
from dsetkit.errors import ParamsError
from dsetkit.spec.params import SplitParams


def assign(keys: Any, subsets: Any = None, params: SplitParams | None = None, **more: Any) -> Any:
    return assign_splits(list(keys), params or SplitParams(), subsets=subsets or [()] * len(keys), **more)


@pytest.mark.parametrize(
    ("subset", "split"),
    [
        *(("train", "train"), ("Training", "train"), ("train2017", "train")),
        *(("val", "val"), ("valid", "val"), ("VALIDATION", "val"), ("dev", "val"), ("val2014", "val")),
        *(("test", "test"), ("testing", "test"), ("test2015", "test")),
        *(("trainval", None), ("fold1", None), ("", None), ("2017", None), ("holdout", None), ("test-dev", None)),
    ],
)
def test_names_of_splits(subset: str, split: str | None) -> None:
    assert split_of(subset) == split


def test_names_in_ratios_mean_themselves() -> None:
    assert split_of("holdout", ["train", "holdout"]) == "holdout"
    assert split_of("val", ["train", "valid"]) == "valid"
    assert split_of("dev", ["train", "val", "dev"]) == "dev"


def test_given_splits_are_kept() -> None:
    out = assign(["a", "b", "c"], [["train", "fold1"], ["valid"], ["trainval", "test"]])
    assert out.split == ["train", "val", "test"]
    assert out.split_group == [None] * 3
    assert out.issues == ()


def test_of_several_the_most_held_out_is_taken() -> None:
    out = assign(["a"], [["train", "test", "val"]])
    assert out.split == ["test"]
    assert [issue.model_dump(exclude_defaults=True) for issue in out.issues] == [
        {
            "code": "split-several",
            "severity": "warning",
            "message": "its source puts it into 'test', 'val', 'train'; 'test', the most held-out, is taken",
            "key": "a",
            "hint": "Set clean.split.given: ignore to split anew, or give each group one split by a correction.",
        }
    ]


def test_a_leak_is_closed_and_told() -> None:
    out = assign(
        ["a/1", "a/2", "a/3", "b"],
        [["train"], ["test"], [], ["train"]],
        groups=dict.fromkeys(["a/1", "a/2", "a/3"], "a/1"),
    )
    assert out.split == ["test", "test", "test", "train"]
    assert out.split_group == ["a/1", "a/1", "a/1", None]
    assert [(issue.code, issue.key, issue.message) for issue in out.issues] == [
        (
            "split-leak-closed",
            "a/1",
            "group 'a/1' has samples of several splits (1 in 'test', 1 in 'train'); all 3 go to 'test'",
        )
    ]


def test_what_somebody_decided_goes_first() -> None:
    groups = {"a": "a", "b": "a"}
    out = assign(["a", "b"], [["test"], ["train"]], groups=groups, splits=[None, "train"])
    assert out.split == ["train", "train"]
    assert out.issues[0].key == "a"
    ignored = assign(["a", "b"], [["test"], ["test"]], SplitParams(given="ignore", ratios={}), splits=["val", None])
    assert ignored.split == ["val", None]


def test_groups_by_pattern_by_name_and_by_likeness_hang_together() -> None:
    keys = ["s/p1/a", "s/p1/b", "s/p2/a", "s/x", "s/y", "s/z"]
    out = assign(
        keys,
        params=SplitParams(group_by="/(p[0-9]+)/", ratios={"train": 0.5, "test": 0.5}),
        groups={"s/p1/b": "s/p1/b", "s/x": "s/p1/b"},
        split_groups=[None, None, None, None, "twins", "twins"],
    )
    assert out.split_group == ["p1", "p1", "p2", "p1", "twins", "twins"]
    assert len({*out.split[:2], out.split[3]}) == 1
    assert out.split[4] == out.split[5]


def test_patterns() -> None:
    out = assign(["s/p1_d2.jpg", "s/other.jpg"], params=SplitParams(group_by=r"p(\d)_d(\d)|(nothing)"))
    assert out.split_group == ["1/2", None]
    assert assign(["s/p1_d2.jpg"], params=SplitParams(group_by=r"p\d")).split_group == ["p1"]
    with pytest.raises(ParamsError, match=r"clean.split.group_by '\(' is no regular expression"):
        assign(["a"], params=SplitParams(group_by="("))


def test_ratios_are_kept_and_their_order_does_not_matter() -> None:
    keys = [f"s/{number}" for number in range(20_000)]
    out = assign(keys, params=SplitParams(ratios={"train": 0.7, "val": 0.1, "test": 0.2, "unused": 0.0}))
    counts = Counter(out.split)
    assert {name: round(count / len(keys), 2) for name, count in counts.items()} == {
        "train": 0.7,
        "val": 0.1,
        "test": 0.2,
    }
    assert assign(keys, params=SplitParams(ratios={"test": 0.2, "val": 0.1, "train": 0.7})).split == out.split
    assert assign(keys, params=SplitParams(seed=1)).split != assign(keys).split
    assert assign(keys[:9], params=SplitParams(ratios={})).split == [None] * 9


def test_the_draw_stays_what_it_is() -> None:
    """A change here would move samples of every dataset to other splits."""
    keys = [f"blood/{number}.jpg" for number in range(24)]
    out = assign(keys, params=SplitParams(ratios={"train": 0.5, "val": 0.25, "test": 0.25}))
    assert "".join(name[1] for name in out.split) == "rrrererrrrreeaeereaaaeee"  # second letters: tRain, vAl, tEst


key = st.text("abc/12", min_size=1, max_size=5)


@given(
    st.dictionaries(
        key, st.tuples(st.sampled_from([(), ("train",), ("test",), ("val", "x")]), st.integers(0, 3)), min_size=1
    ),
    st.sampled_from([None, "[12]", "(a)|b"]),
    st.randoms(use_true_random=False),
)
def test_no_group_spans_splits_whatever_the_order(
    rows: dict[str, tuple[tuple[str, ...], int]], group_by: str | None, shuffle: random.Random
) -> None:
    params = SplitParams(group_by=group_by)
    clusters = {name: str(number) for name, (_, number) in rows.items() if number}
    names = list(rows)
    out = assign(names, [rows[name][0] for name in names], params, groups=clusters)
    split = dict(zip(names, out.split, strict=True))
    group = dict(zip(names, out.split_group, strict=True))
    for one in names:
        for other in names:
            if (group[one] is not None and group[one] == group[other]) or (
                clusters.get(one) is not None and clusters.get(one) == clusters.get(other)
            ):
                assert split[one] == split[other]
    shuffle.shuffle(names)
    again = assign(names, [rows[name][0] for name in names], params, groups=clusters)
    assert dict(zip(names, again.split, strict=True)) == split
    assert dict(zip(names, again.split_group, strict=True)) == group
    assert again.issues == out.issues


@given(st.sets(key, min_size=2, max_size=20), st.data())
def test_more_samples_move_nobody(names: set[str], data: st.DataObject) -> None:
    some = data.draw(st.sets(st.sampled_from(sorted(names))))
    everything = dict(zip(sorted(names), assign(sorted(names)).split, strict=True))
    assert assign(sorted(some)).split == [everything[name] for name in sorted(some)]
