"""Counting in columns: each table of a snapshot adds to a tally; no sample is ever a Python object."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.report.facts.histograms import BOX_CENTERS, BOX_SIZES, HISTOGRAMS, PICTURE_SIZES, Histogram
from dsetkit.spec.arrow import outside_mask

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Rgb = tuple[float, float, float]

COLUMNS = (
    "split",
    "labelled",
    "size_bytes",
    "media_type",
    "mode",
    "width_px",
    "height_px",
    "sharpness",
    "brightness",
    "contrast",
    "channel_mean",
    "channel_std",
    "annotations.kind",
    "annotations.category",
    "annotations.categories",
    "annotations.bbox_xywh_px",
    "annotations.issues.code",
    "annotations.track.outside",
)
"""What a tally reads of a manifest."""

NONE = "none"
"""Stands for a media type or mode that is not there."""

_BATCH_ROWS = 16_384


class Tally:
    """Counts tables that have ``COLUMNS``, in any number of pieces.

    An annotation whose object is not in the frame (``dsetkit.spec.annotation.is_outside``) counts as ``outside`` and
    as nothing else, so that a sample with no other is an empty picture.
    """

    def __init__(self, categories: Sequence[str], *, no_split: str) -> None:
        """``categories``: the snapshot's, in order. ``no_split`` stands for the split of samples without one."""
        self.samples = self.annotations = self.outside = self.picture_bytes = 0
        self.histograms: dict[str, Histogram] = dict(HISTOGRAMS)
        self.picture_sizes, self.box_sizes, self.box_centers = PICTURE_SIZES, BOX_SIZES, BOX_CENTERS
        self._no_split = no_split
        self._listed = len(categories)
        self._categories = _Names(categories)
        self._splits = _Names()
        self._counts: dict[str, Counter[str]] = {}
        self._samples_of: Counter[int] = Counter()
        """Samples per split."""
        self._annotations_of: Counter[int] = Counter()
        """Annotations per split."""
        self._uses: Counter[tuple[int, int]] = Counter()
        """Annotations per category and split."""
        self._holders: Counter[tuple[int, int]] = Counter()
        """Samples per category and split."""
        self._pixels = 0
        self._channels: list[list[float]] = [[] for _ in range(6)]
        """Sums a batch: of means of R, G, B over pixels, then of squares."""

    def add(self, table: pa.Table) -> None:
        """Count the rows of a table."""
        for batch in table.to_batches(max_chunksize=_BATCH_ROWS):
            if batch.num_rows:
                self._add_samples(batch)
                self._add_annotations(batch)

    def counted(self, what: str) -> dict[str, int]:
        """Counts per name, by name, of ``kind``, ``media_type``, ``mode`` or ``issue``."""
        return _sorted(self._counts.get(what, Counter()))

    def labelled(self) -> dict[str, int]:
        """Samples per state of labelling, all three."""
        counts = self._counts.get("labelled", Counter())
        return {name: counts[name] for name in ("no", "partial", "yes")}

    def samples_per_split(self) -> dict[str, int]:
        """By name of the split."""
        return self._splits.counts(self._samples_of)

    def annotations_per_split(self) -> dict[str, int]:
        """By name of the split; all splits that have samples."""
        return self._splits.counts({place: self._annotations_of[place] for place in self._samples_of})

    def categories(self) -> Iterator[tuple[str, int, int, Counter[str], Counter[str]]]:
        """Each category: name, annotations, samples, annotations per split, samples per split."""
        uses, holders = self._per_category(self._uses), self._per_category(self._holders)
        names = self._categories.names
        unlisted = sorted(range(self._listed, len(names)), key=names.__getitem__)
        for place in (*range(self._listed), *unlisted):
            annotations, samples = uses.get(place, Counter()), holders.get(place, Counter())
            yield names[place], annotations.total(), samples.total(), annotations, samples

    def channels(self) -> tuple[Rgb, Rgb] | tuple[None, None]:
        """Mean and deviation of R, G, B over all pixels: deviation by E[x²] − E[x]²."""
        if not self._pixels:
            return None, None
        averages = [math.fsum(sums) / self._pixels for sums in self._channels]
        r, g, b = averages[:3]
        spread = [math.sqrt(max(0.0, averages[3 + at] - averages[at] * averages[at])) for at in range(3)]
        return (r, g, b), (spread[0], spread[1], spread[2])

    def _add_samples(self, batch: pa.RecordBatch) -> None:
        self.samples += batch.num_rows
        self.picture_bytes += pc.sum(batch["size_bytes"], min_count=0).as_py()
        self._count("labelled", batch["labelled"])
        self._count("media_type", pc.fill_null(batch["media_type"], NONE))
        self._count("mode", pc.fill_null(batch["mode"], NONE))
        width, height = _floats(batch["width_px"]), _floats(batch["height_px"])
        is_sized = ~np.isnan(width) & ~np.isnan(height)
        self.picture_sizes = self.picture_sizes.counting(width[is_sized], height[is_sized])
        self._bin("short_side_px", np.minimum(width, height)[is_sized])
        for name in ("sharpness", "brightness", "contrast"):
            self._bin(name, _floats(batch[name].drop_null()))
        self._add_channels(batch, width * height)

    def _add_channels(self, batch: pa.RecordBatch, pixels: Floats) -> None:
        means, stds = batch["channel_mean"], batch["channel_std"]
        is_measured = _mask(pc.equal(pc.list_value_length(means), 3)) & _mask(pc.equal(pc.list_value_length(stds), 3))
        is_measured &= ~np.isnan(pixels)
        mean, std = (_floats(column.filter(pa.array(is_measured)).flatten()).reshape(-1, 3) for column in (means, stds))
        weights = pixels[is_measured]
        self._pixels += sum(map(int, weights.tolist()))
        for at, values in enumerate((*mean.T, *(std * std + mean * mean).T)):
            self._channels[at].append(math.fsum((weights * values).tolist()))

    def _add_annotations(self, batch: pa.RecordBatch) -> None:
        lists = batch["annotations"]
        splits = self._splits.places(pc.fill_null(batch["split"], self._no_split))
        _add_counts(self._samples_of, splits)
        owners = np.asarray(pc.list_parent_indices(lists)).astype(np.int64)
        annotations = lists.flatten()
        if (outside := outside_mask(annotations)).any():
            self.outside += int(outside.sum())
            annotations, owners = annotations.filter(pa.array(~outside)), owners[~outside]
        self._bin("annotations_per_sample", np.bincount(owners, minlength=len(lists)).astype(np.float64))
        self.annotations += len(annotations)
        _add_counts(self._annotations_of, splits[owners])
        self._count("kind", pc.struct_field(annotations, "kind"))
        self._count("issue", pc.struct_field(pc.struct_field(annotations, "issues").flatten(), "code"))
        self._add_boxes(batch, pc.struct_field(annotations, "bbox_xywh_px"), owners)
        named, places = self._named(annotations)
        _add_pairs(self._uses, places, splits[owners[named]])
        held = _distinct(owners[named], places)
        _add_pairs(self._holders, held[1], splits[held[0]])

    def _named(self, annotations: pa.StructArray) -> tuple[Ints, Ints]:
        """Each category of each annotation once: place of the annotation, place of the category."""
        one, several = pc.struct_field(annotations, "category"), pc.struct_field(annotations, "categories")
        own = np.flatnonzero(_mask(one.is_valid()))
        others = np.asarray(pc.list_parent_indices(several)).astype(np.int64)
        places = self._categories.places(pa.concat_arrays([one.drop_null(), several.flatten()]))
        annotation = np.concatenate([own, others])
        return _distinct(annotation, places) if len(others) else (annotation, places)

    def _add_boxes(self, batch: pa.RecordBatch, boxes: pa.ListArray, owners: Ints) -> None:
        """Of located annotations on pictures whose size is known."""
        width, height = _floats(batch["width_px"])[owners], _floats(batch["height_px"])[owners]
        is_located = _mask(pc.equal(pc.list_value_length(boxes), 4)) & (width > 0) & (height > 0)
        x, y, w, h = _floats(boxes.filter(pa.array(is_located)).flatten()).reshape(-1, 4).T
        width, height = width[is_located], height[is_located]
        self.box_sizes = self.box_sizes.counting(w / width, h / height)
        self.box_centers = self.box_centers.counting((x + w / 2) / width, (y + h / 2) / height)

    def _count(self, what: str, values: pa.Array) -> None:
        counts = self._counts.setdefault(what, Counter())
        for pair in pc.value_counts(values).to_pylist():
            counts[pair["values"]] += pair["counts"]

    def _bin(self, name: str, values: Floats) -> None:
        self.histograms[name] = self.histograms[name].counting(values)

    def _per_category(self, pairs: Counter[tuple[int, int]]) -> dict[int, Counter[str]]:
        found: dict[int, Counter[str]] = {}
        for (category, split), number in pairs.items():
            found.setdefault(category, Counter())[self._splits.names[split]] = number
        return {category: Counter(_sorted(counts)) for category, counts in found.items()}


