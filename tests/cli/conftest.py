"""The command line, run in this process as a user would run it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.bench import Bench, picture_bytes

from dsetkit.cli import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A project with a source of 4 pictures that is not added yet; the working folder is the project's."""
    made = Bench(tmp_path / "project")
    for number in range(4):
        made.source.put(f"{number}.jpg", picture_bytes(number), [("cat", [4.0, 4.0, 20.0, 16.0])])
    made.source.write()
    monkeypatch.chdir(made.root)
    return made


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run("add", "pets", "../source")``: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["dsetkit", *arguments])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capfd.readouterr()
        return Ran(code, captured.out, captured.err)

    return call
