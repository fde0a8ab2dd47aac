from __future__ import annotations

import pytest

from dsetkit.formats.join import join
from dsetkit.formats.labelset import LabelSet
from dsetkit.spec.arrow import rows_from_table
from dsetkit.spec.category import Category
from dsetkit.spec.sample import Sample
from dsetkit.spec.snapshot import License


def box(number: str, **more):
    return {"id": number, "kind": "box", "category": "cat", "bbox_xywh_px": (0.0, 0.0, 1.0, 1.0), **more}


def test_pictures_nobody_labelled_become_rows():
    joined = join([(LabelSet.from_rows([{"key": "b.jpg", "labelled": "yes"}]), None)], ["c.jpg", "b.jpg", "a.jpg"])
    assert joined.rows == ({"key": "a.jpg"}, {"key": "b.jpg", "labelled": "yes"}, {"key": "c.jpg"})
    assert joined.issues == ()


def test_a_picture_that_is_not_there_is_an_issue_and_stays():
    joined = join([(LabelSet.from_rows([{"key": "b.jpg"}]), None)], ["a.jpg"])
    assert [row["key"] for row in joined.rows] == ["a.jpg", "b.jpg"]
    assert [issue.describe() for issue in joined.issues] == [
        "b.jpg: the labels name b.jpg, which is not there. "
        "Put the picture there, or take it out of the labels. [picture-missing]"
    ]


@pytest.mark.parametrize("pictures", [["b.jpg"], ["a.jpg", "b.jpg", "é.jpg", "z.jpg"], ["a.jpg", "c.jpg"], []])
def test_a_set_in_columns_is_joined_as_one_in_rows(pictures: list[str]):
    rows = [{"key": "b.jpg", "annotations": [box("1")], "width_px": 3}, {"key": "c.jpg", "labelled": "yes"}]
    facts = (Category(index=4, name="cat", source_ids=("7",)),), {"year": 2026}, (License(name="MIT"),) * 2
    in_rows = LabelSet.from_rows(rows, *facts)
    in_columns = LabelSet(in_rows.table, *facts)
    first, second = (join([(labels, None)], pictures) for labels in (LabelSet.from_rows(rows, *facts), in_columns))
    assert first.table.equals(second.table)
    assert rows_from_table(first.table, Sample) == list(second.rows)
    assert (first.categories, first.info, first.licenses) == (second.categories, second.info, second.licenses)
    assert [issue.describe() for issue in first.issues] == [issue.describe() for issue in second.issues]


def test_ids_that_collide_get_the_sets_number_and_references_follow():
    first = LabelSet.from_rows([{"key": "a", "annotations": [box("1"), box("1:1")]}])
    relation = {"kind": "part_of", "target": "1"}
    second = LabelSet.from_rows(
        [{"key": "a", "annotations": [box("1"), box("2", based_on="1", relations=[relation]), box("3", annotator="x")]}]
    )
    joined = join([(first, None), (second, "ann")], ["a"])
    assert joined.rows[0]["annotations"] == [
        box("1"),
        box("1:1"),
        box("1:1:1", annotator="ann"),
        box("2", annotator="ann", based_on="1:1:1", relations=[{"kind": "part_of", "target": "1:1:1"}]),
        box("3", annotator="x"),
    ]


def test_facts_of_two_sets_about_one_picture():
    first = {
        "key": "a",
        "width_px": 4,
        "height_px": 3,
        "subsets": ["train"],
        "labelled": "partial",
        "attributes": {"x": 1},
    }
    second = {"key": "a", "width_px": 5, "height_px": 3, "subsets": ["train", "fold1"], "attributes": {"x": 2, "y": 3}}
    joined = join([(LabelSet.from_rows([first]), None), (LabelSet.from_rows([second]), None)], ["a"])
    assert joined.rows == (
        {
            "key": "a",
            "width_px": 4,
            "height_px": 3,
            "subsets": ["train", "fold1"],
            "labelled": "partial",
            "attributes": {"x": 1, "y": 3},
        },
    )
    assert [issue.code for issue in joined.issues] == ["size-differs"]


def test_categories_info_licenses_and_issues_are_put_together():
    one = LabelSet.from_rows([], [Category(name="cat", index=0)], {"year": 2017}, [License(name="CC0")])
    two = LabelSet.from_rows(
        [],
        [Category(name="dog", index=0), Category(name="cat", index=1)],
        {"year": 2018, "by": "x"},
        [License(name="CC0")],
    )
    joined = join([(one, None), (two, None)], [])
    assert [(category.name, category.index) for category in joined.categories] == [("cat", 0), ("dog", 1)]
    assert joined.info == {"year": 2017, "by": "x"}
    assert joined.licenses == (License(name="CC0"),)


def test_sets_are_not_changed():
    rows = [{"key": "a", "annotations": [box("1")]}]
    labels = LabelSet.from_rows(rows)
    join([(labels, "ann"), (labels, None)], ["a"])
    assert rows == [{"key": "a", "annotations": [box("1")]}]
    assert labels.rows == tuple(rows)
