"""Sources come and go by somebody's act: add, update, remove; and how the project stands."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dsetkit.errors import AccessError, DsetkitError, ParamsError, TamperError, UsageError
from dsetkit.snapshots.read import open_snapshot
from dsetkit.spec.key import check_source_name
from dsetkit.spec.lock import SourceLock, ToolsLock
from dsetkit.spec.params import LabelsParams, SourceParams
from dsetkit.stages.lineage import augment_digest, clean_digest, raw_digest
from dsetkit.stages.project import PARAMS, SOURCES_LOCK, TOOLS_LOCK, Project
from dsetkit.stages.sealed import is_sealed_as_wanted, refresh_sealing
from dsetkit.stages.sources import (
    SourceState,
    changes,
    describe_changes,
    difference,
    is_locked,
    keep_listing,
    locked_listing,
    read_source,
    sorted_sources,
)
from dsetkit.stages.tools import tool_versions
from dsetkit.stages.yaml_documents import free_end, load_yaml, root_value, save_yaml
from dsetkit.storage.atomic import remove_tree
from dsetkit.storage.url import to_local


@dataclass(frozen=True)
class SourceReport:
    """What ``add`` and ``update`` found and locked."""

    name: str
    lock: SourceLock
    state: SourceState
    before: SourceLock | None
    changes: tuple[str, ...]
    """How the source differs from what was locked before, a line a kind of change."""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "name": self.name,
            "lock": self.lock.model_dump(mode="json", exclude_none=True),
            "before": None if self.before is None else self.before.model_dump(mode="json", exclude_none=True),
            "formats": [item.format.name for item in self.state.labels],
            "why": None if self.state.detection is None else self.state.detection.why,
            "others": [{"format": item.format, "why": item.why} for item in self.state.others],
            "changes": list(self.changes),
            "issues": [issue.model_dump(mode="json", exclude_defaults=True) for issue in self.state.issues],
        }


def add_source(project: Project, name: str, source: SourceParams) -> SourceReport:
    """Write a source into ``params.yaml``, with the format that was found, and lock what is there now.

    Raises ``UsageError`` for a name that is taken or malformed, and what ``read_source`` raises.
    """
    try:
        check_source_name(name)
    except ValueError as error:
        raise UsageError(str(error), hint="Choose another name, for example blood or ships_2.") from error
    if name in project.params.sources:
        raise UsageError(f"there is a source {name!r} already", hint=f"Choose another name, or: dsetkit update {name}.")
    state = read_source(source, project.resolve(source.path), project.stat_cache)
    labels = tuple(item.params.model_copy(update={"format": item.format.name}) for item in state.labels)
    found = source.model_copy(update={"labels": labels})
    for reference in dict.fromkeys([found.schema_, *(item.schema_ for item in labels)]):
        project.contract(reference)
    lock = _lock(project, name, state)
    document = load_yaml(project.root / PARAMS)
    sources = document.get("sources")
    if not hasattr(sources, "items"):
        sources = document["sources"] = {}
    if getattr(sources, "fa", None) is not None:
        sources.fa.set_block_style()  # `sources: {}` as init writes it would grow into one long line
    free_end(document, "sources")
    sources[name] = found.model_dump(mode="json", exclude_defaults=True)
    save_yaml(project.root / PARAMS, document)
    refresh_sealing(project.root)
    return SourceReport(name, lock, state, None, ())


def update_source(project: Project, name: str) -> SourceReport:
    """Lock what a source is now, and say how it differs from before."""
    state = read_source(project.source(name), project.source_url(name), project.stat_cache)
    before = project.lock.get(name)
    lines = () if before is None or is_locked(project, name, state) else tuple(difference(project, name, state))
    return SourceReport(name, _lock(project, name, state), state, before, lines)


def remove_source(project: Project, name: str) -> None:
    """Take a source, its lock and its raw snapshot away; the source's own files stay.

    Raises ``NotFoundError`` for a name that is not there.
    """
    if name not in project.lock:
        project.source(name)
    document = load_yaml(project.root / PARAMS)
    sources = document.get("sources")
    if hasattr(sources, "items") and name in sources:
        free_end(document, "sources")
        del sources[name]
        save_yaml(project.root / PARAMS, document)
    path = project.root / SOURCES_LOCK
    locks = load_yaml(path) if path.is_file() else {}
    if name in locks:
        del locks[name]
        save_yaml(path, locks)
    remove_tree(project.raw(name))
    refresh_sealing(project.root)


def update_tools(project: Project) -> list[str]:
    """Write the versions of this environment to ``tools.lock.yaml``; gives what changed."""
    path = project.root / TOOLS_LOCK
    before = dict(load_yaml(path)) if path.is_file() else {}
    versions = tool_versions()
    save_yaml(path, root_value(ToolsLock(versions)))
    return [
        f"{name} {before.get(name, 'absent')} → {versions.get(name, 'absent')}"
        for name in sorted(before.keys() | versions.keys())
        if before.get(name) != versions.get(name)
    ]


def source_params(
    project: Project,
    path: str,
    *,
    labels: Sequence[LabelsParams] = (),
    schema: str | None = None,
    license_name: str | None = None,
    exclude: Sequence[str] = (),
) -> SourceParams:
    """Params for a path as it was typed in the working folder: a relative one becomes relative to the project."""
    typed = to_local(path)
    if typed is not None and not typed.expanduser().is_absolute():
        path = Path(os.path.relpath(Path.cwd() / typed, project.root)).as_posix()
    return SourceParams(path=path, labels=tuple(labels), schema_=schema, license=license_name, exclude=tuple(exclude))


def _lock(project: Project, name: str, state: SourceState) -> SourceLock:
    lock = project.sealing(f"raw/{name}").stamped(state.lock())
    keep_listing(project, lock.digest, state.listing())
    path = project.root / SOURCES_LOCK
    document: Any = load_yaml(path) if path.is_file() else {}
    document[name] = lock.model_dump(mode="json", exclude_none=True)
    if getattr(document, "fa", None) is not None:
        document.fa.set_block_style()
    save_yaml(path, document)
    return lock


@dataclass(frozen=True)
class StageStatus:
    """How one snapshot stands: ``absent``, ``sealed`` (to this identity), ``damaged``, ``stale`` or ``built``."""

    name: str
    state: str
    detail: str
    samples: int = 0
    annotations: int = 0
    rejected: int = 0
    fingerprint: str | None = None

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return dict(vars(self))


@dataclass(frozen=True)
class SourceStatus:
    """How one source stands: ``locked``, ``changed``, ``unlocked``, ``unreachable``, ``sealed`` (to this identity)."""

    name: str
    state: str
    detail: tuple[str, ...] = ()
    """What is wrong or differs, a line each; nothing where it is as it was locked."""
    lock: SourceLock | None = None
    """What was locked; none where nothing was."""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        lock = None if self.lock is None else self.lock.model_dump(mode="json", exclude_none=True)
        return {"name": self.name, "state": self.state, "detail": list(self.detail), "lock": lock}


def source_status(project: Project, name: str) -> SourceStatus:
    """Whether a source is what was locked."""
    if name not in project.lock:
        return SourceStatus(name, "unlocked", (f"lock it: dsetkit update {name}",))
    locked = project.lock[name]
    try:
        state = read_source(project.source(name), project.source_url(name), project.stat_cache)
    except ParamsError:
        raise
    except DsetkitError as error:
        return SourceStatus(name, "unreachable", (error.message,), locked)
    try:
        is_same = is_locked(project, name, state)
    except AccessError as error:
        return SourceStatus(name, "sealed", (error.message,), locked)
    if is_same:
        return SourceStatus(name, "locked", (), locked)
    before = locked_listing(project, locked.digest)
    lines = describe_changes(changes(before, state.listing())) if before is not None else []
    return SourceStatus(name, "changed", tuple(lines or difference(project, name, state)), locked)


def stage_status(project: Project) -> list[StageStatus]:
    """How each snapshot stands against the params, locks and inputs there are now, without reading pictures."""
    names = sorted_sources(list(project.params.sources))
    found = [_stage(project, project.raw(name), f"raw/{name}", raw_digest(project, name), ()) for name in names]
    cleaned = _stage(project, project.cleaned, "cleaned", clean_digest(project), tuple(found))
    augmented = _stage(project, project.augmented, "augmented", augment_digest(project), (cleaned,))
    return [*found, cleaned, augmented]


def _absent(project: Project, name: str) -> StageStatus:
    """A stage that does not stand here, and what who asks can do about that."""
    build, fetch = "build it: dvc repro", "fetch it: dvc pull"
    if project.keys is not None:
        from dsetkit.access.rules import rule_of

        try:
            rule = rule_of(project.keys.policy, name)
            who = None if rule is None else project.keys.principal
        except AccessError as error:
            return StageStatus(name, "damaged" if isinstance(error, TamperError) else "sealed", str(error))
        if rule is not None and who not in rule.readers:
            return StageStatus(name, "sealed", f"not here, and not for you: {', '.join(rule.readers)} may read it")
        if rule is not None and who not in rule.builders:
            return StageStatus(name, "absent", f"{fetch} ({', '.join(rule.builders)} may build it)")
    return StageStatus(name, "absent", f"{build}; or {fetch}")


def _stage(
    project: Project, place: Path, name: str, params_digest: str, inputs: tuple[StageStatus, ...]
) -> StageStatus:
    if not (place / "snapshot.json").exists():
        return _absent(project, name)
    try:
        snapshot = open_snapshot(place, keys=project.keys)
    except TamperError as error:
        return StageStatus(name, "damaged", str(error))
    except AccessError as error:
        return StageStatus(name, "sealed", str(error))
    except DsetkitError as error:
        return StageStatus(name, "damaged", str(error))
    info = snapshot.info
    if snapshot.hidden:  # who does not read all of it is not told what it was made from
        counts = info.counts
        return StageStatus(name, "built", "", counts.samples, counts.annotations, 0, info.fingerprint)
    made_from = {parent.name: parent.fingerprint for parent in info.parents}
    # What is sealed to this identity is for others to keep fresh.
    reasons = [f"{item.name} is {item.state}" for item in inputs if item.state not in ("built", "sealed")]
    reasons += [
        f"{item.name} is another one now"
        for item in inputs
        if item.state == "built" and made_from.get(item.name) != item.fingerprint
    ]
    if info.params_digest != params_digest:
        reasons.append("params or locks changed")
    if not is_sealed_as_wanted(project.keys, name, snapshot.seals):
        reasons.append("the policy seals it otherwise now")
    counts = info.counts
    return StageStatus(
        name,
        "stale" if reasons else "built",
        f"{'; '.join(reasons)}: run dvc repro" if reasons else "",
        counts.samples,
        counts.annotations,
        counts.rejected_samples,
        info.fingerprint,
    )
