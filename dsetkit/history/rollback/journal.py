"""The journal of a rollback: what is renamed where. Once it is on the disk, the rollback happens, whatever dies.

Everything a rollback puts in place stands ready in ``.dvc/tmp/dsetkit/rollback``: ``new/<n>`` is what comes, and
``old/<n>`` what goes, by the number of its step. A **file** is put in place by one rename of a second link to it, so
both sides stay until the end, and either can be put in place again and again. A **folder** is moved aside, then the new
one is moved in; which of the two has happened shows by what is where. So each step can be done, and undone, from
whatever state a killed run left. Before the journal is written nothing of the project is touched; after it is deleted
the folder is rubbish.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from dsetkit.errors import DsetkitError, StorageError, UsageError
from dsetkit.history.rollback.git import Blob, move_head, refresh_index
from dsetkit.history.rollback.locks import dvc_lock, own_lock
from dsetkit.storage.atomic import remove_tree, sync_folder, write_atomic

FORMAT = 1
PLACE = Path(".dvc", "tmp", "dsetkit", "rollback")
NAME = "journal.json"
ROLLED_TO = "rolled-to"
"""Beside ``PLACE``: the git tree of the project as a rollback without a commit left it."""
_WAIT_S = 20.0

Rebuild = Callable[[Path, str, str, Path], None]
"""Given a project, a DVC object, its path in messages and a place, makes the folder of the object there."""


@dataclass(frozen=True)
class Step:
    """One path of the project that changes."""

    path: str
    kind: Literal["file", "folder"]
    old: bool
    """Whether something stood there."""
    new: bool
    """Whether something is to stand there."""
    oid: str | None = None
    """DVC's object of a new folder."""


@dataclass(frozen=True)
class Journal:
    """A rollback that is to happen."""

    title: str
    """``v1 (3f9a2b7)``."""
    head: str
    """The commit the rollback began at."""
    tree: str
    """The git tree of what the project is to be."""
    commit: str | None
    """The commit that HEAD is to be."""
    message: str
    index: tuple[tuple[str, str | None, str | None], ...]
    """Path, mode and blob of what the index is to have, once there is a commit; null for what it is not to have."""
    steps: tuple[Step, ...]

    def write(self, root: Path) -> None:
        """Bring it to the disk: the point of no return. Raises ``StorageError``.

        All that is written later, of what dsetkit itself writes, is ready by then: a full disk stops no rename.
        """
        write_atomic(root / PLACE / ROLLED_TO, f"{self.tree}\n".encode())
        document = {"format": FORMAT, **asdict(self)}
        write_atomic(root / PLACE / NAME, json.dumps(document, indent=1).encode())

    @classmethod
    def read(cls, root: Path) -> Journal | None:
        """The journal of a project; None where there is none. Raises ``StorageError`` for one that is damaged."""
        path = root / PLACE / NAME
        try:
            document = json.loads(path.read_bytes())
            if document.pop("format") != FORMAT:
                raise ValueError("another dsetkit wrote it")
            document["steps"] = tuple(Step(**step) for step in document["steps"])
            document["index"] = tuple(tuple(item) for item in document["index"])
            return cls(**document)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(
                f"the journal of an unfinished rollback cannot be read: {path} ({error})",
                url=str(path),
                hint=f"Move {path.parent} away, then: git checkout . and dvc checkout.",
            ) from error


def finish(root: Path, journal: Journal, rebuild: Rebuild) -> list[str]:
    """Do whatever of a rollback is not done yet, and delete its journal; what is to be known of it, a line a thing.

    Where that fails, everything is put back and the journal deleted. Where that fails too the journal stays. Raises
    ``StorageError`` in both cases.
    """
    try:
        notes = _forward(root, journal, rebuild)
    except (OSError, DsetkitError) as error:
        said = error.message if isinstance(error, DsetkitError) else f"{error.filename}: {error.strerror}"
        try:
            _backward(root, journal)
        except (OSError, DsetkitError) as again:
            raise StorageError(
                f"the rollback to {journal.title} stopped ({said}), and putting everything back did too ({again})",
                url=str(root),
                hint="Mend that (room on the disk? permissions?); the next dsetkit command goes on from here.",
            ) from error
        _forget(root)
        raise StorageError(
            f"the rollback to {journal.title} failed ({said}); everything was put back",
            url=str(root),
            hint="Mend that, then roll back again.",
        ) from error
    _forget(root)
    return notes


def recover(places: Sequence[Path], rebuild: Rebuild) -> Iterator[str]:
    """Finish or undo rollbacks that were killed in the projects that places lie in; what was done, a line a thing.

    Without one this costs a look at the names above each place. Raises ``UsageError`` while DVC, or a stage, is at
    work there, ``StorageError`` where the rollback can be neither finished nor undone.
    """
    for root in dict.fromkeys(root for place in places for root in _left_in(place)):
        has_journal = (root / PLACE / NAME).exists()
        with own_lock(root, _WAIT_S if has_journal else 0.0) as is_ours:
            if not is_ours:
                if has_journal:
                    raise UsageError("a rollback is under way in this project", hint="Wait until it has ended.")
                continue
            journal = Journal.read(root)
            if journal is None:
                with suppress(DsetkitError):  # rubbish: the next rollback, or command, will try again
                    remove_tree(root / PLACE)
                continue
            try:
                with dvc_lock(root):
                    notes = finish(root, journal, rebuild)
            except UsageError as error:
                raise UsageError(
                    f"a rollback to {journal.title} was interrupted here, and cannot be finished now: {error.message}",
                    hint="Let it end (or end it), then run any dsetkit command, as dsetkit status: that finishes it.",
                ) from error
            yield f"finished the rollback to {journal.title}, which had been interrupted"
            yield from notes


