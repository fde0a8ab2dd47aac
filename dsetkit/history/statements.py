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

    def read(name: str, limit_bytes: int) -> bytes | None:
        if not name.startswith("access/policy/"):
            return file_at(root, rev, name, limit_bytes)
        commit = met_at(root, rev, place.removeprefix("data/"), name)
        return None if commit is None else file_at(root, commit, name, limit_bytes) or b""

    return keys_of(root, statements=read, is_past=True, place=place)


def met_at(root: Path, rev: str, stage: str, name: str) -> str | None:
    """The commit whose file ``name`` the statement of a stage, as a revision has it, met when it came; None: none.

    It met a file that was in the history of a commit that brought the statement, in the commit itself or before it,
    even if it is gone there. A merge brings what it does not take from a side that has the file: how old the other side
    is, is for who makes it to say. What a shallow clone lacks counts as not having been.
    """
    from dsetkit.access.statement import signature_name, statement_name

    listed = _git(root, "rev-list", "--topo-order", "--reverse", "--parents", "--end-of-options", rev)
    if not listed:
        return None
    graph = [line.split() for line in listed.decode("ascii").splitlines()]
    names = (statement_name(stage), signature_name(stage), name)
    asked = "".join(f"{commit}:./{one}\n" for commit, *_ in graph for one in names)
    told = (_git(root, "cat-file", "--batch-check=%(objectname)", data=asked.encode()) or b"").splitlines()
    ids = [None if line.endswith(b" missing") else line for line in told]
    last = graph[-1][0]
    statement = ids[-3:-1]
    having: dict[str, str | None] = {}
    is_before: dict[str, bool] = {}
    for number, (commit, *parents) in enumerate(graph):
        *found, file = ids[3 * number : 3 * number + 3]
        had = (having[parent] for parent in parents if having[parent] is not None)
        having[commit] = next(had, None) if file is None else commit
        knowing = [parent for parent in parents if having[parent] is not None]
        stood = all(is_before[parent] for parent in knowing) if knowing else any(is_before[one] for one in parents)
        is_before[commit] = found == statement and (stood or having[commit] is None)
    return None if is_before[last] else having[last]


def file_at(root: Path, rev: str, name: str, limit_bytes: int) -> bytes | None:
    """A file of the project as a revision has it, byte for byte; None where it is not there, or is larger."""
    what = f"{rev}:./{name}"
    size = _git(root, "cat-file", "-s", what)
    if size is None or int(size) > limit_bytes:
        return None
    return _git(root, "cat-file", "blob", what)


def _git(root: Path, *arguments: str, data: bytes = b"") -> bytes | None:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, input=data, check=False)
    return done.stdout if done.returncode == 0 else None
