"""A sealed snapshot means what the plain one does, tells nothing of it, and comes out the same to the byte."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import pickle
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsetkit.errors import AccessError, DsetkitError, SnapshotError, TamperError
from dsetkit.snapshots import rejects
from dsetkit.snapshots.naming import content_name
from dsetkit.snapshots.opening import read_info, read_seals, stored_files
from dsetkit.snapshots.parquet_file import RangeFile
from dsetkit.snapshots.parquet_out import write_table
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.verify import verify, verify_stored
from dsetkit.snapshots.write import SnapshotWriter, leftovers
from dsetkit.storage.folder import LocalFolder
from dsetkit.storage.tar import check_shard

PLACE_FIELDS = ("shard", "offset_bytes")


def opened(place: Path, kit: SimpleNamespace, **options: Any) -> Snapshot:
    return open_snapshot(place, keys=kit.KeysOf(kit.seal_of()), **options)


def meant(snapshot: Snapshot) -> list[list[dict[str, Any]]]:
    """All rows without the places of their bytes."""
    tables = (snapshot.table, snapshot.rejected)
    return [
        [{name: value for name, value in row.items() if name not in PLACE_FIELDS} for row in table.to_pylist()]
        for table in tables
    ]


def test_it_means_what_the_plain_one_means(sealed: Path, built: Path, kit: SimpleNamespace) -> None:
    plain, snapshot = open_snapshot(built), opened(sealed, kit)
    assert snapshot.fingerprint == plain.fingerprint
    assert meant(snapshot) == meant(plain)
    assert snapshot.info.counts == plain.info.counts
    for key in plain.table["key"].to_pylist():
        assert snapshot.read_bytes(key) == plain.read_bytes(key)
    assert snapshot.row(5)["digest"] == plain.row(5)["digest"]
    assert [sample.key for sample in snapshot.where(split="val")] == [sample.key for sample in plain.where(split="val")]
    assert snapshot.take(7).fingerprint == plain.take(7).fingerprint
    assert snapshot.column("annotations.category").equals(plain.column("annotations.category"))
    assert verify(snapshot) == []


def test_what_it_is_on_disk(sealed: Path, kit: SimpleNamespace) -> None:
    snapshot = opened(sealed, kit)
    document = json.loads((sealed / "snapshot.json").read_text(encoding="utf-8"))
    assert (sealed / "snapshot.json").read_text(encoding="utf-8") == json.dumps(
        document, indent=2, sort_keys=True, ensure_ascii=False
    ) + "\n"
    assert {name: value for name, value in document["sealed"].items() if name not in ("body", "files")} == {
        "project": "5a" * 16,
        "stage": "cleaned",
        "domain": "d1",
        "epoch": 1,
    }
    for file in document["sealed"]["files"]:
        data = (sealed / file["name"]).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (file["digest"], file["size_bytes"])
    names = [file["name"] for file in document["sealed"]["files"]]
    assert sorted([*names, "snapshot.json"]) == sorted(LocalFolder(sealed).names())
    assert (len(snapshot.info.parts) > 2, len(snapshot.info.shards) > 5) == (True, True)
    for shard in snapshot.info.shards:
        for member in check_shard(sealed / shard.name):
            assert len(member.name) == 64
    seal = kit.seal_of()
    row = snapshot.row(3)
    members = {member.offset_bytes: member for member in check_shard(sealed / "shards" / row["shard"])}
    assert members[row["offset_bytes"]].name == seal.member_name(row["digest"])
    assert members[row["offset_bytes"]].size_bytes == seal.member_size(row["size_bytes"]) == row["size_bytes"] + 16


def secrets_of(kit: SimpleNamespace) -> list[bytes]:
    """What must not be seen: runs of pictures, keys, labels, digests, and the formats they come in."""
    rows = kit.sixty()
    found = [data[:24] for _, data in rows if data is not None]
    found += [row["digest"].encode() for row, _ in rows if "digest" in row]
    found += [bytes.fromhex(row["digest"]) for row, _ in rows if "digest" in row]
    return [*found, b"picture_000", b"blood", b"tissue", b"RBC", b"picture-corrupt", b"PAR1", b"ARROW", b"Zellen"]


def find_plain(folder: Path, kit: SimpleNamespace) -> list[tuple[str, bytes]]:
    looked = kit.files_of(folder)
    return [
        (name, secret)
        for name, data in looked.items()
        for secret in secrets_of(kit)
        if secret in data or secret in name.encode()
    ]


def test_nothing_plain_is_in_its_files(sealed: Path, built: Path, kit: SimpleNamespace) -> None:
    assert find_plain(sealed, kit) == []
    assert len(find_plain(built, kit)) > 100
    assert opened(sealed, kit).fingerprint.encode() not in (sealed / "snapshot.json").read_bytes()


def test_nothing_plain_is_ever_on_the_disk(
    tmp_path: Path, kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file is looked at before it is deleted or renamed, and when each row was added."""
    monkeypatch.setattr(rejects, "HELD_ROWS", 8)
    build = tmp_path / "build"
    seen: set[str] = set()

    def look() -> None:
        assert find_plain(tmp_path, kit) == []
        seen.update(path.parent.name for path in build.rglob("*") if path.is_file())

    def looking(true: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any, **options: Any) -> Any:
            look()
            return true(*args, **options)

        return act

    for module, name in ((os, "replace"), (os, "unlink"), (shutil, "rmtree"), (Path, "unlink")):
        monkeypatch.setattr(module, name, looking(getattr(module, name)))
    writer = SnapshotWriter(build, target_bytes=4096, seal=kit.seal_of())
    for number in range(30):
        row = {**kit.row_of(number), "reason": "duplicate", "what": "annotation"}
        writer.add(row, None, rejected=True)
        look()
    for row, data in sorted(kit.sixty(), key=lambda item: item[0]["key"].encode()):
        writer.add(row, None if data is None else kit.picture_bytes(data), rejected="reason" in row)
    look()
    writer.finish(kit.INFO)
    assert seen >= {"work", "shards", "samples"}


