"""The repository of a project: made, and a removed source forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsetkit.errors import StorageError
from dsetkit.history.repository import create_repository, forget_stage, git


def test_a_repository_is_made_once(tmp_path: Path) -> None:
    assert create_repository(tmp_path) == ["git repository", "DVC repository"]
    assert create_repository(tmp_path) == []
    assert (tmp_path / ".dvcignore").read_text().endswith(".gitignore\n__pycache__/\n*.pyc\n/schemas/json/\n")


def test_a_project_may_lie_inside_a_repository(tmp_path: Path) -> None:
    create_repository(tmp_path)
    inner = tmp_path / "datasets" / "cells"
    inner.mkdir(parents=True)
    assert create_repository(inner) == ["DVC repository"]
    assert (inner / ".dvc" / "config").is_file()


def test_a_removed_source_leaves_no_line(tmp_path: Path) -> None:
    (tmp_path / "data" / "raw").mkdir(parents=True)
    (tmp_path / "dvc.lock").write_text(
        "schema: '2.0'\nstages:\n  clean:\n    cmd: dsetkit clean\n  ingest@pets:\n    cmd: dsetkit ingest pets\n"
    )
    (tmp_path / "data" / "raw" / ".gitignore").write_text("/cats\n/pets\n")
    forget_stage(tmp_path, "ingest@pets", "data/raw/pets")
    assert (tmp_path / "dvc.lock").read_text() == "schema: '2.0'\nstages:\n  clean:\n    cmd: dsetkit clean\n"
    assert (tmp_path / "data" / "raw" / ".gitignore").read_text() == "/cats\n"
    forget_stage(tmp_path, "ingest@pets", "data/raw/pets")  # nothing left to forget


def test_a_folder_that_git_ignores_is_refused_with_the_way_out(tmp_path: Path) -> None:
    create_repository(tmp_path)
    (tmp_path / ".gitignore").write_text("build/\n")
    inner = tmp_path / "build" / "project"
    inner.mkdir(parents=True)
    with pytest.raises(StorageError, match="DVC cannot start here") as refused:
        create_repository(inner)
    assert "git init" in str(refused.value.hint)
    git(inner, "init", "--quiet", required=True)
    assert create_repository(inner) == ["DVC repository"]
