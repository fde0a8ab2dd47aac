from __future__ import annotations

import os
from pathlib import Path

import pytest

from dsetkit.errors import StorageError, UsageError
from dsetkit.storage import writable
from dsetkit.storage.folder import open_folder
from dsetkit.storage.writable import WritableFolder, is_unfinished, open_writable


class WritableContract:
    """What every folder that takes files does. A back-end inherits this and gives ``place``, where nothing is yet."""

    def test_files_are_put_listed_replaced_and_deleted(self, place: str, tmp_path: Path) -> None:
        folder = open_writable(place)
        assert isinstance(folder, WritableFolder)
        assert folder.sizes() == {}
        folder.write("a/b.txt", b"one")
        folder.write("a/b.txt", b"second")
        source = tmp_path / "source"
        source.write_bytes(b"123")
        folder.write_file("é", source)
        assert folder.sizes() == {"a/b.txt": 6, "é": 3}
        assert open_folder(place).read("a/b.txt") == b"second"
        folder.delete("a/b.txt")
        folder.delete("a/b.txt")  # nothing there is fine
        assert folder.sizes() == {"é": 3}

    def test_large_files_go_in_parts(self, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(writable, "_AT_ONCE_BYTES", 2)
        source = tmp_path / "source"
        source.write_bytes(b"12345")
        folder = open_writable(place)
        folder.write_file("deep/er/file", source)
        assert folder.read("deep/er/file") == b"12345"

    @pytest.mark.parametrize("name", ["../a", "/a", "", "a/../../b", "a\\b"])
    def test_names_that_escape_are_refused(self, place: str, tmp_path: Path, name: str) -> None:
        (tmp_path / "source").write_bytes(b"")
        folder = open_writable(place)
        with pytest.raises(StorageError):
            folder.write(name, b"1")
        with pytest.raises(StorageError):
            folder.write_file(name, tmp_path / "source")
        with pytest.raises(StorageError):
            folder.delete(name)


class TestLocal(WritableContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        return str(tmp_path / "out" / "here")

    def test_a_copy_shares_nothing_with_its_source(self, place: str, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"1")
        open_writable(place).write_file("a", source)
        assert not os.path.samefile(source, Path(place, "a"))

    def test_a_file_is_no_folder(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StorageError, match="is a file"):
            open_writable(tmp_path / "file")

    def test_unfinished_files_are_told(self) -> None:
        assert is_unfinished("a/.b.0123.dsetkit-tmp")
        assert not is_unfinished("a/b.dsetkit-tmp")


class TestMemory(WritableContract):
    @pytest.fixture
    def place(self, memory: str) -> str:
        return memory

    def test_where_servers_rename_a_file_gets_its_name_when_it_is_whole(
        self, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(writable, "_RENAMING", frozenset({"memory"}))
        self.test_files_are_put_listed_replaced_and_deleted(place, tmp_path)


def test_http_can_only_be_read() -> None:
    folder = open_writable("http://127.0.0.1:9/there")
    with pytest.raises(UsageError, match="only be read"):
        folder.write("a", b"1")
