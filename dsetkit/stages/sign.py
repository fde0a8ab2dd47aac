"""Signing what stands: what was built before, or by somebody who is a builder no more."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pydantic import JsonValue

from dsetkit.access import audit
from dsetkit.access.opened import ProjectKeys
from dsetkit.access.rules import seal_wanted
from dsetkit.access.statement import REPORT, read_statement, reader_of, signature_name, statement_name, subject_name
from dsetkit.errors import AccessError, NotFoundError, TamperError, UsageError
from dsetkit.snapshots.opening import read_seals, stored_files
from dsetkit.snapshots.read import open_snapshot
from dsetkit.snapshots.stored_bytes import check_digests
from dsetkit.stages.lineage import report_digest
from dsetkit.stages.project import Project
from dsetkit.stages.sealed import Unsigned, is_sealed_as_wanted, sign_files
from dsetkit.stages.sealed_report import METRICS, PAGE, check_sealing, sealed_as, seals_report, standing_report
from dsetkit.stages.sources import sorted_sources
from dsetkit.stages.tools import tool_versions
from dsetkit.storage.folder import LocalFolder


@dataclass(frozen=True)
class Signed:
    """A statement that was written."""

    stage: str
    version: int
    digest: str
    """SHA-256 of the ``snapshot.json`` it is about; of a report one of all its files (``digest_of_files``)."""
    signer: str
    files: tuple[str, str]


def standing_stages(project: Project, keys: ProjectKeys) -> list[str]:
    """The stages that can be signed in the workspace: whose snapshots stand, and the report where it is sealed.

    Raises ``AccessError``, ``TamperError``, where a report stands, as reading the policy does.
    """
    found = [stage for stage, place in _places(project).items() if (place / "snapshot.json").is_file()]
    has_report = all((project.root / path).is_file() for path in (PAGE, METRICS))
    return [*found, REPORT] if has_report and seals_report(keys) else found


def sign_stage(project: Project, keys: ProjectKeys, stage: str) -> Signed:
    """Signs the snapshot of a stage, or the report, as it stands, into ``signatures/``, and into the audit chain.

    Raises ``NotFoundError`` where it does not stand, ``AccessError`` for who is no builder of it (of a plain snapshot:
    no admin) and for one that is not sealed as the policy says now, ``UsageError`` for a plain report, ``TamperError``,
    ``SnapshotError``, ``StorageError``.
    """
    if stage == REPORT:
        _sign_report(project, keys)
    else:
        _sign_snapshot(project, keys, stage)
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


def _sign_snapshot(project: Project, keys: ProjectKeys, stage: str) -> None:
    places = _places(project)
    place = places.get(stage)
    if place is None or not (place / "snapshot.json").is_file():
        there = ", ".join(standing_stages(project, keys)) or "none"
        raise NotFoundError(f"{stage} has no snapshot here", name=stage, hint=f"To be signed there are: {there}.")
    _check_as_wanted(keys, stage, place)
    snapshot = open_snapshot(place, keys=Unsigned(keys))
    check_digests(LocalFolder(place), stored_files(LocalFolder(place)))
    files = {subject_name(stage): (place / "snapshot.json").read_bytes()}
    params, tools = snapshot.info.params_digest or "", snapshot.info.versions
    sign_files(keys, project.root, stage, files, _inputs(stage, places), params=params, tools=tools)


def _sign_report(project: Project, keys: ProjectKeys) -> None:
    """Signs a report whose files all are what sealing them today gives; what it was made of must be sealed so, too."""
    wanted = seal_wanted(keys.policy, REPORT)
    if wanted is None:
        raise UsageError(
            "The report is plain, and only a sealed one is signed",
            hint="Sign what it is made from (dsetkit sign), or have an admin protect it (dsetkit access protect).",
        )
    files = standing_report(project.root)
    if absent := [str(path) for path in (PAGE, METRICS) if path not in files]:
        raise NotFoundError(
            f"The report is not whole here, without {', '.join(absent)}",
            name=absent[0],
            hint="Fetch it (dvc pull), or build it: dvc repro.",
        )
    if sealed_as(files) != wanted:
        _refuse_sealing(REPORT)
    for stage, place in _places(project).items():
        if (place / "snapshot.json").is_file():
            _check_as_wanted(keys, stage, place)
    check_sealing(files, keys.seal_in(*wanted, REPORT))
    sign_files(
        keys,
        project.root,
        REPORT,
        {path.as_posix(): data for path, data in files.items()},
        _places(project),
        params=report_digest(project),
        tools=tool_versions(),
    )


def _check_as_wanted(keys: ProjectKeys, stage: str, place: Path) -> None:
    if not is_sealed_as_wanted(keys, stage, read_seals(LocalFolder(place))):
        _refuse_sealing(stage)


def _refuse_sealing(stage: str) -> NoReturn:
    raise AccessError(f"{stage} is not sealed as the policy says now", subject=stage, hint="Build it again: dvc repro.")


def _places(project: Project) -> dict[str, Path]:
    raw = {f"raw/{name}": project.raw(name) for name in sorted_sources(list(project.params.sources))}
    return {**raw, "cleaned": project.cleaned, "augmented": project.augmented}


def _inputs(stage: str, places: Mapping[str, Path]) -> dict[str, Path]:
    """What a snapshot is made from."""
    names = {"cleaned": [name for name in places if name.startswith("raw/")], "augmented": ["cleaned"]}.get(stage, [])
    return {name: places[name] for name in names}
