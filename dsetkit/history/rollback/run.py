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
from typing import TYPE_CHECKING

from dsetkit.errors import CheckError, DsetkitError, UsageError
from dsetkit.history.dvc_config import check_remotes, open_repo
from dsetkit.history.objects import Objects
from dsetkit.history.repository import git
from dsetkit.history.revisions import open_recorded, resolve
from dsetkit.history.rollback import journal as journals
from dsetkit.history.rollback.change import SnapshotChange
from dsetkit.history.rollback.check import (
    bases,
    check_outputs,
    refuse_half_done,
    refuse_in_the_way,
    refuse_staged,
    refuse_unrecorded,
    uncommitted,
)
from dsetkit.history.rollback.fetch import Wanted, fetch, missing, rebuild, remember, wanted
from dsetkit.history.rollback.git import Blob, amend_commit, commit_tree, is_detached, keep_blob, tree, tree_with
from dsetkit.history.rollback.journal import Journal
from dsetkit.history.rollback.locks import dvc_errors, dvc_lock, own_lock
from dsetkit.history.rollback.moves import finish, recover
from dsetkit.history.rollback.plan import Plan, Version, Wish, make_plan
from dsetkit.history.rollback.resign import SIGNED, sign_again, to_sign
from dsetkit.history.rollback.stage import choose, merged_files
from dsetkit.history.rollback.steps import make_steps
from dsetkit.snapshots.naming import SNAPSHOT
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.stages.sealed import keys_of, refresh_sealing
from dsetkit.storage.atomic import sync_folder, written
from dsetkit.storage.unfinished import JOURNAL, ROLLBACK

