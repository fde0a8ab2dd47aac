"""The signed chain of policies: ``access/policy/<n>.json``, each with signatures ``access/policy/<n>.<principal>.sig``.

A version counts when, by SSH signatures (``signing``) over its exact bytes,

- at least as many admins of the version before as *that* asks for (``threshold``) signed it, and
- at least as many of its own admins as it asks for itself;

version 1 by its own admins alone, and by what this user pinned (``trust``). Each version names the SHA-256 of the one
before, so one digest stands for all of them. The last version may lack signatures: if an admin of the version before
has signed it, it is *pending*, and the one before counts. Signed by none of them, it is *ignored*, and said to be
(``Chain.issues``): anybody who can write to the repository can put such a file there, so it must neither be taken for
an admin's nor keep others from reading. Anything else that is not right, a signature of a version that counts for one,
makes the whole chain refused. The idea of versions signed by the keys of the one before is that of The Update Framework
(its specification, section 5.3, root metadata).

What somebody wrote is parsed, and compared with the version before, only once enough admins of that signed its bytes.

Whoever changes an own key lets one version hold the old and the new one: a signature with the old one then counts for
both sides.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyrage

from dsetkit.access import signing
from dsetkit.access.files import (
    document_text,
    parse_document,
    refuse,
    write_below,
)
from dsetkit.access.identity import Identity
from dsetkit.access.policy_files import (
    FOLDER,
    MAX_POLICY_BYTES,
    SETTLE,
    SIGNATURE,
    collected,
    delete_version,
    is_in_conflict,
    read_files,
)
from dsetkit.access.policy_signatures import admin_name, check_signatures, ignored_for, refuse_lacking, write_signature
from dsetkit.access.rules import digest_of_policy, domains_in_use, must_start_epoch
from dsetkit.access.trust import known_project, open_trust, remember_place
from dsetkit.errors import AccessError, TamperError
from dsetkit.spec.issue import Issue
from dsetkit.spec.policy import AccessPolicy


class Chain:
    """A verified chain of policies."""

    def __init__(
        self,
        versions: Sequence[AccessPolicy],
        digests: Sequence[str],
        *,
        pending: AccessPolicy | None = None,
        signers: Sequence[str] = (),
        issues: Sequence[Issue] = (),
        is_first_sight: bool = False,
    ) -> None:
        self.versions = tuple(versions)
        """All that count, from 1 on."""
        self.digests = tuple(digests)
        """SHA-256 of the bytes of each."""
        self.pending = pending
        """A next version that lacks signatures, and has one of an admin of the highest that counts."""
        self.signers = tuple(signers)
        """Who signed the pending one so far, sorted."""
        self.issues = tuple(issues)
        """What is ignored: a next version that no admin signed, or signatures of the pending one that are wrong."""
        self.is_first_sight = is_first_sight
        """Whether this user saw this project for the first time: its first policy was believed unproven, and pinned.
        Say so, with ``pin``, which an admin can confirm."""

    @property
    def policy(self) -> AccessPolicy:
        """The highest version that counts."""
        return self.versions[-1]

    @property
    def past(self) -> tuple[AccessPolicy, ...]:
        """The versions before it."""
        return self.versions[:-1]

    @property
    def digest(self) -> str:
        """SHA-256 of the highest version that counts."""
        return self.digests[-1]

    @property
    def pin(self) -> str:
        """SHA-256 of version 1: what tells this project from another, to be compared by word of mouth."""
        return self.digests[0]

    @property
    def ignored(self) -> Issue | None:
        """What is wrong with a next version that is ignored; None where there is none such."""
        return self.issues[0] if self.issues and self.pending is None else None

    def at(self, version: int, digest: str) -> AccessPolicy | None:
        """The version that has this digest; None where there is none such in the chain."""
        is_it = 1 <= version <= len(self.versions) and self.digests[version - 1] == digest
        return self.versions[version - 1] if is_it else None


def read_chain(root: Path, environ: Mapping[str, str] = os.environ, *, is_whole: bool = False) -> Chain:
    """Reads and verifies the policies of the project at ``root``, and remembers the highest for this user.

    Signatures of versions that this user has verified before (same digest) are not checked again, unless ``is_whole``:
    the digest of the last of them, with the digests that lead to it, stands for all.

    Raises ``TamperError`` with the reason; ``AccessError`` where there is no policy, or no ``ssh-keygen``.
    """
    texts, signatures = read_files(root)
    if not texts:
        known = known_project(root, environ)
        if known is not None:
            refuse(f"is gone, and you have seen the project {known} in this folder", FOLDER)
        raise AccessError("This project has no access policy", subject=FOLDER, hint="`dsetkit access init` makes one.")
    digests = [hashlib.sha256(text).hexdigest() for text in texts]
    try:
        first = _parse(texts[0], 1)
        trust = open_trust(root, first.project, environ)
        is_first_sight = trust.first_seen
        verified = trust.verified(digests)
        found = _verify(first, texts, digests, signatures, verified, is_whole=is_whole)
    except TamperError:
        for number, text in enumerate(texts, 1):
            if is_in_conflict(text):
                refuse(
                    "has the conflict markers of a merge (dsetkit access settle)",
                    f"{FOLDER}/{number}.json",
                    hint=SETTLE,
                )
        raise
    trust.remember_policy(found.digests)
    remember_place(root, first.project, environ)
    found.is_first_sight = is_first_sight
    return found


def read_chain_of(files: Mapping[str, bytes]) -> tuple[Chain, tuple[str, ...]]:
    """The chain in ``files`` (name below ``FOLDER`` → bytes), held against nothing that this user has seen.

    For a commit that another branch has: what of it to believe is for the caller to decide. Signatures that are wrong,
    and that it does without, are left out; gives their names. Raises ``TamperError``.
    """
    kept = dict(files)
    while True:
        try:
            texts, signatures = collected(list(kept), lambda name, _: kept.get(name))
            if not texts:
                refuse("is not there", FOLDER, hint="Name a commit that has it.")
            digests = [hashlib.sha256(text).hexdigest() for text in texts]
            found = _verify(_parse(texts[0], 1), texts, digests, signatures, 0, is_whole=True)
            return found, tuple(sorted(set(files) - set(kept)))
        except TamperError as error:
            wrong = (error.subject or "").removeprefix(f"{FOLDER}/")
            if kept.pop(wrong if SIGNATURE.match(wrong) else "", None) is None:
                raise


def _verify(
    first: AccessPolicy,
    texts: Sequence[bytes],
    digests: Sequence[str],
    signatures: Mapping[int, Mapping[str, bytes]],
    verified: int,
    *,
    is_whole: bool,
) -> Chain:
    """The chain that these are, of which this user has verified the first ``verified``. Raises ``TamperError``."""
    policies = _parse_verified(first, texts, digests, verified)
    pending, signers, issues = None, [""], []
    to_confirm: list[Callable[[], None]] = []
    for number in range(1 if is_whole else verified + 1, len(texts) + 1):
        text, found = texts[number - 1], signatures.get(number, {})
        may_wait = number == len(texts) and number > max(verified, 1)
        if number > len(policies):
            early = check_signatures(number, policies[-1:], text, found, is_early=True)
            try:
                if not early.signers or (early.missing and not may_wait):
                    refuse_lacking(number, early)
                policy = _parse(text, number)
                check_follows(policies[-1], digests[number - 2], policy)
            except TamperError as error:
                if not early.missing or not may_wait:
                    raise
                issues = [ignored_for(number, error)]
                break
            policies.append(policy)
        signed = check_signatures(number, policies[max(0, number - 2) : number], text, found)
        if signed.missing and may_wait:
            pending, signers = policies.pop(), signed.signers
            issues = [ignored_for(number, error) for error in signed.wrong]
        elif signed.missing or signed.wrong:
            refuse_lacking(number, signed)
        to_confirm += signed.to_confirm
    for confirm in to_confirm:  # each starts a program, so after all else was found right
        confirm()
    return Chain(
        policies,
        digests[: len(policies)],
        pending=pending,
        signers=signers if pending is not None else (),
        issues=issues,
    )


def write_next(root: Path, policy: AccessPolicy, identity: Identity, environ: Mapping[str, str] = os.environ) -> Chain:
    """Writes the next version (or version 1, where there is no policy), signed with ``identity``; reads it back.

    It is pending where that signature is not enough. A next version that is ignored is replaced. Raises ``AccessError``
    for who is no admin (of the version before), while another version is pending, and for a policy that cannot follow
    (``ValueError`` where that is the program's fault); ``TamperError``.
    """
    text = document_text(policy)
    name = f"{FOLDER}/{policy.version}.json"
    if policy.version == 1:
        if read_files(root)[0] or known_project(root, environ) is not None:
            raise AccessError("This project has an access policy", subject=FOLDER, hint="See `dsetkit access list`.")
        before = None
    else:
        chain = read_chain(root, environ)
        if chain.pending is not None:
            raise AccessError(
                f"Version {chain.pending.version} of the policy waits for signatures",
                subject=FOLDER,
                hint="Approve or withdraw it first.",
            )
        before = chain.policy
    _check_sound(policy, name)
    if before is not None:
        check_follows(before, digest_of_policy(before), policy)
    signer = admin_name((policy if before is None else before,), identity)
    if len(text) > MAX_POLICY_BYTES:
        raise AccessError("The policy is too large", subject=name, hint="Name fewer principals.")
    delete_version(root, policy.version)  # what is ignored, and signatures that a killed writer left
    # The signature first: a version without any would be ignored, and said to be, if this died in between.
    write_signature(root, policy, text, identity, signer)
    write_below(root, name, text)
    return read_chain(root, environ)


def approve(root: Path, identity: Identity, environ: Mapping[str, str] = os.environ, *, digest: str) -> Chain:
    """Signs the pending version with ``identity``; reads the chain back.

    ``digest`` (``digest_of_policy``) is of what its signer has looked at: no other is signed. Raises ``AccessError``
    where none is pending or ``identity`` is of no admin, ``TamperError``.
    """
    chain = read_chain(root, environ)
    pending = pending_of(chain)
    if digest_of_policy(pending) != digest:
        refuse("is not the one you looked at", f"{FOLDER}/{pending.version}.json", hint="Look at it again.")
    signer = admin_name((chain.policy, pending), identity)
    write_signature(root, pending, document_text(pending), identity, signer)
    return read_chain(root, environ)


def withdraw(root: Path, environ: Mapping[str, str] = os.environ) -> int:
    """Deletes the version that is pending, or ignored, and its signatures; gives its number.

    Raises ``AccessError`` where there is none, ``TamperError``.
    """
    chain = read_chain(root, environ)
    version = chain.policy.version + 1
    if chain.ignored is None:
        pending_of(chain)
    delete_version(root, version)
    return version


def pending_of(chain: Chain) -> AccessPolicy:
    """The pending version. Raises ``AccessError`` where there is none; ``TamperError`` where it is ignored."""
    if chain.ignored is not None:
        raise TamperError(chain.ignored.message, subject=chain.ignored.file or FOLDER, hint=chain.ignored.hint)
    if chain.pending is None:
        raise AccessError("No policy waits for signatures", subject=FOLDER, hint="See `dsetkit access list`.")
    return chain.pending


def check_follows(before: AccessPolicy, digest: str, policy: AccessPolicy) -> None:
    """Whether ``policy`` can be the version after ``before``, whose digest is ``digest``. Raises ``TamperError``.

    The project stays; domains stay, with the commitments of their epochs; one that seals nothing any more never seals
    again, and gets neither readers nor epochs; and a reader whom a domain loses, or who loses a key, starts an epoch of
    what it still seals.
    """
    name = f"{FOLDER}/{policy.version}.json"
    if (policy.version, policy.previous) != (before.version + 1, digest):
        refuse(f"does not follow on version {before.version}", name)
    if policy.project != before.project:
        refuse("is of another project", name)
    used = domains_in_use(policy)
    if again := used & set(before.domains) - domains_in_use(before):
        refuse(f"uses the domain {min(again)} again, which sealed nothing any more", name)
    to_start = must_start_epoch(before, policy)
    for domain, old in before.domains.items():
        new = policy.domains.get(domain)
        if new is None or new.epochs[: len(old.epochs)] != old.epochs:
            refuse(f"has not the data keys of the domain {domain} that there were", name)
        if domain not in used:
            _check_past(before, policy, domain, name)
        elif len(new.epochs) == len(old.epochs) and domain in to_start:
            refuse(f"takes a reader from the domain {domain} without a new data key", name)


def _check_past(before: AccessPolicy, policy: AccessPolicy, domain: str, name: str) -> None:
    """Whether a domain that seals nothing stays as it was, but for readers who are known no more.

    Its data keys open what was built long ago, and no rule that an admin looks at says who reads that.
    """
    old, new = before.domains[domain], policy.domains[domain]
    if new.epochs != old.epochs:
        refuse(f"gives a new data key to the domain {domain}, which seals nothing any more", name)
    if joined := set(new.readers) - set(old.readers):
        refuse(f"has {min(joined)} join the domain {domain}, which seals nothing any more", name)
    if left := (set(old.readers) - set(new.readers)) & set(before.principals) & set(policy.principals):
        refuse(f"takes {min(left)} from the domain {domain}, which seals nothing any more", name)
    again = set(new.readers) & set(policy.principals) - set(before.principals)
    if again and set(new.readers) & set(before.principals):  # else nobody is left who could hand its data keys on
        refuse(f"has {min(again)}, who is new, join the domain {domain}, which seals nothing any more", name)


def _parse(text: bytes, number: int) -> AccessPolicy:
    name = f"{FOLDER}/{number}.json"
    policy = parse_document(AccessPolicy, text, name)
    if policy.version != number:
        refuse(f"is version {policy.version}", name)
    _check_sound(policy, name)
    return policy


def _check_sound(policy: AccessPolicy, name: str) -> None:
    """What the document alone does not say: keys are keys, and no two principals are one."""
    owners: dict[str, str] = {}
    for principal, keys in policy.principals.items():
        for key in (*keys.ssh, *keys.age):
            try:
                if key.startswith("ssh-"):
                    signing.key_bytes(key)
                else:
                    pyrage.x25519.Recipient.from_str(key)
            except (ValueError, pyrage.RecipientError):
                refuse(f"gives {principal} a public key that is none", name)
            if owners.setdefault(key, principal) != principal:
                refuse(f"gives {owners[key]} and {principal} the same key, so that one would count as two", name)
    if strangers := set(policy.admins) - set(policy.principals):
        refuse(f"has an admin {min(strangers)!r} who is no principal", name)


def _parse_verified(
    first: AccessPolicy, texts: Sequence[bytes], digests: Sequence[str], verified: int
) -> list[AccessPolicy]:
    """The versions that this user has verified, the first at least. Raises ``TamperError`` where they do not follow.

    From the last one, whose digest is remembered, down: each is known to be the one meant before it is parsed.
    """
    policies = []
    for number in range(verified, 1, -1):
        policy = _parse(texts[number - 1], number)
        if policy.previous != digests[number - 2]:
            refuse(f"does not follow on version {number - 1}", f"{FOLDER}/{number}.json")
        policies.append(policy)
    policies = [first, *reversed(policies)]
    for before, digest, policy in zip(policies, digests, policies[1:], strict=False):
        check_follows(before, digest, policy)
    return policies
