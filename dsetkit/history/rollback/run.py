"""Back to an earlier version, wholly or not at all.

Until the journal is written (``journal``) nothing of the project is touched: what is missing is fetched,
hashed, built beside, its fingerprints taken. From then on there are only renames, which the next dsetkit command
finishes if this process cannot. ``access/`` is never touched: a revoked grant stays revoked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsetkit.errors import CheckError, DsetkitError, UsageError
from dsetkit.history.objects import Objects
from dsetkit.history.repository import git
from dsetkit.history.revisions import open_recorded, resolve, stage_facts
from dsetkit.history.rollback import journal as journals
from dsetkit.history.rollback.check import bases, check_outputs, refuse_staged, refuse_unrecorded, uncommitted
from dsetkit.history.rollback.fetch import (
    Wanted,
    build_file,
    build_folder,
    check_built,
    fetch,
    missing,
    rebuild,
    remember,
    wanted,
)
from dsetkit.history.rollback.git import Blob, commit_tree, contents, keep_blob, tree, tree_with
from dsetkit.history.rollback.journal import PLACE, Journal, Step, link_or_copy_whole, side
from dsetkit.history.rollback.locks import dvc_errors, dvc_lock, own_lock
from dsetkit.history.rollback.plan import FILES, Plan, Version, Wish, make_plan
from dsetkit.history.rollback.stage import choose, merged_files
from dsetkit.snapshots.compare import diff
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.spec.diff import Diff
from dsetkit.spec.diff_text import count_lines
from dsetkit.storage.atomic import sync_folder, write_atomic, written

if TYPE_CHECKING:
    from dvc.repo import Repo


@dataclass(frozen=True)
class SnapshotChange:
    """A snapshot that a rollback changes."""

    name: str
    """``raw/blood``, ``cleaned``, ``augmented``."""
    old: Snapshot | None
    """As it stands in the workspace; None where it does not, or cannot be read."""
    new: Snapshot | DsetkitError | None
    """As it is to be; None where it goes, the error where it cannot be read before it is fetched."""

    @property
    def change(self) -> str:
        """``added``, ``removed`` or ``replaced``."""
        return "removed" if self.new is None else "added" if self.old is None else "replaced"

    def diff(self) -> Diff | None:
        """What differs, where both sides can be read."""
        if self.old is None or not isinstance(self.new, Snapshot):
            return None
        try:
            return diff(self.old, self.new)
        except (DsetkitError, OSError):
            return None

    def to_json(self) -> dict[str, Any]:
        """For ``--json``: both sides' facts, and how many entries each list of the diff has."""
        found = self.diff()
        counts: dict[str, Any] = {}
        for group, name, entries in found.lists() if found is not None else ():
            if name and entries:
                counts.setdefault(group, {})[name] = len(entries)
        return {
            "stage": self.name,
            "change": self.change,
            "old": None if self.old is None else stage_facts(self.old),
            "new": stage_facts(self.new) if isinstance(self.new, Snapshot) else None,
            "differs": None if found is None else counts,
        }

    def lines(self) -> list[str]:
        """How many samples, annotations and categories differ, for people."""
        found = self.diff()
        return [] if found is None else count_lines(found)


@dataclass(frozen=True)
class Rolled:
    """What a rollback did."""

    fetched: int
    """Objects that came from a remote."""
    commit: str | None
    """The commit that records it."""
    is_recorded: bool
    """Whether HEAD has what the workspace has now."""
    notes: tuple[str, ...]


