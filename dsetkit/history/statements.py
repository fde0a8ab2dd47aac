"""What opens the sealed snapshots of a revision: its own signatures, and the policy and keyrings of today."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from dsetkit.stages.sealed import keys_of

if TYPE_CHECKING:
    from dsetkit.access.opened import ProjectKeys


def keys_at(root: Path, rev: str | None, place: str) -> ProjectKeys | None:
    """The keys of a project for what a revision recorded at a place (``data/cleaned``); None: what the workspace does.

    None where the project has no access policy. ``access/`` is always today's: a revoked grant stays revoked.
    """
    if rev is None:
        return keys_of(root, place=place)
    return keys_of(
        root, statements=lambda name, limit_bytes: file_at(root, rev, name, limit_bytes), is_past=True, place=place
    )


def file_at(root: Path, rev: str, name: str, limit_bytes: int) -> bytes | None:
    """A file of the project as a revision has it, byte for byte; None where it is not there, or is larger."""
    what = f"{rev}:./{name}"
    size = _git(root, "cat-file", "-s", what)
    if size is None or int(size) > limit_bytes:
        return None
    return _git(root, "cat-file", "blob", what)


def _git(root: Path, *arguments: str) -> bytes | None:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    return done.stdout if done.returncode == 0 else None
