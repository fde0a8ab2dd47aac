"""Acts of admins on a project: a next policy version with its keyrings, and what follows from it for DVC.

An act writes, in this order: keyrings of the next version (``next_keyrings``), the signed version, the keyrings in
their places, then what is derived: ``access/stages.yaml`` and, in ``dvc.yaml``, each stage's dependency on its entry in
it. Killed in between, either the version is not there and nothing has changed, or it is there and ``finish``, which
every act begins with, does the rest.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from dsetkit.access import audit, changes
from dsetkit.access.audit_chain import Act
from dsetkit.access.domains import assign
from dsetkit.access.files import shown, write_below
from dsetkit.access.identity import Identity
from dsetkit.access.keyring import FreshKeys
from dsetkit.access.opened import ProjectKeys
from dsetkit.access.policy import Chain, approve, pending_of, read_chain, withdraw, write_next
from dsetkit.access.provenance import PolicyOfBuild
from dsetkit.access.rules import digest_of_policy, principal_of
from dsetkit.access.trust import open_trust
from dsetkit.access.wanted import Wanted
from dsetkit.errors import AccessError, UsageError
from dsetkit.spec.issue import Issue
from dsetkit.spec.policy import PROJECT_STAGES, AccessPolicy
from dsetkit.stages.entries import write_entries
from dsetkit.stages.next_keyrings import clear, drawn_unread, install_keyrings, stage_keyrings
from dsetkit.stages.stamps import ignore_sources, stamp_locks
from dsetkit.storage.atomic import remove_tree

SETTLED = ("access/policy", "access/keys", "access/next")
"""Folders of which one side of a merge counts whole."""


@dataclass(frozen=True)
class Change:
    """What an act did."""

    chain: Chain
    before: AccessPolicy | None
    """The policy that counted before; none where there was none."""
    epochs: Mapping[str, int] = field(default_factory=dict)
    """Domains that got a new data key, and the number of its epoch."""
    keyrings: tuple[str, ...] = ()
    """Domains whose keyrings were written."""
    waiting: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Domains whose keyrings one of these must still write (``dsetkit access finish``)."""
    stages: tuple[str, ...] = ()
    """Stages whose entry in ``access/stages.yaml`` is another now: ``dvc repro`` builds them again."""
    files: tuple[str, ...] = ()
    """What was derived and written."""
    issues: tuple[Issue, ...] = ()
    """What was ignored (``Chain.issues``) when it began, and data keys drawn by who does not read what they seal."""

    @property
    def is_pending(self) -> bool:
        """Whether the version waits for more signatures."""
        return self.chain.pending is not None

    @property
    def has_changed(self) -> bool:
        """Whether there is another version, pending or not."""
        return self.is_pending or self.before is None or self.before.version != self.chain.policy.version


