from __future__ import annotations

from dsetkit.formats.labelset import LabelSet
from dsetkit.spec.arrow import arrow_schema, table_from_rows
from dsetkit.spec.category import Category
from dsetkit.spec.issue import Issue
from dsetkit.spec.sample import Sample

ROWS = [
    {"key": "b.jpg", "labelled": "yes"},
    {"key": "a.jpg", "annotations": [{"id": "0", "kind": "image_label", "category": "cat"}]},
]


def test_rows_are_sorted_by_key_and_become_a_table_of_the_schema():
    labels = LabelSet.from_rows(ROWS, [Category(name="cat", index=0)])
    assert len(labels) == 2
    assert [row["key"] for row in labels.rows] == ["a.jpg", "b.jpg"]
    assert labels.table.schema.equals(arrow_schema(Sample))
    assert labels.table.column("key").to_pylist() == ["a.jpg", "b.jpg"]
    samples = list(labels)
    assert samples[0].annotations[0].category == "cat"
    assert repr(labels) == "LabelSet(2 samples, 1 categories, 0 issues)"


def test_a_table_becomes_rows():
    labels = LabelSet(table_from_rows(ROWS[::-1], Sample))
    assert len(labels) == 2
    assert labels.rows == ({**ROWS[1]}, ROWS[0])


def test_more_issues_leave_the_set_as_it_was():
    labels = LabelSet.from_rows(ROWS, issues=[Issue(code="a", message="a")])
    more = labels.with_issues([Issue(code="b", message="b")])
    assert [issue.code for issue in more.issues] == ["b", "a"]
    assert [issue.code for issue in labels.issues] == ["a"]
    assert more.rows is labels.rows
    assert labels.with_issues([]) is labels
