"""A project for the stages to work on."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.bench import Bench, picture_bytes


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A project with a source of 12 pictures, two boxes on each; nothing is added yet."""
    made = Bench(tmp_path / "project")
    for number in range(12):
        boxes = [("cat", [4.0, 4.0, 20.0, 16.0]), ("dog", [30.0, 20.0, 24.0, 20.0])]
        made.source.put(f"{number:02d}.jpg", picture_bytes(number), boxes)
    return made
