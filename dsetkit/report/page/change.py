"""What changed since the last version, with both label sets drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dsetkit.report.drawing.overlay import Painter
from dsetkit.report.drawing.pictures import MEDIUM, Pictures
from dsetkit.report.page.budget import Purse
from dsetkit.report.page.choice import in_turn, rank_of
from dsetkit.report.page.reading import Shelf, reader_of, rows_by_key
from dsetkit.report.page.tile import Asked, Tile, make_groups
from dsetkit.spec.diff import Diff

if TYPE_CHECKING:
    from dsetkit.history.previous import Previous

NO_EARLIER = "There is no earlier version in this project's cache to compare with."
"""Said where there is nothing to compare with, whatever the reason: the page must not depend on it."""

EXAMPLES = 16
"""Samples shown as they were and as they are."""

_LISTED = 30
_SAMPLE_LISTS = ("added", "removed", "renamed", "reencoded", "split_changed", "changed")
_ANNOTATION_LISTS = ("added", "removed", "moved", "recategorized", "changed")
_SAID = {
    "reencoded": "re-encoded",
    "split_changed": "in another split",
    "recategorized": "re-categorised",
    "changed": "changed otherwise",
}


@dataclass(frozen=True)
class Change:
    """The version before, and what differs from it."""

    previous: Previous
    diff: Diff


@dataclass(frozen=True)
class ExampleShown:
    """One sample as it was (unless it is new), then as it is (unless it is gone)."""

    key: str
    what: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class ChangeShown:
    """The section."""

    rev: str
    tags: tuple[str, ...]
    stage: str
    same: bool
    samples: tuple[tuple[str, int], ...]
    annotations: tuple[tuple[str, int], ...]
    categories: tuple[tuple[str, tuple[int, ...]], ...]
    """Name, and how many of its annotations were added, removed, moved, taken from another, given to another."""
    lists: tuple[tuple[str, int, tuple[str, ...]], ...]
    """What befell samples: name, how many, the first of them."""
    others: tuple[str, ...]
    """What else differs, as sentences."""
    examples: tuple[ExampleShown, ...]
    touched: int
    """Samples an example could be made of."""


def show_change(change: Change, shelf: Shelf, pictures: Pictures, purse: Purse) -> ChangeShown:
    """Counts, lists, and examples of each kind of change in turn."""
    diff = change.diff
    befell = _befell(diff)
    chosen = _choose(befell)
    examples = _examples(change, shelf, chosen, befell, pictures, purse)
    return ChangeShown(
        rev=change.previous.rev,
        tags=tuple(change.previous.tags),
        stage=diff.new.name,
        same=not diff,
        samples=_counts(diff, "samples", _SAMPLE_LISTS),
        annotations=_counts(diff, "annotations", _ANNOTATION_LISTS),
        categories=_per_category(diff),
        lists=_lists(diff),
        others=_others(diff),
        examples=tuple(examples),
        touched=len(befell),
    )


def _counts(diff: Diff, group: str, names: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    return tuple((_SAID.get(name, name), len(getattr(getattr(diff, group), name))) for name in names)


def _per_category(diff: Diff) -> tuple[tuple[str, tuple[int, ...]], ...]:
    found: dict[str, Counter[str]] = {}

    def count(name: str | None, what: str) -> None:
        found.setdefault(name or "no category", Counter())[what] += 1

    for what in ("added", "removed", "moved"):
        for entry in getattr(diff.annotations, what):
            count(entry.category, what)
    for entry in diff.annotations.recategorized:
        count(entry.category, "gained")
        count(entry.old_category, "lost")
    columns = ("added", "removed", "moved", "gained", "lost")
    return tuple((name, tuple(found[name][what] for what in columns)) for name in sorted(found))


def _lists(diff: Diff) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
    lists = []
    for name in _SAMPLE_LISTS:
        entries = getattr(diff.samples, name)
        texts = []
        for entry in entries[:_LISTED]:
            text = entry.key
            if name == "renamed":
                text = f"{entry.old_key} → {entry.key}"
            elif name == "split_changed":
                text = f"{entry.key}: {entry.old_split or 'none'} → {entry.split or 'none'}"
            texts.append(text)
        if entries:
            lists.append((_SAID.get(name, name), len(entries), tuple(texts)))
    return tuple(lists)


def _others(diff: Diff) -> tuple[str, ...]:
    said = [f"Category “{one.name}” is new." for one in diff.categories.added]
    said += [f"Category “{one.name}” is gone." for one in diff.categories.removed]
    said += [f"Category “{one.name}” changed." for one in diff.categories.changed]
    said += [f"{field.name} of params differs." for field in diff.params]
    said += [f"The contract's {field.name} differs." for field in diff.schema_]
    return tuple(said[:_LISTED])


def _befell(diff: Diff) -> dict[str, dict[str, None]]:
    """Key → what befell it, in the order in which it is worth seeing."""
    found: dict[str, dict[str, None]] = {}
    for name in ("recategorized", "moved", "added", "removed", "changed"):
        for entry in getattr(diff.annotations, name):
            found.setdefault(entry.key, {})[f"annotations {_SAID.get(name, name)}"] = None
    for name in ("reencoded", "added", "removed", "split_changed"):
        for entry in getattr(diff.samples, name):
            found.setdefault(entry.key, {})[f"sample {_SAID.get(name, name)}"] = None
    return found


def _choose(befell: dict[str, dict[str, None]]) -> list[str]:
    groups: dict[str, list[str]] = {}
    for key, whats in befell.items():
        groups.setdefault(next(iter(whats)), []).append(key)
    return in_turn([sorted(keys, key=rank_of) for keys in groups.values()], EXAMPLES)


def _examples(
    change: Change,
    shelf: Shelf,
    chosen: list[str],
    befell: dict[str, dict[str, None]],
    pictures: Pictures,
    purse: Purse,
) -> Iterator[ExampleShown]:
    old_key = {entry.key: entry.old_key for entry in change.diff.samples.renamed}
    before, now = change.previous.snapshot, dict(shelf.stages())[change.diff.new.name]
    old_rows = rows_by_key(before, [old_key.get(key, key) for key in chosen])
    new_rows = rows_by_key(now, chosen)
    old_painter, new_painter = Painter(before.categories), Painter(now.categories)
    plan: list[tuple[str, list[Asked]]] = []
    for key in chosen:
        old, new = old_rows.get(old_key.get(key, key)), new_rows.get(key)
        both = [] if old is None else [Asked(old, reader_of(before, old), old_painter, tag="before")]
        if new is not None:
            both.append(Asked(new, reader_of(now, new), new_painter, tag="now"))
        if both:
            plan.append((key, both))
    groups = make_groups((both for _, both in plan), pictures, MEDIUM, purse)
    for (key, _), tiles in zip(plan, groups, strict=False):  # fewer where the purse is empty
        yield ExampleShown(key, ", ".join(befell[key]), tuple(tiles))
