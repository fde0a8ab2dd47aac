"""Which version last changed each annotation of a sample, and by which correction, if it was one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as pc

from dsetkit.errors import DsetkitError, NotFoundError
from dsetkit.history.objects import Objects
from dsetkit.history.recorded import lock_at, recorded_outputs
from dsetkit.history.repository import git
from dsetkit.history.revisions import Commit, commits, open_recorded
from dsetkit.snapshots.compare import renamed_keys
from dsetkit.snapshots.compare_rows import Kept, kept_annotations
from dsetkit.snapshots.read import Snapshot
from dsetkit.spec.arrow import Row
from dsetkit.spec.correction import Correction, noted_ids, parse_corrections

_LATER = ("cleaned", "augmented")
"""Stages whose pseudonyms people may have seen."""


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

    The key is its own, where a facet hides it and it can be read.
    Versions are walked back along the commits' parents. A sample is the one with its key, or the one that a diff says
    was renamed to it; an annotation the one that a diff pairs it with, whatever its id. What a version has as any of
    its parents has it is not its doing. Where a sample or annotation was away and came back, its coming back counts.

    Raises ``NotFoundError`` for a stage that the newest version does not have, and for a key that is none of its
    samples', or the end of several; what ``open_object`` raises where the newest version cannot be read.
    """
    known = {commit.rev: commit for commit in commits(root, rev)}
    graph = list(_graph(root, rev))
    stages = _Stages(root, objects, stage, known)
    newest = stages.at(graph[0][0]) if graph else None
    if newest is None:
        raise NotFoundError(
            f"no version of {stage} is recorded",
            name=stage,
            hint="Commit one (git add dvc.lock, git commit), or name another with --stage; see dsetkit log.",
        )
    shown = _find(newest, key, (_Stages(root, objects, name, known) for name in _LATER if name != stage), graph[0][0])
    row = newest.row(shown)
    walk = _Walk(root, stages, row)
    numbers = range(len(row.get("annotations", ())))
    walk.hand_on(graph[0][0], row, {at: at for at in numbers})
    for rev, parents in graph:
        for sample in walk.pending.pop(rev, {}).values():
            walk.step(known[rev], parents, sample)
        if not walk.pending:
            break
    return newest.own_key(shown), [walk.found[at] for at in numbers]


def _find(newest: Snapshot, text: str, others: Iterable[_Stages], rev: str) -> str:
    """The key there of the sample that ``text`` names, if only by the pseudonym that another stage has for it."""
    try:
        return newest.find_key(text)
    except NotFoundError:
        for stages in others:
            try:
                snapshot = stages.at(rev)
            except DsetkitError:
                continue
            own = {} if snapshot is None else snapshot.own_keys()
            if text in own:
                return newest.find_key(own[text])
        raise


