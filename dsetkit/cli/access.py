"""``access``: who may read and build what: the acts of admins on the policy."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import typer

from dsetkit.access import changes, signing
from dsetkit.access.audit_chain import Act
from dsetkit.access.effects import become_plain, effects
from dsetkit.access.identity import IDENTITY_VARIABLE, load_identity
from dsetkit.access.policy import read_chain
from dsetkit.access.rules import leaf_rules, principal_of
from dsetkit.access.wanted import Wanted
from dsetkit.cli.access_identity import Padding, access_app, is_covered, readable_before
from dsetkit.cli.access_words import (
    FACET,
    IDENTITY,
    STAGE,
    differences,
    policy_facts,
    rights,
    show_change,
    show_policy,
    still_to_sign,
)
from dsetkit.cli.output import Output
from dsetkit.cli.sources import JSON
from dsetkit.errors import UsageError
from dsetkit.spec.issue import Issue
from dsetkit.spec.policy import AccessPolicy
from dsetkit.stages import protection
from dsetkit.stages.entries import built, built_plain
from dsetkit.stages.next_keyrings import drawn_unread
from dsetkit.stages.project import Project

NAME = typer.Argument(metavar="NAME", help="A principal: a person or machine.")

GONE = (
    "What was readable stays readable: copies, and versions sealed before in git history, caches and remotes.",
    "What is built from now on is sealed with a new key. Withdraw storage credentials too: dsetkit access iam.",
)


class Role(StrEnum):
    """What somebody is to a stage, or to the policy."""

    READER = "reader"
    BUILDER = "builder"
    ADMIN = "admin"


@access_app.command("list")
def list_(
    signers: bool = typer.Option(False, "--signers", help="Print the allowed signers, for git and ssh-keygen."),
    as_json: bool = JSON,
) -> None:
    """Show who may do what, and what is sealed how.

    Needs no identity. --signers prints a file of allowed signers made from the verified policy, each for what they may
    sign, with which git checks tags of admins and builders: git -c gpg.ssh.allowedSignersFile=FILE verify-tag TAG.
    """
    output = Output(as_json=as_json)
    root = Project.find().root
    chain = read_chain(root, is_whole=True)
    if signers:
        text = signing.allowed_signers(chain.policy)
        if as_json:
            output.json({"allowed_signers": text.splitlines()})
        for line in [] if as_json else text.splitlines():
            typer.echo(line)
    elif as_json:
        output.json(policy_facts(root, chain))
    else:
        show_policy(output, root, chain)


@access_app.command()
def grant(
    name: str = NAME,
    role: Role = typer.Option(Role.READER, "--role", help="builder: may build the stages too; admin: the policy too."),
    stage: list[str] = STAGE,
    facet: list[str] = FACET,
    age: list[str] = typer.Option([], "--age", metavar="KEY", help="Public key age1... of who is new, or changes it."),
    ssh: list[str] = typer.Option([], "--ssh", metavar="KEY", help="Public key 'ssh-ed25519 ...' that they sign with."),
    identity_of: Path | None = typer.Option(
        None, "--identity-of", metavar="FILE", help="Their public keys: what whoami --public printed."
    ),
    identity: Path | None = IDENTITY,
    as_json: bool = JSON,
) -> None:
    """Let somebody read, build or administer.

    Keys are given for who is new; for who is known, they replace the keys of before (and a key taken away starts an
    epoch). A builder of a stage reads it and its facets. An admin changes the policy; what an admin reads and builds
    is said by --stage, as for all.
    """
    if identity_of is not None:
        more_age, more_ssh = _public_lines(identity_of)
        age, ssh = [*age, *more_age], [*ssh, *more_ssh]

    def change(wanted: Wanted, _: AccessPolicy) -> Wanted:
        wanted = (
            changes.with_keys(wanted, name, age=age, ssh=ssh) if age or ssh or name not in wanted.principals else wanted
        )
        if (age or ssh) and role is Role.READER and not stage and not facet and name in wanted.principals:
            return wanted
        return changes.granted(wanted, name, role.value, stages=stage, facets=facet)

    details = {"role": role.value, "stages": list(stage), "facets": list(facet), "keys": bool(age or ssh)}
    done = _act(change, "grant", name, details, identity)
    what = [*(["admin"] if role is Role.ADMIN else []), *stage, *facet] or ["keys"]
    show_change(Output(as_json=as_json), done, f"granted {', '.join(what)} to {name}", notes=_input_notes(done, name))


@access_app.command()
def revoke(
    name: str = NAME,
    stage: list[str] = STAGE,
    facet: list[str] = FACET,
    role: Role = typer.Option(Role.READER, "--role", help="builder: builds the stages no more; admin: is none."),
    everything: bool = typer.Option(False, "--all", help="All there is, and forget who they are."),
    identity: Path | None = IDENTITY,
    as_json: bool = JSON,
) -> None:
    """Take rights away; new builds get new keys.

    Nothing that somebody could read is taken back: they may have copied it, and its keys. What they read is sealed
    with a new data key when dvc repro has built it again.
    """
    if everything and (stage or facet or role is not Role.READER):
        raise UsageError("--all takes everything away", hint="Leave --stage, --facet and --role out.")

    def change(wanted: Wanted, _: AccessPolicy) -> Wanted:
        if everything:
            return changes.expelled(wanted, name)
        return changes.revoked(wanted, name, stages=stage, facets=facet, role=role.value)

    details = {"role": role.value, "stages": list(stage), "facets": list(facet), "all": everything}
    done = _act(change, "revoke", name, details, identity)
    what = (
        "everything" if everything else ", ".join([*([role.value] if role is not Role.READER else []), *stage, *facet])
    )
    show_change(Output(as_json=as_json), done, f"revoked {what} from {name}", notes=GONE if role is Role.READER else ())


@access_app.command()
def rotate(
    what: list[str] = typer.Argument(None, metavar="[WHAT]...", help="Stages, facets or domains; all by default."),
    identity: Path | None = IDENTITY,
    as_json: bool = JSON,
) -> None:
    """Start new epochs: data keys for new builds."""
    names = tuple(what or ())
    rotated: list[str] = []

    def domains(policy: AccessPolicy) -> Sequence[str]:
        rotated[:] = changes.domains_named(policy, names)
        return rotated

    done = _act(lambda wanted, _: wanted, "rotate", ", ".join(names) or "all", {"what": list(names)}, identity, domains)
    show_change(Output(as_json=as_json), done, f"rotated {', '.join(rotated) or 'nothing'}", notes=GONE[:1])


@access_app.command()
def protect(
    stage: str = typer.Argument(metavar="STAGE", help="raw, raw/SOURCE, cleaned, augmented or report."),
    identity: Path | None = IDENTITY,
    as_json: bool = JSON,
) -> None:
    """Seal a stage, or give it a rule of its own.

    The rule begins as the one the stage inherited, and you read and build it; grant it to others then.
    """
    plain = built_plain(Project.find().root)
    me: list[str] = []

    def change(wanted: Wanted, policy: AccessPolicy) -> Wanted:
        who = principal_of(policy, load_identity(identity))
        me[:] = [who or ""]
        return changes.protected(wanted, stage, who or "")

    done = _act(change, "protect", stage, {}, identity)
    issues = [readable_before(name, "it was built without protection") for name in plain if is_covered((stage,), name)]
    show_change(Output(as_json=as_json), done, f"protected {stage}", issues=issues)


@access_app.command()
def declassify(
    stage: str = typer.Argument(metavar="STAGE", help="cleaned, augmented or report."),
    identity: Path | None = IDENTITY,
    as_json: bool = JSON,
) -> None:
    """Leave a stage plain, whatever it is made from.

    What is made from it and has no rule of its own becomes plain with it.
    """
    done = _act(lambda wanted, _: changes.declassified(wanted, stage), "declassify", stage, {}, identity)
    assert done.before is not None
    plain = become_plain(done.before, done.chain.pending or done.chain.policy)
    named = ", ".join(plain) or stage
    notes = [f"From the next build on, everybody reads {named}, with all that is sealed in what they are made from."]
    show_change(Output(as_json=as_json), done, f"declassified {stage}", notes=notes, facts={"plain": plain})


@access_app.command()
def facet(
    name: str = typer.Argument(metavar="NAME", help="test-labels, provenance, annotators, or a name of your own."),
    stage: list[str] = STAGE,
    column: list[str] = typer.Option(
        [], "--column", "--columns", metavar="COLUMN", help="annotations, provenance, ..."
    ),
    split: list[str] = typer.Option([], "--split", metavar="SPLIT", help="Only rows of this split; repeatable."),
    hide_keys: bool | None = typer.Option(None, "--hide-keys/--show-keys", help="Whether keys of its rows are hidden."),
    reader: list[str] = typer.Option([], "--reader", metavar="NAME", help="Who reads it, besides builders."),
    remove: bool = typer.Option(False, "--remove", help="Keep it apart no more."),
    identity: Path | None = IDENTITY,
    as_json: bool = JSON,
) -> None:
    """Keep columns or rows from readers of a stage.

    What is in a facet is missing for readers of its stages who do not read the facet. The names test-labels, provenance
    and annotators are presets: they say which columns and rows, unless options say otherwise. Columns are fields of a
    sample (annotations), or of its annotations (annotations.annotator); several with commas. By default it is of all
    protected stages but report.
    """
    columns = [part.strip() for text in column for part in text.split(",") if part.strip()]
    before: list[AccessPolicy] = []

    def change(wanted: Wanted, policy: AccessPolicy) -> Wanted:
        before[:] = [policy]
        if remove:
            return changes.without_facet(wanted, name)
        return changes.with_facet(
            wanted, name, stages=stage, columns=columns, splits=split, hides_keys=hide_keys, readers=reader
        )

    details = {"stages": list(stage), "columns": columns, "splits": list(split), "remove": remove}
    done = _act(change, "facet", name, details, identity)
    issues = []
    if not remove and done.has_changed and name not in before[0].facets:
        issues = _readable_facet(Project.find().root, done.chain.pending or done.chain.policy, name)
    said = f"facet {name} is {'no more' if remove else 'kept apart'}"
    show_change(
        Output(as_json=as_json),
        done,
        said,
        issues=issues,
        notes=[*_split_notes(done, name), *_left_notes(before[0], done, name), *_key_notes(done, name)],
    )


@access_app.command()
def settings(
    threshold: int | None = typer.Option(None, "--threshold", min=1, help="So many admins must sign a change."),
    padding: Padding | None = typer.Option(None, "--padding", help="padme: sizes tell less, at most 12 % more."),
    record: bool | None = typer.Option(None, "--record-openings/--no-record-openings", help="Audit each opening."),
    identity: Path | None = IDENTITY,
    as_json: bool = JSON,
) -> None:
    """Set how many admins sign, padding, and recording."""
    padded: Literal["none", "padme"] | None = None if padding is None else padding.value

    def change(wanted: Wanted, _: AccessPolicy) -> Wanted:
        return changes.with_settings(wanted, threshold=threshold, padding=padded, records_openings=record)

    given = {"threshold": threshold, "padding": padded, "records_openings": record}
    details = {key: value for key, value in given.items() if value is not None}
    if not details:
        raise UsageError("It is not said what to set", hint="See dsetkit access settings --help.")
    done = _act(change, "settings", ", ".join(details), details, identity)
    show_change(Output(as_json=as_json), done, f"set {', '.join(f'{k} {v}' for k, v in details.items())}")


@access_app.command()
def approve(
    show: bool = typer.Option(False, "--show", help="Only show what the waiting version changes."),
    withdraw: bool = typer.Option(False, "--withdraw", help="Take the waiting version away."),
    digest: str | None = typer.Option(None, "--digest", help="Sign only if it is the one with this SHA-256."),
    identity: Path | None = IDENTITY,
    as_json: bool = JSON,
) -> None:
    """Sign the version that waits for signatures."""
    output = Output(as_json=as_json)
    root = Project.find().root
    chain = read_chain(root)
    if withdraw and not show:
        done = protection.withdraw_policy(root, load_identity(identity))
        show_change(output, done, f"withdrew version {chain.policy.version + 1}", makes_version=False)
        return
    shown_digest = protection.pending_digest(chain)
    assert chain.pending is not None
    lines = differences(chain.policy, chain.pending)
    drawn = drawn_unread(chain.policy, chain.pending, chain.signers)
    if show:
        facts = {"version": chain.pending.version, "digest": shown_digest, "signed_by": list(chain.signers)}
        beside, issues = effects(chain.policy, chain.pending), [*chain.issues, *drawn]
        if as_json:
            told = [issue.model_dump(mode="json", exclude_defaults=True) for issue in issues]
            output.json({**facts, "changes": lines, "effects": beside, "issues": told})
            return
        output.heading(f"Version {chain.pending.version}, signed by {', '.join(chain.signers)}: {shown_digest}")
        for line in lines:
            output.line(f"  {line}")
        for line in beside:
            output.line(f"  {line}", "yellow")
        output.issues(issues)
        return
    me = load_identity(identity)
    if principal_of(chain.policy, me) in chain.signers:
        raise UsageError(
            f"You have signed version {chain.pending.version} already",
            hint=f"Have these sign it as well: {still_to_sign(chain)}.",
        )
    done = protection.approve_policy(root, me, digest or shown_digest)
    show_change(output, done, f"approved version {chain.pending.version}", notes=lines, issues=drawn)


@access_app.command()
def finish(identity: Path | None = IDENTITY, as_json: bool = JSON) -> None:
    """Finish what was interrupted; write what follows.

    Puts keyrings of the policy that counts into their places, and writes access/stages.yaml and its mentions in
    dvc.yaml anew. Changes nothing in the policy. Who reads what is sealed names their identity, as only they
    replace keyrings. Run it after a merge, or when a command asks.
    """
    root = Project.find().root
    me = load_identity(identity) if identity is not None or os.environ.get(IDENTITY_VARIABLE) else None
    show_change(Output(as_json=as_json), protection.finish(root, me), "finished", makes_version=False)


def _act(
    change: Callable[[Wanted, AccessPolicy], Wanted],
    act: Act,
    subject: str,
    details: dict[str, Any],
    identity: Path | None,
    rotate: Callable[[AccessPolicy], Sequence[str]] = lambda _: (),
) -> protection.Change:
    root = Project.find().root
    return protection.change_policy(root, load_identity(identity), change, act, subject[:200], details, rotate=rotate)


def _public_lines(path: Path) -> tuple[list[str], list[str]]:
    """The age and SSH keys of a file that ``whoami --public`` printed."""
    try:
        text = path.read_bytes()[: 64 * 1024].decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read", hint="Name a file with public keys.") from error
    if "SECRET-KEY" in text or "PRIVATE KEY" in text:
        raise UsageError(
            f"{path} holds secret keys, which only their owner may have",
            hint="Have them send what `dsetkit access whoami --public` prints.",
        )
    age = re.findall(r"^(?:# public key: )?(age1[0-9a-z]{58})\s*$", text, re.MULTILINE)
    age += re.findall(r"^# public key: (ssh-ed25519 [A-Za-z0-9+/=]+)\s*$", text, re.MULTILINE)
    ssh = re.findall(r"^(?:# signing key: )?(ssh-ed25519 [A-Za-z0-9+/=]+)(?: .*)?$", text, re.MULTILINE)
    if not age or not ssh:
        raise UsageError(
            f"{path} has not both an age key and a signing key", hint="See `dsetkit access whoami --public`."
        )
    return age, ssh


def _input_notes(done: protection.Change, name: str) -> list[str]:
    """That a builder lacks what the stage is made from, or a reader of the report learns of more than they read."""
    policy = done.chain.pending or done.chain.policy
    told = rights(policy, name) if name in policy.principals else {"builds": [], "reads": []}
    pairs = (("cleaned", "raw"), ("augmented", "cleaned"))
    notes = [
        f"{name} builds {made} but does not read {source}, which it is made from."
        for made, source in pairs
        if made in told["builds"] and source not in told["reads"]
    ]
    unread = [
        stage for stage in ("raw", "cleaned", "augmented") if stage in policy.stages and stage not in told["reads"]
    ]
    if "report" in told["reads"] and unread:
        notes.append(
            f"The report counts what is in {', '.join(unread)}, and names fingerprints: {name}, who does not read "
            f"{'that' if len(unread) == 1 else 'those'}, can check guesses with them."
        )
    return notes


def _split_notes(done: protection.Change, name: str) -> list[str]:
    """That rows of some splits are kept apart where there are no splits yet: of all rows there, as any may be one."""
    rule = (done.chain.pending or done.chain.policy).facets.get(name)
    if rule is None or not rule.splits:
        return []
    raw = [stage for stage in rule.stages if stage.split("/")[0] == "raw"]
    known = tuple(Project.find().params.clean.split.ratios)
    unknown = [split for split in rule.splits if known and split not in known]
    return [
        *(f"{stage} has no splits before clean, so {name} is of all rows there." for stage in raw),
        *(f"params.yaml has no split {split!r}: it has {', '.join(known)}." for split in unknown),
    ]


def _left_notes(before: AccessPolicy, done: protection.Change, name: str) -> list[str]:
    """Stages in which a facet keeps nothing apart any more: what is given takes the place of what was."""
    old, new = before.facets.get(name), (done.chain.pending or done.chain.policy).facets.get(name)
    left = [] if old is None or new is None else [stage for stage in old.stages if stage not in new.stages]
    return [f"{name} is kept apart in {', '.join(left)} no more: --stage names all stages of a facet."] if left else []


def _key_notes(done: protection.Change, name: str) -> list[str]:
    """That keys tell where pictures come from, where a facet that is to keep that apart shows them."""
    rule = (done.chain.pending or done.chain.policy).facets.get(name)
    if rule is None or rule.hides_keys or "provenance" not in rule.columns:
        return []
    return [
        f"Keys begin with the name of their source, and hold paths in it: {name} leaves them visible. "
        "With --hide-keys only the name is left."
    ]


def _readable_facet(root: Path, policy: AccessPolicy, name: str) -> list[Issue]:
    rule = policy.facets[name]
    plain = built_plain(root)
    issues = []
    for stage in built(root):
        rulings = leaf_rules(policy, stage)  # of an undecided stage, too: what stands of it was built before
        if not {*rulings} & {*rule.stages}:
            continue
        others = sorted({who for ruling in rulings for who in policy.stages[ruling].readers} - {*rule.readers})
        if stage in plain:
            issues.append(readable_before(stage, f"it was built without protection, with what {name} keeps apart"))
        elif others:
            issues.append(readable_before(stage, f"{', '.join(others)} can read what {name} keeps apart there"))
    return issues


def register(app: typer.Typer) -> None:
    """Put this room's commands on the application."""
    app.add_typer(access_app, name="access")
