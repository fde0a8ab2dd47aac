"""Projects with versions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.versions import commit, relabel


@pytest.fixture(scope="session")
def versions(built_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three committed versions of the demo, the last but one on top of a commit of documents."""
    project = tmp_path_factory.mktemp("versions") / "demo"
    shutil.copytree(built_demo, project, symlinks=True)
    commit(project, "first", "v1")
    relabel(project, 2)
    commit(project, "second")
    (project / "notes.md").write_text("Notes.\n")
    commit(project, "documents", "v2", "v2-again")
    relabel(project, 3)
    commit(project, "third", "v3")
    return project


@pytest.fixture
def project(versions: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(versions, tmp_path / "demo", symlinks=True))
