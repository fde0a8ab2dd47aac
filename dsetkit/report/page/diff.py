"""The page of a diff: what differs between any two snapshots, in one file that needs no server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dsetkit.report.drawing.pictures import LARGE, Pictures
from dsetkit.report.page.budget import Purse
from dsetkit.report.page.change import ChangeShown, Sides, show_diff
from dsetkit.report.page.choice import CHOICE
from dsetkit.report.page.gallery import colors_of
from dsetkit.report.page.html import fill_page
from dsetkit.spec.diff import Diff, FieldChange
from dsetkit.spec.diff import Side as Compared
from dsetkit.spec.diff_text import about, value_text
from dsetkit.spec.key import sort_key

SAMPLES = 60
"""Changed samples shown, where nobody asks for more or fewer."""

BUDGET_BYTES = 10_000_000
"""What the pictures and labels of so many samples may add to the page; more in proportion where more are asked for."""

_LISTED = 200
"""Rows of a table of settings."""


@dataclass(frozen=True)
class DiffPage:
    """A page, and how much of the diff it shows."""

    data: bytes
    shown: int
    """Changed samples with both label sets drawn."""
    touched: int
    """All changed samples."""


def build_diff_page(diff: Diff, sides: Sides, *, samples: int = SAMPLES) -> DiffPage:
    """What differs as one HTML file, UTF-8: counts, settings, and samples with both label sets side by side.

    At most ``samples`` changed samples are shown: of each kind of change in turn those with the lowest SHA-256 of
    ``0:<key>``, as far as the budget of bytes goes; the page says how many of how many. The same bytes for the same
    snapshots and diff. The policy, the escaping and the reading of pictures are those of the report's page; it names
    no place of this machine. Raises ``SnapshotError`` or ``StorageError`` where a table of a snapshot cannot be read;
    a picture that cannot be shown is said to be so in its place.
    """
    pictures, purse = Pictures(), Purse(int(BUDGET_BYTES * max(1.0, samples / SAMPLES)))
    shown = show_diff(diff, sides, pictures, purse, limit=samples, size=LARGE)
    change = replace(shown, examples=tuple(sorted(shown.examples, key=lambda one: sort_key(one.key))))
    names = {name for one in change.examples for name in one.categories}
    gone = names - {category.name for category in sides.new.categories}
    colors = colors_of(sides.new.categories, names - gone) | colors_of(sides.old.categories, gone)
    data = fill_page(
        "diff.html.j2",
        title=f"{_named(diff.old)} → {_named(diff.new)}",
        change=change,
        changes={
            "annotations": sum(len(entries) for _, entries in diff.annotations),
            "categories": sum(len(entries) for _, entries in diff.categories),
            "params": len(diff.params),
            "files": len(diff.files),
        },
        ends=(("before", diff.old, sides.old.info.counts), ("now", diff.new, sides.new.info.counts)),
        categories=_categories(diff),
        fields=tuple(_fields(diff)),
        files=tuple(f"{one.path}: {about(one)}" for one in diff.files[:_LISTED]),
        kinds=tuple(dict.fromkeys(kind for one in change.examples for kind in one.kinds)),
        drawn=_drawn(change),
        colors=colors,
        choice=CHOICE,
        limit=samples,
        pictures=pictures,
    )
    return DiffPage(data, len(change.examples), change.touched)


def _named(side: Compared) -> str:
    return f"{side.name} at {side.rev}" if side.rev else side.name


def _categories(diff: Diff) -> tuple[str, ...]:
    """What became of categories, a line each."""
    said = [f"“{one.name}” is new" for one in diff.categories.added]
    said += [f"“{one.name}” is gone" for one in diff.categories.removed]
    said += [f"“{one.name}”: {about(one)}" for one in diff.categories.changed]
    return tuple(said[:_LISTED])


def _fields(diff: Diff) -> list[tuple[str, list[tuple[str, str, str]], int]]:
    """Title, rows (name, old, new) and how many more, of params and of the contract."""

    def rows(changes: Sequence[FieldChange]) -> list[tuple[str, str, str]]:
        return [(one.name, value_text(one.old, 200), value_text(one.new, 200)) for one in changes[:_LISTED]]

    found = (("Params", diff.params), ("Contract", diff.schema_))
    return [(title, rows(changes), max(0, len(changes) - _LISTED)) for title, changes in found if changes]


def _drawn(change: ChangeShown) -> frozenset[str]:
    """The kinds of annotations that the samples shown have."""
    return frozenset(row.kind for one in change.examples for tile in one.tiles for row in tile.labels)
