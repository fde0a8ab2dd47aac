"""What was turned away, as thumbnails grouped by reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from dsetkit.report.drawing.overlay import Painter
from dsetkit.report.drawing.pictures import SMALL, Pictures
from dsetkit.report.page.budget import Purse
from dsetkit.report.page.choice import in_turn, rank_of
from dsetkit.report.page.reading import Shelf, reader_of, turned_away, turned_rows
from dsetkit.report.page.tile import Asked, Tile, make_tiles
from dsetkit.snapshots.read import Snapshot
from dsetkit.spec.arrow import Row

_Group = tuple[str, str, str]
"""Stage, what, reason."""


@dataclass(frozen=True)
class ReasonShown:
    """All that one stage turned away for one reason."""

    stage: str
    what: str
    """``sample`` or ``annotation``."""
    reason: str
    count: int
    """Samples, or annotations, turned away."""
    pictures: int
    """Samples these are of: the tiles there could be."""
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class RejectedShown:
    """The section: reasons in the order of the stages, whole samples first."""

    reasons: tuple[ReasonShown, ...]
    shown: int
    total: int
    """Tiles there could be."""


class _Entry:
    """One tile to be: a sample, or one sample's annotations that were turned away for one reason."""

    def __init__(self, group: _Group, key: str) -> None:
        self.group = group
        self.key = key
        self.places: list[int] = []


def show_rejected(shelf: Shelf, limit: int, pictures: Pictures, purse: Purse) -> RejectedShown:
    """Tiles of at most ``limit`` samples, of each reason in turn those with the lowest rank."""
    groups: dict[_Group, dict[str, _Entry]] = {}
    for stage, snapshot in shelf.stages():
        for row in turned_away(snapshot):
            group = (stage, row.what, row.reason)
            groups.setdefault(group, {}).setdefault(row.key, _Entry(group, row.key)).places.append(row.at)
    stages = {stage: place for place, (stage, _) in enumerate(shelf.stages())}
    order = sorted(groups, key=lambda group: (group[1] != "sample", stages[group[0]], group[2]))
    ranked = [sorted(groups[group].values(), key=lambda entry: rank_of(entry.key)) for group in order]
    chosen = in_turn(ranked, limit)
    made: dict[_Group, dict[str, Tile]] = {}
    tiles = make_tiles(_asked(shelf, chosen), pictures, SMALL, purse, look="small")
    for entry, tile in zip(chosen, tiles, strict=False):
        made.setdefault(entry.group, {})[entry.key] = tile
    reasons = tuple(
        ReasonShown(
            *group,
            count=sum(len(entry.places) for entry in groups[group].values()),
            pictures=len(groups[group]),
            tiles=tuple(made.get(group, {})[key] for key in sorted(made.get(group, {}))),
        )
        for group in order
    )
    return RejectedShown(reasons, sum(len(one.tiles) for one in reasons), sum(one.pictures for one in reasons))


def rejected_asked(shelf: Shelf, stage: str, snapshot: Snapshot, row: Row, painter: Painter, tag: str = "") -> Asked:
    """A rejected row as a tile to be: with the picture that raw keeps of it."""
    key = row["key"]
    if stage == "cleaned":
        read: Callable[[], bytes] = partial(shelf.read_raw, key)
    elif row.get("digest") is None and key in snapshot:  # annotations of a variant: the row has no picture of its own
        kept = snapshot.row(key)
        row = {**{name: kept[name] for name in ("digest", "width_px", "height_px") if name in kept}, **row}
        read = reader_of(snapshot, kept)
    else:
        read = reader_of(snapshot, row)
    facts = [("reason", row["reason"])]
    if row.get("duplicate_of"):
        facts.append(("duplicate of", row["duplicate_of"]))
    facts.append(("turned away by", {"cleaned": "clean", "augmented": "augment"}.get(stage, "ingest")))
    return Asked(row, read, painter, tag=tag, note=row.get("message", ""), facts=tuple(facts))


def _asked(shelf: Shelf, chosen: list[_Entry]) -> Iterator[Asked]:
    painters = shelf.painters()
    rows: dict[str, Mapping[int, Row]] = {}
    for stage, snapshot in shelf.stages():
        rows[stage] = turned_rows(snapshot, [at for entry in chosen if entry.group[0] == stage for at in entry.places])
    snapshots = dict(shelf.stages())
    for entry in chosen:
        stage = entry.group[0]
        parts = [rows[stage][at] for at in entry.places]
        row = dict(parts[0])
        if len(parts) > 1:
            row["annotations"] = [item for part in parts for item in part.get("annotations") or ()]
            row["message"] = "; ".join(dict.fromkeys(part.get("message", "") for part in parts))
        yield rejected_asked(shelf, stage, snapshots[stage], row, painters[stage])
