"""What entries of the audit are worth: acts that their owner could not do, and acts under a policy that was dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dsetkit.access import signing
from dsetkit.access.audit_chain import MAX_CHAIN_BYTES, Entry, Logged, chain_name, parse_chain, signed_bytes
from dsetkit.access.files import read_below, shown
from dsetkit.access.policy import Chain
from dsetkit.access.provenance import PolicyOfBuild
from dsetkit.access.rules import rule_of
from dsetkit.errors import AccessError, TamperError
from dsetkit.spec.issue import Issue, Severity
from dsetkit.spec.policy import AccessPolicy

_NOT_ON_THE_POLICY = ("settle", "sign", "build", "open")
"""Acts that others than admins do, too; all others make or stop a version of the policy."""


def unknown_entries(root: Path, chain: Chain, principal: str, text: bytes | None = None) -> list[Entry]:
    """The entries of ``principal`` under policies that ``chain`` has not, and no ``settle`` entry of theirs tells of.

    ``text``: of their chain, where it is another than stands there. Raises ``TamperError`` where it cannot be read.
    """
    if text is None:
        text = read_below(root, chain_name(principal), MAX_CHAIN_BYTES) or b""
    entries = [one.entry for one in parse_chain(text, principal)]
    known = {pair for entry in entries for pair in _settled(entry)}
    return [one for one in entries if chain.at(*pair_of(one.policy)) is None and pair_of(one.policy) not in known]


def pair_of(policy: PolicyOfBuild) -> tuple[int, str]:
    """Version and digest."""
    return policy.version, policy.digest


def _settled(entry: Entry) -> set[tuple[int, str]]:
    """Versions and digests of the policies that an entry says were dropped."""
    rows = entry.details.get("dropped") if entry.act == "settle" else None
    pairs = set()
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict):
            version, digest = row.get("version"), row.get("digest")
            if isinstance(version, int) and isinstance(digest, str):
                pairs.add((version, digest))
    return pairs


def declared_dropped(
    parsed: Mapping[str, Sequence[Logged]], chain: Chain
) -> tuple[set[tuple[int, str]], dict[str, set[tuple[int, str]]]]:
    """The dropped policies by the ``settle`` entries of admins, which count for all chains, and of the owner of each.

    Only of those entries that their principal signed under a policy of ``chain``.
    """
    by_admins: set[tuple[int, str]] = set()
    by_owners: dict[str, set[tuple[int, str]]] = {}
    for principal, logged in parsed.items():
        for one in logged:
            then = chain.at(*pair_of(one.entry.policy)) if one.entry.act == "settle" else None
            if then is None or principal not in then.principals:
                continue
            try:
                signing.verify_here(
                    signed_bytes(one.entry.to_row()),
                    one.signature,
                    namespace=signing.namespace_of("audit", chain.policy.project),
                    principal=principal,
                    keys=then.principals[principal].ssh,
                )
            except TamperError:
                continue  # its chain is refused for it
            by_owners.setdefault(principal, set()).update(_settled(one.entry))
            if principal in then.admins:
                by_admins |= _settled(one.entry)
    return by_admins, by_owners


def told_dropped(entry: Entry) -> Issue:
    """``audit-dropped``: an act under a version that does not count any more."""
    return issue_of(
        "audit-dropped",
        f"{chain_name(entry.principal)}, line {entry.number}",
        f"tells of {shown(entry.act)} {shown(entry.subject)} under a version {entry.policy.version} of the policy that "
        "was dropped where two branches met",
        "What it did to the policy does not count, unless it was done again.",
        "warning",
    )


def could_do(chain: Chain, entry: Entry) -> bool:
    """Whether its owner could do it under the policy that it names or, who took themselves out, the one before."""
    sides = chain.versions[max(0, entry.policy.version - 2) : entry.policy.version]
    if entry.act == "sign":
        return any(_may_sign(policy, entry.principal, entry.subject) for policy in sides)
    return entry.act in _NOT_ON_THE_POLICY or any(entry.principal in policy.admins for policy in sides)


def _may_sign(policy: AccessPolicy, principal: str, stage: str) -> bool:
    try:
        rule = rule_of(policy, stage)
    except AccessError:  # undecided then: who builds any stage may have built this one
        return any(principal in rule.builders for rule in policy.stages.values())
    return principal in (policy.admins if rule is None else rule.builders)


def told_claims(claims: Sequence[Logged]) -> list[Issue]:
    """One issue for each chain, however many entries of the kind its owner wrote."""
    by_owner: dict[str, list[Entry]] = {}
    for one in claims:
        by_owner.setdefault(one.entry.principal, []).append(one.entry)
    issues = []
    for principal, entries in sorted(by_owner.items()):
        first = min(entries, key=lambda entry: entry.number)
        lacks = f"no builder of {shown(first.subject)}" if first.act == "sign" else "no admin"
        message = (
            f"{principal} tells of {first.act} {shown(first.subject)}, and was {lacks} then: it counts for nothing"
        )
        hint = f"Ask {principal} what it is for; what was done to the policy is in access/policy."
        issue = issue_of("audit-claim", f"{chain_name(principal)}, line {first.number}", message, hint, "warning")
        issues.append(issue.model_copy(update={"count": len(entries)}))
    return issues


def gaps(chain: Chain, entries: Sequence[Logged]) -> list[Issue]:
    """``audit-gap``: the versions of the policy that none of these entries, all of which count, tells of."""
    told = {one.entry.policy.version for one in entries if one.entry.act not in _NOT_ON_THE_POLICY}
    return [
        Issue(
            code="audit-gap",
            severity="warning",
            message=f"version {policy.version} of the policy is signed, and no entry tells of it",
            file=f"access/policy/{policy.version}.json",
            hint="The command that made it was stopped, or another program made it.",
        )
        for policy in chain.versions
        if policy.version not in told
    ]


def issue_of(code: str, file: str, message: str, hint: str, severity: Severity = "error") -> Issue:
    """An issue about ``file``, which ``message`` need not name again."""
    told = message.removeprefix(f"{file} ").removeprefix(f"{file}, ")
    return Issue(code=code, severity=severity, file=file, message=told, hint=hint)
