from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dsetkit.errors import NotFoundError, StorageError
from dsetkit.storage import atomic
from dsetkit.storage.atomic import finish_swap, link_or_copy, remove_tree, swap_folder, write_atomic


def build(path: Path, version: str, files: int = 5) -> Path:
    path.mkdir(parents=True)
    for number in range(files):
        (path / str(number)).write_text(version)
    (path / "in").mkdir()
    (path / "in/last").write_text(version)
    return path


def version_of(path: Path, files: int = 5) -> str:
    """The one version all files of a folder are of."""
    texts = [(path / str(number)).read_text() for number in range(files)] + [(path / "in/last").read_text()]
    assert len(set(texts)) == 1, texts
    return texts[0]


def test_write_replaces_and_leaves_other_links_alone(tmp_path: Path) -> None:
    path = tmp_path / "new/a.json"
    write_atomic(path, b"one")
    os.link(path, tmp_path / "cache")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert (tmp_path / "cache").read_bytes() == b"one"
    assert [item.name for item in path.parent.iterdir()] == ["a.json"]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    write_atomic(path, b"one")

    def fail(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "fsync", fail)
    with pytest.raises(StorageError, match=r"No space left on device.*Make room"):
        write_atomic(path, b"two")
    assert path.read_bytes() == b"one"
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


def test_swap_into_an_empty_place_and_over_another(tmp_path: Path) -> None:
    place = tmp_path / "data/raw"
    for version in "abc":
        swap_folder(build(tmp_path / "build", version), place)
        assert version_of(place) == version
        assert os.listdir(place.parent) == ["raw"]
        assert not (tmp_path / "build").exists()
    assert not finish_swap(place)


def test_swap_refuses(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        swap_folder(tmp_path / "none", tmp_path / "place")
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="is a file"):
        swap_folder(build(tmp_path / "build", "a"), tmp_path / "file")
    assert version_of(tmp_path / "build") == "a"


def test_a_failed_rename_puts_the_old_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = build(tmp_path / "place", "old")
    built = build(tmp_path / "build", "new")
    rename = os.rename

    def fail(source: Path, target: Path) -> None:
        if source == built:
            raise OSError(5, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(atomic.os, "rename", fail)
    with pytest.raises(StorageError, match="Input/output"):
        swap_folder(built, place)
    assert version_of(place) == "old"
    assert version_of(built) == "new"


def test_swap_from_another_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = build(tmp_path / "place", "old")
    built = build(tmp_path / "build", "new")
    rename = os.rename

    def fail(source: Path, target: Path) -> None:
        if source == built:
            raise OSError(18, "Invalid cross-device link")
        rename(source, target)

    monkeypatch.setattr(atomic.os, "rename", fail)
    swap_folder(built, place)
    assert version_of(place) == "new"
    assert os.listdir(tmp_path) == ["place"]


def test_finish_brings_the_old_back_or_clears_up(tmp_path: Path) -> None:
    place = tmp_path / "place"
    build(tmp_path / ".place.dsetkit-old", "old")
    build(tmp_path / ".place.dsetkit-new", "half")
    assert finish_swap(place)
    assert version_of(place) == "old"
    build(tmp_path / ".place.dsetkit-old", "older")
    build(tmp_path / ".place.dsetkit-trash", "oldest")
    assert not finish_swap(place)
    assert version_of(place) == "old"
    assert os.listdir(tmp_path) == ["place"]


# The package without its face, whose imports would take longer than all the rest.
BARE = f"""
import os, sys, types
from pathlib import Path
sys.modules["dsetkit"] = package = types.ModuleType("dsetkit")
package.__path__ = [{str(Path(atomic.__file__).parents[1])!r}]
from dsetkit.storage import atomic
"""

KILLED = """
root = Path(sys.argv[1])
print("ready", flush=True)
for turn in range(1000):
    built = root / "build" / str(turn)
    (built / "in").mkdir(parents=True)
    for number in range(5):
        (built / str(number)).write_text(str(turn))
    (built / "in/last").write_text(str(turn))
    atomic.swap_folder(built, root / "place")
"""


def test_killed_at_any_moment_one_of_the_two_stands(tmp_path: Path) -> None:
    dice = random.Random(7)
    seen = 0
    for attempt in range(6):
        root = tmp_path / str(attempt)
        place = build(root / "place", "first")
        with subprocess.Popen([sys.executable, "-c", BARE + KILLED, root], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(dice.uniform(0.0, 0.12))
            process.send_signal(signal.SIGKILL)
        finish_swap(place)
        seen += version_of(place) != "first"
        assert sorted(item.name for item in root.iterdir() if item.name != "build") == ["place"]
    assert seen > 0


@pytest.mark.parametrize("moment", range(12))
def test_killed_after_each_rename_and_removal(tmp_path: Path, moment: int) -> None:
    place = build(tmp_path / "place", "old")
    built = build(tmp_path / "build", "new")
    script = f"""
count = 0
def stops(call):
    def stop(*args, **options):
        global count
        if count == {moment}:
            os.kill(os.getpid(), 9)
        count += 1
        return call(*args, **options)
    return stop
os.rename, os.unlink, os.rmdir, os.fsync = map(stops, (os.rename, os.unlink, os.rmdir, os.fsync))
atomic.swap_folder(Path(sys.argv[1]), Path(sys.argv[2]))
"""
    subprocess.run([sys.executable, "-c", BARE + script, built, place], check=False)
    stood = place.exists()
    version = version_of(place) if stood else "none"
    assert finish_swap(place) is not stood
    assert version_of(place) == ("old" if version == "none" else version)
    assert version_of(place) == "new" or version_of(built) == "new"
    assert {item.name for item in tmp_path.iterdir()} <= {"place", "build"}


def test_link_or_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a"
    source.write_bytes(b"1")
    alias = tmp_path / "alias"
    alias.symlink_to(source)
    target = tmp_path / "out/b"
    assert link_or_copy(alias, target)
    assert link_or_copy(source, target)  # once more, onto itself
    assert target.samefile(source)
    assert not target.is_symlink()

    def fail(*args: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(atomic.os, "link", fail)
    assert not link_or_copy(source, target)
    assert not target.samefile(source)
    assert target.read_bytes() == b"1"
    assert os.listdir(target.parent) == ["b"]
    with pytest.raises(NotFoundError):
        link_or_copy(tmp_path / "none", target)


def test_remove_tree_does_not_follow_links(tmp_path: Path) -> None:
    keep = build(tmp_path / "keep", "a")
    gone = build(tmp_path / "gone", "b")
    (gone / "link").symlink_to(keep)
    (gone / "in").chmod(0o500)
    remove_tree(gone)
    (tmp_path / "link").symlink_to(keep)
    remove_tree(tmp_path / "link")
    remove_tree(tmp_path / "none")
    assert os.listdir(tmp_path) == ["keep"]
    assert version_of(keep) == "a"
