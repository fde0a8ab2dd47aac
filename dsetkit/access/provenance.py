"""The documents of a statement: in-toto Statement v1 with SLSA provenance v1 as its predicate.

Sources: in-toto Attestation Framework, spec/v1/statement.md and resource_descriptor.md; SLSA 1.0, provenance. Only the
fields that dsetkit writes are accepted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from dsetkit.spec.base import Digest, Document
from dsetkit.spec.policy import DomainName, ProjectId, StageName

PRINCIPAL_URN = "urn:dsetkit:principal:"
"""How the ids of builders begin."""

MAX_VERSION = 2**53
"""Of a snapshot or a policy: no larger integer is read alike everywhere (RFC 8259, section 6)."""


class Sha256(Document):
    """A DigestSet of in-toto."""

    sha256: Digest


class Subject(Document):
    """What is stated about: a ResourceDescriptor of in-toto."""

    name: str
    digest: Sha256


class PolicyOfBuild(Document):
    """The policy that a snapshot was built under."""

    version: int = Field(ge=1, le=MAX_VERSION)
    digest: Digest


class BuildParameters(Document):
    """What was asked for: the external parameters of SLSA."""

    project: ProjectId
    stage: StageName
    version: int = Field(ge=1, le=MAX_VERSION)
    """1, 2, ...: one more whenever the snapshot is another."""
    policy: PolicyOfBuild
    domain: DomainName | None = None
    """Whose data key seals it; none where it is plain."""
    epoch: int | None = Field(default=None, ge=1, le=MAX_VERSION)


class BuildDefinition(Document):
    """How it came about, as in SLSA."""

    build_type: Literal["urn:dsetkit:stage:1"] = Field(alias="buildType")
    external_parameters: BuildParameters = Field(alias="externalParameters")
    resolved_dependencies: tuple[Subject, ...] = Field(alias="resolvedDependencies")
    """``snapshot.json`` of each snapshot it was built of, and ``params.yaml`` (the digest of what the stage read)."""


class Builder(Document):
    """Who built it, as in SLSA."""

    id: str = Field(pattern=r"^urn:dsetkit:principal:[a-z0-9._@+-]{1,64}$")
    version: dict[str, str]
    """Of the tools that its bytes depend on."""


class RunDetails(Document):
    """The one run that made it, as in SLSA."""

    builder: Builder


class Provenance(Document):
    """The predicate: SLSA provenance v1."""

    build_definition: BuildDefinition = Field(alias="buildDefinition")
    run_details: RunDetails = Field(alias="runDetails")


class Statement(Document):
    """An in-toto Statement v1 about one snapshot, or about all files of a report."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[Subject, ...] = Field(min_length=1)
    predicate_type: Literal["https://slsa.dev/provenance/v1"] = Field(alias="predicateType")
    predicate: Provenance

    @property
    def parameters(self) -> BuildParameters:
        """What was built: project, stage, version, policy, domain, epoch."""
        return self.predicate.build_definition.external_parameters

    @property
    def files(self) -> dict[str, str]:
        """What it is about: name below the project's root → SHA-256."""
        return {subject.name: subject.digest.sha256 for subject in self.subject}

    @property
    def digest(self) -> str:
        """One digest of what it is about: ``digest_of_files``."""
        return digest_of_files(self.files)

    @property
    def signer(self) -> str:
        """Who says so; nothing before the signature was checked."""
        return self.predicate.run_details.builder.id.removeprefix(PRINCIPAL_URN)


def digest_of_files(files: Mapping[str, str]) -> str:
    """One digest of files, given as name → SHA-256.

    Of one file its own. Of several the SHA-256 of a line a file, sorted by name, as ``sha256sum`` writes them:
    ``<SHA-256>  <name>`` and a line feed.
    """
    if len(files) == 1:
        return next(iter(files.values()))
    return hashlib.sha256("".join(f"{files[name]}  {name}\n" for name in sorted(files)).encode()).hexdigest()
