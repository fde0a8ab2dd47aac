"""Sealed snapshots that somebody altered, and such that a reader with the keys made to do harm."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dsetkit.access.chunks import CHUNK_BYTES, HEADER_BYTES, SIV_BYTES
from dsetkit.errors import DsetkitError, NotFoundError, SnapshotError, StorageError, TamperError
from dsetkit.snapshots import envelope, opening, parquet
from dsetkit.snapshots.opening import read_info, read_seals
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.verify import verify, verify_stored
from dsetkit.spec.arrow import arrow_schema
from dsetkit.spec.sample import Sample
from dsetkit.spec.sealed import SealedSnapshot
from dsetkit.storage.folder import LocalFolder
from dsetkit.storage.tar import BLOCK_BYTES, check_shard

Files = dict[str, bytes]
REFUSED = (TamperError, SnapshotError)


class InMemory:
    """A folder of bytes."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.url = "memory"

    def read(self, name: str) -> bytes:
        if name not in self.files:
            raise NotFoundError("gone", name=name, hint="")
        return self.files[name]

    def read_range(self, name: str, start: int, length: int) -> bytes:
        data = self.read(name)[start : start + length]
        if len(data) != length:
            raise StorageError("short", url=name, hint="")
        return data

    def size_bytes(self, name: str) -> int | None:
        return len(self.files[name]) if name in self.files else None

    def local_path(self, name: str) -> Path | None:
        return None

    def names(self) -> Iterator[str]:
        return iter(sorted(self.files))


def everything(folder: Any, kit: SimpleNamespace, *, check: bool = True) -> tuple[Any, ...]:
    """All that a snapshot gives out: its document, all rows, all pictures."""
    snapshot = open_snapshot(folder, keys=kit.KeysOf(kit.seal_of()), check=check)
    rows = snapshot.table.to_pylist()
    rejected = snapshot.rejected.to_pylist()
    pictures = [snapshot.read_bytes(row) for row in (*rows, *rejected) if row["shard"] is not None]
    return snapshot.info, rows, rejected, pictures


