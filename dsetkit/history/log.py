"""The versions of a project's dataset, and where a fingerprint belongs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dsetkit.errors import AccessError, DsetkitError, is_sealed_to_reader
from dsetkit.history.objects import Objects
from dsetkit.history.recorded import lock_at, recorded_outputs
from dsetkit.history.revisions import Commit, commits, open_recorded
from dsetkit.snapshots.compare import diff
from dsetkit.snapshots.read import Snapshot
from dsetkit.spec.diff_text import count_lines
from dsetkit.stages.sealed import keys_of

if TYPE_CHECKING:
    from dsetkit.spec.policy import AccessPolicy

MAX_SELECTIONS = 500
"""Selections of one snapshot whose fingerprints are looked at, as seen by one kind of readers."""

MAX_VIEWS = 16
"""Kinds of readers of one snapshot as whom it is looked at."""


class Version(NamedTuple):
    """A commit and the snapshots it names."""

    commit: Commit
    stages: dict[str, Snapshot | DsetkitError]
    """``raw/blood``, ``cleaned``, ``augmented``; the error where neither cache nor remote can give it."""


class Found(NamedTuple):
    """Where a fingerprint was found."""

    commit: Commit
    stage: str
    fingerprint: str
    selection: dict[str, str | int]
    """What ``where`` and ``take`` were given; empty for the whole snapshot."""
    without: tuple[str, ...] = ()
    """The facets that those lack who see it so; empty: it is so whole."""


class Sought(NamedTuple):
    """What a search for a fingerprint gave."""

    found: tuple[Found, ...]
    sealed: tuple[AccessError, ...]
    """Of each snapshot that was not looked at, because it is sealed to this identity."""
    unread: tuple[DsetkitError, ...]
    """Of each that was not, because it is nowhere, damaged or not to be believed."""
    looked: int
    """How many snapshots were."""


def versions(root: Path, objects: Objects, rev: str = "HEAD") -> Iterator[Version]:
    """The versions up to a revision, newest first: commits that changed ``dvc.lock``. Each snapshot is opened once."""
    opened: dict[tuple[str, str], Snapshot | DsetkitError] = {}
    for commit in commits(root, rev):
        stages: dict[str, Snapshot | DsetkitError] = {}
        for place, oid in recorded_outputs(lock_at(root, commit.rev) or "").items():
            if place.startswith("data/"):
                if (place, oid) not in opened:
                    opened[place, oid] = open_recorded(objects, oid, place, commit.rev, commit.short)
                stages[place.removeprefix("data/")] = opened[place, oid]
        yield Version(commit, dict(sorted(stages.items())))


def change_line(old: Version | None, new: Version) -> str:
    """What a version changed, in a line; of several stages the furthest that can be compared is told in full."""
    if old is None:
        return "the first version"
    unread = [name for name in new.stages if name in old.stages and not (_is_read(old, name) and _is_read(new, name))]
    differing = [
        name for name in new.stages if name not in unread and _fingerprint(new, name) != _fingerprint(old, name)
    ]
    gone = [f"{name} removed" for name in old.stages if name not in new.stages]
    told: list[str] = []
    for name in sorted(differing, key=_rank):
        before, after = old.stages.get(name), new.stages[name]
        if before is None:
            told.append(f"{name} added")
        elif not told and isinstance(before, Snapshot) and isinstance(after, Snapshot):
            try:
                told.append(f"{name}: {'; '.join(count_lines(diff(before, after))) or 'changed'}")
            except (DsetkitError, OSError):
                told.append(f"{name} changed")
        else:
            told.append(f"{name} changed")
    rest = [f"{', '.join(unread)} cannot be compared here"] if unread else []
    return "; ".join([*told, *gone, *rest]) or "the same snapshots"


def find(
    root: Path, objects: Objects, fingerprint: str, *, take: int | None = None, seed: int = 0, rev: str = "HEAD"
) -> Sought:
    """Where a fingerprint (or its beginning) belongs: versions and stages, newest first.

    Selections by ``where(split=, category=)`` are looked at too; with ``take``, the draws ``take(take, seed)`` of the
    whole and of each of those as well. A snapshot with facets is also looked at as those see it who lack some. One
    that cannot be read is passed over, and named.
    """
    places: list[Found] = []
    sealed: dict[int, AccessError] = {}
    unread: dict[int, DsetkitError] = {}
    seen: dict[int, list[_Match]] = {}
    policies = _Policies(root)
    for version in versions(root, objects, rev):
        for stage, snapshot in version.stages.items():
            if is_sealed_to_reader(snapshot):
                sealed[id(snapshot)] = snapshot
                continue
            if isinstance(snapshot, DsetkitError):
                unread[id(snapshot)] = snapshot
                continue
            if id(snapshot) not in seen:
                seen[id(snapshot)] = _find_in(_views(snapshot, policies), fingerprint, take, seed)
            places += [Found(version.commit, stage, *match) for match in seen[id(snapshot)]]
    return Sought(tuple(places), tuple(sealed.values()), tuple(unread.values()), len(seen))


class _Match(NamedTuple):
    fingerprint: str
    selection: dict[str, str | int]
    without: tuple[str, ...]


class _Policies:
    """All policies of the project that counted; read once, and only where a snapshot has facets."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @cached_property
    def versions(self) -> tuple[AccessPolicy, ...]:
        keys = keys_of(self._root)
        return () if keys is None else keys.chain.versions


