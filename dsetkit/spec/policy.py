"""Who may see what: the access policy of a project, one document a version (``access/policy/<n>.json``).

A version counts only when enough admins of the version before and of itself have signed it (``dsetkit.access``). It
names principals and their public keys, who reads and who builds each stage, which columns and rows are facets, and the
domains: one domain is one exact set of readers with a data key an epoch. No secret stands here.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from dsetkit.spec.base import Digest, Document
from dsetkit.spec.key import SOURCE_NAME

PROJECT_STAGES = ("raw", "cleaned", "augmented", "report")
"""What a policy can protect. ``raw`` stands for the raw snapshots of all sources that have no rule of their own."""

FACET_COLUMNS = (
    "absent_categories",
    "annotations",
    "attributes",
    "derived_from",
    "not_exhaustive_categories",
    "provenance",
    "recipe",
    "responses",
    "source_id",
    "split_group",
    "subsets",
)
"""Fields of ``Sample`` that a facet can keep apart, besides ``annotations.FIELD``; the others name, place or measure
the picture, and all readers need them."""

_PRINCIPAL = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}\Z")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}\Z")


def _check_principal(name: str) -> str:
    if not _PRINCIPAL.match(name) or ".." in name:
        raise ValueError(
            "a principal's name is 1 to 64 of a-z, 0-9, '.', '_', '@', '+' and '-', first a letter or digit, "
            f"not {name!r}"
        )
    return name


def check_stage(name: str) -> str:
    """The name itself; raises ``ValueError`` unless it is ``raw``, ``raw/SOURCE`` or another of ``PROJECT_STAGES``."""
    stage, slash, source = name.partition("/")
    if name in PROJECT_STAGES or (stage == "raw" and slash and SOURCE_NAME.match(source)):
        return name
    raise ValueError(f"a stage is raw, raw/SOURCE, cleaned, augmented or report, not {name!r}")


def _check_name(name: str) -> str:
    if not _NAME.match(name):
        raise ValueError(f"a name is 1 to 64 of a-z, 0-9 and '-', first a letter or digit, not {name!r}")
    return name


PrincipalName = Annotated[str, AfterValidator(_check_principal)]
"""Names one person or machine; strict, as it stands in ``allowed_signers``."""

StageName = Annotated[str, AfterValidator(check_stage)]
"""A stage a policy has a rule for."""

DomainName = Annotated[str, AfterValidator(_check_name)]
"""A domain's name: ``d1``, ``d2``, ...; never used again for another."""

FacetName = Annotated[str, AfterValidator(_check_name)]
"""A facet's name: ``test-labels``."""

ProjectId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
"""128 random bits in hex, drawn once by ``access init``."""

AgeKey = Annotated[str, StringConstraints(pattern=r"^(age1[0-9a-z]{58}|ssh-ed25519 [A-Za-z0-9+/]+={0,2})$")]
"""A public key that age encrypts for: X25519 (``age1…``) or an SSH key of kind ed25519, without comment."""

SshKey = Annotated[str, StringConstraints(pattern=r"^ssh-ed25519 [A-Za-z0-9+/]+={0,2}$")]
"""A public key that signatures are checked with, as in ``authorized_keys``, without comment."""


class Principal(Document):
    """A person or machine, by public keys."""

    age: tuple[AgeKey, ...] = Field(min_length=1)
    """Data keys are wrapped for these."""
    ssh: tuple[SshKey, ...] = Field(min_length=1)
    """Signatures are checked with these."""


class StageRule(Document):
    """Who may read and who may build a stage that is protected."""

    domain: DomainName
    """Whose data key seals it: the domain with just these readers."""
    readers: tuple[PrincipalName, ...]
    """Sorted."""
    builders: tuple[PrincipalName, ...]
    """Whose signature makes a snapshot of it believed; all are readers. Sorted."""


class Facet(Document):
    """Columns, of all rows or of some, that are sealed apart within the stages named."""

    stages: tuple[StageName, ...] = Field(min_length=1)
    columns: tuple[str, ...] = Field(min_length=1)
    """Fields of ``Sample``: ``annotations``, ``provenance``, ...; ``annotations.annotator`` for a field of each."""
    splits: tuple[str, ...] = ()
    """The rows: those of these splits; empty: all rows."""
    hides_keys: bool = False
    """Whether the keys of its rows say too much (``cats/001.jpg``) and are replaced by pseudonyms for all."""
    domain: DomainName
    readers: tuple[PrincipalName, ...]
    """Sorted. Who reads the facet reads its stages."""


