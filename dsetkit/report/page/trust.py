"""Whether to trust a dataset: what speaks against it, first what is gravest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from dsetkit.report.facts.collect import NO_SPLIT, ProjectFacts
from dsetkit.report.page.flow import Flow
from dsetkit.report.words import counted, in_split_order, number, percent, shorten

Level = Literal["error", "warning", "info", "good"]

MANY_TURNED = 0.1
"""More than this share of samples turned away deserves a look."""

UNEVEN = 20.0
"""So many times the annotations of the smallest category deserve a look."""

FEW = 30
"""With fewer samples in a split, what is measured on it scatters."""

RULES: tuple[tuple[Level, str], ...] = (
    ("error", "a stage's numbers do not add up; the cleaned snapshot is empty; equal bytes have other labels"),
    ("warning", f"more than {percent(MANY_TURNED, 1)} of all samples that came in were turned away"),
    ("warning", f"the largest category has {number(UNEVEN)} or more times the annotations of the smallest with any"),
    ("warning", "a category has no annotation, or none in one of the splits; samples are in no split, or all in one"),
    ("warning", "a snapshot lists errors or warnings of its own"),
    ("info", f"a split has fewer than {FEW} samples; samples are not labelled, or not wholly"),
    ("info", "anything at all was turned away, or left out as a duplicate"),
)
"""What is judged, for people: the level, and when a point is made."""

LEVELS: dict[Level, str] = {"error": "settle", "warning": "look", "info": "know", "good": "sound"}
"""What a level asks of people."""

_ORDER: tuple[Level, ...] = ("error", "warning", "info", "good")


@dataclass(frozen=True)
class Point:
    """One thing to know before the dataset is used."""

    level: Level
    section: str
    """Where on the page there is more."""
    text: str


def judge(facts: ProjectFacts, flows: Sequence[Flow]) -> list[Point]:
    """All points, the gravest first."""
    points = [
        *_accounts(flows),
        *_turned(facts),
        *_duplicates(facts),
        *_categories(facts),
        *_splits(facts),
        *_labels(facts),
        *_issues(facts),
    ]
    return sorted(points, key=lambda point: _ORDER.index(point.level))


def _accounts(flows: Sequence[Flow]) -> Iterator[Point]:
    broken = [flow for flow in flows if not flow.holds]
    if broken:
        names = ", ".join(dict.fromkeys(f"{flow.stage} {flow.source}".strip() for flow in broken))
        text = f"The numbers of {names} do not add up: what came in is not all kept or turned away."
        yield Point("error", "flow", text)
    else:
        text = "Everything is accounted for: at each stage what came in was kept or stands as turned away."
        yield Point("good", "flow", text)


def _turned(facts: ProjectFacts) -> Iterator[Point]:
    early = sum(facts.raw_rejected_samples.values())
    turned, whole = early + sum(facts.cleaned.rejected_samples.values()), facts.raw_samples + early
    if turned:
        many = turned > MANY_TURNED * whole
        text = f"{number(turned)} of {counted(whole, 'sample')} ({percent(turned, whole)}) were turned away"
        text += f", more than {percent(MANY_TURNED, 1)}." if many else "."
        level: Level = "warning" if many else "info"
        yield Point(level, "rejected", text)
    alone = sum(facts.raw_rejected_annotations.values()) + sum(facts.cleaned.rejected_annotations.values())
    if alone:
        text = f"{counted(alone, 'annotation')} on kept samples {'was' if alone == 1 else 'were'} turned away."
        yield Point("info", "rejected", text)


def _duplicates(facts: ProjectFacts) -> Iterator[Point]:
    if facts.duplicates_conflicts:
        held = counted(facts.duplicates_conflicts, "sample")
        text = f"{held} with equal bytes but other labels were turned away; somebody must decide."
        yield Point("error", "duplicates", text)
    exact, near = facts.duplicates_exact, facts.duplicates_near
    if exact + near:
        text = f"{counted(exact + near, 'duplicate')} left out: {number(exact)} exact, {number(near)} near."
        yield Point("info", "duplicates", text)


def _categories(facts: ProjectFacts) -> Iterator[Point]:
    categories = facts.cleaned.categories
    unused = [category.name for category in categories if not category.annotations]
    if unused:
        text = f"{counted(len(unused), 'category', 'categories')} without any annotation: {_some(unused)}."
        yield Point("warning", "balance", text)
    splits = in_split_order(split for split in facts.cleaned.samples_per_split if split != NO_SPLIT)
    for split in splits if len(splits) > 1 else ():
        absent = [one.name for one in categories if one.annotations and not one.annotations_per_split.get(split)]
        if absent:
            text = f"{counted(len(absent), 'category', 'categories')} not in {split}: {_some(absent)}."
            yield Point("warning", "balance", text)
    if facts.cleaned.imbalance is not None and facts.cleaned.imbalance >= UNEVEN:
        times = number(round(facts.cleaned.imbalance))
        text = f"The largest category has {times} times the annotations of the smallest, {number(UNEVEN)} or more."
        yield Point("warning", "balance", text)


def _splits(facts: ProjectFacts) -> Iterator[Point]:
    per_split = facts.cleaned.samples_per_split
    if not facts.cleaned.samples:
        yield Point("error", "flow", "The cleaned snapshot holds no sample at all.")
    elif len(per_split) == 1:
        only = next(iter(per_split))
        where = "No sample is in a split" if only == NO_SPLIT else f"All samples are in one split ({only})"
        yield Point("warning", "balance", f"{where}: nothing is held out.")
    for split in in_split_order(per_split):
        if per_split[split] < FEW and split != NO_SPLIT:
            held = counted(per_split[split], "sample")
            text = f"{split} has only {held}, fewer than {FEW}: what is measured on it will scatter."
            yield Point("info", "balance", text)
    if 0 < per_split.get(NO_SPLIT, 0) < facts.cleaned.samples:
        yield Point("warning", "balance", f"{counted(per_split[NO_SPLIT], 'sample')} in no split.")


def _labels(facts: ProjectFacts) -> Iterator[Point]:
    labelled = facts.cleaned.labelled
    if labelled.get("no"):
        yield Point("info", "balance", f"{counted(labelled['no'], 'sample')} without labels.")
    if labelled.get("partial"):
        why = "an annotation was turned away, or the source says so"
        yield Point("info", "balance", f"{counted(labelled['partial'], 'sample')} only partly labelled ({why}).")


def _issues(facts: ProjectFacts) -> Iterator[Point]:
    for snapshot in (*facts.raw.values(), facts.cleaned, *filter(None, [facts.augmented])):
        listed = Counter[str]()
        for issue in snapshot.info.issues:
            listed[issue.severity] += issue.count
        parts = [counted(listed[name], name) for name in ("error", "warning") if listed[name]]
        if parts:
            yield Point("warning", "issues", f"{snapshot.info.name} lists {' and '.join(parts)}.")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(shorten(name, 40) for name in names[:5])
    return f"{shown} and {number(len(names) - 5)} more" if len(names) > 5 else shown
