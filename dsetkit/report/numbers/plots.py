"""The files of ``reports/plots``: rows that DVC's own templates draw, as ``dvc.yaml`` declares.

Each file is a JSON list of objects with the same fields, one a line; never an empty list, as DVC leaves such a plot
out. Bars stand in the order of their labels as text, so numbers in labels are padded to one width.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dsetkit.report.facts.collect import ProjectFacts, SnapshotFacts
from dsetkit.report.facts.histograms import Grid, Histogram
from dsetkit.report.numbers.names import plain_name

MOST_BARS = 40
"""Bars in one plot; the rest is one bar more, or is left out where bars do not add up."""

Rows = list[dict[str, Any]]


def build_plots(facts: ProjectFacts) -> dict[str, bytes]:
    """File name → JSON. All of the cleaned snapshot, but for splits and what was rejected: these of all stages."""
    cleaned = facts.cleaned
    histograms, sizes = cleaned.histograms, cleaned.box_sizes
    plots = {
        "categories": _categories(cleaned),
        "category_splits": _category_splits(cleaned),
        "splits": _splits(facts),
        "rejected": _rejected(facts),
        "sharpness": _bars(histograms["sharpness"], "samples", _measured),
        "brightness": _line(histograms["brightness"], "brightness"),
        "contrast": _line(histograms["contrast"], "contrast"),
        "picture_sizes": _cells(cleaned.picture_sizes),
        "short_side_px": _bars(histograms["short_side_px"], "samples", _integers),
        "annotations_per_sample": _bars(histograms["annotations_per_sample"], "samples", _integers),
        "box_widths": _bars(Histogram(sizes.x_edges, sizes.per_x), "annotations", _percent),
        "box_heights": _bars(Histogram(sizes.y_edges, sizes.per_y), "annotations", _percent),
        "box_centers": _centers(cleaned.box_centers),
    }
    return {f"{name}.json": _json(rows) for name, rows in plots.items()}


def _categories(facts: SnapshotFacts) -> Rows:
    ordered = sorted(facts.categories, key=lambda category: (-category.annotations, category.name))
    counts = {plain_name(category.name): category.annotations for category in ordered}
    rows = [{"category": name, "annotations": number} for name, number in _largest(counts)]
    return rows or [{"category": "(none)", "annotations": 0}]


def _category_splits(facts: SnapshotFacts) -> Rows:
    """Of each split's uses of categories, the share that is of a category: alike in all splits where they are fair."""
    splits = list(facts.samples_per_split)
    totals = {split: sum(item.annotations_per_split[split] for item in facts.categories) for split in splits}
    ordered = sorted(facts.categories, key=lambda category: (-category.annotations, category.name))
    rows = [
        {
            "category": f"{_part(category.name)} · {_part(split)}",
            "share": _rounded(category.annotations_per_split[split] / totals[split]),
            "annotations": category.annotations_per_split[split],
        }
        for category in ordered[: max(1, MOST_BARS // max(1, len(splits)))]
        for split in splits
        if totals[split]
    ]
    return rows[:MOST_BARS] or [{"category": "(none)", "share": 0.0, "annotations": 0}]


def _splits(facts: ProjectFacts) -> Rows:
    rows = []
    for stage, of in (("cleaned", facts.cleaned), ("augmented", facts.augmented)):
        counts = {} if of is None else of.samples_per_split
        rows += [{"split": f"{stage} · {_part(split)}", "samples": counts[split]} for split in counts]
    return rows or [{"split": "(none)", "samples": 0}]


def _rejected(facts: ProjectFacts) -> Rows:
    counted = {
        "raw": (facts.raw_rejected_samples, facts.raw_rejected_annotations),
        "cleaned": (facts.cleaned.rejected_samples, facts.cleaned.rejected_annotations),
    }
    if facts.augmented is not None:
        counted["augmented"] = (facts.augmented.rejected_samples, facts.augmented.rejected_annotations)
    rows = [
        {"reason": f"{stage} · {what} · {_part(reason)}", "rejected": number}
        for stage, both in counted.items()
        for what, reasons in zip(("sample", "annotation"), both, strict=True)
        for reason, number in reasons.items()
    ]
    return rows or [{"reason": "(none)", "rejected": 0}]


def _line(histogram: Histogram, name: str) -> Rows:
    """A row a bin, at its middle."""
    bins = zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False)
    return [{name: _rounded((low + high) / 2), "samples": number} for low, high, number in bins]


def _centers(grid: Grid) -> Rows:
    edges = grid.x_edges
    return [
        {"position": _rounded((low + high) / 2), "left_to_right": across, "top_to_bottom": down}
        for low, high, across, down in zip(edges, edges[1:], grid.per_x, grid.per_y, strict=False)
    ]


def _cells(grid: Grid) -> Rows:
    """Occupied cells, the fullest first."""
    counts = {
        f"{_integers(x, grid.x_edges)} × {_integers(y, grid.y_edges).strip()}": number
        for y, row in enumerate(grid.counts)
        for x, number in enumerate(row)
        if number
    }
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return [{"size_px": name, "samples": number} for name, number in _largest(ordered)] or [
        {"size_px": "(none)", "samples": 0}
    ]


def _bars(histogram: Histogram, counted: str, label: Callable[[int, Sequence[float]], str]) -> Rows:
    """A row a bin, from the first to the last that is not empty."""
    counts = histogram.counts
    filled = [place for place, number in enumerate(counts) if number] or [0]
    return [
        {"bin": label(place, histogram.edges), counted: counts[place]} for place in range(filled[0], filled[-1] + 1)
    ]


def _measured(place: int, edges: Sequence[float]) -> str:
    """Of what is measured: ``  256–384``. The outer bins hold what is beyond them too."""
    if place == len(edges) - 2:
        return f"{edges[place]:>5g} or more"
    return f"{edges[place] if place else 0:>5g}–{edges[place + 1]:g}"


def _integers(place: int, edges: Sequence[float]) -> str:
    """Of whole numbers, both ends included: ``  256–383``, or just ``    3``."""
    low, high = int(edges[place]) if place else 0, int(edges[place + 1]) - 1
    if place == len(edges) - 2:
        return f"{low:>5} or more"
    return f"{low:>5}" if low == high else f"{low:>5}–{high}"


def _percent(place: int, edges: Sequence[float]) -> str:
    """Of shares: `` 6.2–9.4 %``."""
    if place == len(edges) - 2:
        return f"{100 * edges[place]:5.1f} % or more"
    return f"{100 * edges[place]:5.1f}–{100 * edges[place + 1]:.1f} %"


def _largest(counts: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    """The first ``MOST_BARS``, and all others as one."""
    items = list(counts.items())
    if len(items) <= MOST_BARS:
        return items
    name = "(all others)"
    while name in counts:
        name = f"({name})"
    return [*items[:MOST_BARS], (name, sum(number for _, number in items[MOST_BARS:]))]


def _part(name: str) -> str:
    """A name as one part of a label that has several."""
    return plain_name(name, reserved="·")


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _json(rows: Rows) -> bytes:
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return f"[\n{lines}\n]\n".encode()
