"""What this user has pinned and seen of a project, outside its repository: so that nothing older is taken for new.

A repository says nothing of its own age: whoever can write to it can put back an old policy with all its signatures, or
another project's whole. So each user remembers, in ``$DSETKIT_STATE`` (else ``$XDG_STATE_HOME/dsetkit``, else
``~/.local/state/dsetkit``; XDG Base Directory Specification):

- ``projects/<project id>.json``: the digest of the first policy (trusted at first sight, which is said), the highest
  policy verified, and of each stage the highest snapshot believed;
- ``places/<digest of the path>.json``: which project is in a folder, so that another cannot take its place.

Nothing here is secret, but whoever can write here decides what is believed: the folders are 0700. Losing it is trusting
at first sight again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NoReturn, TypeVar

from pydantic import Field

from dsetkit.access.files import document_text, parse_document, read_below, refuse
from dsetkit.errors import AccessError, TamperError
from dsetkit.spec.base import Digest, Document
from dsetkit.spec.policy import ProjectId, StageName
from dsetkit.storage.atomic import write_atomic, written

STATE_VARIABLE = "DSETKIT_STATE"
"""Names the folder of what this user has seen."""

MAX_STEP = 1_000_000
"""How far above the version that was seen the next may be. No stage is built so often between two looks; without this,
one builder who signs the highest number there is would leave none for those who sign after them."""

_MAX_BYTES = 4 * 1024 * 1024

_Seen = TypeVar("_Seen", bound=Document)


class SeenStage(Document):
    """The highest snapshot of a stage that this user believed."""

    version: int = Field(ge=1)
    digest: Digest
    """SHA-256 of its ``snapshot.json``."""


class SeenProject(Document):
    """What this user has seen of a project."""

    format: Literal[1] = 1
    project: ProjectId
    first: Digest
    """SHA-256 of version 1 of the policy: the pin."""
    version: int = Field(ge=1)
    """The highest version of the policy that was verified."""
    digest: Digest
    """SHA-256 of it."""
    stages: dict[StageName, SeenStage] = Field(default_factory=dict)


class SeenPlace(Document):
    """Which project is in a folder of this machine."""

    format: Literal[1] = 1
    path: str
    project: ProjectId


class Trust:
    """What this user has seen of one project. Processes may share it: each change is made under a lock."""

    def __init__(self, folder: Path, project: str) -> None:
        """``folder`` is that of ``state_folder``. Raises ``AccessError`` where others can write to it."""
        self.project = project
        self._folder = folder
        self._name = f"projects/{project}.json"
        _check_owned(folder)
        self.first_seen = self._load() is None
        """Whether this user had seen nothing of this project before: its first policy is then believed unproven."""

    @property
    def seen(self) -> SeenProject | None:
        """What is remembered now; None before the first sight. Raises ``TamperError``, as all of the rest."""
        return self._load()

    def verified(self, digests: Sequence[str]) -> int:
        """How many versions of the policy, whose digests (of 1, 2, ...) are given, this user has verified before.

        Raises ``TamperError`` where they do not go on from what was seen: another first version, another version of a
        number seen, or fewer than seen.
        """
        seen = self._load()
        if seen is None:
            return 0
        self._check_chain(seen, digests)
        return seen.version

    def remember_policy(self, digests: Sequence[str]) -> None:
        """Remembers that this user verified these versions (1 to the last); never fewer. Raises like ``verified``."""
        with self._locked():
            seen = self._load()
            if seen is None:
                stages: dict[str, SeenStage] = {}
            else:
                self._check_chain(seen, digests)
                if seen.version == len(digests):
                    return
                stages = seen.stages
            last = {"version": len(digests), "digest": digests[-1]}
            self._store(SeenProject(project=self.project, first=digests[0], stages=stages, **last))

    def settle_policy(self, digests: Sequence[str]) -> None:
        """Goes on from these versions in the place of others that this user saw, and has decided to drop.

        What was seen of snapshots stays. Raises ``TamperError`` for a chain that begins otherwise.
        """
        with self._locked():
            seen = self._load()
            if seen is not None:
                self._check_chain(seen.model_copy(update={"version": 1, "digest": seen.first}), digests)
                last = {"version": len(digests), "digest": digests[-1]}
                self._store(seen.model_copy(update=last))

    def check_snapshot(self, stage: str, version: int, digest: str) -> None:
        """Raises ``TamperError`` where this user has believed a later snapshot of the stage, or another so numbered, or
        one that is more than ``MAX_STEP`` versions before."""
        seen = self._load()
        if seen is not None:
            self._check_stage(seen, stage, version, digest)

    def remember_snapshot(self, stage: str, version: int, digest: str) -> None:
        """Remembers a snapshot as the highest of its stage, after ``remember_policy``. See ``check_snapshot``."""
        with self._locked():
            seen = self._load()
            if seen is None:
                raise ValueError("a policy is verified before any snapshot")
            self._check_stage(seen, stage, version, digest)
            entry = SeenStage(version=version, digest=digest)
            if seen.stages.get(stage) != entry:
                self._store(seen.model_copy(update={"stages": {**seen.stages, stage: entry}}))

    def _check_chain(self, seen: SeenProject, digests: Sequence[str]) -> None:
        if not digests or digests[0] != seen.first:
            refuse(
                f"begins otherwise than the policy of this project did when you first saw it ({seen.first})",
                "access/policy",
                hint=f"Somebody wrote it anew. If an admin tells you that this is right, delete {self._path}.",
            )
        if len(digests) < seen.version:
            refuse(
                f"ends at version {len(digests)}, and you have seen version {seen.version}: an older one was put back",
                "access/policy",
                hint="Fetch the newest (git pull). If the end was dropped where branches met: dsetkit access settle. "
                "Where none is newer, and an admin says that it is right (it came back from a backup), "
                f"{self._anew}",
            )
        if digests[seen.version - 1] != seen.digest:
            refuse(
                f"has another version {seen.version} than the one you have seen ({seen.digest})",
                "access/policy",
                hint="Two branches may have met: dsetkit access settle shows both, and takes the one that was pushed. "
                f"Or ask the admins which is theirs, and if it is this one, {self._anew}",
            )

    def _check_stage(self, seen: SeenProject, stage: str, version: int, digest: str) -> None:
        known = seen.stages.get(stage)
        if known is None:
            return
        if version < known.version:
            refuse(
                f"is version {version}, and you have seen version {known.version}: an older one was put back",
                stage,
                hint="Fetch the newest (git pull, dvc pull); to look at an old one, open it by its revision.",
            )
        if version > known.version + MAX_STEP:
            refuse(
                f"is version {version}, and you have seen version {known.version}: nobody builds so many in between",
                stage,
                hint="Ask who signed it (git log signatures/), and have a builder who has seen the stage before sign "
                "what is right: dsetkit sign.",
            )
        if version == known.version and digest != known.digest:
            refuse(
                f"is another version {version} than the one you have seen",
                stage,
                hint="Two builds were signed with one number: have a builder sign a later version.",
            )

    @property
    def _path(self) -> Path:
        return self._folder / self._name

    @property
    def _anew(self) -> str:
        """How to forget a project: both files, as entries of the audit went with the policies that they name."""
        audit = self._folder / f"audit/{self.project}.json"
        return f"delete {self._path} and {audit}: then you trust what is there at first sight."

    def _load(self) -> SeenProject | None:
        seen = _load(self._folder, self._name, SeenProject)
        if seen is not None and seen.project != self.project:
            _damaged(self._path)
        return seen

    def _store(self, seen: SeenProject) -> None:
        _write(self._path, document_text(seen))

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with _lock(self._folder / f"projects/{self.project}.lock"):
            yield


def state_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of what this user has seen; it need not be there. Raises ``AccessError`` for a relative path."""
    for name, rest in ((STATE_VARIABLE, ""), ("XDG_STATE_HOME", "dsetkit")):
        if environ.get(name):
            folder = Path(environ[name], rest)
            if folder.is_absolute():
                return folder
            if name == STATE_VARIABLE:
                raise AccessError(f"${name} is no absolute path", subject=name, hint="Give the whole path.")
    return Path(environ.get("HOME") or Path.home(), ".local/state/dsetkit")