def test_two_builds_are_the_same_bytes_and_keys_change_all(
    sealed: Path, tmp_path: Path, kit: SimpleNamespace, small_parts: None
) -> None:
    first = kit.files_of(sealed)
    kit.write_snapshot(tmp_path / "again", kit.sixty(), seal=kit.seal_of())
    assert kit.files_of(tmp_path / "again") == first
    others = (kit.seal_of(2), kit.seal_of(epoch=2), kit.seal_of(domain="d2"), kit.seal_of(project="00" * 16))
    for number, other in enumerate(others):
        kit.write_snapshot(tmp_path / str(number), kit.sixty(), seal=other)
        files = kit.files_of(tmp_path / str(number))
        assert set(files) & set(first) == {"snapshot.json"}
        assert not set(files.values()) & set(first.values())
        snapshot = open_snapshot(tmp_path / str(number), keys=kit.KeysOf(other))
        assert snapshot.fingerprint == opened(sealed, kit).fingerprint


def test_cuts_are_drawn_by_the_key(kit: SimpleNamespace, tmp_path: Path) -> None:
    rows = kit.numbered(range(120))
    cuts = []
    for name, seal in (("plain", None), ("one", kit.seal_of()), ("two", kit.seal_of(2))):
        kit.write_snapshot(tmp_path / name, rows, seal=seal)
        snapshot = open_snapshot(tmp_path / name, keys=kit.KeysOf(seal))
        cuts.append([shard.rows for shard in snapshot.info.shards])
    assert cuts[0] != cuts[1] != cuts[2] != cuts[0]


@pytest.mark.parametrize("change", ["picture", "label", "gone"])
def test_incremental_and_from_nothing_give_the_same_bytes(
    kit: SimpleNamespace, tmp_path: Path, change: str, small_parts: None
) -> None:
    rows = kit.numbered(range(120))
    kit.write_snapshot(tmp_path / "old", rows, seal=kit.seal_of())
    if change == "picture":
        data = kit.picture_of(1000)
        rows[60] = ({**rows[60][0], "digest": hashlib.sha256(data).hexdigest()}, data)
    elif change == "label":
        rows[60] = ({**rows[60][0], "split": "test"}, rows[60][1])
    else:
        del rows[60]
    old = opened(tmp_path / "old", kit)
    writer = kit.write_snapshot(tmp_path / "new", rows, memory=[old], seal=kit.seal_of())
    kit.write_snapshot(tmp_path / "nothing", rows, seal=kit.seal_of())
    assert kit.files_of(tmp_path / "new") == kit.files_of(tmp_path / "nothing")
    packed = writer.statistics["shards_packed"]
    assert packed == 0 if change == "label" else 1 <= packed <= 2
    for shard in old.info.shards:
        if (tmp_path / "new" / shard.name).exists():
            assert (tmp_path / "new" / shard.name).samefile(tmp_path / "old" / shard.name)
    tables = {part.name for part in old.info.parts} & {part.name for part in opened(tmp_path / "new", kit).info.parts}
    assert tables
    for name in tables:
        assert (tmp_path / "new" / name).samefile(tmp_path / "old" / name)


