"""How data flowed: of each source and stage what came in, what was kept, turned away and made."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from dsetkit.curation.quality import check_quality
from dsetkit.report.facts.collect import ProjectFacts, SnapshotFacts
from dsetkit.report.page.reading import Shelf, turned_away
from dsetkit.spec.params import QualityParams

_QUALITY = ("width_px", "height_px", "sharpness", "brightness", "contrast")


@dataclass(frozen=True)
class Flow:
    """One line: in (+ made) = kept + turned away."""

    stage: str
    source: str
    """Empty for all sources together."""
    what: str
    """``samples`` or ``annotations``."""
    came_in: int
    kept: int
    turned: int
    made: int = 0

    @property
    def holds(self) -> bool:
        """Whether the line adds up."""
        return self.came_in + self.made == self.kept + self.turned


def sample_flows(facts: ProjectFacts, shelf: Shelf) -> list[Flow]:
    """Of samples, per source and stage. Kept ones are counted from keys, turned ones from ``rejected.parquet``."""
    flows = [
        Flow("ingest", name, "samples", one.info.counts.samples_in, one.samples, sum(one.rejected_samples.values()))
        for name, one in facts.raw.items()
    ]
    kept: Counter[str] = Counter()
    for table in shelf.cleaned.iter_tables(("key",)):
        kept.update(key.partition("/")[0] for key in table["key"].to_pylist())
    turned = Counter(row.key.partition("/")[0] for row in turned_away(shelf.cleaned) if row.what == "sample")
    flows += [
        Flow("clean", name, "samples", one.samples, kept.get(name, 0), turned.get(name, 0))
        for name, one in facts.raw.items()
    ]
    if facts.augmented is not None:
        flows.append(_flow("augment", "samples", facts.augmented, facts.cleaned.samples))
    return flows


def annotation_flows(facts: ProjectFacts) -> list[Flow]:
    """Of annotations, per stage; those of a turned-away sample are turned away with it.

    Here all that is written down counts, also where the object of a track is not in the frame: nothing may get lost.
    """
    flows = [
        Flow(
            "ingest",
            name,
            "annotations",
            one.info.counts.annotations_in,
            one.annotations + one.outside,
            one.info.counts.rejected_annotations,
        )
        for name, one in facts.raw.items()
    ]
    flows.append(_flow("clean", "annotations", facts.cleaned, facts.raw_annotations + facts.raw_outside))
    if facts.augmented is not None:
        came_in = facts.cleaned.annotations + facts.cleaned.outside
        flows.append(_flow("augment", "annotations", facts.augmented, came_in))
    return flows


def beyond_bounds(shelf: Shelf, params: QualityParams) -> Counter[str]:
    """How many raw pictures lie beyond each bound of ``clean.quality``, by the code of its finding."""
    found: Counter[str] = Counter()
    for snapshot in shelf.raw.values():
        for table in snapshot.iter_tables(_QUALITY):
            found.update(finding.code for findings in check_quality(table, params).values() for finding in findings)
    return found


def _flow(stage: str, what: str, facts: SnapshotFacts, came_in: int) -> Flow:
    counts = facts.info.counts
    if what == "samples":
        return Flow(stage, "", what, came_in, facts.samples, sum(facts.rejected_samples.values()), counts.added_samples)
    kept = facts.annotations + facts.outside
    return Flow(stage, "", what, came_in, kept, counts.rejected_annotations, counts.added_annotations)