def create_policy(
    root: Path,
    name: str,
    identity: Identity,
    *,
    stages: Sequence[str] = PROJECT_STAGES,
    padding: Literal["none", "padme"] = "none",
    records_openings: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> Change:
    """Version 1 of a project that has no policy. Raises ``AccessError``, ``UsageError``, ``StorageError``."""
    project = secrets.token_hex(16)
    fresh = FreshKeys(project)
    policy = changes.first_policy(
        project,
        name,
        identity.public,
        stages=stages,
        commit=fresh,
        padding=padding,
        records_openings=records_openings,
    )
    with _locked(root):
        made = stage_keyrings(root, None, policy, fresh.keys, None, proposer=name, counts_at_once=True)
        chain = write_next(root, policy, identity, environ)
        done = _finish(root, chain, None, identity, made=made)
        audit.append(root, chain, identity, "init", name, {"stages": list(policy.stages)}, environ)
    return done


def change_policy(
    root: Path,
    identity: Identity,
    change: Callable[[Wanted, AccessPolicy], Wanted],
    act: Act,
    subject: str,
    details: Mapping[str, Any] | None = None,
    *,
    rotate: Callable[[AccessPolicy], Sequence[str]] = lambda _: (),
    environ: Mapping[str, str] = os.environ,
) -> Change:
    """Makes the next version: what ``change`` gives of the present one; nothing where it is the same.

    ``rotate`` names domains that start an epoch in any case. Raises ``AccessError`` for who is no admin or has not the
    data keys, and while another version waits for signatures; ``UsageError``, ``TamperError``, ``StorageError``.
    """
    with _locked(root):
        chain = read_chain(root, environ)
        before, issues = chain.policy, chain.issues
        if chain.pending is not None:
            raise AccessError(
                f"Version {chain.pending.version} of the policy waits for signatures, and only one can",
                subject="access/policy",
                hint="See it: dsetkit access list; then dsetkit access approve, or approve --withdraw.",
                grantors=before.admins,
            )
        proposer = principal_of(before, identity)
        if proposer is None or proposer not in before.admins:
            who = f"{proposer} is no admin" if proposer else "This identity is no principal here"
            raise AccessError(
                f"{who}, and only admins change the policy",
                subject="access/policy",
                hint=f"Ask one of them: {', '.join(before.admins)}.",
                grantors=before.admins,
            )
        audit.check_appendable(root, before.project, proposer, environ)  # before anything is written
        left = _finish(root, chain, None, identity)
        if left.waiting:
            _refuse_waiting(left.waiting)
        fresh = FreshKeys(before.project)
        wanted = change(Wanted.of(before), before)
        policy = assign(before, wanted, past=chain.past, commit=fresh, rotate=rotate(before))
        if policy == before:
            return Change(chain, before, stages=left.stages, files=left.files, issues=issues)
        at_once = before.threshold == policy.threshold == 1 and proposer in policy.admins
        keys = ProjectKeys(root, identity, environ=environ)
        made = stage_keyrings(root, before, policy, fresh.keys, keys, proposer=proposer, counts_at_once=at_once)
        issues = (*issues, *drawn_unread(before, policy, (proposer,)))
        chain = write_next(root, policy, identity, environ)
        told = {**(details or {}), **({"pending": policy.version} if chain.pending is not None else {})}
        if chain.pending is None:
            done = _finish(root, chain, before, identity, made=made)
            epochs = {name: max(keys) for name, keys in fresh.keys.items()}
            done = replace(done, epochs=epochs, issues=issues)
        else:
            done = Change(chain, before, files=left.files, issues=issues)
        audit.append(root, chain, identity, act, subject, told, environ)
    return done


def approve_policy(root: Path, identity: Identity, digest: str, environ: Mapping[str, str] = os.environ) -> Change:
    """Signs the pending version, whose digest was looked at, and does the rest where it counts then.

    Raises ``AccessError``, ``TamperError``, ``StorageError``.
    """
    with _locked(root):
        before = read_chain(root, environ).policy
        _check_audit(root, before, identity, environ)
        chain = approve(root, identity, environ, digest=digest)
        version = chain.policy.version if chain.pending is None else chain.pending.version
        done = _finish(root, chain, before, identity)
        audit.append(root, chain, identity, "approve", f"version {version}", {"digest": digest}, environ)
    return done


def withdraw_policy(root: Path, identity: Identity, environ: Mapping[str, str] = os.environ) -> Change:
    """Takes the pending (or ignored) version away, with its keyrings. Raises ``AccessError``, ``TamperError``."""
    with _locked(root):
        _check_audit(root, read_chain(root, environ).policy, identity, environ)
        version = withdraw(root, environ)
        clear(root, version)
        chain = read_chain(root, environ)
        done = _finish(root, chain, chain.policy, identity)
        audit.append(root, chain, identity, "withdraw", f"version {version}", {}, environ)
    return done


def _check_audit(root: Path, policy: AccessPolicy, identity: Identity, environ: Mapping[str, str]) -> None:
    """Whether what is done now can be written into the chain of who does it. Raises ``TamperError``."""
    principal = principal_of(policy, identity)
    if principal is not None:
        audit.check_appendable(root, policy.project, principal, environ)


def finish(root: Path, identity: Identity | None = None, environ: Mapping[str, str] = os.environ) -> Change:
    """Does what a killed command, or a pull, has left to do; changes nothing in the policy. Needs no rights.

    Raises ``TamperError``, ``AccessError`` where there is no policy, ``StorageError``.
    """
    with _locked(root):
        chain = read_chain(root, environ)
        return _finish(root, chain, chain.policy, identity)


def settle_policy(
    root: Path,
    chain: Chain,
    files: Mapping[str, bytes],
    gone: Sequence[str],
    dropped: Sequence[PolicyOfBuild],
    identity: Identity | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Change:
    """Goes on from ``chain``, which another branch has, in the place of versions that are ``dropped``.

    ``files`` (of ``SETTLED``, and of the audit) are written, those of ``gone`` deleted. Killed in between, it is to be
    done again. Raises ``TamperError``, ``AccessError``, ``StorageError``.
    """
    with _locked(root):
        for name in gone:
            remove_tree(root / name)
        for name, data in files.items():
            write_below(root, name, data)
        open_trust(root, chain.policy.project, environ).settle_policy(chain.digests)
        chain = read_chain(root, environ)
        done = _finish(root, chain, chain.policy, identity)
        if identity is not None and dropped:
            told: dict[str, Any] = {"dropped": [one.model_dump(mode="json") for one in dropped]}
            kept = f"version {chain.policy.version}"
            audit.append(root, chain, identity, "settle", kept, told, environ)
    return done


def pending_digest(chain: Chain) -> str:
    """What ``approve_policy`` wants of the pending version. Raises like ``pending_of``."""
    return digest_of_policy(pending_of(chain))


def _finish(
    root: Path, chain: Chain, before: AccessPolicy | None, identity: Identity | None, *, made: Collection[str] = ()
) -> Change:
    installed, waiting = install_keyrings(root, chain, identity, made)
    stages, files = write_entries(root, chain.policy)
    files += stamp_locks(root, chain.policy, identity) + ignore_sources(root, chain.policy)
    keyrings = tuple(installed)
    return Change(chain, before, keyrings=keyrings, waiting=waiting, stages=stages, files=files, issues=chain.issues)


def _refuse_waiting(waiting: Mapping[str, tuple[str, ...]]) -> None:
    domain, readers = min(waiting.items())
    raise AccessError(
        f"The keyring of {domain} still waits for one of its readers",
        subject=domain,
        hint=f"Have one of them run `dsetkit access finish`: {', '.join(readers)}.",
        grantors=readers,
    )


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One act at a time in one project folder."""
    folder = root / ".dvc" / "tmp" if (root / ".dvc").is_dir() else root / ".dsetkit"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "dsetkit-access.lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                f"Another command changes the policy of {shown(root.name)} right now", hint="Wait until it has ended."
            ) from None
        yield
