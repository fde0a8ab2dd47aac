"""What is no snapshot is refused, with words that help; golden."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsetkit.errors import SnapshotError
from dsetkit.snapshots import opening, parquet
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.spec.arrow import arrow_schema
from dsetkit.spec.sample import Sample

Info = dict[str, Any]
FETCH = "fetch it again (under DVC: dvc checkout)."
UNBELIEVED = "snapshot.json of PLACE cannot be believed: "


def refusal(place: Path) -> str:
    with pytest.raises(SnapshotError) as caught:
        open_snapshot(place)
    assert str(place) in caught.value.path
    return str(caught.value).replace(str(place), "PLACE")


@pytest.fixture
def place(snapshot: Snapshot, tmp_path: Path) -> Path:
    return tmp_path / "snapshot"


def test_absent(tmp_path: Path) -> None:
    said = "there is no snapshot at PLACE. Fetch it (under DVC: dvc checkout), or check the path."
    assert refusal(tmp_path / "nowhere") == said
    (tmp_path / "empty").mkdir()
    assert refusal(tmp_path / "empty") == said


def test_missing_and_cut_off_files(place: Path) -> None:
    info = json.loads((place / "snapshot.json").read_text(encoding="utf-8"))
    first, second = sorted(part["name"] for part in info["shards"])[:2]
    with (place / first).open("r+b") as file:
        file.truncate(512)
    size = next(part["size_bytes"] for part in info["shards"] if part["name"] == first)
    hint = ". Fetch it (under DVC: dvc checkout; a killed one leaves such a snapshot)."
    assert refusal(place) == f"PLACE is not whole: {first} has 512 bytes, not {size}{hint}"
    (place / second).unlink()
    assert refusal(place) == f"PLACE is not whole: {second} missing{hint}"
    shutil.rmtree(place / "samples")
    (place / "rejected.parquet").unlink()
    assert refusal(place).startswith("PLACE is not whole: rejected.parquet, samples/")
    assert " more missing. Fetch it" in refusal(place)


def replace(**fields: Any) -> Callable[[Info], Info]:
    return lambda info: {**info, **fields}


def rename(part: str, name: str) -> Callable[[Info], Info]:
    def change(info: Info) -> Info:
        target = info[part] if part == "rejected" else info[part][0]
        target["name"] = name
        return info

    return change


def in_part(**fields: Any) -> Callable[[Info], Info]:
    def change(info: Info) -> Info:
        info["parts"][0].update(fields)
        return info

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (rename("shards", "../../etc/passwd"), UNBELIEVED + "'../../etc/passwd' cannot be a file of a snapshot"),
        (rename("shards", "/shards/x.tar"), UNBELIEVED + "'/shards/x.tar' cannot be a file of a snapshot"),
        (
            rename("parts", f"samples/{'0' * 64}.parquet"),
            UNBELIEVED + f"'samples/{'0' * 64}.parquet' cannot be a file of a snapshot",
        ),
        (rename("parts", "samples/x.parquet\n"), UNBELIEVED + "'samples/x.parquet\\n' cannot be a file of a snapshot"),
        (rename("rejected", "samples/../r"), UNBELIEVED + "'samples/../r' cannot be a file of a snapshot"),
        (in_part(shards=["../x.tar"]), UNBELIEVED + "PART needs '../x.tar', which is not a shard of it"),
        (in_part(size_bytes=-1), UNBELIEVED + "PART has a negative size"),
        (in_part(rows=0), UNBELIEVED + "PART has no rows, or its keys are in no order"),
        (in_part(first_key="z/z"), UNBELIEVED + "PART has no rows, or its keys are in no order"),
        (in_part(first_key="../z"), UNBELIEVED + "parts.0.first_key: Value error, a key is a relative path"),
        (in_part(rows=10_000), UNBELIEVED + "its parts do not have the 57 samples it counts"),
        (in_part(digest="x"), UNBELIEVED + "parts.0.digest: Value error, a digest is 64 lower-case hex digits"),
        (lambda info: {**info, "shards": info["shards"] * 2}, UNBELIEVED + "it names a file twice"),
        (lambda info: {**info, "parts": info["parts"][::-1]}, UNBELIEVED + "its parts are in no order"),
        (
            replace(unheard_of=1),
            UNBELIEVED + "unheard_of: Extra inputs are not permitted. A later dsetkit wrote it; update this one: ",
        ),
        (replace(format="1"), "PLACE is a snapshot of format 1; this dsetkit reads format 1"),
        (
            replace(format=2, unheard_of=1),
            "PLACE is a snapshot of format 2; this dsetkit reads format 1. Update it: pip install -U dsetkit.",
        ),
        (lambda info: {}, UNBELIEVED + "it does not say what format it has"),
        (lambda info: [], UNBELIEVED + "it does not say what format it has"),  # type: ignore[arg-type, return-value]
    ],
)
def test_documents_that_cannot_be(place: Path, change: Callable[[Info], Info], said: str) -> None:
    file = place / "snapshot.json"
    info = json.loads(file.read_text(encoding="utf-8"))
    name = info["parts"][0]["name"]
    file.write_text(json.dumps(change(info)), encoding="utf-8")
    assert refusal(place).replace(name, "PART").startswith(said)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"format": NaN}', b"[" * 10_000])
def test_what_is_no_json(place: Path, text: bytes) -> None:
    (place / "snapshot.json").write_bytes(text)
    assert refusal(place).startswith(UNBELIEVED + "it is no JSON (")
    assert refusal(place).endswith(FETCH)


def test_a_document_too_large(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert opening.MAX_INFO_BYTES == 64 * 1024 * 1024
    monkeypatch.setattr(opening, "MAX_INFO_BYTES", 100)
    size = (place / "snapshot.json").stat().st_size
    assert refusal(place) == (
        f"{UNBELIEVED}it has {size:,} bytes, more than 100. "
        "It is damaged or not of dsetkit's making; fetch it again (under DVC: dvc checkout)."
    )


def put_part(place: Path, table: pa.Table, **fields: Any) -> Snapshot:
    """Replace the first part by a table, sizes adjusted, and open."""
    file = place / "snapshot.json"
    info = json.loads(file.read_text(encoding="utf-8"))
    part = info["parts"][0]
    pq.write_table(table, place / part["name"])
    part["size_bytes"] = (place / part["name"]).stat().st_size
    part.update(fields)
    file.write_text(json.dumps(info), encoding="utf-8")
    return open_snapshot(place)


def reading(snapshot: Snapshot) -> str:
    with pytest.raises(SnapshotError) as caught:
        _ = snapshot.table
    name = snapshot.info.parts[0].name
    text = str(caught.value).replace(name, "PART").replace(snapshot.folder.url, "PLACE")
    assert text.startswith("PART of PLACE cannot be read: ")
    assert text.endswith(". It is damaged or not of dsetkit's making; fetch it again (under DVC: dvc checkout).")
    return text.removeprefix("PART of PLACE cannot be read: ").partition(". It is damaged")[0]


def test_parts_with_other_columns(place: Path, snapshot: Snapshot) -> None:
    table = pq.read_table(place / snapshot.info.parts[0].name)
    assert reading(put_part(place, table.drop_columns(["key"]))) == (
        "its columns are not those of Sample (key is missing)"
    )
    other = table.set_column(0, "key", table["key"].cast(pa.large_string()))
    assert reading(put_part(place, other)) == ("its columns are not those of Sample (key is large_string, not string)")
    shuffled = table.select([*table.column_names[1:], "key"])
    assert reading(put_part(place, shuffled)) == "its columns are not those of Sample (they stand in another order)"


def test_parts_with_other_rows(place: Path, snapshot: Snapshot) -> None:
    table = pq.read_table(place / snapshot.info.parts[0].name)
    rows = table.num_rows
    assert reading(put_part(place, pa.concat_tables([table, table]))) == (
        f"it has {2 * rows} rows, where snapshot.json says {rows}"
    )


def test_parts_beyond_the_limits(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MAX_BYTES", 1000)
    assert "when decompressed, more than 1,000" in reading(open_snapshot(place))
    monkeypatch.setattr(parquet, "MAX_VALUES", 5)
    assert "values, more than 5" in reading(open_snapshot(place))


def test_a_bomb_is_not_decoded(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a few KB with one row of ten million numbers."""
    assert parquet.MAX_VALUES == 2**27
    monkeypatch.setattr(parquet, "MAX_VALUES", 1_000_000)
    schema = arrow_schema(Sample)
    count = 10_000_000
    zeros = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), pa.repeat(pa.scalar(0.0), count))
    columns = [
        zeros.cast(field.type) if field.name == "channel_mean" else pa.array([_some(field)], field.type)
        for field in schema
    ]
    info = json.loads((place / "snapshot.json").read_text(encoding="utf-8"))
    info["counts"]["samples"] = sum(part["rows"] for part in info["parts"][1:]) + 1
    (place / "snapshot.json").write_text(json.dumps(info), encoding="utf-8")
    snapshot = put_part(place, pa.Table.from_arrays(columns, schema=schema), rows=1)
    del zeros, columns
    before = pa.total_allocated_bytes()
    assert snapshot.info.parts[0].size_bytes < 100_000
    assert "one of its columns has 10,000,000 values, more than 1,000,000" in reading(snapshot)
    assert pa.total_allocated_bytes() <= before


