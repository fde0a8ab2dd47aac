"""What is true of a project's snapshots, counted once and used by metrics, plots, page and cards.

Everything is counted from the columns of ``samples/`` and ``rejected.parquet``, never taken from what a document
claims; one manifest part is in memory at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add

from dsetkit.curation.duplicates import EXACT, LABELS_DIFFER, NEAR
from dsetkit.report.facts.columns import COLUMNS, Tally
from dsetkit.report.facts.histograms import HISTOGRAMS, Grid, Histogram
from dsetkit.report.facts.rejected import count_rejected
from dsetkit.snapshots.read import Snapshot
from dsetkit.spec.snapshot import SnapshotInfo
from dsetkit.stages.build import open_input
from dsetkit.stages.project import Project
from dsetkit.stages.sources import sorted_sources

__all__ = ["CategoryFacts", "Grid", "Histogram", "ProjectFacts", "SnapshotFacts", "collect", "collect_project"]

NO_SPLIT = "none"
"""Stands for the split of samples that have none."""


@dataclass(frozen=True)
class CategoryFacts:
    """How often one category is used."""

    name: str
    annotations: int
    """That name it, alone or among several."""
    samples: int
    """With at least one such annotation."""
    annotations_per_split: dict[str, int]
    """Only splits in which there are any; a split that is not there counts 0 (``Counter``)."""
    samples_per_split: dict[str, int]
    """Alike."""


@dataclass(frozen=True)
class SnapshotFacts:
    """What is true of one snapshot. All annotations count, whatever their status, but those whose object is not in
    the frame (``dsetkit.spec.annotation.is_outside``): they show nothing.
    """

    info: SnapshotInfo
    samples: int
    annotations: int
    outside: int
    """Annotations that say that the object of their track is not in the frame; counted here and nowhere else."""
    picture_bytes: int
    """Sum over the samples; equal pictures, which are stored once, count each time."""
    labelled: dict[str, int]
    """``no``, ``partial``, ``yes`` → samples; always all three."""
    samples_per_split: dict[str, int]
    """``none`` for samples without a split."""
    annotations_per_split: dict[str, int]
    """The same splits."""
    categories: tuple[CategoryFacts, ...]
    """In the snapshot's order, all of them, also with 0; then, by name, those that only annotations name."""
    kinds: dict[str, int]
    """Annotations per kind."""
    media_types: dict[str, int]
    """Samples per media type; ``none`` where there is no picture."""
    modes: dict[str, int]
    """Samples per Pillow mode; ``none`` where there is no picture."""
    issues: dict[str, int]
    """Findings on annotations, per code."""
    rejected_samples: dict[str, int]
    """Samples turned away, per reason."""
    rejected_annotations: dict[str, int]
    """Annotations of kept samples turned away, per reason."""
    histograms: dict[str, Histogram]
    """``sharpness``, ``brightness``, ``contrast``, ``short_side_px``, ``annotations_per_sample``."""
    picture_sizes: Grid
    """Width × height, pixels, two bins a doubling."""
    box_sizes: Grid
    """Width × height of upright enclosures as shares of the picture's, 0 to 1, two bins a doubling."""
    box_centers: Grid
    """Centres of upright enclosures, 0 to 1 from left to right and from top (row 0) to bottom."""
    channel_mean: tuple[float, float, float] | None
    """Mean of R, G, B over all pixels, 0 to 1; None where no picture was measured."""
    channel_std: tuple[float, float, float] | None
    """Deviation of R, G, B over all pixels (within and between pictures), on the same scale."""

    @property
    def imbalance(self) -> float | None:
        """Annotations of the largest category to those of the smallest that has any; None where none has."""
        used = [category.annotations for category in self.categories if category.annotations]
        return max(used) / min(used) if used else None


