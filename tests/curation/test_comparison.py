from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.curation.comparison import is_labelled, labels_alike, labels_equal, merge_samples

KEYPOINTS = {"id": "0", "kind": "keypoints", "keypoints": [{"name": "a", "x": 1.0, "y": 2.0}]}
POLYGON = {"id": "0", "kind": "polygon", "polygons": [[[0, 0, 9, 0, 9, 9]]]}


def test_ids_order_issues_and_rounding_do_not_count(box: Any, sample: Any) -> None:
    one = sample("a/1", box("0"), box("1", "WBC"), POLYGON)
    other = sample(
        "a/2",
        {**POLYGON, "id": "x"},
        box("7", "WBC", annotator="eve", score=0.5, issues=[{"code": "clipped"}]),
        box("8", at=(10.0000005, 10, 20, 20)),
    )
    assert labels_equal(one, other)
    assert labels_equal(other, one)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("category", "WBC"),
        ("kind", "polygon"),
        ("bbox_xywh_px", [10, 10, 20, 20.001]),
        ("attributes", {"occluded": True}),
        ("text", "ABC"),
        ("is_crowd", True),
        ("status", "declined"),
        ("categories", ["RBC", "cell"]),
        ("polygons", [[[0, 0, 9, 0, 9, 9]]]),
    ],
)
def test_what_counts(box: Any, sample: Any, field: str, value: Any) -> None:
    assert not labels_equal(sample("a/1", box()), sample("a/2", {**box(), field: value}))


def test_how_often_counts(box: Any, sample: Any) -> None:
    assert not labels_equal(sample("a/1", box()), sample("a/2", box("0"), box("1")))
    moved = {**KEYPOINTS, "keypoints": [{"name": "b", "x": 1.0, "y": 2.0}]}
    assert not labels_equal(sample("a/1", KEYPOINTS), sample("a/2", moved))


def test_what_is_labelled(box: Any) -> None:
    assert not is_labelled({"key": "a/1"})
    assert is_labelled({"key": "a/1", "labelled": "yes"})
    assert is_labelled({"key": "a/1", "annotations": [box()]})


def test_alike_goes_by_relative_boxes(box: Any, sample: Any) -> None:
    one = sample("a/1", box("0"), box("1", at=(50, 10, 20, 20)))
    half = sample("a/2", box("0", at=(25, 5, 10, 10)), box("1", at=(5, 5, 10, 11)), width_px=50, height_px=40)
    assert labels_alike(one, half)
    assert not labels_equal(one, half)
    assert not labels_alike(one, {**half, "width_px": 100, "height_px": 80})
    assert not labels_alike(one, sample("a/3", box("0")))
    assert not labels_alike(sample("a/1", box("0")), sample("a/2", box("0", "WBC")))
    image_label = {"id": "0", "kind": "image_label", "category": "cell"}
    assert labels_alike(sample("a/1", image_label), sample("a/2", image_label))


def test_merging_takes_equal_annotations_once_and_renames_ids(box: Any, sample: Any) -> None:
    one = sample("a/1", box("0"), subsets=["train"], attributes={"stain": "x"}, labelled="partial")
    other = sample(
        "a/2",
        box("5"),
        box("0", "WBC", relations=[{"kind": "part_of", "target": "5"}]),
        box("1", "Platelets", based_on="0"),
        subsets=["test"],
        attributes={"stain": "y", "lab": 3},
        absent_categories=["dirt", "RBC"],
    )
    merged = merge_samples([one, other])
    assert merged == {
        **one,
        "labelled": "yes",
        "subsets": ["train", "test"],
        "attributes": {"stain": "x", "lab": 3},
        "absent_categories": ["dirt"],
        "annotations": [
            box("0"),
            box("2:0", "WBC", relations=[{"kind": "part_of", "target": "0"}]),
            box("1", "Platelets", based_on="2:0"),
        ],
    }


number = st.integers(0, 3).map(float)
boxes = st.lists(st.tuples(number, number, number, number, st.sampled_from("ab")), max_size=5)


@given(boxes, boxes, st.randoms(use_true_random=False))
def test_merging_loses_nothing_and_equality_is_one(first: Any, second: Any, random: Any) -> None:
    def row(key: str, items: Any) -> Any:
        items = [
            {"id": str(i), "kind": "box", "category": item[4], "bbox_xywh_px": item[:4]} for i, item in enumerate(items)
        ]
        return {"key": key, "annotations": items}

    one, other = row("a", first), row("b", second)
    assert labels_equal(one, other) == (sorted(first) == sorted(second)) == labels_equal(other, one)
    shuffled = list(first)
    random.shuffle(shuffled)
    assert labels_equal(one, row("c", shuffled))
    assert labels_alike(one, row("c", shuffled))
    merged = merge_samples([one, other]).get("annotations", [])
    assert len({item["id"] for item in merged}) == len(merged)
    assert {(*item["bbox_xywh_px"], item["category"]) for item in merged} == {*first, *second}
    assert merged[: len(first)] == one["annotations"]


def test_what_is_not_in_the_frame_is_no_label_and_is_not_lost(box: Any, sample: Any) -> None:
    gone = box("1", track={"id": "7", "outside": True})
    here = {**gone, "track": {"id": "7"}}
    assert labels_equal(sample("a/1", box(), gone), sample("a/2", box()))
    assert labels_alike(sample("a/1", box(), gone), sample("a/2", box()))
    assert not labels_equal(sample("a/1", gone), sample("a/2", here))
    assert is_labelled({"key": "a/1", "annotations": [gone]})
    merged = merge_samples([sample("a/1", gone, absent_categories=["RBC"]), sample("a/2", here)])
    assert [item["id"] for item in merged["annotations"]] == ["1", "2:1"]
    assert "absent_categories" not in merged
    alone = merge_samples([sample("a/1", gone, absent_categories=["RBC"]), sample("a/2", gone)])
    assert (alone["annotations"], alone["absent_categories"]) == ([gone], ["RBC"])
