"""Signing what stands: snapshots that were built before, or by somebody who is a builder no more."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from dsetkit.access import audit
from dsetkit.access.opened import ProjectKeys
from dsetkit.access.statement import read_statement, reader_of, signature_name, statement_name
from dsetkit.errors import AccessError, NotFoundError, TamperError
from dsetkit.snapshots.opening import read_seals, stored_files
from dsetkit.snapshots.read import open_snapshot
from dsetkit.snapshots.stored_bytes import check_digests
from dsetkit.stages.project import Project
from dsetkit.stages.sealed import Unsigned, is_sealed_as_wanted, sign_document
from dsetkit.stages.sources import sorted_sources
from dsetkit.storage.folder import LocalFolder


@dataclass(frozen=True)
class Signed:
    """A statement that was written."""

    stage: str
    version: int
    digest: str
    """SHA-256 of the ``snapshot.json`` it is about."""
    signer: str
    files: tuple[str, str]


def standing_stages(project: Project) -> list[str]:
    """The stages whose snapshots stand in the workspace."""
    return [stage for stage, place in _places(project).items() if (place / "snapshot.json").is_file()]


def sign_stage(project: Project, keys: ProjectKeys, stage: str) -> Signed:
    """Signs the snapshot of a stage as it stands, into ``signatures/``, and into the audit chain.

    Raises ``NotFoundError`` where it does not stand, ``AccessError`` for who is no builder of it (of a plain one: no
    admin) and for one that is not sealed as the policy says now, ``TamperError``, ``SnapshotError``, ``StorageError``.
    """
    places = _places(project)
    place = places.get(stage)
    if place is None or not (place / "snapshot.json").is_file():
        there = ", ".join(standing_stages(project)) or "none"
        raise NotFoundError(f"{stage} has no snapshot here", name=stage, hint=f"These have: {there}.")
    if not is_sealed_as_wanted(keys, stage, read_seals(LocalFolder(place))):
        raise AccessError(
            f"{stage} is not sealed as the policy says now", subject=stage, hint="Build it again: dvc repro."
        )
    snapshot = open_snapshot(place, keys=Unsigned(keys))
    check_digests(LocalFolder(place), stored_files(LocalFolder(place)))
    document = (place / "snapshot.json").read_bytes()
    inputs = _inputs(stage, places)
    params, tools = snapshot.info.params_digest or "", snapshot.info.versions
    sign_document(keys, project.root, stage, document, inputs, params=params, tools=tools)
    made = read_statement(reader_of(project.root), stage)
    assert made is not None
    statement = made.statement
    done = Signed(
        stage,
        statement.parameters.version,
        statement.digest,
        statement.signer,
        (statement_name(stage), signature_name(stage)),
    )
    details: dict[str, JsonValue] = {"version": done.version, "digest": done.digest}
    with suppress(TamperError):  # another branch, or clone, has more of one's own chain: `access audit` tells of it
        audit.append(project.root, keys.chain, keys.identity, "sign", stage, details)
    return done


def _places(project: Project) -> dict[str, Path]:
    raw = {f"raw/{name}": project.raw(name) for name in sorted_sources(list(project.params.sources))}
    return {**raw, "cleaned": project.cleaned, "augmented": project.augmented}


def _inputs(stage: str, places: Mapping[str, Path]) -> dict[str, Path]:
    """What a stage is made from, as far as it stands."""
    names = {"cleaned": [name for name in places if name.startswith("raw/")], "augmented": ["cleaned"]}.get(stage, [])
    return {name: places[name] for name in names if (places[name] / "snapshot.json").is_file()}
