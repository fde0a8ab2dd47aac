"""The renames of a rollback, each done, undone or done again from whatever state a killed run left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from dsetkit.errors import DsetkitError, StorageError, UsageError
from dsetkit.history.rollback.git import Blob, move_head, refresh_index
from dsetkit.history.rollback.journal import KEPT, ROLLED_TO, Journal, Step, digest_of, is_unfinished, side
from dsetkit.history.rollback.locks import dvc_lock, own_lock
from dsetkit.storage.atomic import remove_tree, sync_folder
from dsetkit.storage.unfinished import JOURNAL, ROLLBACK

_WAIT_S = 20.0

Rebuild = Callable[[Path, str, str, Path], None]
"""Given a project, a DVC object, its path in messages and a place, makes the folder of the object there."""


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
            kept = _backward(root, journal)
        except (OSError, DsetkitError) as again:
            raise StorageError(
                f"the rollback to {journal.title} stopped ({said}), and putting everything back did too ({again})",
                url=str(root),
                hint="Mend that (room on the disk? permissions?); the next dsetkit command goes on from here.",
            ) from error
        _forget(root)
        raise StorageError(
            "; ".join([f"the rollback to {journal.title} failed ({said})", "everything was put back", *kept]),
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
        for link in (root / ROLLBACK.parent, root / ROLLBACK):
            if link.is_symlink():
                raise UsageError(f"{link} is a link", hint="dsetkit never makes that: look where it points, delete it.")
        has_journal = is_unfinished(root)
        if not os.access(root / ".dvc" / "tmp", os.W_OK):  # a reader of somebody else's project
            if has_journal:
                raise StorageError(
                    f"a rollback was interrupted in {root}, so it may be at no version, and you may not write there",
                    url=str(root),
                    hint="Whoever may write there runs any dsetkit command in it, as dsetkit status: that finishes it.",
                )
            continue
        with own_lock(root, _WAIT_S if has_journal else 0.0) as is_own:
            if not is_own:
                if has_journal:
                    raise UsageError("a rollback is under way in this project", hint="Wait until it has ended.")
                continue
            journal = Journal.read(root)
            if journal is None:
                with suppress(DsetkitError):  # rubbish: the next rollback, or command, will try again
                    remove_tree(root / ROLLBACK)
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


def _left_in(place: Path) -> Iterator[Path]:
    here = Path(os.path.abspath(place))
    return (folder for folder in (here, *here.parents) if os.path.exists(folder / ROLLBACK))


def _forward(root: Path, journal: Journal, rebuild: Rebuild) -> list[str]:
    notes = []
    # Folders that have come already: what went from there before went, and what is there is theirs.
    arrived = [
        step.path
        for number, step in enumerate(journal.steps)
        if step.kind == "folder" and step.new and not os.path.lexists(side(root, "new", number))
    ]
    for number, step in enumerate(journal.steps):
        old, new, place = side(root, "old", number), side(root, "new", number), root / step.path
        if _is_below(step.path, arrived):
            continue
        if step.kind == "file":
            if not (step.new and _is_same(new, place)):
                notes += _put(root, step, new if step.new else None)
            continue
        if step.old and not os.path.lexists(old) and os.path.lexists(place):
            os.rename(place, old)
        if step.new:
            if not os.path.lexists(new) and not os.path.lexists(place) and step.oid is not None:
                # Somebody deleted what had come: DVC, starting a stage. Half a folder never gets the name ``new``.
                again = root / ROLLBACK / "again"
                remove_tree(again)
                rebuild(root, step.oid, step.path, again)
                os.rename(again, new)
            if os.path.lexists(new):
                notes += _clear(root, step.path)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.rename(new, place)
        else:
            _prune(root, place.parent)
    _sync(root, journal)
    is_committed = journal.commit is not None and move_head(root, journal.commit, journal.head, journal.message)
    if is_committed:
        changes = {
            path: None if mode is None or blob is None else Blob(mode, blob) for path, mode, blob in journal.index
        }
        try:
            refresh_index(root, changes)
        except StorageError as error:  # the commit is there: no reason to put anything back
            notes.append(f"git's index is behind ({error.message}): git reset brings it up to date")
        (root / ROLLBACK.parent / ROLLED_TO).unlink(missing_ok=True)
    else:
        with suppress(FileNotFoundError):  # done before
            os.replace(root / ROLLBACK / ROLLED_TO, root / ROLLBACK.parent / ROLLED_TO)
        if journal.commit is not None:
            notes.append("HEAD had moved meanwhile, so nothing was committed: look at git status, and commit it")
    return notes


def _backward(root: Path, journal: Journal) -> list[str]:
    if journal.commit is not None:
        move_head(root, journal.head, journal.commit, f"undone: {journal.message}")
    notes = []
    steps = list(enumerate(journal.steps))
    # Folders that still stand as they were: no step below them was done, and what is there is theirs.
    untouched = [
        step.path
        for number, step in steps
        if step.kind == "folder" and step.old and not os.path.lexists(side(root, "old", number))
    ]
    for number, step in reversed(steps):
        old, new, place = side(root, "old", number), side(root, "new", number), root / step.path
        if _is_below(step.path, untouched):
            continue
        if step.kind == "file":
            if not (step.old and _is_same(old, place)):
                notes += _put(root, step, old if step.old else None)
            continue
        came = step.new and not os.path.lexists(new)
        if came and os.path.lexists(place) and (not step.old or os.path.lexists(old)):
            os.rename(place, new)
        if step.old and os.path.lexists(old):
            notes += _clear(root, step.path)
            place.parent.mkdir(parents=True, exist_ok=True)
            os.rename(old, place)
        elif not step.old:
            _prune(root, place.parent)
    _sync(root, journal)
    return notes


def _keep(root: Path, step: Step) -> list[str]:
    """Move aside a file that is neither what stood there nor what is to: somebody's work of meanwhile."""
    place = root / step.path
    if not _is_file(place) or digest_of(place) in (step.was, step.comes):
        return []
    name = _move_aside(root, step.path)
    return [f"{step.path} was changed while the rollback was unfinished; with that change it is now {name}"]


