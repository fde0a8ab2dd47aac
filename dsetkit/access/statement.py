"""What a builder signs of a stage: an in-toto Statement v1 with SLSA provenance v1, one a stage.

``signatures/<stage>.json`` (``/`` in the stage is ``__``) and, beside it, ``signatures/<stage>.sig``, an SSH signature
over its exact bytes (``signing``, namespace ``dsetkit-snapshot@<project id>``). The fields are those of the in-toto
Attestation Framework (spec/v1/statement.md) and of SLSA 1.0 (provenance, predicate type
``https://slsa.dev/provenance/v1``): what a stage was built of are the resolved dependencies, what it was asked to build
are the external parameters. A snapshot's statement is about its ``snapshot.json``, which names and hashes all the rest;
that of a sealed report about each of its files, sorted by name, as they are stored.

Readers of a sealed snapshot, or report, hold the keys that seal it, so sealing does not say who made it: this does. A
statement is believed when

- it is about just this ``snapshot.json`` (of a report: this file), stage and project;
- the policy version that it names is one of the verified chain, its signer was a builder of the stage by that version,
  and what it is about is sealed in the domain and epoch of that version;
- unless it is of the past, its signer is a builder *now* as well, with a key that is still theirs, or this user
  believed the very same before. Who is a builder no more cannot make a new one by naming an old policy; what they
  signed before is signed again by one who is (``dsetkit sign``), or built again;
- unless it is of the past, its version is not below what this user has seen of the stage, nor another so numbered,
  nor out of all measure above it (``trust.MAX_STEP``).

*Past* is what a revision of git leads to, by a caller who asked for that revision. Its version is free then, and who
signed it may have been revoked since. But git must say that it was there first: the revision has the policy that the
statement names, and the statement came before the first policy by which its signer builds no more (``history`` reads
``access/policy/`` as the statement met it). So it is as true as the git history (signed tags) that leads to it, and
nobody signs new things for the past on top of their revocation. A stage that is plain is signed by admins.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dsetkit.access import signing
from dsetkit.access.files import document_text, parse_document, read_below, refuse, shown, write_below
from dsetkit.access.identity import Identity
from dsetkit.access.policy import Chain
from dsetkit.access.policy_files import FOLDER as POLICIES
from dsetkit.access.policy_files import MAX_POLICY_BYTES
from dsetkit.access.provenance import MAX_VERSION, PRINCIPAL_URN, Statement, digest_of_files
from dsetkit.access.rules import facets_of, principal_of, rule_of, seal_wanted
from dsetkit.access.trust import MAX_STEP, SeenStage, Trust
from dsetkit.errors import AccessError, TamperError
from dsetkit.spec.policy import AccessPolicy, check_stage

FOLDER = "signatures"
MAX_STATEMENT_BYTES = 1024 * 1024

NO_FACETS: Mapping[str, tuple[str, int]] = {}

Read = Callable[[str, int], bytes | None]
"""Reads a file by its name below the project's root, at most so many bytes; None where there is none."""

REPORT = "report"
"""The stage whose statement is about many files."""

_REPORT_FILE = re.compile(r"(cards|reports)(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")


class Signed(NamedTuple):
    """A statement as it is stored, not yet believed."""

    statement: Statement
    text: bytes
    signature: bytes


def statement_name(stage: str) -> str:
    """Where the statement of a stage is, below the project's root; its signature ends in ``.sig`` instead."""
    return f"{FOLDER}/{check_stage(stage).replace('/', '__')}.json"


def signature_name(stage: str) -> str:
    """Where the signature of a stage's statement is, below the project's root."""
    return f"{statement_name(stage).removesuffix('.json')}.sig"


def subject_name(stage: str) -> str:
    """What the statement of a snapshot's stage is about, below the project's root."""
    return f"data/{check_stage(stage)}/snapshot.json"


def subject_of(stage: str, document: bytes) -> dict[str, str]:
    """What the statement of a snapshot is about, as ``make_statement`` takes it; ``document``: ``snapshot.json``."""
    return {subject_name(stage): hashlib.sha256(document).hexdigest()}


