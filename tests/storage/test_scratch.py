"""Scratch folders are gone afterwards, also those of processes that were killed; those in use are left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dsetkit.errors import StorageError
from dsetkit.storage.scratch import scratch_folder

HOLD = """
import sys
from dsetkit.storage.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "large").write_bytes(bytes(1000))
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's place for temporary folders, empty."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return place


def test_it_is_empty_and_goes_with_all_in_it(temporary: Path) -> None:
    with scratch_folder() as folder, scratch_folder() as other:
        assert folder != other
        assert folder.parent == other.parent == temporary
        assert list(folder.iterdir()) == []
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("x")
    assert list(temporary.iterdir()) == []
    with pytest.raises(KeyError), scratch_folder() as folder:
        raise KeyError
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_goes_and_what_is_in_use_stays(temporary: Path) -> None:
    pipe = subprocess.PIPE
    both = [subprocess.Popen([sys.executable, "-c", HOLD], stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    folders = []
    for process in both:
        assert process.stdout is not None
        folders.append(Path(process.stdout.readline().strip()))
    both[0].kill()
    both[0].wait()
    assert (folders[0] / "large").exists()
    with scratch_folder():
        assert not folders[0].exists()
        assert (folders[1] / "large").exists()
    for process in both:
        process.communicate()
    assert list(temporary.iterdir()) == []


def test_nothing_else_is_deleted(temporary: Path, tmp_path: Path) -> None:
    """Folders of people's own names, links to folders, files."""
    (temporary / ".dsetkit-scratch-of-mine").mkdir()
    (temporary / "dsetkit-scratch-abcdefgh").mkdir()
    (temporary / ".dsetkit-scratch-abcdefgh").write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine").write_text("mine")
    os.symlink(tmp_path / "elsewhere", temporary / ".dsetkit-scratch-hgfedcba")
    before = sorted(temporary.iterdir())
    with scratch_folder():
        pass
    assert sorted(temporary.iterdir()) == before
    assert (tmp_path / "elsewhere" / "mine").read_text() == "mine"


def test_many_at_once(temporary: Path) -> None:
    """Those that begin tidy up while others are made: each keeps its own."""

    def work(number: int) -> bool:
        with scratch_folder() as folder:
            (folder / "mine").write_text(str(number))
            return [path.name for path in folder.iterdir()] == ["mine"]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(400)))
    assert list(temporary.iterdir()) == []


def test_where_nothing_can_be_written(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "absent"))
    with pytest.raises(StorageError, match="could not be written"), scratch_folder():
        pass
