"""Which files of the contract and of corrections differ between revisions."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.versions import commit, sh

from dsetkit.errors import NotFoundError
from dsetkit.history.compare import changed_files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project in a folder of a repository, with two commits."""
    root = tmp_path / "repository" / "a project"
    (root / "schemas" / "json").mkdir(parents=True)
    (root / "corrections").mkdir()
    sh(root.parent, "git", "init", "-q")
    for name in ("schemas/kept.py", "schemas/gone.py", "schemas/json/made.json", "corrections/größer.jsonl"):
        (root / name).write_text("one\ntwo\n")
    commit(root, "first", "v1")
    (root / "schemas" / "gone.py").unlink()
    (root / "schemas" / "json" / "made.json").write_text("other\n")
    (root / "corrections" / "größer.jsonl").write_text("one\nthree\nfour\n")
    (root / "corrections" / "new one.jsonl").write_text("one\n")
    (root / "elsewhere.txt").write_text("one\n")
    commit(root, "second", "v2")
    return root


def said(root: Path, old: str | None, new: str | None) -> list[tuple[str, str, int | None, int | None]]:
    return [(one.path, one.change, one.lines_added, one.lines_removed) for one in changed_files(root, old, new)]


def test_between_revisions_either_way(root: Path) -> None:
    assert said(root, "v1", "v2") == [
        ("corrections/größer.jsonl", "changed", 2, 1),
        ("corrections/new one.jsonl", "added", 1, 0),
        ("schemas/gone.py", "removed", 0, 2),
    ]
    assert said(root, "v2", "v1") == [
        ("corrections/größer.jsonl", "changed", 1, 2),
        ("corrections/new one.jsonl", "removed", 0, 1),
        ("schemas/gone.py", "added", 2, 0),
    ]
    assert said(root, "v2", "v2") == []
    with pytest.raises(NotFoundError):
        changed_files(root, "v1", "v3")


def test_against_the_workspace_what_git_does_not_know_is_there_too(root: Path) -> None:
    (root / ".gitignore").write_text("*.pyc\n")
    (root / "corrections" / "draft.jsonl").write_text("one\ntwo")
    (root / "schemas" / "kept.pyc").write_bytes(b"\0")
    (root / "schemas" / "binary").write_bytes(b"\0\1")
    (root / "schemas" / "kept.py").write_text("one\n")
    assert said(root, "v2", None) == [
        ("corrections/draft.jsonl", "added", 2, 0),
        ("schemas/binary", "added", None, None),
        ("schemas/kept.py", "changed", 0, 1),
    ]
    assert said(root, None, "v2") == [
        ("corrections/draft.jsonl", "removed", 0, 2),
        ("schemas/binary", "removed", None, None),
        ("schemas/kept.py", "changed", 1, 0),
    ]
