"""Every step can fail, be undone, be finished later; a journal can lie; nobody's work of meanwhile is lost."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.rolls import copied, make_odd, state
from support.versions import sh

from dsetkit.errors import StorageError, UsageError
from dsetkit.history.rollback import journal as journals
from dsetkit.history.rollback import moves
from dsetkit.history.rollback.journal import KEPT
from dsetkit.history.rollback.run import finish_interrupted, open_rollback
from dsetkit.storage.unfinished import ROLLBACK

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_odd(tmp_path_factory.mktemp("odd") / "odd")


@pytest.fixture
def project(odd: Path, tmp_path: Path) -> Path:
    return copied(odd, tmp_path / "odd")


def roll(project: Path, rev: str, *, commit: bool = False) -> Any:
    with open_rollback(project, rev) as rolling:
        return rolling.run(commit=commit)


class Stopped(BaseException):
    """As if the process had died."""


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, at: int, error: Callable[[], BaseException]) -> Iterator[list[int]]:
    """After the journal is written, the ``at``-th rename fails; gives how many there were."""
    counted = [0]
    with monkeypatch.context() as patch:
        for name in ("replace", "rename"):
            original = getattr(os, name)

            def call(source: Any, target: Any, original: Any = original) -> None:
                if counted[0] or str(target).endswith("journal.json"):
                    counted[0] += 1
                if counted[0] == at + 1:
                    counted[0] += 1
                    raise error()
                original(source, target)

            patch.setattr(os, name, call)
        yield counted


def full() -> BaseException:
    return OSError(errno.ENOSPC, "No space left on device", "x")


@pytest.mark.parametrize(("start", "rev"), [("B", "A"), ("A", "B")])
def test_what_changes_its_kind(
    odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str, rev: str
) -> None:
    begun = copied(odd, tmp_path / "begun")
    if start != "B":
        roll(begun, start, commit=True)
    assert "up to date" in sh(begun, "dvc", "status")
    assert sh(begun, "git", "status", "--porcelain") == ""
    old = state(begun)
    project = tmp_path / "odd"
    with failing(monkeypatch, 999, full) as renames:
        roll(copied(begun, project), rev, commit=True)
    assert "up to date" in sh(project, "dvc", "status")
    assert sh(project, "git", "status", "--porcelain") == ""
    assert sh(project, "git", "diff", "--stat", rev, "HEAD") == ""
    new = state(project)
    assert new.keys() - old.keys()
    assert old.keys() - new.keys()
    for at in range(1, renames[0]):
        copied(begun, project)
        with failing(monkeypatch, at, full), pytest.raises(StorageError, match="everything was put back"):
            roll(project, rev)
        assert state(project) == old, at
        assert not (project / ROLLBACK).exists()
        with failing(monkeypatch, at, Stopped), pytest.raises(Stopped):
            roll(project, rev)
        assert (project / ROLLBACK / "journal.json").exists()
        assert len(list(finish_interrupted([project]))) == 1
        assert state(project) == new, at
        assert not (project / KEPT).exists()
    assert sh(project, "dvc", "status").startswith("Data and pipelines are up to date")


def stop(project: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    with failing(monkeypatch, at, Stopped), pytest.raises(Stopped):
        roll(project, "A")
    assert (project / ROLLBACK / "journal.json").exists()


@pytest.mark.parametrize("at", [1, 99])
@pytest.mark.parametrize("in_place", [True, False])
def test_what_is_edited_meanwhile_is_kept(
    project: Path, monkeypatch: pytest.MonkeyPatch, at: int, in_place: bool
) -> None:
    forget = moves._forget
    monkeypatch.setattr(moves, "_forget", lambda *_: exec("raise Stopped", {"Stopped": Stopped}))
    stop(project, monkeypatch, at)  # before the first file, or after the last
    monkeypatch.setattr(moves, "_forget", forget)
    path = project / "dvc.yaml"
    text = path.read_text() + "# a thought\n"
    if not in_place:
        path.unlink()
    path.write_text(text)
    said = list(finish_interrupted([project]))
    assert "which had been interrupted" in said[0]
    if at == 99 and in_place:  # into what had come: it stays there
        assert path.read_text() == text
        return
    assert said[1:] == [
        f"dvc.yaml was changed while the rollback was unfinished; with that change it is now {KEPT}/dvc.yaml"
    ]
    assert (project / KEPT / "dvc.yaml").read_text() == text
    assert path.read_text().strip() == sh(project, "git", "show", "A:dvc.yaml")


def test_what_dvc_puts_there_meanwhile_is_moved_aside(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roll(copied(project, tmp_path / "whole"), "A")
    stop(project, monkeypatch, 3)
    assert not (project / "data" / "raw" / "one").exists()
    sh(project, "dvc", "checkout", "-q", "data/raw/one")
    said = list(finish_interrupted([project]))
    assert said[1:] == [f"data/raw appeared while the rollback was unfinished; it is now {KEPT}/data/raw"]
    assert (project / KEPT / "data" / "raw" / "one" / "1").read_text() == "1\n"
    shutil.rmtree(project / KEPT)
    assert state(project) == state(tmp_path / "whole")


def test_half_of_what_is_built_again_is_never_taken_for_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roll(project, "A")
    new = state(project)
    roll(project, "B")
    with monkeypatch.context() as patch:
        patch.setattr(moves, "_forget", lambda *_: exec("raise Stopped", {"Stopped": Stopped}))
        stop(project, monkeypatch, 99)
    shutil.rmtree(project / "data" / "raw")
    (project / ROLLBACK / "again").mkdir()
    (project / ROLLBACK / "again" / "a").write_text("half")
    list(finish_interrupted([project]))
    assert state(project) == new


def test_from_python_an_unfinished_one_is_finished_first(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = state(project)
    stop(project, monkeypatch, 5)
    with pytest.raises(UsageError, match="was interrupted in this project"), open_rollback(project, "B", lock=False):
        pass
    with pytest.raises(UsageError, match="was interrupted in this project"):
        journals.clear(project)
    roll(project, "B")
    assert state(project) == old


def test_a_reader_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / ROLLBACK).mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert list(finish_interrupted([project])) == []
    (project / ROLLBACK / "journal.json").write_text("{}")
    with pytest.raises(StorageError, match=r"may be at no version.*Whoever may write there"):
        list(finish_interrupted([project]))


def _path(path: str) -> Callable[[dict[str, Any]], None]:
    return lambda document: document["steps"].append({"path": path, "kind": "file", "old": False, "new": False})


def _set(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.update(changes)


@pytest.mark.parametrize(
    "spoil",
    [
        _path("../victim"),
        _path("/victim"),
        _path("code/../../victim"),
        _path(".git/hooks/pre-commit"),
        _path(".Git/config"),
        _path("code/.git/config"),
        _path(".dvc/config"),
        _path("access/policy.json"),
        _path("link/victim"),
        _path(""),
        _path("a\0b"),
        _set(commit="--stdin"),
        _set(head="HEAD"),
        _set(steps=[{"path": "x", "kind": "both", "old": True, "new": True}]),
        _set(steps=[{"path": "x", "kind": "file", "old": "no", "new": True}]),
        _set(steps=[{"path": "x", "kind": "folder", "old": True, "new": True, "oid": "../../victim"}]),
        _set(steps=[{"path": 7, "kind": "file", "old": True, "new": True}]),
        _set(steps=[{"path": "x"}]),
        _set(steps=7),
        _set(title=["x"]),
        _set(index=[["../victim", None, None]]),
        _set(index=[["x", "160000", "0" * 40]]),
        _set(index=[["x", "100644", "x"]]),
        _set(format=99),
        _set(more=1),
    ],
)
def test_a_journal_that_lies_is_refused(project: Path, spoil: Callable[[dict[str, Any]], None]) -> None:
    victim = project.parent / "victim"
    victim.write_text("precious")
    (project / "link").symlink_to(project.parent)
    (project / "access").mkdir()
    (project / "access" / "policy.json").write_text("{}")
    before = {**state(project), "head": sh(project, "git", "rev-parse", "HEAD")}
    sha = sh(project, "git", "rev-parse", "HEAD")
    document: dict[str, Any] = {"format": 1, "title": "A", "head": sha, "tree": sha, "commit": None, "message": "m"}
    document.update(index=[], steps=[])
    spoil(document)
    (project / ROLLBACK).mkdir(parents=True)
    (project / ROLLBACK / "journal.json").write_text(json.dumps(document))
    with pytest.raises(StorageError, match=r"cannot be read.*Move .* away, then: git checkout"):
        list(finish_interrupted([project]))
    assert {**state(project), "head": sh(project, "git", "rev-parse", "HEAD")} == before
    assert victim.read_text() == "precious"


def test_a_journal_does_not_go_through_a_link(project: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "rollback").mkdir(parents=True)
    (elsewhere / "rollback" / "precious").write_text("x")
    (project / ".dvc" / "tmp" / "dsetkit").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(project / ".dvc" / "tmp" / "dsetkit")
    (project / ".dvc" / "tmp" / "dsetkit").symlink_to(elsewhere)
    with pytest.raises(UsageError, match="is a link"):
        list(finish_interrupted([project]))
    assert (elsewhere / "rollback" / "precious").read_text() == "x"