@pytest.fixture(scope="module")
def small(kit: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The files of a sealed snapshot of twelve samples."""
    place = tmp_path_factory.mktemp("small") / "snapshot"
    rows = kit.numbered(range(12))
    rows[4] = ({**rows[4][0], "reason": "picture-corrupt"}, rows[4][1])
    kit.write_snapshot(place, rows, target_bytes=4096, seal=kit.seal_of())
    files: Files = kit.files_of(place)
    assert len(files) > 4
    return files


def flip_many(small: Files, kit: SimpleNamespace, count: int, seed: int) -> None:
    right = everything(InMemory(small), kit)
    drawn = random.Random(seed)
    names = sorted(small)
    refused = 0
    for number in range(count):
        name = names[number % len(names)]
        data = bytearray(small[name])
        at = drawn.randrange(len(data))
        data[at] ^= 1 << drawn.randrange(8)
        folder = InMemory({**small, name: bytes(data)})
        try:
            assert everything(folder, kit) == right, (name, at)
        except DsetkitError:
            refused += 1
        if number % 20 == 0:  # and verify, which looks at every byte, finds each of them
            try:
                found = verify(open_snapshot(folder, keys=kit.KeysOf(kit.seal_of()), check=False))
                assert any(issue.severity == "error" for issue in found), (name, at)
            except DsetkitError:
                assert name == "snapshot.json"
    assert refused > count / 3


def test_flipped_bits(small: Files, kit: SimpleNamespace) -> None:
    flip_many(small, kit, 400, 1)


@pytest.mark.slow
def test_ten_thousand_flipped_bits(small: Files, kit: SimpleNamespace) -> None:
    flip_many(small, kit, 10_000, 2)


def test_files_cut_and_made_longer(small: Files, kit: SimpleNamespace) -> None:
    right = everything(InMemory(small), kit)
    drawn = random.Random(3)
    for name, data in small.items():
        for changed in (b"", data[:-1], data[: drawn.randrange(len(data))], data + b"\0", data + data):
            for check in (True, False):
                try:
                    assert everything(InMemory({**small, name: changed}), kit, check=check) == right
                    assert not check
                except DsetkitError as error:
                    assert isinstance(error, (*REFUSED, StorageError))  # noqa: PT017, either is right


def test_files_put_in_the_place_of_others(small: Files, kit: SimpleNamespace) -> None:
    for name in small:
        for other, data in small.items():
            if other == name:
                continue
            with pytest.raises((*REFUSED, StorageError)):
                everything(InMemory({**small, name: data}), kit, check=False)


def enveloped(files: Files, /, **fields: Any) -> Files:
    """The files with a changed envelope, written as dsetkit writes it."""
    document = json.loads(files["snapshot.json"])
    seals = {**document["sealed"], **fields}
    data = envelope.to_json(SealedSnapshot.model_validate({"format": 1, "sealed": seals}))
    return {**files, "snapshot.json": data}


def bodied(files: Files, kit: SimpleNamespace, change: Callable[[Any], Any], *, follows: bool = True) -> Files:
    """The files with another body, sealed by the right keys; the envelope names its files too, where it ``follows``."""
    seal = kit.seal_of()
    seals = json.loads(files["snapshot.json"])["sealed"]
    body = change(json.loads(seal.open_file("snapshot", "cleaned", base64.b64decode(seals["body"]))))
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields: dict[str, Any] = {"body": base64.b64encode(seal.seal_file("snapshot", "cleaned", data)).decode()}
    if follows and isinstance(body, dict):
        listed = [*body.get("parts", ()), *body.get("shards", ()), *([body["rejected"]] if "rejected" in body else [])]
        fields["files"] = [{key: part[key] for key in ("name", "digest", "size_bytes")} for part in listed]
    return enveloped(files, **fields)


def put(which: str, /, **fields: Any) -> Callable[[Any], Any]:
    def change(body: Any) -> Any:
        target = body[which] if which == "rejected" else body[which][0]
        target.update(fields)
        return body

    return change


def resealed(kit: SimpleNamespace, kind: str, name: str) -> Callable[[Files], str]:
    def make(files: Files) -> str:
        body = base64.b64decode(json.loads(files["snapshot.json"])["sealed"]["body"])
        plain = kit.seal_of().open_file("snapshot", "cleaned", body)
        return base64.b64encode(kit.seal_of().seal_file(kind, name, plain)).decode()

    return make


@pytest.mark.parametrize(
    "fields",
    [
        {"stage": "augmented"},
        {"stage": "raw/cleaned"},
        {"domain": "d2"},
        {"epoch": 2},
        {"project": "00" * 16},
        {"padding": "padme"},
        {"files": []},
        {"body": ""},
        {"body": "!!!!"},
        {"body": "AAAA"},
        {"body": base64.b64encode(bytes(2000)).decode()},
    ],
)
def test_envelopes_that_lie(small: Files, kit: SimpleNamespace, fields: dict[str, Any]) -> None:
    files = enveloped(small, **fields)
    held = {"domain": "d1", "epoch": 1, "project": "5a" * 16, "padding": "none", **fields}
    asked = {name: held[name] for name in ("domain", "epoch", "project", "padding")}
    with pytest.raises(REFUSED):  # also by who holds keys by the names that it gives
        open_snapshot(InMemory(files), keys=kit.KeysOf(kit.seal_of(**asked)))


@pytest.mark.parametrize("number", range(5))
def test_envelopes_that_list_other_files(small: Files, kit: SimpleNamespace, number: int) -> None:
    listed = json.loads(small["snapshot.json"])["sealed"]["files"]
    changed = [
        listed[::-1],
        listed[1:],
        [*listed, {"name": "notes", "digest": "0" * 64, "size_bytes": 1}],
        [{**listed[0], "digest": "0" * 64}, *listed[1:]],
        [{**listed[0], "size_bytes": listed[0]["size_bytes"] + 1}, *listed[1:]],
    ][number]
    with pytest.raises(TamperError, match="its envelope does not name the files that its body names"):
        everything(InMemory(enveloped(small, files=changed)), kit)


def test_an_envelope_has_one_form(small: Files, kit: SimpleNamespace) -> None:
    document = json.loads(small["snapshot.json"])
    twice = small["snapshot.json"].replace(b'"format": 1,', b'"format": 1,\n  "format": 1,')
    longer = {**document, "sealed": {**document["sealed"], "padding": "none"}}
    for data in (json.dumps(document).encode(), small["snapshot.json"] + b"\n", twice, json.dumps(longer).encode()):
        for act in (lambda folder: everything(folder, kit), read_seals):
            with pytest.raises(SnapshotError, match="it is not written as dsetkit writes it"):
                act(InMemory({**small, "snapshot.json": data}))
    listed = document["sealed"]["files"]
    with pytest.raises(SnapshotError, match="it names a file twice"):
        read_seals(InMemory(enveloped(small, files=[*listed, listed[0]])))


def test_base64_has_one_form(small: Files, kit: SimpleNamespace) -> None:
    body = json.loads(small["snapshot.json"])["sealed"]["body"]
    for changed in (body + "\n", body[:-1], body.replace("A", "A\n", 1), body + "=", "=" + body, "é" + body):
        with pytest.raises(REFUSED):
            everything(InMemory(enveloped(small, body=changed)), kit)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (put("shards", name="../../etc/passwd"), "'../../etc/passwd' cannot be a file"),
        (put("parts", name="samples/../../x.sealed"), "cannot be a file"),
        (put("parts", name=f"samples/{'0' * 64}.parquet"), "cannot be a file"),
        (put("parts", name=f"samples/{'0' * 64}.sealed\n"), "cannot be a file"),
        (put("rejected", name="rejected.parquet"), "'rejected.parquet' cannot be a file"),
        (put("shards", digest="0" * 64), "cannot be a file"),
        (put("parts", size_bytes=-1), "size_bytes"),
        (put("parts", rows=0), "has no rows"),
        (put("parts", shards=["../x.tar"]), "which is not a shard of it"),
        (lambda body: {**body, "name": "augmented"}, "its envelope says that it is cleaned, its body says augmented"),
        (lambda body: {**body, "format": 2}, "is a snapshot of format 2"),
        (lambda body: {**body, "unheard_of": 1}, "unheard_of: Extra inputs"),
        (lambda body: {"format": 1, "sealed": body}, "sealed: Extra inputs|stage: Field required"),
        (lambda body: b"[" * 10_000, "it is no JSON"),
        (lambda body: b'{"format": NaN}', "it is no JSON"),
        (lambda body: b"", "it is no JSON"),
    ],
)
def test_bodies_that_cannot_be(small: Files, kit: SimpleNamespace, change: Callable[[Any], Any], said: str) -> None:
    """A reader has the keys, so a body may be anybody's of them."""
    try:
        files = bodied(small, kit, change)
    except ValueError:  # the envelope cannot even say it
        files = bodied(small, kit, change, follows=False)
        said = "does not name the files"
    with pytest.raises(REFUSED, match=said):
        everything(InMemory(files), kit)


def test_a_body_of_another_kind_name_or_snapshot(small: Files, kit: SimpleNamespace) -> None:
    for kind, name in (("samples", "cleaned"), ("scratch", "cleaned"), ("snapshot", "augmented"), ("report", "")):
        files = enveloped(small, body=resealed(kit, kind, name)(small))
        with pytest.raises(TamperError):
            everything(InMemory(files), kit)


def test_documents_too_large(small: Files, kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(small["snapshot.json"])
    monkeypatch.setattr(opening, "MAX_INFO_BYTES", size // 3)
    with pytest.raises(SnapshotError, match=f"it has {size:,} bytes, more than"):
        everything(InMemory(small), kit)
    monkeypatch.setattr(opening, "MAX_INFO_BYTES", size // 3 + 1)
    with pytest.raises(SnapshotError, match="its body has"):
        everything(InMemory(small), kit)
    monkeypatch.setattr(opening, "MAX_INFO_BYTES", size // 2)
    document = small["snapshot.json"].replace(b'{\n  "format"', b'{ \n  "format"')
    with pytest.raises(SnapshotError, match="more than"):
        everything(InMemory({**small, "snapshot.json": document}), kit)


def test_an_old_part_under_a_new_name(kit: SimpleNamespace, tmp_path: Path) -> None:
    rows = kit.numbered(range(12))
    kit.write_snapshot(tmp_path / "old", rows, seal=kit.seal_of())
    rows[3] = ({**rows[3][0], "split": "val" if rows[3][0]["split"] != "val" else "train"}, rows[3][1])
    kit.write_snapshot(tmp_path / "new", rows, seal=kit.seal_of())
    old, new = (kit.files_of(tmp_path / name) for name in ("old", "new"))
    (was,), (now,) = ([name for name in files if name.startswith("samples/")] for files in (old, new))
    files = {**new, now: old[was]}

    def with_its_digest(body: Any) -> Any:
        return put("parts", digest=hashlib.sha256(old[was]).hexdigest(), size_bytes=len(old[was]))(body)

    with pytest.raises(TamperError, match="is not what was sealed here"):
        everything(InMemory(bodied(files, kit, with_its_digest)), kit)
    issues = verify(open_snapshot(InMemory(files), keys=kit.KeysOf(kit.seal_of()), check=False))
    assert {issue.code for issue in issues} == {"part-damaged", "member-unknown"}


def chunked(data: bytes) -> tuple[bytes, list[bytes]]:
    step = CHUNK_BYTES + SIV_BYTES
    return data[:HEADER_BYTES], [data[at : at + step] for at in range(HEADER_BYTES, len(data), step)]


def test_chunks_cut_off_swapped_and_doubled(kit: SimpleNamespace, tmp_path: Path) -> None:
    noise = random.Random(0)
    rows = [(kit.row_of(n, key=f"s/{n:05}", attributes={"n": noise.randbytes(2048).hex()}), None) for n in range(1500)]
    for row, _ in rows:
        del row["digest"]
    kit.write_snapshot(tmp_path / "a", rows, seal=kit.seal_of(), target_bytes=1 << 20)
    files = kit.files_of(tmp_path / "a")
    (name,) = (name for name in files if name.startswith("samples/"))
    head, chunks = chunked(files[name])
    assert len(chunks) > 3
    first, second, *rest = chunks
    header = bytearray(head)
    header[16:] = (int.from_bytes(head[16:], "big") - CHUNK_BYTES).to_bytes(8, "big")
    for changed in (
        [head, second, first, *rest],
        [head, first, first, *rest],
        [head, first, *rest],
        [bytes(header), first, *rest],
        [bytes(header), *chunks[:-2], chunks[-1]],
        [head, *chunks, chunks[-1]],
        [head, first, second, *rest[:-1], rest[-1][:-1]],
    ):
        data = b"".join(changed)
        digest = hashlib.sha256(data).hexdigest()
        fitting = bodied({**files, name: data}, kit, put("parts", digest=digest, size_bytes=len(data)))
        with pytest.raises(TamperError):
            everything(InMemory(fitting), kit)


def test_members_swapped(kit: SimpleNamespace, tmp_path: Path) -> None:
    pictures = [bytes([number]) * 700 for number in range(6)]
    rows = [
        (kit.row_of(n, key=f"s/{n}", digest=hashlib.sha256(data).hexdigest()), data) for n, data in enumerate(pictures)
    ]
    kit.write_snapshot(tmp_path / "a", rows, seal=kit.seal_of(), target_bytes=1 << 20)
    files = kit.files_of(tmp_path / "a")
    (name,) = (name for name in files if name.startswith("shards/"))
    one, two = check_shard(files[name])[:2]
    for length, back in (
        (one.size_bytes, 0),
        (one.size_bytes + BLOCK_BYTES, BLOCK_BYTES),
    ):
        data = bytearray(files[name])
        first, second = (slice(at - back, at - back + length) for at in (one.offset_bytes, two.offset_bytes))
        data[first], data[second] = files[name][second], files[name][first]
        folder = InMemory({**files, name: bytes(data)})
        with pytest.raises(TamperError, match=r"the picture of 's/0' in shards/.* is not the one that was sealed"):
            everything(folder, kit)
        issues = verify(open_snapshot(folder, keys=kit.KeysOf(kit.seal_of())))
        assert {issue.code for issue in issues} >= {"picture-damaged", "shard-damaged"}
        assert {issue.key for issue in issues if issue.code == "picture-damaged"} == {"s/0", "s/1"}


def with_part(small: Files, kit: SimpleNamespace, table: pa.Table, **fields: Any) -> Files:
    """The first part made anew by somebody with the keys, all names, digests and sizes fitting."""
    seal, buffer = kit.seal_of(), io.BytesIO()
    pq.write_table(table, buffer)
    content = seal.file_name(buffer.getvalue())
    data = seal.seal_file("samples", content, buffer.getvalue())
    name = f"samples/{content}.sealed"
    fields = {"name": name, "digest": hashlib.sha256(data).hexdigest(), "size_bytes": len(data), **fields}
    return bodied({**small, name: data}, kit, put("parts", **fields))


@pytest.fixture
def part(small: Files, kit: SimpleNamespace) -> pa.Table:
    snapshot = open_snapshot(InMemory(small), keys=kit.KeysOf(kit.seal_of()))
    return snapshot._store.read_part(0)


def test_rows_that_lie(small: Files, kit: SimpleNamespace, part: pa.Table) -> None:
    """By somebody with the keys: sizes and digests that no picture has end in no traceback and reserve no memory."""
    for column, value in (
        ("size_bytes", 10**15),
        ("size_bytes", -5),
        ("size_bytes", 3),
        ("offset_bytes", -1),
        ("offset_bytes", 2**62),
        ("offset_bytes", 513),
        ("digest", "x"),
        ("digest", "0" * 64),
        ("shard", "../../x"),
        ("shard", "x.tar"),
    ):
        at = part.column_names.index(column)
        values = [value, *part[column].to_pylist()[1:]]
        changed = part.set_column(at, part.schema.field(column), pa.array(values, part.schema.field(column).type))
        folder = InMemory(with_part(small, kit, changed))
        with pytest.raises(REFUSED):
            everything(folder, kit)
        issues = verify(open_snapshot(folder, keys=kit.KeysOf(kit.seal_of())))
        assert any(issue.severity == "error" for issue in issues)
        snapshot = open_snapshot(folder, keys=kit.KeysOf(kit.seal_of()))
        try:
            list(snapshot.iter_shard_members())
        except SnapshotError:
            assert (column, value) == ("digest", "x")


def test_a_sealed_bomb_is_not_decoded(small: Files, kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MAX_VALUES", 1_000_000)
    count = 10_000_000
    zeros = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), pa.repeat(pa.scalar(0.0), count))
    columns = [
        zeros.cast(field.type)
        if field.name == "channel_mean"
        else pa.array([None if field.nullable else [] if pa.types.is_list(field.type) else "{}"], field.type)
        for field in arrow_schema(Sample)
    ]
    info = open_snapshot(InMemory(small), keys=kit.KeysOf(kit.seal_of())).info
    files = with_part(small, kit, pa.Table.from_arrays(columns, schema=arrow_schema(Sample)), rows=1)

    def count_less(body: Any) -> Any:
        body["counts"]["samples"] = sum(part["rows"] for part in body["parts"])
        return body

    del zeros, columns
    files = bodied(files, kit, count_less)
    before = pa.total_allocated_bytes()
    assert info.parts[0].size_bytes < 100_000
    with pytest.raises(SnapshotError, match="one of its columns has 10,000,000 values, more than 1,000,000"):
        everything(InMemory(files), kit)
    assert pa.total_allocated_bytes() <= before


def test_verify_ends_in_issues(small: Files, kit: SimpleNamespace) -> None:
    """Whatever is done to shards and tables: coded issues, with keys and without."""
    drawn = random.Random(5)
    for name, data in small.items():
        if name == "snapshot.json":
            continue
        others = [other for other in small.values() if other != data]
        for changed in (b"", data[:100], data[:-1], drawn.randbytes(len(data)), *others):
            folder: Any = InMemory({**small, name: changed})
            snapshot: Snapshot = open_snapshot(folder, keys=kit.KeysOf(kit.seal_of()), check=False)
            assert any(issue.severity == "error" and issue.code for issue in verify(snapshot))
            seals = read_seals(folder)
            assert seals is not None
            codes = [issue.code for issue in verify_stored(folder, seals)]
            assert codes[-1] == "sealed"
            assert len(codes) == 2


def test_what_is_no_sealed_snapshot(small: Files, sealed: Path) -> None:
    for text in (
        b"",
        b"{",
        b'{"format": 1, "sealed": 1}',
        b'{"format": 1, "sealed": {}}',
        b'{"format": 2, "sealed": {}}',
    ):
        (sealed / "snapshot.json").write_bytes(text)
        for act in (read_seals, read_info):
            with pytest.raises(SnapshotError):
                act(LocalFolder(sealed))