def builders_of(policy: AccessPolicy, stage: str) -> tuple[str, ...]:
    """Whose signature makes what stands of the stage believed: its builders; admins where it is plain."""
    rule = rule_of(policy, stage)
    return policy.admins if rule is None else rule.builders


def reader_of(root: Path) -> Read:
    """Reads below ``root`` through no link."""
    return lambda name, limit_bytes: read_below(root, name, limit_bytes)


def read_statement(read: Read, stage: str) -> Signed | None:
    """The stored statement of a stage; None where there is none. Raises ``TamperError`` for half of one."""
    name, beside = statement_name(stage), signature_name(stage)
    text = read(name, MAX_STATEMENT_BYTES)
    signature = read(beside, signing.MAX_SIGNATURE_BYTES)
    if text is None and signature is None:
        return None
    if text is None or signature is None:
        refuse(f"is there without {beside if signature is None else name}", name if signature is None else beside)
    return Signed(parse_document(Statement, text, name), text, signature)


def standing_statement(chain: Chain, read: Read, stage: str) -> Statement | None:
    """The stored statement of a stage that somebody signed who built it by the policy that it names; else None.

    That is what the next statement counts on from. Whether it is about what stands, and the newest, is not asked here.
    Raises ``AccessError`` where there is no ``ssh-keygen``.
    """
    with suppress(TamperError):  # half of one, or nobody's: it is replaced
        signed = read_statement(read, stage)
        if signed is not None:
            _check_authentic(chain, signed, stage)
            return signed.statement
    return None


def make_statement(
    chain: Chain,
    identity: Identity,
    stage: str,
    files: Mapping[str, str],
    *,
    before: Statement | None,
    seen: SeenStage | None = None,
    sealed: tuple[str, int] | None,
    inputs: Mapping[str, str],
    params: str,
    tools: Mapping[str, str],
) -> Statement:
    """The statement of a stage about ``files`` (name → SHA-256), under the policy as it is now.

    ``files``: of a snapshot ``subject_of``, of a report all of its files as they are stored. ``before`` is the stage's
    statement of before, ``seen`` the highest that its signer has seen (``Trust``). The version is one more than both
    where the files are others, so that what is signed now is the newest, wherever it comes from (an earlier version
    that was brought back, another branch). ``sealed`` is domain and epoch; ``inputs`` the SHA-256 of the
    ``snapshot.json`` of each stage it was built of; ``params`` the digest of the params it read.

    Raises ``AccessError`` for who is no builder of the stage, and for what is not sealed as the policy says;
    ``TamperError`` where somebody has signed the highest version there can be.
    """
    if not _is_about(stage, sorted(files)):
        raise ValueError(f"no statement of {stage} is about {sorted(files)}")
    policy = chain.policy
    signer = principal_of(policy, identity)
    builders = builders_of(policy, stage)
    if signer is None or signer not in builders:
        raise AccessError(
            f"Only a builder of {stage} signs it: {', '.join(builders) or 'nobody is one'}",
            subject=stage,
            hint=f"Ask one of them, or an admin to make you one: {', '.join(policy.admins)}.",
            grantors=policy.admins,
        )
    if sealed != seal_wanted(policy, stage):
        raise AccessError(
            f"{stage} is not sealed as the policy says now", subject=stage, hint="Build it again: dvc repro."
        )
    version = _next_version(stage, digest_of_files(files), before, seen)
    row = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [_subject(name, files[name]) for name in sorted(files)],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:dsetkit:stage:1",
                "externalParameters": {
                    "project": policy.project,
                    "stage": stage,
                    "version": version,
                    "policy": {"version": policy.version, "digest": chain.digest},
                    **({} if sealed is None else {"domain": sealed[0], "epoch": sealed[1]}),
                },
                "resolvedDependencies": [
                    *(_subject(subject_name(name), inputs[name]) for name in sorted(inputs)),
                    _subject("params.yaml", params),
                ],
            },
            "runDetails": {"builder": {"id": f"{PRINCIPAL_URN}{signer}", "version": dict(tools)}},
        },
    }
    return Statement.model_validate(row)


