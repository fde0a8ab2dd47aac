"""``snapshot.json``: what a snapshot is and every file it is made of."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dsetkit.spec.base import Digest, Document, JsonObject, Many
from dsetkit.spec.category import Category
from dsetkit.spec.issue import Issue
from dsetkit.spec.key import Key

StageName = Literal["raw", "cleaned", "augmented", "exported"]

MAX_JSON_VALUES = 2_000_000
"""A document with more JSON values is not parsed: each takes far more memory than its text. What dsetkit writes has
one in 40 bytes or more."""


def count_values(data: bytes) -> int:
    """At least how many JSON values a text has, told without parsing it; commas in texts count too."""
    return data.count(b",") + data.count(b"[") + data.count(b"{")


class Part(Document):
    """One file of the snapshot: a shard, a manifest part, or the table of what was rejected."""

    name: str
    """Path relative to the snapshot: ``shards/<digest>.tar``."""
    digest: Digest
    size_bytes: int
    rows: int
    """Samples (a shard: members) in it."""


class ManifestPart(Part):
    """One part of the manifest: whole shards, rows sorted by key."""

    first_key: Key
    last_key: Key
    shards: Many[str] = ()
    """The shards its rows point into, in order."""


class Parent(Document):
    """A snapshot this one was made from."""

    name: str
    """``raw/blood``, ``cleaned``."""
    fingerprint: Digest


class License(Document):
    """A licence that pictures or labels are under."""

    name: str
    id: str | None = None
    """As the source numbers it, so that samples can point at it."""
    url: str | None = None


class SchemaReference(Document):
    """The contract the labels were checked against."""

    reference: str
    """``module:Name``, in the project."""
    digest: Digest
    """SHA-256 of its JSON Schema's canonical text."""


class Counts(Document):
    """Samples and annotations in = kept + rejected (+ made, for variants).

    ``annotations`` are all that is written down, also where the object of a track is not in the frame.
    """

    samples_in: int = 0
    annotations_in: int = 0
    samples: int = 0
    annotations: int = 0
    rejected_samples: int = 0
    rejected_annotations: int = 0
    added_samples: int = 0
    """Variants."""
    added_annotations: int = 0
    """Of variants, by corrections, or by merging duplicates."""
    per_split: dict[str, int] = Field(default_factory=dict)
    per_category: dict[str, int] = Field(default_factory=dict)
    """Annotations per category; those whose object is not in the frame do not count."""
    per_reason: dict[str, int] = Field(default_factory=dict)
    """Rejected rows per reason."""
    per_change: dict[str, int] = Field(default_factory=dict)
    """What was changed: annotations clipped, pictures turned upright, ...; also of what was turned away later."""


class ChannelStatistics(Document):
    """For normalisation, ``x' = (x − mean) / std``; R, G, B from 0 to 1."""

    split: str
    samples: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class SealedColumns(Document):
    """A facet of a sealed snapshot: columns whose values are sealed apart, and at their defaults for others."""

    name: str
    columns: tuple[str, ...]
    """As the policy has them; what follows from them is sealed with them."""
    splits: tuple[str, ...] = ()
    """The rows: those of these splits, and those without a split; empty: all rows."""
    hides_keys: bool = False
    """Whether its rows have pseudonyms for keys."""


class SnapshotInfo(Document):
    """The document ``snapshot.json``, written last."""

    format: Literal[1] = 1
    stage: StageName
    name: str
    """``raw/blood``, ``cleaned``, ``augmented``."""
    fingerprint: Digest
    """SHA-256 of what the snapshot means."""
    parents: Many[Parent] = ()
    categories: Many[Category] = ()
    info: JsonObject = Field(default_factory=dict)
    """What the sources said of themselves."""
    licenses: Many[License] = ()
    schema_: SchemaReference | None = Field(default=None, alias="schema")
    params_digest: Digest | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    """Of the tools that bytes depend on."""
    shard_target_bytes: int
    counts: Counts
    channel_statistics: ChannelStatistics | None = None
    issues: Many[Issue] = ()
    """Findings about the snapshot as a whole; of many alike, examples and a count."""
    parts: Many[ManifestPart] = ()
    shards: Many[Part] = ()
    rejected: Part | None = None
    facets: tuple[SealedColumns, ...] = ()
    """What is sealed apart, sorted by name; the same for those who read it and those who do not."""
