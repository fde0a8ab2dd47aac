"""A diff between versions: what two snapshots differ in, and the params and files that decided about them."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dsetkit.errors import DsetkitError, NotFoundError
from dsetkit.history.objects import Objects
from dsetkit.history.repository import git
from dsetkit.history.revisions import find_project, open_at, resolve
from dsetkit.snapshots.compare import diff
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.spec.base import Document
from dsetkit.spec.diff import Diff, FieldChange, FileChange
from dsetkit.spec.key import sort_key
from dsetkit.stages.project import PARAMS
from dsetkit.stages.sealed import keys_near, keys_of
from dsetkit.storage.folder import is_local

_DECIDING = ("schemas", "corrections", ":(exclude)schemas/json")
_STATES: dict[str, Literal["added", "removed", "changed"]] = {"A": "added", "D": "removed"}


class End(NamedTuple):
    """One end of a comparison."""

    snapshot: Snapshot
    params: dict[str, Any] | None
    """``params.yaml`` as this end has it, by dotted name; None where the end is a folder or URL alone."""
    rev: str | None = None
    """The revision, as it was named; None for the workspace, a folder or a URL."""


class Compared(NamedTuple):
    """What differs between two ends, and their snapshots, which can still be read."""

    diff: Diff
    old: Snapshot
    new: Snapshot


def open_end(text: str, stage: str | None, root: Path | None, objects: Objects | None) -> End:
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
        return End(open_snapshot(text, keys=keys_near(text)), None)
    place = root / "data" / (stage or "cleaned")
    params = git(root, "show", f"{resolve(root, text)}:./{PARAMS}") or ""
    return End(open_at(place, text, objects=objects), _flat(params), text)


def open_workspace(stage: str | None, root: Path) -> End:
    """What stands in the workspace now."""
    path = root / PARAMS
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return End(open_snapshot(root / "data" / (stage or "cleaned"), keys=keys_of(root)), _flat(text))


def compare(old: str, new: str | None, stage: str | None = None) -> Diff:
    """What differs between two ends; see ``compare_ends``."""
    return compare_ends(old, new, stage).diff


def compare_ends(old: str, new: str | None, stage: str | None = None) -> Compared:
    """What differs between two ends, each a revision, a folder or a URL; without ``new`` the workspace.

    Where both ends are versions of this project, or one is and the other is its workspace, ``params`` of the result
    lists every param that differs, by dotted name, and ``files`` what differs under ``schemas/`` and
    ``corrections/``; else what the two snapshots know. Without ``new`` and with a folder as ``old``, the workspace's
    snapshot of ``stage``. Raises as ``open_end`` does, and ``UsageError`` without ``new`` outside a project.
    """
    try:
        root: Path | None = find_project(Path())
    except DsetkitError:
        root = None
    objects = None if root is None else Objects(root)
    try:
        first = open_end(old, stage, root, objects)
        second = (
            open_workspace(stage, root or find_project(Path())) if new is None else open_end(new, stage, root, objects)
        )
        found = diff(first.snapshot, second.snapshot)
    finally:
        if objects is not None:
            objects.close()
    more: dict[str, Any] = {
        "old": found.old.model_copy(update={"rev": first.rev}),
        "new": found.new.model_copy(update={"rev": second.rev}),
    }
    if root is not None and first.params is not None and second.params is not None:
        more["params"] = _changed_params(first.params, second.params)
        more["files"] = tuple(changed_files(root, first.rev, second.rev))
    return Compared(found.model_copy(update=more), first.snapshot, second.snapshot)


def under_own_keys(found: Compared) -> Diff:
    """What differs, told with samples' own keys, where these can be read.

    A sample that has the same own key on both sides counts as no renamed one.
    """
    own = {**found.old.original_keys(), **found.new.original_keys()}
    if not own:
        return found.diff

    def told(section: Document) -> dict[str, Any]:
        lists: dict[str, Any] = {}
        for name in type(section).model_fields:
            entries = [
                entry.model_copy(
                    update={at: own.get(key, key) for at in ("key", "old_key") if (key := getattr(entry, at, None))}
                )
                for entry in getattr(section, name)
            ]
            kept = [entry for entry in entries if getattr(entry, "old_key", None) != entry.key]
            lists[name] = tuple(sorted(kept, key=lambda entry: sort_key(entry.key)))
        return lists

    diff = found.diff
    samples = diff.samples.model_copy(update=told(diff.samples))
    return diff.model_copy(
        update={"samples": samples, "annotations": diff.annotations.model_copy(update=told(diff.annotations))}
    )


def changed_files(root: Path, old: str | None, new: str | None) -> list[FileChange]:
    """The files under ``schemas/`` and ``corrections/`` that differ between two revisions, by path.

    None means the workspace; at most one may be None. A file there that git does not track is new, unless git ignores
    it; JSON Schemas, which are made from the code, are left out. Raises ``NotFoundError`` for a revision there is not.
    """
    revs = [resolve(root, rev) for rev in (old, new) if rev is not None]
    turned = ("-R",) if old is None else ()
    plain = ("--no-ext-diff", "--no-textconv", "--no-renames", "--no-color", "--relative", "-z")
    asked = (*turned, *plain, *revs, "--", *_DECIDING)
    states = (git(root, "diff", "--name-status", *asked, required=True) or "").split("\0")
    counts = (git(root, "diff", "--numstat", *asked, required=True) or "").split("\0")
    lines = {path: (added, removed) for added, removed, path in (line.split("\t", 2) for line in counts if line)}
    found: dict[str, FileChange] = {}
    for state, path in zip(states[::2], states[1::2], strict=False):
        added, removed = (None if text == "-" else int(text) for text in lines.get(path, ("-", "-")))
        kind = _STATES.get(state[:1], "changed")
        found[path] = FileChange(path=path, change=kind, lines_added=added, lines_removed=removed)
    if len(revs) < 2:
        listed = git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", *_DECIDING, required=True) or ""
        for path in filter(None, listed.split("\0")):
            size = _count_lines(root / path)
            if old is None:
                found[path] = FileChange(path=path, change="removed", lines_added=size and 0, lines_removed=size)
            else:
                found[path] = FileChange(path=path, change="added", lines_added=size, lines_removed=size and 0)
    return [found[path] for path in sorted(found)]


def _count_lines(path: Path) -> int | None:
    """The lines of a file, as git counts them; None where it is no text or cannot be read."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return None if b"\0" in data[:8000] else data.count(b"\n") + (not data.endswith(b"\n") and bool(data))


def _changed_params(old: dict[str, Any], new: dict[str, Any]) -> tuple[FieldChange, ...]:
    names = sorted({*old, *new})
    return tuple(
        FieldChange(name=name, old=old.get(name), new=new.get(name)) for name in names if old.get(name) != new.get(name)
    )


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
            flat[name] = _plain(value)

    walk(document, "")
    return flat


def _plain(value: Any) -> Any:
    """As JSON has it; what it has not (a date, an infinity) becomes text."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, str | int) else str(value)
