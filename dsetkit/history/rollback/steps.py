"""Everything a rollback puts in place, made ready beside it, and the order in which it comes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dsetkit.history.objects import Objects
from dsetkit.history.rollback.check import files_at
from dsetkit.history.rollback.fetch import build_file, build_folder, check_built
from dsetkit.history.rollback.git import Blob, contents
from dsetkit.history.rollback.journal import Step, digest_of, side
from dsetkit.history.rollback.moves import link_or_copy_whole
from dsetkit.history.rollback.plan import FILES, Plan, Wish
from dsetkit.storage.atomic import write_atomic, written

if TYPE_CHECKING:
    from dvc.repo import Repo


def make_steps(
    root: Path,
    repo: Repo,
    objects: Objects,
    plan: Plan,
    gone: Sequence[str],
    coming: Mapping[str, str],
    folders: Mapping[str, Mapping[str, str]],
    version: str,
) -> tuple[list[Step], list[str]]:
    """Make everything ready; the steps in the order they are done in, ``dvc.lock`` last.

    With them the snapshots that are sealed to this identity, so that what they mean could not be checked.

    ``gone`` and ``coming`` (path → object) are the outputs that change, ``folders`` (path → name → object) what those
    that are folders hold. Raises ``StorageError``, ``SnapshotError``; nothing of the project was changed then.
    """
    steps: list[Step] = []
    sealed: list[str] = []
    written_by_git = [path for path, wish in plan.files.items() if wish is not None]
    # What was a file of git's and is to be a file of DVC's, or the other way, is one step.
    going = {path for path, wish in plan.files.items() if wish is None and not (path in coming and path not in folders)}
    moved: list[str] = []

    def is_moved(path: str) -> bool:
        return any(path == other or path.startswith(f"{other}/") for other in moved)

    def stands(path: str) -> bool:
        """Whether something is there that the steps so far do not take away."""
        if is_moved(path) or not os.path.lexists(root / path):
            return False
        return path in plan.before or any(name not in going and not is_moved(name) for name in files_at(root, path))

    for path in sorted(going, key=_late):
        steps.append(Step(path, "file", old=True, new=False))
    for path in (*gone, *coming):
        oid, is_dir = coming.get(path), (root / path).is_dir()
        if path in written_by_git and not is_dir:
            continue
        if path in folders or (oid is None and is_dir):
            if oid is not None:
                target = side(root, "new", len(steps))
                build_folder(repo, objects, folders[path], target)
                if not check_built(target, path, root, version):
                    sealed.append(path)
            steps.append(Step(path, "folder", old=stands(path), new=oid is not None, oid=oid))
            moved.append(path)
            continue
        if is_dir:  # a file comes where a folder was
            steps.append(Step(path, "folder", old=stands(path), new=False))
            moved.append(path)
        if oid is not None:
            build_file(repo, objects, oid, side(root, "new", len(steps)))
        steps.append(Step(path, "file", old=stands(path), new=oid is not None))
    for path in sorted(written_by_git, key=_late):
        wish = plan.files[path]
        if wish is not None:
            _write(root, path, wish, side(root, "new", len(steps)))
        steps.append(Step(path, "file", old=stands(path) and not (root / path).is_dir(), new=True))
    return [_ready(root, number, step) for number, step in enumerate(steps)], sealed


def _ready(root: Path, number: int, step: Step) -> Step:
    """Let what goes stand ready too, if it is a file; the step with both digests."""
    if step.kind == "folder":
        return step
    old, new = side(root, "old", number), side(root, "new", number)
    with written(old):
        if step.old:
            link_or_copy_whole(root / step.path, old)
        return replace(step, was=digest_of(old) if step.old else None, comes=digest_of(new) if step.new else None)


def _write(root: Path, path: str, wish: Wish, target: Path) -> None:
    data = wish.data if wish.sha is None else contents(root, Blob(wish.mode, wish.sha), path)
    if wish.mode == "120000":
        with written(target):
            os.symlink(os.fsdecode(data or b""), target)
        return
    write_atomic(target, data or b"")
    with written(target):
        mask = os.umask(0)
        os.umask(mask)
        target.chmod((0o777 if wish.mode == "100755" else 0o666) & ~mask)


def _late(path: str) -> tuple[int, str]:
    """Where a file comes among others: those that say which version it is come last, ``dvc.lock`` at the very end."""
    return (FILES.index(path) + 1 if path in FILES else 0, path)
