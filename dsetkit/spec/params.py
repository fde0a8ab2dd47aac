"""``params.yaml``: one document, checked whole before anything runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from dsetkit.spec.base import Document, Fraction
from dsetkit.spec.card import DatasetCard
from dsetkit.spec.key import SourceName

Range = tuple[float, float]
"""Lowest and highest value, both included, drawn evenly."""

FillMode = Literal["constant", "edge", "reflect", "wrap"]


class LabelsParams(Document):
    """One label file (or folder of them) over the pictures of a source."""

    format: str | None = None
    """A name ``dsetkit formats`` lists; found from the files where it is left out."""
    file: str | None = None
    """Path relative to the source, or an absolute path or URL; the whole source where it is left out."""
    schema_: str | None = Field(default=None, alias="schema")
    """A contract for these labels alone, ``module:Name``."""
    annotator: str | None = None
    """Who made these labels, where the format does not say."""
    frame: Literal["auto", "stored", "upright"] = "auto"
    """Whether coordinates are of the picture as stored or upright; ``auto`` goes by the declared size."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """The format's own options (``dsetkit formats NAME``)."""


class SourceParams(Document):
    """Where pictures and labels come from."""

    path: str
    """Folder or any fsspec URL; relative to the project."""
    labels: tuple[LabelsParams, ...] = ()
    """Left out: the format is found from the files."""
    schema_: str | None = Field(default=None, alias="schema")
    """A contract for this source's labels, ``module:Name``."""
    exclude: tuple[str, ...] = ()
    """Glob patterns, relative to the source, of files to leave out."""
    license: str | None = None
    """The licence its pictures are under, where the labels do not say."""


class ShardsParams(Document):
    """How snapshots are cut."""

    target_bytes: int = Field(default=8 * 1024 * 1024, ge=4096)
    """About how large a shard is: from a quarter of this to four times."""


class IngestParams(Document):
    """Limits on what is taken in."""

    max_pixels: int = Field(default=89_478_485, ge=1)
    """A picture that declares more is not decoded (a decompression bomb)."""
    max_file_bytes: int = Field(default=256 * 1024 * 1024, ge=1)
    """A file larger than this is not read."""


class CategoriesParams(Document):
    """How the sources' categories become the dataset's."""

    names: tuple[str, ...] = ()
    """The dataset's categories in order. Left out: all that sources name, as they name them."""
    map: dict[str, str | None] = Field(default_factory=dict)
    """A source's category → the dataset's; null drops its annotations. ``<source>/<category>`` speaks of one source."""
    unknown: Literal["fail", "drop"] = "fail"
    """A category that is neither in ``names`` nor mapped."""


class RepairParams(Document):
    """Labels that are almost right."""

    clip_px: float = Field(default=2.0, ge=0.0)
    """What sticks out of the picture by at most this is clipped; what sticks out more is invalid."""
    min_side_px: float = Field(default=0.0, ge=0.0)
    """A located shape with a side at or below this is degenerate and dropped."""


class QualityParams(Document):
    """Pictures not worth keeping. Each bound is off where null."""

    min_side_px: int | None = Field(default=8, ge=1)
    """The shorter side, upright."""
    min_sharpness: float | None = Field(default=None, ge=0.0)
    """Below it a picture is blurred."""
    min_brightness: Fraction | None = 0.02
    """Below it a picture is too dark."""
    max_brightness: Fraction | None = 0.98
    """Above it a picture is too bright."""
    min_contrast: Fraction | None = None
    """Below it a picture shows nothing."""


class DuplicatesParams(Document):
    """Pictures that are there more than once."""

    exact: Literal["drop", "keep"] = "drop"
    """Equal bytes."""
    near: Literal["drop", "group", "keep"] = "group"
    """Pictures that look alike: drop all but one, or keep them together in one split, or do not look."""
    near_distance: int = Field(default=4, ge=0, le=16)
    """Near means at most this many of the 64 bits of ``phash`` differ."""
    on_label_conflict: Literal["refuse", "keep", "merge"] = "refuse"
    """Equal pictures whose labels differ: turn all of them away until somebody decides, keep all, or keep one with the
    labels of all."""


