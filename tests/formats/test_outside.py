"""What is not in the frame is never written as something that can be seen, whatever the format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dsetkit.formats import registry
from dsetkit.formats.export_names import named
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.outside import SeenExport
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import MemoryExport, files_of
from dsetkit.formats.writing import as_seen, check_losses, write_labels
from dsetkit.spec.annotation import is_outside
from dsetkit.spec.arrow import Row, iter_rows
from dsetkit.spec.category import Category
from dsetkit.spec.sample import Sample

WRITTEN = [name for name in registry.names() if registry.get(name).capabilities.writes]
CATEGORIES = [Category(name="cat", index=0), Category(name="dog", index=1)]
SIZE = {"width_px": 32, "height_px": 24, "labelled": "yes"}
GONE = {"track": {"id": "7", "outside": True}}
SHAPES: dict[str, Row] = {
    "box": {},
    "polygon": {"polygons": (((2.0, 3.0, 12.0, 3.0, 12.0, 11.0),),)},
    "rotated_box": {"rotated_box": {"cx": 7.0, "cy": 7.0, "w": 10.0, "h": 8.0, "angle": 0.0}},
    "keypoints": {"keypoints": ({"name": "nose", "x": 2.0, "y": 3.0}, {"name": "tail", "x": 12.0, "y": 11.0})},
    "image_label": {},
}


def item(number: int, kind: str, category: str, **more: Any) -> Row:
    box = {} if kind == "image_label" else {"bbox_xywh_px": (2.0, 3.0, 10.0, 8.0)}
    return {"id": str(number), "kind": kind, "category": category, **box, **SHAPES[kind], **more}


def given(kind: str, *, with_gone: bool) -> list[Row]:
    """Four samples: something and something gone, gone alone (kinds and a category of its own), nothing, a mixture."""
    other = "polygon" if kind == "box" else "box"
    rows = [
        [item(1, kind, "cat"), item(2, kind, "dog", **GONE)],
        [item(3, kind, "dog", **GONE), item(4, other, "dog", **GONE), item(5, "image_label", "dog", **GONE)],
        [],
        [item(6, "box", "dog", **GONE), item(7, kind, "cat")],
    ]
    if not with_gone:
        rows = [[one for one in annotations if not is_outside(one)] for annotations in rows]
    return [
        {"key": f"src/{name}.png", **SIZE, **({"annotations": tuple(annotations)} if annotations else {})}
        for name, annotations in zip("abcd", rows, strict=True)
    ]


class TableExport(MemoryExport):
    """The same in columns."""

    def tables(self) -> Iterator[pa.Table]:
        table = LabelSet.from_rows(self._rows).table
        yield table.slice(0, 1)
        yield table.slice(1)

    def rows(self) -> Iterator[Row]:
        return iter_rows(self.tables(), Sample)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("name", WRITTEN)
def test_a_format_writes_it_as_not_there_or_not_at_all(name: str, kind: str, tmp_path: Path) -> None:
    label_format = registry.get(name)
    whole, seen = (MemoryExport(given(kind, with_gone=flag), CATEGORIES) for flag in (True, False))
    report = write_labels(whole, tmp_path / "whole", label_format)
    assert report == check_losses(whole, label_format)
    lost = [loss for loss in report.losses if loss.code == "track-outside"]
    assert (report.samples, report.annotations) == (4, 7)
    if not lost:
        assert label_format.capabilities.outside
        rows = read_labels(tmp_path / "whole", label_format).rows
        flags = [sorted(is_outside(one) for one in row.get("annotations", ())) for row in rows]
        assert flags == [[False, True], [True, True, True], [], [False, True]]
        return
    assert [(loss.count, loss.severity) for loss in lost] == [(5, "info")]
    assert lost[0].examples == ("src/a.png#2", "src/b.png#3", "src/b.png#4")
    plain = write_labels(seen, tmp_path / "seen", label_format)
    assert files_of(tmp_path / "whole") == files_of(tmp_path / "seen")
    assert [loss for loss in report.losses if loss.code != "track-outside"] == list(plain.losses)


@pytest.mark.parametrize("name", WRITTEN)
def test_in_columns_it_is_left_out_alike(name: str, tmp_path: Path) -> None:
    label_format = registry.get(name)
    rows, tables = (made(given("box", with_gone=True), CATEGORIES) for made in (MemoryExport, TableExport))
    reports = [write_labels(rows, tmp_path / "rows", name), write_labels(tables, tmp_path / "tables", name)]
    assert reports[0] == reports[1]
    assert files_of(tmp_path / "rows") == files_of(tmp_path / "tables")
    assert label_format.capabilities.outside or any(loss.code == "track-outside" for loss in reports[0].losses)


@pytest.mark.parametrize("name", WRITTEN)
def test_one_row_by_itself_says_the_same(name: str) -> None:
    label_format = registry.get(name)
    if label_format.capabilities.outside:
        return
    export = MemoryExport(given("box", with_gone=True), CATEGORIES)
    prepared = label_format.prepare(as_seen(export, label_format), {}, Ledger(name))
    for row, seen in zip(export.rows(), given("box", with_gone=False), strict=True):
        carried, plain = (label_format.carry(one, prepared, Ledger(name)) for one in (row, seen))
        assert carried.get("labelled") == plain.get("labelled")
        assert len(carried.get("annotations", ())) == len(plain.get("annotations", ()))


def test_loaders_of_shards_are_not_told_a_class_that_is_not_there(tmp_path: Path) -> None:
    gone = item(0, "image_label", "dog", **GONE)
    rows = [{"key": "src/a.png", **SIZE, "annotations": (gone, item(1, "image_label", "cat"))}]
    write_labels(MemoryExport(rows, CATEGORIES), tmp_path / "out", "webdataset")
    (shard,) = files_of(tmp_path / "out").values()
    start = shard.index(b"src/a.cls")
    assert shard[start + 512 : start + 513] == b"0"


def test_pictures_are_named_by_what_can_be_seen() -> None:
    rows = [{"key": "src/a.png", **SIZE, "annotations": (item(0, "box", "dog", **GONE), item(1, "box", "cat"))}]
    export = named(MemoryExport(rows, CATEGORIES), registry.get("coco"), "{category}.{ext}")
    assert [row["key"] for row in export.rows()] == ["cat.png"]


def test_what_an_export_need_not_have_is_there_only_where_it_is() -> None:
    voc = registry.get("voc")
    export = as_seen(MemoryExport([], CATEGORIES), voc)
    assert isinstance(export, SeenExport)
    assert getattr(export, "tables", None) is None
    assert getattr(export, "has_pictures", "unknown") == "unknown"
    tables = as_seen(TableExport(given("box", with_gone=True)), voc).tables()  # type: ignore[attr-defined]
    assert [table.num_rows for table in tables] == [1, 3]


def test_links_to_what_is_left_out_go_with_it(tmp_path: Path) -> None:
    links = {"relations": ({"kind": "part_of", "target": "1"}, {"kind": "near", "target": "2"}), "based_on": "1"}
    found = [item(0, "box", "cat", **links), item(1, "box", "dog", **GONE), item(2, "box", "cat")]
    rows = [{"key": "src/a.png", **SIZE, "annotations": tuple(found)}]
    report = write_labels(MemoryExport(rows, CATEGORIES), tmp_path / "out", "label_studio")
    assert [(loss.code, loss.examples) for loss in report.losses] == [
        ("link-dropped", ("src/a.png#0",)),
        ("track-outside", ("src/a.png#1",)),
    ]
    (first, _) = read_labels(tmp_path / "out", "label_studio").rows[0]["annotations"]
    assert [link["target"] for link in first["relations"]] == ["2"]
    assert "based_on" not in first
