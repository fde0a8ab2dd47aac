"""The audit: what each principal did, one signed chain each: ``access/audit/<principal>.jsonl``.

A line is canonical JSON of an entry and the SSH signature of just that entry (``signing``, namespace
``dsetkit-audit@<project id>``); an entry names the SHA-256 of the line before. So nobody but its owner can alter, add,
reorder or take out an entry. Its owner, or whoever can write to the repository, can still cut off the end: that is
found against what this user has seen (``seen_audit``) and against *anchors*: signed git tags that list the heads of all
chains. Entries are written by cooperating clients; a reader who uses other programs leaves none.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from dsetkit.access import signing
from dsetkit.access.audit_anchor import check_anchor
from dsetkit.access.audit_chain import (
    FOLDER,
    MAX_CHAIN_BYTES,
    MAX_LINE_BYTES,
    Act,
    Entry,
    Logged,
    chain_name,
    line_of,
    parse_chain,
    signed_bytes,
)
from dsetkit.access.audit_claims import could_do, declared_dropped, gaps, issue_of, pair_of, told_claims, told_dropped
from dsetkit.access.files import RESTORE, names_below, read_below, refuse, shown, write_below
from dsetkit.access.identity import Identity
from dsetkit.access.policy import Chain, read_chain
from dsetkit.access.rules import principal_of
from dsetkit.access.seen_audit import Head, keep_heads, locked_audit, remember_heads, seen_heads, seen_path
from dsetkit.errors import AccessError, TamperError
from dsetkit.spec.issue import Issue

_MAX_CHAINS = 10_000
_FILE = re.compile(r"([a-z0-9][a-z0-9._@+-]{0,63})\.jsonl\Z")
_DROPPED = (
    "Fetch the newest policy (git pull). If it was dropped where two branches met, have whoever did that act run: "
    "dsetkit access settle."
)


@dataclass(frozen=True)
class Audited:
    """What ``verify_chains`` found."""

    entries: tuple[Logged, ...]
    """Of the chains with which nothing is wrong, by time."""
    heads: dict[str, Head]
    """Of the same."""
    anchors: tuple[str, ...]
    """Names of those that are right, by admins."""
    issues: tuple[Issue, ...]


def append(
    root: Path,
    chain: Chain,
    identity: Identity,
    act: Act,
    subject: str,
    details: Mapping[str, JsonValue] | None = None,
    environ: Mapping[str, str] = os.environ,
    *,
    at: str | None = None,
) -> Entry | None:
    """Adds an entry to the chain of whoever ``identity`` is; None, and nothing is written, for who is no principal.

    ``at`` is the time, ISO 8601 in UTC; None: now. Threads and processes of one user may add at once. Raises
    ``TamperError`` where the chain there is not whole or shorter than this user has seen, ``StorageError``.
    """
    name, project = principal_of(chain.policy, identity), chain.policy.project
    if name is None:
        return None
    with locked_audit(project, environ):
        text, logged = _read_own(root, project, name, environ)
        # Who settles says that what the chain ends with was dropped.
        latest = logged[-1].entry.policy.version if logged and act != "settle" else 0
        if latest > chain.policy.version:  # another process has made a version since this one looked
            chain = read_chain(root, environ)
            if latest > chain.policy.version:
                refuse(f"ends with version {latest} of the policy, and there is none", chain_name(name), hint=_DROPPED)
            if principal_of(chain.policy, identity) != name:
                return None
        entry = Entry.model_validate(
            {
                "number": len(logged) + 1,
                "previous": logged[-1].digest if logged else None,
                "principal": name,
                "act": act,
                "subject": subject,
                "details": dict(details or {}),
                "policy": {"version": chain.policy.version, "digest": chain.digest},
                "at": at if at is not None else f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            }
        )
        row = entry.to_row()
        line = line_of(row, identity.sign(signed_bytes(row), signing.namespace_of("audit", project)))
        if len(line) > MAX_LINE_BYTES:  # nobody would read the chain any more
            refuse(f"cannot take an entry of more than {MAX_LINE_BYTES:,} bytes", chain_name(name), hint="Do less.")
        write_below(root, chain_name(name), text + line)
        keep_heads(root, project, {name: Head(entry.number, hashlib.sha256(line).hexdigest())}, environ)
    return entry


def check_appendable(root: Path, project: str, principal: str, environ: Mapping[str, str] = os.environ) -> None:
    """Raises what ``append`` would raise for the chain as it stands: to be asked before an act changes anything."""
    with locked_audit(project, environ):
        _read_own(root, project, principal, environ)


def verify_chains(
    root: Path,
    chain: Chain,
    anchors: Sequence[tuple[str, bytes, bytes]] = (),
    environ: Mapping[str, str] = os.environ,
) -> Audited:
    """Verifies all chains against their owners' keys, against anchors, and against what this user has seen.

    ``anchors``: the name of a tag, what was signed, the signature. What is wrong are issues: ``audit-altered`` (a chain
    that is not what its owner signed), ``audit-cut`` (shorter than it was, or gone), ``audit-rewritten`` (another than
    was anchored or seen), ``audit-anchor`` (a tag that is not right; a warning for one by somebody who was no admin,
    which counts for nothing), ``audit-gap`` (a policy version that no entry tells of), ``audit-dropped`` (a warning: an
    act under a version that was dropped where two branches met, as a ``settle`` entry says), ``audit-claim`` (a
    warning: entries of acts that their owner could not do, which count for nothing). Chains that are right are
    remembered. Raises ``TamperError`` for what cannot be read at all, ``AccessError``.
    """
    # Before the chains are read: an entry that is added meanwhile is not one that is missing.
    seen = seen_heads(root, chain.policy.project, environ)
    issues: list[Issue] = []
    whole: dict[str, list[Logged]] = {}
    files: list[str] = []
    for name in names_below(root, FOLDER, _MAX_CHAINS):
        if name.startswith("."):  # what a killed writer left, never read
            continue
        if (found := _FILE.match(name)) is None or ".." in found[1]:
            issues.append(issue_of("audit-altered", f"{FOLDER}/{shown(name)}", "it is no audit chain", "Move it away."))
        else:
            files.append(found[1])
    parsed: dict[str, list[Logged]] = {}
    for principal in files:
        try:
            parsed[principal] = parse_chain(read_below(root, chain_name(principal), MAX_CHAIN_BYTES) or b"", principal)
        except TamperError as error:
            issues.append(issue_of("audit-altered", chain_name(principal), error.message, error.hint))
    by_admins, by_owners = declared_dropped(parsed, chain)
    of_dropped: set[str] = set()
    for principal, logged in parsed.items():
        try:
            dropped = by_admins | by_owners.get(principal, set())
            gone = _check_signatures(logged, chain, chain_name(principal), dropped)
        except TamperError as error:
            issues.append(issue_of("audit-altered", chain_name(principal), error.message, error.hint))
            continue
        whole[principal] = logged
        of_dropped.update(one.digest for one in gone)
        issues += [told_dropped(one.entry) for one in gone]
    good: list[str] = []
    wanted: list[tuple[str, str, str, Head]] = []
    for tag, text, signature in anchors:
        try:
            anchor = check_anchor(tag, text, signature, chain)
        except TamperError as error:
            issues.append(issue_of("audit-anchor", f"tag {shown(tag)}", error.message, error.hint))
            continue
        if not anchor.is_by_admin:
            message = f"was signed by {anchor.principal}, who was no admin then: it says nothing of any chain"
            hint = f"Ask {anchor.principal} what it is for; delete it (git tag --delete)."
            issues.append(issue_of("audit-anchor", f"tag {shown(tag)}", message, hint, "warning"))
            continue
        good.append(tag)
        said = f"; {anchor.principal} signed that tag"
        wanted += [(f"the tag {tag}", said, principal, head) for principal, head in sorted(anchor.heads.items())]
    wanted += [("what you have seen", "", principal, head) for principal, head in sorted(seen.items())]
    told: set[str] = set()
    for by, said, principal, head in wanted:
        name = chain_name(principal)
        if principal in told or (principal in files and principal not in whole):
            continue  # said already
        problem = _against(whole.get(principal, []), head, by)
        if problem is not None:
            told.add(principal)
            hint = RESTORE if by.startswith("the tag") else _seen_hint(seen_path(chain.policy.project, environ))
            issues.append(issue_of(problem[0], name, problem[1] + said, hint))
    right = {principal: logged for principal, logged in whole.items() if principal not in told and logged}
    entries = sorted((one for logged in right.values() for one in logged), key=_by_time)
    claims = [one for one in entries if one.digest not in of_dropped and not could_do(chain, one.entry)]
    issues += told_claims(claims)
    if not any(issue.severity == "error" for issue in issues):
        uncounted = of_dropped.union(one.digest for one in claims)
        issues += gaps(chain, [one for one in entries if one.digest not in uncounted])
    heads = {principal: Head(len(logged), logged[-1].digest) for principal, logged in right.items()}
    remember_heads(root, chain.policy.project, heads, environ)
    return Audited(tuple(entries), heads, tuple(good), tuple(issues))


def _read_own(root: Path, project: str, principal: str, environ: Mapping[str, str]) -> tuple[bytes, list[Logged]]:
    """A chain that can be added to, as bytes and as entries. Raises ``TamperError`` where it cannot."""
    file = chain_name(principal)
    text = read_below(root, file, MAX_CHAIN_BYTES) or b""
    logged = parse_chain(text, principal)
    _check_seen(logged, seen_heads(root, project, environ).get(principal), file, seen_path(project, environ))
    if len(text) > MAX_CHAIN_BYTES - MAX_LINE_BYTES:
        refuse("is full", file, hint=f"Have an admin grant {principal} what they had under another name.")
    return text, logged


def _check_signatures(
    logged: Sequence[Logged], chain: Chain, name: str, dropped: Collection[tuple[int, str]] = ()
) -> list[Logged]:
    """Each entry by a key that its principal had, by the policy that it names; ssh-keygen confirms the last.

    Gives the entries whose policy is not of this chain, but one of ``dropped``: of those, by a key that they had from
    the entry before to the entry after that name one of this chain.
    """
    namespace = signing.namespace_of("audit", chain.policy.project)
    versions = [one.entry.policy.version if chain.at(*pair_of(one.entry.policy)) else 0 for one in logged]
    after = [len(chain.versions)] * len(logged)
    for index in range(len(logged) - 1, 0, -1):
        after[index - 1] = versions[index] or after[index]
    before, gone = 1, []
    for number, one in enumerate(logged, 1):
        entry, subject, version = one.entry, f"{name}, line {number}", versions[number - 1]
        if not version:
            if pair_of(entry.policy) not in dropped:
                refuse(
                    f"names a policy, version {entry.policy.version}, that this project does not have",
                    subject,
                    hint=_DROPPED,
                )
            gone.append(one)
            sides = chain.versions[max(0, before - 2) : after[number - 1]]
        else:
            if version < before:
                refuse("names an older policy than a line before", subject)
            before = version
            # Who takes themselves out signs under a policy that knows them no more: the one before does.
            sides = chain.versions[max(0, version - 2) : version]
        keys = sorted(
            {
                key
                for side in sides
                if entry.principal in side.principals
                for key in side.principals[entry.principal].ssh
            }
        )
        if not keys:
            refuse(f"is of {entry.principal}, whom the policy did not know then", subject)
        content = signed_bytes(entry.to_row())
        about = {"namespace": namespace, "principal": entry.principal, "subject": subject}
        key = signing.verify_here(content, one.signature, keys=keys, **about)
        if number == len(logged):
            signing.confirm(content, one.signature, key=key, **about)
    return gone


def _check_seen(logged: Sequence[Logged], head: Head | None, name: str, path: Path) -> None:
    problem = None if head is None else _against(logged, head, "what you have seen")
    if problem is not None:
        refuse(problem[1], name, hint=_seen_hint(path))


def _seen_hint(path: Path) -> str:
    return (
        f"{RESTORE} If it was you who dropped entries that were never committed, and they are gone, delete {path}: "
        "what is there counts as seen then. Whoever saw more will notice."
    )


def _against(logged: Sequence[Logged], head: Head, by: str) -> tuple[str, str] | None:
    """Code and words for a chain that is not what it was; None where it only grew."""
    if len(logged) < head.number:
        there = f"it has {len(logged)}" if logged else "it is gone"
        return "audit-cut", f"by {by}, it had {head.number} entries, and {there}"
    if logged[head.number - 1].digest != head.digest:
        return "audit-rewritten", f"by {by}, entry {head.number} was another"
    return None


def _by_time(one: Logged) -> tuple[str, int, str, int]:
    entry = one.entry
    return entry.at, entry.policy.version, entry.principal, entry.number


def require_principal(chain: Chain, identity: Identity) -> str:
    """Who ``identity`` is. Raises ``AccessError`` for who is no principal."""
    name = principal_of(chain.policy, identity)
    if name is None:
        raise AccessError(
            "This identity is no principal of the policy",
            subject="identity",
            hint=f"An admin could make it one: {', '.join(chain.policy.admins)}.",
            grantors=chain.policy.admins,
        )
    return name
