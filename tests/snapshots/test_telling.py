"""Rows are the same whether columns that say nothing are read or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsetkit.snapshots.parquet import TableFile, hash_file, write_table
from dsetkit.snapshots.telling import telling
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
