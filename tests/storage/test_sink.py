from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from dsetkit.errors import StorageError, UsageError
from dsetkit.storage.folder import open_folder
from dsetkit.storage.sink import open_sink

FILES = {"labels/a.txt": b"1", "data.yaml": b"", "images/train/é.jpg": b"22"}


class SinkContract:
    """What every sink does. A back-end inherits this and gives ``place``, where nothing is yet."""

    def test_files_stand_after_the_commit(self, place: str) -> None:
        with open_sink(place) as sink:
            for name, data in FILES.items():
                sink.write(name, data)
        folder = open_folder(place)
        assert {name: folder.read(name) for name in folder.names()} == FILES

    def test_nothing_stands_after_an_error(self, place: str) -> None:
        def fail() -> None:
            with open_sink(place) as sink:
                sink.write("a/b", b"1")
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        with open_sink(place) as sink:  # and the place can be used again
            sink.write("c", b"1")
        assert list(open_folder(place).names()) == ["c"]

    @pytest.mark.parametrize("name", ["../a", "/a", "", "a/../../b", "a\\b", "a//b"])
    def test_names_that_escape_are_refused(self, place: str, name: str) -> None:
        with pytest.raises(StorageError), open_sink(place) as sink:
            sink.write(name, b"1")

    def test_a_destination_in_use_is_refused(self, place: str) -> None:
        with open_sink(place) as sink:
            sink.write("a", b"1")
        with pytest.raises(UsageError, match="not empty"):
            open_sink(place)
        with pytest.raises(UsageError, match="is closed"):
            sink.write("b", b"1")
        sink.abort()  # too late, takes nothing away
        sink.commit()
        assert list(open_folder(place).names()) == ["a"]

    def test_a_name_is_written_once(self, place: str) -> None:
        sink = open_sink(place)
        sink.write("a", b"1")
        with pytest.raises(UsageError, match="has a already"):
            sink.write("a", b"2")
        sink.abort()


class TestLocalSink(SinkContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        return str(tmp_path / "out/here")

    def test_nothing_is_there_before_the_commit(self, place: str) -> None:
        sink = open_sink(place)
        sink.write("a", b"1")
        assert not os.path.exists(place)
        sink.commit()
        assert os.listdir(Path(place).parent) == ["here"]

    def test_an_empty_folder_and_a_link_to_one_are_fine(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "link").symlink_to("empty")
        with open_sink(tmp_path / "link") as sink:
            sink.write("a", b"1")
        assert (tmp_path / "empty/a").read_bytes() == b"1"

    def test_a_file_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        with pytest.raises(UsageError, match="is a file"):
            open_sink(tmp_path / "file")

    def test_a_destination_filled_meanwhile_keeps_what_is_there(self, tmp_path: Path) -> None:
        sink = open_sink(tmp_path / "out")
        sink.write("a", b"1")
        (tmp_path / "out").mkdir()
        (tmp_path / "out/b").write_bytes(b"2")
        with pytest.raises(StorageError):
            sink.commit()
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["b", "out"]


class TestMemorySink(SinkContract):
    @pytest.fixture
    def place(self, memory: str) -> str:
        return f"{memory}/out"


def test_a_place_that_takes_nothing(web) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StorageError), open_sink(f"{web.url}/out") as sink:
        sink.write("a", b"1")


def test_folders_are_made_where_a_driver_needs_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    memory_class = fsspec.get_filesystem_class("memory")
    pipe_file = memory_class.pipe_file

    def strict(self, path, value, **options):  # type: ignore[no-untyped-def]
        if self._parent(path) not in calls:
            raise FileNotFoundError(path)
        pipe_file(self, path, value, **options)

    monkeypatch.setattr(memory_class, "pipe_file", strict)
    monkeypatch.setattr(memory_class, "makedirs", lambda self, path, exist_ok=False: calls.append(path))
    with open_sink("memory://strict-place/out") as sink:
        sink.write("a/b", b"1")
    assert calls == ["/strict-place/out/a"]
    assert open_folder("memory://strict-place/out").read("a/b") == b"1"
    fsspec.filesystem("memory").rm("/strict-place", recursive=True)
