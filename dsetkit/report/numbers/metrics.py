"""``reports/metrics.json``: one flat object of numbers that ``dvc metrics show`` and ``diff`` display.

Names are steps joined by dots. What comes from data is always one step (a dot in it is written ``%2E``), and stands
only below a step that holds nothing but such names; so no name of a category can be taken for another number, and no
name is the beginning of another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from dsetkit.report.facts.collect import ProjectFacts, SnapshotFacts
from dsetkit.report.numbers.names import plain_name

Metrics = dict[str, int | float]

_SIGNIFICANT_DIGITS = 6


def build_metrics(facts: ProjectFacts) -> Metrics:
    """All numbers by name, sorted; floats have 6 significant digits. See docs/metrics.md for what each means."""
    metrics: Metrics = {
        "raw.samples": facts.raw_samples,
        "raw.annotations": facts.raw_annotations,
        "raw.rejected_samples": sum(facts.raw_rejected_samples.values()),
        "raw.rejected_annotations": sum(facts.raw_rejected_annotations.values()),
        "duplicates.exact": facts.duplicates_exact,
        "duplicates.near": facts.duplicates_near,
        "duplicates.conflicts": facts.duplicates_conflicts,
    }
    if facts.raw_outside:
        metrics["raw.outside"] = facts.raw_outside
    for source, raw in facts.raw.items():
        prefix = f"raw.source.{_step(source)}"
        metrics[f"{prefix}.samples"] = raw.samples
        metrics[f"{prefix}.annotations"] = raw.annotations
        if raw.outside:
            metrics[f"{prefix}.outside"] = raw.outside
        metrics[f"{prefix}.rejected_samples"] = sum(raw.rejected_samples.values())
        metrics[f"{prefix}.rejected_annotations"] = sum(raw.rejected_annotations.values())
    metrics.update(_rejected("raw", facts.raw_rejected_samples, facts.raw_rejected_annotations))
    metrics.update(_of_stage("cleaned", facts.cleaned))
    if facts.augmented is not None:
        metrics.update(_of_stage("augmented", facts.augmented))
    return {name: _rounded(metrics[name]) for name in sorted(metrics)}


def metrics_bytes(facts: ProjectFacts) -> bytes:
    """``build_metrics`` as a JSON document, a line a number."""
    return (json.dumps(build_metrics(facts), indent=2, ensure_ascii=False) + "\n").encode()


def _of_stage(stage: str, facts: SnapshotFacts) -> Iterator[tuple[str, int | float]]:
    yield f"{stage}.samples", facts.samples
    yield f"{stage}.annotations", facts.annotations
    if facts.outside:
        yield f"{stage}.outside", facts.outside
    yield f"{stage}.picture_bytes", facts.picture_bytes
    yield f"{stage}.rejected_samples", sum(facts.rejected_samples.values())
    yield f"{stage}.rejected_annotations", sum(facts.rejected_annotations.values())
    if facts.imbalance is not None:
        yield f"{stage}.imbalance", facts.imbalance
    for state, samples in facts.labelled.items():
        yield f"{stage}.labelled.{state}", samples
    for split, samples in facts.samples_per_split.items():
        yield f"{stage}.split.{_step(split)}.samples", samples
        yield f"{stage}.split.{_step(split)}.annotations", facts.annotations_per_split[split]
    for category in facts.categories:
        yield f"{stage}.category.{_step(category.name)}.annotations", category.annotations
        yield f"{stage}.category.{_step(category.name)}.samples", category.samples
    for kind, number in facts.kinds.items():
        yield f"{stage}.kind.{_step(kind)}", number
    for code, findings in facts.issues.items():
        yield f"{stage}.issue.{_step(code)}", findings
    yield from _rejected(stage, facts.rejected_samples, facts.rejected_annotations)
    for what, values in (("mean", facts.channel_mean), ("std", facts.channel_std)):
        for channel, value in zip("rgb", values or (), strict=False):
            yield f"{stage}.channel.{what}.{channel}", value


def _rejected(stage: str, samples: dict[str, int], annotations: dict[str, int]) -> Iterator[tuple[str, int]]:
    for what, counts in (("sample", samples), ("annotation", annotations)):
        for reason, number in counts.items():
            yield f"{stage}.rejected.{what}.{_step(reason)}", number


def _step(name: str) -> str:
    return plain_name(name, reserved=".")


def _rounded(value: int | float) -> int | float:
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value
