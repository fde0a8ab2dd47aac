"""``ingest``, ``clean``, ``augment``, ``report``: what ``dvc.yaml`` runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from dsetkit.cli.output import Output
from dsetkit.cli.sources import JSON
from dsetkit.cli.words import in_order, plural, size_text, turned_away
from dsetkit.curation.renumbering import renumbered
from dsetkit.history.memory import last_output
from dsetkit.history.previous import previous_output
from dsetkit.spec.issue import Issue
from dsetkit.stages.augment import augment as run_augment
from dsetkit.stages.build import StageResult
from dsetkit.stages.clean import clean as run_clean
from dsetkit.stages.executor import open_pool
from dsetkit.stages.facets import readable_before
from dsetkit.stages.ingest import ingest as run_ingest
from dsetkit.stages.project import Project

if TYPE_CHECKING:
    from dsetkit.report.stage import ReportResult

WORKERS = typer.Option(None, "--workers", "-j", min=1, help="Pictures worked on at once; one a core by default.")


def ingest(
    source: str = typer.Argument(help="The source to take in."),
    workers: int | None = WORKERS,
    as_json: bool = JSON,
) -> None:
    """Take a locked source in: data/raw/SOURCE."""
    project = Project.find()
    project.source(source)
    output = Output(as_json=as_json)
    memory = last_output(project.root, project.raw(source))
    with open_pool(workers) as pool, output.progress() as progress:
        result = run_ingest(project, source, pool=pool, memory=memory, progress=progress)
    show_result(output, result)


def clean(workers: int | None = WORKERS, as_json: bool = JSON) -> None:
    """Make the cleaned snapshot of all sources: data/cleaned."""
    project = Project.find()
    output = Output(as_json=as_json)
    memory = last_output(project.root, project.cleaned)
    with open_pool(workers) as pool, output.progress() as progress:
        result = run_clean(project, pool=pool, memory=memory, progress=progress)
    # What is not committed is still being worked on: to go back to what HEAD has moves nothing.
    previous = previous_output(project.root, project.cleaned, "")
    before = previous.snapshot if previous is not None else memory
    moved = None if before is None else renumbered(before.categories, result.info.categories)
    said = [] if moved is None else [moved]
    show_result(output, result, [*said, *readable_before(project, "cleaned", before)])


def augment(workers: int | None = WORKERS, as_json: bool = JSON) -> None:
    """Make the augmented snapshot: data/augmented."""
    project = Project.find()
    output = Output(as_json=as_json)
    memory = last_output(project.root, project.augmented)
    with open_pool(workers) as pool, output.progress() as progress:
        result = run_augment(project, pool=pool, memory=memory, progress=progress)
    previous = previous_output(project.root, project.augmented, "")
    before = memory if previous is None else previous.snapshot
    show_result(output, result, readable_before(project, "augmented", before))


def report(as_json: bool = JSON) -> None:
    """Make the numbers, plots, page and cards: reports/ and cards/."""
    from dsetkit.report.stage import run_report  # what draws charts takes a while to load, and only this needs it

    project = Project.find()
    output = Output(as_json=as_json)
    with output.progress() as progress:
        result = run_report(project, progress=progress)
    if as_json:
        output.json(result.to_json())
    else:
        show_report(output, result, project)


def show_report(output: Output, result: ReportResult, project: Project) -> None:
    """Where the page is, how many of what there are, and what changed."""
    facts = result.facts
    output.heading(f"report: {result.page.relative_to(project.root)} ({size_text(result.page_bytes)})")
    output.line(f"  raw: {plural(facts.raw_samples, 'sample')}, {plural(facts.raw_annotations, 'annotation')}")
    for stage in (facts.cleaned, facts.augmented):
        if stage is not None:
            counted = f"{plural(stage.samples, 'sample')}, {plural(stage.annotations, 'annotation')}"
            output.line(f"  {stage.info.name}: {counted}")
    turned = turned_away(facts.cleaned.info.counts)
    if turned:
        output.line(f"  clean turned away {turned}")
    if facts.cleaned.imbalance is not None:
        output.line(f"  the largest category has {facts.cleaned.imbalance:.1f} times the annotations of the smallest")
    change = result.change
    if change is None:
        output.line("  no earlier version to compare with", "dim")
        return
    name = ", ".join([*change.previous.tags, change.previous.rev])
    lines = change.diff.summary(3)[1:]
    output.line(f"  since {name}: {lines[0]}")
    for line in lines[1:10]:
        output.line(f"    {line}", "dim")


def show_result(output: Output, result: StageResult, issues: Sequence[Issue] = ()) -> None:
    """What a stage made and what it cost.

    ``issues``: what is to be said of this run beside what the snapshot says of itself, whose bytes must not depend on
    what was there before.
    """
    if output.as_json:
        said = result.to_json()
        said["issues"] = [*(issue.model_dump(mode="json", exclude_defaults=True) for issue in issues), *said["issues"]]
        output.json(said)
        return
    counts = result.info.counts
    output.heading(
        f"{result.info.name}: {plural(counts.samples, 'sample')}, {plural(counts.annotations, 'annotation')}"
        f"  [{result.info.fingerprint[:12]}]"
    )
    turned = turned_away(counts)
    if turned:
        output.line(f"  turned away {turned}:")
        for reason, number in sorted(counts.per_reason.items()):
            output.line(f"    {number:>6,}  {reason}")
    if counts.per_change:
        output.line("  " + ", ".join(f"{number:,} {name}" for name, number in sorted(counts.per_change.items())))
    if counts.per_split:
        output.line("  " + ", ".join(f"{name} {number:,}" for name, number in in_order(counts.per_split)))
    output.line(
        f"  decoded {plural(result.decoded, 'picture')}, reused {result.reused:,}; "
        f"kept {result.shards_linked} of {plural(result.shards_total, 'shard')}, "
        f"wrote {size_text(result.bytes_packed)}",
        "dim",
    )
    output.issues([*issues, *result.info.issues], limit=10)


def register(app: typer.Typer) -> None:
    """Put this room's commands on the application."""
    for command in (ingest, clean, augment, report):
        app.command()(command)
