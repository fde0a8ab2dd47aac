"""Samples: one picture and its annotations; one row of the manifest."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dsetkit.spec.annotation import Annotation, Int8, Int32
from dsetkit.spec.base import ArrowType, Digest, Document, Fraction, JsonObject
from dsetkit.spec.html import pictures_of, sample_html
from dsetkit.spec.issue import Finding
from dsetkit.spec.key import Key

Labelled = Literal["no", "partial", "yes"]


class Provenance(Document):
    """Where a picture comes from."""

    source: str | None = None
    """The source's name."""
    uri: str | None = None
    """Where the source has it: its path relative to the source, or a URL."""
    license: str | None = None
    captured_at: str | None = None
    """As the source gave it; ISO 8601 where it can be read so."""
    author: str | None = None
    video: str | None = None
    frame: int | None = None
    time_s: float | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None


class Response(Document):
    """One annotator's visit to a sample."""

    annotator: str
    status: str = "submitted"
    created_at: str | None = None
    seconds: float | None = None


class Step(Document):
    """One operation that was applied to the pixels, with the values that were drawn."""

    op: str
    values: JsonObject = Field(default_factory=dict)


class Recipe(Document):
    """What was done to make a picture from the one it derives from; enough to do it again."""

    name: str
    variant: Int32 = 0
    steps: tuple[Step, ...] = ()


class Sample(Document):
    """One picture and its annotations."""

    __slots__ = ("_pictures",)  # not a field: no part of equality, copies, pickles and what is dumped

    key: Key
    """Its name: ``<source>/<relative path>``."""
    source_id: str | None = None
    """The id its source gave the picture."""
    digest: Digest | None = None
    """SHA-256 of the picture's bytes; none where labels are read without pictures."""
    made_from: Digest | None = None
    """What the picture was made from: input digest, recipe, code and codec versions."""
    row_digest: Digest | None = None
    """What the row means (see ``dsetkit.snapshots.fingerprint``)."""
    shard: str | None = None
    """File name of the shard that holds the bytes."""
    offset_bytes: int | None = None
    """Where the bytes start in the shard."""
    size_bytes: int | None = None
    media_type: str | None = None
    width_px: Int32 | None = None
    """Width of the upright picture."""
    height_px: Int32 | None = None
    """Height of the upright picture."""
    mode: str | None = None
    """Pillow's mode: ``L``, ``RGB``, ``RGBA``, ``I;16``, ..."""
    exif_orientation: Int8 | None = None
    """1 to 8 as stored; 1 is upright; none where the picture has none."""
    phash: Annotated[int, ArrowType("uint64")] | None = None
    """64-bit DCT hash of the upright picture; near pictures differ in few bits."""
    sharpness: float | None = None
    """Variance of the Laplacian of the grey picture, longest side brought down to 640 px; grey levels squared."""
    brightness: Fraction | None = None
    """Mean grey level, 0 black to 1 white."""
    contrast: Fraction | None = None
    """Standard deviation of the grey level, on the same scale."""
    channel_mean: tuple[float, ...] = ()
    """Mean of R, G, B, from 0 to 1."""
    channel_std: tuple[float, ...] = ()
    """Standard deviation of R, G, B, on the same scale."""
    split: str | None = None
    split_group: str | None = None
    """Samples of one group share a split."""
    subsets: tuple[str, ...] = ()
    """Splits and folds as the source gave them."""
    labelled: Labelled = "no"
    """Whether everything to be labelled is labelled; an annotation dropped makes it ``partial``."""
    absent_categories: tuple[str, ...] = ()
    """Categories verified not to be in the picture."""
    not_exhaustive_categories: tuple[str, ...] = ()
    """Categories of which not every instance is labelled."""
    annotations: tuple[Annotation, ...] = ()
    attributes: JsonObject = Field(default_factory=dict)
    provenance: Provenance | None = None
    responses: tuple[Response, ...] = ()
    derived_from: tuple[Key, ...] = ()
    """Keys of the samples this one was made from."""
    recipe: Recipe | None = None

    def _repr_html_(self) -> str:
        """For a notebook: its annotations, and its picture if it was read from a snapshot."""
        return sample_html(self, pictures_of(self))


class Rejected(Sample):
    """What was turned away: a whole sample, or single annotations of one, with all it carried."""

    what: Literal["sample", "annotation"] = "sample"
    reason: str
    """Coded: ``picture-corrupt``, ``picture-missing``, ``duplicate``, ``box-degenerate``, ..."""
    message: str = ""
    duplicate_of: str | None = None
    """The key of the sample it is a duplicate of."""
    issues: tuple[Finding, ...] = ()


MEANING = (
    "key",
    "digest",
    "source_id",
    "split",
    "split_group",
    "subsets",
    "labelled",
    "absent_categories",
    "not_exhaustive_categories",
    "annotations",
    "attributes",
    "provenance",
    "responses",
    "derived_from",
    "recipe",
)
"""The fields that say what a row means; the others follow from them or from how the row is stored."""
