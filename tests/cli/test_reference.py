"""Documentation that is made from the code, and is not out of date."""

from __future__ import annotations

from pathlib import Path

import pytest

import dsetkit
from dsetkit.cli.reference import pages
from dsetkit.spec.json_schema import DOCUMENTS, json_schema, schema_text


@pytest.mark.parametrize("name", ["commands.md", "params.md"])
def test_reference_pages_are_up_to_date(project_root: Path, name: str) -> None:
    written = (project_root / "docs" / name).read_text(encoding="utf-8")
    assert written == pages()[name], "run: python -m dsetkit.cli.reference docs"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_json_schemas_are_up_to_date(project_root: Path, name: str) -> None:
    written = (project_root / "schemas" / "json" / name / "v1.json").read_text(encoding="utf-8")
    assert written == schema_text(json_schema(name)), "run: dsetkit schema export --out schemas/json"


def test_every_command_is_in_the_readme_or_the_reference(project_root: Path) -> None:
    page = pages()["commands.md"]
    readme = (project_root / "README.md").read_text(encoding="utf-8")
    for name in ("add", "update", "remove", "status", "show", "why", "validate", "convert", "export", "verify"):
        assert f"## `dsetkit {name}`" in page
        assert name in readme


def test_every_public_name_says_what_it_is() -> None:
    for name in dsetkit.__all__:
        value = getattr(dsetkit, name)
        if isinstance(value, type) or callable(value):
            assert value.__doc__, f"dsetkit.{name} has no docstring"
