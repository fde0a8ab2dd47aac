"""The pipeline on real public data, against what is known to be true of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.bench import Bench

from dsetkit.snapshots.verify import verify
from dsetkit.spec.params import SourceParams
from dsetkit.stages.export import export_snapshot
from dsetkit.stages.manage import add_source

pytestmark = [pytest.mark.realdata, pytest.mark.slow]


def test_raw_holds_what_is_there(three: Bench) -> None:
    counts = {name: three.open(f"raw/{name}").info.counts for name in ("blood", "raccoon", "ships")}
    assert {name: (count.samples, count.annotations) for name, count in counts.items()} == {
        "blood": (364, 4888),
        "raccoon": (200, 217),
        "ships": (405, 472),
    }
    assert counts["blood"].per_category == {"Platelets": 361, "RBC": 4155, "WBC": 372}
    subsets = three.open("raw/blood").table["subsets"].to_pylist()
    assert [sum(name in items for items in subsets) for name in ("train", "val", "test")] == [205, 87, 72]
    labelled = three.open("raw/ships").table["labelled"].to_pylist()
    assert (labelled.count("no"), labelled.count("yes")) == (88, 317)
    assert three.project.lock["blood"].labels == 364


def test_defects_are_found_and_accounted_for(three: Bench) -> None:
    info = three.open("cleaned").info
    counts = info.counts
    assert counts.samples_in == 969 == counts.samples + counts.rejected_samples
    assert counts.annotations_in == 5577 == counts.annotations + counts.rejected_annotations
    rejected = three.open("cleaned").rejected.to_pylist()
    degenerate = {row["key"].rpartition("/")[2] for row in rejected if row["reason"] == "box-degenerate"}
    assert degenerate == {"BloodImage_00338.jpg", "BloodImage_00343.jpg"}
    pairs = {
        frozenset((row["key"].rpartition("-")[2], row["duplicate_of"].rpartition("-")[2]))
        for row in rejected
        if row["reason"] == "duplicate-labels-differ"
    }
    names = [("65", "98"), ("83", "120"), ("11", "116"), ("52", "74")]
    assert pairs == {frozenset((f"{a}.jpg", f"{b}.jpg")) for a, b in names}
    assert sum(row["reason"] == "duplicate" and row["key"].startswith("ships/") for row in rejected) == 3
    marked = {sample.key for sample in three.open("cleaned") if sample.labelled == "partial"}
    assert {key.rpartition("/")[2] for key in marked} == degenerate


def test_every_snapshot_verifies(three: Bench) -> None:
    for name in ("raw/blood", "raw/raccoon", "raw/ships", "cleaned", "augmented"):
        assert verify(three.open(name)) == []


def test_variants_balance(three: Bench) -> None:
    counts = three.open("augmented").info.counts
    assert counts.samples_in + counts.added_samples == counts.samples + counts.rejected_samples
    assert counts.annotations_in + counts.added_annotations == counts.annotations + counts.rejected_annotations


def test_pycocotools_loads_the_export(three: Bench, tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    cleaned = three.open("cleaned")
    export_snapshot(cleaned, tmp_path / "coco", format="coco")
    samples = annotations = 0
    for path in sorted((tmp_path / "coco" / "annotations").glob("instances*.json")):
        loaded = COCO(str(path))
        annotations += len(loaded.anns)
        samples += len(loaded.imgs)
        for image in loaded.loadImgs(loaded.getImgIds()):
            assert (tmp_path / "coco" / "images" / image["file_name"]).is_file()
    assert annotations == cleaned.info.counts.annotations
    assert samples <= len(cleaned)


def test_nine_ways_to_store_one_picture_come_out_alike(shared_data: Path, tmp_path: Path) -> None:
    bench = Bench(tmp_path / "project")
    bench.params(clean={"duplicates.near": "keep"})
    add_source(
        bench.project, "exif", SourceParams(path=str(shared_data / "exif-orientation"), exclude=("[!LP]*", "LIC*"))
    )
    bench.ingest("exif")
    bench.clean()
    cleaned = bench.open("cleaned")
    assert len(cleaned) == 18
    for kind, size in (("Landscape", (1800, 1200)), ("Portrait", (1200, 1800))):
        pictures = [cleaned.image(f"exif/{kind}_{number}.jpg") for number in range(9)]
        assert {picture.size for picture in pictures} == {size}
        small = [np.asarray(picture.convert("L").resize((32, 32)), float) for picture in pictures]
        assert max(np.abs(one - small[1]).mean() for one in small) < 4.0


def test_odd_and_hostile_files_are_named_with_their_reason(shared_data: Path, tmp_path: Path) -> None:
    bench = Bench(tmp_path / "project")
    add_source(
        bench.project,
        "odd",
        SourceParams(path=str(shared_data / "odd-images"), labels=({"format": "image_folder"},)),  # type: ignore[arg-type]
    )
    result = bench.ingest("odd")
    counts = result.info.counts
    assert (counts.samples_in, counts.samples, counts.rejected_samples) == (274, 215, 59)
    rejected = bench.open("raw/odd").rejected.to_pylist()
    assert all(row["reason"].startswith("picture-") and row["message"] for row in rejected)
    assert all(row["shard"] is not None for row in rejected)
    assert counts.per_reason["picture-bomb"] == 1
    assert verify(bench.open("raw/odd")) == []