def test_what_is_sealed_otherwise_is_packed_anew(kit: SimpleNamespace, tmp_path: Path) -> None:
    rows = kit.numbered(range(40))
    seals = {
        "plain": None,
        "one": kit.seal_of(),
        "two": kit.seal_of(2, epoch=2),
        "padded": kit.seal_of(padding="padme"),
    }
    for name, seal in seals.items():
        kit.write_snapshot(tmp_path / name, rows, seal=seal)
    for name, seal in seals.items():
        for other, others in seals.items():
            memory = [open_snapshot(tmp_path / other, keys=kit.KeysOf(others))]
            writer = kit.write_snapshot(tmp_path / f"{name}-{other}", rows, memory=memory, seal=seal)
            assert (writer.statistics["shards_linked"] > 0) == (name == other)
            assert kit.files_of(tmp_path / f"{name}-{other}") == kit.files_of(tmp_path / name)
            carrying = SnapshotWriter(tmp_path / f"c-{name}-{other}", target_bytes=4096, seal=seal)
            part, table = next(memory[0].iter_shard_rows())
            assert part in memory[0].info.parts
            assert carrying.carry_shard(table, memory[0], is_last=True) == (name == other)
            whole = SnapshotWriter(tmp_path / f"w-{name}-{other}", target_bytes=4096, seal=seal)
            assert whole.carry(memory[0]) == (name == other)
            if name == other:
                whole.finish(kit.INFO)
                assert kit.files_of(tmp_path / f"w-{name}-{other}") == kit.files_of(tmp_path / name)


def test_pictures_by_place_come_of_either(sealed: Path, built: Path, kit: SimpleNamespace) -> None:
    for snapshot in (open_snapshot(built), opened(sealed, kit)):
        row = snapshot.row(11)
        place = (row["shard"], row["offset_bytes"], row["size_bytes"], row["digest"])
        assert snapshot.shards.read(*place) == kit.picture_of(int(row["key"][-9:-4]))


def test_padding(kit: SimpleNamespace, tmp_path: Path) -> None:
    seal = kit.seal_of(padding="padme")
    kit.write_snapshot(tmp_path / "a", kit.sixty(), seal=seal)
    snapshot = open_snapshot(tmp_path / "a", keys=kit.KeysOf(seal))
    assert snapshot.seals is not None
    assert snapshot.seals.padding == "padme"
    assert verify(snapshot) == []
    for row in snapshot.rows(0, 60):
        assert snapshot.read_bytes(row) == kit.picture_of(int(row["key"][-9:-4]))
    sizes = {m.size_bytes for shard in snapshot.info.shards for m in check_shard(tmp_path / "a" / shard.name)}
    assert len(sizes) < 30


def test_a_snapshot_of_nothing(kit: SimpleNamespace, tmp_path: Path) -> None:
    kit.write_snapshot(tmp_path / "a", [], seal=kit.seal_of())
    snapshot = opened(tmp_path / "a", kit)
    assert (len(snapshot), snapshot.rejected.num_rows, verify(snapshot)) == (0, 0, [])


def test_shards_of_a_killed_run(kit: SimpleNamespace, tmp_path: Path) -> None:
    build, seal = tmp_path / "build", kit.seal_of()
    rows = sorted(kit.numbered(range(60)), key=lambda item: item[0]["key"].encode())

    def begin(given: Any) -> SnapshotWriter:
        writer = SnapshotWriter(build, target_bytes=4096, seal=given)
        for row, data in rows:
            writer.add(row, kit.picture_bytes(data))
        return writer

    begin(seal)
    assert find_plain(build, kit) == []
    left = leftovers(build, seal)
    assert len(left) > 5
    for path, table in left:
        for row in table.to_pylist():
            assert row["shard"] == path.name
    writer = begin(seal)
    writer.finish(kit.INFO)
    assert writer.statistics["shards_packed"] <= 1
    kit.write_snapshot(tmp_path / "a", rows, seal=seal)
    assert kit.files_of(build) == kit.files_of(tmp_path / "a")
    for before, after in ((None, seal), (seal, None), (seal, kit.seal_of(2)), (seal, kit.seal_of(epoch=2))):
        shutil.rmtree(build)
        begin(before)
        assert leftovers(build, after) == []
        assert [path for path in build.rglob("*") if path.is_file()] == []


