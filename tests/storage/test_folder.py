from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from dsetkit.errors import NotFoundError, StorageError
from dsetkit.storage.folder import Folder, LocalFolder, MappedFolder, RemoteFolder, open_folder

DATA = bytes(range(256)) * 4
Maker = Callable[[dict[str, bytes]], Folder]


class FolderContract:
    """What every folder does. A back-end inherits this and gives ``make``."""

    def test_it_is_a_folder(self, make: Maker) -> None:
        assert isinstance(make({"a": b"1"}), Folder)

    def test_reads_what_was_put_there(self, make: Maker) -> None:
        folder = make({"a.bin": DATA, "in/b c#1%20?.txt": b"x", "empty": b""})
        assert folder.read("a.bin") == DATA
        assert folder.read("in/b c#1%20?.txt") == b"x"
        assert folder.read("empty") == b""

    def test_ranges_are_exact(self, make: Maker) -> None:
        folder = make({"a.bin": DATA})
        assert folder.read_range("a.bin", 0, 1024) == DATA
        assert folder.read_range("a.bin", 3, 5) == DATA[3:8]
        assert folder.read_range("a.bin", 1023, 1) == DATA[1023:]
        assert folder.read_range("a.bin", 5, 0) == b""

    @pytest.mark.parametrize(("start", "length"), [(1020, 5), (1024, 1), (10**15, 10**15), (-1, 2), (1, -1)])
    def test_a_range_past_the_end_is_an_error(self, make: Maker, start: int, length: int) -> None:
        with pytest.raises(StorageError):
            make({"a.bin": DATA}).read_range("a.bin", start, length)

    def test_sizes(self, make: Maker) -> None:
        folder = make({"a.bin": DATA, "in/b": b"x"})
        assert folder.size_bytes("a.bin") == 1024
        assert folder.size_bytes("in/b") == 1
        assert folder.size_bytes("absent") is None
        assert folder.size_bytes("in/absent") is None

    def test_names_are_sorted(self, make: Maker) -> None:
        assert list(make({"b": b"1", "in/a b": b"1", "a": b"1", ".hidden": b"1"}).names()) == [
            ".hidden",
            "a",
            "b",
            "in/a b",
        ]

    def test_what_is_not_there(self, make: Maker) -> None:
        folder = make({"a.bin": DATA})
        with pytest.raises(NotFoundError) as caught:
            folder.read("b.bin")
        assert caught.value.name == "b.bin"
        with pytest.raises(NotFoundError):
            folder.read_range("b.bin", 0, 1)
        assert folder.local_path("b.bin") is None

    @pytest.mark.parametrize("name", ["../a", "/etc/passwd", "", "a//b", "a/./b", "a/../b", "a\\b", "a\0b", "a/"])
    def test_names_that_escape_are_refused(self, make: Maker, name: str) -> None:
        folder = make({"a": b"1"})
        for method in (folder.read, folder.size_bytes, folder.local_path):
            with pytest.raises(StorageError, match="no name of a file"):
                method(name)
        with pytest.raises(StorageError, match="no name of a file"):
            folder.read_range(name, 0, 1)

    def test_it_can_be_sent_to_another_process(self, make: Maker) -> None:
        folder = pickle.loads(pickle.dumps(make({"a": b"1"})))
        assert folder.read("a") == b"1"


def fill(root: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)


class TestLocalFolder(FolderContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Maker:
        def make(files: dict[str, bytes]) -> Folder:
            fill(tmp_path, files)
            return open_folder(tmp_path)

        return make

    def test_names_what_is_near(self, tmp_path: Path) -> None:
        fill(tmp_path, {"snapshot.json": b"{}"})
        with pytest.raises(NotFoundError, match=r"there is: snapshot\.json"):
            open_folder(tmp_path).read("snapshots.json")

    def test_local_path(self, tmp_path: Path) -> None:
        fill(tmp_path, {"a": b"1"})
        assert open_folder(f"file://{tmp_path}").local_path("a") == tmp_path / "a"

    def test_links_are_followed(self, tmp_path: Path) -> None:
        fill(tmp_path, {"cache/x": b"1"})
        (tmp_path / "out").mkdir()
        (tmp_path / "out/a").symlink_to(tmp_path / "cache/x")
        assert open_folder(tmp_path / "out").read("a") == b"1"


class TestMappedFolder(FolderContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Maker:
        def make(files: dict[str, bytes]) -> Folder:
            places = {name: tmp_path / str(number) for number, name in enumerate(files)}
            for name, data in files.items():
                places[name].write_bytes(data)
            return MappedFolder("raw/blood@v1", places)

        return make

    def test_a_file_gone_from_its_place(self, tmp_path: Path) -> None:
        folder = MappedFolder("raw@v1", {"a": tmp_path / "gone"})
        assert folder.size_bytes("a") is None
        with pytest.raises(NotFoundError, match="dvc fetch"):
            folder.read("a")


class TestMemoryFolder(FolderContract):
    @pytest.fixture
    def make(self, memory: str) -> Maker:
        def make(files: dict[str, bytes]) -> Folder:
            for name, data in files.items():
                fsspec.filesystem("memory").pipe_file(f"{memory}/{name}", data)
            return open_folder(memory)

        return make


class TestHttpFolder(FolderContract):
    @pytest.fixture
    def make(self, web) -> Maker:  # type: ignore[no-untyped-def]
        def make(files: dict[str, bytes]) -> Folder:
            fill(web.folder / "snap", files)
            return open_folder(f"{web.url}/snap")

        return make

    def test_a_range_is_one_request(self, make: Maker, web) -> None:  # type: ignore[no-untyped-def]
        folder = make({"a.bin": DATA})
        assert folder.read_range("a.bin", 100, 7) == DATA[100:107]
        assert web.asked == [("GET", "/snap/a.bin", "bytes=100-106")]

    def test_a_server_without_ranges(self, make: Maker, web) -> None:  # type: ignore[no-untyped-def]
        web.knows_ranges = False
        assert make({"a.bin": DATA}).read_range("a.bin", 100, 7) == DATA[100:107]

    def test_a_signed_address_stays_secret(self, make: Maker, web) -> None:  # type: ignore[no-untyped-def]
        make({"a.bin": DATA})
        web.secret = "sig=s3cret"
        folder = open_folder(f"{web.url}/snap?sig=s3cret")
        assert folder.read_range("a.bin", 1, 2) == DATA[1:3]
        assert folder.size_bytes("a.bin") == 1024
        web.secret = "sig=other"
        with pytest.raises(StorageError) as caught:
            folder.read("a.bin")
        assert "s3cret" not in f"{caught.value} {caught.value.url} {folder.url} {folder!r}"
        assert "403" in str(caught.value)


def test_open_refuses_what_is_not_a_folder(tmp_path: Path) -> None:
    fill(tmp_path, {"data/cleaned/a": b"1"})
    with pytest.raises(NotFoundError, match="there is: cleaned"):
        open_folder(tmp_path / "data/cleand/more")
    with pytest.raises(StorageError, match="is a file"):
        open_folder(tmp_path / "data/cleaned/a")


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(StorageError, match="could not be reached"):
        RemoteFolder("http://user:pw@127.0.0.1:9/x").read("a")


def test_an_unreadable_place_tells_why(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StorageError, match=r"could not be read"):
        LocalFolder(tmp_path).read("a")