def _next_version(stage: str, digest: str, before: Statement | None, seen: SeenStage | None) -> int:
    said = [] if before is None else [(before.parameters.version, before.digest)]
    if seen is not None:  # what is out of all measure above it is believed by nobody who saw the same
        said = [(seen.version, seen.digest), *(one for one in said if one[0] <= seen.version + MAX_STEP)]
    if not said:
        return 1
    version, known = max(said)
    if known == digest:
        return version
    if version >= MAX_VERSION:
        refuse(
            f"is version {version} already, and there is none above: somebody signed it so",
            stage,
            hint="See docs/threat-model.md, 'Signatures, and old things put back': have a builder sign it who has seen "
            "its right version.",
        )
    return version + 1


def write_statement(root: Path, statement: Statement, identity: Identity) -> None:
    """Signs a statement and writes both files. Raises ``TamperError`` for a link, ``StorageError``."""
    text = document_text(statement)
    parameters = statement.parameters
    signature = identity.sign(text, signing.namespace_of("snapshot", parameters.project))
    write_below(root, statement_name(parameters.stage), text)
    write_below(root, signature_name(parameters.stage), signature.encode("ascii"))


def check_statement(
    chain: Chain,
    trust: Trust,
    stage: str,
    files: Mapping[str, str],
    read: Read,
    *,
    sealed: tuple[str, int] | None,
    facets: Mapping[str, tuple[str, int]] | None = NO_FACETS,
    is_past: bool = False,
) -> Statement:
    """The believed statement about ``files`` (name → SHA-256) of a stage; remembered unless ``is_past``.

    ``files`` is what a snapshot's statement is about (``subject_of``), or some of the files of a report: those that are
    looked at. ``sealed`` is the domain and epoch that they say, ``facets`` those of each facet, None of a report, which
    has none; ``read`` reads what is in ``signatures/``, and with ``is_past`` ``access/policy/`` as the statement met
    it. Raises ``TamperError`` with the reason: not signed, wrongly signed, altered, of another stage, older.
    """
    name = statement_name(stage)
    signed = read_statement(read, stage)
    if signed is None:
        refuse("is not signed", stage, hint=_to_sign(stage))
    statement, parameters = signed.statement, signed.statement.parameters
    then, signer = _check_authentic(chain, signed, stage)
    _check_files(statement, files, signer)
    digest = statement.digest
    if (parameters.domain, parameters.epoch) != (sealed or (None, None)) or sealed != seal_wanted(then, stage):
        refuse("is not sealed in the domain and epoch of the policy that it was signed under", stage)
    if facets is not None:
        _check_facets(then, stage, facets)
    seen = trust.seen
    known = None if seen is None else seen.stages.get(stage)
    is_known = known is not None and (known.version, known.digest) == (parameters.version, digest)
    if is_past:
        if not is_known:
            _check_of_its_time(signed, chain, read, name)
        return statement
    if not is_known:
        trust.check_snapshot(stage, parameters.version, digest)
        _check_still_builder(signed, chain.policy, name)
    trust.remember_snapshot(stage, parameters.version, digest)
    return statement


def _check_files(statement: Statement, files: Mapping[str, str], signer: str) -> None:
    """Whether a statement has each of some files. Raises ``TamperError``."""
    stage, signed = statement.parameters.stage, statement.files
    for name in sorted(files):
        subject = name if stage == REPORT else stage
        if name not in signed:
            refuse(f"is none of the files that {signer} signed", subject, hint=_to_sign(stage))
        if signed[name] != files[name]:
            fetch = "git checkout, dvc checkout" if stage == REPORT else "dvc pull, or dvc checkout"
            refuse(
                f"is not what {signer} signed: it is of another version than its signature, or was altered",
                subject,
                hint=f"Fetch what was signed ({fetch}), build it (dvc repro), or have a builder sign it.",
            )


def _is_about(stage: str, names: Sequence[str]) -> bool:
    """Whether a statement of a stage may be about just these: of each file of a report once, sorted by name."""
    if stage != REPORT:
        return list(names) == [subject_name(stage)]
    return list(names) == sorted(set(names)) and all(_REPORT_FILE.fullmatch(name) for name in names)


