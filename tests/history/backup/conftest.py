"""A project that is quick to make, and its backup."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.versions import commit, sh

from dsetkit.history.backup.create import create_backup


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of one folder that DVC keeps, quick to make, and its backup. Only to be read."""
    root = tmp_path_factory.mktemp("base") / "plain"
    (root / "data" / "things").mkdir(parents=True)
    (root / "data" / "things" / "a.txt").write_text("a\n")
    (root / "data" / "things" / "b.txt").write_text("b\n")
    sh(root, "git", "init", "-q")
    sh(root, "dvc", "init", "-q")
    sh(root, "dvc", "add", "-q", "data/things")
    commit(root, "first", "v1")
    create_backup(root, str(root.parent / "backup"))
    return root.parent


@pytest.fixture
def plain(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base / "plain", tmp_path / "plain", symlinks=True))


@pytest.fixture
def kept(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base / "backup", tmp_path / "backup"))
