"""What this machine remembers of sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsetkit.errors import StorageError
from dsetkit.stages import sources
from dsetkit.stages.project import Project
from dsetkit.stages.sources import keep_listing, locked_listing

DIGEST = "ab" * 32


def test_listings_are_for_their_owner_alone(tmp_path: Path) -> None:
    """They tell names and digests of what may be sealed; those of an earlier dsetkit were for all to read."""
    (tmp_path / ".dsetkit/listings").mkdir(parents=True, mode=0o755)
    project = Project(tmp_path)
    keep_listing(project, DIGEST, {"a.png": "cd" * 32})
    assert locked_listing(project, DIGEST) == {"a.png": "cd" * 32}
    folder = tmp_path / ".dsetkit/listings"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_another_user_keeps_costs_only_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(tmp_path)

    def refuse(path: Path, data: bytes, mode: int) -> None:
        raise StorageError("may not be written", url=str(path), hint="")

    monkeypatch.setattr(sources, "write_atomic", refuse)
    keep_listing(project, DIGEST, {})
    assert locked_listing(project, DIGEST) is None
