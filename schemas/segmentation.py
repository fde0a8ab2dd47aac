"""Segmentation: the outline of each object, as polygons or as a mask."""

from typing import Literal

from pydantic import Field

from dsetkit import Annotation, Mask


class PolygonLabel(Annotation):
    """An object as polygons: parts, each an outline and its holes."""

    kind: Literal["polygon"]
    category: str = Field(min_length=1)
    polygons: tuple[tuple[tuple[float, ...], ...], ...] = Field(min_length=1)


class MaskLabel(Annotation):
    """An object, or a crowd of them, as a mask over the picture."""

    kind: Literal["mask"]
    category: str = Field(min_length=1)
    mask: Mask


Label = PolygonLabel | MaskLabel
