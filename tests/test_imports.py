"""What may be imported where, and what `import dsetkit` costs. The floors are checked by import-linter."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import dsetkit

PACKAGE = Path(__file__).resolve().parent.parent / "dsetkit"

LAZY = (
    *("dvc", "dvc_data", "dvc_objects", "scmrepo", "git", "dulwich", "pygit2"),  # versions
    *("typer", "click", "rich"),  # the command line
    *("dask", "distributed"),  # clusters
    *("s3fs", "gcsfs", "adlfs", "sshfs", "aiohttp", "botocore", "paramiko"),  # remote places
    *("pandas", "duckdb", "scipy", "matplotlib", "torch"),  # what nobody asked for
    *("pytest", "hypothesis", "mypy"),
)
"""Libraries that `import dsetkit` must not load."""

ROOM_OF = {
    "pyarrow.parquet": "snapshots",
    "fsspec": "storage",
    "PIL": "imaging",
    "dvc": "history",
    "dvc_data": "history",
    "typer": "cli",
    "rich": "cli",
    "shapely": "geometry",
    "pycocotools": "geometry",
    "lxml": "formats",
}
"""The one room that imports a library."""


def imported(file: Path) -> Iterator[tuple[str, int]]:
    """Each name a file imports, lazily or for types alone too, with its line."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, node.lineno
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(PACKAGE.rglob("*.py"))


def test_import_is_cheap() -> None:
    code = "import sys, dsetkit; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert sorted(set(done.stdout.split()) & set(LAZY)) == []


def test_the_face_is_loaded_name_by_name() -> None:
    """Nothing heavy is loaded before it is used, and every name leads to what type checkers think it is."""
    code = "import sys, dsetkit; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & {"pyarrow", "numpy", "pydantic", "PIL", "fsspec", "shapely"} == set()
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    for_checkers = next(node for node in tree.body if isinstance(node, ast.If))
    stated = {
        alias.name: node.module
        for node in for_checkers.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert stated == dsetkit._HOMES
    assert sorted(dsetkit.__all__) == sorted([*stated, "DsetkitError", "open"])
    assert set(dsetkit.__all__) <= set(dir(dsetkit))
    for name, module in stated.items():
        assert getattr(dsetkit, name) is getattr(importlib.import_module(module), name)
    with pytest.raises(AttributeError, match="module 'dsetkit' has no attribute 'Snapshoot'"):
        dsetkit.Snapshoot  # noqa: B018


@pytest.mark.parametrize("library", ROOM_OF)
def test_a_library_has_one_room(library: str) -> None:
    found = [
        f"{file.relative_to(PACKAGE)}:{line}"
        for file in FILES
        if room_of(file) != ROOM_OF[library]
        for name, line in imported(file)
        if name == library or name.startswith(library + ".")
    ]
    assert found == []


def test_only_cli_imports_the_face() -> None:
    found = [
        f"{file.relative_to(PACKAGE)}:{line}"
        for file in FILES
        if room_of(file) not in ("__init__", "cli")
        for name, line in imported(file)
        if name == "dsetkit"
    ]
    assert found == []


def test_every_room_has_a_file_that_says_what_it_is() -> None:
    rooms = [folder for folder in PACKAGE.iterdir() if folder.is_dir() and any(folder.glob("*.py"))]
    assert [room.name for room in rooms if not ast.get_docstring(ast.parse((room / "__init__.py").read_text()))] == []
