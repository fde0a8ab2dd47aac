"""What rows and snapshots mean."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsetkit.snapshots.fingerprint import fingerprint, row_digest
from dsetkit.spec.arrow import Row, rows_from_table, table_from_rows
from dsetkit.spec.base import digest_of
from dsetkit.spec.category import Category
from dsetkit.spec.sample import MEANING, Rejected, Sample

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
NUMBER = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)
FLAT = st.lists(NUMBER, max_size=6)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Row]:
    return st.fixed_dictionaries({}, optional=fields)


ANNOTATION = st.builds(
    lambda needed, more: {**needed, **more},
    st.fixed_dictionaries({"id": TEXT.filter(bool), "kind": st.sampled_from(["box", "polygon", "caption"])}),
    some(
        category=TEXT,
        categories=st.lists(TEXT, max_size=2),
        bbox_xywh_px=st.lists(NUMBER, min_size=4, max_size=4) | st.none(),
        rotated_box=st.fixed_dictionaries(dict.fromkeys(("cx", "cy", "w", "h", "angle"), NUMBER)),
        polygons=st.lists(st.lists(FLAT, max_size=2), max_size=2),
        polyline=FLAT.map(tuple),
        mask=st.fixed_dictionaries({"size": st.lists(st.integers(0, 99), min_size=2, max_size=2), "counts": TEXT}),
        ellipse=st.fixed_dictionaries(dict.fromkeys(("cx", "cy", "rx", "ry"), NUMBER)),
        keypoints=st.lists(
            st.fixed_dictionaries({"name": TEXT, "x": NUMBER, "y": NUMBER, "visibility": st.integers(0, 2)}), max_size=2
        ),
        attributes=OBJECT,
        extras=OBJECT,
        score=NUMBER,
        status=st.sampled_from(["accepted", "proposed"]),
        is_crowd=st.booleans(),
        track=st.fixed_dictionaries({"id": TEXT}, optional={"keyframe": st.booleans()}) | st.none(),
        issues=st.lists(st.fixed_dictionaries({"code": TEXT}, optional={"message": TEXT}), max_size=2),
    ),
)
ROW = st.builds(
    lambda key, more: {"key": f"s/{key}", **more},
    st.text("abc", min_size=1, max_size=3),
    some(
        digest=st.just("a" * 64),
        split=TEXT,
        subsets=st.lists(TEXT, max_size=2),
        labelled=st.sampled_from(["no", "partial", "yes"]),
        annotations=st.lists(ANNOTATION, max_size=3),
        attributes=OBJECT,
        provenance=some(source=TEXT, frame=st.integers(0, 99), time_s=NUMBER) | st.none(),
        responses=st.lists(st.fixed_dictionaries({"annotator": TEXT}, optional={"seconds": NUMBER}), max_size=2),
        recipe=st.fixed_dictionaries(
            {"name": TEXT},
            optional={
                "variant": st.integers(0, 9),
                "steps": st.lists(st.fixed_dictionaries({"op": TEXT}, optional={"values": OBJECT}), max_size=2),
            },
        ),
        width_px=st.integers(1, 9),
        sharpness=NUMBER,
        phash=st.integers(0, 2**64 - 1),
        made_from=st.just("b" * 64),
    ),
)


def stated_digest(row: Row) -> str:
    """The definition, step by step: of the row as it reads back from a table."""
    back = rows_from_table(table_from_rows([row], Sample), Sample)[0]
    return digest_of({name: value for name, value in back.items() if name in MEANING})


@settings(max_examples=16)
@given(ROW)
def test_row_digest_is_what_is_stated(row: Row) -> None:
    assert row_digest(row) == stated_digest(row)


@settings(max_examples=16)
@given(ROW)
def test_a_row_and_the_same_row_read_back_mean_the_same(row: Row) -> None:
    table = table_from_rows([row], Sample)
    assert row_digest(rows_from_table(table, Sample)[0]) == row_digest(row)
    assert row_digest(table.to_pylist()[0]) == row_digest(row)  # dense
    assert row_digest(Sample.model_validate(row).to_row()) == row_digest(row)


def test_the_exact_bytes() -> None:
    row = {
        "key": "s/ä.jpg",
        "digest": "a" * 64,
        "split": None,
        "labelled": "no",
        "annotations": [{"kind": "box", "id": "0", "bbox_xywh_px": [1, -0.0, 2.5, 1e16], "attributes": {"n": 1}}],
        "width_px": 640,
        "shard": "anything",
    }
    text = (
        '{"annotations":[{"attributes":{"n":1},"bbox_xywh_px":[1.0,0.0,2.5,1e+16],"id":"0","kind":"box"}],'
        f'"digest":"{"a" * 64}","key":"s/ä.jpg"}}'
    )
    assert row_digest(row) == hashlib.sha256(text.encode()).hexdigest()


def test_only_meaning_counts() -> None:
    row = {"key": "s/a", "annotations": []}
    same = {"key": "s/a", "size_bytes": 5, "phash": 3, "made_from": "b" * 64, "row_digest": "c" * 64, "attributes": {}}
    assert row_digest(row) == row_digest(same)
    assert row_digest(row) == row_digest({**row, "reason": "duplicate", "what": "sample"})
    assert row_digest(row) != row_digest({**row, "split": "train"})
    assert row_digest({**row, "provenance": {}}) != row_digest(row)
    assert row_digest({**row, "split": ""}) != row_digest(row)
    assert set(MEANING) < set(Sample.model_fields) < set(Rejected.model_fields)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    for fields in ({"score": value}, {"bbox_xywh_px": [0.0, value, 1.0, 1.0]}, {"attributes": {"a": value}}):
        with pytest.raises(ValueError, match="finite"):
            row_digest({"key": "s/a", "annotations": [{"id": "0", "kind": "box", **fields}]})


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match="a row has no field 'lable'"):
        row_digest({"key": "s/a", "lable": 1})
    with pytest.raises(ValueError, match=r"a whole number is expected, not 1\.5"):
        row_digest({"key": "s/a", "provenance": {"frame": 1.5}})


def test_the_fingerprint_can_be_made_by_hand() -> None:
    categories = [Category(name="RBC", index=0), Category(name="WBC", index=1, keypoint_names=("a",))]
    text = json.dumps(
        [{"index": 0, "name": "RBC"}, {"index": 1, "keypoint_names": ["a"], "name": "WBC"}], separators=(",", ":")
    )
    lines = ["dsetkit fingerprint 1", "1" * 64, "2" * 64, hashlib.sha256(text.encode()).hexdigest()]
    expected = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    assert fingerprint(["1" * 64, "2" * 64], categories) == expected
    assert fingerprint(["2" * 64, "1" * 64], categories) != expected
    assert fingerprint(["1" * 64, "2" * 64], categories[::-1]) != expected


@settings(max_examples=12)
@given(st.lists(ROW, max_size=5))
def test_a_table_of_rows_is_the_one_the_documents_give(rows: list[Row]) -> None:
    table = table_from_rows(rows, Sample)
    table.validate(full=True)
    # null in a row stands for the default
    plain = [{name: value for name, value in row.items() if value is not None} for row in rows]
    assert table.equals(table_from_rows(plain, Sample))
