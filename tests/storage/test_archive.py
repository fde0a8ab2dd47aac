"""Archives read where they are: how little is read, and what hostile ones come to."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
import time
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest

from dsetkit.errors import DsetkitError, NotFoundError, StorageError
from dsetkit.storage.scan import scan, scan_archive

METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def noise(size: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(size)


def make_zip(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def make_tar(members: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("method", METHODS)
def test_every_way_of_packing(tmp_path: Path, method: int) -> None:
    packed = 9_000_000 if method in METHODS[:2] else 500_000  # the quick ones also where one request is not all
    members = {"small": b"abc" * 10, "large": noise(packed) + bytes(5_000_000), "empty": b"", "Ä/ñ": b"1"}
    size = packed + 5_000_000
    (tmp_path / "a.zip").write_bytes(make_zip(members, method))
    tree = scan(tmp_path / "a.zip")
    assert {path: tree.read(path) for path in tree.entries} == members
    assert b"".join(tree.chunks("large")) == members["large"]
    assert tree.read_head("large", 10) == members["large"][:10]
    for start, length in ((0, 5), (packed - 10, 20), (size, 0), (size - 1, 1)):
        assert tree.read_range("large", start, length) == members["large"][start : start + length]
    for start, length in ((-1, 5), (0, 10**15), (size, 1), (5, -1)):
        with pytest.raises(StorageError, match="bytes, not"):
            tree.read_range("large", start, length)
    assert pickle.loads(pickle.dumps(tree.reader("small")))() == members["small"]


def test_plain_tars_are_read_in_other_processes(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(make_tar({"a": b"aaa", "b": noise(3_000_000)}))
    tree = scan(tmp_path / "a.tar")
    assert pickle.loads(pickle.dumps(tree.reader("b")))() == noise(3_000_000)
    assert pickle.loads(pickle.dumps(tree.range_reader("b", 5, 10)))() == noise(3_000_000)[5:15]
    with pytest.raises(StorageError, match="has 3 bytes, not"):
        tree.range_reader("a", 0, 4)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_little_is_read_of_a_server(web, kind: str) -> None:  # type: ignore[no-untyped-def]
    members = {f"{number:03}": noise(100_000, number) for number in range(100)}
    make = make_zip if kind == "zip" else make_tar
    (web.folder / f"a.{kind}").write_bytes(make(members))
    tree = scan(f"{web.url}/a.{kind}")
    assert len(tree.entries) == 100
    asked = len(web.asked)
    assert asked <= (8 if kind == "zip" else 16)
    assert tree.read("050") == members["050"]
    assert len(web.asked) == asked + 1
    _, _, wanted = web.asked[-1]
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    assert int(last) - int(first) < 102_000
    if kind == "zip":  # the directory alone, not the members
        sizes = [part.removeprefix("bytes=").split("-") for _, _, part in web.asked[:asked] if part]
        assert sum(int(end) - int(start) + 1 for start, end in sizes) < 1_200_000


def test_a_server_without_ranges_is_asked_once_for_all(web) -> None:  # type: ignore[no-untyped-def]
    web.knows_ranges = False
    (web.folder / "a.zip").write_bytes(make_zip({f"{number}": noise(1000, number) for number in range(50)}))
    tree = scan(f"{web.url}/a.zip")
    asked = [item for item in web.asked if item[0] == "GET"]
    assert len(asked) <= 2
    assert [tree.read(f"{number}") for number in range(50)] == [noise(1000, number) for number in range(50)]
    assert [item for item in web.asked if item[0] == "GET"] == asked


def test_an_archive_that_is_not_there(memory: str, web, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for place in (f"{memory}/a.zip", f"{web.url}/a.tar", f"{tmp_path}/a.tgz"):
        with pytest.raises(NotFoundError):
            scan(place)


def test_a_folder_that_is_called_like_an_archive(tmp_path: Path, memory: str) -> None:
    (tmp_path / "a.zip").mkdir()
    (tmp_path / "a.zip" / "x").write_bytes(b"1")
    fsspec.filesystem("memory").pipe_file(f"{memory}/b.tar/x", b"1")
    assert list(scan(tmp_path / "a.zip").entries) == ["x"]
    assert list(scan(f"{memory}/b.tar").entries) == ["x"]


def test_an_archive_in_a_tree(tmp_path: Path, memory: str) -> None:
    inner = make_zip({"labels/a.xml": b"<a/>", "b": b"2"})
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.zip").write_bytes(inner)
    (tmp_path / "outer.tar").write_bytes(make_tar({"in/x.zip": inner}))
    fsspec.filesystem("memory").pipe_file(f"{memory}/in/x.zip", inner)
    for place in (tmp_path, tmp_path / "outer.tar", memory):
        tree = scan_archive(scan(place), "in/x.zip")
        assert list(tree.entries) == ["b", "labels/a.xml"]
        assert tree.read("labels/a.xml") == b"<a/>"
        assert tree.digests()["b"]
    with pytest.raises(NotFoundError):
        scan_archive(scan(tmp_path), "in/y.zip")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_one_that_changes_between_scan_and_read(tmp_path: Path, memory: str, kind: str) -> None:
    make = make_zip if kind == "zip" else make_tar
    path = tmp_path / f"a.{kind}"
    first, second = make({"a": noise(1000), "b": b"1"}), make({"c": b"3", "a": noise(1000, 2), "b": b"2"})
    path.write_bytes(first)
    fsspec.filesystem("memory").pipe_file(f"{memory}/a.{kind}", first)
    trees = scan(path), scan(f"{memory}/a.{kind}")
    time.sleep(0.01)
    path.write_bytes(second)
    fsspec.filesystem("memory").pipe_file(f"{memory}/a.{kind}", second)
    for tree in trees:
        for name in "ab":
            with pytest.raises(StorageError, match=r"has changed since it was scanned|could not be unpacked"):
                tree.read(name)


def lying(data: bytes, field: int, value: int) -> bytes:
    """A zip whose directory says something else of its first member; ``field``: the byte in its entry."""
    at = data.index(b"PK\1\2") + field
    return data[:at] + struct.pack("<L", value) + data[at + 4 :]


def test_zips_that_lie(tmp_path: Path) -> None:
    honest = make_zip({"a": bytes(10_000), "b": b"1"})
    path = tmp_path / "a.zip"
    for field, value, said in (
        (24, 9_000, "holds more than the 9,000 bytes it claims"),
        (24, 11_000, "holds 10,000 bytes, not the 11,000 it claims"),
        (16, 1, "its checksum is another"),
        (20, 8, "it ends too early"),
    ):
        path.write_bytes(lying(honest, field, value))
        with pytest.raises(StorageError, match=said):
            scan(path).read("a")
    path.write_bytes(b"XX" + honest[2:])
    with pytest.raises(StorageError, match="its header is not where the directory says"):
        scan(path).read("a")
    path.write_bytes(lying(honest, 24, 4_000_000_000))
    with pytest.raises(StorageError, match="unfolds to more than"):
        scan(path)


def test_members_that_share_their_bytes(tmp_path: Path) -> None:
    data = make_zip({f"{number}": bytes(1_000_000) for number in range(3)})
    at = data.index(b"PK\1\2")
    second = data.index(b"PK\1\2", at + 1)
    (tmp_path / "a.zip").write_bytes(data[: second + 42] + struct.pack("<L", 0) + data[second + 46 :])
    with pytest.raises(StorageError, match="members overlap"):
        scan(tmp_path / "a.zip")


def test_headers_that_claim_too_much(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 10**10
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(info.tobuf(tarfile.USTAR_FORMAT if info.size < 8**11 else tarfile.GNU_FORMAT))
        file.truncate(10**10 + 10_240)  # a sparse file: nothing on the disk
    with pytest.raises(StorageError, match=r"a header claims 10,000,000,512 bytes|could not be unpacked"):
        scan(tmp_path / "a.tar")


def test_bytes_changed_anywhere(tmp_path: Path) -> None:
    """Each byte of a small archive, changed, gives an error with a hint or a tree."""
    rng = np.random.default_rng(7)
    for name, data in (
        ("a.zip", make_zip({"a.txt": b"abc" * 30, "b/c.txt": b"2"})),
        ("a.tar", make_tar({"a.txt": b"abc" * 30, "b/c.txt": b"2"})),
        ("a.tgz", make_tar({"a.txt": b"abc" * 30}, "w:gz")),
        ("a.tar.xz", make_tar({"a.txt": b"abc" * 30}, "w:xz")),
        ("a.tar.bz2", make_tar({"a.txt": b"abc" * 30}, "w:bz2")),
    ):
        path = tmp_path / name
        for at in (int(number) for number in rng.integers(0, min(len(data), 2000), 120)):
            path.write_bytes(data[:at] + bytes([data[at] ^ int(rng.integers(1, 256))]) + data[at + 1 :])
            read_hostile(path)
        for end in range(0, len(data), max(1, len(data) // 40)):
            path.write_bytes(data[:end])
            read_hostile(path)


def read_hostile(path: Path) -> None:
    """Reads all of an archive, or ends in an error that says what to do."""
    hint = "none needed"
    try:
        tree = scan(path)
        for member in tree.entries:
            tree.read(member, limit_bytes=10_000_000)
    except DsetkitError as error:
        hint = error.hint
    assert hint


def test_a_tar_of_headers_before_headers_is_an_error(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, record = tarfile.XHDTYPE, b"12 path=abc\n"
    info.size = len(record)
    header = info.tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0")
    (tmp_path / "deep.tar").write_bytes(header * 5000 + make_tar({"a.txt": b"a"}))
    with pytest.raises(StorageError, match="could not be unpacked") as found:
        scan(tmp_path / "deep.tar")
    assert found.value.hint