def known_project(root: Path, environ: Mapping[str, str] = os.environ) -> str | None:
    """The id of the project that this user has seen in the folder ``root``; None where none was. ``TamperError``."""
    folder = state_folder(environ)
    _check_owned(folder)
    path = _path_text(root)
    place = _load(folder, _place_name(path), SeenPlace)
    if place is not None and place.path != path:
        _damaged(folder / _place_name(path))
    return None if place is None else place.project


def open_trust(root: Path, project: str, environ: Mapping[str, str] = os.environ) -> Trust:
    """What this user has seen of the project in the folder ``root``, whose policy says that its id is ``project``.

    Raises ``TamperError`` where this user has seen another project there, ``AccessError``, ``StorageError``.
    """
    folder = state_folder(environ)
    known = known_project(root, environ)
    if known is not None and known != project:
        refuse(
            f"is of another project ({project}) than the one you have seen in this folder ({known})",
            "access/policy",
            hint="Ask who replaced it. If it was you, delete "
            f"{folder / _place_name(_path_text(root))} and run it again.",
        )
    return Trust(folder, project)


def remember_place(root: Path, project: str, environ: Mapping[str, str] = os.environ) -> None:
    """Remembers that ``project`` is in the folder ``root``, once its policy was verified. Raises ``StorageError``."""
    if known_project(root, environ) is None:
        path = _path_text(root)
        _write(state_folder(environ) / _place_name(path), document_text(SeenPlace(path=path, project=project)))


