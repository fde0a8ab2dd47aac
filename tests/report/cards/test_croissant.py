"""``croissant.json``: `mlcroissant` takes it and reads from it what the snapshot holds."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from support.bench import picture_bytes

from dsetkit.report.cards.files import build_card
from dsetkit.report.facts.collect import collect
from dsetkit.report.words import KINDS
from dsetkit.snapshots import write
from dsetkit.snapshots.cut import PartCutter
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.write import PictureBytes, SnapshotWriter
from dsetkit.spec.arrow import Row
from dsetkit.spec.card import DatasetCard
from dsetkit.stages.demo_card import demo_card

FULL = DatasetCard.model_validate(
    {
        **demo_card(),
        "published": "2024-06-01",
        "url": "https://example.org/yards",
        "languages": ["en"],
        "based_on": ["https://example.org/older"],
        "collection": {**demo_card()["collection"], "start": "2024-05-01", "end": "2024-05-20"},
    }
)
"""A card that states all that Croissant asks for."""

READ = """
import hashlib, json, sys
import mlcroissant

def plain(value):
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode()
    if hasattr(value, "convert"):
        return hashlib.sha256(value.convert("RGB").tobytes()).hexdigest()
    return value.item() if hasattr(value, "item") else value

dataset = mlcroissant.Dataset(sys.argv[1])
issues = dataset.metadata.ctx.issues
records = {name: [plain(record) for record in dataset.records(name)] for name in sys.argv[2:]}
json.dump({"warnings": sorted(issues.warnings), "records": records}, sys.stdout)
"""
"""Run in a process of its own: mlcroissant warns, and keeps a cache that its environment names."""


def place_card(folder: Path, snapshot: Snapshot, card: DatasetCard = FULL, *, place: str) -> Path:
    for name, data in build_card(card, snapshot, collect(snapshot), place=PurePosixPath(place)).items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder / "croissant.json"


def records(path: Path, cache: Path, *names: str) -> dict[str, Any]:
    environment = {"CROISSANT_CACHE": str(cache), "PATH": "", "HOME": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path), *names], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check_records(found: dict[str, Any], snapshot: Snapshot) -> None:
    """Each sample once, with all that its row says."""
    rows = {row["key"]: row for table in snapshot.iter_tables() for row in table.to_pylist()}
    samples = {record["samples/key"]: record for record in found["records"]["samples"]}
    assert len(found["records"]["samples"]) == len(samples) == len(snapshot)
    assert samples.keys() == rows.keys()
    for key, record in samples.items():
        row = rows[key]
        names = ("digest", "shard", "offset_bytes", "size_bytes", "media_type", "width_px", "height_px", "split")
        assert {name: record[f"samples/{name}"] for name in (*names, "labelled")} == {
            name: row[name] for name in (*names, "labelled")
        }
        for label, item in zip(record["samples/annotations"], row["annotations"], strict=True):
            said = {name.rpartition("/")[2]: value for name, value in label.items()}
            mask = item["mask"] or {"size": None, "counts": None}
            assert said == {
                **{name: item[name] for name in said if not name.startswith("mask_")},
                "mask_size": mask["size"],
                "mask_counts": mask["counts"],
            }
            assert {"kind", "category", "bbox_xywh_px", "polygons"} <= said.keys()


@pytest.mark.parametrize("stage", ["cleaned", "augmented"])
def test_records_are_those_of_the_snapshot(counted_demo: Any, stage: str, tmp_path: Path) -> None:
    shutil.copytree(counted_demo.root / "data" / stage, tmp_path / "data" / stage)
    snapshot = open_snapshot(tmp_path / "data" / stage)
    path = place_card(tmp_path / "cards" / stage, snapshot, place=f"../../data/{stage}")
    found = records(path, tmp_path / "cache", "samples", "categories", "splits", "pictures")
    assert found["warnings"] == []
    check_records(found, snapshot)
    assert len(snapshot.info.parts) == {"cleaned": 1, "augmented": 2}[stage]
    assert [(row["categories/index"], row["categories/name"]) for row in found["records"]["categories"]] == [
        (category.index, category.name) for category in snapshot.categories
    ]
    assert [tuple(row.values()) for row in found["records"]["splits"]] == [
        ("train", "cr:TrainingSplit"),
        ("val", "cr:ValidationSplit"),
        ("test", "cr:TestSplit"),
    ]
    pictures = {row["pictures/digest"]: row["pictures/content"] for row in found["records"]["pictures"]}
    digests = {row["digest"] for table in snapshot.iter_tables(("digest",)) for row in table.to_pylist()}
    assert digests <= pictures.keys()
    for sample in snapshot.take(8):
        pixels = Image.open(io.BytesIO(snapshot.read_bytes(sample))).convert("RGB").tobytes()
        assert pictures[sample.digest] == hashlib.sha256(pixels).hexdigest()


@pytest.mark.slow
@pytest.mark.realdata
def test_records_of_real_data(counted_three: Any, tmp_path: Path) -> None:
    snapshot = open_snapshot(counted_three.root / "data" / "cleaned")
    (tmp_path / "data").mkdir()
    shutil.copytree(counted_three.root / "data" / "cleaned", tmp_path / "data" / "cleaned")
    path = place_card(tmp_path / "cards" / "cleaned", snapshot, place="../../data/cleaned")
    found = records(path, tmp_path / "cache", "samples", "pictures")
    assert found["warnings"] == []
    check_records(found, snapshot)


def test_the_validator_has_nothing_to_say(counted_demo: Any, tmp_path: Path) -> None:
    snapshot = open_snapshot(counted_demo.root / "data" / "cleaned")
    path = place_card(tmp_path, snapshot, place="../../data/cleaned")
    done = validate(path)
    assert (done.returncode, "warning" in done.stderr.lower(), "Done." in done.stderr) == (0, False, True)
    shorter = DatasetCard.model_validate(demo_card())
    done = validate(place_card(tmp_path, snapshot, shorter, place="../../data/cleaned"))
    assert done.returncode == 0
    assert [
        line.rpartition('"https://schema.org/')[2] for line in done.stderr.splitlines() if "recommended" in line
    ] == ['datePublished" is recommended, but does not exist.']


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "mlcroissant"), "validate", "--jsonld", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_file_is_there_with_its_digest(counted_demo: Any) -> None:
    data = counted_demo.root / "data" / "augmented"
    snapshot = open_snapshot(data)
    document = document_of(snapshot, place="../../data/augmented")
    assert document["conformsTo"] == ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
    files = {item["contentUrl"]: item for item in document["distribution"] if item["@type"] == "cr:FileObject"}
    assert files.pop("../../data/augmented")["sha256"] == sha256(data / "snapshot.json")
    there = [path for path in data.rglob("*") if path.is_file()]
    assert {url: (item["sha256"], item["contentSize"]) for url, item in files.items()} == {
        f"../../data/augmented/{path.relative_to(data).as_posix()}": (sha256(path), f"{path.stat().st_size} B")
        for path in there
    }
    assert Counter(item["encodingFormat"] for item in files.values()) == {
        "application/json": 1,
        "application/x-parquet": 3,
        "application/x-tar": len(list(data.glob("shards/*"))),
    }


def test_every_field_has_a_column(counted_demo: Any) -> None:
    data = counted_demo.root / "data" / "cleaned"
    document = document_of(open_snapshot(data))
    (samples,) = [item for item in document["recordSet"] if item["@id"] == "samples"]
    columns = set(pq.read_schema(next(data.glob("samples/*"))).names)
    fields = [*samples["field"][:-1], *samples["field"][-1]["subField"]]
    assert {field["source"]["extract"]["column"] for field in fields} <= columns


def test_what_people_said_stands_where_it_belongs(counted_demo: Any) -> None:
    document = document_of(open_snapshot(counted_demo.root / "data" / "cleaned"))
    card = demo_card()
    assert {name: document[name] for name in ("name", "url", "datePublished", "version", "inLanguage")} == {
        "name": "Yards that never were",
        "url": "https://example.org/yards",
        "datePublished": "2024-06-01",
        "version": "1.0.0",
        "inLanguage": ["en"],
    }
    assert document["license"] == "https://spdx.org/licenses/CC0-1.0.html"
    assert document["creator"] == [{"@type": "sc:Organization", "name": "The authors of dsetkit"}]
    assert document["citeAs"] == card["citation"]
    assert document["isLiveDataset"] is False
    other = counted_demo.cleaned
    kinds = sorted(other.kinds, key=lambda kind: (-other.kinds[kind], kind))
    assert document["description"] == (
        f"{card['summary']}\n\n{other.samples} samples with {other.annotations} annotations "
        f"({', '.join(KINDS[kind] for kind in kinds)}) of {len(other.categories)} categories."
    )
    assert 50 <= len(document["description"]) <= 5000  # what Google's search for datasets takes
    assert document["rai:dataCollectionTimeframe"] == ["2024-05-01", "2024-05-20"]
    assert document["rai:dataCollectionType"] == ["Synthetic"]
    assert document["rai:dataLimitations"] == [
        *card["limits"],
        "Not to be used for: Training a model that anybody relies on.",
    ]
    assert document["rai:personalSensitiveInformation"] == [card["personal_information"], card["consent"]]
    assert "2 samples turned away: duplicate-near" in document["rai:dataPreprocessingProtocol"]


def test_what_nobody_said_is_left_out(tmp_path: Path) -> None:
    snapshot = write_rows(tmp_path / "s", [{"key": "a/1"}])
    document = document_of(snapshot, DatasetCard())
    assert list(document) == [
        *("@context", "@type", "name", "description", "conformsTo", "identifier", "distribution", "recordSet"),
        "isLiveDataset",
    ]
    assert document["name"] == "cleaned"


MASK = {"size": [48, 64], "counts": "PPP1"}
ODD = "<script>alert(1)</script> | \u202e \"'\n\\"

ODD_MASK: Row = {"category": ODD, "mask": MASK}


@pytest.mark.slow
@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([], id="nothing"),
        pytest.param([{"key": f"a/{n}"} for n in range(3)], id="unlabelled"),
        pytest.param(
            [{"key": f"a/{n}", "annotations": [{"id": "0", "kind": "caption", "text": ODD}]} for n in range(3)],
            id="captions",
        ),
        pytest.param(
            [
                {
                    "key": "a/0",
                    "split": ODD,
                    "annotations": [{"id": "0", "kind": "mask", "category": ODD, "mask": MASK}],
                },
                {"key": "a/1", "split": "train"},
                {"key": "a/2"},
            ],
            id="masks-odd-names",
        ),
        pytest.param([{"key": "a/0", "digest": None}, {"key": "a/1"}], id="without-a-picture"),
        pytest.param([{"key": f"a/{n:03}", "split": ("b", "c")[n % 2]} for n in range(100)], id="many-parts"),
    ],
)
def test_odd_snapshots(rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "PartCutter", lambda: PartCutter(8))
    snapshot = write_rows(tmp_path / "data", rows, categories=[ODD] if any("split" in row for row in rows) else [])
    path = place_card(tmp_path / "cards" / "x", snapshot, place="../../data")
    assert b"<script" not in path.read_bytes()
    document = json.loads(path.read_bytes())
    found = records(path, tmp_path / "cache", *(item["@id"] for item in document["recordSet"]))
    assert found["warnings"] == []
    check_records(found, snapshot)
    if len(rows) > 50:
        assert len(snapshot.info.parts) > 3


def document_of(snapshot: Snapshot, card: DatasetCard = FULL, *, place: str = "../../data/cleaned") -> dict[str, Any]:
    files = build_card(card, snapshot, collect(snapshot), place=PurePosixPath(place))
    document: dict[str, Any] = json.loads(files["croissant.json"])
    return document


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_rows(folder: Path, rows: list[Row], categories: list[str] | None = None) -> Snapshot:
    """A snapshot of rows, each with a picture unless its digest is None."""
    writer = SnapshotWriter(folder, target_bytes=4096, memory=[])
    for number, row in enumerate(rows):
        data = picture_bytes(number)
        digest = hashlib.sha256(data).hexdigest()
        if "digest" in row:
            writer.add({name: value for name, value in row.items() if name != "digest"}, None)
            continue
        facts: Row = {"digest": digest, "media_type": "image/jpeg", "width_px": 64, "height_px": 48}
        writer.add({**facts, **row}, PictureBytes(digest, len(data), ".jpg", lambda data=data: data))
    named = [{"name": name, "index": index} for index, name in enumerate(categories or [])]
    writer.finish({"stage": "cleaned", "name": "cleaned", "categories": named})
    return open_snapshot(folder)
