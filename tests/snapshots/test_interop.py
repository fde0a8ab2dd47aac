"""A snapshot explains itself: other tools read it without dsetkit."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from dsetkit.snapshots.read import Snapshot


@pytest.fixture
def place(snapshot: Snapshot, tmp_path: Path) -> Path:
    return tmp_path / "snapshot"


def test_tarfile(place: Path) -> None:
    for path in (place / "shards").iterdir():
        with tarfile.open(path, "r:") as shard:
            for member in shard:
                data = shard.extractfile(member)
                assert data is not None
                assert hashlib.sha256(data.read()).hexdigest() == member.name.removesuffix(".jpg")
                assert (member.mtime, member.uid, member.uname, member.mode) == (0, 0, "", 0o644)


def test_pandas(place: Path, snapshot: Snapshot) -> None:
    pandas = pytest.importorskip("pandas")
    parts = json.loads((place / "snapshot.json").read_text(encoding="utf-8"))["parts"]
    frame = pandas.concat([pandas.read_parquet(place / part["name"]) for part in parts])
    assert list(frame["key"]) == snapshot.table["key"].to_pylist()
    first = frame.iloc[0]
    shard = (place / "shards" / first["shard"]).read_bytes()
    start = int(first["offset_bytes"])
    assert shard[start : start + int(first["size_bytes"])] == snapshot.read_bytes(first["key"])
    assert first["annotations"][0]["category"] == "RBC"


def test_duckdb(place: Path, snapshot: Snapshot) -> None:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        counted = connection.execute(
            "select a.category, count(*) from (select unnest(annotations) as a from read_parquet($1)) "
            "where a.category is not null group by 1 order by 1",
            [f"{place}/samples/*.parquet"],
        ).fetchall()
        rejected = connection.execute("select count(*) from read_parquet($1)", [f"{place}/rejected.parquet"]).fetchall()
    assert dict(counted) == snapshot.info.counts.per_category
    assert rejected == [(3,)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_webdataset(place: Path, snapshot: Snapshot) -> None:
    webdataset = pytest.importorskip("webdataset")
    shards = [str(place / part.name) for part in snapshot.info.shards]
    found = {sample["__key__"]: sample["jpg"] for sample in webdataset.WebDataset(shards, shardshuffle=False)}
    digests = snapshot.table["digest"].to_pylist()
    assert set(digests) <= set(found)
    assert all(hashlib.sha256(data).hexdigest() == name.rpartition("/")[2] for name, data in found.items())
