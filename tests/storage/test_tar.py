from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
import webdataset
from hypothesis import given, settings
from hypothesis import strategies as st

from dsetkit.errors import StorageError, UsageError
from dsetkit.storage.tar import MAX_MEMBER_BYTES, Member, check_shard, header, layout, shard_size_bytes, write_shard


def named(contents: list[bytes]) -> dict[str, bytes]:
    return {f"{hashlib.sha256(data).hexdigest()}.jpg": data for data in contents}


def members_of(files: dict[str, bytes]) -> list[Member]:
    return [Member(name, len(data)) for name, data in files.items()]


def pack(path: Path, files: dict[str, bytes]) -> tuple[str, int]:
    contents = list(files.values())
    return write_shard(path, members_of(files), contents.__getitem__)


def with_tarfile(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=1500), max_size=5, unique=True))
def test_same_bytes_as_tarfile(tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]) -> None:
    files = named(contents)
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    digest, size_bytes = pack(path, files)
    data = path.read_bytes()
    theirs = with_tarfile(files)
    assert theirs[: len(data)] == data
    assert not any(theirs[len(data) :])  # only the filling up to a record of 10 KiB
    assert digest == hashlib.sha256(data).hexdigest()
    assert size_bytes == len(data) == shard_size_bytes(members_of(files))
    with tarfile.open(path) as archive:
        assert [item.offset_data for item in archive] == layout(members_of(files))
    assert [tuple(item) for item in check_shard(path)] == [
        (member.name, offset, member.size_bytes)
        for member, offset in zip(members_of(files), layout(members_of(files)), strict=True)
    ]


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # WebDataset leaves its file to the collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_gnu_tar_and_webdataset_read_it_without_a_word(tmp_path: Path) -> None:
    files = named([b"one", b"x" * 512, b"y" * 10_000])
    pack(tmp_path / "a.tar", files)
    run = subprocess.run(["tar", "tf", tmp_path / "a.tar"], capture_output=True, text=True, check=True)
    assert run.stdout.split() == list(files)
    assert run.stderr == ""
    run = subprocess.run(["tar", "xf", tmp_path / "a.tar"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stderr == ""
    assert {name: (tmp_path / name).read_bytes() for name in files} == files
    assert (tmp_path / next(iter(files))).stat().st_mode & 0o777 == 0o644 & ~_umask()
    samples = webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False)
    assert [(f"{item['__key__']}.jpg", item["jpg"]) for item in samples] == list(files.items())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_largest_size_is_just_below_8_gib() -> None:
    assert tarfile.TarInfo.frombuf(header(Member("a", MAX_MEMBER_BYTES)), "ascii", "strict").size == 8 * 1024**3 - 1
    with pytest.raises(UsageError, match="less than 8 GiB"):
        header(Member("a", MAX_MEMBER_BYTES + 1))
    assert layout([Member("a", MAX_MEMBER_BYTES), Member("b", 1)]) == [512, 8 * 1024**3 + 1024]


@pytest.mark.parametrize("name", ["", ".a", "-a", "a/b", "../a", "a\n", "é", "a" * 101])
def test_odd_names_are_not_packed(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        pack(tmp_path / "a.tar", {name: b"1"})
    assert list(tmp_path.iterdir()) == []


def test_a_name_stands_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="twice"):
        write_shard(tmp_path / "a.tar", [Member("a", 1), Member("a", 1)], lambda index: b"1")


def test_a_reader_that_gives_another_size_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"b has 1 bytes, not the 2"):
        write_shard(tmp_path / "a.tar", [Member("a", 1), Member("b", 2)], lambda index: b"1")
    assert list(tmp_path.iterdir()) == []


def test_each_member_is_read_once_in_order(tmp_path: Path) -> None:
    asked: list[int] = []

    def read(index: int) -> bytes:
        asked.append(index)
        return b"1"

    write_shard(tmp_path / "deep/er/a.tar", [Member(name, 1) for name in "cab"], read)
    assert asked == [0, 1, 2]


GOOD = with_tarfile({"a.jpg": b"1" * 600, "b.jpg": b"2"})[: 512 + 1024 + 512 + 512 + 1024]


def _header(**fields: object) -> bytes:
    info = tarfile.TarInfo("c.jpg")
    for name, value in fields.items():
        setattr(info, name, value)
    return info.tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "at byte 0 it ends without its two zero blocks"),
        (GOOD[:-1], "claims 1 bytes, more than there are|not two zero blocks"),
        (GOOD[:-512], "more than there are"),
        (GOOD + bytes(512), "not two zero blocks"),
        (GOOD[:-1024], "more than there are"),
        (GOOD[:-1] + b"x", "not two zero blocks"),
        (GOOD[:1200] + b"x" + GOOD[1201:], "at byte 1112 the filling after a.jpg is not zero"),
        (_header(type=tarfile.SYMTYPE, linkname="/etc/passwd") + bytes(1024), "something else"),
        (_header(type=tarfile.LNKTYPE, linkname="a.jpg") + bytes(1024), "something else"),
        (_header(type=tarfile.DIRTYPE) + bytes(1024), "something else"),
        (_header(name="../a.jpg") + bytes(1024), "something else"),
        (_header(mtime=5) + bytes(1024), "something else"),
        (_header(uid=5) + bytes(1024), "something else"),
        (_header(size=8**11 - 1) + bytes(1024), "claims 8589934591 bytes"),
        (_header() + _header() + bytes(1024), "comes a second time"),
        (b"\x80" * 512 + bytes(1024), "something else"),
    ],
)
def test_what_is_no_shard_is_refused(tmp_path: Path, data: bytes, what: str) -> None:
    with pytest.raises(StorageError, match=what):
        check_shard(data)
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(StorageError, match=what):
        check_shard(tmp_path / "x.tar")


def test_bytes_are_checked_as_files_are() -> None:
    assert [tuple(item) for item in check_shard(GOOD)] == [("a.jpg", 512, 600), ("b.jpg", 2048, 1)]


def test_a_shard_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="could not be read"):
        check_shard(tmp_path / "x.tar")
