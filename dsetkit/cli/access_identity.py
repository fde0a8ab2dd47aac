"""``access init`` and ``whoami``: who somebody is; and the group of commands that ``access`` is."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from dsetkit.access.identity import IDENTITY_VARIABLE, Identity, load_identity, make_identity
from dsetkit.access.policy import read_chain
from dsetkit.access.rules import principal_of
from dsetkit.cli.access_words import IDENTITY, first_sight, rights, show_change
from dsetkit.cli.output import Output
from dsetkit.cli.sources import JSON
from dsetkit.errors import UsageError
from dsetkit.spec.issue import Issue
from dsetkit.spec.policy import PROJECT_STAGES, Principal
from dsetkit.stages import protection
from dsetkit.stages.entries import built_plain
from dsetkit.stages.project import Project
from dsetkit.stages.sealed import has_policy

access_app = typer.Typer(
    help="Say who may read and build what; keys enforce it.", no_args_is_help=True, rich_markup_mode=None
)


class Padding(StrEnum):
    """How sizes are padded before sealing."""

    NONE = "none"
    PADME = "padme"


@access_app.command()
def init(
    name: str | None = typer.Argument(None, metavar="[NAME]", help="Who you are: a-z, 0-9 and . _ @ + -."),
    identity: Path | None = typer.Option(None, "--identity", metavar="FILE", help="Where your identity is, or goes."),
    protect_: list[str] = typer.Option([], "--protect", metavar="STAGE", help="Only these; by default all stages."),
    is_open: bool = typer.Option(False, "--open", help="Protect no stage yet."),
    padding: Padding = typer.Option(Padding.NONE, "--padding", help="padme: sizes are padded, at most 12 % more."),
    record: bool = typer.Option(False, "--record-openings", help="Put each opening into the audit."),
    as_json: bool = JSON,
) -> None:
    """Make your identity, and the first policy.

    The identity is a file of secret keys that only you may read. It is made where --identity says, else
    $DSETKIT_IDENTITY, else at ~/.config/dsetkit/NAME.identity; one that is there is used. Never within the project.
    Where the project has no policy yet, you become its first admin, and all stages are protected: dvc repro seals
    them. Where it has one, only the identity is made, and what an admin needs to grant you access is printed.
    """
    output = Output(as_json=as_json)
    root = Project.find().root
    if is_open and protect_:
        raise UsageError("--open protects no stage, --protect some", hint="Give one of the two.")
    me, path, is_new = _own_identity(root, name, identity)
    facts: dict[str, Any] = {"identity": str(path), "made_identity": is_new, "keys": _public(me.public)}
    if has_policy(root):
        _join(output, root, me, path, facts)
        return
    principal = name or me.name or _user()
    stages = () if is_open else tuple(protect_) or PROJECT_STAGES
    plain = built_plain(root)
    done = protection.create_policy(root, principal, me, stages=stages, padding=padding.value, records_openings=record)
    if not as_json:
        _show_identity(output, path, is_new)
    issues = [readable_before(stage, "it was built without protection") for stage in plain if is_covered(stages, stage)]
    notes = [f"Your identity is yours alone: what it reads is lost with it. Keep a copy of {path}."] if is_new else []
    if ".gitignore" in done.files:
        notes.append(
            "Sources in this project stay out of git from now on (.gitignore). What git has of them it shows to"
            " everybody: git rm -r --cached FOLDER takes them out of the next commit, not out of earlier ones."
        )
    facts |= {"principal": principal, "project": done.chain.policy.project}
    show_change(output, done, f"{principal} is the first admin", notes=notes, issues=issues, facts=facts)


@access_app.command()
def whoami(
    identity: Path | None = IDENTITY,
    public: bool = typer.Option(False, "--public", help="Print only your public keys, to send to an admin."),
    as_json: bool = JSON,
) -> None:
    """Say who you are here, and what you may do."""
    output = Output(as_json=as_json)
    root = Project.find().root
    me = load_identity(identity)
    path = identity or Path(os.environ[IDENTITY_VARIABLE])
    if public and not as_json:
        for line in (f"# public key: {me.public.age[0]}", f"# signing key: {me.public.ssh[0]}"):
            output.line(line)
        return
    facts: dict[str, Any] = {"identity": str(path), "name": me.name, "keys": _public(me.public)}
    chain = read_chain(root) if has_policy(root) else None
    principal = None if chain is None else principal_of(chain.policy, me)
    if chain is not None:
        facts |= {"project": chain.policy.project, "version": chain.policy.version, "pin": chain.pin}
        facts["first_sight"] = chain.is_first_sight
    facts |= {"principal": principal, "admin": False, "reads": [], "builds": [], "facets": []}
    if chain is not None and principal is not None:
        facts |= rights(chain.policy, principal)
    if as_json:
        output.json(facts)
        return
    if chain is not None:
        first_sight(output, chain)
    known = f"{principal}{', an admin' if facts['admin'] else ''}" if principal else "nobody this project knows"
    output.heading(f"{known}" if chain is not None else "This project has no access policy: everybody reads all of it")
    output.line(f"  identity {path}")
    output.line(f"  public key {me.public.age[0]}")
    output.line(f"  signing key {me.public.ssh[0]}")
    if chain is not None and principal:
        for what in ("reads", "builds", "facets"):
            output.line(f"  {what}: {', '.join(facts[what]) or 'none'}")
    elif chain is not None:
        output.line(f"An admin ({', '.join(chain.policy.admins)}) could grant you access:")
        output.line(f"  {_grant_line(me)}")


def _own_identity(root: Path, name: str | None, given: Path | None) -> tuple[Identity, Path, bool]:
    """The identity of who runs ``init``, its file, and whether it was made now."""
    named = given or (Path(os.environ[IDENTITY_VARIABLE]) if os.environ.get(IDENTITY_VARIABLE) else None)
    path = (named or Path("~/.config/dsetkit") / f"{name or _user()}.identity").expanduser()
    path = Path(os.path.abspath(path))
    if root.resolve() in path.resolve().parents:
        raise UsageError(
            f"{path} lies within the project: it would be committed, or backed up, with what it opens",
            hint="Name a place outside of it: --identity ~/.config/dsetkit/NAME.identity.",
        )
    if os.path.lexists(path):
        return load_identity(path), path, False
    return make_identity(path, name=name or _user()), path, True


def _join(output: Output, root: Path, me: Identity, path: Path, facts: dict[str, Any]) -> None:
    chain = read_chain(root)
    principal = principal_of(chain.policy, me)
    line = _grant_line(me)
    if output.as_json:
        output.json({**facts, "principal": principal, "project": chain.policy.project, "grant": line})
        return
    _show_identity(output, path, bool(facts["made_identity"]))
    first_sight(output, chain)
    if principal is not None:
        output.line(f"The policy knows you as {principal}: see dsetkit access whoami.")
        return
    output.line(f"The project has a policy. An admin ({', '.join(chain.policy.admins)}) grants you access by:")
    output.line(f"  {line}")


def _show_identity(output: Output, path: Path, is_new: bool) -> None:
    output.heading(f"{'Made' if is_new else 'Using'} the identity {path}")
    if os.environ.get(IDENTITY_VARIABLE) != str(path):
        output.line(f"  export {IDENTITY_VARIABLE}={path}")


def _grant_line(me: Identity) -> str:
    keys = f"--age {me.public.age[0]!r} --ssh {me.public.ssh[0]!r}"
    return f"dsetkit access grant {me.name or 'NAME'} --stage STAGE {keys}"


def _public(principal: Principal) -> dict[str, list[str]]:
    return {"age": list(principal.age), "ssh": list(principal.ssh)}


def _user() -> str:
    try:
        return re.sub(r"[^a-z0-9._@+-]", "-", getpass.getuser().lower()) or "me"
    except (KeyError, OSError):
        raise UsageError("It is not known who you are", hint="Say it: dsetkit access init NAME.") from None


def is_covered(stages: Sequence[str], stage: str) -> bool:
    """Whether rules for these are a rule for the stage."""
    return stage in stages or (stage.startswith("raw/") and "raw" in stages)


def readable_before(stage: str, why: str) -> Issue:
    """That something protected now is readable in what was built before."""
    return Issue(
        code="readable-before",
        severity="warning",
        message=f"{stage} is readable in older versions: {why}",
        hint="Nothing takes that back; what must stay secret must be replaced (another test split, other pictures).",
    )
