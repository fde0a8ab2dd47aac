"""Rows put aside come back the same, sealed or not; sealed ones tell nothing on the disk."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dsetkit.access.keys import DataKey
from dsetkit.access.seal import DomainSeal
from dsetkit.errors import TamperError
from dsetkit.spec.sample import Sample
from dsetkit.stages import spool
from dsetkit.stages.spool import Spool

SEAL = DomainSeal(DataKey(bytes(range(32))), project="5a" * 16, domain="d1", epoch=1)


def row_of(number: int) -> dict[str, Any]:
    box = {"id": "0", "kind": "box", "category": "RBC", "bbox_xywh_px": [1.0, 2.0, 3.0, float(number)]}
    digest = hashlib.sha256(f"{number}".encode()).hexdigest()
    return {"key": f"blood/{number:05}.jpg", "digest": digest, "labelled": "yes", "annotations": [box]}


def filled(path: Path, count: int, seal: DomainSeal | None) -> Spool:
    rows = Spool(path, Sample, seal)
    for number in range(count):
        rows.add(row_of(number))
    rows.close()
    return rows


@pytest.mark.parametrize("seal", [None, SEAL])
@pytest.mark.parametrize("count", [0, 1, 16, 61])
def test_rows_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seal: DomainSeal | None, count: int) -> None:
    monkeypatch.setattr(spool, "BATCH_ROWS", 16)
    rows = filled(tmp_path / "a", count, seal)
    assert len(rows) == count
    assert list(rows) == [row_of(number) for number in range(count)]
    table = rows.columns(("key", "annotations"))
    assert table["key"].to_pylist() == [row_of(number)["key"] for number in range(count)]
    assert table.schema.names == ["key", "annotations"]
    places = [place for place in (60, 3, 17, 3) if place < count]
    assert rows.rows_at(places) == {place: row_of(place) for place in places}
    rows.remove()
    assert not (tmp_path / "a").exists()


def test_nothing_plain_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "BATCH_ROWS", 16)
    secrets = [b"blood", b"RBC", b"ARROW", row_of(3)["digest"].encode(), "blood".encode("utf-16-le")]
    for seal, is_told in ((None, True), (SEAL, False)):
        rows = filled(tmp_path / "a", 61, seal)
        data = (tmp_path / "a").read_bytes()
        assert any(secret in data for secret in secrets) == is_told
        rows.remove()


def test_a_batch_that_was_changed_or_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "BATCH_ROWS", 16)
    rows = filled(tmp_path / "a", 32, SEAL)
    data = (tmp_path / "a").read_bytes()
    half = len(data) // 2
    for changed in (data[:-1] + b"\0", data[half:] + data[:half], data[:half] * 2):
        (tmp_path / "a").write_bytes(changed)
        with pytest.raises(TamperError):
            list(rows)
    rows.remove()


def test_a_sealed_one_holds_a_batch_and_no_more(tmp_path: Path) -> None:
    held = []
    for count in (4096, 16_384):
        rows = filled(tmp_path / "a", count, SEAL)
        before = pa.total_allocated_bytes()
        tracemalloc.start()
        try:
            for _ in rows:
                pass
            held.append(tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes() - before)
            columns = rows.columns(("labelled",))
            assert columns.get_total_buffer_size() < 100 * count
        finally:
            tracemalloc.stop()
        rows.remove()
    assert held[1] < 1.5 * held[0]
