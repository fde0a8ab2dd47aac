"""A damaged file is known as such before it is linked; an unchanged one is hashed once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from dsetkit.snapshots import sound
from dsetkit.snapshots.sound import SoundFiles
from dsetkit.storage.folder import LocalFolder
from dsetkit.storage.stat_cache import StatCache


def shard(folder: Path) -> str:
    data = bytes(range(256)) * 8
    name = f"shards/{hashlib.sha256(data).hexdigest()}.tar"
    (folder / "shards").mkdir()
    (folder / name).write_bytes(data)
    os.utime(folder / name, (1_700_000_000, 1_700_000_000))  # settled: git's rule for trusting a stat
    return name


def test_a_file_is_hashed_once_and_again_when_written_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = shard(tmp_path)
    folder, cache = LocalFolder(tmp_path), StatCache(tmp_path / "stat.sqlite")
    first = SoundFiles(cache)
    assert first.is_sound(folder, name)
    assert not first.is_sound(folder, "shards/" + "0" * 64 + ".tar")
    first.keep()
    os.link(tmp_path / name, tmp_path / "linked")  # moves the time of change, not of writing

    def refuse(path: Path) -> None:
        raise AssertionError("hashed again")

    with monkeypatch.context() as patch:
        patch.setattr(sound, "hash_file", refuse)
        assert SoundFiles(cache).is_sound(folder, name)
    with (tmp_path / "linked").open("r+b") as file:  # through another link, its size kept
        file.seek(700)
        file.write(b"x")
    assert not SoundFiles(cache).is_sound(folder, name)


def test_a_fresh_file_is_not_trusted_by_its_stat(tmp_path: Path) -> None:
    name = shard(tmp_path)
    folder, cache = LocalFolder(tmp_path), StatCache(tmp_path / "stat.sqlite")
    os.utime(tmp_path / name)
    first = SoundFiles(cache)
    assert first.is_sound(folder, name)
    first.keep()
    stamp = (tmp_path / name).stat().st_mtime_ns
    (tmp_path / name).write_bytes(bytes(2048))
    os.utime(tmp_path / name, ns=(stamp, stamp))
    assert not SoundFiles(cache).is_sound(folder, name)
