"""Classification: exactly one class a picture."""

from typing import Literal

from pydantic import Field

from dsetkit import Annotation, Sample


class Label(Annotation):
    """The class of a whole picture. Name your classes: ``category: Literal["cat", "dog"]``."""

    kind: Literal["image_label"]
    category: str = Field(min_length=1)
    bbox_xywh_px: None = None


class OneLabel(Sample):
    """A picture with exactly one class; ``schema: schemas.classification:OneLabel``."""

    annotations: tuple[Label, ...] = Field(min_length=1, max_length=1)