@dataclass(frozen=True)
class ProjectFacts:
    """What is true of a project's snapshots."""

    raw: dict[str, SnapshotFacts]
    """By source, in order of name."""
    cleaned: SnapshotFacts
    augmented: SnapshotFacts | None
    """None where nothing was augmented yet."""

    @property
    def raw_samples(self) -> int:
        """Samples of all sources."""
        return sum(facts.samples for facts in self.raw.values())

    @property
    def raw_annotations(self) -> int:
        """Annotations of all sources."""
        return sum(facts.annotations for facts in self.raw.values())

    @property
    def raw_outside(self) -> int:
        """Annotations of all sources whose object is not in the frame."""
        return sum(facts.outside for facts in self.raw.values())

    @property
    def raw_rejected_samples(self) -> dict[str, int]:
        """Samples that ``ingest`` turned away, of all sources, per reason."""
        return _added([facts.rejected_samples for facts in self.raw.values()])

    @property
    def raw_rejected_annotations(self) -> dict[str, int]:
        """Annotations that ``ingest`` turned away alone, of all sources, per reason."""
        return _added([facts.rejected_annotations for facts in self.raw.values()])

    @property
    def raw_histograms(self) -> dict[str, Histogram]:
        """Histograms over all sources."""
        return {
            name: reduce(add, (facts.histograms[name] for facts in self.raw.values()), empty)
            for name, empty in HISTOGRAMS.items()
        }

    @property
    def duplicates_exact(self) -> int:
        """Samples turned away as they have the same bytes as a kept one."""
        return self.cleaned.rejected_samples.get(EXACT, 0)

    @property
    def duplicates_near(self) -> int:
        """Samples turned away as they look like a kept one."""
        return self.cleaned.rejected_samples.get(NEAR, 0)

    @property
    def duplicates_conflicts(self) -> int:
        """Samples turned away as they have the same bytes as another one, with other labels."""
        return self.cleaned.rejected_samples.get(LABELS_DIFFER, 0)


def collect(snapshot: Snapshot) -> SnapshotFacts:
    """Count a snapshot; of a selection its samples, and what the whole snapshot turned away.

    Raises ``SnapshotError`` where a table is damaged.
    """
    tally = Tally([category.name for category in snapshot.categories], no_split=NO_SPLIT)
    for table in snapshot.iter_tables(COLUMNS):
        tally.add(table)
    rejected_samples, rejected_annotations = count_rejected(snapshot)
    mean, std = tally.channels()
    return SnapshotFacts(
        info=snapshot.info,
        samples=tally.samples,
        annotations=tally.annotations,
        outside=tally.outside,
        picture_bytes=tally.picture_bytes,
        labelled=tally.labelled(),
        samples_per_split=tally.samples_per_split(),
        annotations_per_split=tally.annotations_per_split(),
        categories=tuple(CategoryFacts(*facts) for facts in tally.categories()),
        kinds=tally.counted("kind"),
        media_types=tally.counted("media_type"),
        modes=tally.counted("mode"),
        issues=tally.counted("issue"),
        rejected_samples=rejected_samples,
        rejected_annotations=rejected_annotations,
        histograms=dict(tally.histograms),
        picture_sizes=tally.picture_sizes,
        box_sizes=tally.box_sizes,
        box_centers=tally.box_centers,
        channel_mean=mean,
        channel_std=std,
    )


def collect_project(project: Project) -> ProjectFacts:
    """Count the raw snapshots of exactly the sources that params name, the cleaned one, and the augmented if there.

    Raises ``SnapshotError`` where a raw or the cleaned snapshot is absent, or one is damaged.
    """
    names = sorted_sources(list(project.params.sources))
    raw = {name: collect(open_input(project.raw(name), project, f"ingest@{name}").base) for name in names}
    cleaned = collect(open_input(project.cleaned, project, "clean").base)
    is_augmented = (project.augmented / "snapshot.json").is_file()
    augmented = collect(open_input(project.augmented, project, "augment").base) if is_augmented else None
    return ProjectFacts(raw, cleaned, augmented)


def _added(counts: list[dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for name, number in each.items():
            total[name] = total.get(name, 0) + number
    return {name: total[name] for name in sorted(total)}
