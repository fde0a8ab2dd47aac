"""What all tests share: where real data stands, a calm environment for DVC and git, hypothesis profiles."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from support.once import made_once

if TYPE_CHECKING:
    from support.bench import Bench

PROJECT = Path(__file__).resolve().parent.parent

# "fast" gives the same examples on every run; HYPOTHESIS_PROFILE=thorough looks for new ones.
settings.register_profile(
    "fast",
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


def pytest_configure() -> None:
    """Commands that tests start find the tested `dsetkit` and `dvc`, a git identity, and nobody's own settings."""
    os.environ.update(
        PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        DVC_NO_ANALYTICS="1",
        GIT_CONFIG_GLOBAL=os.devnull,
        GIT_CONFIG_NOSYSTEM="1",
        GIT_AUTHOR_NAME="Tester",
        GIT_AUTHOR_EMAIL="tester@example.org",
        GIT_COMMITTER_NAME="Tester",
        GIT_COMMITTER_EMAIL="tester@example.org",
    )
    # Of git's, where git itself runs the tests (a hook); and without compiled modules each command starts far slower.
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "PYTHONDONTWRITEBYTECODE"):
        os.environ.pop(name, None)


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The top of this repository."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Public data kept beside the project, read in place; the test is skipped where it is absent."""
    folder = Path(os.environ.get("DSETKIT_TEST_DATA") or PROJECT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; DSETKIT_TEST_DATA names another place")
    return folder


@pytest.fixture(scope="session")
def demo_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's pictures and labels. Only to be read: copy it to change it."""
    from dsetkit.stages.demo import write_demo

    return made_once(tmp_path_factory, "demo-source", write_demo)


@pytest.fixture(scope="session")
def built_demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo project, made by `dsetkit init --demo` and built by `dvc repro`. Only to be read: see `demo_copy`."""

    def build(folder: Path) -> None:
        for place, *command in ((folder, "dsetkit", "init", "demo", "--demo"), (folder / "demo", "dvc", "repro")):
            done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"

    return made_once(tmp_path_factory, "built-demo", build) / "demo"


@pytest.fixture
def demo_copy(built_demo: Path, tmp_path: Path) -> Path:
    """A copy of the built demo project that a test may change."""
    return Path(shutil.copytree(built_demo, tmp_path / "demo", symlinks=True))


@pytest.fixture(scope="session")
def three(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """A project of three real sources (blood cells, raccoons, ships), built. Only to be read."""
    from support.bench import Bench

    from dsetkit.spec.params import SourceParams
    from dsetkit.stages.manage import add_source

    def build(folder: Path) -> None:
        turn = [{"op": "rotate"}, {"op": "zoom"}, {"op": "brightness_contrast"}]
        bench = Bench(folder / "project")
        bench.params(
            augment={
                "recipes": {"flip": {"operations": [{"op": "flip"}]}, "turn": {"operations": turn, "fill": "reflect"}}
            }
        )
        for name, source in (("blood", "bccd"), ("raccoon", "raccoon"), ("ships", "yolo-ships")):
            report = add_source(bench.project, name, SourceParams(path=str(shared_data / source)))
            assert report.state.detection is not None
            assert report.state.detection.format == {"ships": "yolo"}.get(name, "voc")
            bench.ingest(name)
        bench.clean()
        bench.augment()

    return Bench.at(made_once(tmp_path_factory, "three", build) / "project")
