"""Tracks with frames that their object is not in, through a whole project: kept everywhere, counted nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.bench import Bench, picture_bytes
from support.recount import Recount, recount

from dsetkit.formats import registry
from dsetkit.formats.testing import MemoryExport, files_of
from dsetkit.formats.writing import write_labels
from dsetkit.report.facts.collect import SnapshotFacts, collect, collect_project
from dsetkit.report.numbers.metrics import build_metrics
from dsetkit.report.page.flow import annotation_flows
from dsetkit.spec.annotation import is_outside
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.spec.params import SourceParams
from dsetkit.stages.export import SnapshotExport, export_snapshot
from dsetkit.stages.keyed_export import KeyedExport, all_names
from dsetkit.stages.manage import add_source

CONTRACT = '''"""The contract."""
from typing import Annotated, Literal
from pydantic import AfterValidator
import dsetkit

def inside(box):
    assert box[0] + box[2] <= 64, "it leaves the picture"
    return box

class Label(dsetkit.Annotation):
    kind: Literal["box"]
    category: Literal["cat", "dog"]
    bbox_xywh_px: Annotated[dsetkit.BBox, AfterValidator(inside)]
'''


def box(number: int, category: str, at: tuple[float, ...], **track: Any) -> Row:
    track = {"id": str(7 + number), **track}
    return {"id": str(number), "kind": "box", "category": category, "bbox_xywh_px": at, "track": track}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """Six frames: a cat, in the last two outside (and sticking out); a dog that is outside in all of them."""
    root = tmp_path_factory.mktemp("outside")
    made = Bench(root / "project")
    rows: list[Row] = []
    for number in range(6):
        gone = number > 3
        cat = box(0, "cat", (60.0, 40.0, 30.0, 30.0) if gone else (4.0 + number, 4.0, 20.0, 16.0), outside=gone)
        dog = box(1, "dog", (30.0, 20.0, 0.0, 0.0), outside=True)
        key = f"clip/{number}.jpg"
        rows.append({"key": key, "width_px": 64, "height_px": 48, "labelled": "yes", "annotations": (cat, dog)})
    pictures = {row["key"]: picture_bytes(number) for number, row in enumerate(rows)}
    categories = [Category(name="cat", index=0), Category(name="dog", index=1)]
    write_labels(MemoryExport(rows, categories, pictures=pictures), root / "source", "datumaro")
    (made.root / "schemas" / "outside.py").write_text(CONTRACT)
    add_source(made.project, "clip", SourceParams(path=str(root / "source"), schema_="schemas.outside:Label"))
    splits = ["train", "val", "test"]
    crop = [{"op": "flip"}, {"op": "crop", "scale": [0.9, 0.9]}]
    made.params(augment={"recipes": {"cut": {"operations": crop, "splits": splits, "variants": 2}}})
    made.ingest("clip")
    made.clean()
    made.augment()
    return made


def counts(facts: SnapshotFacts | Recount) -> tuple[Any, ...]:
    names = ("samples", "annotations", "outside", "annotations_per_split", "kinds", "issues")
    return tuple(getattr(facts, name) for name in (*names, "rejected_samples", "rejected_annotations"))


def test_nothing_is_lost_and_only_what_is_there_counts(bench: Bench) -> None:
    facts = collect_project(bench.project)
    for one, name in ((facts.raw["clip"], "raw/clip"), (facts.cleaned, "cleaned"), (facts.augmented, "augmented")):
        assert one is not None
        other = recount(bench.root / "data" / name)
        assert counts(one) == counts(other)
        assert [(item.name, item.annotations, item.samples) for item in one.categories] == [
            (name, other.of_category(other.category_annotations, name), other.of_category(other.category_samples, name))
            for name in ("cat", "dog")
        ]
        assert one.box_centers.total == len(other.boxes) == one.annotations
    assert (facts.cleaned.annotations, facts.cleaned.outside) == (4, 8)
    assert not facts.cleaned.rejected_annotations
    assert facts.cleaned.info.counts.annotations == 12
    assert facts.cleaned.info.counts.per_category == {"cat": 4}
    assert all(flow.holds for flow in annotation_flows(facts))
    metrics = build_metrics(facts)
    assert (metrics["cleaned.annotations"], metrics["cleaned.outside"], metrics["raw.outside"]) == (4, 8, 8)
    assert metrics["cleaned.category.dog.annotations"] == 0


def test_tracks_hold_together_in_variants(bench: Bench) -> None:
    snapshot = bench.open("augmented")
    rows = snapshot.rows(0, len(snapshot))
    assert len(rows) == 18
    for row in rows:
        outside = [item["track"]["id"] for item in row["annotations"] if is_outside(item)]
        number = int(row.get("derived_from", [row["key"]])[0].rpartition("/")[2][0])
        assert outside == (["7", "8"] if number > 3 else ["8"])


def test_what_is_asked_for_is_what_can_be_seen(bench: Bench) -> None:
    cleaned = bench.open("cleaned")
    assert len(cleaned.where(category="cat")) == 4
    assert len(cleaned.where(category="dog")) == 0
    assert collect(cleaned.where(category="cat")).outside == 4


class ByRow:
    """An export without tables."""

    def __init__(self, export: SnapshotExport) -> None:
        self._export = export
        self.categories, self.info, self.licenses = export.categories, export.info, export.licenses

    def rows(self) -> Iterator[Row]:
        return self._export.rows()

    def picture(self, row: Row) -> bytes | None:
        return self._export.picture(row)


WRITTEN = [name for name in registry.names() if registry.get(name).capabilities.writes]


@pytest.mark.parametrize("name", WRITTEN)
def test_a_snapshot_in_tables_is_written_as_it_is_in_rows(bench: Bench, name: str, tmp_path: Path) -> None:
    snapshot = bench.open("augmented")
    report = export_snapshot(snapshot, tmp_path / "tables", format=name)
    assert report == write_labels(ByRow(SnapshotExport(snapshot)), tmp_path / "rows", name)
    assert files_of(tmp_path / "tables") == files_of(tmp_path / "rows")
    keyed = KeyedExport(snapshot, all_names(snapshot))
    write_labels(keyed, tmp_path / "keyed", name)
    write_labels(ByRow(keyed), tmp_path / "keyed_rows", name)
    assert files_of(tmp_path / "keyed") == files_of(tmp_path / "keyed_rows")
