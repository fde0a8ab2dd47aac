"""What is locked, and what a wheel holds."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKED = "requirements/locked.txt"
PYTHONS = ("3.11", "3.12", "3.13")
INDEX_OPTIONS = re.compile(r"(^|\s)(-i|-f|--(extra-)?index(-url)?|--find-links|--trusted-host)([\s=]|$)")


@pytest.fixture(scope="session")
def project(project_root: Path) -> dict[str, Any]:
    document = tomllib.loads((project_root / "pyproject.toml").read_text("utf-8"))
    return dict(document["project"])


def locked(root: Path) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in (root / LOCKED).read_text("utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


def test_lock_names_versions_and_no_place(project_root: Path) -> None:
    for line in (project_root / LOCKED).read_text("utf-8").splitlines():
        if not line.startswith("#"):
            assert re.fullmatch(r"[a-z0-9-]+==[^\s;/@]+( ; [^/@]+)?", line), line
    text = (project_root / LOCKED).read_text("utf-8")
    assert "://" not in text
    assert not INDEX_OPTIONS.search(text)


def test_docs_and_scripts_name_no_index(project_root: Path) -> None:
    files = [*project_root.glob("*.md"), *project_root.glob("docs/**/*.md"), *project_root.glob("requirements/*")]
    files += [project_root / name for name in ("Makefile", "pyproject.toml", ".ci/run")]
    bad = [
        f"{file.name}: {line}"
        for file in files
        for line in file.read_text("utf-8").splitlines()
        if "pip install" in line and (INDEX_OPTIONS.search(line) or "://" in line)
    ]
    assert bad == []


@pytest.mark.parametrize("python", PYTHONS)
def test_lock_holds_every_requirement_once(project_root: Path, project: dict[str, Any], python: str) -> None:
    environment = {"python_version": python, "python_full_version": f"{python}.5", "sys_platform": "linux"}

    def holds(marker: Marker | None) -> bool:
        return marker is None or marker.evaluate({**environment, "extra": ""})

    versions: dict[str, str] = {}
    for line in locked(project_root):
        if holds(line.marker):
            name = canonicalize_name(line.name)
            assert name not in versions, f"{name} is locked twice for Python {python}"
            versions[name] = next(iter(line.specifier)).version
    wanted = [
        *project["dependencies"],
        *(item for extra in project["optional-dependencies"].values() for item in extra),
    ]
    for text in wanted:
        requirement = Requirement(text)
        if requirement.name != project["name"] and holds(requirement.marker):
            version = versions.get(canonicalize_name(requirement.name))
            assert version, f"{text} is not locked for Python {python}: make lock"
            assert requirement.specifier.contains(version, prereleases=True), f"{text}, locked {version}: make lock"


def test_versions_agree(project: dict[str, Any]) -> None:
    import dsetkit

    assert dsetkit.__version__ == project["version"]


@pytest.mark.slow
def test_wheel_holds_dsetkit_alone(project_root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=project_root, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        info = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
        points = archive.read(f"{info}/entry_points.txt").decode()
    assert {name.partition("/")[0] for name in names} == {"dsetkit", info}
    assert "dsetkit/py.typed" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert f"{info}/licenses/LICENSE" in names
    assert "dsetkit = dsetkit.cli:main" in points