class Epoch(Document):
    """One data key of a domain."""

    number: int = Field(ge=1)
    commitment: Digest
    """Binds the data key without telling it: a keyring with another key is refused."""


class Domain(Document):
    """One exact set of readers, and the data keys they share."""

    readers: tuple[PrincipalName, ...] = Field(min_length=1)
    """Sorted."""
    epochs: tuple[Epoch, ...] = Field(min_length=1)
    """From 1 on without gaps; the last one seals what is built now, all of them are wrapped for the present readers."""


class AccessPolicy(Document):
    """One version of a project's policy."""

    format: Literal[1] = 1
    project: ProjectId
    version: int = Field(ge=1)
    previous: Digest | None = None
    """SHA-256 of the bytes of the version before; none for version 1."""
    threshold: int = Field(default=1, ge=1)
    """How many admins must sign the next version, and this one."""
    admins: tuple[PrincipalName, ...] = Field(min_length=1)
    """Sorted. They may change the policy; what they read is said by the rules, as for all others."""
    principals: dict[PrincipalName, Principal]
    stages: dict[StageName, StageRule] = Field(default_factory=dict)
    facets: dict[FacetName, Facet] = Field(default_factory=dict)
    domains: dict[DomainName, Domain] = Field(default_factory=dict)
    """All there have ever been."""
    declassified: tuple[StageName, ...] = ()
    """Stages that stay plain though what they are made from is sealed."""
    padding: Literal["none", "padme"] = "none"
    """Whether sizes are rounded up (Padmé: at most 12 % more) before sealing, so that they tell less."""
    records_openings: bool = False
    """Whether cooperating clients put each opening of a sealed snapshot into the audit chain."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        """Every name leads somewhere, every domain has just the readers of what it seals."""
        if (self.version == 1) != (self.previous is None):
            raise ValueError("version 1, and no other, has no version before")
        if self.threshold > len(self.admins):
            raise ValueError(f"{self.threshold} admins must sign, and there are {len(self.admins)}")
        lists = [("admins", self.admins)]
        lists += [(f"readers of {name}", rule.readers) for name, rule in self.stages.items()]
        lists += [(f"builders of {name}", rule.builders) for name, rule in self.stages.items()]
        lists += [(f"readers of the facet {name}", facet.readers) for name, facet in self.facets.items()]
        lists += [(f"readers of the domain {name}", domain.readers) for name, domain in self.domains.items()]
        for what, names in lists:
            if list(names) != sorted(set(names)):
                raise ValueError(f"the {what} are not sorted, or one is named twice")
            is_past = what.startswith("readers of the domain")
            strangers = [name for name in names if name not in self.principals]
            if strangers and not is_past:
                raise ValueError(f"the {what} include {strangers[0]!r}, who is no principal")
        for name, domain in self.domains.items():
            if [epoch.number for epoch in domain.epochs] != list(range(1, len(domain.epochs) + 1)):
                raise ValueError(f"the epochs of the domain {name} are not 1, 2, ...")
        for name, rule in self.stages.items():
            self._check_domain(f"stage {name}", rule.domain, rule.readers)
            if not set(rule.builders) <= set(rule.readers):
                raise ValueError(f"a builder of {name} does not read it")
        for name, facet in self.facets.items():
            self._check_domain(f"facet {name}", facet.domain, facet.readers)
            for stage in facet.stages:
                if stage not in self.stages:
                    raise ValueError(f"the facet {name} is of {stage}, which is not protected")
                if not set(facet.readers) <= set(self.stages[stage].readers):
                    raise ValueError(f"a reader of the facet {name} does not read {stage}")
        return self

    def _check_domain(self, what: str, domain: str, readers: tuple[str, ...]) -> None:
        if domain not in self.domains:
            raise ValueError(f"the {what} is of the domain {domain!r}, which there is not")
        if self.domains[domain].readers != readers:
            raise ValueError(f"the readers of the {what} are not those of its domain {domain}")

    def rule(self, stage: str) -> StageRule | None:
        """The rule for a stage (``raw/blood`` falls back to ``raw``); none where it is not protected."""
        return self.stages.get(stage) or self.stages.get(stage.partition("/")[0])
