"""Rows are the same whether columns that say nothing are read or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsetkit.snapshots.footer import Chunk, footer_size, read_footer
from dsetkit.snapshots.parquet import TableFile
from dsetkit.snapshots.parquet_out import hash_file, write_table
from dsetkit.snapshots.telling import says, telling, untruths
from dsetkit.spec.arrow import arrow_schema, rows_from_table, table_from_rows
from dsetkit.spec.sample import Sample
from dsetkit.spec.snapshot import Part
from dsetkit.storage.folder import open_folder

BOX = {"id": "0", "kind": "box", "bbox_xywh_px": [1.0, 2.0, 3.0, 4.0]}
ROWS: list[dict[str, Any]] = [
    {},
    {"annotations": [BOX]},
    {"annotations": [{"id": "0", "kind": "image_label"}], "labelled": "yes"},
    {"annotations": [{**BOX, "status": "declined", "is_crowd": True, "attributes": {"a": 1}}], "attributes": {"b": 2}},
    {"annotations": [{**BOX, "track": {"id": "t"}, "issues": [{"code": "c", "message": "m"}]}]},
    {"annotations": [{**BOX, "keypoints": [{"name": "n", "x": 0.0, "y": 0.0}], "categories": ["a", "b"]}]},
    {"annotations": [{**BOX, "ellipse": {"cx": 1.0, "cy": 1.0, "rx": 1.0, "ry": 1.0}, "polygons": [[[0.0, 1.0]]]}]},
    {"annotations": [{**BOX, "mask": {"size": [2, 2], "counts": "04"}}, {**BOX, "id": "1", "score": 0.0}]},
    {"provenance": {}, "subsets": ["x"]},
    {"provenance": {"uri": "u"}, "recipe": {"name": "r", "steps": [{"op": "o", "values": {"v": 1}}]}},
    {"responses": [{"annotator": "a"}], "derived_from": ["s/a.jpg"], "width_px": 0, "sharpness": 0.0},
]


def opened(folder: Path, rows: list[dict[str, Any]]) -> tuple[TableFile, pa.Table]:
    table = table_from_rows(rows, Sample)
    write_table(table, folder / "part")
    digest, size = hash_file(folder / "part")
    part = Part(name="part", digest=digest, size_bytes=size, rows=len(rows))
    return TableFile(open_folder(folder), part, Sample), table


@pytest.mark.parametrize("chosen", [*([number] for number in range(len(ROWS))), list(range(len(ROWS)))])
def test_the_rows_are_the_same_and_most_columns_are_not_read(tmp_path: Path, chosen: list[int]) -> None:
    rows = [{"key": f"s/{number:02}.jpg", **ROWS[number]} for number in chosen]
    file, table = opened(tmp_path, rows)
    start, some = file.read_telling_of(len(rows) - 1)
    assert start == 0
    assert rows_from_table(some, Sample) == rows_from_table(table, Sample)
    if len(chosen) == 1:
        footer = pq.read_metadata(tmp_path / "part")
        assert len(telling(table.schema, Sample, lambda leaf, _: _may_say(footer, leaf))) < footer.num_columns / 2


def _may_say(footer: Any, leaf: int) -> bool:
    column = footer.row_group(0).column(leaf)
    return bool(column.statistics.null_count < column.num_values)


def test_where_nothing_is_known_all_is_read() -> None:
    schema = arrow_schema(Sample)
    every = telling(schema, Sample, lambda *_: True)
    assert every == list(range(len(every)))
    assert len(telling(schema, Sample, lambda *_: False)) < len(every) / 4


def chunk(**facts: Any) -> Chunk:
    return Chunk(**{"path": "a", "values": 3, "size_bytes": 9, "nulls": 0, "low": None, "high": None, **facts})


@pytest.mark.parametrize(
    ("facts", "default", "answer"),
    [
        ({"nulls": None}, None, True),
        ({"nulls": 3}, None, False),
        ({"nulls": 1}, None, True),
        ({"low": b"{}", "high": b"{}"}, "{}", False),
        ({"low": b"{}", "high": b"{}"}, None, True),
        ({"low": b"a", "high": b"b"}, "a", True),
        ({"low": b"a"}, "a", True),
        ({"low": b"\0", "high": b"\0"}, False, False),
        ({"low": b"\1", "high": b"\1"}, False, True),
        ({"low": b"\1\0\0\0", "high": b"\1\0\0\0"}, 1, False),
        ({"low": b"", "high": b""}, 1, True),
        ({"low": bytes(8), "high": bytes(8)}, 0.0, True),
    ],
)
def test_what_says_nothing(facts: dict[str, Any], default: Any, answer: bool) -> None:
    assert says(chunk(**facts), default) is answer


KINDS = {
    pa.string(): st.text(max_size=3),
    pa.float64(): st.floats(),
    pa.bool_(): st.booleans(),
    pa.int8(): st.integers(-128, 127),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_what_is_written_is_true_and_other_values_are_not(tmp_path: Path, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(KINDS)))
    value = st.none() | KINDS[kind]
    several = st.none() | st.lists(value, max_size=3)
    column = pa.struct([("one", kind), ("some", pa.list_(kind))])
    rows = data.draw(st.lists(st.none() | st.fixed_dictionaries({"one": value, "some": several}), max_size=6))
    nested = data.draw(st.lists(st.none() | st.lists(st.none() | several, max_size=2), min_size=0, max_size=6))
    nested = (nested + [None] * len(rows))[: len(rows)]
    table = pa.table({"a": pa.array(rows, column), "b": pa.array(nested, pa.list_(pa.list_(kind)))})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    told = path.read_bytes()
    groups = read_footer(told[-8 - footer_size(told[-8:]) : -8])
    for group in groups:
        assert list(untruths(table, group.chunks)) == []
        for place, chunk in enumerate(group.chunks):
            if chunk.nulls is not None and chunk.nulls < chunk.values:
                lie = chunk._replace(nulls=chunk.values)
                chunks = [*group.chunks[:place], lie, *group.chunks[place + 1 :]]
                ((name, what),) = untruths(table, chunks)
                assert chunk.path.startswith(name.partition(".")[0])
                assert what.startswith("its statistics tell of 0 values that are not null")


@pytest.mark.parametrize(
    ("kind", "values", "low", "high", "is_true"),
    [
        (pa.string(), ["a", "ü"], b"a", "ü".encode(), True),
        (pa.string(), ["a", "ü"], b"a", b"b", False),
        (pa.string(), ["a"], b"", b"b", True),
        (pa.int32(), [-1, 2], (-1).to_bytes(4, "little", signed=True), bytes([2, 0, 0, 0]), True),
        (pa.int32(), [-1, 2], bytes(4), bytes([2, 0, 0, 0]), False),
        (pa.int32(), [1], b"\1", b"\1", False),
        (pa.uint64(), [2**63], bytes(8), b"\xff" * 8, True),
        (pa.bool_(), [True], b"\0", b"\0", False),
        (pa.float64(), [float("nan")], None, None, True),
        (pa.float64(), [1.5], bytes(8), bytes(8), False),
        (pa.float64(), [0.0], bytes(8), None, True),
        (pa.float64(), [0.0], bytes(3), None, False),
    ],
)
def test_bounds(kind: pa.DataType, values: list[Any], low: bytes | None, high: bytes | None, is_true: bool) -> None:
    found = list(untruths(pa.table({"a": pa.array(values, kind)}), [chunk(values=len(values), low=low, high=high)]))
    expected = [] if is_true else [("a", "its statistics give bounds that its values are not within")]
    assert found == expected
