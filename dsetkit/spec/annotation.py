"""What people or models said about a picture.

All coordinates are pixels of the **upright** picture: origin at the top-left corner of the top-left pixel, x right,
y down, floats. Angles are degrees, clockwise as seen on the screen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from dsetkit.spec.base import ArrowType, Document, Fraction, JsonObject
from dsetkit.spec.issue import Finding

Kind = Literal[
    "image_label",
    "box",
    "rotated_box",
    "polygon",
    "mask",
    "polyline",
    "points",
    "keypoints",
    "ellipse",
    "caption",
]
Origin = Literal["human", "model", "corrected", "consensus", "synthetic"]
Status = Literal["proposed", "accepted", "declined"]

BBox = tuple[float, float, float, float]
"""x, y of the top-left corner, width, height; pixels. May stick out of the picture or be degenerate as found."""

Flat = tuple[float, ...]
"""Flat coordinates x0, y0, x1, y1, ...; pixels."""

Int32 = Annotated[int, ArrowType("int32")]
Int8 = Annotated[int, ArrowType("int8")]


class RotatedBox(Document):
    """A box turned about its centre."""

    cx: float
    """Centre x, pixels."""
    cy: float
    """Centre y, pixels."""
    w: float
    """Side along the box's own x axis, pixels."""
    h: float
    """Side along the box's own y axis, pixels."""
    angle: float
    """Degrees, clockwise, from the picture's x axis to the box's own x axis."""


class Ellipse(Document):
    """An ellipse turned about its centre."""

    cx: float
    cy: float
    rx: float
    """Half axis along the ellipse's own x axis, pixels."""
    ry: float
    """Half axis along the ellipse's own y axis, pixels."""
    angle: float = 0.0
    """Degrees, clockwise."""


class Mask(Document):
    """A mask over the whole picture as COCO compressed RLE (column by column, ``pycocotools`` string form)."""

    size: tuple[Int32, Int32]
    """Height, width, pixels."""
    counts: str
    """The compressed run lengths."""


class Keypoint(Document):
    """One named point."""

    name: str
    x: float
    y: float
    visibility: Int8 = 2
    """0 not labelled, 1 labelled but hidden, 2 visible (COCO)."""


class Probability(Document):
    """One category's probability."""

    category: str
    probability: Fraction


class Track(Document):
    """The object in a video that this annotation is one frame of."""

    id: str
    keyframe: bool = True
    outside: bool = False
    """The object is not in this frame: the annotation holds its track together and shows nothing (``is_outside``)."""
    interpolated: bool = False


class Relation(Document):
    """A link to another annotation of the same sample."""

    kind: str
    target: str
    """The ``id`` of the other annotation; a sample's own part points at its whole with kind ``part_of``."""


class Annotation(Document):
    """One label on one picture. A project's contract narrows this class (see ``schemas/``)."""

    id: str = Field(min_length=1)
    """Unique in its sample. Formats without ids number annotations in file order from ``"0"``."""
    source_id: str | None = None
    """The id its source gave it."""
    kind: Kind
    category: str | None = None
    """The category's name; none for a caption."""
    categories: tuple[str, ...] = ()
    """All categories, where several apply."""
    bbox_xywh_px: BBox | None = None
    """The upright enclosure of what is located; none for ``image_label`` and ``caption``."""
    rotated_box: RotatedBox | None = None
    polygons: tuple[tuple[Flat, ...], ...] = ()
    """Parts, each of rings, each flat x, y; ring 0 is the outline, the others are holes."""
    polyline: Flat = ()
    points: Flat = ()
    ellipse: Ellipse | None = None
    mask: Mask | None = None
    keypoints: tuple[Keypoint, ...] = ()
    text: str | None = None
    """A caption, or a transcription of what is located."""
    attributes: JsonObject = Field(default_factory=dict)
    """Facts about the object. Reserved names: ``occluded``, ``truncated``, ``difficult``, ``pose``."""
    score: float | None = None
    """Confidence of a prediction."""
    probabilities: tuple[Probability, ...] = ()
    annotator: str | None = None
    model: str | None = None
    origin: Origin | None = None
    based_on: str | None = None
    """The ``id`` of the annotation this one corrects."""
    status: Status = "accepted"
    is_crowd: bool = False
    is_ignored: bool = False
    instance_group: str | None = None
    track: Track | None = None
    relations: tuple[Relation, ...] = ()
    issues: tuple[Finding, ...] = ()
    """What was found wrong with it, or done to it."""
    extras: JsonObject = Field(default_factory=dict)
    """What only its own format knows, so that a round trip loses nothing; never geometry."""


def is_outside(annotation: Mapping[str, Any]) -> bool:
    """Whether an annotation (a row) says that the object of its track is not in this frame.

    It is a record, no object: it is kept with its sample, moves as its picture does and goes wherever tracks can be
    told, but it is never counted, measured, drawn or written as something that can be seen.

    >>> is_outside({"id": "0", "kind": "box", "track": {"id": "7", "outside": True}})
    True
    """
    track = annotation.get("track")
    return isinstance(track, Mapping) and track.get("outside") is True
