"""Keyrings of the next policy version, kept in ``access/next/<version>/`` until that version counts.

They are written before the policy is, so that a command that is killed loses no data key, and no keyring in use is
touched before enough admins have signed:

- ``<domain>.age`` is as it is to be, and has only to be moved into its place. Who made it does that at once; else one
  of its readers, who can see that it holds the data keys that the policy commits to. Others must not: anybody can put
  a file there, and the keyring in its place may be the only copy of a data key.
- ``<domain>.held.age`` holds the same data keys, wrapped for those who have them anyway. It is of a version that waits
  for signatures and gives a domain new readers: one of the old readers wraps it for all once the version counts.

Only domains whose keyring the version needs anew count here (``needs_wrapping``), whatever else lies there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from dsetkit.access.files import names_below, read_below, refuse, write_below
from dsetkit.access.identity import Identity
from dsetkit.access.keyring import MAX_KEYRING_BYTES, keyring_name, needs_wrapping, unwrap, wrap, write_keyring
from dsetkit.access.keys import DataKey
from dsetkit.access.opened import ProjectKeys
from dsetkit.access.policy import Chain
from dsetkit.access.rules import domains_in_use, principal_of
from dsetkit.errors import AccessError, TamperError
from dsetkit.spec.issue import Issue
from dsetkit.spec.policy import AccessPolicy
from dsetkit.storage.atomic import remove_tree

FOLDER = "access/next"
_HELD = ".held.age"
_FINAL = ".age"
_MAX_FILES = 100_000
_DELETE = "Delete it, or take the committed file back (git checkout), then: dsetkit access finish."


def stage_keyrings(
    root: Path,
    before: AccessPolicy | None,
    policy: AccessPolicy,
    fresh: Mapping[str, Mapping[int, DataKey]],
    keys: ProjectKeys | None,
    *,
    proposer: str,
    counts_at_once: bool,
) -> tuple[str, ...]:
    """Writes what ``policy`` needs as the version after ``before``; gives the SHA-256 of each file.

    ``fresh`` are the data keys drawn for it; all others are taken from the keyrings that ``proposer`` reads. Raises
    ``AccessError`` where the proposer has no data keys of a domain that others are to read.
    """
    clear(root, policy.version)
    empty = before if before is not None else policy.model_copy(update={"domains": {}})
    written = []
    for domain in needs_wrapping(empty, policy):
        holders = _holders(policy, domain)
        had = _holders(before, domain) if before is not None and domain in before.domains else {}
        is_joined = domain in empty.domains and any(set(holders[name]) - set(had.get(name, ())) for name in holders)
        is_used = domain in domains_in_use(policy)
        if not is_used and not is_joined:
            continue  # who leaves a domain that seals nothing any more had its data keys anyway
        found = dict(fresh.get(domain, {}))
        if domain in empty.domains:
            if keys is None or proposer not in empty.domains[domain].readers:
                if not is_used:
                    continue
                raise AccessError(
                    f"{proposer} does not read the domain {domain}, so cannot hand its data keys on",
                    subject=domain,
                    hint=f"An admin who reads it can: {_admins_of(empty, domain)}.",
                    grantors=empty.domains[domain].readers,
                )
            found = {**keys.data_keys(domain), **found}
        is_held = is_joined and not counts_at_once
        if is_held:
            kept = {name: tuple(key for key in had.get(name, ()) if key in holders[name]) for name in holders}
            kept = {name: some for name, some in kept.items() if some} or {proposer: had[proposer]}
            data = wrap(_restricted(policy, domain, kept), domain, found)
        else:
            data = wrap(policy, domain, found)
        write_below(root, f"{FOLDER}/{policy.version}/{domain}{_HELD if is_held else _FINAL}", data)
        written.append(hashlib.sha256(data).hexdigest())
    return tuple(written)


def install_keyrings(
    root: Path, chain: Chain, identity: Identity | None, made: Collection[str] = ()
) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    """Puts the keyrings of the version that counts into their places; forgets those of others.

    ``made`` has the SHA-256 of those that this very command made (``stage_keyrings``). Gives the domains that were
    installed, and those that wait for one of their readers, with these. Raises ``TamperError`` for a keyring that has
    not the keys that the policy commits to.
    """
    policy = chain.policy
    before = chain.past[-1] if chain.past else policy.model_copy(update={"domains": {}})
    needed = needs_wrapping(before, policy)
    has_next = chain.pending is not None or chain.ignored is not None  # what is ignored may yet be put right
    kept = {policy.version, policy.version + has_next}
    for name in names_below(root, FOLDER, _MAX_FILES):
        if not name.startswith(".") and (not name.isdecimal() or int(name) not in kept):
            remove_tree(root / FOLDER / name)
    folder = f"{FOLDER}/{policy.version}"
    installed: list[str] = []
    waiting: dict[str, tuple[str, ...]] = {}
    for name in names_below(root, folder, _MAX_FILES):
        if name.startswith("."):
            continue
        is_held = name.endswith(_HELD)
        domain = name.removesuffix(_HELD if is_held else _FINAL)
        if domain not in policy.domains or name == domain:
            refuse("is no keyring of the next policy", f"{folder}/{name}", hint="Move it away.")
        data = read_below(root, f"{folder}/{name}", MAX_KEYRING_BYTES)
        if data is None:
            continue
        place = keyring_name(domain)
        present = read_below(root, place, MAX_KEYRING_BYTES)
        if domain not in needed or data == present:
            remove_tree(root / folder / name)
            continue
        if is_held:
            found = _opened(identity, data, policy, domain, f"{folder}/{name}", present)
            if found is None:
                waiting[domain] = before.domains.get(domain, policy.domains[domain]).readers
                continue
            write_keyring(root, policy, domain, found)
        else:
            if hashlib.sha256(data).hexdigest() not in made:
                readers = policy.domains[domain].readers
                found = _opened(identity, data, policy, domain, f"{folder}/{name}")
                if found is None and identity is not None and principal_of(policy, identity) in readers:
                    refuse(
                        f"is damaged, or not {place}: you read {domain}, and cannot open it",
                        f"{folder}/{name}",
                        hint=_DELETE,
                    )
                if found is None and present is not None:
                    waiting[domain] = readers
                    continue
            write_below(root, place, data)
        remove_tree(root / folder / name)
        installed.append(domain)
    if not waiting:
        remove_tree(root / folder)
        if (root / FOLDER).is_dir() and not names_below(root, FOLDER, _MAX_FILES):
            remove_tree(root / FOLDER)
    return installed, waiting


def drawn_unread(before: AccessPolicy, policy: AccessPolicy, signers: Sequence[str]) -> list[Issue]:
    """An issue for each data key that is new in ``policy`` and was drawn by somebody who does not read its domain.

    Who makes a change draws the data keys that it needs, and keys cannot be drawn without being known. ``signers`` are
    who signed it so far: the first of them made it, and which one that was, signatures do not say.
    """
    issues = []
    for name, domain in policy.domains.items():
        had = len(before.domains[name].epochs) if name in before.domains else 0
        strangers = [signer for signer in signers if signer not in domain.readers]
        if len(domain.epochs) == had or not strangers:
            continue
        who = signers[0] if len(signers) == 1 else f"one of {', '.join(signers)}"
        unread = "who does not read it" if len(signers) == 1 else f"of whom {', '.join(strangers)} do not read it"
        issues.append(
            Issue(
                code="key-drawn-unread",
                severity="warning",
                message=f"the data key of {name} was drawn by {who}, {unread}: whoever drew it can open what it seals",
                hint=f"Have an admin who reads it make the change, or rotate: dsetkit access rotate {name}.",
            )
        )
    return issues


def clear(root: Path, version: int) -> None:
    """Forgets the keyrings of a version that is written anew or was withdrawn."""
    if names_below(root, f"{FOLDER}/{version}", _MAX_FILES):
        remove_tree(root / FOLDER / str(version))


def _opened(
    identity: Identity | None, data: bytes, policy: AccessPolicy, domain: str, name: str, present: bytes | None = None
) -> dict[int, DataKey] | None:
    """The data keys that the policy commits to, of ``data``, else of the keyring in its place (``present``).

    None where this identity opens neither. Raises ``TamperError`` where it opens ``data``, and those are others.
    """
    if identity is None:
        return None
    wrong = ""
    for one in (data, present):
        try:
            if one is not None:
                return unwrap(identity, one, policy, domain)
        except TamperError as error:
            wrong = wrong or (error.message if one is data else "")
        except AccessError:
            pass  # not one of those who have it
    if wrong:
        refuse(f"cannot be the next keyring of {domain}: {wrong}", name, hint=_DELETE)
    return None


def _holders(policy: AccessPolicy, domain: str) -> dict[str, tuple[str, ...]]:
    """The age keys of each reader of a domain."""
    readers = policy.domains[domain].readers
    return {name: policy.principals[name].age for name in readers if name in policy.principals}


def _restricted(policy: AccessPolicy, domain: str, holders: Mapping[str, tuple[str, ...]]) -> AccessPolicy:
    """The policy as if only these read the domain: ``wrap`` wraps for them."""
    known = policy.domains[domain].model_copy(update={"readers": tuple(sorted(holders))})
    some = policy.principals[next(iter(policy.principals))]
    people = {name: some.model_copy(update={"age": keys}) for name, keys in holders.items()}
    return policy.model_copy(update={"domains": {**policy.domains, domain: known}, "principals": people})


def _admins_of(policy: AccessPolicy, domain: str) -> str:
    both = [name for name in policy.admins if name in policy.domains[domain].readers]
    return ", ".join(both) or f"there is none; make one of {', '.join(policy.domains[domain].readers)} an admin"
