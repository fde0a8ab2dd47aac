"""``init``, ``add``, ``update``, ``remove``, ``status``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from dsetkit.cli.output import Output
from dsetkit.cli.words import plural, size_text
from dsetkit.errors import UsageError
from dsetkit.history.repository import create_repository, forget_stage
from dsetkit.spec.params import LabelsParams
from dsetkit.stages.init import prepare_folder, write_project
from dsetkit.stages.manage import (
    SourceReport,
    SourceStatus,
    add_source,
    remove_source,
    source_params,
    source_status,
    stage_status,
    update_source,
    update_tools,
)
from dsetkit.stages.project import Project
from dsetkit.stages.sources import sorted_sources

JSON = typer.Option(False, "--json", help="Print the result as JSON.")
REV = typer.Option(None, "--rev", help="As it was at this revision: a tag, commit or branch.")


def init(
    folder: Path = typer.Argument(Path(), metavar="[DIR]", help="The project's folder; this one by default."),
    demo: bool = typer.Option(False, "--demo", help="With a small demo dataset that shows every step."),
    as_json: bool = JSON,
) -> None:
    """Make a new project: params, pipeline, schemas, git and DVC."""
    output = Output(as_json=as_json)
    root = folder.resolve()
    prepare_folder(root)
    done = create_repository(root)  # first: where it cannot be made, no half a project stays behind
    written = write_project(root, demo=demo)
    if as_json:
        output.json({"root": str(root), "written": written, "created": done})
        return
    output.heading(f"A new project in {root}")
    output.line(f"  wrote {', '.join(written)}")
    if done:
        output.line(f"  made a {' and a '.join(done)}")
    step = "" if root == Path.cwd() else f"cd {folder} && "
    if demo:
        output.line(f"Next: {step}dvc repro")
    else:
        output.line(f"Next: {step}dsetkit add NAME PATH, then dvc repro")


def add(
    name: str = typer.Argument(help="What to call the source: lower-case letters, digits, - and _."),
    path: str = typer.Argument(help="A folder, or any fsspec URL."),
    format: str | None = typer.Option(
        None, "--format", "-f", help="The label format; found from the files if left out."
    ),
    labels: list[str] = typer.Option(
        [], "--labels", help="A label file in the source, as FILE or FORMAT:FILE; may be given several times."
    ),
    option: list[str] = typer.Option([], "--option", "-o", help="An option of the format, NAME=VALUE."),
    schema: str | None = typer.Option(None, "--schema", help="A contract for this source's labels, module:Name."),
    license: str | None = typer.Option(None, "--license", help="The licence its pictures are under."),
    exclude: list[str] = typer.Option([], "--exclude", help="A glob pattern of files to leave out."),
    as_json: bool = JSON,
) -> None:
    """Add a source of pictures and labels, and lock it."""
    project = Project.find()
    sets = _label_sets(format, labels, parse_options(option))
    source = source_params(project, path, labels=sets, schema=schema, license_name=license, exclude=exclude)
    report = add_source(project, name, source)
    output = Output(as_json=as_json)
    if as_json:
        output.json(report.to_json())
        return
    lock = report.lock
    output.heading(
        f"Added {name}: {plural(lock.pictures, 'picture')}, {plural(lock.labels, 'label file')}, "
        f"{size_text(lock.size_bytes)}"
    )
    _show_formats(output, report)
    output.issues(report.state.issues)
    output.line("Next: dvc repro")


def update(
    name: str | None = typer.Argument(None, help="The source; all of them if left out."),
    tools: bool = typer.Option(False, "--tools", help="Lock this environment's tool versions instead."),
    as_json: bool = JSON,
) -> None:
    """Lock what a source is now, and show how it differs."""
    project = Project.find()
    output = Output(as_json=as_json)
    if tools:
        changed = update_tools(project)
        if as_json:
            output.json({"tools": changed})
            return
        output.heading("Locked the tools of this environment" if changed else "The tools are those that are locked")
        for line in changed:
            output.line(f"  {line}")
        return
    names = [name] if name is not None else sorted_sources(list(project.params.sources))
    if not names:
        raise UsageError("the project has no source yet", hint="Add one: dsetkit add NAME PATH.")
    reports = [update_source(project, item) for item in names]
    if as_json:
        output.json([report.to_json() for report in reports])
        return
    for report in reports:
        if report.before == report.lock:
            output.line(f"{report.name}: nothing changed")
            continue
        output.heading(
            f"{report.name}: locked {plural(report.lock.pictures, 'picture')}, "
            f"{plural(report.lock.labels, 'label file')}"
        )
        for line in report.changes:
            output.line(f"  {line}")
        output.issues(report.state.issues)
    if any(report.before != report.lock for report in reports):
        output.line("Next: dvc repro")


def remove(
    name: str = typer.Argument(help="The source."),
    as_json: bool = JSON,
) -> None:
    """Take a source and its raw snapshot out of the project. Its own files stay."""
    project = Project.find()
    remove_source(project, name)
    forget_stage(project.root, f"ingest@{name}", f"data/raw/{name}")
    output = Output(as_json=as_json)
    if as_json:
        output.json({"removed": name})
        return
    output.heading(f"Removed {name}; its own files stay where they are")
    output.line("Next: dvc repro")


def status(as_json: bool = JSON) -> None:
    """Say how sources and snapshots stand. Exit code 1 where something is not as it should be."""
    project = Project.find()
    sources = [source_status(project, name) for name in sorted_sources(list(project.params.sources))]
    stages = stage_status(project)
    output = Output(as_json=as_json)
    fine = all(item.state == "locked" for item in sources) and all(item.state == "built" for item in stages)
    if as_json:
        output.json({"sources": sources, "snapshots": stages, "fine": fine})
        raise typer.Exit(0 if fine else 1)
    if not sources:
        output.line("The project has no source yet. Next: dsetkit add NAME PATH")
        raise typer.Exit(1)
    output.table(("source", "state", ""), [(item.name, item.state, _how_it_stands(item)) for item in sources])
    output.line()
    output.table(
        ("snapshot", "state", "samples", "annotations", "rejected", "fingerprint"),
        [
            (item.name, item.state, item.samples, item.annotations, item.rejected, item.fingerprint[:12])
            if item.fingerprint
            else (item.name, item.state, None, None, None, None)
            for item in stages
        ],
        right=(2, 3, 4),
    )
    told: dict[str, list[str]] = {}
    for item in stages:
        if item.detail:
            told.setdefault(item.detail, []).append(item.name)
    if told:
        output.line()
    for detail, names in told.items():
        output.line(f"{', '.join(names)}: {detail}")
    raise typer.Exit(0 if fine else 1)


def _how_it_stands(source: SourceStatus) -> str:
    if source.state != "locked" or source.lock is None:
        return "; ".join(source.detail)
    return f"{plural(source.lock.pictures, 'picture')}, {plural(source.lock.labels, 'label file')}"


def parse_options(pairs: list[str]) -> dict[str, Any]:
    """``NAME=VALUE`` pairs; a value that is JSON (a number, a list, true) is taken as such."""
    import json

    options: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError(f"the option {pair!r} is not NAME=VALUE", hint="For example: --option pixels=zero_based.")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


def _label_sets(format: str | None, labels: list[str], options: dict[str, Any]) -> list[LabelsParams]:
    if not labels:
        return [LabelsParams(format=format, options=options)] if format or options else []
    sets = []
    for item in labels:
        named, colon, file = item.partition(":")
        # A colon may belong to a URL or a Windows drive; a format's name is a plain word of two letters or more.
        if colon and len(named) > 1 and named.replace("_", "").isalnum() and not file.startswith("//"):
            sets.append(LabelsParams(format=named, file=file, options=options))
        else:
            sets.append(LabelsParams(format=format, file=item, options=options))
    return sets


def _show_formats(output: Output, report: SourceReport) -> None:
    detection = report.state.detection
    for item in report.state.labels:
        if detection is None or item.params.format is not None:
            output.line(f"  format {item.format.name}, as you said")
            continue
        output.line(f"  format {item.format.name}: {detection.why}")
        for other in report.state.others:
            output.line(f"  it could also be {other.format}: {other.why}", "dim")
        if report.state.others:
            name = report.name
            output.line(f"  to read it as another: dsetkit remove {name}, then add it with --format FORMAT", "dim")


def register(app: typer.Typer) -> None:
    """Put this room's commands on the application."""
    for command in (init, add, update, remove, status):
        app.command()(command)
