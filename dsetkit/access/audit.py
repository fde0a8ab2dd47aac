"""The audit: what each principal did, one signed chain each: ``access/audit/<principal>.jsonl``.

A line is canonical JSON of an entry and the SSH signature of just that entry (``signing``, namespace
``dsetkit-audit@<project id>``); an entry names the SHA-256 of the line before. So nobody but its owner can alter, add,
reorder or take out an entry. Its owner, or whoever can write to the repository, can still cut off the end: that is
found against what this user has seen (``seen_audit``) and against *anchors*: signed git tags that list the heads of all
chains. Entries are written by cooperating clients; a reader who uses other programs leaves none.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, JsonValue, TypeAdapter, ValidationError

from dsetkit.access import signing
from dsetkit.access.files import RESTORE, names_below, read_below, refuse, shown, write_below
from dsetkit.access.identity import Identity
from dsetkit.access.policy import Chain, read_chain
from dsetkit.access.provenance import PolicyOfBuild
from dsetkit.access.rules import principal_of, rule_of
from dsetkit.access.seen_audit import Head, keep_heads, locked_audit, remember_heads, seen_heads, seen_path
from dsetkit.errors import AccessError, TamperError
from dsetkit.spec.base import Digest, Document, canonical_json
from dsetkit.spec.issue import Issue, Severity
from dsetkit.spec.policy import AccessPolicy, PrincipalName

FOLDER = "access/audit"
MAX_CHAIN_BYTES = 64 * 1024 * 1024
_MAX_LINE_BYTES = 64 * 1024
_MAX_CHAINS = 10_000
_FILE = re.compile(r"([a-z0-9][a-z0-9._@+-]{0,63})\.jsonl\Z")
_DROPPED = (
    "Fetch the newest policy (git pull). If it was dropped where two branches met, have whoever did that act run: "
    "dsetkit access settle."
)
_NOT_ON_THE_POLICY = ("settle", "sign", "build", "open")
"""Acts that others than admins do, too; all others make or stop a version of the policy."""
_ANCHOR_HEAD = "dsetkit audit anchor"
_PRINCIPAL: TypeAdapter[str] = TypeAdapter(PrincipalName)
_DIGEST: TypeAdapter[str] = TypeAdapter(Digest)

Act = Literal[
    "init",
    "grant",
    "revoke",
    "rotate",
    "protect",
    "declassify",
    "facet",
    "settings",
    "approve",
    "withdraw",
    "settle",
    "sign",
    "build",
    "open",
]


class Entry(Document):
    """One act of one principal."""

    number: int = Field(ge=1)
    """1, 2, ... within the chain."""
    previous: Digest | None = None
    """SHA-256 of the line before; none for the first."""
    principal: PrincipalName
    act: Act
    subject: str = Field(max_length=200)
    """What it was done to: a principal, a stage, a facet."""
    details: dict[str, JsonValue] = Field(default_factory=dict)
    policy: PolicyOfBuild
    """The policy that counted when it was done; for a change of it, the one that it made."""
    at: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
    """By the clock of the machine it was done on: a claim."""


class Logged(NamedTuple):
    """An entry as it stands in a file."""

    entry: Entry
    digest: str
    """SHA-256 of the line."""
    signature: str


class Anchor(NamedTuple):
    """The heads of all chains at some time, as one principal has signed them in a git tag."""

    name: str
    principal: str
    policy: PolicyOfBuild
    heads: dict[str, Head]
    is_by_admin: bool
    """By the policy that it names. What others say of chains accuses nobody."""


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
        line = _line(row, identity.sign(_signed_bytes(row), signing.namespace_of("audit", project)))
        if len(line) > _MAX_LINE_BYTES:  # nobody would read the chain any more
            refuse(f"cannot take an entry of more than {_MAX_LINE_BYTES:,} bytes", chain_name(name), hint="Do less.")
        write_below(root, chain_name(name), text + line)
        keep_heads(root, project, {name: Head(entry.number, hashlib.sha256(line).hexdigest())}, environ)
    return entry


def check_appendable(root: Path, project: str, principal: str, environ: Mapping[str, str] = os.environ) -> None:
    """Raises what ``append`` would raise for the chain as it stands: to be asked before an act changes anything."""
    with locked_audit(project, environ):
        _read_own(root, project, principal, environ)


def chain_name(principal: str) -> str:
    """Where the chain of a principal is, below the project's root."""
    return f"{FOLDER}/{principal}.jsonl"


