"""What opens the sealed snapshots of a revision: its own signatures, and the policy and keyrings of today."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dsetkit.stages.sealed import has_policy, keys_of

if TYPE_CHECKING:
    from dsetkit.access.opened import ProjectKeys
    from dsetkit.access.policy import Chain
    from dsetkit.spec.policy import AccessPolicy

_AS_IT_IS = {"GIT_NO_REPLACE_OBJECTS": "1", "GIT_GRAFT_FILE": os.devnull, "GIT_LITERAL_PATHSPECS": "0"}
"""What commits say themselves: whoever replaces or grafts them could say that something was there earlier."""
_POLICIES = ":(top,glob)**/access/policy/"
"""In any folder: a project may have been moved within its repository, and back."""
_NOTHING = "000000"
"""The mode of a file that is not there."""


class _Change(NamedTuple):
    """What a commit changes of one file, against its first parent; git's modes and ids."""

    old_mode: str
    mode: str
    old_blob: str
    blob: str


_Graph = list[list[str]]
"""Commit and its parents, all that a revision leads to; parents first, the revision last."""
_Changes = dict[str, list[_Change]]


def keys_at(root: Path, rev: str | None, place: str) -> ProjectKeys | None:
    """The keys of a project for what a revision recorded at a place (``data/cleaned``); None: what the workspace does.

    None where the project has no access policy. ``access/`` is always today's: a revoked grant stays revoked.
    """
    if rev is None or not has_policy(root):
        return keys_of(root, place=place)
    commit = _commit(root, rev) or rev  # once, so that all that is read is of one commit

    def read(name: str, limit_bytes: int) -> bytes | None:
        if not name.startswith("access/policy/"):
            return file_at(root, commit, name, limit_bytes)
        _refuse_shallow(root, place)
        today = _policy_today(root, name, limit_bytes)
        in_any_form, as_today = _met(root, commit, place.removeprefix("data/"), name, today)
        return today if as_today is not None else None if in_any_form is None else b""

    return keys_of(root, statements=read, is_past=True, place=place, policies=partial(policies_at, root, commit))


def met_at(root: Path, rev: str, stage: str, name: str) -> str | None:
    """The commit whose policy ``name`` the statement of a stage, as a revision has it, met when it came; None: none.

    It met a policy that was in the history of a commit that brought the statement, in the commit itself or before it,
    even if it is gone there. So these hold of a commit, from the first one on:

    - it *has* the policy if a file of that name is in ``access/policy/`` of any folder, whatever is in it, or the bytes
      that the policy has today are anywhere; it *knows* the policy if it, or any commit before it, has it;
    - it *has* the statement if the bytes of both, statement and signature, are anywhere in it;
    - the statement is *older* than the policy there if the commit has it, and does not know the policy, or it was older
      in each parent that knows the policy (where none does: in any parent). So it may move, but not go and come back.

    A statement that is not older in the revision met the policy. A merge brings what it does not take from a side that
    has the policy: how old the other side is, is for who makes it to say. Names in other folders count too, so that
    another project of the same repository can make a statement met that was not: then it is refused, not believed.
    """
    return _met(root, rev, stage, name, _policy_today(root, name))[0]


def policies_at(root: Path, rev: str, chain: Chain) -> tuple[AccessPolicy, ...]:
    """The version of a chain that counted at a revision: the highest in its history, in any folder; empty: none.

    A shallow clone lacks history: there each that is higher could have been the one, too.
    """
    is_shallow = is_shallow_clone(root)
    commit = _commit(root, rev) or rev
    known = _policies_before(root, commit, is_shallow)
    for number in range(len(chain.versions), 0, -1):
        text = _policy_today(root, f"access/policy/{number}.json")
        if text is None or hashlib.sha256(text).hexdigest() != chain.digests[number - 1]:
            continue
        if _blob_id(text, commit) in known:
            return chain.versions[number - 1 :] if is_shallow else chain.versions[number - 1 : number]
    return chain.versions if is_shallow else ()


def file_at(root: Path, rev: str, name: str, limit_bytes: int) -> bytes | None:
    """A file of the project as a revision has it, byte for byte; None where it is not there, or is larger."""
    what = f"{rev}:./{name}"
    size = _git(root, "cat-file", "-s", what)
    if size is None or int(size) > limit_bytes:
        return None
    return _git(root, "cat-file", "blob", what)


def _met(root: Path, rev: str, stage: str, name: str, today: bytes | None) -> tuple[str | None, str | None]:
    """``met_at``; and the same of a policy with just the bytes of today, wherever they are."""
    from dsetkit.access.statement import signature_name, statement_name

    graph = _graph(root, rev)
    if not graph:
        return None, None
    last = graph[-1][0]
    asked = "".join(f"{last}:./{one}\n" for one in (statement_name(stage), signature_name(stage)))
    told = (_git(root, "cat-file", "--batch-check=%(objectname)", data=asked.encode()) or b"").decode().splitlines()
    statement = [line for line in told if not line.endswith(" missing")]
    policy = [] if today is None else [_blob_id(today, last)]
    found = _changes(root, graph, *(f"--find-object={blob}" for blob in (*statement, *policy)))
    signed = _having(graph, found, statement[0]) & _having(graph, found, statement[1]) if len(statement) == 2 else set()
    same = _having(graph, found, policy[0]) if policy else set()
    named = _standing(graph, _changes(root, graph, "--", f"{_POLICIES}{name.rpartition('/')[2]}"))
    return _first_met(graph, signed, same | named), _first_met(graph, signed, same)


