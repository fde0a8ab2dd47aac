"""Rows and tables: what goes in comes out, and the schema is the documents'."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.spec.annotation import Annotation, is_outside
from dsetkit.spec.arrow import arrow_schema, iter_rows, keep_annotations, outside_mask, rows_from_table, table_from_rows
from dsetkit.spec.base import canonical_json
from dsetkit.spec.sample import Rejected, Sample

numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: value + 0.0)
text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
objects = st.dictionaries(text, st.one_of(st.integers(-9, 9), numbers, text, st.booleans(), st.none()), max_size=2)


def sparse(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


annotations = st.builds(
    lambda number, rest: {"id": str(number), "kind": "polygon", **rest},
    st.integers(0, 99),
    sparse(
        category=text,
        categories=st.lists(text, max_size=2),
        bbox_xywh_px=st.lists(numbers, min_size=4, max_size=4),
        rotated_box=st.fixed_dictionaries(dict.fromkeys(("cx", "cy", "w", "h", "angle"), numbers)),
        polygons=st.lists(st.lists(st.lists(numbers, min_size=2, max_size=4), max_size=2), max_size=2),
        keypoints=st.lists(
            st.builds(
                lambda name, x, v: {"name": name, "x": x, "y": x, "visibility": v}, text, numbers, st.integers(0, 2)
            ),
            max_size=2,
        ),
        mask=st.just({"size": [2, 3], "counts": "abc"}),
        attributes=objects,
        is_crowd=st.booleans(),
        score=numbers,
        text=text,
        issues=st.lists(st.fixed_dictionaries({"code": text}, optional={"message": text}), max_size=2),
        relations=st.lists(st.fixed_dictionaries({"kind": text, "target": text}), max_size=1),
        status=st.sampled_from(["proposed", "accepted"]),
    ),
)
rows = st.builds(
    lambda number, rest: {"key": f"s/{number}", **rest},
    st.integers(0, 999),
    sparse(
        annotations=st.lists(annotations, max_size=3),
        phash=st.integers(0, 2**64 - 1),
        width_px=st.integers(1, 9999),
        brightness=st.floats(0, 1),
        labelled=st.sampled_from(["no", "partial", "yes"]),
        subsets=st.lists(text, max_size=2),
        attributes=objects,
        provenance=sparse(uri=text, frame=st.integers(0, 9)),
        recipe=st.just({"name": "flip", "steps": [{"op": "flip", "values": {"axis": "both"}}]}),
    ),
)


@given(st.lists(rows, max_size=5))
def test_rows_go_through_a_table_unchanged(items: list[dict[str, Any]]) -> None:
    table = table_from_rows(items, Sample)
    table.validate(full=True)
    assert table.schema == arrow_schema(Sample)
    back = rows_from_table(table, Sample)
    expected = [Sample.model_validate(row) for row in items]
    assert [Sample.model_validate(row) for row in back] == expected
    assert back == [_plain(document.to_row()) for document in expected]  # just as sparse as documents say
    halves = [table.slice(0, len(items) // 2), table.slice(len(items) // 2)]
    assert list(iter_rows(halves, Sample, batch_rows=2)) == back


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def test_some_columns_make_rows_too() -> None:
    table = table_from_rows([{"key": "a/b", "width_px": 3}, {"key": "a/c"}], Sample).select(["width_px"])
    assert rows_from_table(table, Sample) == [{"width_px": 3}, {}]
    assert rows_from_table(table.slice(1), Sample) == [{}]
    assert rows_from_table(table.slice(2), Sample) == []


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"key": "a", "width": 3},
        {"key": "a", "brightness": float("nan")},
        {"key": "a", "width_px": "wide"},
        {"key": "a", "annotations": [{"kind": "box"}]},
        {"key": "a", "annotations": [{"id": "0", "kind": "box", "bbox_xywh_px": [1.0, None]}]},
    ],
)
def test_what_fits_no_column_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        table_from_rows([row], Sample)


def test_the_schema_is_flat_where_documents_are_and_nullable_where_they_are_optional() -> None:
    schema = arrow_schema(Rejected)
    assert schema.names[: len(arrow_schema(Sample))] == arrow_schema(Sample).names
    assert schema.field("phash").type == pa.uint64()
    assert schema.field("attributes").type == pa.string()
    assert schema.field("shard").nullable
    assert not schema.field("annotations").nullable
    assert arrow_schema(Annotation).field("bbox_xywh_px").type.value_type == pa.float64()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_json_is_what_the_standard_library_writes(value: Any) -> None:
    written = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    assert canonical_json(value) == written


def test_json_has_one_text() -> None:
    assert canonical_json({"b": [1, 1.0, -0.0, None, True], "a": "é\n"}) == '{"a":"é\\n","b":[1,1.0,0.0,null,true]}'
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite"):
            canonical_json({"x": bad})


frames = st.fixed_dictionaries(
    {"id": st.integers(0, 99).map(str), "kind": st.just("box")},
    optional={"track": st.fixed_dictionaries({"id": st.just("7")}, optional={"outside": st.booleans()})},
)


@given(st.lists(st.lists(frames, max_size=4), max_size=6), st.integers(0, 6), st.integers(0, 6))
def test_annotations_are_kept_in_columns_as_they_are_in_rows(lists: Any, low: int, cut: int) -> None:
    rows = [{"key": f"a/{number}", "annotations": items} for number, items in enumerate(lists)]
    whole = table_from_rows(rows, Sample)
    table = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)]).slice(low)
    kept = keep_annotations(table, lambda items: ~outside_mask(items))
    kept.validate(full=True)
    assert kept.schema == table.schema
    expected = [[one for one in row["annotations"] if not is_outside(one)] for row in rows[low:]]
    found = rows_from_table(kept, Sample)
    ids = [[one["id"] for one in items] for items in expected]
    assert [[one["id"] for one in row.get("annotations", ())] for row in found] == ids
    assert (kept is table) == (expected == [row["annotations"] for row in rows[low:]])


def test_without_the_column_nothing_is_outside() -> None:
    assert outside_mask(pa.array([{"id": "0"}], pa.struct([("id", pa.string())]))).tolist() == [False]
    track = pa.struct([("id", pa.string())])
    assert not np.any(outside_mask(pa.array([{"track": {"id": "7"}}], pa.struct([("track", track)]))))
    assert not any(is_outside({"track": value}) for value in (None, 7, {}, {"outside": 1}, {"outside": False}))