def parse_chain(text: bytes, principal: str) -> list[Logged]:
    """The entries of a chain: numbered, linked, of one principal, each in its one byte form; signatures are not looked
    at. Raises ``TamperError``.
    """
    name = chain_name(principal)
    if text and not text.endswith(b"\n"):
        refuse("ends in the midst of an entry", name)
    logged: list[Logged] = []
    for number, line in enumerate(_lines(text), 1):  # one by one: nothing is kept of what follows on a bad one
        place = f"{name}, line {number}"
        found = _parse_line(line, place)
        last = logged[-1] if logged else None
        if found.entry.principal != principal:
            refuse("is of another principal", place)
        if found.entry.number != number or found.entry.previous != (last.digest if last else None):
            refuse("does not follow on the line before: one was altered, taken out or moved", place)
        logged.append(found)
    return logged


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
            issues.append(_issue("audit-altered", f"{FOLDER}/{shown(name)}", "it is no audit chain", "Move it away."))
        else:
            files.append(found[1])
    parsed: dict[str, list[Logged]] = {}
    for principal in files:
        try:
            parsed[principal] = parse_chain(read_below(root, chain_name(principal), MAX_CHAIN_BYTES) or b"", principal)
        except TamperError as error:
            issues.append(_issue("audit-altered", chain_name(principal), error.message, error.hint))
    by_admins, by_owners = _declared(parsed, chain)
    of_dropped: set[str] = set()
    for principal, logged in parsed.items():
        try:
            dropped = by_admins | by_owners.get(principal, set())
            gone = _check_signatures(logged, chain, chain_name(principal), dropped)
        except TamperError as error:
            issues.append(_issue("audit-altered", chain_name(principal), error.message, error.hint))
            continue
        whole[principal] = logged
        of_dropped.update(one.digest for one in gone)
        issues += [_told_dropped(one.entry) for one in gone]
    good: list[str] = []
    wanted: list[tuple[str, str, str, Head]] = []
    for tag, text, signature in anchors:
        try:
            anchor = check_anchor(tag, text, signature, chain)
        except TamperError as error:
            issues.append(_issue("audit-anchor", f"tag {shown(tag)}", error.message, error.hint))
            continue
        if not anchor.is_by_admin:
            message = f"was signed by {anchor.principal}, who was no admin then: it says nothing of any chain"
            hint = f"Ask {anchor.principal} what it is for; delete it (git tag --delete)."
            issues.append(_issue("audit-anchor", f"tag {shown(tag)}", message, hint, "warning"))
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
            issues.append(_issue(problem[0], name, problem[1] + said, hint))
    right = {principal: logged for principal, logged in whole.items() if principal not in told and logged}
    entries = sorted((one for logged in right.values() for one in logged), key=_by_time)
    claims = [one for one in entries if one.digest not in of_dropped and not _could_do(chain, one.entry)]
    issues += _told_claims(claims)
    if not any(issue.severity == "error" for issue in issues):
        uncounted = of_dropped.union(one.digest for one in claims)
        issues += _gaps(chain, [one for one in entries if one.digest not in uncounted])
    heads = {principal: Head(len(logged), logged[-1].digest) for principal, logged in right.items()}
    remember_heads(root, chain.policy.project, heads, environ)
    return Audited(tuple(entries), heads, tuple(good), tuple(issues))


def anchor_text(chain: Chain, principal: str, heads: Mapping[str, Head]) -> str:
    """The message of an anchor's tag. Raises ``AccessError`` for who is no admin: their anchors count for nobody."""
    if principal not in chain.policy.admins:
        raise AccessError(
            f"{principal} is no admin, and only anchors of admins count",
            subject="audit",
            hint=f"Ask one of them: {', '.join(chain.policy.admins)}.",
            grantors=chain.policy.admins,
        )
    policy = PolicyOfBuild(version=chain.policy.version, digest=chain.digest)
    return _anchor_text(chain.policy.project, policy, principal, heads)


