"""What is in a snapshot, as tables of Markdown: all of it counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dsetkit.report.cards.text import by_count, inline, split_order
from dsetkit.report.facts.collect import CategoryFacts, SnapshotFacts
from dsetkit.report.facts.histograms import Histogram
from dsetkit.report.words import KINDS, number, percent, size

SHOWN = 200
"""Categories in the table; of more, those with most annotations."""

_SHOWN_SPLITS = 12
"""Splits that have a column of their own in the table of categories."""


def composition(facts: SnapshotFacts, *, selection: str | None = None) -> Iterator[str]:
    """Headings and tables. ``selection``: the fingerprint of what was counted, where that is not the whole snapshot."""
    splits = sorted(facts.samples_per_split, key=split_order)
    yield _table(("", ""), _totals(facts), right=(1,))
    yield from _splits(facts, splits)
    yield from _categories(facts, splits)
    if selection is None:  # what the whole snapshot turned away is beside the point of a part of it
        yield from _turned_away(facts)
    yield from _pictures(facts)
    yield from _identity(facts, selection)


def _totals(facts: SnapshotFacts) -> Iterator[tuple[str, str]]:
    yield "samples", number(facts.samples)
    for state, text in (("yes", "labelled"), ("partial", "labelled in part"), ("no", "not labelled")):
        yield f"samples {text}", number(facts.labelled.get(state, 0))
    yield "annotations", number(facts.annotations)
    for kind, count in by_count(facts.kinds):
        yield f"annotations: {KINDS.get(kind, kind)}", number(count)
    yield "categories", number(len(facts.categories))
    if facts.imbalance is not None:
        yield "annotations of the largest category for one of the smallest", number(facts.imbalance)
    yield "size of all pictures", size(facts.picture_bytes)


def _splits(facts: SnapshotFacts, splits: Sequence[str]) -> Iterator[str]:
    if splits:
        yield "### Splits"
        counts = [(name, facts.samples_per_split[name]) for name in splits]
        rows = [
            (name, number(count), percent(count, facts.samples), number(facts.annotations_per_split.get(name, 0)))
            for name, count in counts
        ]
        yield _table(("split", "samples", "share", "annotations"), rows, right=(1, 2, 3))


def _categories(facts: SnapshotFacts, splits: Sequence[str]) -> Iterator[str]:
    if not facts.categories:
        return
    yield "### Categories"
    shown: Sequence[CategoryFacts] = facts.categories
    if len(shown) > SHOWN:
        shown = sorted(shown, key=lambda category: -category.annotations)[:SHOWN]
        yield f"The {SHOWN} with most annotations, of {number(len(facts.categories))}."
    splits = splits[:_SHOWN_SPLITS]
    rows = [
        (
            category.name,
            number(category.annotations),
            number(category.samples),
            *(number(category.annotations_per_split.get(split, 0)) for split in splits),
        )
        for category in shown
    ]
    columns = ("category", "annotations", "samples", *(f"annotations in {split}" for split in splits))
    yield _table(columns, rows, right=range(1, len(columns)))


def _turned_away(facts: SnapshotFacts) -> Iterator[str]:
    rows = [
        (reason, what, number(count))
        for what, counts in (("samples", facts.rejected_samples), ("annotations", facts.rejected_annotations))
        for reason, count in sorted(counts.items())
    ]
    if rows:
        yield "### Turned away"
        yield "Each with all it carried and why in `rejected.parquet`; annotations are counted of kept samples alone."
        yield _table(("reason", "what", "how many"), rows, right=(2,))
    changes = sorted(facts.info.counts.per_change.items())
    if changes:
        yield "### Changed"
        yield _table(("", "how many"), [(name, number(count)) for name, count in changes], right=(1,))


def _pictures(facts: SnapshotFacts) -> Iterator[str]:
    if not facts.samples:
        return
    yield "### Pictures"
    rows = [("media type", name, number(count)) for name, count in by_count(facts.media_types)]
    rows += [("mode", name, number(count)) for name, count in by_count(facts.modes)]
    rows += [("shorter side, px", span, number(count)) for span, count in _spans(facts.histograms["short_side_px"])]
    yield _table(("", "", "samples"), rows, right=(2,))
    if facts.channel_mean is not None and facts.channel_std is not None:
        measured = [("all samples", facts.channel_mean, facts.channel_std)]
        trained = facts.info.channel_statistics
        if trained is not None:
            alone = ", without variants" if facts.info.stage == "augmented" else ""
            measured.append((f"split {trained.split}{alone}", trained.mean, trained.std))
        yield "Channels, from 0 to 1; normalise by x' = (x − mean) / std:"
        channels = ("R", "G", "B")
        yield _table(
            ("over", *(f"mean {name}" for name in channels), *(f"std {name}" for name in channels)),
            [(name, *(f"{value:.4f}" for value in (*mean, *std))) for name, mean, std in measured],
            right=range(1, 7),
        )


def _spans(histogram: Histogram) -> Iterator[tuple[str, int]]:
    """Bins that hold something; the outermost hold what lies beyond them too."""
    last = len(histogram.counts) - 1
    for place, count in enumerate(histogram.counts):
        low, high = number(histogram.edges[place]), number(histogram.edges[place + 1])
        text = f"below {high}" if place == 0 else f"from {low}" if place == last else f"{low} to below {high}"
        if count:
            yield text, count


def _identity(facts: SnapshotFacts, selection: str | None) -> Iterator[str]:
    yield "### Identity"
    rows = [] if selection is None else [("what was counted here", selection)]
    rows.append((f"snapshot {facts.info.name}", facts.info.fingerprint))
    rows += [(f"made from {parent.name}", parent.fingerprint) for parent in facts.info.parents]
    if facts.info.schema_ is not None:
        rows.append((f"contract {facts.info.schema_.reference}", facts.info.schema_.digest))
    yield _table(("", "fingerprint: SHA-256 of what it means"), rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A table of Markdown; every cell shows its text as it is."""
    at_right = set(right)
    rule = ["---:" if place in at_right else "---" for place in range(len(columns))]
    lines = [[inline(name) for name in columns], rule, *([inline(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
