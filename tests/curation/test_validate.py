from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Literal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.curation.contract import Contract, validate
from dsetkit.errors import UsageError
from dsetkit.spec.annotation import Annotation
from dsetkit.spec.arrow import table_from_rows
from dsetkit.spec.category import Category
from dsetkit.spec.sample import Sample


class Label(Annotation):
    kind: Literal["box"]
    category: Literal["RBC", "WBC"]


@pytest.fixture
def rows(box: Any, sample: Any) -> list[Any]:
    return [sample("a/1.jpg", box("0")), sample("a/2.jpg", box("0", "WBC"), box("1", "wbc"))]


MESSAGE = "category 'wbc' is not one of 'RBC', 'WBC'"


def test_all_shapes_of_labels_give_the_same(rows: list[Any]) -> None:
    table = table_from_rows(rows, Sample)
    snapshot = SimpleNamespace(iter_tables=lambda: iter([table.slice(0, 1), table.slice(1)]))
    for labels in (table, SimpleNamespace(table=table), snapshot, rows, map(Sample.model_validate, rows)):
        (issue,) = validate(labels, Label)
        assert (issue.code, issue.message, issue.key, issue.annotation_id, issue.severity) == (
            "contract-category",
            MESSAGE,
            "a/2.jpg",
            "1",
            "error",
        )
    assert validate(rows[:1], Contract(Label)) == []
    assert validate(rows[0], Label) == []


def test_loose_annotations_say_where_they_stand(box: Any) -> None:
    for labels in ([box(), box("7", "wbc")], [Annotation(**box()), Annotation(**box("7", "wbc"))]):
        (issue,) = validate(labels, Label)
        assert issue.describe() == f"[1]: {MESSAGE}. [contract-category]"
        assert issue.annotation_id == "7"
    (issue,) = validate(table_from_rows([box(), box("7", "wbc")], Annotation), Label)
    assert issue.annotation_id == "7"


def test_categories_must_be_among_those_the_labels_list(rows: list[Any]) -> None:
    labels = SimpleNamespace(table=table_from_rows(rows, Sample), categories=(Category(name="WBC", index=0),))
    assert [(issue.code, issue.message) for issue in validate(labels, Annotation)] == [
        ("category-undefined", "category 'RBC' is not among the labels' categories"),
        ("category-undefined", "category 'wbc' is not among the labels' categories; the nearest is 'WBC'"),
    ]


def test_a_sample_s_own_fields_are_checked_too(box: Any) -> None:
    labels = [
        {"key": "../up", "width_px": "wide", "annotations": {"0": box()}},
        {"key": "a/1.jpg", "annotations": [box()], "colour": 1},
        "nothing",
    ]
    assert [(issue.code, issue.message) for issue in validate(labels, Label)] == [
        ("contract-key", "key: a key is a relative path without empty, '.' or '..' parts: '../up'"),
        ("contract-width_px", "width_px 'wide' should be a valid integer, unable to parse string as an integer"),
        ("contract-annotations", "annotations should be a list"),
        ("contract-unknown-field", "'colour' is not a field of it"),
        ("contract-not-a-label", "'nothing' is neither a sample nor an annotation"),
    ]


def test_a_table_of_another_make_is_checked_as_dicts() -> None:
    table = pa.table({"id": ["0", "1"], "kind": ["box", "box"], "category": ["RBC", None], "colour": [None, "red"]})
    assert [(issue.code, issue.place) for issue in validate(table, Label)] == [
        ("contract-missing-category", "[1]"),
        ("contract-unknown-field", "[1]"),
    ]


@pytest.mark.parametrize("labels", [3, "labels.json", None])
def test_what_is_no_labels(labels: Any) -> None:
    with pytest.raises(UsageError, match=r"cannot validate .* Hand over a label set"):
        validate(labels, Label)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=3),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from(["key", "annotations", "id", "kind", "category", "relations"]), children)
    ),
    max_leaves=10,
)


@given(st.lists(anything, max_size=4))
def test_bad_data_never_raises(labels: list[Any]) -> None:
    for schema in (Label, Sample):
        assert all(issue.code for issue in validate(labels, schema))