def check_anchor(tag: str, text: bytes, signature: bytes, chain: Chain) -> Anchor:
    """The anchor that a git tag is: ``text`` are the bytes of the tag object before its signature.

    Raises ``TamperError`` unless it is in its one byte form, and a principal of the policy that it names has signed it,
    by that policy's keys.
    """
    subject = f"tag {shown(tag)}"
    head, _, message = text.partition(b"\n\n")
    if f"\ntag {tag}\n".encode() not in head + b"\n" or len(text) > MAX_CHAIN_BYTES:
        refuse("is the tag of another name", subject, hint="Delete it, or fetch it again.")
    policies: list[PolicyOfBuild] = []
    people: list[str] = []
    heads: dict[str, Head] = {}
    try:
        for line in message.decode("ascii").split("\n"):
            kind, *words = line.split(" ")
            if kind == "policy":
                policies.append(PolicyOfBuild(version=int(words[0]), digest=words[1]))
            elif kind == "by":
                people.append(_PRINCIPAL.validate_python(words[0]))
            elif kind == "head":
                heads[_PRINCIPAL.validate_python(words[0])] = _anchored(int(words[1]), words[2])
        if _anchor_text(chain.policy.project, policies[0], people[0], heads).encode() != message:
            raise ValueError
    except (ValueError, IndexError):
        refuse("is no anchor of this project's audit", subject, hint="Delete it, or fetch it again.")
    then = chain.at(policies[0].version, policies[0].digest)
    if then is None or people[0] not in then.principals:
        refuse(
            "names a policy that this project does not have, or somebody whom that does not know",
            subject,
            hint="If it is of a version that was dropped where two branches met, delete it (git tag --delete).",
        )
    anchor = Anchor(tag, people[0], policies[0], heads, people[0] in then.admins)
    signing.verify(
        text,
        signature,
        namespace=signing.GIT_NAMESPACE,
        principal=anchor.principal,
        keys=then.principals[anchor.principal].ssh,
        subject=subject,
    )
    return anchor


def _anchor_text(project: str, policy: PolicyOfBuild, principal: str, heads: Mapping[str, Head]) -> str:
    lines = [
        _ANCHOR_HEAD,
        "",
        f"project {project}",
        f"policy {policy.version} {policy.digest}",
        f"by {principal}",
        *(f"head {name} {head.number} {head.digest}" for name, head in sorted(heads.items())),
    ]
    return "".join(f"{line}\n" for line in lines)


def _anchored(number: int, digest: str) -> Head:
    if not 1 <= number <= MAX_CHAIN_BYTES:  # an entry has more than one byte
        raise ValueError
    return Head(number, _DIGEST.validate_python(digest))


def _read_own(root: Path, project: str, principal: str, environ: Mapping[str, str]) -> tuple[bytes, list[Logged]]:
    """A chain that can be added to, as bytes and as entries. Raises ``TamperError`` where it cannot."""
    file = chain_name(principal)
    text = read_below(root, file, MAX_CHAIN_BYTES) or b""
    logged = parse_chain(text, principal)
    _check_seen(logged, seen_heads(root, project, environ).get(principal), file, seen_path(project, environ))
    if len(text) > MAX_CHAIN_BYTES - _MAX_LINE_BYTES:
        refuse("is full", file, hint=f"Have an admin grant {principal} what they had under another name.")
    return text, logged


def unknown_entries(root: Path, chain: Chain, principal: str, text: bytes | None = None) -> list[Entry]:
    """The entries of ``principal`` under policies that ``chain`` has not, and no ``settle`` entry of theirs tells of.

    ``text``: of their chain, where it is another than stands there. Raises ``TamperError`` where it cannot be read.
    """
    if text is None:
        text = read_below(root, chain_name(principal), MAX_CHAIN_BYTES) or b""
    entries = [one.entry for one in parse_chain(text, principal)]
    known = {pair for entry in entries for pair in _settled(entry)}
    return [one for one in entries if chain.at(*_pair(one.policy)) is None and _pair(one.policy) not in known]


