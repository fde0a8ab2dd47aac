"""How far this user has seen each audit chain of a project, outside its repository (beside what ``trust`` keeps).

``$DSETKIT_STATE/audit/<project id>.json``. A chain is signed by its owner, who alone can write it anew; and whoever can
write to the repository can cut its end off. Who saw more entries before, or other ones, notices.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field

from dsetkit.access.files import document_text, parse_document, read_below
from dsetkit.access.trust import open_trust, state_folder
from dsetkit.errors import TamperError
from dsetkit.spec.base import Digest, Document
from dsetkit.spec.policy import PrincipalName, ProjectId
from dsetkit.storage.atomic import write_atomic, written

_MAX_BYTES = 4 * 1024 * 1024


class Head(NamedTuple):
    """The last entry of a chain, at some time."""

    number: int
    digest: str
    """SHA-256 of its line."""


class _SeenHead(Document):
    number: int = Field(ge=1)
    digest: Digest


class _SeenAudit(Document):
    format: Literal[1] = 1
    project: ProjectId
    heads: dict[PrincipalName, _SeenHead] = Field(default_factory=dict)


def seen_heads(root: Path, project: str, environ: Mapping[str, str] = os.environ) -> dict[str, Head]:
    """The highest head seen of each chain. Raises ``TamperError`` where the file is damaged, ``AccessError``."""
    open_trust(root, project, environ)  # that the folder is this user's, and the project the one seen here
    folder, name = state_folder(environ), _name(project)
    try:
        data = read_below(folder, name, _MAX_BYTES)
        seen = None if data is None else parse_document(_SeenAudit, data, name)
        if seen is not None and seen.project != project:
            raise TamperError("another project's", subject=name, hint="")
    except TamperError:
        raise TamperError(
            f"{folder / name}, what you have seen of audit chains, is damaged",
            subject=str(folder / name),
            hint="Take it back from a backup of yours; without it, shortened chains are not noticed.",
        ) from None
    return {} if seen is None else {who: Head(head.number, head.digest) for who, head in seen.heads.items()}


@contextlib.contextmanager
def locked_audit(project: str, environ: Mapping[str, str] = os.environ) -> Iterator[None]:
    """One at a time, of all threads and processes of this user: who adds to a chain, and who remembers how far it goes.

    Waits for the others; not to be held twice by one thread. Raises ``AccessError``, ``StorageError``.
    """
    folder = state_folder(environ)
    lock = folder / f"audit/{project}.lock"
    with written(lock):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock.parent.mkdir(exist_ok=True, mode=0o700)
        number = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(number, "rb") as held:
        with written(lock):
            fcntl.flock(held, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(held, fcntl.LOCK_UN)  # not by closing alone: a process forked meanwhile has the file open too


def remember_heads(
    root: Path, project: str, heads: Mapping[str, Head], environ: Mapping[str, str] = os.environ
) -> None:
    """Remembers heads that were verified; never a lower one. Raises like ``seen_heads``, ``StorageError``."""
    with locked_audit(project, environ):
        keep_heads(root, project, heads, environ)


def keep_heads(root: Path, project: str, heads: Mapping[str, Head], environ: Mapping[str, str] = os.environ) -> None:
    """``remember_heads`` for who holds ``locked_audit``."""
    known = seen_heads(root, project, environ)
    grown = {who: head for who, head in heads.items() if who not in known or head.number > known[who].number}
    if grown:
        rows = {who: head._asdict() for who, head in {**known, **grown}.items()}
        seen = _SeenAudit.model_validate({"project": project, "heads": rows})
        write_atomic(state_folder(environ) / _name(project), document_text(seen))


def seen_path(project: str, environ: Mapping[str, str] = os.environ) -> Path:
    """The file of what this user has seen of the chains of a project."""
    return state_folder(environ) / _name(project)


def _name(project: str) -> str:
    return f"audit/{project}.json"