def clear(root: Path) -> None:
    """Delete what stands ready for a rollback that will not happen. Raises ``StorageError``."""
    remove_tree(root / PLACE)


def side(root: Path, which: Literal["old", "new"], number: int) -> Path:
    """Where one side of a step stands ready."""
    return root / PLACE / which / str(number)


def _left_in(place: Path) -> Iterator[Path]:
    here = Path(os.path.abspath(place))
    return (folder for folder in (here, *here.parents) if os.path.exists(folder / PLACE))


def _forward(root: Path, journal: Journal, rebuild: Rebuild) -> list[str]:
    for number, step in enumerate(journal.steps):
        old, new, place = side(root, "old", number), side(root, "new", number), root / step.path
        if step.kind == "file":
            _put(root, new if step.new else None, place)
            continue
        if step.old and not os.path.lexists(old) and os.path.lexists(place):
            os.rename(place, old)
        if step.new:
            if not os.path.lexists(new) and not os.path.lexists(place) and step.oid is not None:
                rebuild(root, step.oid, step.path, new)  # somebody deleted what had come: DVC, starting a stage
            if os.path.lexists(new):
                _refuse_taken(place)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.rename(new, place)
        else:
            _prune(root, place.parent)
    _sync(root, journal)
    notes = []
    is_committed = journal.commit is not None and move_head(root, journal.commit, journal.head, journal.message)
    if is_committed:
        changes = {
            path: None if mode is None or blob is None else Blob(mode, blob) for path, mode, blob in journal.index
        }
        try:
            refresh_index(root, changes)
        except StorageError as error:  # the commit is there: no reason to put anything back
            notes.append(f"git's index is behind ({error.message}): git reset brings it up to date")
        (root / PLACE.parent / ROLLED_TO).unlink(missing_ok=True)
    else:
        with suppress(FileNotFoundError):  # done before
            os.replace(root / PLACE / ROLLED_TO, root / PLACE.parent / ROLLED_TO)
        if journal.commit is not None:
            notes.append("HEAD had moved meanwhile, so nothing was committed: look at git status, and commit it")
    return notes


def _backward(root: Path, journal: Journal) -> None:
    if journal.commit is not None:
        move_head(root, journal.head, journal.commit, f"undone: {journal.message}")
    for number, step in reversed(list(enumerate(journal.steps))):
        old, new, place = side(root, "old", number), side(root, "new", number), root / step.path
        if step.kind == "file":
            _put(root, old if step.old else None, place)
            continue
        came = step.new and not os.path.lexists(new)
        if came and os.path.lexists(place) and (not step.old or os.path.lexists(old)):
            os.rename(place, new)
        if step.old and os.path.lexists(old):
            _refuse_taken(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.rename(old, place)
        elif not step.old:
            _prune(root, place.parent)
    _sync(root, journal)


def _put(root: Path, source: Path | None, place: Path) -> None:
    """Let ``place`` be the same as ``source``, which stays; None: let nothing be there."""
    if source is None:
        place.unlink(missing_ok=True)
        _prune(root, place.parent)
        return
    moving = root / PLACE / "moving"
    moving.unlink(missing_ok=True)
    if source.is_symlink():
        os.symlink(os.readlink(source), moving)
    else:
        link_or_copy_whole(source, moving)
    place.parent.mkdir(parents=True, exist_ok=True)
    os.replace(moving, place)
    moving.unlink(missing_ok=True)  # a rename onto another name of the same file does nothing


def link_or_copy_whole(source: Path, target: Path) -> None:
    """A second name of a file, or a copy on the disk where there can be none. Raises ``OSError``."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        if source.is_symlink():
            os.symlink(os.readlink(source), target)
            return
        shutil.copy2(source, target)
        with target.open("rb") as file:
            os.fsync(file.fileno())


def _refuse_taken(place: Path) -> None:
    if os.path.isdir(place) and not os.path.islink(place):
        with suppress(OSError):
            place.rmdir()  # what a removed file left
    if os.path.lexists(place):
        raise StorageError(
            f"{place} appeared while a rollback was unfinished", url=str(place), hint="Move it away and try again."
        )


def _prune(root: Path, folder: Path) -> None:
    """Delete a folder and those above it, as long as they are empty, up to the project's top."""
    while folder != root and root in folder.parents:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return
        folder = folder.parent


def _sync(root: Path, journal: Journal) -> None:
    """Bring the renames to the disk, before the journal goes."""
    folders = {(root / step.path).parent for step in journal.steps}
    for folder in sorted({*folders, *(folder.parent for folder in folders)}):
        if folder.is_dir():
            sync_folder(folder)


def _forget(root: Path) -> None:
    """Delete the journal, then what stood ready."""
    (root / PLACE / NAME).unlink(missing_ok=True)
    with suppress(OSError):
        sync_folder(root / PLACE)
    with suppress(DsetkitError):  # rubbish by now, and the next command tries again
        remove_tree(root / PLACE)
