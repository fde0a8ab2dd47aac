"""``exclude``, ``correct``, ``corrections``: what people decide about single samples, written down."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

import dsetkit
from dsetkit.cli.output import Output
from dsetkit.cli.sources import JSON, parse_options
from dsetkit.cli.words import plural
from dsetkit.curation.corrections import MET
from dsetkit.curation.nearest import short, suggest
from dsetkit.errors import NotFoundError, UsageError
from dsetkit.geometry.affine import transform
from dsetkit.history.repository import git
from dsetkit.snapshots.read import open_snapshot
from dsetkit.spec.arrow import Row
from dsetkit.spec.correction import Correction, SetAnnotation, SetSplit, check_text, date_text
from dsetkit.spec.issue import Issue
from dsetkit.stages.corrections import (
    Who,
    Workbench,
    add_annotation,
    add_corrections,
    delete_annotation,
    set_annotation,
    set_split,
)
from dsetkit.stages.corrections import exclude as exclude_sample
from dsetkit.stages.project import Project
from dsetkit.stages.returned import TOLERANCE_PX, compare_returned
from dsetkit.stages.sealed import is_protected
from dsetkit.stages.twins import Twins

IN_THE_CLEAR = Issue(
    code="correction-plain",
    severity="warning",
    message="corrections/ lies in git in the clear: what is written there of sealed samples can be read by whoever has "
    "the repository",
    hint="Where that may not be, take it out before you commit, and mend the labels in the source: dsetkit update.",
)
"""Beside each correction of what is sealed."""

WHY = typer.Option(..., "--why", help="The reason, in a sentence.")

corrections_app = typer.Typer(
    help="Take corrections from a label tool; check them.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def exclude(
    keys: list[str] = typer.Argument(metavar="KEY...", help="Samples; the end of a key will do where it is unique."),
    why: str = WHY,
    same_bytes: bool = typer.Option(False, "--same-bytes", help="All other samples of the same bytes, too."),
    as_json: bool = JSON,
) -> None:
    """Keep samples out of the cleaned snapshot.

    A line each in corrections/.
    """
    project = Project.find()
    who = _who(project, why)
    bench = Workbench(project)
    found = dict.fromkeys(bench.find(key) for key in keys)
    twins = Twins(bench)
    others = [name for name in dict.fromkeys(name for key in found for name in twins.of(key)) if name not in found]
    if same_bytes:
        found.update(dict.fromkeys(others))
    already = [key for key in found if bench.exclusion(key) is not None]
    made = [exclude_sample(bench.row(key), who) for key in found if key not in already]
    output = Output(as_json=as_json)
    if not as_json:
        for key in already:
            output.line(f"{key} is excluded already")
        if others and not same_bytes:
            output.line(f"Not excluded, though of the same bytes (--same-bytes): {', '.join(others)}", "yellow")
    _write(output, project, made)


def correct(
    key: str = typer.Argument(help="A sample; the end of its key will do where it is unique."),
    annotation: str | None = typer.Option(None, "--annotation", "-a", help="The id of the annotation that is meant."),
    add: bool = typer.Option(False, "--add", help="Add an annotation."),
    delete: bool = typer.Option(False, "--delete", help="Take the annotation away."),
    category: str | None = typer.Option(None, "--category", help="Its category."),
    bbox: str | None = typer.Option(
        None, "--bbox", help="Its box, x,y,w,h in pixels of the picture in data/cleaned (raw, if it is not there)."
    ),
    split: str | None = typer.Option(None, "--split", help="The split that the sample, and so its group, goes to."),
    why: str = WHY,
    as_json: bool = JSON,
) -> None:
    """Correct, add or delete an annotation, or set a split.

    A line in corrections/.

    Samples of the same bytes whose labels are the same are corrected alike.
    """
    asked = [annotation is not None, add, split is not None]
    if sum(asked) != 1:
        raise UsageError(
            "say what to correct: one of --annotation ID, --add, --split S",
            hint="The ids of a sample's annotations: dsetkit show data/cleaned KEY.",
        )
    values = category is not None or bbox is not None
    if (split is not None and (values or delete)) or (add and (delete or not values)) or (delete and values):
        raise UsageError(
            "these options do not go together",
            hint="--annotation with --category, --bbox or --delete; --add with --category, --bbox; --split alone.",
        )
    if annotation is not None and not (values or delete):
        raise UsageError("it says nothing new of the annotation", hint="Name --category, --bbox or --delete.")
    project = Project.find()
    who = _who(project, why)
    bench = Workbench(project)
    row = bench.row(bench.find(key))
    if split is not None:
        made: Correction | None = _split(project, row, split, who)
    elif add:
        made = _added(project, bench, row, category, bbox, who)
    else:
        made = _changed(project, bench, row, str(annotation), category, bbox, delete, who)
    output = Output(as_json=as_json)
    if made is None and not as_json:
        output.line("It is so already; nothing was written")
    _write(output, project, [] if made is None else [made, *Twins(bench).spread([made], who)])


@corrections_app.command("from")
def corrections_from(
    file: str = typer.Argument(help="Labels that a label tool gave back: a file or a folder."),
    why: str | None = typer.Option(None, "--why", help="The reason, in a sentence; else: taken from FILE."),
    snapshot: str = typer.Option("data/cleaned", "--snapshot", help="What was exported: a path in the project."),
    rev: str | None = typer.Option(None, "--rev", help="As it was when it was exported: a tag, commit or branch."),
    format: str | None = typer.Option(
        None, "--format", "-f", help="The label format; found from the files if left out."
    ),
    option: list[str] = typer.Option([], "--option", "-o", help="An option of the format, NAME=VALUE."),
    tolerance: float = typer.Option(
        TOLERANCE_PX, "--tolerance", min=0.0, help="Coordinates that differ by at most so many pixels are the same."
    ),
    all_statuses: bool = typer.Option(False, "--all", help="Proposed and declined annotations were exported too."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Show the corrections, and write nothing."),
    as_json: bool = JSON,
) -> None:
    """Take what a label tool changed as corrections. Exit code 1 where something could not be taken."""
    project = Project.find()
    who = _who(project, why if why is not None else f"Taken from {os.path.basename(os.path.normpath(file))}")
    output = Output(as_json=as_json)
    with output.progress() as progress:
        progress.start(f"comparing {file} with {snapshot}", None)
        held = dsetkit.open(project.resolve(snapshot), rev=rev)
        bench = Workbench(project)
        found = compare_returned(
            bench,
            held,
            file,
            who,
            format=format,
            options=parse_options(option),
            tolerance_px=tolerance,
            all_statuses=all_statuses,
        )
    if not as_json:
        output.heading(f"{plural(found.samples, 'sample')} compared: {plural(len(found.corrections), 'difference')}")
    made = [*found.corrections, *Twins(bench).spread(found.corrections, who)]
    if len(made) > len(found.corrections) and not as_json:
        output.line(f"  and {len(made) - len(found.corrections)} more in samples of the same bytes and labels")
    _write(output, project, made, issues=found.issues, dry_run=dry_run)
    raise typer.Exit(1 if any(issue.severity != "info" for issue in found.issues) else 0)


@corrections_app.command("check")
def corrections_check(as_json: bool = JSON) -> None:
    """Look for corrections that are stale, in conflict or lead nowhere. Exit code 1 where there are any."""
    bench = Workbench(Project.find())
    issues = bench.issues()
    output = Output(as_json=as_json)
    bad = [issue for issue in issues if issue.code != MET]
    if as_json:
        output.json(
            {
                "corrections": len(bench.placed),
                "issues": [issue.model_dump(mode="json", exclude_defaults=True) for issue in issues],
            }
        )
    else:
        output.heading(f"{plural(len(bench.placed), 'correction')}: {plural(len(bad), 'issue')}")
        output.issues(issues)
    raise typer.Exit(1 if bad else 0)


def read_keys(path: str) -> list[str]:
    """The keys in a file, one a line; empty lines and lines that begin with ``#`` say nothing. ``-``: from stdin.

    Raises ``NotFoundError`` where there is no such file, ``UsageError`` where it is no text.
    """
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise NotFoundError(
            f"{path} cannot be read: {error.strerror}", name=path, hint="Name a file of keys."
        ) from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text", hint="Write one key a line.") from None
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def register(app: typer.Typer) -> None:
    """Put this room's commands on the application."""
    for command in (exclude, correct):
        app.command()(command)
    app.add_typer(corrections_app, name="corrections")


