"""Built projects whose numbers are counted twice: by dsetkit, and from their Parquet files without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from support.bench import Bench, picture_bytes
from support.recount import Recount, recount

from dsetkit.report.facts.collect import ProjectFacts, collect_project
from dsetkit.stages.project import Project


@dataclass(frozen=True)
class Counted:
    """A project, counted both ways."""

    root: Path
    facts: ProjectFacts
    raw: dict[str, Recount]
    cleaned: Recount
    augmented: Recount


def count_both_ways(root: Path) -> Counted:
    data = root / "data"
    raw = {folder.name: recount(folder) for folder in sorted((data / "raw").iterdir()) if folder.is_dir()}
    facts = collect_project(Project(root))
    return Counted(root, facts, raw, recount(data / "cleaned"), recount(data / "augmented"))


@pytest.fixture(scope="session")
def counted_demo(built_demo: Path) -> Counted:
    return count_both_ways(built_demo)


@pytest.fixture(scope="session")
def counted_three(three: Bench) -> Counted:
    """The real three-source project of `three`."""
    return count_both_ways(three.root)


@pytest.fixture(
    params=["demo", pytest.param("three", marks=[pytest.mark.realdata, pytest.mark.slow])],
)
def counted(request: pytest.FixtureRequest) -> Counted:
    """The demo, and the real three-source project."""
    found: Counted = request.getfixturevalue(f"counted_{request.param}")
    return found


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A project with a source of 6 pictures, two boxes on each; nothing is added yet."""
    made = Bench(tmp_path / "project")
    for number in range(6):
        boxes = [("cat", [4.0, 4.0, 20.0, 16.0]), ("dog", [30.0, 20.0, 24.0, 20.0])]
        made.source.put(f"{number}.jpg", picture_bytes(number), boxes)
    return made