def test_leftovers_that_were_changed(kit: SimpleNamespace, tmp_path: Path) -> None:
    build, seal = tmp_path / "build", kit.seal_of()
    writer = SnapshotWriter(build, target_bytes=4096, seal=seal)
    for row, data in sorted(kit.numbered(range(60)), key=lambda item: item[0]["key"].encode()):
        writer.add(row, kit.picture_bytes(data))
    first, second = sorted((build / "work").iterdir())[:2]
    data = first.read_bytes()
    second.write_bytes(data)  # the rows of another shard
    first.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    kept = {path.stem for path, _ in leftovers(build, seal)}
    assert not kept & {first.stem, second.stem}
    assert kept


def test_without_keys(sealed: Path, built: Path, kit: SimpleNamespace) -> None:
    with pytest.raises(AccessError) as caught:
        open_snapshot(sealed)
    assert str(caught.value) == (
        f"{sealed} is sealed (domain d1, epoch 1, stage cleaned). Set DSETKIT_IDENTITY to your identity file; "
        "if you have none, or it may not read this, ask an admin of the project."
    )
    assert caught.value.subject == "cleaned"
    with pytest.raises(AccessError):
        read_info(LocalFolder(sealed))
    seals = read_seals(LocalFolder(sealed))
    assert seals is not None
    assert (seals.stage, seals.domain, seals.epoch) == ("cleaned", "d1", 1)
    assert read_seals(LocalFolder(built)) is None
    assert {file.name for file in stored_files(LocalFolder(sealed))} == {file.name for file in seals.files}
    assert len(stored_files(LocalFolder(built))) > 8
    with pytest.raises(AccessError, match="does not read it"):
        open_snapshot(sealed, keys=kit.KeysOf(kit.seal_of(epoch=2)))
    with pytest.raises(TamperError):
        open_snapshot(sealed, keys=kit.KeysOf(kit.seal_of(7)))


def test_what_keys_are_asked(sealed: Path, built: Path, kit: SimpleNamespace) -> None:
    keys = kit.KeysOf(kit.seal_of())
    open_snapshot(built, keys=keys)
    assert keys.said == ["plain"]
    keys.said.clear()
    read_info(LocalFolder(sealed), keys)
    assert keys.said == ["place", "seal", "check"]
    open_snapshot(sealed, keys=keys)
    assert keys.said[3:] == ["place", "seal", "check", "opened"]
    unsigned = kit.KeysOf(kit.seal_of(), refuses="nobody signed it")
    with pytest.raises(TamperError, match="nobody signed it"):
        open_snapshot(sealed, keys=unsigned)
    assert unsigned.said == ["place", "seal", "check"]


def test_it_stays_in_its_process(sealed: Path, kit: SimpleNamespace) -> None:
    snapshot = opened(sealed, kit)
    for thing in (snapshot, snapshot.shards, snapshot.take(2), snapshot.seal):
        with pytest.raises(TypeError):
            pickle.dumps(thing)
    sample = snapshot[0]
    assert pickle.loads(pickle.dumps(sample)) == sample
    assert "no picture" not in sample._repr_html_()
    assert isinstance(snapshot._repr_html_(), str)


