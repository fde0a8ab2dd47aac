"""``why``, ``verify``, ``formats``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import typer

import dsetkit
from dsetkit.cli.output import Output
from dsetkit.cli.sources import JSON, REV
from dsetkit.cli.words import plural
from dsetkit.errors import UsageError
from dsetkit.formats import registry
from dsetkit.formats.base import Format
from dsetkit.history.revisions import find_project, snapshots_at
from dsetkit.report.cards.files import card_places, check_cards, project_of
from dsetkit.spec.issue import Issue
from dsetkit.stages.project import Project
from dsetkit.stages.why import StageStory, trace


def why(
    key: str = typer.Argument(help="A sample's key; its end will do where it is unique."),
    as_json: bool = JSON,
) -> None:
    """Say what happened to a sample, stage by stage."""
    story = trace(Project.find(), key)
    output = Output(as_json=as_json)
    if as_json:
        output.json(story.to_json())
        return
    output.heading(story.key)
    if story.variant_of is not None:
        output.line(f"  a variant of {story.variant_of}, which came through like this:")
    for stage in story.stages:
        _show_stage(output, stage)


def verify(
    path: str | None = typer.Argument(None, help="A snapshot; all of the project's if left out."),
    rev: str | None = REV,
    as_json: bool = JSON,
) -> None:
    """Recompute all digests and fingerprints; check the cards.

    Cards are to be complete and current. Exit code 1 where something does not match.
    With --rev, what was recorded then, in DVC's cache and remote; cards are in git and not looked at.
    """
    output = Output(as_json=as_json)
    if rev is not None:
        _verify_at(output, path, rev)
    project = Project.find() if path is None else project_of(path)
    places = [path] if path is not None else [str(place) for place in _built(Project.find())]
    if not places:
        raise UsageError("no snapshot is built yet", hint="Build the dataset first: dvc repro; or: dvc pull.")
    found = []
    sound = []
    for place in places:
        issues = _verify_snapshot(output, place)
        found.extend(issues)
        if not issues:
            sound.append(Path(place).resolve())
    if project is not None and (carded := [place for place in card_places(project) if place in sound]):
        with output.progress() as progress:
            progress.start("verifying cards", None)
            issues = check_cards(project, carded)
        found.extend(issues)
        if not as_json:
            output.line(f"cards: {'verified' if not issues else plural(len(issues), 'issue')}")
            output.issues(issues)
    if as_json:
        output.json([issue.model_dump(mode="json", exclude_defaults=True) for issue in found])
    raise typer.Exit(1 if found else 0)


def _verify_at(output: Output, path: str | None, rev: str) -> NoReturn:
    """Verify the snapshots of a revision."""
    root = find_project(Path(path or "."))
    recorded = [place for place in snapshots_at(root, rev) if place.startswith("data/")]
    places = [path] if path is not None else [str(root / place) for place in recorded]
    if not places:
        raise UsageError(f"{rev} has no snapshot", hint="See dsetkit log for versions that have.")
    found = [issue for place in places for issue in _verify_snapshot(output, place, rev)]
    if output.as_json:
        output.json([issue.model_dump(mode="json", exclude_defaults=True) for issue in found])
    raise typer.Exit(1 if found else 0)


def _verify_snapshot(output: Output, place: str, rev: str | None = None) -> list[Issue]:
    """What is wrong with one snapshot, told as it is found."""
    name = _short(place) if rev is None else f"{_short(place)} at {rev}"
    with output.progress() as progress:
        progress.start(f"verifying {name}", None)
        issues = dsetkit.verify(dsetkit.open(place, rev=rev))
    if not output.as_json:
        output.line(f"{name}: {'verified' if not issues else plural(len(issues), 'issue')}")
        output.issues(issues)
    return issues


def formats(
    name: str | None = typer.Argument(None, help="One format, with its options."),
    as_json: bool = JSON,
) -> None:
    """List the label formats and what each can carry."""
    output = Output(as_json=as_json)
    chosen = [registry.get(item) for item in ([name] if name else registry.names())]
    if as_json:
        output.json([_facts(item) for item in chosen])
        return
    for item in chosen:
        facts = _facts(item)
        output.heading(f"{facts['name']}  {facts['title']}")
        output.line(f"  kinds: {', '.join(facts['kinds'])}")
        if facts["becomes"]:
            output.line(f"  written as another kind: {', '.join(f'{a} → {b}' for a, b in facts['becomes'].items())}")
        output.line(f"  carries: {', '.join(facts['carries']) or 'nothing more'}")
        for option, text in facts["options"].items() if name else ():
            output.line(f"  option {option}: {text}")


def _facts(label_format: Format) -> dict[str, Any]:
    """What a format can carry, as a document."""
    can = label_format.capabilities
    carries = {
        "polygons of several parts": can.parts and "polygon" in can.kinds,
        "holes": can.holes,
        "attributes" + ("" if can.attributes is None else f" ({', '.join(sorted(can.attributes))})"): (
            can.attributes is None or bool(can.attributes)
        ),
        "subsets": can.subsets != "none",
        "unlabelled told from empty": can.tells_unlabelled,
        "annotation ids": "id" in can.annotation_fields,
        "several annotators": "annotator" in can.annotation_fields,
        "tracks": "track" in can.annotation_fields,
        "crowds": "is_crowd" in can.annotation_fields,
        "scores": "score" in can.annotation_fields,
        "all categories in order": can.categories == "all",
    }
    return {
        "name": label_format.name,
        "title": label_format.title,
        "reads": can.reads,
        "writes": can.writes,
        "kinds": sorted(can.kinds),
        "becomes": dict(sorted(can.becomes.items())),
        "carries": [name for name, does in carries.items() if does],
        "looks_for": label_format.looks_for,
        "options": dict(label_format.options),
    }


def _short(place: str) -> str:
    """A path below the working folder, relative to it."""
    try:
        return str(Path(place).relative_to(Path.cwd()))
    except ValueError:
        return place


def _built(project: Project) -> list[Path]:
    places = [*(project.raw(name) for name in project.params.sources), project.cleaned, project.augmented]
    return [place for place in places if (place / "snapshot.json").is_file()]


def _show_stage(output: Output, stage: StageStory) -> None:
    text = f"{stage.stage}: {stage.outcome}"
    if stage.reason:
        text += f", {stage.reason}"
    if stage.message:
        text += f" ({stage.message})"
    if stage.duplicate_of and stage.duplicate_of not in stage.message:
        text += f"; duplicate of {stage.duplicate_of}"
    if stage.outcome == "kept":
        text += f", {plural(stage.annotations, 'annotation')}, labelled {stage.labelled}"
        text += f", split {stage.split}" if stage.split else ""
    output.line(f"  {text}", {"rejected": "red", "kept": "green"}.get(stage.outcome, "dim"))
    for change in stage.changes:
        output.line(f"    {change}")
    for item in stage.rejected_annotations:
        output.line(
            f"    annotation {item['annotation']} ({item['category']}) turned away: "
            f"{item['reason']} ({item['message']})",
            "red",
        )
    if stage.duplicates:
        output.line(f"    stands for its duplicates {', '.join(stage.duplicates)}")
    if stage.variants:
        output.line(f"    variants: {', '.join(stage.variants)}")


def register(app: typer.Typer) -> None:
    """Put this room's commands on the application."""
    for command in (why, verify, formats):
        app.command()(command)
