"""``access/keys/<domain>.age``: the data keys of all epochs of a domain, wrapped for its present readers.

One binary age file (age-encryption.org/v1) a domain, with one JSON text in it. An age file says nothing of who made it:
anybody can encrypt for a public key. So each data key counts only if it is the one that the *verified* policy has
committed to, and a keyring that lacks one of them is refused as one that was put back or replaced.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pyrage
from pydantic import Field

from dsetkit.access.files import document_text, parse_document, read_below, refuse, write_below
from dsetkit.access.identity import Identity
from dsetkit.access.keys import DataKey, Secret
from dsetkit.errors import AccessError, TamperError
from dsetkit.spec.base import Document
from dsetkit.spec.policy import AccessPolicy, DomainName, ProjectId

FOLDER = "access/keys"
MAX_KEYRING_BYTES = 4 * 1024 * 1024
_OLDER = "Take the committed file back (git checkout); or, where access/next has a later one: dsetkit access finish."


class _Key(Document):
    number: int = Field(ge=1)
    key: str = Field(pattern=r"^[A-Za-z0-9+/]{43}=$", repr=False)


class _Keyring(Document):
    format: Literal[1] = 1
    project: ProjectId
    domain: DomainName
    epochs: tuple[_Key, ...] = Field(min_length=1, repr=False)


class FreshKeys(Secret):
    """Draws the data keys of new epochs, for ``domains.assign``, and keeps them to be wrapped."""

    __slots__ = ("_project", "keys")

    def __init__(self, project: str) -> None:
        self._project = project
        self.keys: dict[str, dict[int, DataKey]] = {}
        """By domain and epoch."""

    def __call__(self, domain: str, epoch: int) -> str:
        """The commitment of a new data key."""
        key = DataKey.generate()
        self.keys.setdefault(domain, {})[epoch] = key
        return key.commitment(self._project, domain, epoch)


def keyring_name(domain: str) -> str:
    """Where the keyring of a domain is, below the project's root."""
    return f"{FOLDER}/{domain}.age"


def wrap(policy: AccessPolicy, domain: str, keys: Mapping[int, DataKey]) -> bytes:
    """The keyring of a domain of a policy that was verified or is to be signed, for the domain's readers.

    Raises ``ValueError`` unless ``keys`` are just those that the policy commits to. Two calls give two texts, as age
    draws a file key for each.
    """
    known = policy.domains[domain]
    if set(keys) != {epoch.number for epoch in known.epochs} or not all(
        keys[epoch.number].is_committed(policy.project, domain, epoch.number, epoch.commitment)
        for epoch in known.epochs
    ):
        raise ValueError(f"these are not the data keys of the domain {domain}")
    epochs = [{"number": n, "key": base64.b64encode(keys[n].reveal()).decode()} for n in sorted(keys)]
    content = _Keyring.model_validate({"project": policy.project, "domain": domain, "epochs": epochs})
    recipients = [
        pyrage.ssh.Recipient.from_str(key) if key.startswith("ssh-") else pyrage.x25519.Recipient.from_str(key)
        for reader in known.readers
        if reader in policy.principals  # a past domain may name some who are gone
        for key in policy.principals[reader].age
    ]
    wrapped: bytes = pyrage.encrypt(document_text(content), recipients)
    return wrapped


def unwrap(identity: Identity, data: bytes, policy: AccessPolicy, domain: str) -> dict[int, DataKey]:
    """The data keys by epoch, of a keyring and a verified policy that has the domain.

    Epochs that the policy does not have (yet: of a pending version) are left out. Raises ``TamperError`` for a keyring
    that lacks an epoch or has another key than the policy commits to, or is of another domain or project;
    ``AccessError`` for one that this identity cannot open.
    """
    name = keyring_name(domain)
    try:
        text = identity.unwrap(data)
    except AccessError:
        known = policy.domains[domain].readers
        raise AccessError(
            f"{name} was not encrypted for this identity, or is damaged",
            subject=name,
            hint=f"Have an admin or a reader ({', '.join(known)}) wrap it again: dsetkit access rotate.",
            grantors=policy.admins,
        ) from None
    try:
        keyring = parse_document(_Keyring, text, name)
    except TamperError:
        # The cause is left out: it may quote what was decrypted.
        refuse("holds no data keys", name)
    if (keyring.project, keyring.domain) != (policy.project, domain):
        refuse("is the keyring of another domain or project", name)
    found = {entry.number: DataKey(base64.b64decode(entry.key)) for entry in keyring.epochs}
    keys = {}
    for epoch in policy.domains[domain].epochs:
        key = found.get(epoch.number)
        if key is None:
            refuse(f"is an older one: it lacks the data key of epoch {epoch.number}", name, hint=_OLDER)
        if not key.is_committed(policy.project, domain, epoch.number, epoch.commitment):
            refuse(f"holds another data key of epoch {epoch.number} than the policy commits to", name)
        keys[epoch.number] = key
    return keys


def read_keyring(root: Path, identity: Identity, policy: AccessPolicy, domain: str) -> dict[int, DataKey]:
    """``unwrap`` of the domain's keyring below ``root``. Raises ``AccessError`` also where there is none."""
    name = keyring_name(domain)
    data = read_below(root, name, MAX_KEYRING_BYTES)
    if data is None:
        raise AccessError(
            f"{name} is not there",
            subject=name,
            hint="Take it back (git checkout access/keys), or fetch it (git pull): without it nothing opens.",
            grantors=policy.admins,
        )
    return unwrap(identity, data, policy, domain)


def write_keyring(root: Path, policy: AccessPolicy, domain: str, keys: Mapping[int, DataKey]) -> None:
    """Writes the keyring of a domain below ``root``. Raises like ``wrap``; ``TamperError``, ``StorageError``."""
    write_below(root, keyring_name(domain), wrap(policy, domain, keys))


def needs_wrapping(before: AccessPolicy, policy: AccessPolicy) -> tuple[str, ...]:
    """The domains whose keyrings must be written for ``policy`` as the version after ``before``: other readers, other
    keys of theirs, or another epoch.
    """
    people = {*before.principals, *policy.principals}
    others = {name for name in people if before.principals.get(name) != policy.principals.get(name)}
    return tuple(
        name
        for name, domain in sorted(policy.domains.items())
        if before.domains.get(name) != domain or not others.isdisjoint(domain.readers)
    )
