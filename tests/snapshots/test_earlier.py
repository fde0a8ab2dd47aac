"""Snapshots of an earlier dsetkit: columns that came later are read as their defaults; those of a later one are not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.columns import without

from dsetkit.errors import SnapshotError
from dsetkit.snapshots.parquet_out import hash_file, write_table
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.verify import verify
from dsetkit.snapshots.write import SnapshotWriter

LATER = (
    *("contrast", "responses", "recipe", "attributes", "exif_orientation"),
    *("provenance.video", "provenance.time_s"),
    *("annotations.score", "annotations.status", "annotations.is_crowd", "annotations.probabilities"),
    *("annotations.keypoints.visibility", "annotations.ellipse.angle", "annotations.extras", "annotations.track"),
)
"""Columns that an earlier dsetkit might not have had; none is used by the rows here, or holds its default."""


def rewrite(place: Path, change: Callable[[pa.Table], pa.Table]) -> Snapshot:
    """The snapshot with every table changed, as a dsetkit that has these columns would have written it."""
    info = json.loads((place / "snapshot.json").read_text(encoding="utf-8"))
    for part in [*info["parts"], info["rejected"]]:
        table = change(pq.read_table(place / part["name"]))
        (place / part["name"]).unlink()
        path = place / "table"
        write_table(table, path)
        part["digest"], part["size_bytes"] = hash_file(path)
        if part["name"] != "rejected.parquet":
            part["name"] = f"samples/{part['digest']}.parquet"
        path.rename(place / part["name"])
    (place / "snapshot.json").write_text(json.dumps(info), encoding="utf-8")
    return open_snapshot(place)


@pytest.fixture
def place(snapshot: Snapshot, tmp_path: Path) -> Path:
    return tmp_path / "snapshot"


@pytest.fixture
def older(place: Path) -> Snapshot:
    return rewrite(place, lambda table: without(table, LATER))


def test_columns_that_came_later_hold_their_defaults(built: Path, older: Snapshot) -> None:
    now = open_snapshot(built)
    assert len(older.folder.read(older.info.parts[0].name)) < now.info.parts[0].size_bytes
    assert older.table.equals(now.table)
    assert older.rejected.equals(now.rejected)
    assert list(older) == list(now)
    assert [older.row(at) for at in (0, 20, -1)] == [now.row(at) for at in (0, 20, -1)]


def test_it_is_verified(older: Snapshot) -> None:
    assert verify(older) == []


@pytest.mark.parametrize(
    "columns",
    [
        ("contrast",),
        ("annotations.score",),
        ("annotations.keypoints.visibility", "key"),
        ("annotations.category", "annotations.status", "attributes"),
        ("recipe.steps.op", "provenance.video"),
        ("provenance",),
        ("annotations",),
    ],
)
def test_columns_are_those_of_today(built: Path, older: Snapshot, columns: tuple[str, ...]) -> None:
    wanted = open_snapshot(built).column(columns)
    found = older.column(columns)
    assert found.schema.equals(wanted.schema)
    assert found.equals(wanted)
    assert older.where(category="WBC").fingerprint == open_snapshot(built).where(category="WBC").fingerprint


def test_it_is_not_carried_over_by_link(tmp_path: Path, kit: SimpleNamespace) -> None:
    """Adding its rows would write the columns of today; which of the two happens must not show in the bytes."""
    kit.write_snapshot(tmp_path / "snapshot", kit.numbered(range(30)))
    now = open_snapshot(tmp_path / "snapshot")
    assert SnapshotWriter(tmp_path / "a", target_bytes=4096).carry(now)
    older = rewrite(tmp_path / "snapshot", lambda table: without(table, LATER))
    assert not SnapshotWriter(tmp_path / "b", target_bytes=4096).carry(older)


def test_what_is_required_must_be_there(place: Path) -> None:
    older = rewrite(place, lambda table: without(table, ("annotations.kind",)))
    with pytest.raises(SnapshotError, match=r"not those of Sample \(annotations.kind is missing\)\. It is damaged"):
        _ = older.table


def test_columns_of_a_later_dsetkit_are_refused_not_dropped(place: Path) -> None:
    later = rewrite(place, lambda table: table.append_column("mood", table["key"]))
    with pytest.raises(SnapshotError) as caught:
        _ = later.table
    assert str(caught.value).endswith(
        "cannot be read: its columns are not those of Sample (mood is unknown). "
        "A later dsetkit wrote it; update this one: pip install -U dsetkit."
    )


def test_rejected_rows_too(older: Snapshot) -> None:
    assert older.read_rejected(("key", "contrast", "annotations.status")).num_rows == 3
