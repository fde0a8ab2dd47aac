"""What a snapshot holds, counted from its Parquet files by DuckDB and plain loops; nothing of dsetkit takes part."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

Pair = tuple[str, str]
Channels = tuple[int, tuple[float, ...], tuple[float, ...]]
"""Samples, then mean and deviation of R, G, B over all their pixels."""


@dataclass
class Recount:
    """Counts of one snapshot folder."""

    info: dict[str, Any]
    samples: int = 0
    annotations: int = 0
    """Here as in all that follows, those alone whose object is in the frame."""
    outside: int = 0
    """The others."""
    picture_bytes: int = 0
    labelled: dict[str, int] = field(default_factory=dict)
    samples_per_split: dict[str, int] = field(default_factory=dict)
    annotations_per_split: dict[str, int] = field(default_factory=dict)
    categories: list[str] = field(default_factory=list)
    category_annotations: Counter[Pair] = field(default_factory=Counter)
    """(category, split) → annotations."""
    category_samples: Counter[Pair] = field(default_factory=Counter)
    kinds: dict[str, int] = field(default_factory=dict)
    media_types: dict[str, int] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    issues: dict[str, int] = field(default_factory=dict)
    rejected_samples: dict[str, int] = field(default_factory=dict)
    rejected_annotations: dict[str, int] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)
    """All values of ``sharpness``, ``brightness``, ``contrast``, ``short_side_px``, ``annotations_per_sample``."""
    sizes: list[tuple[int, int]] = field(default_factory=list)
    """Width and height of each picture."""
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    """Centre x, centre y, width, height of each located annotation, as shares of its picture."""
    channel_mean: tuple[float, ...] | None = None
    channel_std: tuple[float, ...] | None = None
    channels_per_split: dict[str, Channels] = field(default_factory=dict)
    samples_per_source: dict[str, int] = field(default_factory=dict)
    """Source: what a key begins with."""
    rejected_per_source: dict[str, int] = field(default_factory=dict)
    """Whole samples."""
    turned_annotations: int = 0
    """Alone, and with their samples."""
    made_samples: int = 0
    made_annotations: int = 0
    """On variants, kept or not."""
    parents: int = 0
    """Samples that variants were made of."""
    recipe_steps: dict[str, int] = field(default_factory=dict)
    """What was done to pictures, per operation."""
    duplicates: list[Pair] = field(default_factory=list)
    """Each sample that was turned away as a duplicate, with the one it is a duplicate of."""

    def of_category(self, counts: Counter[Pair], name: str) -> int:
        return sum(number for (category, _), number in counts.items() if category == name)

    @property
    def imbalance(self) -> float | None:
        used = [number for name in self.categories if (number := self.of_category(self.category_annotations, name))]
        return max(used) / min(used) if used else None


_SEEN = "list_filter(annotations, lambda a: not coalesce(a.track.outside, false))"


def recount(folder: Path) -> Recount:
    """Count what stands in a snapshot's folder."""
    info = json.loads((folder / "snapshot.json").read_text("utf-8"))
    found = Recount(info, categories=[category["name"] for category in info.get("categories", [])])
    base = duckdb.connect()
    parts = [str(folder / part["name"]) for part in info.get("parts", [])]
    if parts:
        base.execute(f"create view written as select * from read_parquet({parts!r})")
        base.execute(f"create view samples as select * replace ({_SEEN} as annotations) from written")
        _count_samples(base, found)
        _count_annotations(base, found)
        _count_made(base, found)
        _count_channels(base, found)
    if info.get("rejected"):
        file = str(folder / info["rejected"]["name"])
        base.execute(
            f"create view rejected as select * replace ({_SEEN} as annotations) from read_parquet({file!r})"
            f" where what = 'sample' or len({_SEEN}) > 0"
        )
        found.rejected_samples = _pairs(base, "select reason, count(*) from rejected where what = 'sample' group by 1")
        found.rejected_annotations = _pairs(
            base, "select reason, sum(len(annotations)) from rejected where what = 'annotation' group by 1"
        )
        found.rejected_per_source = _pairs(
            base, "select split_part(key, '/', 1), count(*) from rejected where what = 'sample' group by 1"
        )
        (found.turned_annotations,) = _one(base, "select coalesce(sum(len(annotations)), 0) from rejected")
        found.duplicates = base.execute(
            "select key, duplicate_of from rejected where what = 'sample' and duplicate_of is not null"
        ).fetchall()
        if parts:
            (lost,) = _one(
                base,
                "select coalesce(sum(len(annotations)), 0) from rejected"
                " where key in (select key from samples where len(derived_from) > 0)",
            )
            found.made_annotations += lost
    return found


def count_changes(raw: Sequence[Path], cleaned: Path) -> dict[str, int]:
    """What ``clean`` changed, by laying annotations as they came beside what became of them, and from recipes."""
    base = duckdb.connect()
    for name, folders in (("before", raw), ("after", [cleaned])):
        parts = [str(path) for folder in folders for path in sorted((folder / "samples").glob("*.parquet"))]
        base.execute(f"create view {name}_samples as select * from read_parquet({parts!r})")
    labels = "select key, unnest(annotations) as a from {}"
    base.execute(f"create view before as {labels.format('before_samples')}")
    after = labels.format("after_samples")
    if (cleaned / "rejected.parquet").is_file():
        rejected = f"read_parquet('{cleaned / 'rejected.parquet'}') where what = 'sample'"
        after += f" union all {labels.format(rejected)}"
    base.execute(f"create view after as {after}")
    both = "select count(*) from before join after on before.key = after.key and before.a.id = after.a.id where "
    clipped = "len(list_filter({}.a.issues, lambda issue: issue.code = 'clipped'))"
    changes = {
        "category-mapped": _one(
            base,
            both + "(before.a.category, before.a.categories) is distinct from (after.a.category, after.a.categories)",
        )[0],
        "clipped": _one(base, both + f"{clipped.format('after')} > {clipped.format('before')}")[0],
    }
    steps = _pairs(base, "select s.op, count(*) from (select unnest(recipe.steps) as s from after_samples) group by 1")
    changes |= {f"picture-{name.replace('_', '-')}": number for name, number in steps.items()}
    return {name: number for name, number in sorted(changes.items()) if number}


