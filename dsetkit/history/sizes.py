"""What versions cost: the bytes of DVC's objects that each names, each object counted once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from dsetkit.errors import NotFoundError
from dsetkit.history.objects import Objects, recorded_files
from dsetkit.history.outputs import Outputs
from dsetkit.history.revisions import commits


class Cost(NamedTuple):
    """What one version, or all of some, takes in DVC's cache or remote. Sizes in bytes."""

    size_bytes: int
    """Of all its objects."""
    added_bytes: int
    """Of those that no older version has."""
    only_here_bytes: int
    """Of those that no other version has: what would be freed if it alone were dropped."""
    objects: int
    added_objects: int
    unknown_objects: int
    """In neither cache nor remote: their sizes are not in the sums. A list of files counts for one."""

    def facts(self) -> dict[str, int]:
        """As ``log --json --sizes`` has it."""
        return self._asdict()


class Costs(NamedTuple):
    """What the versions up to a revision take."""

    versions: dict[str, Cost]
    """Commit hash → cost, newest first."""
    together: Cost
    """All of them: what a remote that has every version stores, and no more."""


def costs(root: Path, objects: Objects, rev: str = "HEAD") -> Costs:
    """What each version up to a revision costs, and all together.

    Counted are the outputs that DVC keeps, not those that git does (``cache: false``). Raises ``StorageError`` where a
    list of files is damaged or the remote cannot be asked.
    """
    outputs = Outputs(root)
    found = [(commit, outputs.at(commit.rev)) for commit in commits(root, rev)]
    lists: dict[str, set[str]] = {}
    named = {commit.rev: _objects_of(objects, outs, lists) for commit, outs in found}
    sizes = objects.sizes_bytes(sorted(set().union(*named.values())))
    times = Counter(oid for oids in named.values() for oid in oids)
    seen: set[str] = set()
    by_rev: dict[str, Cost] = {}
    for commit, _ in reversed(found):
        oids = named[commit.rev]
        by_rev[commit.rev] = _cost(oids, oids - seen, {oid for oid in oids if times[oid] == 1}, sizes)
        seen |= oids
    return Costs(dict(reversed(by_rev.items())), _cost(seen, seen, seen, sizes))


def _cost(oids: set[str], added: set[str], only_here: set[str], sizes: Mapping[str, int | None]) -> Cost:
    def total(some: Iterable[str]) -> int:
        return sum(sizes[oid] or 0 for oid in some)

    unknown = sum(sizes[oid] is None for oid in oids)
    return Cost(total(oids), total(added), total(only_here), len(oids), len(added), unknown)


def _objects_of(objects: Objects, outs: Mapping[str, str], lists: dict[str, set[str]]) -> set[str]:
    """All objects of a version's outputs; ``lists`` remembers what was read of folders."""
    found = set(outs.values())
    for place, oid in outs.items():
        if oid.endswith(".dir"):
            if oid not in lists:
                try:
                    lists[oid] = set(recorded_files(objects, oid, place).values())
                except NotFoundError:
                    lists[oid] = set()  # the list itself has no size either, so it is counted as unknown
            found |= lists[oid]
    return found
