from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path
from types import SimpleNamespace

import pytest

from dsetkit.access.chunks import CHUNK_BYTES, HEADER_BYTES, SIV_BYTES
from dsetkit.errors import StorageError, TamperError
from dsetkit.snapshots import stored_bytes
from dsetkit.snapshots.parquet import TableFile
from dsetkit.snapshots.read import open_snapshot
from dsetkit.snapshots.stored_bytes import HEAD_BYTES, RANGE_BYTES, StoredBytes, check_digests
from dsetkit.spec.sample import Sample
from dsetkit.spec.sealed import SealedFile
from dsetkit.storage.folder import LocalFolder

NAME = f"samples/{'a' * 64}.sealed"
RANGES = [(0, 24), (24, RANGE_BYTES), (24 + RANGE_BYTES, 5), (5, 30), (0, 3 * 10**6), (24, 2 * RANGE_BYTES), (7, 0)]


def content(size: int = 3 * 10**6) -> bytes:
    return random.Random(3).randbytes(size)


class Server:
    """A remote folder with one file that becomes another once it was read whole; it counts requests."""

    url = "s3://bucket/data"

    def __init__(self, data: bytes, later: bytes | None = None) -> None:
        self.data, self.later = data, data if later is None else later
        self.served = self.requests = 0

    def local_path(self, name: str) -> None:
        return None

    def read_range(self, name: str, start: int, length: int) -> bytes:
        data = self.data if self.served < len(self.data) else self.later
        self.served += length
        self.requests += 1
        return data[start : start + length]


def part_of(data: bytes) -> SealedFile:
    return SealedFile(name=NAME, digest=hashlib.sha256(data).hexdigest(), size_bytes=len(data))


def stored_at(folder: Path, data: bytes) -> tuple[Path, StoredBytes]:
    path = folder / NAME
    path.parent.mkdir()
    path.write_bytes(data)
    return path, StoredBytes(LocalFolder(folder), part_of(data))


def test_a_chunk_of_a_sealed_file_is_one_range() -> None:
    assert (HEAD_BYTES, RANGE_BYTES) == (HEADER_BYTES, CHUNK_BYTES + SIV_BYTES)


def test_any_range_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_bytes, "_HELD_BYTES", 1000)
    data = content()
    for read in (stored_at(tmp_path, data)[1].reader(), StoredBytes(Server(data), part_of(data)).reader()):
        for start, length in [*RANGES, (len(data) - 9, 9), (0, len(data))]:
            assert read(start, length) == data[start : start + length]
        for start, length in ((len(data) - 9, 10), (len(data), 1), (-1, 5)):
            with pytest.raises(StorageError):
                read(start, length)


@pytest.mark.parametrize(
    "size", [1, HEAD_BYTES, HEAD_BYTES + 1, HEAD_BYTES + RANGE_BYTES, HEAD_BYTES + RANGE_BYTES + 1]
)
def test_any_size(tmp_path: Path, size: int) -> None:
    data = content(size)
    assert stored_at(tmp_path, data)[1].reader()(0, size) == data


def test_a_file_that_is_another_after_its_digest_was_taken(tmp_path: Path) -> None:
    """In place, with all that stat tells as it was: a shared cache and hard links let others do that."""
    data = content()
    path, stored = stored_at(tmp_path, data)
    read, state = stored.reader(), path.stat()
    altered = bytearray(data)
    altered[2_000_000] ^= 1
    with path.open("r+b") as file:
        file.write(altered)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    for again in (read, stored.reader()):
        assert again(100, 50) == data[100:150]
        for start, length in ((1_999_000, 10), (2_000_000, 1), (0, len(data))):
            with pytest.raises(TamperError, match=r"is no longer the file that snapshot\.json names"):
                again(start, length)


def test_ranges_put_in_the_place_of_others(tmp_path: Path) -> None:
    data = content()
    path, stored = stored_at(tmp_path, data)
    read = stored.reader()
    first, second = HEAD_BYTES, HEAD_BYTES + RANGE_BYTES
    path.write_bytes(
        data[:first] + data[second : second + RANGE_BYTES] + data[first:second] + data[24 + 2 * RANGE_BYTES :]
    )
    for start in (first, second):
        with pytest.raises(TamperError, match="is no longer the file"):
            read(start, RANGE_BYTES)
    path.write_bytes(data + b"more")
    assert read(len(data) - 3, 3) == data[-3:]
    with pytest.raises(StorageError):
        read(len(data), 4)


def test_a_large_remote_file_is_checked_as_it_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_bytes, "_HELD_BYTES", 1000)
    data = content()
    server = Server(data, later=bytes(len(data)))
    read = StoredBytes(server, part_of(data)).reader()
    assert server.requests == 2
    with pytest.raises(TamperError, match="is no longer the file"):
        read(5, 3)


def test_what_is_not_the_file_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_bytes, "_HELD_BYTES", 1000)
    data = content()
    path, _ = stored_at(tmp_path, data)
    for other in (data[:-1], data + b"x", b"", bytes(len(data))):
        path.write_bytes(other)
        with pytest.raises(TamperError, match=r"is not the file that snapshot\.json names"):
            check_digests(LocalFolder(tmp_path), [part_of(data)])
    with pytest.raises(TamperError, match="is not the file"):
        StoredBytes(Server(bytes(len(data))), part_of(data)).reader()


def test_a_table_that_is_open(kit: SimpleNamespace, tmp_path: Path) -> None:
    """Another that a reader sealed under the same name opens, and is refused."""
    noise = random.Random(0)
    rows = [(kit.row_of(n, key=f"s/{n}", attributes={"n": noise.randbytes(20_000).hex()}), None) for n in range(150)]
    for row, _ in rows:
        del row["digest"]
    seal = kit.seal_of()
    kit.write_snapshot(tmp_path / "a", rows, seal=seal, target_bytes=1 << 20)
    (part,) = open_snapshot(tmp_path / "a", keys=kit.KeysOf(seal)).info.parts
    path = tmp_path / "a" / part.name
    table = TableFile(LocalFolder(tmp_path / "a"), part, Sample, seal)
    assert table.read(["key"]).num_rows == 150
    name = part.name.removeprefix("samples/").removesuffix(".sealed")
    plain = bytearray(seal.open_file("samples", name, path.read_bytes()))
    for at in range(0, len(plain) - 100_000, 1000):
        plain[at] ^= 1
    path.write_bytes(seal.seal_file("samples", name, bytes(plain)))
    with pytest.raises(TamperError, match="is no longer the file"):
        table.read()
