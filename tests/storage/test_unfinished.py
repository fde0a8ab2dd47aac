"""Nobody reads or builds in a project whose rollback was interrupted."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import dsetkit
from dsetkit.errors import UsageError
from dsetkit.stages.build import Build
from dsetkit.stages.project import Project
from dsetkit.storage import unfinished
from dsetkit.storage.unfinished import JOURNAL, ROLLBACK, refuse_unfinished


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(unfinished, "PATIENCE_S", 0.1)
    (tmp_path / ROLLBACK).mkdir(parents=True)
    (tmp_path / ROLLBACK / JOURNAL).write_text("{}")
    (tmp_path / "params.yaml").write_text("sources: {}\n")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "data" / "cleaned").mkdir(parents=True)
    return tmp_path


def test_an_interrupted_rollback_is_told_of(project: Path) -> None:
    with pytest.raises(UsageError) as caught:
        refuse_unfinished(project / "data" / "cleaned")
    assert str(project) in caught.value.message
    assert "dsetkit status" in caught.value.hint


def test_nothing_is_opened_found_or_built_meanwhile(project: Path) -> None:
    for place in (project / "data" / "cleaned", str(project / "data" / "cleaned"), f"file://{project}/data/cleaned"):
        with pytest.raises(UsageError, match="rollback was interrupted"):
            dsetkit.open(place)
    with pytest.raises(UsageError, match="rollback was interrupted"):
        Project.find(project)
    build = Build(Project(project), project / "data" / "cleaned", dict, stage="cleaned")
    with pytest.raises(UsageError, match="rollback was interrupted"), build:
        pass
    assert [path.name for path in (project / "data").iterdir()] == ["cleaned"]


def test_one_that_is_alive_is_waited_for(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "PATIENCE_S", 30.0)
    threading.Timer(0.2, (project / ROLLBACK / JOURNAL).unlink).start()
    refuse_unfinished(project / "data")


def test_elsewhere_nothing_is_said(tmp_path: Path) -> None:
    refuse_unfinished(tmp_path / "nowhere")
