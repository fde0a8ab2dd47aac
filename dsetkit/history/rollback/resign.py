"""Signing what a rollback brought back: it is older than what its readers have seen, so it is signed as the newest."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from dsetkit.errors import AccessError, TamperError
from dsetkit.history.statements import keys_at
from dsetkit.snapshots.opening import read_seals
from dsetkit.stages.project import Project
from dsetkit.stages.sealed import keys_of
from dsetkit.storage.folder import LocalFolder

SIGNED = ("signatures", "access/audit")
"""What signing writes."""


def sign_again(root: Path, paths: Iterable[str], rev: str) -> tuple[list[str], list[str]]:
    """Signs the sealed snapshots at these paths as far as this identity builds them.

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
        document = root / path / "snapshot.json"
        seals = read_seals(LocalFolder(root / path)) if document.is_file() else None
        then = keys_at(root, rev, path)
        if seals is None or then is None:
            continue
        with suppress(AccessError):  # of which tampering is one: it is older than what was seen
            keys.check(seals, document.read_bytes())
            continue
        try:
            then.check_place(path, seals)
            then.check(seals, document.read_bytes())
        except (AccessError, TamperError) as error:
            notes.append(f"{stage} as it stands is not signed: {error}")
            continue
        try:
            signed.append(sign_stage(Project(root), keys, stage).stage)
        except AccessError as error:
            notes.append(f"{stage} as it stands is not signed: {error}")
    return signed, notes
