"""Counting columns gives what counting rows gives."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dsetkit.snapshots.tally import Tally
from dsetkit.spec.arrow import table_from_rows
from dsetkit.spec.sample import Sample

_NAMES = st.sampled_from(["cat", "dog", "é"])
_ANNOTATION: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"id": st.just("1"), "kind": st.just("image_label")},
    optional={
        "category": _NAMES,
        "categories": st.lists(_NAMES, max_size=3),
        "track": st.fixed_dictionaries({"id": st.just("7"), "outside": st.booleans()}),
    },
)
_ROW: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"key": st.just("a")},
    optional={"split": st.sampled_from(["train", "val"]), "annotations": st.lists(_ANNOTATION, max_size=3)},
)


@given(st.lists(_ROW, max_size=5))
def test_a_table_counts_as_its_rows_do(rows: list[dict[str, Any]]) -> None:
    by_row, by_table = Tally(), Tally()
    for row in rows:
        by_row.add_kept(row)
    by_table.add_table(table_from_rows(rows, Sample))
    assert by_table.counted() == by_row.counted()


def test_what_is_not_in_the_frame_is_written_down_and_shows_no_category() -> None:
    tally = Tally()
    gone = {"id": "1", "kind": "image_label", "category": "cat", "track": {"id": "7", "outside": True}}
    tally.add_kept({"key": "a", "annotations": [gone, {**gone, "id": "2", "track": {"id": "7"}}]})
    assert (tally.counted()["annotations"], tally.counted()["per_category"]) == (2, {"cat": 1})
