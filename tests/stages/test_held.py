"""Pictures inside label files, through a project: add, ingest, update, lock, convert, export."""

from __future__ import annotations

import base64
import io
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.bench import Bench, picture_bytes, tree_bytes
from support.boxed import OPENED

from dsetkit.errors import LockError
from dsetkit.formats import registry
from dsetkit.formats.testing import files_of
from dsetkit.snapshots.verify import verify
from dsetkit.spec.params import LabelsParams, SourceParams
from dsetkit.stages import executor
from dsetkit.stages.export import convert, export_snapshot
from dsetkit.stages.ingest import ingest
from dsetkit.stages.manage import add_source, source_status, update_source
from dsetkit.storage import held as storage_held


@pytest.fixture(autouse=True)
def boxed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(registry._OWN, "boxed", "support.boxed:Boxed")
    for cached in (registry.names, registry.get):
        cached.cache_clear()
    yield
    for cached in (registry.names, registry.get):
        cached.cache_clear()


def put(path: Path, pictures: dict[str, bytes], **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    items = [
        {"name": name, "category": "cat", "data": base64.b64encode(data).decode(), **more}
        for name, data in pictures.items()
    ]
    path.write_text(json.dumps({"pictures": items}))


PICTURES = {f"{number:02}.jpg": picture_bytes(number) for number in range(6)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "boxes"
    put(folder / "one.boxed.json", dict(list(PICTURES.items())[:4]))
    put(folder / "in" / "two.boxed.json", dict(list(PICTURES.items())[4:]))
    (folder / "file.jpg").write_bytes(picture_bytes(77))
    return folder


def test_a_life(bench: Bench, source: Path) -> None:
    report = add_source(bench.project, "boxes", SourceParams(path=str(source)))
    assert report.state.detection is not None
    assert (report.lock.pictures, report.lock.labels) == (7, 2)
    containers = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    assert report.lock.size_bytes == containers
    result = bench.ingest("boxes")
    assert (result.info.counts.samples, result.info.counts.annotations) == (7, 6)
    snapshot = bench.open("raw/boxes")
    for name, data in PICTURES.items():
        assert snapshot.read_bytes(f"boxes/{name}") == data
    assert verify(snapshot) == []

    again = bench.ingest("boxes")
    assert (again.decoded, again.reused) == (0, 7)

    time.sleep(0.01)
    put(source / "in" / "two.boxed.json", {**dict(list(PICTURES.items())[4:]), "06.jpg": picture_bytes(6)})
    with pytest.raises(LockError, match=r"1 new: 06\.jpg; 1 changed: in/two\.boxed\.json"):
        bench.ingest("boxes")
    assert source_status(bench.project, "boxes").state == "changed"
    assert update_source(bench.project, "boxes").changes == ("1 new: 06.jpg", "1 changed: in/two.boxed.json")
    result = bench.ingest("boxes")
    assert (result.decoded, result.reused) == (1, 7)

    export_snapshot(bench.open("raw/boxes"), bench.root.parent / "out", format="image_folder")
    written = files_of(bench.root.parent / "out")
    assert written["cat/boxes/03.jpg"] == PICTURES["03.jpg"]


def test_the_lock_does_not_hang_on_how_a_picture_is_given_out(
    bench: Bench, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = add_source(bench.project, "boxes", SourceParams(path=str(source))).lock
    real = storage_held.HeldReader.__call__
    monkeypatch.setattr(storage_held.HeldReader, "__call__", lambda self: real(self) + b"\0")  # another encoder
    assert source_status(bench.project, "boxes").state == "locked"
    assert update_source(bench.project, "boxes").lock == before
    snapshot = bench.ingest("boxes").info
    assert snapshot.counts.samples == 7
    assert bench.open("raw/boxes").read_bytes("boxes/00.jpg") == PICTURES["00.jpg"] + b"\0"


@pytest.mark.parametrize("where", ["inside", "elsewhere"])
def test_labels_apart_from_the_source(bench: Bench, source: Path, tmp_path: Path, where: str) -> None:
    place = "in" if where == "inside" else str(source / "in")
    params = SourceParams(path=str(source), labels=(LabelsParams(file=place),), exclude=("one.boxed.json",))
    report = add_source(bench.project, "boxes", params)
    assert (report.lock.pictures, report.lock.labels) == (3, 1)
    bench.ingest("boxes")
    assert bench.open("raw/boxes").read_bytes("boxes/04.jpg") == PICTURES["04.jpg"]


def test_other_processes_give_the_same(bench: Bench, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add_source(bench.project, "boxes", SourceParams(path=str(source)))
    bench.ingest("boxes")
    with_threads = tree_bytes(bench.root / "data" / "raw" / "boxes")
    (bench.root / "data" / "raw" / "boxes" / "snapshot.json").unlink()
    monkeypatch.setattr(executor, "CROWD", 1)
    with ThreadPoolExecutor(2) as threads:
        ingest(bench.project, "boxes", pool=executor.Pool(threads, 2, is_local=True))
    assert tree_bytes(bench.root / "data" / "raw" / "boxes") == with_threads


def test_damaged_and_large_ones_are_turned_away(bench: Bench, source: Path) -> None:
    noise = io.BytesIO()
    Image.effect_noise((200, 200), 90).save(noise, "PNG")
    put(source / "three.boxed.json", {"bad.png": b"no picture", "large.png": noise.getvalue(), "none.png": b""})
    bench.params(ingest={"max_file_bytes": 20_000})
    add_source(bench.project, "boxes", SourceParams(path=str(source)))
    bench.ingest("boxes")
    rejected = bench.open("raw/boxes").rejected.to_pylist()
    assert {row["key"]: row["reason"] for row in rejected} == {
        "boxes/bad.png": "picture-unknown",
        "boxes/large.png": "picture-too-large",
        "boxes/none.png": "picture-empty",
    }


def test_convert_copies_them(source: Path, tmp_path: Path) -> None:
    OPENED.clear()
    labels, report = convert(source, tmp_path / "out", to="image_folder")
    assert (len(labels), labels.issues, report.samples) == (7, (), 7)
    written = files_of(tmp_path / "out")
    assert written["cat/00.jpg"] == PICTURES["00.jpg"]
    assert len(written) == 7
