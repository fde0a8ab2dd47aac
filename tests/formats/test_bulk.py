"""What is written in columns is, byte by byte, what is written row by row; so are the losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsetkit.formats import registry
from dsetkit.formats.bulk import tables
from dsetkit.formats.bulk.batch import BulkBatch
from dsetkit.formats.bulk.tables import kind_sets
from dsetkit.formats.bulk.texts import is_writable, texts
from dsetkit.formats.loss import LossReport
from dsetkit.formats.testing_exports import MemoryExport, exports
from dsetkit.geometry.rle import encode
from dsetkit.spec.arrow import Row, rows_from_table, table_from_rows
from dsetkit.spec.category import Category
from dsetkit.spec.sample import Sample
from dsetkit.storage.sink import Sink

WRITERS: list[tuple[str, Mapping[str, Any]]] = [
    ("voc", {}),
    ("voc", {"pixels": "zero_based"}),
    ("voc", {"coordinates": "rounded"}),
    ("yolo", {}),
    ("yolo", {"task": "detect"}),
    ("yolo", {"task": "segment"}),
]


class Kept(Sink):
    def __init__(self) -> None:
        super().__init__("memory")
        self.files: dict[str, bytes] = {}

    def _put(self, name: str, data: bytes) -> None:
        self.files[name] = data


class TableExport(MemoryExport):
    """Rows as tables of a few each."""

    def tables(self) -> Iterator[pa.Table]:
        table = table_from_rows(self._rows, Sample)
        for start in range(0, table.num_rows, 3):
            yield table.slice(start, 3)


def written(export: MemoryExport, name: str, options: Mapping[str, Any]) -> tuple[dict[str, bytes], LossReport]:
    sink = Kept()
    report = registry.get(name).write_reporting(export, sink, options)
    return sink.files, report


def check_alike(given: MemoryExport) -> None:
    rows = rows_from_table(table_from_rows(given._rows, Sample), Sample)
    choices: tuple[dict[str, bytes | None] | None, ...] = (None, {})
    for pictures in choices:
        parts = (rows, given.categories)
        by_row, by_table = (kind(*parts, pictures=pictures) for kind in (MemoryExport, TableExport))
        assert kind_sets(by_row) == kind_sets(by_table)
        for name, options in WRITERS:
            files, report = written(by_row, name, options)
            assert report == registry.get(name).check_losses(by_row, options)
            assert written(by_table, name, options) == (files, report), (name, options)


@given(exports())
def test_odd_exports(export: MemoryExport) -> None:
    check_alike(export)


_NUMBERS = st.one_of(
    st.integers(0, 40),
    st.integers(0, 4000).map(lambda n: n / 100),
    st.floats(0, 40),
    st.sampled_from([1e-5, 0.0, -0.5]),
)
_SIDES = st.one_of(st.sampled_from([0.0, 1.0, -1.0]), _NUMBERS)


@st.composite
def plain_annotations(draw: Any, number: int) -> Row:
    kind = draw(st.sampled_from(["box", "polygon", "polygon", "polygon", "mask"]))
    x, y, w, h = (float(draw(numbers)) for numbers in (_NUMBERS, _NUMBERS, _SIDES, _SIDES))
    ids = st.sampled_from([str(number), f"x{number}"])
    row: Row = {"id": draw(ids), "kind": kind, "category": draw(st.sampled_from("ab")), "bbox_xywh_px": (x, y, w, h)}
    if kind == "polygon":
        numbers = st.lists(_NUMBERS.map(float), min_size=2, max_size=10)
        ring = numbers.map(lambda ring: tuple(ring[: len(ring) // 2 * 2]))
        row["polygons"] = tuple((part,) for part in draw(st.lists(ring, min_size=1, max_size=3)))
    if kind == "mask":
        row["mask"] = encode(np.eye(8, dtype=np.bool_))
    for name, value in (
        ("source_id", "7"),
        ("is_crowd", True),
        ("score", 0.5),
        ("issues", ({"code": "box-degenerate", "message": "thin"},)),
        ("status", "declined"),
        ("mask", encode(np.eye(8, dtype=np.bool_))),
        ("attributes", {"occluded": True}),
    ):
        if not draw(st.integers(0, 15)):
            row[name] = value
    return row


@st.composite
def plain_exports(draw: Any) -> TableExport:
    """Boxes and polygons, twice the same now and then."""
    rows: list[Row] = []
    for number in range(draw(st.integers(1, 5))):
        row: Row = {"key": f"{number}.jpg", "width_px": 40, "height_px": 40, "labelled": "yes"}
        count = draw(st.integers(0, 4))
        annotations = [draw(plain_annotations(index)) for index in range(count)]
        if annotations and draw(st.booleans()):
            annotations.append({**annotations[0], "id": "again"})
        row["annotations"] = tuple({item["id"]: item for item in annotations}.values())
        row |= draw(st.sampled_from([{}, {}, {"split": "train"}, {"subsets": ("val", "x")}, {"split": "fold 1"}]))
        row |= draw(st.sampled_from([{}, {"provenance": {"uri": "http://x.test/1"}}, {"provenance": {"author": "me"}}]))
        row |= draw(st.sampled_from([{}, {}, {"attributes": {"n": 1}}, {"attributes": {"database": "x"}}]))
        row |= draw(st.sampled_from([{}, {}, {}, {"width_px": 0}, {"mode": "L"}, {"source_id": "3"}]))
        rows.append(row)
    return TableExport(rows, [Category(name=name, index=index) for index, name in enumerate("ab")])


@given(plain_exports())
def test_plain_exports(export: TableExport) -> None:
    check_alike(export)


def test_a_batch_of_too_many_numbers_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = tuple(float(n) for n in range(20))
    rows = [
        {
            "key": f"{n}.jpg",
            "labelled": "yes",
            "width_px": 40,
            "height_px": 40,
            "annotations": [
                {"id": "0", "kind": "polygon", "category": "a", "bbox_xywh_px": (0, 0, 9, 9), "polygons": ((ring,),)}
            ],
        }
        for n in range(9)
    ]
    export = TableExport(rows, [Category(name="a", index=0)], pictures={})
    whole = written(export, "voc", {})
    monkeypatch.setattr(tables, "MAX_NUMBERS", 25)
    sizes: list[int] = []
    study = BulkBatch.study

    def noting(self: BulkBatch) -> None:
        sizes.append(self.batch.num_rows)
        study(self)

    monkeypatch.setattr(BulkBatch, "study", noting)
    assert written(export, "voc", {}) == whole
    assert max(sizes) == 1


def test_plain_samples_are_written_in_columns(tmp_path: Path) -> None:
    rows = [{"key": "1.jpg", "labelled": "yes", "width_px": 9, "height_px": 9}]
    rows[0]["annotations"] = [{"id": "0", "kind": "box", "category": "a", "bbox_xywh_px": (1.25, 2, 3, 4)}]
    batch = BulkBatch(table_from_rows(rows, Sample).to_batches()[0], "voc", registry.get("voc").capabilities)
    batch.study()
    assert batch.is_plain.all()


@given(st.lists(st.one_of(st.floats(-1e15, 1e15), st.integers(-(10**6), 10**6).map(lambda n: n / 100)), max_size=50))
def test_numbers_as_text(numbers: list[float]) -> None:
    values = np.array(numbers, np.float64)
    values = values[is_writable(values)]
    expected = [str(int(value)) if value == int(value) else repr(float(value)) for value in values]
    assert texts(values).to_pylist() == expected
    many = np.tile(values, 200)
    assert texts(many).to_pylist() == expected * 200
