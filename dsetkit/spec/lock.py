"""``sources.lock.yaml`` and ``tools.lock.yaml``: what was taken in, and what it is worked with."""

from __future__ import annotations

from pydantic import Field, RootModel

from dsetkit.spec.base import Digest, Document
from dsetkit.spec.key import SourceName
from dsetkit.spec.policy import DomainName


class SealedStamp(Document):
    """Which keys made a digest that tells nothing to those without them."""

    domain: DomainName
    epoch: int = Field(ge=1)


class SourceLock(Document):
    """The state of one source that somebody decided to take in."""

    digest: Digest
    """SHA-256 over the path and SHA-256 of each picture and label file, in path order; keyed where it is ``sealed``."""
    pictures: int = Field(ge=0)
    labels: int = Field(ge=0)
    """Files with labels; lists of splits and names of classes are covered by ``digest`` and not counted."""
    size_bytes: int = Field(ge=0)
    """Of all of them."""
    sealed: SealedStamp | None = None
    """Of a source whose raw snapshot is sealed: what its digest is keyed with."""


class Lock(RootModel[dict[SourceName, SourceLock]]):
    """``sources.lock.yaml``: one entry a source."""


class ToolsLock(RootModel[dict[str, str]]):
    """``tools.lock.yaml``: the versions that the bytes of pictures depend on."""
