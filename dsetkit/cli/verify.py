"""``verify``: recompute what is recorded, and fetch good copies of what is damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer

import dsetkit
from dsetkit.cli.output import Output
from dsetkit.cli.sources import JSON, REV
from dsetkit.cli.words import plural
from dsetkit.errors import NotFoundError, SnapshotError, StorageError, UsageError
from dsetkit.history.objects import Objects
from dsetkit.history.repair import repair_outputs, repair_versions, repair_workspace, verify_versions
from dsetkit.history.revisions import find_project, snapshots_at
from dsetkit.report.cards.files import card_places, check_cards, project_of
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.spec.issue import Issue
from dsetkit.stages.project import Project
from dsetkit.storage.folder import open_folder


def verify(
    path: str | None = typer.Argument(None, help="A snapshot; all of the project's if left out."),
    rev: str | None = REV,
    everything: bool = typer.Option(False, "--all", help="Every version, each distinct object once."),
    repair: bool = typer.Option(False, "--repair", help="Fetch good copies of what is damaged or missing."),
    source: str | None = typer.Option(None, "--from", help="With --repair: a backup to fetch from, too."),
    as_json: bool = JSON,
) -> None:
    """Recompute all digests and fingerprints; check the cards.

    Cards are to be complete and current. Exit code 1 where something does not match.
    With --rev, what was recorded then, in DVC's cache and remote; cards are in git and not looked at.
    With --repair, good copies come from DVC's cache and remote (or the backup) into cache and workspace; nothing good
    is ever replaced. The exit code is that of a second look.
    """
    output = Output(as_json=as_json)
    if source is not None and not repair:
        raise UsageError("--from says where to repair from", hint="Give --repair with it.")
    if everything and (path is not None or rev is not None):
        raise UsageError("--all verifies every version", hint="Leave PATH and --rev out.")
    sound: list[Path] = []
    if everything:
        found = _verify_all(output)
    elif rev is not None:
        found = _verify_at(output, path, rev)
    else:
        found, sound = _verify_workspace(output, path, broken=repair)
    mended: list[str] = []
    if repair and any(issue.severity == "error" for issue in found):
        mended, failed = _repair(output, path, rev, everything, source)
        again = Output(as_json=as_json)
        if everything:
            found = _verify_all(again)
        elif rev is not None:
            found = _verify_at(again, path, rev)
        else:
            found, sound = _verify_workspace(again, path, broken=True)
        found = [*found, *failed]
    project = None if everything or rev is not None else Project.find() if path is None else project_of(path)
    if project is not None and (carded := [place for place in card_places(project) if place in sound]):
        with output.progress() as progress:
            progress.start("verifying cards", None)
            issues = check_cards(project, carded)
        found.extend(issues)
        _show(output, "cards", issues)
    if as_json:
        documents = [issue.model_dump(mode="json", exclude_defaults=True) for issue in found]
        output.json({"repaired": mended, "issues": documents} if repair else documents)
    raise typer.Exit(1 if found else 0)


def _verify_workspace(output: Output, path: str | None, *, broken: bool) -> tuple[list[Issue], list[Path]]:
    """The issues of snapshots in the workspace, and the folders of those without any.

    ``broken``: a snapshot that cannot be opened is an issue, not an error.
    """
    places = [path] if path is not None else [str(place) for place in _built(Project.find())]
    if not places:
        raise UsageError("no snapshot is built yet", hint="Build the dataset first: dvc repro; or: dvc pull.")
    found: list[Issue] = []
    sound: list[Path] = []
    for place in places:
        with output.progress() as progress:
            progress.start(f"verifying {_short(place)}", None)
            issues = _issues_of(lambda place=place: open_snapshot(place, check=False), broken)  # type: ignore[misc]
        found.extend(issues)
        if not issues:
            sound.append(Path(place).resolve())
        _show(output, _short(place), issues)
    return found, sound


def _verify_at(output: Output, path: str | None, rev: str) -> list[Issue]:
    """Verify the snapshots of a revision."""
    places = [str(place) for place in _places_at(path, rev)]
    found: list[Issue] = []
    for place in places:
        with output.progress() as progress:
            progress.start(f"verifying {_short(place)} at {rev}", None)
            issues = _issues_of(lambda place=place: dsetkit.open(place, rev=rev), True)  # type: ignore[misc]
        found.extend(issues)
        _show(output, f"{_short(place)} at {rev}", issues)
    return found


def _verify_all(output: Output) -> list[Issue]:
    """Verify every version of the project."""
    root = find_project(Path())
    objects = Objects(root)
    try:
        with output.progress() as progress:
            done = verify_versions(root, objects, progress)
    finally:
        objects.close()
    what = f"{plural(done.versions, 'version')}, {plural(done.snapshots, 'snapshot')}, {plural(done.objects, 'object')}"
    _show(output, what, done.issues)
    return done.issues


def _repair(
    output: Output, path: str | None, rev: str | None, everything: bool, source: str | None
) -> tuple[list[str], list[Issue]]:
    """What was mended, and what could not be."""
    root = find_project(Path(path or "."))
    backup = None if source is None else open_folder(source)
    objects = Objects(root)
    try:
        with output.progress() as progress:
            progress.start("fetching good copies", None)
            if everything:
                results = [repair_versions(root, objects, verify_versions(root, objects).bad, backup)]
            elif rev is not None:
                recorded = snapshots_at(root, rev)
                wanted = {place.relative_to(root).as_posix() for place in _places_at(path, rev)}
                outputs = {place: oid for place, oid in recorded.items() if place in wanted}
                results = [repair_outputs(root, objects, outputs, backup)]
            else:
                places = [Path(path)] if path is not None else _built(Project.find())
                results = [repair_workspace(root, place.resolve(), objects, backup) for place in places]
    finally:
        objects.close()
    mended = [name for result in results for name in result.mended]
    failed = [issue for result in results for issue in result.issues]
    if not output.as_json:
        output.heading(f"repaired {plural(len(mended), 'file')}; looking again")
        for name in mended[:20]:
            output.line(f"  {name}")
    return mended, failed


def _places_at(path: str | None, rev: str) -> list[Path]:
    """The snapshots of a revision, or the one that is asked for."""
    root = find_project(Path(path or "."))
    recorded = [place for place in snapshots_at(root, rev) if place.startswith("data/")]
    places = [Path(path).absolute()] if path is not None else [root / place for place in recorded]
    if not places:
        raise UsageError(f"{rev} has no snapshot", hint="See dsetkit log for versions that have.")
    return places


def _issues_of(opened: Callable[[], Snapshot], broken: bool) -> list[Issue]:
    """What is wrong with a snapshot; ``broken``: also that it cannot be opened."""
    try:
        return dsetkit.verify(opened())
    except (SnapshotError, StorageError, NotFoundError) as error:
        if not broken:
            raise
        return [Issue(code="snapshot-unreadable", message=error.message, hint=error.hint)]


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


def _built(project: Project) -> list[Path]:
    places = [*(project.raw(name) for name in project.params.sources), project.cleaned, project.augmented]
    return [place for place in places if (place / "snapshot.json").is_file()]


def register(app: typer.Typer) -> None:
    """Put this room's command on the application."""
    app.command()(verify)
