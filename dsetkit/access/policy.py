"""The signed chain of policies: ``access/policy/<n>.json``, each with signatures ``access/policy/<n>.<principal>.sig``.

A version counts when, by SSH signatures (``signing``) over its exact bytes,

- at least as many admins of the version before as *that* asks for (``threshold``) signed it, and
- at least as many of its own admins as it asks for itself;

version 1 by its own admins alone, and by what this user pinned (``trust``). Each version names the SHA-256 of the one
before, so one digest stands for all of them. The last version may lack signatures: it is *pending*, and the one before
counts. A signature file that is not right, or that belongs to no admin, makes the whole chain refused: nobody entitled
has put it there. The idea of versions signed by the keys of the one before is that of The Update Framework (its
specification, section 5.3, root metadata).

Whoever changes an own key lets one version hold the old and the new one: a signature with the old one then counts for
both sides.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pyrage

from dsetkit.access import signing
from dsetkit.access.files import document_text, names_below, parse_document, read_below, refuse, shown, write_below
from dsetkit.access.identity import Identity
from dsetkit.access.rules import digest_of_policy, domains_in_use, must_start_epoch
from dsetkit.access.trust import known_project, open_trust, remember_place
from dsetkit.errors import AccessError
from dsetkit.spec.policy import AccessPolicy
from dsetkit.storage.atomic import remove_tree

FOLDER = "access/policy"
MAX_POLICY_BYTES = 1024 * 1024
MAX_VERSIONS = 10_000
_MAX_FILES = 100_000
_MAX_BYTES = 64 * 1024 * 1024
"""Of all policies and signatures together."""
_POLICY = re.compile(r"([1-9][0-9]{0,4})\.json\Z")
_SIGNATURE = re.compile(r"([1-9][0-9]{0,4})\.([a-z0-9][a-z0-9._@+-]{0,63})\.sig\Z")


class Chain:
    """A verified chain of policies."""

    def __init__(
        self,
        versions: Sequence[AccessPolicy],
        digests: Sequence[str],
        *,
        pending: AccessPolicy | None = None,
        signers: Sequence[str] = (),
        is_first_sight: bool = False,
    ) -> None:
        self.versions = tuple(versions)
        """All that count, from 1 on."""
        self.digests = tuple(digests)
        """SHA-256 of the bytes of each."""
        self.pending = pending
        """A next version that lacks signatures."""
        self.signers = tuple(signers)
        """Who signed the pending one so far, sorted."""
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
    texts, signatures = _read_files(root)
    if not texts:
        known = known_project(root, environ)
        if known is not None:
            refuse(f"is gone, and you have seen the project {known} in this folder", FOLDER)
        raise AccessError("This project has no access policy", subject=FOLDER, hint="`dsetkit access init` makes one.")
    policies = [_parse(text, number) for number, text in enumerate(texts, 1)]
    digests = [hashlib.sha256(text).hexdigest() for text in texts]
    _check_links(policies, digests)
    trust = open_trust(root, policies[0].project, environ)
    is_first_sight = trust.first_seen
    verified = trust.verified(digests)
    count, signers = len(policies), [""]
    to_confirm: list[Callable[[], None]] = []
    for number in range(1 if is_whole else verified + 1, len(policies) + 1):
        before = policies[number - 2] if number > 1 else None
        found = signatures.get(number, {})
        signers, missing, confirming = _check_signatures(policies[number - 1], before, texts[number - 1], found)
        to_confirm += confirming
        if missing:
            if number < len(policies) or number <= verified or number == 1:
                refuse(f"lacks signatures: {missing}", f"{FOLDER}/{number}.json")
            count = number - 1
    for confirm in to_confirm:  # each starts a program, so after all else was found right
        confirm()
    trust.remember_policy(digests[:count])
    remember_place(root, policies[0].project, environ)
    is_pending = count < len(policies)
    return Chain(
        policies[:count],
        digests[:count],
        pending=policies[-1] if is_pending else None,
        signers=signers if is_pending else (),
        is_first_sight=is_first_sight,
    )


def write_next(root: Path, policy: AccessPolicy, identity: Identity, environ: Mapping[str, str] = os.environ) -> Chain:
    """Writes the next version (or version 1, where there is no policy), signed with ``identity``; reads it back.

    It is pending where that signature is not enough. Raises ``AccessError`` for who is no admin, while another version
    is pending, and for a policy that cannot follow (``ValueError`` where that is the program's fault); ``TamperError``.
    """
    text = document_text(policy)
    name = f"{FOLDER}/{policy.version}.json"
    if policy.version == 1:
        if _read_files(root)[0] or known_project(root, environ) is not None:
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
    signer = _admin_name(policy, before, identity)
    if len(text) > MAX_POLICY_BYTES:
        raise AccessError("The policy is too large", subject=name, hint="Name fewer principals.")
    _delete_version(root, policy.version)  # signatures that a killed writer left
    # The signature first: a version without any would be pending for ever if this died in between.
    _write_signature(root, policy, text, identity, signer)
    write_below(root, name, text)
    return read_chain(root, environ)


def approve(root: Path, identity: Identity, environ: Mapping[str, str] = os.environ, *, digest: str) -> Chain:
    """Signs the pending version with ``identity``; reads the chain back.

    ``digest`` (``digest_of_policy``) is of what its signer has looked at: no other is signed. Raises ``AccessError``
    where none is pending or ``identity`` is of no admin, ``TamperError``.
    """
    chain = read_chain(root, environ)
    if chain.pending is None:
        raise AccessError("No policy waits for signatures", subject=FOLDER, hint="See `dsetkit access list`.")
    if digest_of_policy(chain.pending) != digest:
        refuse("is not the one you looked at", f"{FOLDER}/{chain.pending.version}.json", hint="Look at it again.")
    signer = _admin_name(chain.pending, chain.policy, identity)
    _write_signature(root, chain.pending, document_text(chain.pending), identity, signer)
    return read_chain(root, environ)


def withdraw(root: Path, environ: Mapping[str, str] = os.environ) -> None:
    """Deletes the pending version and its signatures. Raises ``AccessError`` where none is pending, ``TamperError``."""
    pending = read_chain(root, environ).pending
    if pending is None:
        raise AccessError("No policy waits for signatures", subject=FOLDER, hint="See `dsetkit access list`.")
    _delete_version(root, pending.version)


def check_follows(before: AccessPolicy, digest: str, policy: AccessPolicy) -> None:
    """Whether ``policy`` can be the version after ``before``, whose digest is ``digest``. Raises ``TamperError``.

    The project stays; domains stay, with the commitments of their epochs; one that seals nothing any more never seals
    again; and a reader whom a domain loses, or who loses a key, starts an epoch of what it still seals.
    """
    name = f"{FOLDER}/{policy.version}.json"
    if (policy.version, policy.previous) != (before.version + 1, digest):
        refuse(f"does not follow on version {before.version}", name)
    if policy.project != before.project:
        refuse("is of another project", name)
    used = domains_in_use(policy)
    if again := used & set(before.domains) - domains_in_use(before):
        refuse(f"uses the domain {min(again)} again, which sealed nothing any more", name)
    for domain, old in before.domains.items():
        new = policy.domains.get(domain)
        if new is None or new.epochs[: len(old.epochs)] != old.epochs:
            refuse(f"has not the data keys of the domain {domain} that there were", name)
        if len(new.epochs) == len(old.epochs) and domain in used and must_start_epoch(before, policy, domain):
            refuse(f"takes a reader from the domain {domain} without a new data key", name)


def _read_files(root: Path) -> tuple[list[bytes], dict[int, dict[str, bytes]]]:
    """The policies 1, 2, ... and their signatures by principal. Raises ``TamperError`` for anything else there."""
    numbers: set[int] = set()
    signed: dict[int, list[str]] = {}
    for name in names_below(root, FOLDER, _MAX_FILES):
        if name.startswith("."):  # what a killed writer left, never read
            continue
        if found := _POLICY.match(name):
            numbers.add(int(found[1]))
        elif (found := _SIGNATURE.match(name)) and ".." not in found[2]:
            signed.setdefault(int(found[1]), []).append(found[2])
        else:
            refuse("is no policy and no signature of one", f"{FOLDER}/{name}", hint="Move it away.")
    if numbers != set(range(1, len(numbers) + 1)) or len(numbers) > MAX_VERSIONS:
        refuse("has not the versions 1, 2, ... without gaps", FOLDER)
    # A signature of the next version alone is what a killed writer left.
    if strays := set(signed) - numbers - {len(numbers) + 1}:
        refuse("is a signature of no policy", f"{FOLDER}/{min(strays)}.{signed[min(strays)][0]}.sig")
    left = _MAX_BYTES

    def read(name: str, limit_bytes: int) -> bytes:
        nonlocal left
        data = read_below(root, f"{FOLDER}/{name}", limit_bytes)
        if data is None:
            refuse("vanished while it was read", f"{FOLDER}/{name}", hint="Run it again.")
        left -= len(data)
        if left < 0:
            refuse(f"has more than {_MAX_BYTES:,} bytes, and no policies are that large", FOLDER)
        return data

    texts = [read(f"{number}.json", MAX_POLICY_BYTES) for number in sorted(numbers)]
    signatures = {
        number: {name: read(f"{number}.{name}.sig", signing.MAX_SIGNATURE_BYTES) for name in sorted(names)}
        for number, names in signed.items()
        if number in numbers
    }
    return texts, signatures


def _delete_version(root: Path, version: int) -> None:
    for name in names_below(root, FOLDER, _MAX_FILES):
        found = _POLICY.match(name) or _SIGNATURE.match(name)
        if found and int(found[1]) == version:
            remove_tree(root / FOLDER / name)


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


def _check_links(policies: Sequence[AccessPolicy], digests: Sequence[str]) -> None:
    for before, digest, policy in zip(policies, digests, policies[1:], strict=False):
        check_follows(before, digest, policy)


def _check_signatures(
    policy: AccessPolicy, before: AccessPolicy | None, text: bytes, signatures: Mapping[str, bytes]
) -> tuple[list[str], str, list[Callable[[], None]]]:
    """Who signed a version, sorted; what is missing, in words, or nothing; what is still to be confirmed.

    Raises ``TamperError``.
    """
    namespace = signing.namespace_of("policy", policy.project)
    sides = (policy,) if before is None else (before, policy)
    counts = [0 for _ in sides]
    confirming: list[Callable[[], None]] = []
    for name, signature in signatures.items():
        subject = f"{FOLDER}/{policy.version}.{name}.sig"
        keys = [_admin_keys(side, name) for side in sides]
        if not any(keys):
            refuse("is of nobody who is an admin", subject)
        every = sorted({key for some in keys for key in some})
        about = {"namespace": namespace, "principal": name, "subject": subject}
        key = signing.verify_here(text, signature, keys=every, **about)
        confirming.append(partial(signing.confirm, text, signature, key=key, **about))
        for index, some in enumerate(keys):
            counts[index] += key in some
    missing = [
        f"{count} of {side.threshold} admins of version {side.version}"
        for side, count in zip(sides, counts, strict=True)
        if count < side.threshold
    ]
    return sorted(signatures), f"signed by {' and '.join(missing)}" if missing else "", confirming


def _admin_keys(policy: AccessPolicy, name: str) -> tuple[str, ...]:
    return policy.principals[name].ssh if name in policy.admins else ()


def _admin_name(policy: AccessPolicy, before: AccessPolicy | None, identity: Identity) -> str:
    """Under which name this identity signs a version. Raises ``AccessError`` unless it is an admin's."""
    sides = (policy,) if before is None else (before, policy)
    for side in sides:
        for name in side.admins:
            if set(identity.public.ssh) & set(side.principals[name].ssh):
                return name
    admins = sides[0].admins
    raise AccessError(
        f"Only admins change the policy: {shown(', '.join(admins))}",
        subject=FOLDER,
        hint="Ask one of them.",
        grantors=admins,
    )


def _write_signature(root: Path, policy: AccessPolicy, text: bytes, identity: Identity, signer: str) -> None:
    signature = identity.sign(text, signing.namespace_of("policy", policy.project))
    write_below(root, f"{FOLDER}/{policy.version}.{signer}.sig", signature.encode("ascii"))