def _some(field: pa.Field) -> Any:
    if field.nullable:
        return None
    return [] if pa.types.is_list(field.type) else "{}" if field.name == "attributes" else "no"


@pytest.mark.parametrize("at", range(0, 30_000, 2777))
def test_a_damaged_part_is_refused_or_reads_the_same(place: Path, snapshot: Snapshot, at: int) -> None:
    """Pages have checksums; what changes elsewhere either breaks the file or says nothing of the rows."""
    path = place / snapshot.info.parts[0].name
    right = snapshot.table
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 0xFF
    path.write_bytes(data)
    try:
        assert open_snapshot(place).table.equals(right)
    except SnapshotError as error:
        assert "cannot be read: " in error.message  # noqa: PT017, either is right


def test_damaged_pictures_are_not_given_out(place: Path, snapshot: Snapshot) -> None:
    row = snapshot.row(3)
    path = place / "shards" / row["shard"]
    data = bytearray(path.read_bytes())
    data[row["offset_bytes"]] ^= 1
    path.write_bytes(data)
    with pytest.raises(SnapshotError) as caught:
        snapshot.read_bytes(row["key"])
    assert str(caught.value).replace(str(place), "PLACE") == (
        f"PLACE: the picture of '{row['key']}' in shards/{row['shard']} is not the one that was packed. "
        "See what else is damaged: dsetkit verify; then fetch it again (under DVC: dvc checkout)."
    )
    lying = {**row, "size_bytes": 10**15}
    with pytest.raises(SnapshotError, match=r"points at bytes .* which are not there"):
        snapshot.read_bytes(lying)
    with pytest.raises(SnapshotError, match="which are not there"):
        snapshot.read_bytes({**row, "shard": "../../x"})
