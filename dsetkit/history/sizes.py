"""What versions cost: the bytes of DVC's objects that each names, each object counted once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dsetkit.errors import NotFoundError
from dsetkit.history.objects import Objects, recorded_files
from dsetkit.history.recorded import lock_at
from dsetkit.history.repository import git
from dsetkit.history.revisions import Commit, commits

_OID = re.compile(r"[0-9a-f]{32}(\.dir)?\Z")
_LISTS = ("outs", "metrics", "plots")


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

    Counted are the outputs in ``dvc.lock`` that DVC keeps, not those that git does (``cache: false``). Raises
    ``StorageError`` where a list of files is damaged or the remote cannot be asked.
    """
    found = [(commit, _outputs(root, commit)) for commit in commits(root, rev)]
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


def _outputs(root: Path, commit: Commit) -> dict[str, str]:
    """Path → object id of the outputs, files and folders, that DVC keeps for a version."""
    lock = _document(lock_at(root, commit.rev))
    in_git = set(_kept_in_git(_document(git(root, "show", f"{commit.rev}:./dvc.yaml"))))
    return {
        str(out["path"]): str(out["md5"])
        for stage in _dicts(lock.get("stages"))
        for out in stage.get("outs") or ()
        if isinstance(out, dict) and _OID.match(str(out.get("md5"))) and str(out.get("path")) not in in_git
    }


def _kept_in_git(pipeline: dict[str, Any]) -> Iterator[str]:
    """Paths of outputs that say ``cache: false``, as they stand in ``dvc.yaml``."""
    for stage in _dicts(pipeline.get("stages")):
        body = stage["do"] if isinstance(stage.get("do"), dict) else stage
        for name in _LISTS:
            for entry in _dicts(dict(enumerate(body.get(name) or ()))):
                yield from (
                    str(path) for path, how in entry.items() if isinstance(how, dict) and how.get("cache") is False
                )


def _dicts(mapping: Any) -> Iterator[dict[str, Any]]:
    return (item for item in (mapping.values() if isinstance(mapping, dict) else ()) if isinstance(item, dict))


def _document(text: str | None) -> dict[str, Any]:
    try:
        document = YAML(typ="safe", pure=True).load(text or "")
    except YAMLError:
        return {}
    return document if isinstance(document, dict) else {}