def _is_below(path: str, folders: Sequence[str]) -> bool:
    return any(path.startswith(f"{folder}/") for folder in folders)


def _is_file(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def _is_same(one: Path, other: Path) -> bool:
    """Whether two names are one file, which somebody may have written into."""
    return _is_file(one) and _is_file(other) and os.path.samestat(one.lstat(), other.lstat())


def _put(root: Path, step: Step, source: Path | None) -> list[str]:
    """Let a step's place be the same as ``source``, which stays; None: let nothing be there."""
    place = root / step.path
    notes = _keep(root, step)
    if source is None:
        if _is_file(place):
            place.unlink(missing_ok=True)
        _prune(root, place.parent)
        return notes
    if not _is_file(place):
        notes += _clear(root, step.path)
    moving = root / ROLLBACK / "moving"
    moving.unlink(missing_ok=True)
    if source.is_symlink():
        os.symlink(os.readlink(source), moving)
    else:
        link_or_copy_whole(source, moving)
    place.parent.mkdir(parents=True, exist_ok=True)
    os.replace(moving, place)
    moving.unlink(missing_ok=True)  # a rename onto another name of the same file does nothing
    return notes


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


def _clear(root: Path, path: str) -> list[str]:
    """Let nothing be at a path where something is to come: what somebody put there meanwhile is moved aside."""
    place = root / path
    if not place.is_symlink():
        for folder, _, _ in os.walk(place, topdown=False):  # what removed files left
            with suppress(OSError):
                os.rmdir(folder)
    if not os.path.lexists(place):
        return []
    return [f"{path} appeared while the rollback was unfinished; it is now {_move_aside(root, path)}"]


def _move_aside(root: Path, path: str) -> str:
    name, number = f"{KEPT}/{path}", 1
    while os.path.lexists(root / name):
        number += 1
        name = f"{KEPT}/{path}.{number}"
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    os.rename(root / path, root / name)
    return name


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
    (root / ROLLBACK / JOURNAL).unlink(missing_ok=True)
    with suppress(OSError):
        sync_folder(root / ROLLBACK)
    with suppress(DsetkitError):  # rubbish by now, and the next command tries again
        remove_tree(root / ROLLBACK)
