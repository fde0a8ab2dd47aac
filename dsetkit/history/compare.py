"""A diff between versions: what two snapshots differ in, and the params they were made by."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dsetkit.errors import DsetkitError, NotFoundError
from dsetkit.history.objects import Objects
from dsetkit.history.repository import git
from dsetkit.history.revisions import find_project, open_at, resolve
from dsetkit.snapshots.compare import diff
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.spec.diff import Diff, FieldChange
from dsetkit.stages.project import PARAMS
from dsetkit.storage.folder import is_local

_JSON = (type(None), str, int, float, bool, list, dict)
"""What YAML and JSON have in common; a date becomes text."""


class Side(NamedTuple):
    """One end of a comparison."""

    snapshot: Snapshot
    params: dict[str, Any] | None
    """``params.yaml`` as this end has it, by dotted name; None where the end is a folder or URL alone."""


def open_side(text: str, stage: str | None, root: Path | None, objects: Objects | None) -> Side:
    """What a revision, or a snapshot's folder or URL, means.

    A folder that is there, or what has a ``/`` and is no revision, is a snapshot; everything else a revision, of
    which ``stage`` (``cleaned`` by default) is opened. Raises as ``open_at`` and ``open_snapshot`` do.
    """
    is_path = not is_local(text) or os.path.isdir(text)
    if not is_path and root is not None:
        try:
            resolve(root, text)
        except NotFoundError:
            if "/" not in text:
                raise
            is_path = True
    if is_path or root is None:
        return Side(open_snapshot(text), None)
    place = root / "data" / (stage or "cleaned")
    return Side(open_at(place, text, objects=objects), _flat(git(root, "show", f"{text}:./{PARAMS}") or ""))


def open_workspace(stage: str | None, root: Path) -> Side:
    """What stands in the workspace now."""
    path = root / PARAMS
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return Side(open_snapshot(root / "data" / (stage or "cleaned")), _flat(text))


def compare(old: str, new: str | None, stage: str | None = None) -> Diff:
    """What differs between two ends, each a revision, a folder or a URL; without ``new`` the workspace.

    ``params`` of the result lists every param that differs, by dotted name, where both ends know theirs; else what
    the two snapshots know. Without ``new`` and with a folder as ``old``, the workspace's snapshot of ``stage``.
    """
    try:
        root: Path | None = find_project(Path())
    except DsetkitError:
        root = None
    objects = None if root is None else Objects(root)
    first = open_side(old, stage, root, objects)
    second = (
        open_workspace(stage, root or find_project(Path())) if new is None else open_side(new, stage, root, objects)
    )
    found = diff(first.snapshot, second.snapshot)
    if first.params is None or second.params is None:
        return found
    names = sorted({*first.params, *second.params})
    changes = tuple(
        FieldChange(name=name, old=first.params.get(name), new=second.params.get(name))
        for name in names
        if first.params.get(name) != second.params.get(name)
    )
    return found.model_copy(update={"params": changes})


def _flat(text: str) -> dict[str, Any]:
    """Values of a YAML document by dotted name; a list is one value. Empty for a text that is none."""
    try:
        document = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        return {}
    flat: dict[str, Any] = {}

    def walk(value: Any, name: str) -> None:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                walk(inner, f"{name}.{key}" if name else str(key))
        elif name:
            flat[name] = (
                value if value is None or isinstance(value, str | int | float | bool | list | dict) else str(value)
            )

    walk(document, "")
    return flat