def _who(project: Project, why: str) -> Who:
    """Author and date of what is decided now. Raises ``UsageError`` where git knows no name, or there is no reason."""
    ident = git(project.root, "-c", "user.useConfigOnly=true", "var", "GIT_AUTHOR_IDENT") or ""
    author = ident.rpartition("> ")[0]
    if not author.partition(" <")[0].strip() or not author.partition(" <")[2]:
        raise UsageError(
            "git does not know who you are, and each correction says who decided it",
            hint='Tell it once: git config --global user.name "Your Name" and git config --global user.email YOU@HOST.',
        )
    try:
        return Who(check_text(f"{author}>"), date_text(datetime.now(UTC)), check_text(" ".join(why.split())))
    except ValueError as error:
        raise UsageError(f"--why {short(why)}: {error}", hint="Give the reason in a sentence.") from None


def _split(project: Project, row: Row, split: str, who: Who) -> Correction | None:
    ratios = project.params.clean.split.ratios
    if ratios and split not in ratios:
        raise UsageError(
            f"the dataset has no split {split!r}{suggest(split, ratios)}",
            hint=f"clean.split.ratios has: {', '.join(ratios)}.",
        )
    return None if row.get("split") == split else set_split(row, split, who)


def _added(
    project: Project, bench: Workbench, row: Row, category: str | None, bbox: str | None, who: Who
) -> Correction:
    values: dict[str, Any] = {"kind": "image_label" if bbox is None else "box"}
    if category is not None:
        values["category"] = _category(bench, category)
    if bbox is not None:
        values["bbox_xywh_px"] = _box(project, row, bbox)
    return add_annotation(row["key"], values, [item["id"] for item in row.get("annotations", ())], who)


