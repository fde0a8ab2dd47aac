"""``verify``: recompute what is recorded, and fetch good copies of what is damaged."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import typer

import dsetkit
from dsetkit.access.statement import REPORT
from dsetkit.cli.output import Output
from dsetkit.cli.sources import JSON, REV
from dsetkit.cli.words import plural
from dsetkit.errors import AccessError, NotFoundError, SnapshotError, StorageError, TamperError, UsageError
from dsetkit.history.objects import Objects
from dsetkit.history.recorded_report import sealed_report_at
from dsetkit.history.repair import Repaired, repair_outputs, repair_versions, repair_workspace
from dsetkit.history.revisions import find_project, folder_at, keys_recorded, resolve, snapshots_at
from dsetkit.history.statements import keys_at
from dsetkit.history.verify import verify_versions
from dsetkit.report.cards.files import card_places, check_cards, project_of
from dsetkit.snapshots.naming import SNAPSHOT
from dsetkit.snapshots.opening import read_seals
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.verify_stored import verify_stored
from dsetkit.spec.issue import Issue
from dsetkit.stages.project import Project
from dsetkit.stages.sealed import keys_near
from dsetkit.stages.sealed_report import report_issues, seals_report, standing_report
from dsetkit.storage.folder import Folder, open_folder

_MOST_NAMED = 20


class _Found(NamedTuple):
    """What a look gave."""

    issues: list[Issue]
    sound: list[Path]
    """Folders of the workspace in which nothing is wrong."""
    bad: list[str]
    """Of every version: objects that are missing or damaged."""


def verify(
    path: str | None = typer.Argument(None, help="A snapshot; all of the project's if left out."),
    rev: str | None = REV,
    everything: bool = typer.Option(False, "--all", help="Every version, each distinct object once."),
    repair: bool = typer.Option(False, "--repair", help="Fetch good copies of what is damaged or missing."),
    source: str | None = typer.Option(None, "--from", help="With --repair: a backup to fetch from, too."),
    as_json: bool = JSON,
) -> None:
    """Recompute all digests; check signatures and cards.

    Cards are to be complete and current; without PATH, a sealed report is to be what a builder of it signed. Exit code
    1 where something does not match.
    With --rev, what was recorded then, in DVC's cache and remote, and git; whether cards are current is not looked at.
    With --repair, good copies come from DVC's cache and remote (or the backup) into cache and workspace; nothing good
    is ever replaced. The exit code is that of a second look.
    """
    output = Output(as_json=as_json)
    if source is not None and not repair:
        raise UsageError("--from says where to repair from", hint="Give --repair with it.")
    if everything and (path is not None or rev is not None):
        raise UsageError("--all verifies every version", hint="Leave PATH and --rev out.")
    backup = None if source is None else open_folder(source)
    in_workspace = not everything and rev is None

    def look() -> _Found:
        if everything:
            return _look_at_versions(output)
        # Without PATH, or to be repaired: what cannot be opened is an issue, not an error.
        return _look_at_snapshots(output, path, rev, broken=repair or path is None)

    found = look()
    mended: list[str] = []
    if repair and any(issue.severity == "error" for issue in found.issues):
        done = _repair(output, path, rev, found.bad if everything else None, backup)
        mended = done.mended
        if mended:
            found = look()
        found.issues.extend(done.issues)
    issues = found.issues + (_check_cards(output, path, found.sound) if in_workspace else [])
    if path is None and not everything:
        issues += _check_report(output, rev)
    if as_json:
        documents = [issue.model_dump(mode="json", exclude_defaults=True) for issue in issues]
        output.json({"repaired": mended, "issues": documents} if repair else documents)
    elif in_workspace and not repair and any(issue.severity == "error" for issue in found.issues):
        output.line("Good copies, where DVC or a backup has them: dsetkit verify --repair (--from BACKUP_URL)", "dim")
    raise typer.Exit(1 if any(issue.severity != "info" for issue in issues) else 0)


def _look_at_snapshots(output: Output, path: str | None, rev: str | None, *, broken: bool) -> _Found:
    """Verify snapshots of the workspace, or of a revision. ``broken``: one that cannot be opened is an issue."""
    found = _Found([], [], [])
    for place in _places(path) if rev is None else _places_at(path, rev):
        name = _short(place) if rev is None else f"{_short(place)} at {rev}"
        opened: Callable[[], Snapshot]
        if rev is None:
            opened = partial(open_snapshot, place, keys=keys_near(place), check=False)
        else:
            opened = partial(dsetkit.open, place, rev=rev)
        with output.progress() as progress:
            progress.start(f"verifying {name}", None)
            issues = _issues_of(opened, broken or rev is not None, partial(_stored_issues, place, rev))
        found.issues.extend(issues)
        if not issues:
            found.sound.append(Path(place).resolve())
        _show(output, name, issues)
    return found


def _look_at_versions(output: Output) -> _Found:
    """Verify every version of the project."""
    root = find_project(Path())
    objects = Objects(root)
    try:
        with output.progress() as progress:
            done = verify_versions(root, objects, progress)
    finally:
        objects.close()
    what = f"{plural(done.versions, 'version')}, {plural(done.snapshots, 'snapshot')}, {plural(done.objects, 'object')}"
    if done.sealed:
        what += f" ({done.sealed} sealed to you: their files alone were looked at)"
    _show(output, what, done.issues)
    return _Found(done.issues, [], done.bad)


def _check_cards(output: Output, path: str | None, sound: list[Path]) -> list[Issue]:
    """What is wrong with the cards of snapshots with which nothing is."""
    project = Project.find() if path is None else project_of(path)
    carded = [] if project is None else [place for place in card_places(project) if place in sound]
    if project is None or not carded:
        return []
    with output.progress() as progress:
        progress.start("verifying cards", None)
        issues = check_cards(project, carded)
    _show(output, "cards", issues)
    return issues


def _check_report(output: Output, rev: str | None) -> list[Issue]:
    """Whether a builder signed the report, where it is sealed and stands; of a revision, where it was sealed then."""
    root = Project.find().root if rev is None else find_project(Path())
    commit = None if rev is None else resolve(root, rev)
    keys = keys_at(root, commit, REPORT)
    if keys is None:
        return []
    try:
        if commit is not None:
            files = sealed_report_at(root, commit)
        else:
            files = standing_report(root) if seals_report(keys) else {}
        if not files:
            return []
        issues = report_issues(keys, files)
    except TamperError as error:
        issues = [Issue(code="report-tampered", message=error.message, hint=error.hint)]
    except (NotFoundError, StorageError) as error:
        issues = [Issue(code="report-unreadable", message=error.message, hint=error.hint)]
    _show(output, "report" if rev is None else f"report at {rev}", issues)
    return issues


def _repair(
    output: Output, path: str | None, rev: str | None, bad: list[str] | None, backup: Folder | None
) -> Repaired:
    """Fetch good copies: of some objects, for a revision, or into the workspace."""
    root = find_project(Path(path or "."))
    objects = Objects(root)
    try:
        with output.progress() as progress:
            progress.start("fetching good copies", None)
            if bad is not None:
                results = [repair_versions(root, objects, bad, backup)]
            elif rev is not None:
                recorded = snapshots_at(root, rev)
                wanted = {Path(place).relative_to(root).as_posix() for place in _places_at(path, rev)}
                outputs = {place: oid for place, oid in recorded.items() if place in wanted}
                results = [repair_outputs(root, objects, outputs, backup)]
            else:
                places = [Path(os.path.abspath(place)) for place in _places(path)]
                results = [repair_workspace(root, place, objects, backup) for place in places]
    finally:
        objects.close()
    done = Repaired(
        [name for result in results for name in result.mended], [issue for result in results for issue in result.issues]
    )
    if not output.as_json:
        output.heading(f"repaired {plural(len(done.mended), 'file')}{'; looking again' if done.mended else ''}")
        for name in done.mended[:_MOST_NAMED]:
            output.line(f"  {name}")
        if len(done.mended) > _MOST_NAMED:
            output.line(f"  and {len(done.mended) - _MOST_NAMED} more")
        output.issues(done.issues)
    return done


def _places(path: str | None) -> list[str]:
    """The snapshots of the workspace, or the one that is asked for."""
    if path is not None:
        return [path]
    project = Project.find()
    folders = [*(project.raw(name) for name in project.params.sources), project.cleaned, project.augmented]
    places = [str(folder) for folder in folders if folder.is_dir() and any(folder.iterdir())]
    if not places:
        raise UsageError("no snapshot is built yet", hint="Build the dataset first: dvc repro; or: dvc pull.")
    return places


def _places_at(path: str | None, rev: str) -> list[str]:
    """The snapshots of a revision, or the one that is asked for. Raises ``NotFoundError`` where it has none such."""
    root = find_project(Path(path or "."))
    recorded = [str(root / place) for place in snapshots_at(root, rev) if place.startswith("data/")]
    places = recorded if path is None else [os.path.abspath(path)]
    if not recorded or not set(places) <= set(recorded):
        there = ", ".join(map(_short, recorded))
        raise NotFoundError(
            f"{rev} has no {'snapshot' if path is None else f'snapshot at {path}'}",
            name=rev,
            hint=f"It has {there}." if there else "See dsetkit log for versions that have.",
        )
    return places


def _issues_of(
    opened: Callable[[], Snapshot], broken: bool, stored: Callable[[AccessError], list[Issue]]
) -> list[Issue]:
    """What is wrong with a snapshot; ``broken``: also that it cannot be opened.

    ``stored``: what is wrong with one that is sealed to this identity.
    """
    try:
        return dsetkit.verify(opened())
    except TamperError as error:
        return [Issue(code="snapshot-tampered", message=error.message, hint=error.hint)]
    except AccessError as error:
        return stored(error)
    except (SnapshotError, StorageError, NotFoundError) as error:
        if not broken:
            raise
        return [Issue(code="snapshot-unreadable", message=error.message, hint=error.hint)]


def _stored_issues(place: str, rev: str | None, error: AccessError) -> list[Issue]:
    """What is wrong with a snapshot that is sealed to this identity: with its files and signature, without keys."""
    folder: Folder = open_folder(place) if rev is None else folder_at(place, rev)
    seals = read_seals(folder)
    if seals is None:
        raise error
    keys = keys_near(place) if rev is None else keys_recorded(place, rev)
    if keys is not None:
        try:
            keys.check_place(folder.url, seals)
            keys.check(seals, folder.read(SNAPSHOT))
        except TamperError as tampered:
            return [Issue(code="snapshot-tampered", message=tampered.message, hint=tampered.hint)]
    return verify_stored(folder, seals, error.hint, is_signed=keys is not None)


def _show(output: Output, what: str, issues: list[Issue]) -> None:
    if not output.as_json:
        output.line(f"{what}: {'verified' if not issues else plural(len(issues), 'issue')}")
        output.issues(issues)


def _short(place: str) -> str:
    """A path below the working folder, relative to it."""
    try:
        return str(Path(place).relative_to(Path.cwd()))
    except ValueError:
        return place


def register(app: typer.Typer) -> None:
    """Put this room's command on the application."""
    app.command()(verify)
