"""``sign``, and of ``access``: ``audit`` and ``iam``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

import typer

from dsetkit.access.audit import require_principal, verify_chains
from dsetkit.access.audit_anchor import anchor_text
from dsetkit.access.iam import Place, bucket_policies, overlaps, parse_place
from dsetkit.access.identity import load_identity
from dsetkit.access.opened import ProjectKeys
from dsetkit.access.policy import read_chain
from dsetkit.access.rules import seal_wanted
from dsetkit.access.signing import GIT_NAMESPACE
from dsetkit.cli.access_identity import access_app
from dsetkit.cli.access_words import IDENTITY, first_sight
from dsetkit.cli.output import Output
from dsetkit.cli.sources import JSON
from dsetkit.cli.words import plural, size_text
from dsetkit.errors import UsageError
from dsetkit.history.anchors import read_anchors, write_anchor
from dsetkit.history.remote_places import stage_remotes
from dsetkit.spec.issue import Issue
from dsetkit.spec.policy import PROJECT_STAGES, check_stage
from dsetkit.stages.project import Project
from dsetkit.stages.sealed_report import check_report, is_newest, sealed_for, unsealed
from dsetkit.stages.sign import sign_stage, standing_stages
from dsetkit.storage.atomic import written

_MOST = 20


class Provider(StrEnum):
    """Who stores."""

    S3 = "s3"


def sign(
    stage: list[str] = typer.Argument(
        None, metavar="[STAGE]...", help="raw/SOURCE, cleaned, augmented, report; all that stand by default."
    ),
    identity: Path | None = IDENTITY,
    as_json: bool = JSON,
) -> None:
    """Sign snapshots, and the sealed report, as they stand here.

    Writes signatures/STAGE.json (an in-toto statement with SLSA provenance) and signatures/STAGE.sig. Builds sign what
    they make; this is for what was signed by who is a builder no more, and for plain snapshots, which admins sign.
    A plain report is not signed.
    """
    output = Output(as_json=as_json)
    project = Project.find()
    keys = ProjectKeys(project.root, identity)
    stages = list(stage or ()) or standing_stages(project, keys)
    if not stages:
        raise UsageError("No snapshot stands here", hint="Build it first: dvc repro; or fetch it: dvc pull.")
    done = [sign_stage(project, keys, name) for name in stages]
    if as_json:
        output.json([asdict(one) for one in done])
        return
    first_sight(output, keys.chain)
    for one in done:
        output.line(f"{one.stage}: version {one.version}, signed by {one.signer}")
    output.line("Next: commit signatures/.")


@access_app.command()
def audit(
    verify: bool = typer.Option(False, "--verify", help="Check all chains and anchors; exit code 1 if one is wrong."),
    anchor: bool = typer.Option(False, "--anchor", help="Make a signed tag that lists how far all chains go."),
    most: int = typer.Option(_MOST, "--max", "-n", min=1, help="Show at most so many entries, the newest."),
    identity: Path | None = IDENTITY,
    as_json: bool = JSON,
) -> None:
    """Show who did what; verify that it is whole.

    Each principal has a chain of entries that only they can sign. An end that was cut off is found against anchors, and
    against what you have seen. Chains are verified in any case; --anchor needs your identity.
    """
    output = Output(as_json=as_json)
    root = Project.find().root
    chain = read_chain(root, is_whole=verify)
    found = verify_chains(root, chain, read_anchors(root))
    errors = [issue for issue in found.issues if issue.severity == "error"]
    made = None
    if anchor and not errors:
        me = load_identity(identity)
        name = require_principal(chain, me)
        text = anchor_text(chain, name, found.heads)
        made = write_anchor(root, text, name, lambda data: me.sign(data, GIT_NAMESPACE))
    if as_json:
        output.json(
            {
                "entries": [one.entry.model_dump(mode="json") for one in found.entries],
                "heads": {name: head._asdict() for name, head in found.heads.items()},
                "anchors": [*found.anchors, *([made] if made else [])],
                "made": made,
                "is_whole": not errors,
                "issues": [issue.model_dump(mode="json", exclude_defaults=True) for issue in found.issues],
            }
        )
        raise typer.Exit(1 if errors else 0)
    first_sight(output, chain)
    if not verify and not anchor:
        rows = [
            (one.entry.at, one.entry.principal, one.entry.act, one.entry.subject, f"policy {one.entry.policy.version}")
            for one in found.entries[-most:]
        ]
        output.table(["at", "who", "act", "what", "under"], rows, short=(3,))
        if len(found.entries) > most:
            output.line(f"and {plural(len(found.entries) - most, 'older entry').replace('entrys', 'entries')}", "dim")
    state = "are whole" if not errors else "are not what was signed"
    entries = plural(len(found.entries), "entry").replace("entrys", "entries")
    what = f"{plural(len(found.heads), 'chain')}, {entries}, {plural(len(found.anchors), 'anchor')}"
    if verify or errors:
        output.heading(f"{what}: {state}")
    if made:
        output.line(f"made the tag {made}; push it: git push origin {made}")
    output.issues(found.issues)
    raise typer.Exit(1 if errors else 0)


@access_app.command()
def iam(
    provider: Provider = typer.Option(Provider.S3, "--provider", help="Who stores: s3."),
    account: str = typer.Option("000000000000", "--account", help="12 digits: its IAM users are the principals."),
    remote: list[str] = typer.Option(
        [], "--remote", metavar="STAGE=URL", help="Where a stage is: cleaned=s3://BUCKET/PREFIX; repeatable."
    ),
    as_json: bool = JSON,
) -> None:
    """Print bucket policies made from the policy.

    Readers may fetch and list, builders send too, admins delete and set the policy of the bucket; all others nothing.
    The users of the account must be called as the principals are. Without --remote, places are the remotes of DVC:
    `remote:` of a stage's output in dvc.yaml, else the default one. One policy is printed as it is, to be handed on;
    several by bucket.
    """
    output = Output(as_json=as_json)
    root = Project.find().root
    policy = read_chain(root).policy
    places = _given(remote) if remote else _from_dvc(root)
    policies = bucket_policies(policy, places, account=account)
    warnings = [
        Issue(
            code="shared-place",
            severity="warning",
            message=f"{first} and {second} share a place, so their readers fetch the sealed objects of both",
            hint="Keys still decide who reads them. To part them: dvc remote add, and `remote:` of the output.",
        )
        for first, second in overlaps(policy, places)
    ]
    if as_json:
        told = {stage: f"s3://{place.bucket}/{place.prefix}".rstrip("/") for stage, place in places.items()}
        issues = [issue.model_dump(mode="json", exclude_defaults=True) for issue in warnings]
        output.json({"provider": provider.value, "places": told, "policies": policies, "issues": issues})
        return
    output.json(next(iter(policies.values())) if len(policies) == 1 else policies)
    for issue in warnings:
        typer.echo(issue.describe(), err=True)


def _given(remotes: list[str]) -> dict[str, Place]:
    places: dict[str, Place] = {}
    for text in remotes:
        stage, is_given, url = text.partition("=")
        try:
            check_stage(stage)
        except ValueError as error:
            raise UsageError(f"--remote {text}: {error}", hint="Write it as cleaned=s3://BUCKET/PREFIX.") from None
        if not is_given:
            raise UsageError(f"--remote {text} names no place", hint="Write it as cleaned=s3://BUCKET/PREFIX.")
        places[stage] = parse_place(url)
    return places


def _from_dvc(root: Path) -> dict[str, Place]:
    found: Mapping[str, str | None] = stage_remotes(root)
    places = {stage: parse_place(url) for stage, url in found.items() if url is not None and url.startswith("s3://")}
    if not places:
        raise UsageError(
            "No stage has a remote in S3",
            hint="Name places: --remote cleaned=s3://BUCKET/PREFIX; or make a remote: dvc remote add.",
        )
    order: dict[str, Any] = {stage: number for number, stage in enumerate(PROJECT_STAGES)}
    return dict(sorted(places.items(), key=lambda item: (order.get(item[0].partition("/")[0], 9), item[0])))


@access_app.command()
def unseal(
    path: Path = typer.Argument(metavar="FILE", help="reports/report.html, reports/metrics.json, a card."),
    out: Path = typer.Argument(metavar="OUT", help="Where the plain file goes; never within data/."),
    identity: Path | None = IDENTITY,
    as_json: bool = JSON,
) -> None:
    """Write a sealed file of the report in plain.

    Only what is sealed for the readers of the report, and a builder of it signed; the rest of the report need not be
    there. What is written is readable to whoever gets it: delete it when you have looked at it, and do not commit it.
    """
    project = Project.find()
    root = project.root.resolve()
    inside = PurePosixPath(os.path.relpath(path.resolve(), root))
    if inside.parts[:1] not in (("reports",), ("cards",)) or not path.is_file():
        raise UsageError(f"{path} is no file of a report", hint="Name one of reports/ or cards/ of this project.")
    if os.path.lexists(out):
        raise UsageError(f"{out} is there already", hint="Name a file that is not there.")
    if not out.parent.is_dir() or root / "data" in (out.parent.resolve(), *out.parent.resolve().parents):
        raise UsageError(f"{out} cannot be written there", hint="Name a file in a folder that is there, not in data/.")
    keys = ProjectKeys(project.root, load_identity(identity))
    data = path.read_bytes()
    domain, epoch = sealed_for(inside, data)
    wanted = seal_wanted(keys.policy, "report")
    check_report(keys, {inside: data})
    is_new = is_newest(inside, (domain, epoch), wanted)
    plain = unsealed(inside, data, keys.seal_in(domain, epoch, "report"))
    with written(out):
        out.touch(mode=0o600, exist_ok=False)
        out.write_bytes(plain)
    output = Output(as_json=as_json)
    output.note_in_plain(out)
    if not is_new and wanted is not None:
        typer.echo(
            f"{inside} is of an older epoch ({epoch}; the newest is {wanted[1]}): who could read the report then, and "
            "was revoked since, can read it still. Build it again: dvc repro.",
            err=True,
        )
    if as_json:
        output.json({"file": str(out), "size_bytes": len(plain), "domain": domain, "epoch": epoch})
    else:
        output.line(f"wrote {out} ({size_text(len(plain))}), in plain: for your eyes only")


def register(app: typer.Typer) -> None:
    """Put this room's command on the application."""
    app.command()(sign)
