from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dsetkit.storage import stat_cache
from dsetkit.storage.stat_cache import Remembered, StatCache

DIGEST = "0" * 64
SECOND = 1_000_000_000


def item(path: str, stamp: str = "s") -> Remembered:
    return Remembered(path, 3, stamp, DIGEST)


def test_remembers_by_root(tmp_path: Path) -> None:
    cache = StatCache(tmp_path / "in/cache.db")
    assert cache.recall("/a") == {}
    cache.remember("/a", [(item("x"), 0), (item("é/y"), 0)], time.time_ns())
    cache.remember("/b", [(item("x", "other"), 0)], time.time_ns())
    assert cache.recall("/a") == {"x": item("x"), "é/y": item("é/y")}
    assert StatCache(tmp_path / "in/cache.db").recall("/b") == {"x": item("x", "other")}


def test_a_file_just_changed_is_forgotten(tmp_path: Path) -> None:
    cache = StatCache(tmp_path / "cache.db")
    now = time.time_ns()
    cache.remember("/a", [(item("x"), now - 3 * SECOND), (item("y"), now - 2 * SECOND), (item("z", ""), 0)], now)
    assert list(cache.recall("/a")) == ["x"]
    cache.remember("/a", [(item("x", "new"), now + SECOND)], now)
    assert cache.recall("/a") == {}


@pytest.mark.parametrize(
    "damage",
    [b"", b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000],
    ids=["empty", "text", "header"],
)
def test_a_damaged_file_is_started_anew(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(damage)
    cache = StatCache(path)
    assert cache.recall("/a") == {}
    cache.remember("/a", [(item("x"), 0)], time.time_ns())
    assert list(cache.recall("/a")) == ["x"]


def test_pages_damaged_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    cache = StatCache(path)
    cache.remember("/a", [(item(f"{number:05}"), 0) for number in range(2000)], time.time_ns())
    data = bytearray(path.read_bytes())
    data[4096 : len(data) // 2] = b"\xa5" * (len(data) // 2 - 4096)
    path.write_bytes(data)
    assert cache.recall("/a") == {}
    cache.remember("/a", [(item("x"), 0)], time.time_ns())
    assert list(cache.recall("/a")) == ["x"]


def test_a_foreign_or_later_database_is_replaced(tmp_path: Path) -> None:
    for script in ("CREATE TABLE files (a)", "PRAGMA user_version = 9"):
        path = tmp_path / f"{len(script)}.db"
        connection = sqlite3.connect(path)
        connection.executescript(script)
        connection.close()
        cache = StatCache(path)
        cache.remember("/a", [(item("x"), 0)], time.time_ns())
        assert list(cache.recall("/a")) == ["x"]


def test_rows_that_are_no_digests_are_passed_over(tmp_path: Path) -> None:
    cache = StatCache(tmp_path / "cache.db")
    cache.remember("/a", [(Remembered("x", 1, "s", "oops"), 0), (item("y"), 0)], time.time_ns())
    assert list(cache.recall("/a")) == ["y"]


def test_a_place_that_cannot_be_used_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file/cache.db", tmp_path / "folder"):
        cache = StatCache(path)
        cache.remember("/a", [(item("x"), 0)], time.time_ns())
        assert cache.recall("/a") == {}
    assert (tmp_path / "folder").is_dir()


def test_threads_and_processes_share_it(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    path.write_bytes(b"damaged from the start" * 50)
    script = f"""
import sys, time, types
sys.modules["dsetkit"] = package = types.ModuleType("dsetkit")
package.__path__ = [{str(Path(stat_cache.__file__).parents[1])!r}]
from pathlib import Path
from dsetkit.storage.stat_cache import Remembered, StatCache
for turn in range(10):
    rows = [(Remembered(f"{{sys.argv[2]}}-{{turn}}-{{n}}", 1, "s", "0" * 64), 0) for n in range(10)]
    StatCache(Path(sys.argv[1])).remember("/a", rows, time.time_ns())
"""
    processes = [subprocess.Popen([sys.executable, "-c", script, path, str(number)]) for number in range(3)]
    cache = StatCache(path)
    threads = [
        threading.Thread(
            target=lambda number=number: [
                cache.remember("/a", [(item(f"t{number}-{turn}"), 0)], time.time_ns()) for turn in range(10)
            ]
        )
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(cache.recall("/a")) == 3 * 10 * 10 + 4 * 10
    assert sorted(os.listdir(tmp_path)) == ["cache.db", "cache.db.lock"]


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    """Also what an earlier dsetkit left for all to read."""
    (tmp_path / "old.db").touch(mode=0o644)
    for name in ("new.db", "old.db"):
        StatCache(tmp_path / name).remember("/a", [(item("x"), 0)], time.time_ns())
        assert list(StatCache(tmp_path / name).recall("/a")) == ["x"]
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == dict.fromkeys(
        ("new.db", "new.db.lock", "old.db", "old.db.lock"), 0o600
    )


def test_another_users_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cache.db"
    StatCache(path).remember("/a", [(item("x"), 0)], time.time_ns())
    before, true = path.read_bytes(), os.open

    def refusing(name: Path | str, flags: int, mode: int = 0o777) -> int:
        if "cache.db" in str(name):
            raise PermissionError(13, "Permission denied", str(name))
        return true(name, flags, mode)

    monkeypatch.setattr(stat_cache.os, "open", refusing)
    StatCache(path).remember("/a", [(item("y"), 0)], time.time_ns())
    assert StatCache(path).recall("/a") == {}
    assert path.read_bytes() == before
