"""How the commands of ``access`` tell what they did, to people and to programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from dsetkit.access.effects import effects
from dsetkit.access.files import names_below
from dsetkit.access.policy import Chain
from dsetkit.access.policy_files import FOLDER
from dsetkit.access.rules import facets_of, rule_of
from dsetkit.cli.output import Output
from dsetkit.errors import AccessError
from dsetkit.spec.issue import Issue
from dsetkit.spec.policy import PROJECT_STAGES, AccessPolicy
from dsetkit.stages.entries import UNDECIDED
from dsetkit.stages.protection import Change

IDENTITY = typer.Option(None, "--identity", metavar="FILE", help="Your identity file, not $DSETKIT_IDENTITY's.")
STAGE = typer.Option([], "--stage", metavar="STAGE", help="raw, raw/SOURCE, cleaned, augmented, report; repeatable.")
FACET = typer.Option([], "--facet", metavar="FACET", help="A facet; repeatable.")


def show_change(
    output: Output,
    change: Change,
    said: str,
    *,
    notes: Sequence[str] = (),
    issues: Sequence[Issue] = (),
    facts: Mapping[str, Any] | None = None,
    makes_version: bool = True,
) -> None:
    """What an act did. ``said`` is the act in a few words, ``facts`` are added to the JSON.

    ``makes_version``: whether it is one that changes the policy, so that no next version means that nothing changed.
    """
    chain = change.chain
    issues = (*change.issues, *issues)
    beside = [] if change.before is None else effects(change.before, chain.pending or chain.policy)
    if output.as_json:
        output.json(
            {
                **(facts or {}),
                "changed": change.has_changed,
                "version": chain.policy.version,
                "pending": _pending(chain),
                "epochs": dict(change.epochs),
                "keyrings": list(change.keyrings),
                "waiting": {domain: list(readers) for domain, readers in change.waiting.items()},
                "rebuild": list(change.stages),
                "files": list(change.files),
                "effects": beside,
                "notes": list(notes),
                "issues": [issue.model_dump(mode="json", exclude_defaults=True) for issue in issues],
                "first_sight": chain.is_first_sight,
            }
        )
        return
    if change.before is not None:
        first_sight(output, chain)
    if not makes_version:
        output.heading(said)
    elif not change.has_changed:
        output.heading(f"{said}: nothing changes, the policy says so already")
    elif chain.pending is not None:
        output.heading(f"{said}: version {chain.pending.version} of the policy waits for signatures")
        output.line(f"  signed by {', '.join(chain.signers)}; must sign as well: {still_to_sign(chain)}")
        output.line("  commit access/ and have them run: dsetkit access approve")
    else:
        output.heading(f"{said}: version {chain.policy.version} of the policy")
    if change.before is None:
        output.line(f"  begins with {chain.pin}: tell this to those who join")
    for domain, number in sorted(change.epochs.items()):
        output.line(f"  {domain}: new data key, epoch {number}")
    if change.keyrings:
        output.line(f"  wrote keyrings: {', '.join(change.keyrings)}")
    if change.files:
        output.line(f"  wrote {', '.join(change.files)}")
    for domain, readers in sorted(change.waiting.items()):
        output.line(f"  keyring of {domain}: have one of {', '.join(readers)} run: dsetkit access finish", "yellow")
    for line in beside:
        output.line(f"  {line}", "yellow")
    if notes and chain.pending is not None:
        output.line("  once it counts:", "dim")
    for note in notes:
        output.line(f"  {note}", "dim")
    output.issues(issues)
    if change.stages:
        output.line(f"Next: dvc repro builds {', '.join(change.stages)} again; then commit.")
    elif change.has_changed or change.files or change.keyrings:
        output.line("Next: commit access/ (git add access dvc.yaml, git commit).")


def still_to_sign(chain: Chain) -> str:
    """Who must sign the version that waits before it counts: ``ada``, ``2 of bob, cy``."""
    told = []
    for side in (chain.policy, chain.pending):
        if side is not None:
            count = side.threshold - len({*side.admins} & {*chain.signers})
            others = [name for name in side.admins if name not in chain.signers]
            if count > 0:
                told.append(f"{'' if count == len(others) else f'{count} of '}{', '.join(others)}")
    return " and ".join(dict.fromkeys(told))


def first_sight(output: Output, chain: Chain) -> None:
    """Says that the policy was believed unproven, where it was."""
    if chain.is_first_sight and not output.as_json:
        output.line(f"First sight of this project. Its policy is pinned: {chain.pin}", "yellow")
        output.line("  Compare this with an admin (dsetkit access list), by another way than this repository.")


def rights(policy: AccessPolicy, name: str) -> dict[str, Any]:
    """What a principal may do: for ``--json``."""
    return {
        "admin": name in policy.admins,
        "reads": [stage for stage in stages_of(policy) if name in _people(policy, stage)[0]],
        "builds": [stage for stage in stages_of(policy) if name in _people(policy, stage)[1]],
        "facets": [facet for facet, rule in sorted(policy.facets.items()) if name in rule.readers],
    }


def stages_of(policy: AccessPolicy) -> list[str]:
    """The stages to tell of: all of ``PROJECT_STAGES``, and sources with rules of their own."""
    own = sorted(stage for stage in policy.stages if stage.startswith("raw/"))
    return [PROJECT_STAGES[0], *own, *PROJECT_STAGES[1:]]


def stage_facts(policy: AccessPolicy, stage: str) -> dict[str, Any]:
    """How a stage is protected: for ``--json``."""
    try:
        rule = rule_of(policy, stage)
    except AccessError as error:
        return {"state": UNDECIDED, "why": str(error)}
    if rule is None:
        return {"state": "plain", "declassified": stage in policy.declassified}
    return {
        "state": "sealed",
        "own_rule": stage in policy.stages,
        "domain": rule.domain,
        "epoch": len(policy.domains[rule.domain].epochs),
        "readers": list(rule.readers),
        "builders": list(rule.builders),
        "facets": sorted(facets_of(policy, stage)),
    }


def policy_facts(root: Path, chain: Chain) -> dict[str, Any]:
    """The whole policy: for ``--json``."""
    policy = chain.policy
    sealing: dict[str, list[str]] = {}
    for stage, rule in policy.stages.items():
        sealing.setdefault(rule.domain, []).append(stage)
    for name, facet in policy.facets.items():
        sealing.setdefault(facet.domain, []).append(name)
    return {
        "project": policy.project,
        "pin": chain.pin,
        "version": policy.version,
        "signed_by": signers_of(root, policy.version),
        "pending": _pending(chain),
        "threshold": policy.threshold,
        "admins": list(policy.admins),
        "padding": policy.padding,
        "records_openings": policy.records_openings,
        "principals": {
            name: {**keys.model_dump(mode="json"), **rights(policy, name)}
            for name, keys in sorted(policy.principals.items())
        },
        "stages": {stage: stage_facts(policy, stage) for stage in stages_of(policy)},
        "facets": {
            name: {**facet.model_dump(mode="json"), "epoch": len(policy.domains[facet.domain].epochs)}
            for name, facet in sorted(policy.facets.items())
        },
        "domains": {
            name: {"readers": list(domain.readers), "epoch": len(domain.epochs), "seals": sorted(sealing.get(name, []))}
            for name, domain in sorted(policy.domains.items(), key=lambda item: (len(item[0]), item[0]))
        },
        "issues": [issue.model_dump(mode="json", exclude_defaults=True) for issue in chain.issues],
        "first_sight": chain.is_first_sight,
    }


def show_policy(output: Output, root: Path, chain: Chain) -> None:
    """The policy for people."""
    policy = chain.policy
    first_sight(output, chain)
    output.heading(f"Policy, version {policy.version}, signed by {', '.join(signers_of(root, policy.version))}")
    output.line(f"  begins with {chain.pin}")
    asked = f"{policy.threshold} of {len(policy.admins)} admins sign a change"
    output.line(f"  {asked}; padding {policy.padding}; openings {'' if policy.records_openings else 'not '}recorded")
    columns = [*stages_of(policy), *sorted(policy.facets)]
    rows = []
    for name in sorted(policy.principals):
        cells = [
            "builds" if name in _people(policy, stage)[1] else "reads" if name in _people(policy, stage)[0] else "–"
            for stage in stages_of(policy)
        ]
        cells += ["reads" if name in policy.facets[facet].readers else "–" for facet in sorted(policy.facets)]
        rows.append([name + (" (admin)" if name in policy.admins else ""), *cells])
    output.table(["who", *columns], rows)
    for stage in stages_of(policy):
        facts = stage_facts(policy, stage)
        if facts["state"] == "sealed":
            own = "" if facts["own_rule"] else ", as what it is made from"
            output.line(f"{stage}: sealed in {facts['domain']}, epoch {facts['epoch']}{own}")
        elif facts["state"] == "plain":
            output.line(f"{stage}: plain{', declassified' if facts['declassified'] else ''}: everybody reads it")
        else:
            output.line(f"{stage}: cannot be built: {facts['why']}", "yellow")
    for name, facet in sorted(policy.facets.items()):
        rows_text = f" of {', '.join(facet.splits)}" if facet.splits else ""
        hidden = ", keys hidden" if facet.hides_keys else ""
        epoch = len(policy.domains[facet.domain].epochs)
        output.line(f"{name}: {', '.join(facet.columns)}{rows_text} in {', '.join(facet.stages)}{hidden}")
        output.line(f"  sealed in {facet.domain}, epoch {epoch}")
    if chain.pending is not None:
        output.line(
            f"Version {chain.pending.version} waits for signatures; signed by {', '.join(chain.signers)}; must sign as "
            f"well: {still_to_sign(chain)}. Look at it: dsetkit access approve --show",
            "yellow",
        )
    output.issues(chain.issues)


def signers_of(root: Path, version: int) -> list[str]:
    """Who signed a version of a chain that was verified: all signatures that are there are right."""
    names = names_below(root, FOLDER, 100_000)
    start, end = f"{version}.", ".sig"
    return [name[len(start) : -len(end)] for name in names if name.startswith(start) and name.endswith(end)]


def differences(before: AccessPolicy, after: AccessPolicy) -> list[str]:
    """All that a next version changes, a line each: what no sentence is made for is said by its path in the file."""
    old, new = (policy.model_dump(mode="json", exclude={"version", "previous"}) for policy in (before, after))
    return list(_changes((), old, new))


def _changes(path: tuple[str, ...], old: Any, new: Any) -> Iterator[str]:
    if old == new:
        return
    place = ".".join(path)
    if len(path) == 2 and path[0] in ("principals", "stages", "facets"):
        if new is None:
            yield f"{path[0]}: {path[1]} is taken away"
        elif old is None:
            yield f"{path[0]}: {path[1]} is new: {_told(new)}"
        else:
            yield f"{path[0]}: {path[1]}: {_told(old)} → {_told(new)}"
    elif path[:1] == ("domains",) and path[2:] == ("epochs",) and (new or [])[: len(old or [])] == (old or []):
        yield f"domains: {path[1]} gets epoch {len(new)}"
    elif isinstance(old or {}, dict) and isinstance(new or {}, dict):
        for name in sorted({*(old or {}), *(new or {})}):
            yield from _changes((*path, name), (old or {}).get(name), (new or {}).get(name))
    elif len(path) > 1 and isinstance(old or [], list) and isinstance(new or [], list):
        for sign, some, others in (("+", new or [], old or []), ("-", old or [], new or [])):
            if found := [item for item in some if item not in others]:
                yield f"{place}: {sign} {_text(found)}"
    else:
        yield f"{place}: {_text(old)} → {_text(new)}"


def _told(value: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {_text(item)}" for name, item in value.items() if item)


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _people(policy: AccessPolicy, stage: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Readers and builders of a protected stage; of a plain one all and admins; of an undecided one nobody."""
    try:
        rule = rule_of(policy, stage)
    except AccessError:
        return (), ()
    return (tuple(policy.principals), policy.admins) if rule is None else (rule.readers, rule.builders)


def _pending(chain: Chain) -> dict[str, Any] | None:
    if chain.pending is None:
        return None
    return {
        "version": chain.pending.version,
        "signed_by": list(chain.signers),
        "changes": differences(chain.policy, chain.pending),
    }
