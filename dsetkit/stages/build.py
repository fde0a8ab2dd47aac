"""What all stages share: a build folder, the check that nothing changed meanwhile, and the swap."""

from __future__ import annotations

import errno
import fcntl
import hashlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from dsetkit.errors import ChangedError, SnapshotError, UsageError
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.spec.snapshot import SnapshotInfo
from dsetkit.stages.project import Project
from dsetkit.storage.atomic import swap_folder
from dsetkit.storage.unfinished import refuse_unfinished


class Progress(Protocol):
    """Told of the work as it goes; the command line draws it."""

    def start(self, text: str, total: int | None) -> None:
        """A step begins; ``total`` counts samples, where known."""

    def advance(self, count: int = 1) -> None:
        """So many more are done."""


class NoProgress:
    """Draws nothing."""

    def start(self, text: str, total: int | None) -> None:
        """Nothing."""

    def advance(self, count: int = 1) -> None:
        """Nothing."""


@dataclass(frozen=True)
class StageResult:
    """What a stage made, and what it cost."""

    info: SnapshotInfo
    place: Path
    decoded: int
    """Pictures decoded."""
    reused: int
    """Pictures taken from memory."""
    shards_total: int
    shards_linked: int
    """Shards whose members are the same as before: linked, not written."""
    shards_packed: int
    """Shards that were written."""
    bytes_packed: int
    """Their bytes."""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "stage": self.info.name,
            "fingerprint": self.info.fingerprint,
            "counts": self.info.counts.model_dump(mode="json"),
            "pictures_decoded": self.decoded,
            "pictures_reused": self.reused,
            "shards": self.shards_total,
            "shards_linked": self.shards_linked,
            "shards_packed": self.shards_packed,
            "bytes_packed": self.bytes_packed,
            "issues": [issue.model_dump(mode="json", exclude_defaults=True) for issue in self.info.issues],
        }


class Build(AbstractContextManager["Build"]):
    """One run of a stage: a folder to build in, and what must not change until the swap."""

    def __init__(
        self,
        project: Project,
        place: Path,
        read_state: Callable[[], dict[str, str]],
        *,
        stage: str,
        inputs: Mapping[str, Path] | None = None,
    ) -> None:
        """``stage`` is its name for the access policy (``raw/blood``); ``inputs`` the stages it is made from."""
        self.place = place
        self._root = project.root
        self.sealing = project.sealing(stage)
        self._inputs = dict(inputs or {})
        self._wants_signed = project.params.access.signed_inputs
        self.folder = project.work / "build" / "-".join(place.relative_to(project.root).parts)
        self._read_own = read_state
        self._before = self._read_state()

    def __enter__(self) -> Build:
        """Raises ``UsageError`` where another run builds the same snapshot now: they would write into one folder.

        So it does where a rollback of the project was interrupted.
        """
        refuse_unfinished(self.place)
        self.sealing.check_inputs(self._inputs, signed=self._wants_signed)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._lock = self.folder.with_name(f"{self.folder.name}.lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go of when the process ends, however it ends
        except OSError as error:
            self._lock.close()
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                return self  # a file system without locks
            raise UsageError(
                f"another run is building {self.place.name} right now", hint="Wait until it has ended."
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        """Finished shards of a run that failed stay, for the next run to use."""
        self._lock.close()

    def _read_state(self) -> dict[str, str]:
        return {**self._read_own(), **self.sealing.state(), **snapshot_state(self._inputs.values())}

    def swap(self, info: SnapshotInfo) -> None:
        """Sign the built snapshot where the policy wants it, and put its folder into its place.

        Raises ``ChangedError`` as ``check`` does, ``AccessError``.
        """
        self.check()
        document = (self.folder / "snapshot.json").read_bytes()
        name = (self.place / "snapshot.json").relative_to(self._root).as_posix()
        self.sealing.sign({name: document}, self._inputs, params=info.params_digest or "", tools=info.versions)
        self.place.parent.mkdir(parents=True, exist_ok=True)
        swap_folder(self.folder, self.place)
        self.sealing.finish()

    def check(self) -> None:
        """Look whether it may be put into place.

        Raises ``ChangedError`` where params or inputs are no longer what the run began with: DVC would record the
        new ones beside an output made from the old ones.
        """
        after = self._read_state()
        changed = sorted(
            name for name in self._before.keys() | after.keys() if self._before.get(name) != after.get(name)
        )
        if changed:
            raise ChangedError(
                f"changed while the stage ran: {', '.join(changed)}; {self.place.name} was not replaced",
                changed=changed,
                hint="Run dvc repro again.",
            )


def open_input(place: Path, project: Project, made_by: str) -> Snapshot:
    """The snapshot a stage works from. Raises ``SnapshotError`` that says how to get it where it is absent.

    Raises ``AccessError`` and ``TamperError`` for a sealed one, as ``open_snapshot`` does.
    """
    if not (place / "snapshot.json").is_file():
        raise SnapshotError(
            f"{place.relative_to(project.root)} holds no snapshot",
            path=str(place),
            hint=f"Make it: dvc repro {made_by}; or fetch it: dvc pull.",
        )
    return open_snapshot(place, keys=project.keys)


def snapshot_state(places: Iterable[Path]) -> dict[str, str]:
    """The digests of the inputs' ``snapshot.json``; each names and hashes all the rest."""
    return {
        str(place / "snapshot.json"): hashlib.sha256((place / "snapshot.json").read_bytes()).hexdigest()
        if (place / "snapshot.json").is_file()
        else ""
        for place in places
    }