class Rollback:
    """A rollback that can happen: all is recorded, and what changes is known. Nothing is changed before ``run``."""

    def __init__(self, repo: Repo, root: Path, rev: str, stage: str | None = None) -> None:
        """``stage``: one snapshot alone, with what decides it.

        Raises ``NotFoundError`` for a revision, stage or object there is not; ``CheckError`` where work is not
        recorded; ``UsageError`` where the project cannot be rolled back.
        """
        self.root = root
        self.rev = rev
        self.target = resolve(root, rev)
        self.stage = stage
        self._repo = repo
        self._objects = Objects(root)
        if git(root, "rev-parse", "--verify", "--quiet", "HEAD") is None:
            raise UsageError("nothing is committed yet", hint="Commit what there is first: git add --all, git commit.")
        self.head = resolve(root, "HEAD")
        self.title = f"{rev} ({self.target[:7]})" if not self.target.startswith(rev) else self.target[:7]
        self._new = Version(root, self.target, rev)
        self._base, self.plan = self._find_base()
        check_outputs(repo, root, self.plan, self._objects)
        self._coming = {
            path: oid
            for path, oid in self.plan.outputs.items()
            if self.plan.before.get(path) != oid or not os.path.lexists(root / path)
        }
        self._gone = [path for path in self.plan.gone if os.path.lexists(root / path)]
        self._wanted: Wanted = wanted(self._objects, self._coming, rev)

    def close(self) -> None:
        """Let go of DVC's files."""
        self._objects.close()

    @property
    def is_needed(self) -> bool:
        """Whether anything in the workspace changes."""
        return bool(self._coming or self._gone or self.plan.files)

    @property
    def lacking(self) -> int:
        """Objects that have to be fetched."""
        return len(missing(self._objects, self._wanted.whose))

    @property
    def outputs(self) -> list[str]:
        """Outputs that change, but for snapshots."""
        return [path for path in (*self._coming, *self._gone) if not path.startswith("data/")]

    def snapshots(self) -> Iterator[SnapshotChange]:
        """The snapshots that change."""
        for path in sorted({*self._coming, *self._gone}):
            if not path.startswith("data/"):
                continue
            old: Snapshot | None = None
            with suppress(DsetkitError):
                old = open_snapshot(self.root / path)
            oid = self._coming.get(path)
            new = None if oid is None else open_recorded(self._objects, oid, f"{path} at {self.rev}")
            yield SnapshotChange(path.removeprefix("data/"), old, new)

    def files(self) -> dict[str, str]:
        """Path → ``added``, ``removed`` or ``changed``, of the files of git that change."""
        return {
            path: "removed" if wish is None else "changed" if os.path.lexists(self.root / path) else "added"
            for path, wish in sorted(self.plan.files.items())
        }

    def run(self, *, commit: bool = False) -> Rolled:
        """Do it, and with ``commit`` record it as a new commit on the current branch; no hook of git runs.

        Raises what fetching, building and checking raise: nothing was changed then; and as ``journal.finish`` does.
        """
        with dvc_errors(self.root):
            return self._run(commit)

    def _run(self, commit: bool) -> Rolled:
        title = f"Roll back {f'{self.stage} ' if self.stage else ''}to {self.title}"
        place = self.root / PLACE
        try:
            journals.clear(self.root)
            with written(place):
                (place / "new").mkdir(parents=True)
                (place / "old").mkdir()
            fetched = fetch(self._repo, self._objects, self._wanted.whose)
            steps = self._build()
            blobs = {path: self._blob(path, wish) for path, wish in self.plan.files.items()}
            tree_sha, changes = self._tree(blobs)
            new_head = None
            is_recorded = tree_sha == git(self.root, "rev-parse", f"{self.head}^{{tree}}")
            if commit and not is_recorded:
                new_head = commit_tree(self.root, tree_sha, self.head, f"{title}\n")
            journal = Journal(
                title=f"{self.stage} of {self.title}" if self.stage else self.title,
                head=self.head,
                tree=tree_sha,
                commit=new_head,
                message=f"dsetkit: {title}",
                index=tuple((path, blob and blob.mode, blob and blob.sha) for path, blob in changes.items()),
                steps=tuple(steps),
            )
            with written(place):
                for folder in (place / "new", place / "old", place):
                    sync_folder(folder)
            self._check_again()
            journal.write(self.root)
        except BaseException:
            # Where the journal did come to the disk, it counts.
            if not (place / journals.NAME).exists():
                with suppress(DsetkitError, OSError):
                    journals.clear(self.root)
            raise
        notes = journals.finish(self.root, journal, rebuild)
        remember(self._repo, self._hashes())
        made = None if notes else new_head
        return Rolled(fetched, made, is_recorded or made is not None, tuple(notes))

    def _find_base(self) -> tuple[Version, Plan]:
        """Where the project is, and what leads from there to the revision. Raises ``CheckError``."""
        first: list[str] | None = None
        for base in bases(self.root, self.head):
            chosen = None if self.stage is None else choose(base, self._new, self.stage)
            plan = make_plan(base, self._new, chosen)
            found = uncommitted(self.root, base.treeish, plan.places)
            if not found:
                refuse_staged(self.root, plan.places)
                if chosen is not None:
                    plan.files.update(merged_files(base, self._new, chosen))
                return base, plan
            first = found if first is None else first
        refuse_unrecorded(self.root, first or [])
        raise AssertionError("HEAD is always a base")

    def _check_again(self) -> None:
        """While data came, somebody may have worked on. Raises ``CheckError``."""
        if resolve(self.root, "HEAD") != self.head:
            raise CheckError("HEAD moved meanwhile; nothing was changed", hint="Roll back again.")
        refuse_unrecorded(self.root, uncommitted(self.root, self._base.treeish, self.plan.places))

    def _build(self) -> list[Step]:
        """Make everything ready; the steps in the order they are done in, ``dvc.lock`` last."""
        steps: list[Step] = []
        place = self.root / PLACE
        going = [path for path, wish in self.plan.files.items() if wish is None]
        coming = [path for path, wish in self.plan.files.items() if wish is not None]
        for path in sorted(going, key=_late):
            steps.append(Step(path, "file", old=True, new=False))
        for path in (*self._gone, *self._coming):
            oid, target = self._coming.get(path), side(self.root, "new", len(steps))
            stands = os.path.lexists(self.root / path)
            is_folder = path in self._wanted.folders or (oid is None and (self.root / path).is_dir())
            if not is_folder and (self.root / path).is_dir():  # a file comes where a folder was
                steps.append(Step(path, "folder", old=True, new=False))
                stands, target = False, side(self.root, "new", len(steps))
            if oid is not None and is_folder:
                build_folder(self._repo, self._objects, self._wanted.folders[path], target)
                check_built(target, f"{path} of {self.rev}")
            elif oid is not None:
                build_file(self._repo, self._objects, oid, target)
            steps.append(Step(path, "folder" if is_folder else "file", old=stands, new=oid is not None, oid=oid))
        for path in sorted(coming, key=_late):
            wish = self.plan.files[path]
            if wish is not None:
                self._write(path, wish, side(self.root, "new", len(steps)))
            steps.append(Step(path, "file", old=os.path.lexists(self.root / path), new=True))
        with written(place):
            for number, step in enumerate(steps):
                if step.kind == "file" and step.old:
                    link_or_copy_whole(self.root / step.path, side(self.root, "old", number))
        return steps

    def _write(self, path: str, wish: Wish, target: Path) -> None:
        data = wish.data if wish.sha is None else contents(self.root, Blob(wish.mode, wish.sha), path)
        if wish.mode == "120000":
            with written(target):
                os.symlink(os.fsdecode(data or b""), target)
            return
        write_atomic(target, data or b"")
        with written(target):
            mask = os.umask(0)
            os.umask(mask)
            target.chmod((0o777 if wish.mode == "100755" else 0o666) & ~mask)

    def _blob(self, path: str, wish: Wish | None) -> Blob | None:
        if wish is None:
            return None
        return Blob(wish.mode, wish.sha or keep_blob(self.root, wish.data or b"", path))

    def _tree(self, blobs: dict[str, Blob | None]) -> tuple[str, dict[str, Blob | None]]:
        """The git tree of what the project is to be, and how it differs from HEAD's."""
        wish = {**tree(self.root, self._base.treeish, self.plan.places), **blobs}
        has = tree(self.root, self.head, [*self.plan.places, *blobs])
        changes = {path: wish.get(path) for path in {**has, **wish} if has.get(path) != wish.get(path)}
        return tree_with(self.root, changes, self.root / PLACE / "index"), changes

    def _hashes(self) -> Iterator[tuple[Path, str]]:
        for path, oid in self._coming.items():
            files = self._wanted.folders.get(path)
            if files is None:
                yield self.root / path, oid
            else:
                yield from ((self.root / path / name, inner) for name, inner in files.items())