class _Names:
    """Names by the number of their first appearance."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = list(names)
        self._places = {name: place for place, name in enumerate(names)}

    def places(self, values: pa.Array) -> Ints:
        """Int64 [n]: the number of each name; new ones are numbered."""
        encoded = values.dictionary_encode()
        known = []
        for name in encoded.dictionary.to_pylist():
            if name not in self._places:
                self._places[name] = len(self.names)
                self.names.append(name)
            known.append(self._places[name])
        return np.array(known, np.int64)[np.asarray(encoded.indices).astype(np.int64)]

    def counts(self, counts: dict[int, int]) -> dict[str, int]:
        """By name, sorted."""
        return _sorted({self.names[place]: number for place, number in counts.items()})


def _add_counts(counter: Counter[int], values: Ints) -> None:
    for value, number in enumerate(np.bincount(values).tolist()):
        if number:
            counter[value] += number


def _add_pairs(counter: Counter[tuple[int, int]], first: Ints, second: Ints) -> None:
    # By way of one integer a pair: a table of all pairs could be huge where there are many names.
    pairs, numbers = np.unique((first << 32) | second, return_counts=True)
    for pair, number in zip(pairs.tolist(), numbers.tolist(), strict=True):
        counter[pair >> 32, pair & 0xFFFFFFFF] += number


def _distinct(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """The pairs, each once."""
    pairs = np.unique((first << 32) | second)
    return pairs >> 32, pairs & 0xFFFFFFFF


def _floats(values: pa.Array) -> Floats:
    """Float64 [n]; null as NaN."""
    return np.asarray(values.cast(pa.float64()).to_numpy(zero_copy_only=False))


def _mask(flags: Any) -> npt.NDArray[np.bool_]:
    """Bool [n]; null as False."""
    return np.asarray(pc.fill_null(flags, False).to_numpy(zero_copy_only=False))


def _sorted(counts: dict[str, int]) -> dict[str, int]:
    return {name: counts[name] for name in sorted(counts)}