def test_tables_are_opened_by_range(kit: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row of a part of several chunks does not take them all."""
    noise = random.Random(0)
    rows = [
        (kit.row_of(n, key=f"s/{n:05}", attributes={"note": noise.randbytes(2048).hex()}), None) for n in range(5000)
    ]
    for row, _ in rows:
        del row["digest"]
    kit.write_snapshot(tmp_path / "a", rows, seal=kit.seal_of(), target_bytes=1 << 20)
    snapshot = opened(tmp_path / "a", kit)
    (part,) = snapshot.info.parts
    assert part.size_bytes > 8 * 1024 * 1024
    read: list[tuple[str, int]] = []
    true = LocalFolder.read_range

    def spy(self: LocalFolder, name: str, start: int, length: int) -> bytes:
        read.append((name, length))
        return true(self, name, start, length)

    monkeypatch.setattr(LocalFolder, "read_range", spy)
    assert snapshot.column("split").num_rows == 5000
    assert sum(length for _, length in read) < part.size_bytes / 2
    assert snapshot.row(4999)["key"] == "s/04999"


def test_verify_without_keys(sealed: Path) -> None:
    folder = LocalFolder(sealed)
    seals = read_seals(folder)
    assert seals is not None
    (told,) = verify_stored(folder, seals)
    assert (told.code, told.severity, told.file) == ("sealed", "info", "snapshot.json")
    assert "neither pictures, rows, counts, fingerprint nor its signature" in told.message
    shards = [file.name for file in seals.files if file.name.startswith("shards/")]
    tables = [file.name for file in seals.files if file.name.startswith("samples/")]
    (sealed / shards[0]).unlink()
    (sealed / "notes.txt").write_text("mine")
    rejected = next(path for path in sealed.glob("rejected-*"))
    for path in (sealed / shards[1], sealed / tables[0], rejected):
        data = bytearray(path.read_bytes())
        data[60] ^= 1
        path.write_bytes(data)
    found = {(issue.code, issue.file) for issue in verify_stored(folder, seals)}
    assert found == {
        ("file-missing", shards[0]),
        ("file-unknown", "notes.txt"),
        ("shard-damaged", shards[1]),
        ("part-damaged", tables[0]),
        ("rejected-damaged", rejected.name),
        ("sealed", "snapshot.json"),
    }


def test_verify_names_what_is_damaged(sealed: Path, kit: SimpleNamespace) -> None:
    snapshot = opened(sealed, kit)
    row, part = snapshot.row(5), snapshot.info.parts[-1].name
    for name, at in ((f"shards/{row['shard']}", row["offset_bytes"] + 3), (part, 2000)):
        data = bytearray((sealed / name).read_bytes())
        data[at] ^= 1
        (sealed / name).write_bytes(data)
    issues = verify(opened(sealed, kit, check=False))
    assert {(issue.code, issue.file) for issue in issues} >= {
        ("picture-damaged", f"shards/{row['shard']}"),
        ("shard-damaged", f"shards/{row['shard']}"),
        ("part-damaged", part),
    }
    assert row["key"] in [issue.key for issue in issues if issue.code == "picture-damaged"]


def test_plain_parquet_cannot_stand_for_a_sealed_table(sealed: Path, kit: SimpleNamespace) -> None:
    snapshot = opened(sealed, kit)
    part = snapshot.info.parts[0]
    pq.write_table(snapshot._store.read_part(0), sealed / part.name)
    with pytest.raises(DsetkitError) as caught:
        _ = opened(sealed, kit, check=False).table
    assert isinstance(caught.value, TamperError | SnapshotError)


def test_the_body_is_the_plain_document_of_these_files(sealed: Path, kit: SimpleNamespace) -> None:
    seals = read_seals(LocalFolder(sealed))
    assert seals is not None
    body = json.loads(kit.seal_of().open_file("snapshot", "cleaned", base64.b64decode(seals.body)))
    assert body["name"] == seals.stage
    files = [*body["parts"], *body["shards"], body["rejected"]]
    assert [(file["name"], file["digest"], file["size_bytes"]) for file in files] == [
        (file.name, file.digest, file.size_bytes) for file in seals.files
    ]


def test_a_table_that_another_reader_sealed(kit: SimpleNamespace, tmp_path: Path) -> None:
    """Who reads it has the keys, and could seal anything under its name: the digest in the signed document decides."""
    place = tmp_path / "a"
    kit.write_snapshot(place, kit.sixty(), seal=kit.seal_of())
    snapshot = opened(place, kit)
    (part,), seal = snapshot.info.parts, kit.seal_of()
    path = place / part.name
    true, table = path.read_bytes(), snapshot.table
    swapped = {"RBC": "WBC", "WBC": "RBC"}
    rows = table.to_pylist()
    for row in rows:
        for item in row["annotations"]:
            item["category"] = swapped.get(item["category"])
    buffer = io.BytesIO()
    write_table(pa.Table.from_pylist(rows, schema=table.schema), buffer)
    forged = seal.seal_file("samples", content_name(part.name), buffer.getvalue())
    assert len(forged) == len(true)
    path.write_bytes(forged)
    reads: tuple[Callable[[Snapshot], Any], ...] = (lambda s: s.table, lambda s: s[0], lambda s: s.column("split"))
    for read in reads:
        with pytest.raises(TamperError, match=r"samples/.* is not the file that snapshot\.json names"):
            read(opened(place, kit))
    assert [issue.code for issue in verify(opened(place, kit)) if issue.severity == "error"] == ["part-damaged"]
    path.write_bytes(true)
    assert opened(place, kit).table == table


def test_no_other_thread_reads(sealed: Path, kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of Arrow's that is in Python when the process ends, ends it with an abort."""
    readers: set[int] = set()
    true = RangeFile.readinto

    def spy(self: RangeFile, buffer: Any) -> int:
        readers.add(threading.get_ident())
        return true(self, buffer)

    monkeypatch.setattr(RangeFile, "readinto", spy)
    snapshot = opened(sealed, kit)
    assert len(snapshot.table) == len(list(snapshot)) == len(snapshot)
    assert snapshot.column(("key", "split")).num_rows == len(snapshot)
    assert readers == {threading.get_ident()}