class SplitParams(Document):
    """Leak-proof splits: samples of one group always share one."""

    ratios: dict[str, Fraction] = Field(default_factory=lambda: {"train": 0.8, "val": 0.1, "test": 0.1})
    """Shares, adding up to 1, of the samples that the source gives no split."""
    given: Literal["keep", "ignore"] = "keep"
    """What to do with the splits that sources give."""
    group_by: str | None = None
    """A regular expression searched in the key; what it captures (or matches) names the split group."""
    seed: int = 0

    @model_validator(mode="after")
    def _check_ratios(self) -> SplitParams:
        if self.ratios and abs(sum(self.ratios.values()) - 1.0) > 1e-9:
            raise ValueError(f"the ratios add up to {sum(self.ratios.values()):g}, not to 1")
        return self


class PixelsParams(Document):
    """What cleaned pictures are like. Always upright. A picture that already is so keeps its bytes."""

    mode: Literal["keep", "RGB", "L"] = "keep"
    """``keep`` leaves L, RGB, RGBA and 16-bit grey; palettes and CMYK become RGB or RGBA."""
    max_side_px: int | None = Field(default=None, ge=1)
    """A longer side is brought down to this, labels with it."""
    format: Literal["keep", "jpeg", "png", "webp"] = "keep"
    """``keep`` leaves JPEG, PNG and WebP; all others become PNG."""
    quality: int = Field(default=95, ge=1, le=100)
    """Of JPEG and WebP, where pixels change."""
    strip_metadata: bool = True
    """Take EXIF, XMP, comments and text away; colour profiles stay."""


class CleanParams(Document):
    """What ``clean`` does, in this order."""

    categories: CategoriesParams = CategoriesParams()
    repair: RepairParams = RepairParams()
    on_invalid: Literal["drop", "drop_sample", "keep", "fail"] = "drop"
    """What breaks the contract: drop the annotation, its whole sample, keep it with its issues, or fail at once."""
    max_invalid: Fraction = 0.02
    """More than this share of annotations invalid fails the build."""
    quality: QualityParams = QualityParams()
    duplicates: DuplicatesParams = DuplicatesParams()
    split: SplitParams = SplitParams()
    pixels: PixelsParams = PixelsParams()


class _Operation(Document):
    probability: Fraction = 1.0
    """How often it is applied."""


class FlipOperation(_Operation):
    """Mirror."""

    op: Literal["flip"]
    axis: Literal["horizontal", "vertical", "both"] = "horizontal"
    """``horizontal`` changes left and right."""


class RotateOperation(_Operation):
    """Turn about the centre; the picture keeps its size."""

    op: Literal["rotate"]
    angle_deg: Range = (-15.0, 15.0)
    """Clockwise."""


class ShiftOperation(_Operation):
    """Move by a fraction of the size."""

    op: Literal["shift"]
    x: Range = (-0.1, 0.1)
    y: Range = (-0.1, 0.1)


class ShearOperation(_Operation):
    """Slant about the centre."""

    op: Literal["shear"]
    x_deg: Range = (-10.0, 10.0)
    y_deg: Range = (0.0, 0.0)


class ZoomOperation(_Operation):
    """Scale about the centre; the picture keeps its size. Above 1 things get larger."""

    op: Literal["zoom"]
    factor: Range = (0.8, 1.2)

    @model_validator(mode="after")
    def _check(self) -> ZoomOperation:
        if self.factor[0] <= 0:
            raise ValueError("a zoom factor is above 0")
        return self


class CropOperation(_Operation):
    """Cut a window out, at a drawn place; the picture becomes that size."""

    op: Literal["crop"]
    scale: Range = (0.7, 1.0)
    """Of each side, above 0 to 1."""

    @model_validator(mode="after")
    def _check(self) -> CropOperation:
        if not 0.0 < self.scale[0] <= self.scale[1] <= 1.0:
            raise ValueError("a crop's scale lies above 0 and at most at 1")
        return self


