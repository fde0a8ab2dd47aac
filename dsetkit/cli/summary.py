"""What is in a snapshot, on a page of a terminal: counts, bars, ranges, what was turned away, issues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from dsetkit.cli.blocks import bar, sparkline
from dsetkit.cli.output import Output
from dsetkit.cli.words import in_order, measured_text, plural, size_text, turned_away
from dsetkit.report.facts.collect import SnapshotFacts, collect
from dsetkit.snapshots.html import hidden_text
from dsetkit.snapshots.read import Snapshot

CATEGORIES = 20
"""How many categories are listed where not all are asked for: those with the most annotations."""

_MEASURED = ("width_px", "height_px", "sharpness", "brightness", "contrast")
_TITLES = {"width_px": "width, px", "height_px": "height, px"}


def show_summary(output: Output, snapshot: Snapshot, *, all_categories: bool = False) -> None:
    """Print it. Only columns are read, so it takes about a second for 100,000 samples. Raises ``SnapshotError``."""
    facts = collect(snapshot)
    _show_head(output, facts, snapshot)
    for facet in snapshot.hidden:
        output.line(f"  {hidden_text(facet)}", "yellow")
    _show_splits(output, facts)
    _show_categories(output, facts, None if all_categories else CATEGORIES)
    _show_measured(output, facts, snapshot)
    _show_turned_away(output, facts, snapshot)
    _show_made(output, facts)
    _show_issues(output, facts)


def labels_apart(snapshot: Snapshot, per_split: Mapping[str, int]) -> tuple[int, list[str]]:
    """Of how many samples facets that are not read keep the labels apart, and which.

    ``per_split``: samples of each split; all others have none.
    """
    unsplit = snapshot.info.counts.samples - sum(per_split.values())
    counts: list[tuple[str | None, int]] = [*per_split.items(), (None, unsplit)]
    found = [(number, snapshot.labels_apart(split)) for split, number in counts if number]
    return sum(number for number, names in found if names), sorted({name for _, names in found for name in names})


def _show_head(output: Output, facts: SnapshotFacts, snapshot: Snapshot) -> None:
    info = facts.info
    output.heading(f"{info.name}  {plural(facts.samples, 'sample')}, {plural(facts.annotations, 'annotation')}")
    output.line(f"  fingerprint {info.fingerprint}")
    if info.parents:
        output.line(f"  made from {', '.join(f'{item.name} {item.fingerprint[:12]}' for item in info.parents)}", "dim")
    if not facts.samples:
        return
    stored = [*facts.media_types.items(), *((f"mode {mode}", number) for mode, number in facts.modes.items())]
    output.line(f"  pictures  {size_text(facts.picture_bytes)}: {_listed(stored)}")
    apart, facets = labels_apart(snapshot, info.counts.per_split)
    counts = {**facts.labelled, "no": facts.labelled["no"] - apart}  # what is kept apart stands there as "no"
    labelled = [(name, counts[name]) for name in ("yes", "partial", "no") if counts[name]]
    labelled += [(f"kept apart ({', '.join(facets)})", apart)] if apart else []
    output.line(f"  labelled  {_listed(labelled)}")
    if facts.kinds:
        output.line(f"  kinds     {_listed(_most(facts.kinds))}")


def _show_splits(output: Output, facts: SnapshotFacts) -> None:
    samples = facts.samples_per_split
    if not facts.info.counts.per_split:
        return
    most = max(samples.values())
    rows = [(name, number, facts.annotations_per_split[name], bar(number / most)) for name, number in in_order(samples)]
    output.line()
    output.table(("split", "samples", "annotations", ""), rows, right=(1, 2), short=(0,), whole=(3,))


def _show_categories(output: Output, facts: SnapshotFacts, limit: int | None) -> None:
    if not facts.categories:
        return
    ordered = sorted(facts.categories, key=lambda item: -item.annotations)  # stable: else in the snapshot's order
    shown = ordered[:limit]
    most = max(1, ordered[0].annotations)
    rows = [(item.name, item.annotations, item.samples, bar(item.annotations / most)) for item in shown]
    output.line()
    output.table(("category", "annotations", "samples", ""), rows, right=(1, 2), short=(0,), whole=(3,))
    rest = ordered[len(shown) :]
    if rest:
        held = plural(sum(item.annotations for item in rest), "annotation")
        output.line(f"… and {len(rest):,} more, with {held} (all of them: --all)", "dim")


def _show_measured(output: Output, facts: SnapshotFacts, snapshot: Snapshot) -> None:
    """Smallest, median and largest of what each picture was measured for, and how the values spread."""
    counts = {name: histogram.counts for name, histogram in facts.histograms.items()}
    counts["width_px"], counts["height_px"] = facts.picture_sizes.per_x, facts.picture_sizes.per_y
    table = snapshot.column(_MEASURED)
    rows = []
    for name in _MEASURED:
        values = table[name].drop_null().cast(pa.float64()).to_numpy()
        if len(values):
            spread = (values.min(), np.median(values), values.max())
            rows.append((_TITLES.get(name, name), *map(measured_text, map(float, spread)), sparkline(counts[name])))
    if rows:
        output.line()
        output.table(("pictures", "min", "median", "max", ""), rows, right=(1, 2, 3), whole=(4,))


def _show_turned_away(output: Output, facts: SnapshotFacts, snapshot: Snapshot) -> None:
    if not facts.rejected_samples and not facts.rejected_annotations:
        return
    examples, own = _examples(snapshot.read_rejected(("what", "reason", "key"))), snapshot.own_keys()
    examples = {of: own.get(key, key) for of, key in examples.items()}
    rows = [
        (number, noun if number == 1 else f"{noun}s", reason, examples[noun, reason])
        for noun, counts in (("sample", facts.rejected_samples), ("annotation", facts.rejected_annotations))
        for reason, number in _most(counts)
    ]
    output.line()
    output.line(f"turned away: {turned_away(facts.info.counts)}")
    output.table(("", "", "reason", "for example"), rows, right=(0,), whole=(1,))


def _examples(rejected: pa.Table) -> dict[tuple[str, str], str]:
    """The first key for each reason, apart for samples and annotations."""
    found: dict[tuple[str, str], str] = {}
    for what, reason, key in zip(*(rejected[name].to_pylist() for name in ("what", "reason", "key")), strict=True):
        found.setdefault((what, reason), key)
    return found


def _show_made(output: Output, facts: SnapshotFacts) -> None:
    info = facts.info
    if info.counts.per_change:
        output.line()
        output.line("changed:")
        rows = [(number, name) for name, number in _most(info.counts.per_change)]
        output.table(("", ""), rows, right=(0,), header=False)
    statistics = info.channel_statistics
    if statistics is not None:
        output.line()
        output.line(f"normalise by x' = (x − mean) / std of {statistics.split}, in R, G, B from 0 to 1:")
        for name, values in (("mean", statistics.mean), ("std ", statistics.std)):
            output.line(f"  {name} {', '.join(f'{value:.4f}' for value in values)}")


def _show_issues(output: Output, facts: SnapshotFacts) -> None:
    """A row of codes each for annotations and for the snapshot as a whole; then what is said of the whole."""
    whole: Counter[str] = Counter()
    for issue in facts.info.issues:
        whole[issue.code] += issue.count
    if facts.issues or whole:
        output.line()
    for title, counts in (("issues of annotations", facts.issues), ("issues", whole)):
        if counts:
            output.line(f"{title}: {', '.join(f'{number:,} × {code}' for code, number in _most(counts))}")
    output.issues(facts.info.issues, limit=10)


def _most(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """The largest first, equal ones by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _listed(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in counts)
