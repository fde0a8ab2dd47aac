"""Damage is found, and named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.footers import BINARY, INT64, Struct, chunks_of, forge, statistics_of

from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.verify import verify
from dsetkit.spec.issue import Issue


@pytest.fixture
def place(snapshot: Snapshot, tmp_path: Path) -> Path:
    return tmp_path / "snapshot"


def found(place: Path) -> list[Issue]:
    return verify(open_snapshot(place, check=False))


def codes(issues: list[Issue]) -> list[str]:
    return sorted({issue.code for issue in issues})


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_nothing_is_wrong(place: Path) -> None:
    assert found(place) == []


def test_a_damaged_picture_is_named_with_its_shard_and_sample(place: Path, snapshot: Snapshot) -> None:
    row = snapshot.row(5)
    flip(place / "shards" / row["shard"], row["offset_bytes"] + 3)
    issues = found(place)
    assert codes(issues) == ["picture-damaged", "shard-damaged"]
    assert {issue.file for issue in issues} == {f"shards/{row['shard']}"}
    assert [issue.key for issue in issues if issue.code == "picture-damaged"] == [row["key"]]
    shard = next(issue for issue in issues if issue.code == "shard-damaged")
    assert shard.message.endswith(f"; damaged in it is the picture of {row['key']!r}")
    assert shard.keys == (row["key"],)


def test_a_damaged_header(place: Path, snapshot: Snapshot) -> None:
    shard = snapshot.row(5)["shard"]
    flip(place / "shards" / shard, 110)
    (issue,) = found(place)
    assert (issue.code, issue.file) == ("shard-damaged", f"shards/{shard}")
    keys = [row["key"] for row in snapshot.table.to_pylist() if row["shard"] == shard]
    assert repr(keys[0]) in issue.message
    assert sorted(issue.keys) == sorted(keys)


def test_missing_and_cut_off_files(place: Path, snapshot: Snapshot) -> None:
    row = snapshot.row(5)
    (place / "shards" / row["shard"]).unlink()
    other = next(part.name for part in snapshot.info.shards if row["shard"] not in part.name)
    with (place / other).open("r+b") as file:
        file.truncate(600)
    (place / snapshot.info.parts[-1].name).unlink()
    issues = found(place)
    assert {issue.file for issue in issues if issue.code == "shard-damaged"} >= {f"shards/{row['shard']}", other}
    assert [issue.file for issue in issues if issue.code == "file-missing"] == [snapshot.info.parts[-1].name]
    assert any("it is not there; in it are the pictures of" in issue.message for issue in issues)


def test_files_that_are_no_part_of_it(place: Path) -> None:
    (place / "notes.txt").write_text("mine")
    (issue,) = found(place)
    assert (issue.code, issue.file, issue.severity) == ("file-unknown", "notes.txt", "warning")


def test_damaged_tables(place: Path, snapshot: Snapshot) -> None:
    part = snapshot.info.parts[0].name
    flip(place / part, 1000)
    flip(place / "rejected.parquet", 500)
    issues = found(place)
    assert {(issue.code, issue.file) for issue in issues} >= {
        ("part-damaged", part),
        ("rejected-damaged", "rejected.parquet"),
    }


def change_part(place: Path, snapshot: Snapshot, number: int, **columns: Any) -> None:
    """Change a part's values as an editor would, sizes adjusted in snapshot.json."""
    file = place / "snapshot.json"
    info = json.loads(file.read_text(encoding="utf-8"))
    part = info["parts"][number]
    table = pq.read_table(place / part["name"])
    for name, change in columns.items():
        at = table.column_names.index(name)
        values = change(table[name].to_pylist())
        table = table.set_column(at, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    pq.write_table(table, place / part["name"])
    part["size_bytes"] = (place / part["name"]).stat().st_size
    file.write_text(json.dumps(info), encoding="utf-8")


def test_a_changed_label(place: Path, snapshot: Snapshot) -> None:
    change_part(place, snapshot, 0, split=lambda values: ["test", *values[1:]])
    issues = found(place)
    assert codes(issues) == ["counts-wrong", "part-damaged", "row-damaged"]
    row = next(issue for issue in issues if issue.code == "row-damaged")
    assert row.key == snapshot[0].key


def test_a_changed_label_with_its_row_digest(place: Path, snapshot: Snapshot, kit: SimpleNamespace) -> None:
    change_part(place, snapshot, 0, row_digest=lambda values: ["0" * 64, *values[1:]])
    assert codes(found(place)) == ["fingerprint-wrong", "part-damaged", "row-damaged"]


def test_keys_out_of_order(place: Path, snapshot: Snapshot) -> None:
    change_part(place, snapshot, 0, key=lambda values: values[::-1])
    assert "keys-unordered" in codes(found(place))


def test_rows_that_point_elsewhere(place: Path, snapshot: Snapshot) -> None:
    change_part(
        place,
        snapshot,
        0,
        offset_bytes=lambda values: [7, *values[1:]],
        shard=lambda values: [values[0], "nowhere.tar", *values[2:]],
    )
    issues = found(place)
    assert {"picture-damaged", "member-unknown", "shard-damaged"} <= set(codes(issues))
    assert any("points into 'nowhere.tar'" in issue.message for issue in issues)


def test_counts_that_are_wrong(place: Path) -> None:
    file = place / "snapshot.json"
    info = json.loads(file.read_text(encoding="utf-8"))
    info["counts"]["annotations"] += 1
    info["fingerprint"] = "0" * 64
    file.write_text(json.dumps(info), encoding="utf-8")
    assert [issue.code for issue in found(place)] == ["fingerprint-wrong", "counts-wrong"]


CATEGORY = "annotations.list.element.category"


def all_null(footer: Struct) -> None:
    for statistics, chunk in zip(statistics_of(footer, CATEGORY), chunks_of(footer, CATEGORY), strict=True):
        statistics.clear()
        statistics[3] = chunk[3][1][5]  # as many nulls as values


def no_value(footer: Struct) -> None:
    for statistics, chunk in zip(statistics_of(footer, CATEGORY), chunks_of(footer, CATEGORY), strict=True):
        chunk[3][1][5] = (INT64, 7)
        statistics.clear()
        statistics[3] = (INT64, 7)


def no_attributes(footer: Struct) -> None:
    """A column that holds other things than its default, told to hold just that."""
    for statistics in statistics_of(footer, "annotations.list.element.attributes"):
        statistics.update(dict.fromkeys((5, 6), (BINARY, b"{}")))


def not_a_text_below(footer: Struct) -> None:
    for statistics in statistics_of(footer, CATEGORY):
        statistics[6] = (BINARY, b"S")


@pytest.mark.parametrize(
    ("lie", "column", "fewer"),
    [
        (all_null, "annotations.category", True),
        (no_value, "annotations.category", None),
        (no_attributes, "annotations.attributes", True),
        (not_a_text_below, "annotations.category", False),
    ],
)
def test_statistics_that_lie_are_found_though_every_digest_fits(
    place: Path,
    snapshot: Snapshot,
    kit: SimpleNamespace,
    lie: Callable[[Struct], None],
    column: str,
    fewer: bool | None,
) -> None:
    before = snapshot.rows(0, 12), snapshot.table.slice(0, 12)
    name = kit.change_file(place, snapshot.info.parts[0].name, lambda path: forge(path, lie))
    forged = open_snapshot(place)
    if fewer is not None:  # None: pyarrow reads no such file
        assert (forged.rows(0, 12) != before[0]) == fewer
        assert forged.table.slice(0, 12).equals(before[1])
    (issue,) = (each for each in found(place) if each.severity == "error")  # of what cannot be read, pictures are spare
    if fewer is None and issue.code == "part-damaged":
        return
    assert (issue.code, issue.severity, issue.file, issue.place) == (
        "statistics-untrue",
        "error",
        name,
        f"column {column}",
    )
    assert issue.describe().startswith(f"{name}: column {column}: its statistics ")


def test_statistics_of_what_was_turned_away(place: Path, kit: SimpleNamespace) -> None:
    def lie(footer: Struct) -> None:
        statistics_of(footer, "reason")[0].update({3: (INT64, 3)})

    kit.change_file(place, "rejected.parquet", lambda path: forge(path, lie))
    (issue,) = found(place)
    assert issue.message == ("its statistics tell of 0 values that are not null, there are 3 (row group 0)")
    assert (issue.code, issue.file, issue.place) == ("statistics-untrue", "rejected.parquet", "column reason")
