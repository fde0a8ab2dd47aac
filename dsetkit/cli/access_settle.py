"""``access settle``: where two branches met that both changed the policy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import typer

from dsetkit.access.identity import IDENTITY_VARIABLE, load_identity
from dsetkit.cli.access_identity import access_app
from dsetkit.cli.access_words import IDENTITY, differences, first_sight
from dsetkit.cli.output import Output
from dsetkit.cli.sources import JSON
from dsetkit.history.settle import Plan, plan_settle
from dsetkit.history.settle import settle as settle_branches
from dsetkit.stages.project import Project


def settle(
    side: str | None = typer.Option(None, "--with", metavar="REV", help="The side to keep; HEAD: this one."),
    yes: bool = typer.Option(False, "--yes", help="Do it; without it, only say what it means (exit code 1)."),
    digest: str | None = typer.Option(None, "--digest", help="Do it if the version kept has this SHA-256."),
    identity: Path | None = IDENTITY,
    as_json: bool = JSON,
) -> None:
    """Keep one of two policies where branches met.

    Two versions of the policy with one number do not merge. This keeps policy and keyrings of the other side: in a
    merge the one that is merged, else upstream. It drops what this side has instead, from what you have seen too, says
    which of your acts to do again, and leaves the merge to be committed. --yes drops what you alone made and never
    pushed; anything else needs --digest, which the other admins tell you.
    """
    output = Output(as_json=as_json)
    root = Project.find().root
    me = load_identity(identity) if identity is not None or os.environ.get(IDENTITY_VARIABLE) else None
    plan = plan_settle(root, side, me)
    is_asked = bool(plan.dropped or plan.told) and not yes and digest is None
    done = None if is_asked or plan.is_done else settle_branches(root, plan, me, digest=digest)
    facts = _facts(plan)
    if as_json:
        output.json({**facts, "done": done is not None, "rebuild": list(done.stages) if done is not None else []})
        raise typer.Exit(1 if is_asked else 0)
    if plan.is_done:
        output.heading(f"Nothing to settle: the policy is that of {plan.name}")
        return
    output.heading(f"{'Kept' if done else 'To keep'}: version {plan.chain.policy.version} of {plan.name}")
    output.line(f"  {plan.chain.digest}")
    for one in plan.dropped:
        by = "yours" if one.is_own else "not signed by you"
        where = "published" if one.was_published else "never pushed"
        output.line(f"{'dropped' if done else 'to drop'}: version {one.version} ({by}, {where}) {one.digest}", "yellow")
    if plan.dropped and plan.dropped[-1].policy is not None:
        for line in differences(plan.dropped[-1].policy, plan.chain.policy):
            output.line(f"  {line}")
    elif plan.dropped:
        output.line("  what it said is not known here any more", "yellow")
    for entry in plan.acts:
        output.line(f"to do again, if it is still wanted: access {entry.act} {entry.subject}")
    for name in plan.signed:
        output.line(f"{name} is of a dropped version: build that again (dvc repro --force), or dsetkit sign", "yellow")
    if done is None:
        option = (
            "--digest DIGEST, once the other admins have told you that it is this one" if plan.needs_digest else "--yes"
        )
        output.line(f"Nothing was changed. Do it: dsetkit access settle {option}")
        raise typer.Exit(1)
    first_sight(output, done.chain)
    for domain, readers in sorted(done.waiting.items()):
        output.line(f"  keyring of {domain}: have one of {', '.join(readers)} run: dsetkit access finish", "yellow")
    output.issues(done.issues)
    output.line("Next: git commit; then do again what was dropped, and dvc repro.")


def _facts(plan: Plan) -> dict[str, Any]:
    return {
        "kept": {"side": plan.name, "version": plan.chain.policy.version, "digest": plan.chain.digest},
        "dropped": [
            {"version": one.version, "digest": one.digest, "own": one.is_own, "published": one.was_published}
            for one in plan.dropped
        ],
        "again": [{"act": entry.act, "subject": entry.subject, "details": entry.details} for entry in plan.acts],
        "signed_under_dropped": list(plan.signed),
        "needs_digest": plan.needs_digest,
    }


def register(app: typer.Typer) -> None:
    """Put this room's command into the group ``access`` of the application."""
    access_app.command()(settle)