def _first_met(graph: _Graph, signed: set[str], policed: set[str]) -> str | None:
    """By the commits that have a statement, and those that have a policy: the rule of ``met_at``."""
    having: dict[str, str | None] = {}
    is_older: dict[str, bool] = {}
    for commit, *parents in graph:
        had = (having[parent] for parent in parents if having[parent] is not None)
        having[commit] = commit if commit in policed else next(had, None)
        knowing = [parent for parent in parents if having[parent] is not None]
        stood = all(is_older[parent] for parent in knowing) if knowing else any(is_older[one] for one in parents)
        is_older[commit] = commit in signed and (stood or having[commit] is None)
    last = graph[-1][0]
    return None if is_older[last] else having[last]


def _having(graph: _Graph, changes: _Changes, blob: str) -> set[str]:
    """The commits that have a blob in any place."""
    steps = {
        commit: [(change.blob == blob) - (change.old_blob == blob) for change in found]
        for commit, found in changes.items()
    }
    return _counted(graph, steps)


def _standing(graph: _Graph, changes: _Changes) -> set[str]:
    """The commits that have any of the files whose changes these are."""
    steps = {
        commit: [(change.old_mode == _NOTHING) - (change.mode == _NOTHING) for change in found]
        for commit, found in changes.items()
    }
    return _counted(graph, steps)


def _counted(graph: _Graph, steps: dict[str, list[int]]) -> set[str]:
    """The commits that have something, by how many of it each has more than its first parent."""
    number: dict[str, int] = {}
    for commit, *parents in graph:
        number[commit] = (number[parents[0]] if parents else 0) + sum(steps.get(commit, ()))
    return {commit for commit, count in number.items() if count > 0}


@lru_cache(maxsize=64)  # of a commit it stays the same, and each of its snapshots asks
def _policies_before(root: Path, commit: str, is_shallow: bool) -> frozenset[str]:
    """The blobs of all policies in the history up to a commit, it included, as far as a shallow clone has it."""
    changes = _changes(root, _graph(root, commit), "--", f"{_POLICIES}*.json")
    return frozenset(change.blob for found in changes.values() for change in found)


def _graph(root: Path, rev: str) -> _Graph:
    """Empty for a revision that there is not."""
    listed = _git(root, "rev-list", "--topo-order", "--reverse", "--parents", "--end-of-options", rev, "--")
    return [line.split() for line in (listed or b"").decode("ascii").splitlines()]


def _changes(root: Path, graph: _Graph, *wanted: str) -> _Changes:
    """What each commit changes against its first parent, of what is wanted: options and paths of ``git diff-tree``.

    Raises ``TamperError`` where git cannot say.
    """
    asked = "".join(f"{' '.join(line[:2])}\n" for line in graph)
    form = ("--stdin", "--root", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", "--no-relative")
    told = _git(root, "diff-tree", *form, *wanted, data=asked.encode())
    if told is None:
        from dsetkit.access.files import refuse

        refuse("cannot be held against git's history", str(root), hint="See what git fsck says, and mend that.")
    found: _Changes = {}
    commit = ""
    fields: Iterator[str] = iter(told.decode("utf-8", "surrogateescape").split("\0"))
    for field in fields:
        if field.startswith(":"):
            found.setdefault(commit, []).append(_Change(*field[1:].split(" ")[:4]))
            next(fields)  # the path
        else:
            commit = field.strip()
    return found


def _policy_today(root: Path, name: str, limit_bytes: int | None = None) -> bytes | None:
    from dsetkit.access.files import read_below
    from dsetkit.access.policy_files import MAX_POLICY_BYTES

    return read_below(root, name, MAX_POLICY_BYTES if limit_bytes is None else limit_bytes)


def _blob_id(data: bytes, commit: str) -> str:
    """Git's id of a file with these bytes, in the repository that has a commit of this name."""
    kind = "sha1" if len(commit) == 40 else "sha256"
    return hashlib.new(kind, b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _commit(root: Path, rev: str) -> str | None:
    told = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}")
    return None if told is None else told.decode("ascii").strip()


def is_shallow_clone(root: Path) -> bool:
    """Whether a clone lacks history; so it counts where git cannot say."""
    return _git(root, "rev-parse", "--is-shallow-repository") != b"false\n"


def _refuse_shallow(root: Path, place: str) -> None:
    """Raises ``TamperError`` in a shallow clone: what it lacks cannot say what was there."""
    if is_shallow_clone(root):
        from dsetkit.access.files import refuse

        refuse(
            "is signed by somebody who builds no more, and this clone is shallow: it lacks the history that says "
            "whether it came before that",
            place.removeprefix("data/"),
            hint="Fetch the rest: git fetch --unshallow.",
        )


def _git(root: Path, *arguments: str, data: bytes = b"") -> bytes | None:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        capture_output=True,
        input=data,
        check=False,
        env={**os.environ, **_AS_IT_IS},
    )
    return done.stdout if done.returncode == 0 else None
