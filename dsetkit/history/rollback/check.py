"""Is all work in the project recorded, so that a rollback loses nothing of it?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dsetkit.errors import CheckError, NotFoundError, StorageError, UsageError
from dsetkit.history.objects import Objects
from dsetkit.history.rollback.fetch import missing, object_at, wanted
from dsetkit.history.rollback.git import hashed, known_files, shown, staged, tree
from dsetkit.history.rollback.journal import PLACE, ROLLED_TO
from dsetkit.history.rollback.plan import Plan, Version, is_compiled, is_ours

if TYPE_CHECKING:
    from dvc.repo import Repo


def bases(root: Path, head: str) -> list[Version]:
    """What the project may be at: HEAD, or what a rollback left that nobody has committed yet."""
    found = [Version(root, head, "HEAD")]
    with suppress(OSError, StorageError, NotFoundError):
        sha = (root / PLACE.parent / ROLLED_TO).read_text().strip()
        tree(root, sha, ("dvc.lock",))  # git may have thrown it away by now
        found.append(Version(root, sha, "what the last rollback left"))
    return found


def uncommitted(root: Path, treeish: str, places: Sequence[str]) -> list[str]:
    """Files at and below some places that are not as a tree has them, and those that it does not have; sorted."""
    blobs = tree(root, treeish, places)
    paths = {path for path in (*blobs, *known_files(root, places)) if is_ours(path) and not is_compiled(path)}
    there = [path for path in paths if os.path.lexists(root / path) and (path not in blobs or _is_file(root / path))]
    hashes = hashed(root, [path for path in there if path in blobs])
    lost = {path for path in paths if path in blobs and path not in hashes}
    other = {path for path, sha in hashes.items() if sha != blobs[path].sha}
    return sorted({*lost, *other, *(path for path in there if path not in blobs)})


def refuse_unrecorded(root: Path, paths: Sequence[str]) -> None:
    """Raises ``CheckError`` where there are such files."""
    if paths:
        raise CheckError(
            f"there is uncommitted work: {shown(paths)}",
            hint="Commit it (git add, git commit), or drop it (git restore, git clean, dvc checkout), then roll back.",
        )


def refuse_staged(root: Path, places: Sequence[str]) -> None:
    """Raises ``CheckError`` where the index has what HEAD does not."""
    if paths := staged(root, places):
        raise CheckError(
            f"there is staged work: {shown(paths)}",
            hint="Commit it (git commit), or take it back (git restore --staged), then roll back.",
        )


def check_outputs(repo: Repo, root: Path, plan: Plan, objects: Objects) -> None:
    """Look whether the outputs that stand are those of ``dvc.lock``, and whether what goes can be brought back.

    Raises ``CheckError``. An output that is not there is no loss.
    """
    changed, alone = [], []
    for path, oid in plan.before.items():
        there = object_at(repo, root / path)
        if there is None:
            continue
        if there != oid:
            changed.append(path)
        elif plan.outputs.get(path) != oid:
            with suppress(NotFoundError):
                if not missing(objects, wanted(objects, {path: oid}, "dvc.lock").whose):
                    continue
            alone.append(path)
    if changed:
        raise CheckError(
            f"not what dvc.lock says: {shown(changed)}",
            hint="Record it (dvc commit, git commit), or put back what was recorded (dvc checkout), then roll back.",
        )
    if alone:
        raise CheckError(
            f"DVC's cache lacks what stands there, so nothing could bring it back: {shown(alone)}",
            hint="Put it there (dvc commit), or fetch it (dvc fetch), then roll back.",
        )
    for path in {*plan.files, *plan.outputs, *plan.gone}:
        _refuse_elsewhere(root, path)


def _refuse_elsewhere(root: Path, path: str) -> None:
    """One rename must do: not through a link, nor onto another disk."""
    place = (root / path).parent
    while place != root:
        if place.is_symlink():
            raise UsageError(f"{place} is a link", hint="A rollback cannot go through it: put the folder itself there.")
        place = place.parent
    place = (root / path).parent
    while not place.exists():
        place = place.parent
    if place.stat().st_dev != (root / ".dvc" / "tmp").stat().st_dev:
        raise UsageError(
            f"{place} is on another disk than {root / '.dvc'}",
            hint="A rollback is one step only where both are on one disk; use git checkout and dvc checkout here.",
        )


def _is_file(path: Path) -> bool:
    return os.path.islink(path) or os.path.isfile(path)