def forget_place(root: Path, environ: Mapping[str, str] = os.environ) -> None:
    """Forgets which project is in the folder ``root``: a new one is made there. Raises ``StorageError``."""
    path = state_folder(environ) / _place_name(_path_text(root))
    with written(path):
        path.unlink(missing_ok=True)


def _path_text(root: Path) -> str:
    return os.fsencode(root.resolve()).decode("utf-8", "backslashreplace")


def _place_name(path: str) -> str:
    return f"places/{hashlib.sha256(path.encode()).hexdigest()}.json"


def _load(folder: Path, name: str, kind: type[_Seen]) -> _Seen | None:
    """The document in the file, None where there is none."""
    try:
        data = read_below(folder, name, _MAX_BYTES)
        return None if data is None else parse_document(kind, data, name)
    except TamperError:
        _damaged(folder / name)


def _damaged(path: Path) -> NoReturn:
    raise TamperError(
        f"{path}, what you have seen of this project, is damaged",
        subject=str(path),
        hint="Take it back from a backup of yours; without it, the next policy is trusted at first sight.",
    ) from None


def _check_owned(folder: Path) -> None:
    """Others must not write into the folder: what they put there would be believed."""
    with contextlib.suppress(FileNotFoundError):
        state = folder.stat()
        if state.st_uid not in (os.geteuid(), 0) or stat.S_IMODE(state.st_mode) & 0o022:
            raise AccessError(
                f"{folder}, what you have seen of projects, can be written by others",
                subject=str(folder),
                hint=f"Close it (chmod 700 {folder}), or name a folder of your own in ${STATE_VARIABLE}.",
            )


def _write(path: Path, data: bytes) -> None:
    with written(path):
        _make_folder(path.parent)
    write_atomic(path, data)


def _make_folder(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(exist_ok=True, mode=0o700)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    with written(path):
        _make_folder(path.parent)
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(number, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
