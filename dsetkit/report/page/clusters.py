"""Clusters of duplicates, side by side with the labels of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dsetkit.curation.duplicates import EXACT, LABELS_DIFFER, NEAR
from dsetkit.report.drawing.pictures import MEDIUM, Pictures
from dsetkit.report.page.budget import Purse
from dsetkit.report.page.choice import in_turn, rank_of
from dsetkit.report.page.reading import Shelf, Turned, reader_of, rows_by_key, turned_away, turned_rows, union
from dsetkit.report.page.rejected import rejected_asked
from dsetkit.report.page.tile import Asked, Tile, make_groups

MOST_MEMBERS = 8
"""Members of one cluster that are shown."""

_MEANING = {
    LABELS_DIFFER: "the same bytes, but other labels: all were turned away until somebody decides",
    NEAR: "looks alike",
    EXACT: "the same bytes",
}


@dataclass(frozen=True)
class ClusterShown:
    """Samples that are the same picture, the one that is kept first."""

    reason: str
    """The gravest of its members' reasons."""
    meaning: str
    tiles: tuple[Tile, ...]
    members: int
    labels: str
    """What differs between the labels of its members."""


@dataclass(frozen=True)
class ClustersShown:
    """The section."""

    clusters: tuple[ClusterShown, ...]
    total: int


def show_clusters(shelf: Shelf, limit: int, pictures: Pictures, purse: Purse) -> ClustersShown:
    """At most ``limit`` clusters, of each reason in turn those with the lowest rank."""
    turned = [row for row in turned_away(shelf.cleaned) if row.what == "sample"]
    by_key = {row.key: row for row in turned}
    found = union([(row.key, row.duplicate_of) for row in turned if row.duplicate_of])
    per_reason: dict[str, list[list[str]]] = {reason: [] for reason in _MEANING}
    for cluster in found:
        reasons = {by_key[key].reason for key in cluster if key in by_key}
        per_reason[next((one for one in _MEANING if one in reasons), EXACT)].append(cluster)
    ranked = [sorted(clusters, key=lambda cluster: rank_of(cluster[0])) for clusters in per_reason.values()]
    reason_of = {cluster[0]: reason for reason, clusters in per_reason.items() for cluster in clusters}
    chosen = [_kept_first(cluster, by_key) for cluster in in_turn(ranked, limit)]
    some = [cluster[:MOST_MEMBERS] for cluster in chosen]
    asked = {item.row["key"]: item for item in _asked(shelf, [key for keys in some for key in keys], by_key)}
    shown = []
    groups = make_groups(([asked[key] for key in keys] for keys in some), pictures, MEDIUM, purse)
    for cluster, tiles in zip(chosen, groups, strict=False):  # fewer where the purse is empty
        reason = reason_of[min(cluster, key=lambda key: key.encode())]
        shown.append(ClusterShown(reason, _MEANING[reason], tuple(tiles), len(cluster), _compare(tiles)))
    return ClustersShown(tuple(shown), len(found))


def _kept_first(cluster: list[str], by_key: dict[str, Turned]) -> list[str]:
    return sorted(cluster, key=lambda key: (key in by_key, key.encode()))


def _asked(shelf: Shelf, keys: list[str], by_key: dict[str, Turned]) -> Iterator[Asked]:
    painters = shelf.painters()
    kept = rows_by_key(shelf.cleaned, [key for key in keys if key not in by_key])
    rows = turned_rows(shelf.cleaned, [by_key[key].at for key in keys if key in by_key])
    for key in keys:
        if key in kept:
            yield Asked(kept[key], reader_of(shelf.cleaned, kept[key]), painters["cleaned"], tag="kept")
        elif key in by_key:
            row = rows[by_key[key].at]
            yield rejected_asked(shelf, "cleaned", shelf.cleaned, row, painters["cleaned"], tag="turned away")
        else:
            yield Asked({"key": key}, lambda: b"", painters["cleaned"], tag="gone")


def _compare(tiles: Sequence[Tile]) -> str:
    """What the label sets have and have not in common."""
    sets = [Counter((row.name, row.kind, row.where, row.facts) for row in tile.labels) for tile in tiles]
    if all(one == sets[0] for one in sets):
        return "the same labels on each" if sets and sets[0] else "no labels on any"
    counts = [Counter(row.name or row.kind for row in tile.labels) for tile in tiles]
    if all(count == counts[0] for count in counts):
        return "as many labels of each category, but not quite the same"
    names = sorted({name for count in counts for name in count})
    parts = [
        f"{name} {' against '.join(str(count[name]) for count in counts)}"
        for name in names
        if len({count[name] for count in counts}) > 1
    ]
    return f"labels differ: {', '.join(parts[:8])}{' …' if len(parts) > 8 else ''}"
