"""``log``, ``find``, ``diff``, ``blame``: the versions of the dataset, and what differs between them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import typer

from dsetkit.cli.output import Output
from dsetkit.cli.sources import JSON
from dsetkit.cli.words import plural, size_text
from dsetkit.errors import UsageError
from dsetkit.history.blame import Blamed
from dsetkit.history.blame import blame as find_blame
from dsetkit.history.compare import Compared, compare_ends, under_own_keys
from dsetkit.history.log import Found, Version, change_line, versions
from dsetkit.history.log import find as find_fingerprint
from dsetkit.history.objects import Objects
from dsetkit.history.revisions import Commit, find_project, resolve, stage_facts
from dsetkit.history.sizes import Cost, Costs, costs
from dsetkit.snapshots.read import Snapshot
from dsetkit.spec.diff_text import printable
from dsetkit.storage.atomic import write_atomic

_MOST = 20


def log(
    rev: str = typer.Argument("HEAD", help="Where to begin: a commit, tag or branch."),
    most: int = typer.Option(_MOST, "--max", "-n", min=1, help="At most so many versions."),
    everything: bool = typer.Option(False, "--all", help="All versions."),
    sizes: bool = typer.Option(False, "--sizes", help="Say what each costs in DVC's cache or remote."),
    as_json: bool = JSON,
) -> None:
    """List the versions of the dataset, newest first.

    A version is a commit that changed dvc.lock. What several versions share is stored once: of each, --sizes says
    what it takes in all, what of it no older version has, and what no other version has at all.
    """
    output = Output(as_json=as_json)
    root = find_project(Path())
    objects = Objects(root)
    try:
        start = resolve(root, rev) if rev != "HEAD" else rev
        found = list(islice(versions(root, objects, start), None if everything or as_json else most + 1))
        told = costs(root, objects, start) if sizes and found else None
        if as_json:
            output.json([_version(item, told) for item in found])
            return
        if not found:
            output.line("No version yet: commit dvc.lock (git add --all, git commit).")
        older: list[Version | None] = [*found[1:], None]
        for version, before in list(zip(found, older, strict=True))[: None if everything else most]:
            commit = version.commit
            tags = f" ({', '.join(commit.tags)})" if commit.tags else ""
            output.heading(f"{commit.short}{tags}  {commit.date[:10]}  {commit.author}  {commit.message}")
            for name, snapshot in version.stages.items():
                output.line(f"  {name}: {_stage_text(snapshot)}")
            output.line(f"  {change_line(before, version)}", "dim")
            if told:
                output.line(f"  {_cost_text(told.versions[commit.rev])}")
        if told:
            whole = told.together
            output.line(f"all versions: {size_text(whole.size_bytes)} in {plural(whole.objects, 'object')}")
            if whole.unknown_objects:
                output.line(f"{plural(whole.unknown_objects, 'object')} in neither cache nor remote, so not counted")
        if not everything and len(found) > most:
            output.line("older versions: --all, or -n", "dim")
    finally:
        objects.close()


def find(
    fingerprint: str = typer.Argument(help="A fingerprint, or its first 8 letters or more."),
    take: int | None = typer.Option(None, "--take", min=1, help="Look at draws of so many samples, too."),
    seed: int = typer.Option(0, "--seed", help="What those were drawn with."),
    as_json: bool = JSON,
) -> None:
    """Find which version, stage or selection has a fingerprint.

    Selections by split and category are looked at; with --take also draws from them. What has facets is looked at as
    those see it who lack some, too. Exit code 1 where there is none.
    """
    output = Output(as_json=as_json)
    wanted = fingerprint.strip().lower()
    if len(wanted) < 8 or not set(wanted) <= set("0123456789abcdef"):
        raise UsageError(
            f"{fingerprint!r} is no fingerprint", hint="Give its 64 hexadecimal digits, or at least the first 8."
        )
    root = find_project(Path())
    objects = Objects(root)
    try:
        found, sealed, unread, looked = find_fingerprint(root, objects, wanted, take=take, seed=seed)
    finally:
        objects.close()
    if sealed and not looked:
        raise sealed[0]
    if as_json:
        output.json([_found(item) for item in found])
    elif not found:
        known = " that could be read here" if unread else " that you may read" if sealed else ""
        output.line(f"No version{known} has the fingerprint {wanted}.")
    else:
        has_views = any(item.without for item in found)
        rows = [
            (
                item.commit.short,
                ", ".join(item.commit.tags),
                item.commit.date[:10],
                item.stage,
                ", ".join(f"{name}={value}" for name, value in item.selection.items()) or "whole",
                *([f"without {', '.join(item.without)}" if item.without else "whole"] * has_views),
            )
            for item in found
        ]
        header = ("version", "tags", "date", "stage", "selection", *(["as seen"] * has_views))
        output.table(header, rows)
    if sealed:
        told = "snapshot is" if len(sealed) == 1 else "snapshots are"
        output.note(f"{len(sealed)} {told} sealed to you and not looked at. {sealed[0].hint}")
    if unread:
        output.note(f"{plural(len(unread), 'snapshot')} could not be read, and so not be looked at: {unread[0]}")
    raise typer.Exit(0 if found else 1)


def diff(
    old: str = typer.Argument(help="A revision, or a snapshot: a folder or any fsspec URL."),
    new: str | None = typer.Argument(None, help="The same; what stands in the workspace if left out."),
    stage: str | None = typer.Option(None, "--stage", help="Of revisions: cleaned, augmented, raw/SOURCE."),
    limit: int = typer.Option(10, "--limit", min=0, help="At most so many entries of a kind."),
    page: Path | None = typer.Option(None, "--html", help="Write a page with both label sets drawn to this file."),
    samples: int = typer.Option(60, "--samples", min=0, help="On the page: at most so many changed samples."),
    as_json: bool = JSON,
) -> None:
    """Say what differs between two versions.

    With --html also as one page that needs no server, with each changed sample as it was beside what it is.
    """
    output = Output(as_json=as_json)
    found = compare_ends(old, new, stage)
    written = None if page is None else _write_page(found, page, samples)
    if as_json:
        output.json(found.diff.model_dump(mode="json"))
        return
    head, *lines = under_own_keys(found).summary(limit)
    output.heading(head)
    for line in lines:
        output.line(f"  {line}")
    if written:
        output.line(written)
    elif any(len(entries) > limit for _, _, entries in found.diff.lists()):
        output.line("All of it: --limit, --json; with pictures: --html FILE.", "dim")


def _write_page(found: Compared, page: Path, samples: int) -> str:
    """Write the page of a diff; what to say of it."""
    from dsetkit.report.page.change import Sides
    from dsetkit.report.page.diff import build_diff_page  # templates and pictures: only this needs them

    if page.is_dir():
        raise UsageError(f"{page} is a folder", hint="Name a file: --html diff.html.")
    made = build_diff_page(found.diff, Sides(found.old, found.new), samples=samples)
    write_atomic(page, made.data)
    return (
        f"{page}: {plural(made.shown, 'changed sample')} of {made.touched:,} drawn, {size_text(len(made.data))}; "
        "open it in a browser"
    )


def blame(
    key: str = typer.Argument(help="A sample; the end of its key will do where it is unique."),
    stage: str = typer.Option("cleaned", "--stage", help="cleaned, augmented, raw/SOURCE."),
    rev: str = typer.Option("HEAD", "--rev", help="As of this revision."),
    as_json: bool = JSON,
) -> None:
    """Say which version last changed each annotation."""
    output = Output(as_json=as_json)
    root = find_project(Path())
    objects = Objects(root)
    try:
        whole, found = find_blame(root, objects, stage, key, resolve(root, rev))
    finally:
        objects.close()
    if as_json:
        output.json(
            {
                "key": whole,
                "stage": stage,
                "annotations": [
                    {
                        "annotation": item.annotation,
                        "is_certain": item.is_whole,
                        **_commit(item.commit),
                        "correction": _correction(item),
                    }
                    for item in found
                ],
            }
        )
        return
    output.heading(whole)
    rows = [
        (
            item.annotation["id"],
            item.annotation["kind"],
            item.annotation.get("category"),
            item.commit.short,
            ", ".join(item.commit.tags),
            item.commit.date[:10],
            item.commit.author,
            item.commit.message + ("" if item.is_whole else " (or an earlier one, which cannot be read)"),
        )
        for item in found
    ]
    output.table(("id", "kind", "category", "version", "tags", "date", "author", "message"), rows)
    for item in found:
        if item.correction is not None:
            output.line(f"{item.annotation['id']}: {item.correction.note(item.correction.action)}")
        elif item.correction_id is not None:
            output.line(f"{item.annotation['id']}: correction {item.correction_id}, which corrections/ no longer has")


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (log, find, diff, blame):
        app.command()(command)


def _version(version: Version, told: Costs | None) -> dict[str, Any]:
    stages = {
        name: stage_facts(snapshot) if isinstance(snapshot, Snapshot) else {"error": snapshot.message}
        for name, snapshot in version.stages.items()
    }
    cost = {"sizes": told.versions[version.commit.rev].facts()} if told else {}
    return {**_commit(version.commit), "stages": stages, **cost}


def _cost_text(cost: Cost) -> str:
    return (
        f"takes {size_text(cost.size_bytes)}, of it {size_text(cost.added_bytes)} new"
        f" ({cost.added_objects:,} of {plural(cost.objects, 'object')}),"
        f" {size_text(cost.only_here_bytes)} in no other version"
    )


def _commit(commit: Commit) -> dict[str, Any]:
    return {
        "rev": commit.rev,
        "tags": list(commit.tags),
        "date": commit.date,
        "author": commit.author,
        "message": commit.message,
    }


def _correction(item: Blamed) -> dict[str, Any] | None:
    if item.correction_id is None:
        return None
    known = {} if item.correction is None else item.correction.model_dump(mode="json", exclude_unset=True)
    return {"id": item.correction_id, **known}


def _found(item: Found) -> dict[str, Any]:
    return {
        **_commit(item.commit),
        "stage": item.stage,
        "fingerprint": item.fingerprint,
        "selection": item.selection,
        "without": list(item.without),
    }


def _stage_text(snapshot: Any) -> str:
    if not isinstance(snapshot, Snapshot):
        return printable(snapshot.message)
    counts = snapshot.info.counts
    return f"{counts.samples:,} samples, {counts.annotations:,} annotations  [{snapshot.fingerprint[:12]}]"