def _to_sign(stage: str) -> str:
    """What to do about what is not signed."""
    if stage == REPORT:
        return "Build it again (dsetkit report), or have a builder look at it and sign it: dsetkit sign report."
    return "Have a builder sign it: dsetkit sign."


def _check_facets(policy: AccessPolicy, stage: str, facets: Mapping[str, tuple[str, int]]) -> None:
    rules = facets_of(policy, stage)
    for name, sealed in facets.items():
        if name not in rules:
            refuse(f"has a facet {name} that the policy it was signed under does not have", stage)
        domain = rules[name].domain
        if sealed != (domain, len(policy.domains[domain].epochs)):
            refuse(f"has the facet {name} sealed in another domain or epoch than the policy says", stage)
    if lacking := rules.keys() - facets.keys():
        refuse(f"has no facet {min(lacking)}, which the policy it was signed under keeps apart", stage)


def _check_authentic(chain: Chain, signed: Signed, stage: str) -> tuple[AccessPolicy, str]:
    """The policy that a statement of a stage names, and who signed it, a builder by that. Raises ``TamperError``."""
    name, parameters = statement_name(stage), signed.statement.parameters
    if (parameters.project, parameters.stage) != (chain.policy.project, stage):
        refuse("is about another project or stage", name)
    if not _is_about(stage, [subject.name for subject in signed.statement.subject]):
        refuse("is about another file", name)
    policy = chain.at(parameters.policy.version, parameters.policy.digest)
    if policy is None:
        refuse(
            f"names a policy, version {parameters.policy.version}, that this project does not have",
            name,
            hint="Fetch the newest policy (git pull); if it stays so, ask who signed it.",
        )
    signer = signed.statement.signer
    if signer not in builders_of(policy, stage):
        refuse(f"is signed by {shown(signer)}, who was no builder of {stage}", name, hint=_to_sign(stage))
    signing.verify(
        signed.text,
        signed.signature,
        namespace=signing.namespace_of("snapshot", policy.project),
        principal=signer,
        keys=policy.principals[signer].ssh,
        subject=signature_name(stage),
    )
    return policy, signer


def _check_still_builder(signed: Signed, policy: AccessPolicy, name: str) -> None:
    if not _builds(signed, policy):
        refuse(
            f"is signed by {signed.statement.signer}, who is a builder of {signed.statement.parameters.stage} no more, "
            "or not with that key",
            name,
            hint="Have a builder look at it and sign it again (dsetkit sign), or build it again (dvc repro).",
        )


def _check_of_its_time(signed: Signed, chain: Chain, read: Read, name: str) -> None:
    """Of the past: whether the signer is a builder still, or signed before they were none, as far as git says."""
    if _builds(signed, chain.policy):
        return
    number = signed.statement.parameters.policy.version
    end = next(policy.version for policy in chain.versions[number:] if not _builds(signed, policy))
    its_own, later = (read(f"{POLICIES}/{version}.json", MAX_POLICY_BYTES) for version in (number, end))
    if its_own is None or hashlib.sha256(its_own).hexdigest() != chain.digests[number - 1]:
        refuse(
            f"is signed by {signed.statement.signer}, who builds no more, and came before the policy that it names",
            name,
            hint="Open a later revision, or a version that a builder of today signed.",
        )
    if later is not None:  # in whatever form: a policy that only waited then is one too many, not one too few
        refuse(
            f"is signed by {signed.statement.signer}, and came when version {end} of the policy was there, by which "
            "they build no more, or not with that key",
            name,
            hint="Open a revision from before that, or a version that a builder of today signed.",
        )


def _builds(signed: Signed, policy: AccessPolicy) -> bool:
    """Whether who signed it is a builder by a policy, with the key they used. The signature was checked before."""
    signer, stage = signed.statement.signer, signed.statement.parameters.stage
    key = signing.parse_signature(signed.signature, signature_name(stage)).key
    return signer in builders_of(policy, stage) and key in policy.principals[signer].ssh


def _subject(name: str, digest: str) -> dict[str, object]:
    return {"name": name, "digest": {"sha256": digest}}
