"""How a project meets its access policy: what opens what is read, what seals what is built, who signs it.

A project without a policy knows nothing of all this, and none of the libraries for it is loaded.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from dsetkit.errors import AccessError, DsetkitError, UsageError
from dsetkit.snapshots.opening import read_info, read_seals
from dsetkit.snapshots.stored_bytes import check_digests
from dsetkit.spec.lock import SealedStamp, SourceLock
from dsetkit.storage.folder import LocalFolder
from dsetkit.storage.url import local_place

if TYPE_CHECKING:
    from dsetkit.access.opened import ProjectKeys
    from dsetkit.access.policy import Chain
    from dsetkit.access.seal import DomainSeal
    from dsetkit.access.statement import Read
    from dsetkit.spec.policy import AccessPolicy
    from dsetkit.spec.sealed import Seals

STAGES = "access/stages.yaml"
"""What seals each stage, for DVC: a stage depends on its entry, so that a new epoch runs it again."""


def has_policy(root: Path) -> bool:
    """Whether the project at ``root`` has an access policy, or had one when this user last looked."""
    if (root / "access" / "policy").exists():
        return True
    from dsetkit.access.trust import known_project

    return known_project(root) is not None


def keys_of(
    root: Path,
    *,
    statements: Read | None = None,
    is_past: bool = False,
    place: str | None = None,
    policies: Callable[[Chain], tuple[AccessPolicy, ...]] | None = None,
) -> ProjectKeys | None:
    """What the identity that ``DSETKIT_IDENTITY`` names may open in a project; None where it has no policy.

    ``statements`` reads ``signatures/…`` of a revision, where it is not the workspace's that count; ``is_past``: the
    revision was asked for by name. ``place`` (``data/cleaned``): where what is opened belongs, if it lies elsewhere.
    ``policies``: of a revision, the versions that may have counted then. Nothing is read and nobody is asked before
    something sealed is met, or something that should be.
    """
    if not has_policy(root):
        return None
    from dsetkit.access.opened import ProjectKeys

    stage = None if place is None else place.removeprefix("data/")
    keys = ProjectKeys(
        root,
        statements=statements,
        is_past=is_past,
        stage=stage,
        policies=policies,
        record=lambda seals: _record(keys, root, seals),
    )
    return keys


def is_protected(root: Path, place: Path) -> bool:
    """Whether the policy of a project seals the snapshot at a place in it. Raises ``TamperError``, ``AccessError``."""
    keys = keys_of(root)
    if keys is None:
        return False
    from dsetkit.access.rules import seal_wanted

    return seal_wanted(keys.policy, place.relative_to(root / "data").as_posix()) is not None


def is_sealed_as_wanted(keys: ProjectKeys | None, stage: str, seals: Seals | None) -> bool:
    """Whether what stands of a stage is sealed as the policy seals it now, facets too. Raises ``TamperError``."""
    if keys is None:
        return True
    from dsetkit.access.rules import facets_of, seal_wanted

    policy = keys.policy
    if seals is None:
        return seal_wanted(policy, stage) is None
    wanted = {
        name: (rule.domain, len(policy.domains[rule.domain].epochs)) for name, rule in facets_of(policy, stage).items()
    }
    found = {name: (facet.domain, facet.epoch) for name, facet in seals.facets.items()}
    return ((seals.domain, seals.epoch), found) == (seal_wanted(policy, stage), wanted)


def refresh_sealing(root: Path) -> None:
    """Say anew what seals each stage, where a source has come or gone. Raises ``TamperError``, ``StorageError``."""
    if has_policy(root):
        from dsetkit.stages.entries import refresh_entries

        refresh_entries(root)


def _record(keys: ProjectKeys, root: Path, seals: Seals) -> None:
    """Put an opening into the audit chain of whoever opens; what cannot be written there is no reason not to read."""
    from dsetkit.access import audit

    with suppress(DsetkitError):
        details: dict[str, Any] = {"domain": seals.domain, "epoch": seals.epoch}
        audit.append(root, keys.chain, keys.identity, "open", seals.stage, details)


def keys_near(place: str | os.PathLike[str]) -> ProjectKeys | None:
    """The keys of the project that a path lies in, or for a URL the working folder; None where there is none.

    What a chained URL leads to on this machine in the end (``simplecache::file:///…``) is a path like others.

    The nearest project counts, but no folder below ``data/`` can make itself the project of a stage of another one that
    has a policy: a committer could switch that off with an empty file.
    """
    path = local_place(os.fspath(place))
    written = Path.cwd() if path is None else Path(os.path.abspath(path))
    resolved = written.resolve()  # the project that a link stands in comes before the one that it leads to
    for here in (written, resolved):
        for folder in reversed(here.parents):
            if _is_of_stage(here.relative_to(folder)) and has_policy(folder):
                return keys_of(folder)
    for folder in (written, *written.parents, resolved, *resolved.parents):
        if (folder / "access" / "policy").is_dir() or (folder / "dvc.yaml").is_file():
            return keys_of(folder)
    return None


def _is_of_stage(path: PurePath) -> bool:
    """Whether a path in a project is where a stage's snapshot stands, or in there."""
    parts = path.parts
    return len(parts) > 1 and parts[0] == "data" and parts[1] in ("raw", "cleaned", "augmented")


class Unsigned:
    """Keys that open what is sealed, whoever signed it, or nobody yet: to look whether it is whole, or to sign it."""

    def __init__(self, keys: ProjectKeys) -> None:
        self._keys = keys

    def seal(self, seals: Seals) -> DomainSeal:
        """See ``Keys``."""
        return self._keys.seal(seals)

    def facet(self, seals: Seals, name: str) -> DomainSeal | None:
        """See ``Keys``."""
        return self._keys.facet(seals, name)

    def check(self, seals: Seals, document: bytes) -> None:
        """Looks at no signature."""

    def check_place(self, url: str, seals: Seals | None) -> None:
        """Takes anything plain; what is sealed stands where it belongs."""
        if seals is not None:
            self._keys.check_place(url, seals)

    def opened(self, seals: Seals) -> None:
        """Records nothing."""


@dataclass(frozen=True)
class Sealing:
    """How one stage of a project is sealed, in one run of it."""

    root: Path
    stage: str
    """``raw/blood``, ``cleaned``, ``augmented``, ``report``."""
    keys: ProjectKeys | None
    """None: the project has no policy."""

    @cached_property
    def seal(self) -> DomainSeal | None:
        """What seals what is built now; None where it stays plain.

        Raises ``AccessError`` for who may not build the stage, and where ``access/stages.yaml`` does not say what the
        policy says: DVC goes by it.
        """
        if self.keys is None:
            return None
        seal = self.keys.seal_of(self.stage)
        self._check_entry()
        return seal

    def may_tell_of(self, seals: Seals | None) -> bool:
        """Whether all who read the stage, as it is built now, may read a snapshot with this envelope (None: plain)."""
        if self.keys is None or seals is None:
            return True
        from dsetkit.access.rules import seal_wanted

        policy = self.keys.policy
        wanted, sealed = seal_wanted(policy, self.stage), policy.domains.get(seals.domain)
        return wanted is not None and sealed is not None and {*policy.domains[wanted[0]].readers} <= {*sealed.readers}

    def state(self) -> dict[str, str]:
        """What DVC records of the seal as a dependency of the stage, as ``Project.state`` gives the rest."""
        path = self.root / STAGES
        return {STAGES: hashlib.sha256(path.read_bytes()).hexdigest()} if path.is_file() else {}

    def check_pool(self, *, is_local: bool) -> None:
        """Refuse to seal on other machines: keys stay in this process. Raises ``UsageError``."""
        if self.seal is not None and not is_local:
            raise UsageError(
                f"{self.stage} is sealed, and keys are sent to no other machine",
                hint="Run it on this machine alone: unset DSETKIT_DASK.",
            )

    def check_inputs(self, inputs: Mapping[str, Path], *, signed: bool = False) -> None:
        """Refuse to make something plain of something sealed, unless the policy says so.

        ``inputs``: stage → folder; ``signed``: plain ones must be signed too. Raises ``AccessError``, ``TamperError``.
        """
        if signed:
            self._check_signed(inputs)
        if self.seal is not None:
            return
        for stage, place in inputs.items():
            is_there = (place / "snapshot.json").is_file()  # what is absent is for the stage to say
            if not is_there or read_seals(LocalFolder(place)) is None:
                continue
            if self.keys is None:
                raise AccessError(
                    f"{stage} is sealed, and this project has no access policy, so {self.stage} would be plain",
                    subject=self.stage,
                    hint="Fetch the policy (git pull); see docs/access.md.",
                )
            if self.stage not in self.keys.policy.declassified:
                raise AccessError(
                    f"{self.stage} is made from {stage}, which is sealed, and would be plain",
                    subject=self.stage,
                    hint=f"Build {stage} again (dvc repro), or have an admin protect {self.stage} or declassify it.",
                )

    def sign(
        self, files: Mapping[str, bytes], inputs: Mapping[str, Path], *, params: str, tools: Mapping[str, str]
    ) -> None:
        """Sign what was built, into ``signatures/``; nothing for a stage that is plain.

        ``files``: name in the project → content as it is stored, of a snapshot its ``snapshot.json``; ``inputs``: stage
        → folder of what it was made from; ``params``: digest of what params say to it. Raises ``AccessError``,
        ``TamperError``, ``StorageError``.
        """
        if self.keys is None or self.seal is None:
            return
        sign_files(self.keys, self.root, self.stage, files, inputs, params=params, tools=tools)

    def finish(self) -> None:
        """After a stage was built: leave its mark for DVC.

        Raises ``AccessError``, ``TamperError``, ``StorageError``.
        """
        if self.keys is None:
            return
        from dsetkit.stages.entries import write_mark

        write_mark(self.root, self.stage)

    def stamped(self, lock: SourceLock, like: SourceLock | None = None) -> SourceLock:
        """A source's lock with its digest keyed, so that it tells nothing to those who do not read the source.

        Keyed as ``like`` is, to be compared with it; else for the present epoch. Plain stays plain. Raises
        ``AccessError`` for who has no keys, ``TamperError``.
        """
        if self.keys is None or (like is not None and like.sealed is None):
            return lock
        if like is not None and like.sealed is not None:
            seal: DomainSeal | None = self.keys.seal_in(like.sealed.domain, like.sealed.epoch, self.stage)
        else:
            seal = self.keys.seal_of(self.stage)
        if seal is None:
            return lock
        return lock.model_copy(
            update={
                "digest": seal.stamp("source", lock.digest),
                "sealed": SealedStamp(domain=seal.domain, epoch=seal.epoch),
            }
        )

    def _check_signed(self, inputs: Mapping[str, Path]) -> None:
        if self.keys is None and inputs:
            raise AccessError(
                "params.yaml wants signed inputs (access.signed_inputs), and this project has no access policy",
                subject=self.stage,
                hint="Make one (dsetkit access init --open protects no stage), or fetch it (git pull).",
            )
        for stage, place in inputs.items():
            document = place / "snapshot.json"
            if self.keys is not None and document.is_file() and read_seals(LocalFolder(place)) is None:
                self.keys.check_signed(stage, document.read_bytes())
                info = read_info(LocalFolder(place))
                tables = (*info.parts, *(() if info.rejected is None else (info.rejected,)))
                check_digests(LocalFolder(place), tables)  # of pictures the rows have the digests

    def _check_entry(self) -> None:
        from dsetkit.stages.entries import check_entry

        assert self.keys is not None
        check_entry(self.root, self.keys.policy, self.stage)


def sign_files(
    keys: ProjectKeys,
    root: Path,
    stage: str,
    files: Mapping[str, bytes],
    inputs: Mapping[str, Path],
    *,
    params: str,
    tools: Mapping[str, str],
) -> None:
    """Sign the ``snapshot.json`` of a stage, or all files of a report, as a builder of it, as the newest.

    ``files`` as in ``Sealing.sign``; of ``inputs`` those count that stand. Raises ``AccessError``, ``TamperError``
    (``make_statement``), ``StorageError``.
    """
    from dsetkit.access.rules import seal_wanted
    from dsetkit.access.statement import make_statement, reader_of, standing_statement, write_statement

    statement = make_statement(
        keys.chain,
        keys.identity,
        stage,
        {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
        before=standing_statement(keys.chain, reader_of(root), stage),
        seen=keys.seen(stage),
        sealed=seal_wanted(keys.policy, stage),
        inputs={
            name: hashlib.sha256(document.read_bytes()).hexdigest()
            for name, document in ((name, place / "snapshot.json") for name, place in inputs.items())
            if document.is_file()
        },
        params=params,
        tools=tools,
    )
    write_statement(root, statement, keys.identity)
    keys.remember(stage, statement.parameters.version, statement.digest)
