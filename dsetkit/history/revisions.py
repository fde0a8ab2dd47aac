"""Versions: commits whose ``dvc.lock`` names snapshots, what they are called, and the snapshots they name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dsetkit.errors import DsetkitError, NotFoundError, StorageError, UsageError
from dsetkit.history.objects import ObjectFolder, Objects, open_object, recorded_files
from dsetkit.history.recorded import lock_at, parse_lock, recorded_outputs
from dsetkit.history.repository import git
from dsetkit.history.statements import keys_at
from dsetkit.snapshots.read import Exporter, Snapshot
from dsetkit.storage.folder import is_local

if TYPE_CHECKING:
    from dsetkit.access.opened import ProjectKeys


class Commit(NamedTuple):
    """A commit that gave ``dvc.lock`` another content."""

    rev: str
    """The whole hash."""
    short: str
    tags: tuple[str, ...]
    """Of commits with the very same ``dvc.lock``, sorted."""
    date: str
    """Of the author, ISO 8601 with its offset."""
    author: str
    email: str
    message: str
    """The first line."""


def find_project(path: Path) -> Path:
    """The folder of the project that a path, which need not be there, lies in: the nearest with a ``.dvc``.

    Raises ``UsageError`` where there is none.
    """
    place = Path(os.path.abspath(path))
    for folder in (place, *place.parents):
        if (folder / ".dvc").is_dir():
            return folder
    raise UsageError(
        f"{path} lies in no DVC project, so it has no versions",
        hint="Name a snapshot inside a project, as data/cleaned.",
    )


def resolve(root: Path, rev: str) -> str:
    """The whole hash of the commit that a revision means. Raises ``NotFoundError``, naming what is near."""
    found = git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{rev}^{{commit}}") if rev else None
    if found is None:
        names = (git(root, "for-each-ref", "--format=%(refname:short)") or "").splitlines()
        near = get_close_matches(rev, names, 1)
        hint = f"Did you mean {near[0]}?" if near else "See dsetkit log for versions, git tag for their names."
        raise NotFoundError(f"there is no revision {rev!r}", name=rev, hint=hint)
    return found


def commits(root: Path, rev: str = "HEAD") -> Iterator[Commit]:
    """The commits up to ``rev`` that changed ``dvc.lock``, newest first; none before the first commit."""
    form = "--format=%H%x00%h%x00%aI%x00%an%x00%ae%x00%s"
    text = git(root, "log", "-z", form, "--end-of-options", rev, "--", "./dvc.lock")
    if not text:
        return
    fields = text.split("\0")  # not by lines: a first line may hold what Python takes for the end of one
    lines = [fields[start : start + 6] for start in range(0, len(fields) - 5, 6)]
    tags = tags_of(root, [line[0] for line in lines])
    for rev, short, date, author, email, message in lines:
        yield Commit(rev, short, tags.get(rev, ()), date, author, email, message)


def tags_of(root: Path, revs: list[str]) -> dict[str, tuple[str, ...]]:
    """Commit → tags whose ``dvc.lock`` is the commit's, wherever they stand: documents alone make no other version."""
    prefix = git(root, "rev-parse", "--show-prefix") or ""
    tags = (git(root, "tag", "--list") or "").splitlines()
    names = [f"{rev}:{prefix}dvc.lock" for rev in (*revs, *(f"refs/tags/{tag}" for tag in tags))]
    blobs = (git(root, "cat-file", "--batch-check=%(objectname)", text="\n".join(names)) or "").splitlines()
    by_blob: dict[str, list[str]] = {}
    for tag, blob in zip(tags, blobs[len(revs) :], strict=False):
        by_blob.setdefault(blob, []).append(tag)
    return {rev: tuple(sorted(by_blob.get(blob, ()))) for rev, blob in zip(revs, blobs, strict=False)}


def snapshots_at(root: Path, rev: str) -> dict[str, str]:
    """Path in the project → DVC's object id of each folder that ``dvc.lock`` names at a revision.

    Raises ``NotFoundError`` for a revision there is not, or without a ``dvc.lock``; ``StorageError`` for a damaged one.
    """
    commit = resolve(root, rev)
    lock = lock_at(root, commit)
    if lock is None:
        raise NotFoundError(
            f"{rev} has no dvc.lock, so no snapshot was recorded there",
            name=rev,
            hint="Name a later revision; see dsetkit log.",
        )
    if parse_lock(lock) is None:
        raise StorageError(
            f"dvc.lock of {rev} cannot be read: DVC never writes such a file",
            url=str(root / "dvc.lock"),
            hint="Name another revision; see dsetkit log.",
        )
    return recorded_outputs(lock)


def open_at(
    path: str | os.PathLike[str], rev: str, *, objects: Objects | None = None, export: Exporter | None = None
) -> Snapshot:
    """The snapshot that stood at a path of a project at a git revision, without touching the workspace.

    Read from DVC's cache, and by range from its remote where the cache lacks a part or shard; nothing is kept.
    ``objects``: of the project, where they are open already. Raises ``UsageError`` for a URL or a path outside a
    project, ``NotFoundError`` for a revision or a path that it does not have, and as ``open_object`` does.
    """
    root, place, oid = _recorded_at(path, rev)
    return open_object(objects or Objects(root), oid, place, rev=rev, export=export)


def folder_at(path: str | os.PathLike[str], rev: str) -> ObjectFolder:
    """The files of the snapshot that stood at a path of a project at a revision. Raises as ``open_at`` does."""
    root, place, oid = _recorded_at(path, rev)
    objects, what = Objects(root), f"{place} at {rev}"
    return ObjectFolder(what, recorded_files(objects, oid, what), objects)


def keys_recorded(path: str | os.PathLike[str], rev: str) -> ProjectKeys | None:
    """The keys for the snapshot that stood at a path at a revision (``keys_at``). Raises as ``open_at`` does."""
    root, place, _ = _recorded_at(path, rev)
    return keys_at(root, rev, place)


def _recorded_at(path: str | os.PathLike[str], rev: str) -> tuple[Path, str, str]:
    """The project that a path lies in, the path in it, and DVC's object id of what a revision recorded there."""
    text = os.fspath(path)
    if not is_local(text):
        raise UsageError(f"{text} is a URL: it has no revisions", hint="Name a folder of a project.")
    root = find_project(Path(text))
    place = Path(os.path.abspath(text)).relative_to(root).as_posix()
    recorded = snapshots_at(root, rev)
    oid = recorded.get(place)
    if oid is None:
        there = ", ".join(sorted(recorded)) or "nothing"
        raise NotFoundError(f"{rev} has no {place}", name=place, hint=f"It has {there}.")
    return root, place, oid


def open_recorded(
    objects: Objects, oid: str, place: str, rev: str, shown: str | None = None
) -> Snapshot | DsetkitError:
    """The snapshot of a folder's object that a revision recorded (``open_object``), or why it cannot be opened."""
    try:
        return open_object(objects, oid, place, rev=rev, shown=shown)
    except DsetkitError as error:
        return error


def stage_facts(snapshot: Snapshot) -> dict[str, Any]:
    """``fingerprint``, ``samples`` and ``annotations`` of a snapshot."""
    counts = snapshot.info.counts
    return {"fingerprint": snapshot.fingerprint, "samples": counts.samples, "annotations": counts.annotations}
