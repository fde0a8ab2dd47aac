"""One project with two versions for all tests of rolling back: it takes a while to build."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.once import made_once
from support.rolls import copied, make_life


@pytest.fixture(scope="session")
def life(built_demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Only to be read."""
    return made_once(tmp_path_factory, "life", lambda folder: make_life(built_demo, folder / "demo")) / "demo"


@pytest.fixture
def project(life: Path, tmp_path: Path) -> Path:
    return copied(life, tmp_path / "demo")