class BrightnessContrastOperation(_Operation):
    """``x' = αx + β``, x from 0 to 1."""

    op: Literal["brightness_contrast"]
    alpha: Range = (0.8, 1.2)
    beta: Range = (-0.1, 0.1)


class ColorOperation(_Operation):
    """Saturation by a factor, hue by degrees."""

    op: Literal["color"]
    saturation: Range = (0.8, 1.2)
    hue_deg: Range = (-10.0, 10.0)


class BlurOperation(_Operation):
    """Gaussian blur."""

    op: Literal["blur"]
    radius_px: Range = (0.5, 1.5)


class NoiseOperation(_Operation):
    """Gaussian noise."""

    op: Literal["noise"]
    std: Range = (0.01, 0.05)
    """On the scale from 0 to 1."""


Operation = Annotated[
    FlipOperation
    | RotateOperation
    | ShiftOperation
    | ShearOperation
    | ZoomOperation
    | CropOperation
    | BrightnessContrastOperation
    | ColorOperation
    | BlurOperation
    | NoiseOperation,
    Field(discriminator="op"),
]


class RecipeParams(Document):
    """A named recipe: operations in order, so many variants a sample."""

    variants: int = Field(default=1, ge=0, le=1000)
    splits: tuple[str, ...] = ("train",)
    """Of which splits variants are made."""
    operations: tuple[Operation, ...]
    fill: FillMode = "constant"
    """What shows where the picture was moved away. ``reflect`` mirrors objects too, and those have no labels."""
    fill_color: tuple[int, int, int] = (0, 0, 0)
    """R, G, B from 0 to 255, for ``constant``."""
    min_visible: Fraction = 0.1
    """An annotation of which less than this share of its area is still in the picture is dropped from the variant."""


class AugmentParams(Document):
    """What ``augment`` makes."""

    seed: int = 0
    recipes: dict[SourceName, RecipeParams] = Field(default_factory=dict)
    format: Literal["keep", "jpeg", "png", "webp"] = "keep"
    quality: int = Field(default=95, ge=1, le=100)


class ReportParams(Document):
    """How much of the dataset the report shows; it says of how many. All are chosen by digest, the same on each run."""

    pictures: int = Field(default=240, ge=0)
    """Samples shown with their labels drawn, spread over categories and splits."""
    rejected: int = Field(default=1000, ge=0)
    """Turned-away samples shown as thumbnails."""
    clusters: int = Field(default=60, ge=0)
    """Clusters of duplicates shown side by side."""
    variants: int = Field(default=24, ge=0)
    """Samples shown with what augmentation made of them."""


class AccessParams(Document):
    """What builds ask for besides the access policy."""

    signed_inputs: bool = False
    """A stage takes no snapshot that was not signed, sealed (always so) or plain (by an admin: ``dsetkit sign``)."""


class Params(Document):
    """The whole of ``params.yaml``."""

    sources: dict[SourceName, SourceParams] = Field(default_factory=dict)
    """Where pictures and labels come from; written by ``dsetkit add``."""
    schema_: str | None = Field(default=None, alias="schema")
    """The contract of the whole dataset, ``module:Name``."""
    shards: ShardsParams = ShardsParams()
    """How snapshots are cut."""
    ingest: IngestParams = IngestParams()
    """Limits on what is taken in."""
    clean: CleanParams = CleanParams()
    """What ``clean`` does, in this order."""
    augment: AugmentParams = AugmentParams()
    """What ``augment`` makes."""
    card: DatasetCard = DatasetCard()
    """What only people know about the dataset; on the cards beside what is computed."""
    report: ReportParams = ReportParams()
    """How much of the dataset the report shows."""
    access: AccessParams = AccessParams()
    """What builds ask for besides the access policy."""