def _count_samples(base: duckdb.DuckDBPyConnection, found: Recount) -> None:
    (found.outside,) = _one(base, f"select coalesce(sum(len(annotations) - len({_SEEN})), 0) from written")
    found.samples, found.annotations, found.picture_bytes = _one(
        base, "select count(*), coalesce(sum(len(annotations)), 0), coalesce(sum(size_bytes), 0) from samples"
    )
    found.labelled = {"no": 0, "partial": 0, "yes": 0} | _pairs(
        base, "select labelled, count(*) from samples group by 1"
    )
    found.samples_per_split = _pairs(base, "select coalesce(split, 'none'), count(*) from samples group by 1")
    found.annotations_per_split = _pairs(
        base, "select coalesce(split, 'none'), sum(len(annotations)) from samples group by 1"
    )
    for name in ("media_type", "mode"):
        counts = _pairs(base, f"select coalesce({name}, 'none'), count(*) from samples group by 1")
        setattr(found, f"{name}s", counts)
    for name in ("sharpness", "brightness", "contrast"):
        found.values[name] = _column(base, f"select {name} from samples where {name} is not null")
    found.sizes = base.execute(
        "select width_px, height_px from samples where width_px is not null and height_px is not null"
    ).fetchall()
    found.values["short_side_px"] = [min(size) for size in found.sizes]
    found.samples_per_source = _pairs(base, "select split_part(key, '/', 1), count(*) from samples group by 1")
    found.values["annotations_per_sample"] = _column(base, "select len(annotations) from samples")


def _count_annotations(base: duckdb.DuckDBPyConnection, found: Recount) -> None:
    base.execute(
        "create view labels as select key, coalesce(split, 'none') as split, width_px as w, height_px as h,"
        " unnest(annotations) as a from samples"
    )
    found.kinds = _pairs(base, "select a.kind, count(*) from labels group by 1")
    found.issues = _pairs(base, "select i.code, count(*) from (select unnest(a.issues) as i from labels) group by 1")
    base.execute(
        "create view uses as select key, split, unnest(list_distinct(list_append(a.categories, a.category))) as name"
        " from labels"
    )  # list_distinct leaves nulls out
    for name, split, uses, samples in base.execute(
        "select name, split, count(*), count(distinct key) from uses where name is not null group by 1, 2"
    ).fetchall():
        found.category_annotations[name, split] = uses
        found.category_samples[name, split] = samples
    boxes = base.execute(
        "select a.bbox_xywh_px, w, h from labels where len(a.bbox_xywh_px) = 4 and w > 0 and h > 0"
    ).fetchall()
    found.boxes = [
        ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height) for (x, y, w, h), width, height in boxes
    ]


def _count_made(base: duckdb.DuckDBPyConnection, found: Recount) -> None:
    found.made_samples, found.made_annotations, found.parents = _one(
        base,
        "select count(*), coalesce(sum(len(annotations)), 0), count(distinct derived_from[1]) from samples"
        " where len(derived_from) > 0",
    )


def _count_channels(base: duckdb.DuckDBPyConnection, found: Recount) -> None:
    measured = (
        "select width_px * height_px::double, channel_mean, channel_std from samples"
        " where len(channel_mean) = 3 and len(channel_std) = 3 and width_px is not null"
    )
    over_all = _pooled(base.execute(measured).fetchall())
    if over_all is not None:
        _, found.channel_mean, found.channel_std = over_all
    for split in found.samples_per_split:
        of_split = _pooled(base.execute(f"{measured} and split = ?", [split]).fetchall())
        if of_split is not None:
            found.channels_per_split[split] = of_split


def _pooled(rows: list[tuple[float, list[float], list[float]]]) -> Channels | None:
    """Over all pixels of pictures of which pixels, mean and deviation of each channel are given."""
    pixels = math.fsum(row[0] for row in rows)
    if pixels:
        means = [math.fsum(weight * mean[at] for weight, mean, _ in rows) / pixels for at in range(3)]
        squares = [
            math.fsum(weight * (std[at] ** 2 + mean[at] ** 2) for weight, mean, std in rows) / pixels for at in range(3)
        ]
        deviations = [math.sqrt(max(0.0, square - mean**2)) for square, mean in zip(squares, means, strict=True)]
        return len(rows), tuple(means), tuple(deviations)
    return None


def _one(base: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    return tuple(map(int, base.execute(query).fetchall()[0]))


def _pairs(base: duckdb.DuckDBPyConnection, query: str) -> dict[str, int]:
    return {name: int(number) for name, number in sorted(base.execute(query).fetchall())}


def _column(base: duckdb.DuckDBPyConnection, query: str) -> list[float]:
    return [row[0] for row in base.execute(query).fetchall()]


def binned(edges: tuple[float, ...], values: list[float]) -> tuple[int, ...]:
    """How many values lie in each bin; what is outside counts in the outer bins."""
    counts = [0] * (len(edges) - 1)
    for value in values:
        place = next((place for place in range(len(counts)) if value < edges[place + 1]), len(counts) - 1)
        counts[place] += 1
    return tuple(counts)