def _pair(policy: PolicyOfBuild) -> tuple[int, str]:
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


def _declared(
    parsed: Mapping[str, Sequence[Logged]], chain: Chain
) -> tuple[set[tuple[int, str]], dict[str, set[tuple[int, str]]]]:
    """The dropped policies by the ``settle`` entries of admins, which count for all chains, and of the owner of each.

    Only of those entries that their principal signed under a policy of ``chain``.
    """
    by_admins: set[tuple[int, str]] = set()
    by_owners: dict[str, set[tuple[int, str]]] = {}
    for principal, logged in parsed.items():
        for one in logged:
            then = chain.at(*_pair(one.entry.policy)) if one.entry.act == "settle" else None
            if then is None or principal not in then.principals:
                continue
            try:
                signing.verify_here(
                    _signed_bytes(one.entry.to_row()),
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


def _told_dropped(entry: Entry) -> Issue:
    return _issue(
        "audit-dropped",
        f"{chain_name(entry.principal)}, line {entry.number}",
        f"tells of {shown(entry.act)} {shown(entry.subject)} under a version {entry.policy.version} of the policy that "
        "was dropped where two branches met",
        "What it did to the policy does not count, unless it was done again.",
        "warning",
    )


def _check_signatures(
    logged: Sequence[Logged], chain: Chain, name: str, dropped: Collection[tuple[int, str]] = ()
) -> list[Logged]:
    """Each entry by a key that its principal had, by the policy that it names; ssh-keygen confirms the last.

    Gives the entries whose policy is not of this chain, but one of ``dropped``: of those, by a key that they had from
    the entry before to the entry after that name one of this chain.
    """
    namespace = signing.namespace_of("audit", chain.policy.project)
    versions = [one.entry.policy.version if chain.at(*_pair(one.entry.policy)) else 0 for one in logged]
    after = [len(chain.versions)] * len(logged)
    for index in range(len(logged) - 1, 0, -1):
        after[index - 1] = versions[index] or after[index]
    before, gone = 1, []
    for number, one in enumerate(logged, 1):
        entry, subject, version = one.entry, f"{name}, line {number}", versions[number - 1]
        if not version:
            if _pair(entry.policy) not in dropped:
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
        content = _signed_bytes(entry.to_row())
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


def _could_do(chain: Chain, entry: Entry) -> bool:
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


def _told_claims(claims: Sequence[Logged]) -> list[Issue]:
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
        issue = _issue("audit-claim", f"{chain_name(principal)}, line {first.number}", message, hint, "warning")
        issues.append(issue.model_copy(update={"count": len(entries)}))
    return issues


def _gaps(chain: Chain, entries: Sequence[Logged]) -> list[Issue]:
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


def _issue(code: str, file: str, message: str, hint: str, severity: Severity = "error") -> Issue:
    told = message.removeprefix(f"{file} ").removeprefix(f"{file}, ")
    return Issue(code=code, severity=severity, file=file, message=told, hint=hint)


def _line(row: Mapping[str, object], signature: str) -> bytes:
    return f"{canonical_json({'entry': dict(row), 'signature': signature})}\n".encode()


def _signed_bytes(row: Mapping[str, object]) -> bytes:
    return canonical_json(dict(row)).encode()


def _lines(text: bytes) -> Iterator[bytes]:
    """The lines, each with its line feed. ``text`` ends with one, or is empty."""
    start = 0
    while start < len(text):
        end = text.index(b"\n", start) + 1
        yield text[start:end]
        start = end


def _parse_line(line: bytes, place: str) -> Logged:
    if len(line) > _MAX_LINE_BYTES:
        refuse(f"has more than {_MAX_LINE_BYTES:,} bytes, and no entry is that long", place)
    try:
        row = json.loads(line)
        entry = Entry.model_validate_json(json.dumps(row["entry"]))
        signature = row["signature"]
        if not isinstance(signature, str) or _line(entry.to_row(), signature) != line:
            raise ValueError
    except (ValueError, TypeError, KeyError, RecursionError, ValidationError):
        refuse("is no entry, or was altered", place)
    return Logged(entry, hashlib.sha256(line).hexdigest(), signature)


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
