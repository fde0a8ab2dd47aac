"""``backup create``, ``verify``, ``restore``, ``list``, ``prune``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from dsetkit.cli.output import Output
from dsetkit.cli.sources import JSON
from dsetkit.cli.words import plural, size_text
from dsetkit.history.backup.create import create_backup
from dsetkit.history.backup.prune import list_generations, prune_backup
from dsetkit.history.backup.restore import restore_backup
from dsetkit.history.backup.verify import SAMPLE, verify_backup
from dsetkit.history.revisions import find_project
from dsetkit.spec.issue import Issue

backup_app = typer.Typer(
    help="Keep all versions at another place, and get them back.", no_args_is_help=True, rich_markup_mode=None
)
URL = typer.Argument(help="A folder, or any fsspec URL.")
GENERATION = typer.Option(None, "--generation", min=1, help="This generation, not the newest; see backup list.")


@backup_app.command()
def create(
    url: str = URL,
    keep: int | None = typer.Option(None, "--keep", min=1, help="Keep so many generations; older ones are dropped."),
    check: bool = typer.Option(False, "--check", help="Read what is there already; send again what is damaged."),
    allow_missing: bool = typer.Option(False, "--allow-missing", help="Exit code 0 even where objects are lost."),
    as_json: bool = JSON,
) -> None:
    """Back up all versions: every branch and tag, and every object of DVC that they need.

    Sends only what is new. May be stopped at any moment: run again, it goes on. Exit code 1 where a version needs an
    object that neither DVC's cache nor its remote has; everything else is backed up all the same.
    """
    output = Output(as_json=as_json)
    with output.progress() as progress:
        done = create_backup(find_project(Path()), url, keep=keep, check=check, progress=progress)
    if as_json:
        output.json({**asdict(done), "issues": _documents(done.issues)})
    else:
        what = f"generation {done.generation}" if done.is_new else f"nothing new since generation {done.generation}"
        output.heading(f"{done.url}: {what}")
        output.line(f"  {plural(done.versions, 'version')}, {plural(done.objects, 'object')}")
        output.line(f"  sent {plural(done.sent, 'object')}, {size_text(done.sent_bytes)}")
        if done.dropped:
            output.line(f"  dropped {plural(len(done.dropped), 'generation')}; backup prune deletes what only they had")
        for note in done.notes:
            output.line(f"  {note}", "yellow")
        output.issues(done.issues)
    raise typer.Exit(1 if any(issue.severity == "error" for issue in done.issues) and not allow_missing else 0)


@backup_app.command()
def verify(
    url: str = URL,
    sample: int = typer.Option(SAMPLE, "--sample", min=0, help="Read so many objects, drawn anew each time."),
    full: bool = typer.Option(False, "--full", help="Read every object."),
    generation: int | None = GENERATION,
    as_json: bool = JSON,
) -> None:
    """Prove that a backup can be restored, without restoring it.

    Reads the branches and tags, finds out what each version needs, and looks whether all of it is there and has its
    size. A sample of the objects is read and hashed. Names what is damaged with the versions and snapshots it belongs
    to. Exit code 1 where something is.
    """
    output = Output(as_json=as_json)
    with output.progress() as progress:
        done = verify_backup(url, sample=None if full else sample, generation=generation, progress=progress)
    if as_json:
        output.json({**asdict(done), "is_whole": done.is_whole, "issues": _documents(done.issues)})
    else:
        output.heading(f"{done.url}: {'can be restored' if done.is_whole else 'is damaged'}")
        numbers = ", ".join(map(str, done.generations)) or "none that can be used"
        output.line(f"  {'generation' if len(done.generations) == 1 else 'generations'} {numbers}")
        output.line(f"  {plural(done.versions, 'version')}, {plural(done.objects, 'object')}")
        rest = "" if full or done.read >= done.objects else "; of the others presence and size (--full reads all)"
        output.line(f"  read and hashed {plural(done.read, 'object')}, {size_text(done.read_bytes)}{rest}")
        if done.surplus:
            output.line(f"  {plural(done.surplus, 'file')} that no generation names: see backup prune", "dim")
        output.issues(done.issues)
    raise typer.Exit(0 if done.is_whole else 1)


@backup_app.command()
def restore(
    url: str = URL,
    folder: Path = typer.Argument(metavar="DIR", help="Where the project is to stand: not there yet, or empty."),
    rev: str | None = typer.Option(None, "--rev", help="Only this version: a tag, commit or branch."),
    generation: int | None = GENERATION,
    as_json: bool = JSON,
) -> None:
    """Get a working project back, its snapshots checked out.

    Every object is hashed as it comes. What is damaged is left out and named, with exit code 1. May be stopped at any
    moment: run again, it goes on.
    """
    output = Output(as_json=as_json)
    with output.progress() as progress:
        done = restore_backup(url, folder, rev=rev, generation=generation, progress=progress)
    if as_json:
        output.json({**asdict(done), "root": str(done.root), "issues": _documents(done.issues)})
    else:
        output.heading(f"{done.root}: restored from generation {done.generation}, made {done.created_at}")
        output.line(f"  {plural(done.versions, 'version')}, {plural(done.objects, 'object')}")
        output.line(f"  checked out {done.rev[:7]}: {', '.join(done.snapshots) or 'no snapshot'}")
        if not done.is_whole:
            output.line("  other versions are listed but not fetched; docs/backup.md says how to read them", "dim")
        output.issues(done.issues)
    raise typer.Exit(1 if any(issue.severity == "error" for issue in done.issues) else 0)


@backup_app.command("list")
def list_(url: str = URL, as_json: bool = JSON) -> None:
    """List the generations of a backup, newest first."""
    output = Output(as_json=as_json)
    rows = [
        {
            "generation": item.index.generation,
            "created_at": item.index.created_at,
            "head": item.index.head_rev,
            "versions": len(item.index.versions),
            "tags": sorted(ref.removeprefix("refs/tags/") for ref in item.index.refs if ref.startswith("refs/tags/")),
            "objects": len(item.index.objects),
            "size_bytes": sum(file.size_bytes for file in item.index.objects.values()),
            "missing": len(item.index.missing),
        }
        for item in list_generations(url)
    ]
    if as_json:
        output.json(rows)
        return
    output.table(
        ("generation", "made", "head", "versions", "objects", "size", "missing"),
        [
            (
                row["generation"],
                row["created_at"],
                str(row["head"])[:7],
                row["versions"],
                row["objects"],
                size_text(int(str(row["size_bytes"]))),
                row["missing"] or "",
            )
            for row in rows
        ],
        right=(0, 3, 4, 5, 6),
    )


@backup_app.command()
def prune(
    url: str = URL,
    keep: int | None = typer.Option(None, "--keep", min=1, help="Keep so many generations; all if left out."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be deleted, and delete nothing."),
    as_json: bool = JSON,
) -> None:
    """Delete older generations of a backup, and objects that none of the kept ones names.

    Not while a backup is being made there.
    """
    output = Output(as_json=as_json)
    done = prune_backup(url, keep=keep, dry_run=dry_run)
    if as_json:
        output.json(asdict(done))
        return
    verb = "would delete" if dry_run else "deleted"
    what = f"{plural(len(done.generations), 'generation')} and {plural(done.objects, 'object')}"
    output.heading(f"{done.url}: {verb} {what}, {size_text(done.size_bytes)}")
    output.line(f"  kept {plural(len(done.kept), 'generation')}: {', '.join(map(str, done.kept))}")
    if done.unknown:
        output.line(f"  let be: {plural(len(done.unknown), 'file')} that no backup writes ({done.unknown[0]}, ...)")


def _documents(issues: list[Issue]) -> list[dict[str, Any]]:
    return [issue.model_dump(mode="json", exclude_defaults=True) for issue in issues]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.add_typer(backup_app, name="backup")
