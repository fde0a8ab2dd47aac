"""The charts of the page, made from facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dsetkit.curation.quality import BLURRED, BRIGHT, DARK, FLAT, SMALL
from dsetkit.report.drawing.charts import Bound, Chart, bars, heatmap, histogram, stacked
from dsetkit.report.drawing.svg import ACCENT, SERIES, WARNING
from dsetkit.report.facts.collect import ProjectFacts, SnapshotFacts
from dsetkit.report.page.flow import Flow
from dsetkit.report.words import KINDS, counted, in_split_order, number
from dsetkit.spec.params import QualityParams

_Limit = tuple[str, str, float | None, bool]
"""Code of the finding, key in params, threshold, whether what lies below it is turned away."""


@dataclass(frozen=True)
class QualityShown:
    """A histogram with what its thresholds turn away."""

    chart: Chart
    said: tuple[str, ...]
    """One sentence a threshold."""


def flow_chart(flows: Sequence[Flow]) -> Chart:
    """Samples kept, turned away and made, a bar a source and stage."""
    table = {}
    for flow in flows:
        parts = {"kept": flow.kept - flow.made, "turned away": flow.turned, "made": flow.made}
        table[f"{flow.stage} {flow.source}".strip()] = parts
    return stacked(
        "Samples through the stages",
        table,
        ["kept", "turned away", *(["made"] if any(flow.made for flow in flows) else [])],
        unit="samples",
        colors=(ACCENT, WARNING, SERIES[2]),
    )


def balance_charts(facts: SnapshotFacts) -> list[Chart]:
    """Categories by split, splits, kinds, annotations a sample."""
    splits = in_split_order(facts.samples_per_split)
    categories = sorted(facts.categories, key=lambda one: -one.annotations)
    charts = []
    if categories:
        table = {one.name: one.annotations_per_split for one in categories}
        used = [split for split in splits if any(one.annotations_per_split.get(split) for one in categories)]
        charts.append(stacked("Annotations per category", table, used or splits, unit="annotations"))
    if splits:
        per_split = {name: facts.samples_per_split[name] for name in splits}
        charts.append(bars("Samples per split", per_split, unit="samples"))
    if facts.kinds:
        charts.append(bars("Annotations per kind", facts.kinds, unit="annotations", names=KINDS))
    per_sample = facts.histograms["annotations_per_sample"]
    charts.append(histogram("Annotations per sample", per_sample, unit="samples", log=True))
    states = {"yes": "labelled", "partial": "partly labelled", "no": "not labelled"}
    labelled = {state: facts.labelled.get(state, 0) for state in states}
    charts.append(bars("Samples by state of labelling", labelled, unit="samples", names=states))
    return charts


def shape_charts(facts: SnapshotFacts) -> list[Chart]:
    """Sizes and places of what is located, and picture sizes."""
    charts = []
    if facts.box_sizes.total:
        across, down = "width, share of the picture's", "height, share of the picture's"
        charts.append(heatmap("Sizes of boxes", facts.box_sizes, unit="annotations", x=across, y=down, log=True))
    if facts.box_centers.total:
        across, down = "from left to right", "from top to bottom"
        centers = facts.box_centers
        charts.append(heatmap("Centres of boxes", centers, unit="annotations", x=across, y=down, log=False, down=True))
    if facts.picture_sizes.total:
        sizes = facts.picture_sizes
        charts.append(heatmap("Sizes of pictures", sizes, unit="samples", x="width, px", y="height, px", log=True))
    return charts


def quality_charts(facts: ProjectFacts, params: QualityParams, beyond: Counter[str]) -> list[QualityShown]:
    """Histograms of all raw pictures with the thresholds of ``clean.quality``."""
    limits: dict[str, list[_Limit]] = {
        "sharpness": [(BLURRED, "min_sharpness", params.min_sharpness, True)],
        "brightness": [
            (DARK, "min_brightness", params.min_brightness, True),
            (BRIGHT, "max_brightness", params.max_brightness, False),
        ],
        "contrast": [(FLAT, "min_contrast", params.min_contrast, True)],
        "short_side_px": [(SMALL, "min_side_px", params.min_side_px, True)],
    }
    titles = {"short_side_px": "Shorter side"}
    shown = []
    for name, bounds in limits.items():
        drawn = [Bound(key, float(value), below) for _, key, value, below in bounds if value is not None]
        counts = facts.raw_histograms[name]
        chart = histogram(
            titles.get(name, name.capitalize()),
            counts,
            unit="pictures",
            bounds=drawn,
            log=name in ("sharpness", "short_side_px"),
        )
        shown.append(QualityShown(chart, tuple(_say(bound, beyond) for bound in bounds)))
    return shown


def _say(limit: _Limit, beyond: Counter[str]) -> str:
    code, name, value, below = limit
    if value is None:
        return f"{name} is off."
    side = "below" if below else "above"
    return f"{counted(beyond[code], 'picture')} {side} {name} = {number(value)}."
