"""Which version last changed each annotation of a sample, and by which correction, if it was one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from dsetkit.errors import DsetkitError, NotFoundError
from dsetkit.history.log import versions
from dsetkit.history.objects import Objects
from dsetkit.history.repository import git
from dsetkit.history.revisions import Commit
from dsetkit.snapshots.read import Snapshot
from dsetkit.spec.arrow import Row
from dsetkit.spec.correction import Correction, noted_ids, parse_corrections


class Blamed(NamedTuple):
    """An annotation and the version that made it what it is."""

    annotation: Row
    commit: Commit
    is_whole: bool
    """False where an earlier version could not be read, so that the change may be older."""
    correction_id: str | None = None
    """Of the correction that made the change, if one did."""
    correction: Correction | None = None
    """That correction, where ``corrections/`` of the version still has it."""


def blame(root: Path, objects: Objects, stage: str, key: str, rev: str = "HEAD") -> tuple[str, list[Blamed]]:
    """The sample's whole key, and for each of its annotations, in order, the version that last changed it.

    An annotation is followed by its id, or, where the version before has none of that id, by being all the same but
    for it. Raises ``NotFoundError`` for a sample that the newest version of the stage does not have.
    """
    pending: dict[int, Row] = {}
    found: dict[int, Blamed] = {}
    order: list[Row] = []
    whole = ""
    last: Commit | None = None
    for version in versions(root, objects, rev):
        snapshot = version.stages.get(stage)
        if isinstance(snapshot, DsetkitError):
            if last is None:
                raise snapshot
            found.update({at: Blamed(row, last, False) for at, row in pending.items()})
            pending = {}
            break
        if last is None:
            if snapshot is None:
                break
            whole = snapshot.find_key(key)
            order = list(snapshot.row(whole).get("annotations", ()))
            pending = dict(enumerate(order))
        else:
            before = _annotations(snapshot, whole)
            for at, row in list(pending.items()):
                if not _is_in(row, before):
                    found[at] = _blamed(root, row, last, before)
                    del pending[at]
        last = version.commit
        if not pending:
            break
    if last is None:
        raise NotFoundError(
            f"no version of {stage} is recorded",
            name=stage,
            hint="Commit one (git add dvc.lock, git commit), or name another with --stage; see dsetkit log.",
        )
    found.update({at: _blamed(root, row, last, []) for at, row in pending.items()})
    return whole, [found[at] for at in range(len(order))]


def _blamed(root: Path, annotation: Row, commit: Commit, before: list[Row]) -> Blamed:
    """``before``: the sample's annotations in the version in front of the commit."""
    twin = next((row for row in before if row["id"] == annotation["id"]), {})
    known = noted_ids(twin.get("issues", ()))
    new = [name for name in noted_ids(annotation.get("issues", ())) if name not in known]
    if not new:
        return Blamed(annotation, commit, True)
    return Blamed(annotation, commit, True, new[-1], _corrections_at(root, commit.rev).get(new[-1]))


def _corrections_at(root: Path, rev: str) -> dict[str, Correction]:
    """All corrections of a commit, by id; lines that are none are passed over."""
    names = git(root, "ls-tree", "-z", "--name-only", rev, "--", "./corrections/") or ""
    found: dict[str, Correction] = {}
    for name in names.split("\0"):
        if name.endswith(".jsonl"):
            data = (git(root, "show", f"{rev}:./{name}") or "").encode()
            found.update({item.correction.id: item.correction for item in parse_corrections(data, name)[0]})
    return found


def _annotations(snapshot: Snapshot | None, key: str) -> list[Row]:
    if snapshot is None or key not in snapshot:
        return []
    return list(snapshot.row(key).get("annotations", ()))


def _is_in(annotation: Row, before: list[Row]) -> bool:
    twin = next((row for row in before if row["id"] == annotation["id"]), None)
    return annotation == twin if twin is not None else any(_meaning(row) == _meaning(annotation) for row in before)


def _meaning(annotation: Row) -> dict[str, Any]:
    return {name: value for name, value in annotation.items() if name not in ("id", "source_id")}