def _changed(
    project: Project,
    bench: Workbench,
    row: Row,
    name: str,
    category: str | None,
    bbox: str | None,
    delete: bool,
    who: Who,
) -> Correction | None:
    there = {item["id"]: item for item in row.get("annotations", ())}
    if name not in there:
        ids = ", ".join(there) or "none"
        raise NotFoundError(f"{row['key']} has no annotation {name!r}", name=name, hint=f"Its annotations are: {ids}.")
    item = there[name]
    if delete:
        return delete_annotation(row["key"], item, who)
    values: dict[str, Any] = {}
    if category is not None:
        values["category"] = _category(bench, category)
    if bbox is not None:
        if item["kind"] not in ("box", "keypoints"):
            raise UsageError(
                f"annotation {name} is a {item['kind']}: its box follows from its shape",
                hint="Correct the shape in a label tool: dsetkit export --keys, then dsetkit corrections from.",
            )
        values["bbox_xywh_px"] = _box(project, row, bbox)
    return set_annotation(row["key"], item, values, who)


def _category(bench: Workbench, category: str) -> str:
    if category not in bench.categories:
        raise UsageError(
            f"the dataset has no category {category!r}{suggest(category, bench.categories)}",
            hint=f"It has: {', '.join(bench.categories)}.",
        )
    return category


def _box(project: Project, row: Row, text: str) -> list[float]:
    """A box as typed, in pixels of the raw picture."""
    try:
        box = [float(part) for part in text.split(",")]
        if len(box) != 4 or not all(-1e9 < value < 1e9 for value in box) or min(box[2:]) <= 0:
            raise ValueError
    except ValueError:
        raise UsageError(
            f"--bbox {short(text)} is no box", hint="Write x,y,w,h: four numbers, w and h above 0."
        ) from None
    raw, seen = _size(row), _size(row)
    if (project.cleaned / "snapshot.json").is_file():
        cleaned = open_snapshot(project.cleaned, keys=project.keys)
        key = cleaned.shown_key(row["key"])
        if key in cleaned:
            seen = _size(cleaned.row(key))
    if raw is None or seen is None or seen == raw:
        return box
    matrix = (raw[0] / seen[0], 0.0, 0.0, 0.0, raw[1] / seen[1], 0.0)
    item = {"id": "0", "kind": "box", "bbox_xywh_px": box}
    return list(transform(item, matrix, width_px=raw[0], height_px=raw[1])["bbox_xywh_px"])


def _size(row: Row) -> tuple[int, int] | None:
    size = row.get("width_px"), row.get("height_px")
    return None if size[0] is None or size[1] is None else (size[0], size[1])


def _write(
    output: Output,
    project: Project,
    made: Sequence[Correction],
    *,
    issues: Sequence[Issue] = (),
    dry_run: bool = False,
) -> None:
    if made and is_protected(project.root, project.cleaned):
        issues = [*issues, IN_THE_CLEAR]
    paths = [] if dry_run or not made else add_corrections(project, made)
    names = [os.path.relpath(path, project.root) for path in paths]
    if output.as_json:
        output.json(
            {
                "corrections": [{"id": item.id, **item.model_dump(mode="json", exclude_unset=True)} for item in made],
                "written": names,
                "issues": [issue.model_dump(mode="json", exclude_defaults=True) for issue in issues],
            }
        )
        return
    for item in made:
        output.line(f"  {_describe(item)}")
    output.issues(issues)
    if names:
        output.line(f"Wrote {plural(len(made), 'correction')} to {', '.join(names)}")
        output.line("Next: dvc repro, then commit")


def _describe(item: Correction) -> str:
    named = getattr(item, "annotation", None)
    what = item.key if named is None else f"{item.key} annotation {named}"
    if isinstance(item, SetAnnotation):
        old = item.old.said
        said = (f"{name} {short(old.get(name))} → {short(value)}" for name, value in item.new.said.items())
        return f"set {what}: {', '.join(said)}"
    return f"split {what}: {item.new.split}" if isinstance(item, SetSplit) else f"{item.action} {what}"
