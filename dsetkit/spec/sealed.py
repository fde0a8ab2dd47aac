"""The public envelope of a sealed snapshot: what ``snapshot.json`` says to those without keys.

All that is told here is what anybody sees anyway: stage, domain and epoch, the files with their digests and sizes.
``SnapshotInfo`` itself is in ``body``, sealed.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dsetkit.spec.base import Digest, Document, Many
from dsetkit.spec.policy import DomainName, FacetName, ProjectId, StageName


class SealedFile(Document):
    """One file as it lies on the disk, sealed."""

    name: str
    """Path relative to the snapshot."""
    digest: Digest
    """SHA-256 of the sealed bytes."""
    size_bytes: int = Field(ge=0)


class SealedFacet(Document):
    """One facet of the snapshot."""

    domain: DomainName
    epoch: int = Field(ge=1)
    body: str
    """Base64 of the sealed facet document."""
    files: Many[SealedFile] = ()


class Seals(Document):
    """What is sealed, and for whom."""

    project: ProjectId
    stage: StageName
    """``raw/blood``, ``cleaned``, ``augmented``."""
    domain: DomainName
    epoch: int = Field(ge=1)
    padding: Literal["none", "padme"] = "none"
    body: str
    """Base64 of the sealed ``SnapshotInfo``."""
    files: Many[SealedFile] = ()
    """All files but ``snapshot.json`` and those of facets."""
    facets: dict[FacetName, SealedFacet] = Field(default_factory=dict)


class SealedSnapshot(Document):
    """``snapshot.json`` of a sealed snapshot."""

    format: Literal[1] = 1
    sealed: Seals
