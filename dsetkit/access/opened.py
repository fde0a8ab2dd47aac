"""What one identity may open in one project (fulfils ``dsetkit.snapshots.sealing.Keys``)."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from dsetkit.access.files import refuse
from dsetkit.access.identity import Identity, load_identity
from dsetkit.access.keyring import read_keyring
from dsetkit.access.keys import DataKey, Secret
from dsetkit.access.policy import Chain, read_chain
from dsetkit.access.provenance import Statement
from dsetkit.access.rules import principal_of, rule_of, seal_wanted
from dsetkit.access.seal import DomainSeal, Padding
from dsetkit.access.statement import REPORT, Read, builders_of, check_statement, reader_of, subject_of
from dsetkit.access.trust import SeenStage, Trust, open_trust
from dsetkit.errors import AccessError
from dsetkit.spec.policy import AccessPolicy, StageRule, check_stage
from dsetkit.spec.sealed import Seals
from dsetkit.storage.url import local_place

_LOG = logging.getLogger(__name__)
"""Says on stderr what must not pass unseen, where no program has set logging up otherwise."""


class ProjectKeys(Secret):
    """The keys of an identity in the project at ``root``. Threads may share it.

    Nothing is read before it is needed: the chain of policies with the first sealed snapshot that is met, the identity
    with the first that is to be opened, a keyring with the first of its domain.
    """

    def __init__(
        self,
        root: Path,
        identity: Identity | Path | None = None,
        *,
        statements: Read | None = None,
        is_past: bool = False,
        stage: str | None = None,
        policies: Callable[[Chain], tuple[AccessPolicy, ...]] | None = None,
        environ: Mapping[str, str] = os.environ,
        record: Callable[[Seals], None] | None = None,
    ) -> None:
        """``identity`` may be a file to be read; None: the one that ``DSETKIT_IDENTITY`` names.

        ``statements`` reads ``signatures/…`` of a revision, else they are read below ``root``; with ``is_past`` they
        are those of an old revision, asked for by name (``statement``), and ``policies`` gives the versions that may
        have counted there (none: it is from before them). ``stage``: which one belongs where what is
        opened lies; None: its place in the project says it. Policies and keyrings are always those at
        ``root``, the present ones, which have all that there were. ``record`` is told of each opening, where the policy
        wants it.
        """
        self._root = root
        self._identity = identity
        self._statements = statements if statements is not None else reader_of(root)
        self._is_past = is_past
        self._stage = stage
        self._policies = policies
        self._environ = environ
        self._record = record
        self._lock = threading.RLock()
        self._chain: Chain | None = None
        self._keyrings: dict[str, dict[int, DataKey]] = {}
        self._seals: dict[tuple[str, int, Padding], DomainSeal] = {}

    @property
    def chain(self) -> Chain:
        """The verified policies. Raises ``TamperError``, ``AccessError``."""
        with self._lock:
            if self._chain is None:
                self._chain = read_chain(self._root, self._environ)
                if self._chain.is_first_sight:
                    _LOG.warning(
                        "First sight of the project in %s. Its policy is pinned: %s. Compare this with an admin, by "
                        "another way than this repository.",
                        self._root,
                        self._chain.pin,
                    )
            return self._chain

    @property
    def policy(self) -> AccessPolicy:
        """The policy that counts."""
        return self.chain.policy

    @property
    def identity(self) -> Identity:
        """Who asks. Raises ``AccessError`` where no usable identity is named."""
        with self._lock:
            if not isinstance(self._identity, Identity):
                self._identity = load_identity(self._identity, self._environ)
            return self._identity

    @property
    def principal(self) -> str | None:
        """Under which name the policy knows this identity; None where it does not."""
        return principal_of(self.policy, self.identity)

    def seal(self, seals: Seals) -> DomainSeal:
        """The keys of a sealed snapshot. Raises ``AccessError`` that says who could grant it, ``TamperError``."""
        self._check_project(seals)
        self._check_identity(f"{seals.stage} is sealed (domain {seals.domain}, epoch {seals.epoch})", seals.stage)
        self._check_present(seals)
        return self._seal(seals.domain, seals.epoch, seals.padding, seals.stage)

    def facet(self, seals: Seals, name: str) -> DomainSeal | None:
        """The keys of a facet; None where this identity does not read it, or the snapshot has none such.

        Raises ``TamperError``, ``AccessError`` where its keyring is not there.
        """
        self._check_project(seals)
        facet = seals.facets.get(name)
        if facet is None:
            return None
        self._check_epoch(facet.domain, facet.epoch, name)
        if self.principal not in self.policy.domains[facet.domain].readers:
            return None
        return self._seal(facet.domain, facet.epoch, seals.padding, name)

    def check(self, seals: Seals, document: bytes) -> None:
        """Whether a builder of the stage signed just this ``snapshot.json``, and no later one was seen (``statement``).

        Of the past: whether they did before they were a builder no more, so ``statements`` is asked for policies too.
        Raises ``TamperError`` with the reason, ``AccessError``.
        """
        self._check_project(seals)
        check_statement(
            self.chain,
            self._trust(),
            seals.stage,
            subject_of(seals.stage, document),
            self._statements,
            sealed=(seals.domain, seals.epoch),
            facets={name: (facet.domain, facet.epoch) for name, facet in seals.facets.items()},
            is_past=self._is_past,
        )

    def check_signed(self, stage: str, document: bytes) -> None:
        """Whether an admin signed just this ``snapshot.json`` of a plain stage, and no later one was seen.

        Raises ``TamperError`` with the reason, ``AccessError``.
        """
        files = subject_of(stage, document)
        check_statement(self.chain, self._trust(), stage, files, self._statements, sealed=None, is_past=self._is_past)

    def check_report(self, files: Mapping[str, str], sealed: tuple[str, int]) -> Statement:
        """The statement of the report, where a builder of it signed these of its files, and no later one was seen.

        ``files``: name below the root → SHA-256 as it is stored; ``sealed``: the domain and epoch that they say. Raises
        like ``check``.
        """
        return check_statement(
            self.chain,
            self._trust(),
            REPORT,
            files,
            self._statements,
            sealed=sealed,
            facets=None,
            is_past=self._is_past,
        )

    def check_place(self, url: str, seals: Seals | None) -> None:
        """Whether a snapshot may stand at a path of the project; ``seals`` None: a plain one.

        Raises ``TamperError`` where the policy (of the past: that of its time) seals what belongs there, or another
        stage does.
        """
        stage = self._stage
        if stage is None and not self._is_past:
            stage = stage_at(self._root, url)
        if stage is None:
            return
        if seals is None and self._is_past:
            if self._was_sealed(stage):
                refuse(
                    "is plain, and the policy of its time seals it: it was put there, or not built again yet",
                    stage,
                    hint="Open a revision that was built since, or one from before the policy."
                    " In a shallow clone fetch the rest first: git fetch --unshallow.",
                )
        elif seals is None:
            if seal_wanted(self.policy, stage) is not None:
                refuse(
                    "is plain, and the policy seals it",
                    stage,
                    hint="Build it again (dvc repro). If it was sealed before, somebody has put another in its place.",
                )
        elif seals.stage != stage:
            refuse(
                f"is the sealed snapshot of another stage ({seals.stage}), put in its place",
                stage,
                hint="Fetch the true one (dvc checkout), or build it again: dvc repro.",
            )

    def _was_sealed(self, stage: str) -> bool:
        """Whether a policy that may have counted in the past seals a stage, or cannot say who reads it."""
        try:
            check_stage(stage)
        except ValueError:
            return False  # no stage of the project belongs there
        if self._policies is None or not any(_seals(policy, stage) for policy in self.chain.versions):
            return False  # nobody need look into the past
        return any(_seals(policy, stage) for policy in self._policies(self.chain))

    def opened(self, seals: Seals) -> None:
        """Told when a snapshot was opened: hands it to ``record`` where the policy records openings."""
        if self._record is not None and self.policy.records_openings:
            self._record(seals)

    def seen(self, stage: str) -> SeenStage | None:
        """The highest snapshot of a stage that this user has seen. Raises ``TamperError``."""
        seen = self._trust().seen
        return None if seen is None else seen.stages.get(stage)

    def remember(self, stage: str, version: int, digest: str) -> None:
        """Takes a snapshot that this user has signed for seen. Raises ``TamperError``, ``StorageError``."""
        _ = self.chain  # a policy is seen before
        self._trust().remember_snapshot(stage, version, digest)

    def seal_of(self, stage: str) -> DomainSeal | None:
        """The keys that seal a stage built now; None where it stays plain.

        Raises ``AccessError`` for who does not build it, ``TamperError``.
        """
        policy = self.policy
        rule = rule_of(policy, stage)
        if rule is None:
            return None
        self._check_identity(f"{stage} is sealed (domain {rule.domain}), and who builds it seals and signs it", stage)
        if self.principal not in builders_of(policy, stage):
            self._refuse(f"build {stage}", stage, rule)
        return self._seal(rule.domain, len(policy.domains[rule.domain].epochs), policy.padding, stage)

    def seal_for(self, stage: str) -> DomainSeal | None:
        """The keys that a stage built now is sealed with, to read by; None where it stays plain.

        Raises ``AccessError`` for who does not read it, ``TamperError``.
        """
        wanted = seal_wanted(self.policy, stage)
        return None if wanted is None else self.seal_in(*wanted, stage)

    def seal_in(self, domain: str, epoch: int, subject: str) -> DomainSeal:
        """The keys of one domain and epoch; ``subject`` is what they are wanted for, in messages.

        Raises ``AccessError`` for who does not read it, ``TamperError`` for an epoch there is not.
        """
        return self._seal(domain, epoch, self.policy.padding, subject)

    def facet_seal_of(self, facet: str) -> DomainSeal:
        """The keys that seal a facet built now. Raises ``AccessError`` for who does not read it, ``TamperError``."""
        policy = self.policy
        rule = policy.facets.get(facet)
        if rule is None:
            told = ", ".join(sorted(policy.facets)) or "none"
            raise AccessError("There is no such facet", subject=facet, hint=f"There are: {told}.")
        return self._seal(rule.domain, len(policy.domains[rule.domain].epochs), policy.padding, facet)

    def data_keys(self, domain: str) -> dict[int, DataKey]:
        """All data keys of a domain, to be wrapped again for others (``keyring.write_keyring``).

        Raises ``AccessError`` for who does not read it, ``TamperError``.
        """
        return dict(self._keyring(domain, f"the domain {domain}"))

    def _seal(self, domain: str, epoch: int, padding: Padding, subject: str) -> DomainSeal:
        self._check_epoch(domain, epoch, subject)
        with self._lock:
            found = self._seals.get((domain, epoch, padding))
            if found is None:
                key = self._keyring(domain, subject)[epoch]
                project = self.policy.project
                found = DomainSeal(key, project=project, domain=domain, epoch=epoch, padding=padding)
                self._seals[domain, epoch, padding] = found
            return found

    def _keyring(self, domain: str, subject: str) -> dict[int, DataKey]:
        with self._lock:
            if domain not in self._keyrings:
                policy = self.policy
                if domain not in policy.domains:
                    raise AccessError(
                        f"There is no domain {domain}", subject=subject, hint="See `dsetkit access list`."
                    )
                if self.principal not in policy.domains[domain].readers:
                    self._refuse(f"read {subject}", subject, None)
                self._keyrings[domain] = read_keyring(self._root, self.identity, policy, domain)
            return self._keyrings[domain]

    def _check_present(self, seals: Seals) -> None:
        """Raises ``AccessError`` for who reads what is built of the stage now, and not what was built before that."""
        policy, name = self.policy, self.principal
        wanted = seal_wanted(policy, seals.stage)
        if name is None or wanted is None or seals.domain not in policy.domains:
            return
        if name in policy.domains[wanted[0]].readers and name not in policy.domains[seals.domain].readers:
            raise AccessError(
                f"This {seals.stage} was sealed before {name} could read it, and stays closed to them",
                subject=seals.stage,
                hint="Fetch what was built since (git pull, then dvc pull), or have somebody build it: dvc repro.",
            )

    def _check_identity(self, why: str, subject: str) -> None:
        """Raises ``AccessError`` where nobody usable asks, with who could grant it."""
        try:
            _ = self.identity
        except AccessError as error:
            admins = self.policy.admins
            raise AccessError(
                f"{why}. {error.message}",
                subject=subject,
                hint=f"An admin could grant it: {', '.join(admins)}. But first: {error.hint}",
                grantors=admins,
            ) from error

    def _trust(self) -> Trust:
        return open_trust(self._root, self.policy.project, self._environ)

    def _check_project(self, seals: Seals) -> None:
        if seals.project != self.policy.project:
            refuse(
                f"is sealed in another project ({seals.project}) than this one ({self.policy.project})",
                seals.stage,
                hint="Open it in its own project.",
            )

    def _check_epoch(self, domain: str, epoch: int, subject: str) -> None:
        known = self.policy.domains.get(domain)
        if known is None or not 1 <= epoch <= len(known.epochs):
            refuse(
                f"is sealed in epoch {epoch} of the domain {domain}, which the policy does not have",
                subject,
                hint="Fetch the newest policy (git pull); if it stays so, ask who built it.",
            )

    def _refuse(self, what: str, subject: str, rule: StageRule | None) -> NoReturn:
        admins = self.policy.admins
        name = self.principal
        who = f"{name} may not {what}" if name else f"This identity, which is no principal here, may not {what}"
        told = "" if rule is None else f" (who may: {', '.join(rule.builders) or 'nobody'})"
        fetch = "" if rule is None else " To read what they built, fetch it, and build nothing: dvc pull."
        raise AccessError(
            f"{who}{told}",
            subject=subject,
            hint=f"An admin could grant it: {', '.join(admins)}.{fetch}",
            grantors=admins,
        )


def _seals(policy: AccessPolicy, stage: str) -> bool:
    try:
        return seal_wanted(policy, stage) is not None
    except AccessError:
        return True


def stage_at(root: Path, url: str) -> str | None:
    """The stage whose snapshot belongs at a path of the project at ``root``; None for any other place.

    By the path as it is written, and by what it leads to: a link in the place of a stage is that stage, and what the
    link leads to is as well. So is what a chained URL leads to.
    """
    data = root / "data"
    paths = [Path(url), local_place(url) or Path(url)]  # both: a folder's own name may look like a chain
    for path in paths:
        with contextlib.suppress(ValueError):
            return check_stage(Path(os.path.abspath(path)).relative_to(os.path.abspath(data)).as_posix())
    for place in (data / "cleaned", data / "augmented", *data.glob("raw/*")):
        with contextlib.suppress(OSError, ValueError):
            if any(path.exists() and path.samefile(place) for path in paths):
                return check_stage(place.relative_to(data).as_posix())
    return None
