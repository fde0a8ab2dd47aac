"""``rollback``: back to an earlier version; and, before every command, the end of one that was killed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import typer

from dsetkit.cli.output import Output
from dsetkit.cli.sources import JSON
from dsetkit.cli.words import plural
from dsetkit.errors import is_sealed_to_reader
from dsetkit.history.revisions import find_project
from dsetkit.history.rollback.change import SnapshotChange
from dsetkit.history.rollback.run import Rollback, Rolled, finish_interrupted, open_rollback, outdated
from dsetkit.snapshots.read import Snapshot

_MOST_FILES = 10
_UNREAD = "(cannot be read)"
_LATER = "(not readable before it is fetched)"


def rollback(
    rev: str = typer.Argument(help="Where to go: a commit, tag or branch; newer ones too."),
    stage: str | None = typer.Option(None, "--stage", help="One snapshot alone: cleaned, augmented, raw/SOURCE."),
    commit: bool = typer.Option(False, "--commit", help="Record it as a new commit."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say what would change."),
    as_json: bool = JSON,
) -> None:
    """Bring the dataset back to an earlier version.

    Snapshots, params, pipeline, locks, corrections and schemas.

    It happens wholly or not at all; dvc repro after it has nothing to do.
    Refuses where work is not committed. access/ is never rolled back.
    With --stage, one snapshot and what decides it; the next dvc repro may rebuild what is made from it.
    """
    output = Output(as_json=as_json)
    root = find_project(Path())
    done: Rolled | None = None
    with open_rollback(root, rev, stage, lock=not dry_run) as rolling:
        changes = list(rolling.snapshots())
        facts = _facts(rolling, changes, dry_run=dry_run)
        if not as_json:
            _show_plan(output, rolling, changes, dry_run=dry_run)
        if not dry_run and (rolling.is_needed or commit):
            with output.progress() as progress:
                progress.start(f"rolling back to {rev}", None)
                done = rolling.run(commit=commit)
    stale = None if dry_run else outdated(root)
    if as_json:
        output.json(
            {
                **facts,
                "done": done is not None and rolling.is_needed,
                "fetched": 0 if done is None else done.fetched,
                "new_commit": None if done is None else done.commit,
                "is_committed": None if done is None else done.is_recorded,
                "outdated": stale,
                "notes": [] if done is None else list(done.notes),
                "sealed": [] if done is None else list(done.sealed),
            }
        )
    elif not dry_run:
        _show_done(output, rolling, done, stale)


def finish_before() -> None:
    """Finish or undo what a killed rollback left where this command works, and say so on stderr."""
    named = [Path(text) for text in sys.argv[1:] if not text.startswith("-") and os.path.exists(text)]
    for line in finish_interrupted([Path(), *named]):
        Output(as_json=True).errors.print(line, markup=False)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(rollback)


def _facts(rolling: Rollback, changes: list[SnapshotChange], *, dry_run: bool) -> dict[str, Any]:
    return {
        "rev": rolling.target,
        "from": rolling.head,
        "stage": rolling.stage,
        "dry_run": dry_run,
        "snapshots": [change.to_json() for change in changes],
        "outputs": list(rolling.outputs),
        "files": rolling.files(),
        "left": list(rolling.plan.left),
        "to_fetch": rolling.lacking,
    }


def _show_plan(output: Output, rolling: Rollback, changes: list[SnapshotChange], *, dry_run: bool) -> None:
    if not rolling.is_needed:
        what = f"{rolling.stage} is" if rolling.stage else "The workspace is"
        output.heading(f"{what} at {rolling.title} already.")
        return
    roll = "would roll" if dry_run else "rolling"
    output.heading(f"{roll} {f'{rolling.stage} ' if rolling.stage else ''}back to {rolling.title}")
    for change in changes:
        output.line(f"  {change.name}: {_side(change.old, _UNREAD)} → {_side(change.new, _LATER)}")
        for line in change.lines():
            output.line(f"    {line}", "dim")
    for path, word in rolling.outputs.items():
        output.line(f"  {path}: {word}")
    files = rolling.files()
    for path, word in list(files.items())[:_MOST_FILES]:
        output.line(f"  {path}: {word}", "dim")
    if len(files) > _MOST_FILES:
        output.line(f"  and {plural(len(files) - _MOST_FILES, 'more file')} (all of them: --json)", "dim")
    for path in rolling.plan.left:
        output.line(f"  {path} is kept by neither git nor DVC here, and is left as it is")
    if lacking := rolling.lacking:
        output.line(f"  {plural(lacking, 'object')} to fetch")


def _side(snapshot: object, unread: str) -> str:
    if snapshot is None:
        return "none"
    if is_sealed_to_reader(snapshot):
        return "(sealed to you)"
    if not isinstance(snapshot, Snapshot):
        return unread
    counts = snapshot.info.counts
    return (
        f"{plural(counts.samples, 'sample')}, {plural(counts.annotations, 'annotation')} [{snapshot.fingerprint[:12]}]"
    )


def _show_done(output: Output, rolling: Rollback, done: Rolled | None, stale: list[str] | None) -> None:
    what = f"{rolling.stage} is" if rolling.stage else "the project is"
    if done is not None and rolling.is_needed:
        fetched = f"; fetched {plural(done.fetched, 'object')}" if done.fetched else ""
        checked = "every digest checked" if done.sealed else "every digest and fingerprint checked"
        output.heading(f"rolled back: {what} at {rolling.title}, {checked}{fetched}")
        if done.sealed:
            output.line(f"  sealed to you, so what they mean was not checked: {', '.join(done.sealed)}")
    if done is not None and done.commit:
        output.line(f"  committed as {done.commit[:7]}")
    elif done is not None and not done.is_recorded:
        again = f"dsetkit rollback {rolling.rev}{f' --stage {rolling.stage}' if rolling.stage else ''} --commit"
        output.line(f"  not committed yet: {again} records it; dsetkit rollback HEAD goes back to where you were")
    for note in done.notes if done is not None else ():
        output.line(f"  {note}")
    if stale:
        why = (
            "which are made from it or share what decides it"
            if rolling.stage
            else "which were out of date in that version too, or the policy seals otherwise now"
        )
        output.line(f"  dvc repro would now run {', '.join(stale)}, {why}")
    elif stale is not None:
        output.line("  dvc repro has nothing to do")