def _graph(root: Path, rev: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The versions up to a revision, each before its parents, and their parents among the versions.

    Of a merge that took its ``dvc.lock`` from one side whole, that side alone is followed.
    """
    lines = git(root, "rev-list", "--topo-order", "--parents", "--end-of-options", rev, "--", "./dvc.lock") or ""
    for line in lines.splitlines():
        commit, *parents = line.split()
        yield commit, tuple(parents)


class _Stages:
    """The snapshots of one stage, each opened once."""

    def __init__(self, root: Path, objects: Objects, stage: str, known: Mapping[str, Commit]) -> None:
        self._root, self._objects, self._place, self._known = root, objects, f"data/{stage}", known
        self._oids: dict[str, str | None] = {}
        self._opened: dict[str, Snapshot | DsetkitError] = {}

    def oid(self, rev: str) -> str | None:
        """DVC's object id of the stage's snapshot; None where a version has none."""
        if rev not in self._oids:
            self._oids[rev] = recorded_outputs(lock_at(self._root, rev) or "").get(self._place)
        return self._oids[rev]

    def at(self, rev: str) -> Snapshot | None:
        """The snapshot of a version, None where it has none. Raises as ``open_object`` does."""
        oid = self.oid(rev)
        if oid is None:
            return None
        if oid not in self._opened:
            self._opened[oid] = open_recorded(self._objects, oid, self._place, rev, self._known[rev].short)
        found = self._opened[oid]
        if isinstance(found, DsetkitError):
            raise found
        return found


class _Asked(NamedTuple):
    """The sample as a version has it, and which of its annotations is asked for."""

    row: Row
    numbers: dict[int, int]
    """Number of an annotation in the newest version → its number here."""


class _Walk:
    """The way back from version to version."""

    def __init__(self, root: Path, stages: _Stages, newest: Row) -> None:
        self._root, self._stages, self._newest = root, stages, newest
        self.found: dict[int, Blamed] = {}
        """Number of an annotation in the newest version → its answer."""
        self.pending: dict[str, dict[str, _Asked]] = {}
        """Version → key of the sample in it → what is asked there."""

    def hand_on(self, rev: str, row: Row, numbers: dict[int, int]) -> None:
        """Ask a version, later, for these annotations of the sample that it has as ``row``."""
        if numbers:
            self.pending.setdefault(rev, {}).setdefault(row["key"], _Asked(row, {})).numbers.update(numbers)

    def step(self, commit: Commit, parents: Sequence[str], sample: _Asked) -> None:
        """Hand on to a version's parents what they have alike; the rest was this version's doing."""
        row, left = sample.row, dict(sample.numbers)
        same = [parent for parent in parents if self._stages.oid(parent) == self._stages.oid(commit.rev)]
        if same:
            self.hand_on(same[0], row, left)
            return
        is_whole = bool(parents) or git(self._root, "rev-parse", "--is-shallow-repository") != "true"
        twins: dict[int, list[Row]] = {}
        for parent in parents:
            try:
                before = self._before(commit.rev, parent, row) if left else None
            except (DsetkitError, OSError):
                is_whole = False
                continue
            if before is None:
                continue
            kept = _kept(before, row)
            alike = {at: kept[n].old for at, n in left.items() if n in kept and not kept[n].is_changed}
            self.hand_on(parent, before, alike)
            left = {at: n for at, n in left.items() if at not in alike}
            for at, n in left.items():
                if n in kept:
                    twins.setdefault(at, []).append(before["annotations"][kept[n].old])
        for at, n in left.items():
            name = _new_note(row["annotations"][n], twins.get(at, []))
            correction = None if name is None else _corrections_at(self._root, commit.rev).get(name)
            self.found[at] = Blamed(self._newest["annotations"][at], commit, is_whole, name, correction)

    def _before(self, rev: str, parent: str, row: Row) -> Row | None:
        """The sample as the parent of a version has it; None where it has none."""
        old, new = self._stages.at(parent), self._stages.at(rev)
        if old is None or new is None:
            return None
        key, digest = row["key"], row.get("digest")
        there = old.row(key) if key in old else None
        if there is not None and there.get("digest") == digest:
            return there
        if digest is not None and _has_digest(old, digest):
            name = renamed_keys(old, new).get(key)
            if name is not None:
                return old.row(name)
        return there


def _has_digest(snapshot: Snapshot, digest: str) -> bool:
    """Reads one column, where finding what was renamed needs three of both snapshots."""
    return any(pc.any(pc.equal(table["digest"], digest)).as_py() for table in snapshot.iter_tables(("digest",)))


def _kept(old: Row, new: Row) -> dict[int, Kept]:
    if new.get("row_digest") is not None and old.get("row_digest") == new["row_digest"]:
        return {at: Kept(at, False) for at in range(len(new.get("annotations", ())))}
    return kept_annotations(old, new)


def _new_note(annotation: Row, twins: Sequence[Row]) -> str | None:
    """The id of the last correction an annotation names that some of its earlier versions, one a parent, lacks."""
    known = [set(noted_ids(twin.get("issues", ()))) for twin in twins] or [set()]
    new = [name for name in noted_ids(annotation.get("issues", ())) if not all(name in names for names in known)]
    return new[-1] if new else None


def _corrections_at(root: Path, rev: str) -> dict[str, Correction]:
    """All corrections of a commit, by id; lines that are none are passed over."""
    names = git(root, "ls-tree", "-z", "--name-only", rev, "--", "./corrections/") or ""
    found: dict[str, Correction] = {}
    for name in names.split("\0"):
        if name.endswith(".jsonl"):
            data = (git(root, "show", f"{rev}:./{name}") or "").encode()
            found.update({item.correction.id: item.correction for item in parse_corrections(data, name)[0]})
    return found