def _views(snapshot: Snapshot, policies: _Policies) -> list[Snapshot]:
    """The snapshot as this identity sees it, then as those do who lack more facets, the fewest first; as who lacks all
    last.
    """
    if not snapshot.info.facets or snapshot.seals is None:
        return [snapshot]
    from dsetkit.access.rules import facets_lacked  # only this needs it

    here = frozenset(facet.name for facet in snapshot.hidden)
    every = frozenset(facet.name for facet in snapshot.info.facets)
    lacked = {here | names for names in facets_lacked(policies.versions, snapshot.seals)} - {here, every}
    chosen = sorted(map(sorted, lacked), key=lambda names: (len(names), names))[: MAX_VIEWS - 2]
    views = [snapshot.without(names) for names in chosen]
    return [snapshot, *views, snapshot.base] if here != every else [snapshot]


def _find_in(views: Sequence[Snapshot], wanted: str, take: int | None, seed: int) -> list[_Match]:
    """Where it is in the first of these views that has it: of those who lack some facets most is seen alike."""
    for view in views:
        if view.fingerprint.startswith(wanted):
            return [_Match(view.fingerprint, {}, _without(view))]
    for view in views:
        found = [_Match(*match, _without(view)) for match in _matching(view, wanted, take, seed)]
        if found:
            return found
    return []


def _without(view: Snapshot) -> tuple[str, ...]:
    return tuple(facet.name for facet in view.hidden)


def _matching(
    snapshot: Snapshot, wanted: str, take: int | None, seed: int
) -> Iterator[tuple[str, dict[str, str | int]]]:
    counts = snapshot.info.counts
    pairs = list(product([None, *counts.per_split], [None, *counts.per_category]))[:MAX_SELECTIONS]
    try:
        for split, category in pairs:
            asked: dict[str, str | int] = {
                name: value for name, value in (("split", split), ("category", category)) if value is not None
            }
            part = snapshot.where(**asked) if asked else snapshot
            if asked and part.fingerprint.startswith(wanted):
                yield part.fingerprint, asked
            if take is not None and take <= len(part):
                drawn = part.take(take, seed=seed)
                if drawn.fingerprint.startswith(wanted):
                    yield drawn.fingerprint, {**asked, "take": take, "seed": seed}
    except DsetkitError:
        return


def _is_read(version: Version, name: str) -> bool:
    return isinstance(version.stages.get(name), Snapshot)


def _fingerprint(version: Version, name: str) -> str | None:
    snapshot = version.stages.get(name)
    return snapshot.fingerprint if isinstance(snapshot, Snapshot) else None


def _rank(name: str) -> tuple[int, str]:
    """``cleaned`` tells most: ``augmented`` repeats it in each variant, ``raw`` is before anything was decided."""
    return ({"cleaned": 0, "augmented": 2}.get(name, 1), name)
