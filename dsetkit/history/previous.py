"""The version before: what a report compares the present snapshot with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dsetkit.errors import NotFoundError
from dsetkit.history.objects import Objects, open_cached
from dsetkit.history.recorded import lock_at, recorded_folders
from dsetkit.history.repository import git
from dsetkit.history.revisions import tags_of
from dsetkit.snapshots.read import Snapshot
from dsetkit.snapshots.sound import SoundFiles
from dsetkit.stages.project import Project

MAX_VERSIONS = 50
"""Commits that changed ``dvc.lock`` which are looked at."""


@dataclass(frozen=True)
class Previous:
    """A committed version of a snapshot."""

    rev: str
    """The commit that made it, abbreviated."""
    tags: tuple[str, ...]
    """Of commits with the very same ``dvc.lock``, sorted."""
    snapshot: Snapshot
    """Read from DVC's cache: all tables are there; a shard may be missing, so a picture may not be readable."""


def previous_output(root: Path, place: Path, fingerprint: str) -> Previous | None:
    """The newest committed version of the snapshot at ``place`` that means something else than ``fingerprint``.

    Meant is what a snapshot means without its facets (``Snapshot.base``).
    Looked for in the last ``MAX_VERSIONS`` first-parent commits from HEAD that changed the ``dvc.lock`` of the project
    at ``root``. A version of which a table is not in DVC's cache, or is damaged there, is passed over; nothing is
    fetched. None where there is none, without git, without DVC, and before the first commit.
    """
    if not (root / ".dvc").is_dir():
        return None
    name = place.relative_to(root).as_posix()
    try:
        folders = list(_folders(root, name))
    except NotFoundError:  # no git
        return None
    if not folders:
        return None
    sound = SoundFiles(Project(root).stat_cache)
    objects = Objects(root, remote=False)
    try:
        for oid, commit in folders:
            snapshot = open_cached(objects, oid, name, commit)
            if snapshot is not None and snapshot.base.fingerprint != fingerprint and _is_readable(snapshot, sound):
                return Previous(commit, tags_of(root, [commit]).get(commit, ()), snapshot)
    finally:
        objects.close()
        sound.keep()
    return None


def _folders(root: Path, place: str) -> Iterator[tuple[str, str]]:
    """Object id and commit of each folder that stood at ``place``, newest first, each once."""
    form = ("--first-parent", "-n", str(MAX_VERSIONS), "--format=%h", "--", "./dvc.lock")
    commits = (git(root, "log", *form) or "").split()
    seen: set[str] = set()
    for commit in commits:
        for oid in recorded_folders(lock_at(root, commit) or "", place):
            if oid not in seen:
                seen.add(oid)
                yield oid, commit


def _is_readable(snapshot: Snapshot, sound: SoundFiles) -> bool:
    """Whether all tables are there and are what they were. Pictures are checked as they are read."""
    info = snapshot.info
    tables = (*info.parts, *([info.rejected] if info.rejected else ()))
    return all(sound.is_sound(snapshot.folder, part.name, part.digest) for part in tables)