if TYPE_CHECKING:
    from dvc.repo import Repo


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
    sealed: tuple[str, ...]
    """Snapshots that are sealed to this identity: their files were checked, not what they mean."""


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
        refuse_half_done(root)
        self._base, self.plan = self._find_base()
        self._check_work()
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
    def outputs(self) -> dict[str, str]:
        """Path → ``added``, ``removed`` or ``changed``, of the outputs that change, but for snapshots."""
        return {
            path: "removed" if path in self._gone else "changed" if os.path.lexists(self.root / path) else "added"
            for path in (*self._coming, *self._gone)
            if not path.startswith("data/")
        }

    def snapshots(self) -> Iterator[SnapshotChange]:
        """The snapshots that change."""
        for path in sorted({*self._coming, *self._gone}):
            if not path.startswith("data/"):
                continue
            old: Snapshot | DsetkitError | None = None
            if (self.root / path / SNAPSHOT).is_file():
                try:
                    old = open_snapshot(self.root / path, keys=keys_of(self.root))
                except DsetkitError as error:
                    old = error
            oid = self._coming.get(path)
            new = None if oid is None else open_recorded(self._objects, oid, path, self.rev)
            yield SnapshotChange(path.removeprefix("data/"), old, new)

    def files(self) -> dict[str, str]:
        """Path → ``added``, ``removed`` or ``changed``, of the files of git that change."""
        return {
            path: "removed" if wish is None else "changed" if os.path.lexists(self.root / path) else "added"
            for path, wish in sorted(self.plan.files.items())
        }

    def run(self, *, commit: bool = False) -> Rolled:
        """Do it, and with ``commit`` record it as a new commit on the current branch; no hook of git runs.

        Raises what fetching, building and checking raise: nothing was changed then; and as ``moves.finish`` does.
        """
        with dvc_errors(self.root):
            return self._run(commit)

    def _run(self, commit: bool) -> Rolled:
        title = f"Roll back {f'{self.stage} ' if self.stage else ''}to {self.title}"
        place = self.root / ROLLBACK
        try:
            journals.clear(self.root)
            with written(place):
                (place / "new").mkdir(parents=True)
                (place / "old").mkdir()
            fetched = fetch(self._repo, self._objects, self._wanted.whose)
            steps, sealed = make_steps(
                self.root,
                self._repo,
                self._objects,
                self.plan,
                self._gone,
                self._coming,
                self._wanted.folders,
                self.rev,
            )
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
            if not (place / JOURNAL).exists():
                with suppress(DsetkitError, OSError):
                    journals.clear(self.root)
            raise
        notes = finish(self.root, journal, rebuild)
        refresh_sealing(self.root)  # what came back may be of a time without a policy, or with another one
        signed, more = sign_again(self.root, to_sign([*self._coming, *self.plan.files]), self.target)
        notes += more
        remember(self._repo, self._hashes())
        made = new_head if resolve(self.root, "HEAD") == new_head else None
        if signed:
            said = f"signed again as the newest: {', '.join(signed)}"
            if made is None:
                notes.append(f"{said}; commit signatures/ and access/audit/ too")
            else:  # it can only be signed once it stands; a commit with old signatures would be no version to believe
                made = amend_commit(self.root, made, self.head, SIGNED, title)
                notes.append(f"{said}, in the same commit")
        if made is not None and is_detached(self.root):
            notes.append("HEAD is on no branch, and so is the commit: git switch --create NAME keeps it")
        return Rolled(fetched, made, is_recorded or made is not None, tuple(notes), tuple(sealed))

    def _find_base(self) -> tuple[Version, Plan]:
        """Where the project is, and what leads from there to the revision. Raises ``CheckError``."""
        work: list[str] = []  # as seen from where there is least of it
        for base in bases(self.root, self.head):
            chosen = None if self.stage is None else choose(base, self._new, self.stage)
            plan = make_plan(base, self._new, chosen)
            found = uncommitted(self.root, base.treeish, plan)
            if not found:
                refuse_staged(self.root, plan.places)
                if chosen is not None:
                    plan.files.update(merged_files(base, self._new, chosen))
                return base, plan
            work = found if not work or len(found) < len(work) else work
        refuse_unrecorded(self.root, work)
        raise AssertionError("HEAD is always a base")

    def _check_again(self) -> None:
        """While data came, somebody may have worked on. Raises ``CheckError``."""
        if resolve(self.root, "HEAD") != self.head:
            raise CheckError("HEAD moved meanwhile; nothing was changed", hint="Roll back again.")
        refuse_unrecorded(self.root, uncommitted(self.root, self._base.treeish, self.plan))
        self._check_work()

    def _check_work(self) -> None:
        check_outputs(self._repo, self.root, self.plan, self._objects)
        refuse_in_the_way(self._repo, self.root, self._base.treeish, self.plan)

    def _blob(self, path: str, wish: Wish | None) -> Blob | None:
        if wish is None:
            return None
        return Blob(wish.mode, wish.sha or keep_blob(self.root, wish.data or b"", path))

    def _tree(self, blobs: dict[str, Blob | None]) -> tuple[str, dict[str, Blob | None]]:
        """The git tree of what the project is to be, and how it differs from HEAD's."""
        wish = {**tree(self.root, self._base.treeish, self.plan.places), **blobs}
        has = tree(self.root, self.head, [*self.plan.places, *blobs])
        changes = {path: wish.get(path) for path in {**has, **wish} if has.get(path) != wish.get(path)}
        return tree_with(self.root, changes, self.root / ROLLBACK / "index"), changes

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

    One that was interrupted before is finished first, or undone; without ``lock``, when this one is only to be looked
    at, that is refused. Raises as ``Rollback`` does, as ``finish_interrupted``, and ``UsageError`` where another
    rollback or DVC is at work.
    """
    if lock:
        for _ in finish_interrupted([root]):
            pass
    elif journals.is_unfinished(root):
        raise UsageError("a rollback was interrupted in this project", hint="Run dsetkit status: that finishes it.")
    if not lock:
        with dvc_errors(root):
            repo = open_repo(root)
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

    Without one it costs a look at the names above each place. Raises as ``moves.recover`` does.
    """
    return recover(places, rebuild)


def outdated(root: Path) -> list[str] | None:
    """The stages that the next ``dvc repro`` would run, or at least look at again; None where DVC cannot say."""
    with suppress(Exception), open_repo(root) as repo:  # DVC raises what it likes
        check_remotes(root)  # a dependency may be in one
        return sorted(str(name) for name in repo.status())
    return None
