"""The git side of a project that is backed up: branches and tags, where the project begins, what stays outside."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from dsetkit.errors import NotFoundError, StorageError, UsageError
from dsetkit.history.repository import git
from dsetkit.storage.url import to_local

_SHALLOW = "This clone is shallow: fetch the rest first (git fetch --unshallow)."


class Refs(NamedTuple):
    """What branches and tags point at."""

    refs: dict[str, str]
    head: str
    """The branch that is checked out; empty: none."""
    head_rev: str


def read_refs(root: Path) -> Refs:
    """Branches, tags and HEAD.

    Raises ``NotFoundError`` before the first commit, ``StorageError`` for a clone without its whole history.
    """
    head_rev = git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if head_rev is None:
        raise NotFoundError(
            f"{root} has no commit yet, so no version to back up",
            name="HEAD",
            hint="Commit first: git add --all, git commit.",
        )
    if git(root, "rev-parse", "--is-shallow-repository") == "true":
        raise StorageError(f"{root} does not have its whole history", url=str(root), hint=_SHALLOW)
    text = git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags", required=True)
    pairs = (line.partition(" ") for line in (text or "").splitlines())
    head = git(root, "symbolic-ref", "--quiet", "HEAD") or ""
    return Refs({ref: rev for rev, _, ref in pairs}, head, head_rev)


def first_commits(root: Path) -> tuple[str, ...]:
    """The commits without parents of all branches and tags, sorted: what tells one project from another."""
    text = git(root, "rev-list", "--max-parents=0", "--branches", "--tags", "HEAD", required=True) or ""
    return tuple(sorted(text.split()))


def check_outside(root: Path, url: str) -> None:
    """Raises ``UsageError`` for a place inside the project or the repository around it.

    It would be lost with the project, and be committed with it.
    """
    place = to_local(url)
    top = git(root, "rev-parse", "--show-toplevel") or str(root)
    if place is not None and any(is_below(place, Path(folder)) for folder in (top, root)):
        raise UsageError(
            f"{url} lies inside the project, and would be lost with it",
            hint="Name a place outside, better on another machine: ../backup, sftp://..., s3://...",
        )


def is_below(path: Path, folder: Path) -> bool:
    """Whether a path is a folder or in it, links resolved."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def left_out(root: Path) -> list[str]:
    """What a person may think is in the backup, and is not."""
    checks: Iterable[tuple[Callable[[], str | None], str]] = (
        (
            lambda: git(root, "status", "--porcelain"),
            "changes that are not committed are not in it (git status)",
        ),
        (
            lambda: git(root, "rev-list", "-n", "1", "--remotes", "--not", "--branches", "--tags", "HEAD"),
            "branches that only a git remote has are not in it (git switch to them once)",
        ),
    )
    return [text for look, text in checks if look()]
