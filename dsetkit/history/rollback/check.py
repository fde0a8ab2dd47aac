"""Is all work in the project recorded, so that a rollback loses nothing of it?"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from dsetkit.errors import CheckError, NotFoundError, StorageError, UsageError
from dsetkit.history.objects import Objects
from dsetkit.history.rollback.fetch import missing, object_at, wanted
from dsetkit.history.rollback.git import hashed, known_files, shown, staged, tree, under_way
from dsetkit.history.rollback.journal import ROLLED_TO
from dsetkit.history.rollback.plan import Plan, Version, is_compiled, is_ours
from dsetkit.storage.unfinished import ROLLBACK

if TYPE_CHECKING:
    from dvc.repo import Repo


def bases(root: Path, head: str) -> list[Version]:
    """What the project may be at: HEAD, or what a rollback left that nobody has committed yet."""
    found = [Version(root, head, "HEAD")]
    with suppress(OSError, StorageError, NotFoundError):
        sha = (root / ROLLBACK.parent / ROLLED_TO).read_text().strip()
        tree(root, sha, ("dvc.lock",))  # git may have thrown it away by now
        found.append(Version(root, sha, "what the last rollback left"))
    return found


def uncommitted(root: Path, treeish: str, plan: Plan) -> list[str]:
    """Files that are not as a tree has them, and those that it does not have, as far as a plan is about them; sorted.

    Outputs that DVC keeps are not looked at; git's index may know their files from a version that had them in git.
    """
    blobs = tree(root, treeish, plan.places)
    paths = {path for path in (*blobs, *known_files(root, plan.places)) if is_ours(path) and not is_compiled(path)}
    paths = {path for path in paths if path in blobs or not _is_at_or_below(path, plan.before)}
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


def refuse_half_done(root: Path) -> None:
    """Raises ``CheckError`` where git is amid a merge, a rebase, a cherry-pick or a revert."""
    if what := under_way(root):
        raise CheckError(
            f"a {what} is under way in git",
            hint=f"End it (git {what} --continue), or drop it (git {what} --abort), then roll back.",
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

    Raises ``CheckError``; for files in an output that ``.dvcignore`` hides from DVC, too. An output that is not there
    is no loss.
    """
    changed, alone, hidden = [], [], []
    for path, oid in plan.before.items():
        there = object_at(repo, root / path)
        if there is None:
            continue
        if there != oid:
            changed.append(path)
        elif plan.outputs.get(path) != oid:
            with suppress(NotFoundError):
                known = wanted(objects, {path: oid}, "dvc.lock")
                names = {f"{path}/{name}" for name in known.folders.get(path, ())}
                hidden += [name for name in files_at(root, path) if names and name not in names]
                if not missing(objects, known.whose):
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
    if hidden:
        raise CheckError(
            f".dvcignore hides files from DVC in what would go, so nothing could bring them back: {shown(hidden)}",
            hint="Move them away, or delete them, then roll back.",
        )
    for path in {*plan.files, *plan.outputs, *plan.gone}:
        _refuse_elsewhere(root, path)


def refuse_in_the_way(repo: Repo, root: Path, treeish: str, plan: Plan) -> None:
    """Raises ``CheckError`` where files stand that no version has and something would be put over them.

    Those are files that git ignores, or that stand where there was no output before.
    """
    taken: set[str] = set()
    going = {path for path, wish in plan.files.items() if wish is None}
    moving = [path for path, oid in plan.before.items() if plan.outputs.get(path) != oid]
    known = tree(root, treeish, list(plan.files))
    free = {*going, *known}

    def stays(path: str) -> bool:
        return path not in free and not _is_at_or_below(path, moving)

    for path, wish in plan.files.items():
        if wish is None:
            continue
        above = [path[:end] for end, letter in enumerate(path) if letter == "/"]
        taken.update(part for part in above if _is_file(root / part) and stays(part))
        if (root / path).is_dir() and not (root / path).is_symlink():
            taken.update(name for name in files_at(root, path) if stays(name))
        elif _is_file(root / path) and stays(path):
            data = wish.data if wish.sha is None else None
            is_same = hashed(root, [path])[path] == wish.sha if data is None else _bytes(root / path) == data
            if not is_same:
                taken.add(path)
    for path, oid in plan.outputs.items():
        if path not in plan.before and os.path.lexists(root / path):
            left = [name for name in files_at(root, path) if stays(name)]
            if left and (object_at(repo, root / path) != oid or _hides(repo, root, left)):
                taken.update(left)
    if taken:
        raise CheckError(
            f"there are files in the way that HEAD does not have: {shown(taken)}",
            hint="Move them away, or delete them, then roll back.",
        )


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


def files_at(root: Path, path: str) -> Iterator[str]:
    """The file at a path of the project, or all files below it; without those that Python makes."""
    place = root / path
    if _is_file(place):
        yield path
    elif place.is_dir():
        for folder, _, names in os.walk(place):
            inside = Path(folder).relative_to(root).as_posix()
            yield from (f"{inside}/{name}" for name in names if not is_compiled(f"{inside}/{name}"))


def _hides(repo: Repo, root: Path, paths: Sequence[str]) -> bool:
    return any(repo.dvcignore.is_ignored_file(str(root / path)) for path in paths)


def _is_at_or_below(path: str, places: Iterable[str]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def _bytes(path: Path) -> bytes | None:
    return None if path.is_symlink() else path.read_bytes()


def _is_file(path: Path) -> bool:
    return os.path.islink(path) or os.path.isfile(path)