@contextmanager
def open_rollback(root: Path, rev: str, stage: str | None = None, *, lock: bool = True) -> Iterator[Rollback]:
    """A rollback, with this project's lock and DVC's held for as long as the block runs.

    Without ``lock`` it is only to be looked at. Raises as ``Rollback`` does, and ``UsageError`` where another rollback
    or DVC is at work.
    """
    from dvc.repo import Repo

    if not lock:
        with dvc_errors(root):
            repo = Repo(str(root))
        with repo:
            yield from _opened(repo, root, rev, stage)
        return
    resolve(root, rev)  # a wrong name is said at once
    with own_lock(root) as is_ours:
        if not is_ours:
            raise UsageError("another rollback is under way in this project", hint="Wait until it has ended.")
        with dvc_lock(root) as repo:
            yield from _opened(repo, root, rev, stage)


def _opened(repo: Repo, root: Path, rev: str, stage: str | None) -> Iterator[Rollback]:
    with dvc_errors(root):
        rollback = Rollback(repo, root, rev, stage)
    try:
        yield rollback
    finally:
        rollback.close()


def finish_interrupted(places: Sequence[Path]) -> Iterator[str]:
    """Finish or undo what a killed rollback left in the projects that places lie in; what was done, a line a thing.

    Without one it costs a look at the names above each place. Raises as ``journal.recover`` does.
    """
    return journals.recover(places, rebuild)


def outdated(root: Path) -> list[str] | None:
    """The stages that the next ``dvc repro`` would run, or at least look at again; None where DVC cannot say."""
    from dvc.repo import Repo

    with suppress(Exception), Repo(str(root)) as repo:  # DVC raises what it likes
        return sorted(str(name) for name in repo.status())
    return None


def _late(path: str) -> tuple[int, str]:
    """Where a file comes among others: those that say which version it is come last, ``dvc.lock`` at the very end."""
    return (FILES.index(path) + 1 if path in FILES else 0, path)
