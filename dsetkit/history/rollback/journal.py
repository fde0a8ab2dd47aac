"""The journal of a rollback: what is renamed where. Once it is on the disk, the rollback happens, whatever dies.

Everything a rollback puts in place stands ready in ``.dvc/tmp/dsetkit/rollback``: ``new/<n>`` is what comes, and
``old/<n>`` what goes, by the number of its step. A **file** is put in place by one rename of a second link to it, so
both sides stay until the end, and either can be put in place again and again. A **folder** is moved aside, then the new
one is moved in; which of the two has happened shows by what is where. So each step can be done, and undone, from
whatever state a killed run left. Before the journal is written nothing of the project is touched; after it is deleted
the folder is rubbish. A file that somebody edited in between is kept, in ``kept-by-rollback``.

A journal may come with a project that somebody else made: what it names is looked at before anything is done.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from dsetkit.errors import StorageError, UsageError
from dsetkit.history.rollback.plan import is_oid, is_ours
from dsetkit.storage.atomic import remove_tree, write_atomic
from dsetkit.storage.unfinished import JOURNAL, ROLLBACK

FORMAT = 1
ROLLED_TO = "rolled-to"
"""Beside ``ROLLBACK``: the git tree of the project as a rollback without a commit left it."""
KEPT = "kept-by-rollback"
"""In the project: files that somebody changed while a rollback was unfinished."""
_SHA = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")
_MODES = ("100644", "100755", "120000")


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
    was: str | None = None
    """The digest of the file that stood there."""
    comes: str | None = None
    """The digest of the file that is to stand there."""


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
        write_atomic(root / ROLLBACK / ROLLED_TO, f"{self.tree}\n".encode())
        document = {"format": FORMAT, **asdict(self)}
        write_atomic(root / ROLLBACK / JOURNAL, json.dumps(document, indent=1).encode())

    @classmethod
    def read(cls, root: Path) -> Journal | None:
        """The journal of a project; None where there is none. Raises ``StorageError`` for one that is damaged."""
        path = root / ROLLBACK / JOURNAL
        try:
            document = json.loads(path.read_bytes())
            if document.pop("format") != FORMAT:
                raise ValueError("another dsetkit wrote it")
            document["steps"] = tuple(Step(**step) for step in document["steps"])
            document["index"] = tuple(tuple(item) for item in document["index"])
            journal = cls(**document)
            journal._validate(root)
            return journal
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StorageError(
                f"the journal of an unfinished rollback cannot be read: {path} ({error})",
                url=str(path),
                hint=f"Move {path.parent} away, then: git checkout . and dvc checkout.",
            ) from error

    def _validate(self, root: Path) -> None:
        """Raises ``ValueError`` for what no rollback writes: a path out of the project, into git or ``access/``."""
        if not all(isinstance(text, str) for text in (self.title, self.message)):
            raise ValueError("a text is none")
        if not all(_SHA.match(sha) for sha in (self.head, self.tree, self.commit or self.head)):
            raise ValueError("a commit is none")
        for path, mode, blob in self.index:
            is_blob = mode in _MODES and _SHA.match(blob or "") is not None
            if not _is_inside(path) or not (is_blob or (mode is None and blob is None)):
                raise ValueError(f"it would put {path!r} into git's index")
        links = {root / KEPT, root / ROLLBACK, root / ROLLBACK.parent, root / ROLLBACK / "old", root / ROLLBACK / "new"}
        for step in self.steps:
            if not is_ours(step.path) or step.kind not in ("file", "folder"):
                raise ValueError(f"{step.path!r} is no path of a rollback")
            if not (isinstance(step.old, bool) and isinstance(step.new, bool)):
                raise ValueError(f"it does not say what becomes of {step.path}")
            if step.oid is not None and not is_oid(step.oid):
                raise ValueError(f"{step.oid!r} is no object of DVC")
            links.update(folder for folder in (root / step.path).parents if root in folder.parents)
        if through := sorted(str(place) for place in links if place.is_symlink()):
            raise ValueError(f"{through[0]} is a link")


def is_unfinished(root: Path) -> bool:
    """Whether a rollback was begun in a project and not ended: it may be at no version."""
    return os.path.lexists(root / ROLLBACK / JOURNAL)


def clear(root: Path) -> None:
    """Delete what stands ready for a rollback that will not happen. Raises ``StorageError``.

    Raises ``UsageError`` for one that is to be finished: what it has moved aside is only there.
    """
    if is_unfinished(root):
        raise UsageError(
            "a rollback was interrupted in this project", hint="Run dsetkit status there: that finishes it."
        )
    remove_tree(root / ROLLBACK)


def side(root: Path, which: Literal["old", "new"], number: int) -> Path:
    """Where one side of a step stands ready."""
    return root / ROLLBACK / which / str(number)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, or of where a link points. Raises ``OSError``."""
    if path.is_symlink():
        return hashlib.sha256(b"link " + os.fsencode(os.readlink(path))).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_inside(path: str) -> bool:
    """Whether a path of git's index stays in the project; ``.gitignore`` files and odd names may be there too."""
    return "\0" not in path and not path.startswith("/") and ".." not in path.split("/")
