"""The second half of ``clean``: pictures brought to what the dataset asks of them, labels with them."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor
from typing import NamedTuple

from dsetkit.errors import PictureError
from dsetkit.geometry.affine import transform
from dsetkit.imaging.clean import PixelRecipe, clean_picture
from dsetkit.imaging.media import extension_of
from dsetkit.snapshots.read import Snapshot
from dsetkit.snapshots.shards import Shards
from dsetkit.snapshots.write import PictureBytes, SnapshotWriter
from dsetkit.spec.arrow import Row
from dsetkit.spec.params import IngestParams, PixelsParams
from dsetkit.spec.snapshot import ChannelStatistics
from dsetkit.stages.clean_labels import rejected_row
from dsetkit.stages.executor import Pending
from dsetkit.stages.memory import PICTURE_FIELDS, Made, Memory
from dsetkit.stages.pictures import Place, place_of, read_picture
from dsetkit.stages.tools import picture_digests

_READ_BY_CLEANING = ("media_type", "width_px", "height_px", "mode", "exif_orientation")


class Cleaned(NamedTuple):
    """What a worker made of one picture; ``data`` is empty where it failed with ``reason``."""

    fields: Row
    data: bytes
    decoded: bool
    reason: str | None = None
    message: str = ""


def clean_one(shards: Shards, place: Place, facts: Row, recipe: PixelRecipe, max_pixels: int) -> Cleaned:
    """Bring one picture of a raw snapshot to the recipe. Runs in a worker."""
    data = read_picture(shards, place)
    try:
        result = clean_picture(data, facts, recipe, max_pixels)
    except PictureError as error:
        return Cleaned({}, b"", True, error.code, error.message)
    fields: Row = dict(result.fields)
    fields["digest"] = place[3] if result.data is data else hashlib.sha256(result.data).hexdigest()
    fields["size_bytes"] = len(result.data)
    if result.steps:
        fields["recipe"] = {"name": "clean", "steps": result.steps}
    return Cleaned(fields, result.data, result.decoded)


class PictureCleaner:
    """Streams the rows that stay through the workers and into the writer."""

    def __init__(
        self,
        inputs: dict[str, Snapshot],
        pixels: PixelsParams,
        limits: IngestParams,
        memory: Memory,
        split: str | None,
        originals: Mapping[str, str],
    ) -> None:
        """``originals``: the own keys of rows that come under pseudonyms."""
        self.inputs = inputs
        self.recipe = PixelRecipe(**pixels.model_dump())
        self.max_pixels = limits.max_pixels
        self.memory = memory
        self.originals = originals
        self.statistics = ChannelSums(split) if split is not None else None
        self.per_change: Counter[str] = Counter()
        self.decoded = 0
        self.reused = 0

    def items(self, rows: Iterable[Row]) -> Iterator[tuple[Row, str]]:
        """Each row with what its picture is to be made from."""
        made_from = picture_digests("clean", self.recipe._asdict())
        for row in rows:
            yield row, made_from(row["digest"])

    def submit(self, item: tuple[Row, str], executor: Executor) -> Pending[Cleaned | Made] | Cleaned | Made:
        """What is known of the picture, or the work that makes it."""
        row, made_from = item
        known = self.memory.find(made_from)
        if known is not None:
            return known
        shards = self._input(row).shards
        facts = {name: row[name] for name in _READ_BY_CLEANING if name in row}
        return executor.submit(clean_one, shards, place_of(row), facts, self.recipe, self.max_pixels)

    def add(self, writer: SnapshotWriter, raw: Row, made_from: str, result: Cleaned | Made) -> None:
        """The cleaned row, labels scaled with the picture."""
        if isinstance(result, Made):
            self.reused += 1
            fields, read = result.fields, result.read
        else:
            self.decoded += result.decoded
            if result.reason is not None:
                message = f"could not be cleaned: {result.message}"
                row, own = rejected_row(raw, "sample", result.reason, message), self.originals.get(raw["key"])
                writer.add(row, None, rejected=True, original_key=own)
                return
            # A picture that was not decoded measures what it measured when it came in.
            measured = {name: raw[name] for name in PICTURE_FIELDS if name in raw}
            fields = {name: value for name, value in {**measured, **result.fields}.items() if value is not None}
            read = result.data.__bytes__
        row = {name: value for name, value in raw.items() if name not in PICTURE_FIELDS}
        row |= {**fields, "made_from": made_from}
        scale = (fields["width_px"] / raw["width_px"], fields["height_px"] / raw["height_px"])
        if scale != (1.0, 1.0) and row.get("annotations"):
            matrix = (scale[0], 0.0, 0.0, 0.0, scale[1], 0.0)
            size = {"width_px": fields["width_px"], "height_px": fields["height_px"]}
            row["annotations"] = [transform(item, matrix, **size) for item in row["annotations"]]
        for step in row.get("recipe", {}).get("steps", ()):
            self.per_change[f"picture-{step['op'].replace('_', '-')}"] += 1
        if self.statistics is not None:
            self.statistics.add(row)
        picture = PictureBytes(row["digest"], row["size_bytes"], extension_of(row["media_type"]), read)
        writer.add(row, picture, original_key=self.originals.get(row["key"]))

    def _input(self, row: Row) -> Snapshot:
        return self.inputs[row["key"].split("/", 1)[0]]


class ChannelSums:
    """Mean and deviation per channel over the pixels of one split, from what each picture measures."""

    def __init__(self, split: str) -> None:
        self.split = split
        self.samples = 0
        self._pixels = 0
        self._sums = [0.0, 0.0, 0.0]
        self._squares = [0.0, 0.0, 0.0]

    def add(self, row: Row) -> None:
        """Take a row in, if it is of the split. Rows come in key order, so sums are the same at every build."""
        if row.get("split") != self.split or len(row.get("channel_mean", ())) != 3:
            return
        pixels = row["width_px"] * row["height_px"]
        self.samples += 1
        self._pixels += pixels
        for channel, (mean, std) in enumerate(zip(row["channel_mean"], row["channel_std"], strict=True)):
            self._sums[channel] += pixels * mean
            self._squares[channel] += pixels * (std * std + mean * mean)

    def result(self) -> ChannelStatistics | None:
        """Over all pixels: mean of means weighted by pixels; deviation by E[x²] − E[x]²."""
        if not self._pixels:
            return None
        means = [total / self._pixels for total in self._sums]
        deviations = [
            math.sqrt(max(0.0, squares / self._pixels - mean * mean))
            for squares, mean in zip(self._squares, means, strict=True)
        ]
        return ChannelStatistics(
            split=self.split,
            samples=self.samples,
            mean=(means[0], means[1], means[2]),
            std=(deviations[0], deviations[1], deviations[2]),
        )
