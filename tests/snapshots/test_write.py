"""Writing: deterministic to the byte, incremental or from nothing, killed or not."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsetkit.errors import CheckError, UsageError
from dsetkit.snapshots import parquet_out, rejects
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.verify import verify
from dsetkit.snapshots.write import PictureBytes, SnapshotWriter, leftovers
from dsetkit.spec.arrow import arrow_schema
from dsetkit.spec.sample import Rejected, Sample
from dsetkit.storage.folder import MappedFolder
from dsetkit.storage.tar import check_shard


def test_what_a_snapshot_is_on_disk(snapshot: Snapshot, tmp_path: Path) -> None:
    folder = tmp_path / "snapshot"
    info = json.loads((folder / "snapshot.json").read_text(encoding="utf-8"))
    assert sorted(path.name for path in folder.iterdir()) == ["rejected.parquet", "samples", "shards", "snapshot.json"]
    assert (folder / "snapshot.json").read_text(encoding="utf-8") == json.dumps(
        info, indent=2, sort_keys=True, ensure_ascii=False
    ) + "\n"
    assert info["format"] == 1
    for part in [*info["parts"], *info["shards"], info["rejected"]]:
        data = (folder / part["name"]).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (part["digest"], part["size_bytes"])
    assert len(info["parts"]) > 2
    assert len(info["shards"]) > 5
    for part in info["parts"]:
        assert pq.read_schema(folder / part["name"]).equals(arrow_schema(Sample))
    assert pq.read_schema(folder / "rejected.parquet").equals(arrow_schema(Rejected))
    assert info["counts"]["samples"] == 57
    assert info["counts"]["rejected_samples"] == 3
    assert info["counts"]["per_reason"] == {"picture-corrupt": 2, "picture-missing": 1}
    assert info["counts"]["per_category"] == {"RBC": 29, "WBC": 28}
    assert sum(info["counts"]["per_split"].values()) == 57


def test_rows_point_at_their_bytes(snapshot: Snapshot, tmp_path: Path, kit: SimpleNamespace) -> None:
    rows = snapshot.table.to_pylist()
    for row in rows:
        number = int(row["key"][-9:-4])
        path = tmp_path / "snapshot" / "shards" / row["shard"]
        start = row["offset_bytes"]
        assert path.read_bytes()[start : start + row["size_bytes"]] == kit.picture_of(number)
    rejected = {row["key"]: row for row in snapshot.rejected.to_pylist()}
    assert [*rejected] == sorted(rejected)
    row = rejected["blood/picture_00020.jpg"]
    assert row["message"] == "cut off"
    data = (tmp_path / "snapshot" / "shards" / row["shard"]).read_bytes()
    assert data[row["offset_bytes"] :][: row["size_bytes"]] == kit.picture_of(20)
    assert rejected["tissue/picture_00033.jpg"]["shard"] is None


def test_equal_bytes_stand_in_a_shard_once(kit: SimpleNamespace, tmp_path: Path) -> None:
    rows = [(kit.row_of(1, key=f"s/{n:03}"), kit.picture_of(1)) for n in range(40)]
    for row, _ in rows:
        row["digest"] = hashlib.sha256(kit.picture_of(1)).hexdigest()
    writer = kit.write_snapshot(tmp_path / "a", rows, target_bytes=1 << 20)
    (shard,) = (tmp_path / "a" / "shards").iterdir()
    assert len(check_shard(shard)) == 1
    assert writer.statistics["shards_packed"] == 1
    assert verify(open_snapshot(tmp_path / "a")) == []


def test_the_row_given_is_left_as_it_is(kit: SimpleNamespace, tmp_path: Path) -> None:
    row = kit.row_of(1, shard="old.tar", offset_bytes=7)
    before = json.dumps(row)
    kit.write_snapshot(tmp_path / "a", [(row, kit.picture_of(1))])
    assert json.dumps(row) == before
    kit.write_snapshot(tmp_path / "b", [(row, None)])
    written = open_snapshot(tmp_path / "b").table.to_pylist()[0]
    assert written["shard"] is None
    assert written["digest"] == row["digest"]


def test_a_snapshot_of_nothing(kit: SimpleNamespace, tmp_path: Path) -> None:
    kit.write_snapshot(tmp_path / "a", [])
    snapshot = open_snapshot(tmp_path / "a")
    assert len(snapshot) == 0
    assert list(snapshot) == []
    assert snapshot.table.schema.equals(arrow_schema(Sample))
    assert snapshot.column("annotations.category").num_rows == 0
    assert len(snapshot.where(split="train", category="x", source="y").take(3)) == 0
    assert verify(snapshot) == []


def test_only_rejected_pictures_in_a_shard(kit: SimpleNamespace, tmp_path: Path) -> None:
    rows = [({**row, "reason": "picture-blurred"}, data) for row, data in kit.numbered(range(9))]
    kit.write_snapshot(tmp_path / "a", rows)
    snapshot = open_snapshot(tmp_path / "a")
    assert snapshot.info.parts == ()
    assert len(snapshot.info.shards) >= 1
    assert verify(snapshot) == []
    again = kit.write_snapshot(tmp_path / "b", rows, memory=[snapshot])
    assert again.statistics["shards_packed"] == 0


@settings(max_examples=8)
@given(
    first=st.sets(st.integers(0, 80), max_size=60),
    second=st.sets(st.integers(0, 80), max_size=60),
    rejected=st.sets(st.integers(0, 80), max_size=10),
    relabelled=st.sets(st.integers(0, 80), max_size=10),
    variants=st.sets(st.integers(0, 80), max_size=20),
)
def test_incremental_and_from_nothing_give_the_same_bytes(
    kit: SimpleNamespace,
    first: set[int],
    second: set[int],
    rejected: set[int],
    relabelled: set[int],
    variants: set[int],
) -> None:
    def rows(numbers: set[int]) -> list[tuple[dict[str, object], bytes]]:
        return [
            (
                {
                    **kit.row_of(n),
                    **({"reason": "duplicate", "duplicate_of": "x"} if n in rejected else {}),
                    **({"split": "test"} if n in relabelled else {}),
                },
                kit.picture_of(n),
            )
            for n in numbers
        ]

    def made(numbers: set[int]) -> list[tuple[dict[str, object], bytes]]:
        return [(kit.row_of(n + 1000, key=f"{kit.row_of(n)['key']}~flip-0"), kit.picture_of(n + 1000)) for n in numbers]

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        kit.write_snapshot(place / "old", kit.numbered(first))
        memory = open_snapshot(place / "old")
        incremental = kit.write_snapshot(place / "new", rows(second), made(variants), memory=[memory])
        nothing = kit.write_snapshot(place / "nothing", rows(second), made(variants))
        assert kit.files_of(place / "new") == kit.files_of(place / "nothing")
        assert incremental.statistics["shards_total"] == nothing.statistics["shards_packed"]
        snapshot = open_snapshot(place / "new")
        assert verify(snapshot) == []
        keys = snapshot.table["key"].to_pylist()
        assert keys == sorted(keys, key=str.encode)
        assert len(keys) == len(second - rejected) + len(variants)


@settings(max_examples=8)
@given(st.sets(st.integers(0, 50), max_size=30), st.integers(4096, 100_000))
def test_the_fingerprint_does_not_depend_on_how_shards_are_cut(
    kit: SimpleNamespace, numbers: set[int], target_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        kit.write_snapshot(place / "a", kit.numbered(numbers), target_bytes=4096)
        kit.write_snapshot(place / "b", kit.numbered(numbers), target_bytes=target_bytes)
        assert open_snapshot(place / "a").fingerprint == open_snapshot(place / "b").fingerprint


@pytest.mark.usefixtures("small_parts")
def test_unchanged_shards_and_parts_are_linked_and_nothing_is_read(kit: SimpleNamespace, tmp_path: Path) -> None:
    kit.write_snapshot(tmp_path / "old", kit.numbered(range(60)))
    memory = open_snapshot(tmp_path / "old")
    kit.READS.clear()
    writer = kit.write_snapshot(tmp_path / "new", kit.numbered(range(60)), memory=[memory])
    assert kit.READS == []
    assert writer.statistics["shards_packed"] == writer.statistics["bytes_packed"] == 0
    assert writer.statistics["shards_linked"] == writer.statistics["shards_total"] > 5
    for path in [*(tmp_path / "new" / "shards").iterdir(), *(tmp_path / "new" / "samples").iterdir()]:
        assert os.path.samefile(path, tmp_path / "old" / path.relative_to(tmp_path / "new"))


@pytest.mark.usefixtures("small_parts")
def test_a_changed_label_packs_nothing_a_new_picture_its_shard(kit: SimpleNamespace, tmp_path: Path) -> None:
    kit.write_snapshot(tmp_path / "old", kit.numbered(range(60)))
    memory = open_snapshot(tmp_path / "old")
    rows = kit.numbered(range(60))
    rows[30] = (kit.row_of(30, split="test"), rows[30][1])
    assert kit.write_snapshot(tmp_path / "a", rows, memory=[memory]).statistics["shards_packed"] == 0
    rows = kit.numbered(range(61))
    assert 1 <= kit.write_snapshot(tmp_path / "b", rows, memory=[memory]).statistics["shards_packed"] <= 2


@pytest.mark.usefixtures("small_parts")
def test_memory_from_read_only_files_under_other_names(kit: SimpleNamespace, tmp_path: Path) -> None:
    kit.write_snapshot(tmp_path / "old", kit.numbered(range(40)))
    cache = tmp_path / "cache"
    cache.mkdir()
    files = {}
    for number, name in enumerate(kit.files_of(tmp_path / "old")):
        files[name] = cache / f"{number:02x}"
        shutil.copy(tmp_path / "old" / name, files[name])
        files[name].chmod(0o444)
    memory = open_snapshot(MappedFolder("data/cleaned", files))
    writer = kit.write_snapshot(tmp_path / "new", kit.numbered(range(40)), memory=[memory])
    assert writer.statistics["shards_packed"] == 0
    assert kit.files_of(tmp_path / "new") == kit.files_of(tmp_path / "old")
    assert verify(memory) == []


def test_a_damaged_memory_is_not_linked(kit: SimpleNamespace, tmp_path: Path) -> None:
    kit.write_snapshot(tmp_path / "old", kit.numbered(range(40)))
    memory = open_snapshot(tmp_path / "old")
    first, second, *_ = sorted((tmp_path / "old" / "shards").iterdir())
    first.unlink()
    second.write_bytes(b"x" + second.read_bytes()[1:])
    writer = kit.write_snapshot(tmp_path / "new", kit.numbered(range(40)), memory=[memory])
    assert writer.statistics["shards_packed"] == 2
    assert verify(open_snapshot(tmp_path / "new")) == []


class Killed(Exception):
    pass


def write_until_killed(kit: SimpleNamespace, build: Path, *, at: int) -> None:
    writer = SnapshotWriter(build, target_bytes=4096)
    for row, data in sorted(kit.numbered(range(120)), key=lambda item: item[0]["key"]):
        if int(row["key"][-9:-4]) == at:
            return
        row["made_from"] = hashlib.sha256(row["key"].encode()).hexdigest()
        rejected = {"reason": "duplicate"} if row["key"].endswith("2.jpg") else {}
        writer.add({**row, **rejected}, kit.picture_bytes(data, row["key"]), rejected=bool(rejected))


def test_shards_of_a_killed_run_are_reused(kit: SimpleNamespace, tmp_path: Path) -> None:
    build = tmp_path / "build"
    write_until_killed(kit, build, at=101)
    found = leftovers(build)
    assert len(found) > 5
    rows = [row for _, table in found for row in table.to_pylist()]
    for path, table in found:
        assert table.schema.equals(arrow_schema(Sample))
        for row in table.to_pylist():
            data = path.read_bytes()[row["offset_bytes"] :][: row["size_bytes"]]
            assert hashlib.sha256(data).hexdigest() == row["digest"]
            assert row["made_from"] == hashlib.sha256(row["key"].encode()).hexdigest()
            assert row["shard"] == path.name
    assert not any(row["key"].endswith("2.jpg") for row in rows)

    kit.READS.clear()
    writer = kit.write_snapshot(build, kit.numbered(range(120)))
    assert writer.statistics["shards_linked"] == len(found)
    assert not {row["key"] for row in rows} & set(kit.READS)
    kit.write_snapshot(tmp_path / "nothing", kit.numbered(range(120)))
    assert kit.files_of(build) == kit.files_of(tmp_path / "nothing")


def test_half_written_leftovers_are_deleted(kit: SimpleNamespace, tmp_path: Path) -> None:
    build = tmp_path / "build"
    write_until_killed(kit, build, at=101)
    whole = [path.name for path, _ in leftovers(build)]
    shards, work = build / "shards", build / "work"
    (shards / ".open.tar.0123.dsetkit-tmp").write_bytes(b"half")
    (shards / "open.tar").write_bytes(b"whole, not renamed")
    (shards / whole[0]).unlink()
    rows = work / whole[1].replace(".tar", ".parquet")
    rows.write_bytes(rows.read_bytes()[:-20])
    (work / whole[2].replace(".tar", ".parquet")).unlink()
    (work / whole[3].replace(".tar", ".parquet")).write_bytes(b"")
    with (shards / whole[4]).open("r+b") as file:
        file.truncate(700)
    shutil.copy(work / whole[6].replace(".tar", ".parquet"), work / whole[5].replace(".tar", ".parquet"))
    (work / "rejected-0.parquet").write_bytes(b"aside")
    assert [path.name for path, _ in leftovers(build)] == whole[6:]
    assert sorted(path.name for path in shards.iterdir()) == whole[6:]
    kit.write_snapshot(build, kit.numbered(range(120)))
    kit.write_snapshot(tmp_path / "nothing", kit.numbered(range(120)))
    assert kit.files_of(build) == kit.files_of(tmp_path / "nothing")


def test_a_leftover_whose_bytes_went_wrong_is_packed_again(kit: SimpleNamespace, tmp_path: Path) -> None:
    build = tmp_path / "build"
    write_until_killed(kit, build, at=101)
    path, _ = leftovers(build)[0]
    data = bytearray(path.read_bytes())
    data[520] ^= 1
    path.write_bytes(data)
    kit.write_snapshot(build, kit.numbered(range(120)))
    assert verify(open_snapshot(build)) == []


def test_what_else_stands_in_the_build_folder_does_not_get_into_the_snapshot(
    kit: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "build" / "strange").mkdir(parents=True)
    (tmp_path / "build" / "strange" / "file").write_bytes(b"x")
    SnapshotWriter(tmp_path / "build", target_bytes=4096)
    assert {path.name for path in (tmp_path / "build").iterdir()} == {"samples", "shards", "work"}


def test_leftovers_of_nothing(tmp_path: Path) -> None:
    assert leftovers(tmp_path / "never") == []
    assert not (tmp_path / "never").exists()


def test_what_a_finished_build_held_before_is_gone(kit: SimpleNamespace, tmp_path: Path) -> None:
    kit.write_snapshot(tmp_path / "a", kit.numbered(range(30)))
    kit.write_snapshot(tmp_path / "a", kit.numbered(range(5)))
    kit.write_snapshot(tmp_path / "b", kit.numbered(range(5)))
    assert kit.files_of(tmp_path / "a") == kit.files_of(tmp_path / "b")


def test_originals_keep_their_parts_and_shards_beside_variants(
    kit: SimpleNamespace, tmp_path: Path, small_parts: None
) -> None:
    kit.write_snapshot(tmp_path / "cleaned", kit.numbered(range(50)))
    cleaned = open_snapshot(tmp_path / "cleaned")
    variants = [(kit.row_of(n + 500, key=kit.row_of(n)["key"] + "~flip-0"), kit.picture_of(n + 500)) for n in range(50)]
    kit.write_snapshot(tmp_path / "augmented", kit.numbered(range(50)), variants, memory=[cleaned])
    augmented = open_snapshot(tmp_path / "augmented")
    assert set(cleaned.info.parts) < set(augmented.info.parts)
    assert set(cleaned.info.shards) < set(augmented.info.shards)
    assert augmented.info.counts.added_samples == 50
    assert augmented.info.counts.added_annotations == sum(len(row["annotations"]) for row, _ in variants)


def test_counts_only_the_caller_knows(kit: SimpleNamespace, tmp_path: Path) -> None:
    counts = {
        "samples_in": 9,
        "annotations_in": 12,
        "per_change": {"clipped": 2},
        "samples": 77,
        "added_annotations": 4,
    }
    kit.write_snapshot(tmp_path / "a", kit.numbered(range(9)), info={**kit.INFO, "counts": counts})
    found = open_snapshot(tmp_path / "a").info.counts
    assert (found.samples_in, found.per_change, found.added_annotations) == (9, {"clipped": 2}, 4)
    assert found.samples == 9
    assert found.annotations == 12


def test_rejected_rows_put_aside_come_out_the_same(
    kit: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = [random.Random(1).randrange(30) for _ in range(100)]
    rows = [({**kit.row_of(n), "what": "annotation", "reason": f"r-{i:03}"}, None) for i, n in enumerate(order)]

    def write(name: str) -> bytes:
        writer = SnapshotWriter(tmp_path / name, target_bytes=4096)
        for row, _ in rows:
            writer.add(row, None, rejected=True)
        assert len(writer._rejected._held) <= rejects.HELD_ROWS
        writer.finish(kit.INFO)
        return (tmp_path / name / "rejected.parquet").read_bytes()

    at_once = write("a")
    table = open_snapshot(tmp_path / "a").rejected.to_pylist()
    assert [(row["key"], row["reason"]) for row in table] == sorted((row["key"], row["reason"]) for row in table)
    # Groups of 4 rows: batches of 16 are whole groups, as 16,384 are of 4,096.
    monkeypatch.setattr(parquet_out, "GROUP_ROWS", 4)
    by_fours = write("b")
    monkeypatch.setattr(rejects, "HELD_ROWS", 16)
    assert write("c") == by_fours != at_once
    assert not (tmp_path / "c" / "work").exists()
    assert open_snapshot(tmp_path / "c").rejected.to_pylist() == table


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (("s/b", "s/a"), "'s/a' comes after 's/b'. Rows come in key order, each key once; report this."),
        (("s/a", "s/a"), "'s/a' comes twice. Rows come in key order, each key once; report this."),
        (("s/é", "s/z"), "'s/z' comes after 's/é'. Rows come in key order, each key once; report this."),
        (
            ("s/../b",),
            "'s/../b' cannot be a key (a key is a relative path without empty, '.' or '..' parts: 's/../b'). "
            "Rename the file in its source.",
        ),
        (("s/e\u0301",), "'s/e\u0301' cannot be a key (it is not in Unicode's NFC). Rename the file in its source."),
    ],
)
def test_rows_out_of_order_are_refused(
    kit: SimpleNamespace, tmp_path: Path, keys: tuple[str, ...], message: str
) -> None:
    writer = SnapshotWriter(tmp_path, target_bytes=4096)
    for key in keys[:-1]:
        writer.add(kit.row_of(1, key=key), None)
    with pytest.raises(UsageError) as caught:
        writer.add(kit.row_of(1, key=keys[-1]), None)
    assert str(caught.value) == message


def test_groups_are_in_order_and_share_no_key(kit: SimpleNamespace, tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path / "a", target_bytes=4096)
    writer.add(kit.row_of(2), None)
    writer.add(kit.row_of(2), None, group=1)
    with pytest.raises(UsageError, match="a row of group 0 comes after group 1"):
        writer.add(kit.row_of(4), None)
    with pytest.raises(CheckError) as caught:
        writer.finish(kit.INFO)
    assert str(caught.value) == (
        "two samples have the key 'blood/picture_00002.jpg'. Rename one of them, or the recipe that makes it."
    )


@pytest.mark.parametrize("given_bytes", [b"something else", b"right length is"])
def test_bytes_that_are_not_those_of_the_digest_are_refused(
    kit: SimpleNamespace, tmp_path: Path, given_bytes: bytes
) -> None:
    right = b"right length, a"
    digest = hashlib.sha256(right).hexdigest()
    writer = SnapshotWriter(tmp_path / "a", target_bytes=4096)
    writer.add(kit.row_of(1, digest=digest), PictureBytes(digest, len(right), ".jpg", lambda: given_bytes))
    with pytest.raises(CheckError) as caught:
        writer.finish(kit.INFO)
    assert str(caught.value) == (
        f"the picture of 'tissue/picture_00001.jpg' is damaged: its {len(given_bytes)} bytes are not those of the "
        f"digest {digest}. Fetch what it was read from again (under DVC: dvc checkout), or update the source's lock."
    )
    assert [issue.code for issue in caught.value.issues] == ["picture-damaged"]
    assert list((tmp_path / "a" / "shards").iterdir()) == []


def test_another_digest_in_the_row_is_refused(kit: SimpleNamespace, tmp_path: Path) -> None:
    writer = SnapshotWriter(tmp_path / "a", target_bytes=4096)
    with pytest.raises(UsageError, match=r"the bytes given with it have .*\. This is a mistake in the stage"):
        writer.add(kit.row_of(1), kit.picture_bytes(b"x"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"annotations": [{"id": "0", "kind": "box", "score": math.nan}]}, "a number is finite, not nan"),
        ({"sharpness": math.inf}, "a number is not finite"),
        ({"annotations": [{"kind": "box"}]}, "the field 'id' is missing"),
        ({"width_px": 2**40}, "Value 1099511627776 too large to fit in C integer type"),
        ({"annotations": [{"id": "0", "kind": "box", "bbox": [1]}]}, "a row has no field 'bbox'"),
        ({"subsets": [None]}, "first argument must be a string, not NoneType"),
    ],
)
def test_a_row_that_does_not_fit_is_named(
    kit: SimpleNamespace, tmp_path: Path, fields: dict[str, object], said: str
) -> None:
    for reason in ({}, {"reason": "duplicate"}):
        writer = SnapshotWriter(tmp_path / "a", target_bytes=4096)
        writer.add(kit.row_of(1), None)
        with pytest.raises(CheckError) as caught:  # noqa: PT012, one refuses at once, the other at the end
            writer.add(kit.row_of(3, **fields, **reason), None, rejected=bool(reason))
            writer.finish(kit.INFO)
        assert str(caught.value) == (
            f"'tissue/picture_00003.jpg': its row cannot be written ({said}). "
            "Its labels hold a value that no column takes; correct them or exclude the sample."
        )
        assert [issue.code for issue in caught.value.issues] == ["row-unfit"]
