"""Signing what a rollback brought back: it is older than what its readers have seen, so it is signed as the newest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dsetkit.errors import AccessError, NotFoundError, UsageError
from dsetkit.history.statements import keys_at
from dsetkit.snapshots.opening import read_seals
from dsetkit.stages.project import Project
from dsetkit.stages.sealed import keys_of
from dsetkit.stages.sealed_report import FOLDERS, METRICS, PAGE, check_report, is_sealed_report, standing_report
from dsetkit.storage.folder import LocalFolder

if TYPE_CHECKING:
    from dsetkit.access.opened import ProjectKeys

REPORT = "report"
SIGNED = ("signatures", "access/audit")
"""What signing writes."""


def to_sign(paths: Iterable[str]) -> list[str]:
    """What ``sign_again`` looks at where these paths came back: snapshots, and the report for any file of it."""
    found = list(paths)
    places = [place.as_posix() for place in (PAGE, METRICS, *FOLDERS)]
    has_report = any(path == place or path.startswith(f"{place}/") for path in found for place in places)
    return [*(path for path in found if path.startswith("data/")), *([REPORT] if has_report else [])]


def sign_again(root: Path, paths: Iterable[str], rev: str) -> tuple[list[str], list[str]]:
    """Signs the sealed snapshots at these paths, and with ``report`` the sealed report, as far as this identity builds
    them.

    The stages that were signed, and notes of those that were not and are not believed as they stand. They came from
    ``rev``: what is not believed of that revision is not signed either. Raises ``TamperError``, ``StorageError``.
    """
    keys = keys_of(root)
    if keys is None:
        return [], []
    from dsetkit.stages.sign import sign_stage

    signed: list[str] = []
    notes: list[str] = []
    for path in sorted(paths):
        stage = path.removeprefix("data/")
        try:
            check = _check_of(root, path)
            then = keys_at(root, rev, path)
            if check is None or then is None:
                continue
            with suppress(AccessError):  # of which tampering is one: it is older than what was seen
                check(keys)
                continue
            check(then)
            signed.append(sign_stage(Project(root), keys, stage).stage)
        except (AccessError, NotFoundError, UsageError) as error:
            notes.append(f"{stage} as it stands is not signed: {error}")
    return signed, notes


def _check_of(root: Path, path: str) -> Callable[[ProjectKeys], object] | None:
    """What asks keys whether they believe what stands at a path, or the report; None where nothing sealed stands."""
    if path == REPORT:
        files = standing_report(root)
        return partial(check_report, files=files) if is_sealed_report(files) else None
    document = root / path / "snapshot.json"
    seals = read_seals(LocalFolder(root / path)) if document.is_file() else None
    if seals is None:
        return None

    def check(keys: ProjectKeys) -> None:
        keys.check_place(str(root / path), seals)
        keys.check(seals, document.read_bytes())

    return check
