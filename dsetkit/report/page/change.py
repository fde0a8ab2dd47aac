"""What changed since the last version, or between any two, with both label sets drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from dsetkit.report.drawing.overlay import Painter
from dsetkit.report.drawing.pictures import MEDIUM, Pictures, Size
from dsetkit.report.page.budget import Purse
from dsetkit.report.page.choice import in_turn, rank_of
from dsetkit.report.page.reading import Shelf, reader_of, rows_by_key
from dsetkit.report.page.tile import Asked, Tile, make_groups
from dsetkit.snapshots.read import Snapshot
from dsetkit.spec.diff import Diff
from dsetkit.spec.diff_text import WORDS, about

if TYPE_CHECKING:
    from dsetkit.history.previous import Previous

NO_EARLIER = "There is no earlier version in this project's cache to compare with."
"""Said where there is nothing to compare with, whatever the reason: the page must not depend on it."""

EXAMPLES = 16
"""Samples shown as they were and as they are."""

_LISTED = 30
_SAMPLE_LISTS = ("added", "removed", "renamed", "reencoded", "split_changed", "changed")
_ANNOTATION_LISTS = ("added", "removed", "moved", "recategorized", "changed")
_SAID = {**WORDS, "changed": "changed otherwise"}
_SAID_OF_ONE = 12
"""Entries of one sample that are put in words."""


@dataclass(frozen=True)
class Change:
    """The version before, and what differs from it."""

    previous: Previous
    diff: Diff


class Sides(NamedTuple):
    """The two snapshots."""

    old: Snapshot
    new: Snapshot


@dataclass(frozen=True)
class ExampleShown:
    """One sample as it was (unless it is new), then as it is (unless it is gone)."""

    key: str
    kinds: tuple[str, ...]
    """What befell it: ``annotations moved``, ``sample re-encoded``, ..."""
    said: tuple[str, ...]
    """What befell each of its annotations and itself, at most ``_SAID_OF_ONE`` lines."""
    tiles: tuple[Tile, ...]

    @property
    def what(self) -> str:
        """The kinds in one line."""
        return ", ".join(self.kinds)

    @property
    def categories(self) -> tuple[str, ...]:
        """Those of its annotations, old and new."""
        return tuple(dict.fromkeys(name for tile in self.tiles for name in tile.categories))


@dataclass(frozen=True)
class ChangeShown:
    """The section, without what it is compared with."""

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
    """Counts, lists, and examples of each kind of change in turn: what changed since the last version."""
    sides = Sides(change.previous.snapshot, dict(shelf.stages())[change.diff.new.name])
    return show_diff(change.diff, sides, pictures, purse)


def show_diff(
    diff: Diff, sides: Sides, pictures: Pictures, purse: Purse, *, limit: int = EXAMPLES, size: Size = MEDIUM
) -> ChangeShown:
    """Counts, lists, and at most ``limit`` samples, of each kind of change in turn those with the lowest rank."""
    befell = _befell(diff)
    examples = _examples(diff, sides, _choose(befell, limit), befell, pictures, purse, size)
    return ChangeShown(
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
    said += [f"{one.name} of params differs." for one in diff.params]
    said += [f"The contract's {one.name} differs." for one in diff.schema_]
    said += [f"{one.path} was {one.change}." for one in diff.files]
    return tuple(said[:_LISTED])


@dataclass
class _Befell:
    """What befell one sample."""

    kinds: dict[str, None] = field(default_factory=dict)
    """In the order in which they are worth seeing."""
    said: list[str] = field(default_factory=list)
    ids: tuple[set[str], set[str]] = field(default_factory=lambda: (set(), set()))
    """The annotations that changed, on the old side and on the new one."""

    def note(self, kind: str, entry: Any) -> None:
        self.kinds[kind] = None
        self.said.append(f"{kind}: {about(entry)}".rstrip(": "))


def _befell(diff: Diff) -> dict[str, _Befell]:
    """Key → what befell it, those first that are best worth seeing."""
    found: dict[str, _Befell] = {}
    for name in ("recategorized", "moved", "added", "removed", "changed"):
        for entry in getattr(diff.annotations, name):
            one = found.setdefault(entry.key, _Befell())
            one.note(f"annotations {_SAID[name]}", entry)
            if name != "added":
                one.ids[0].add(getattr(entry, "old_id", None) or entry.id)
            if name != "removed":
                one.ids[1].add(entry.id)
    for name in ("reencoded", "added", "removed", "split_changed", "renamed", "changed"):
        for entry in getattr(diff.samples, name):
            found.setdefault(entry.key, _Befell()).note(f"sample {_SAID[name]}", entry)
    return found


def _choose(befell: dict[str, _Befell], limit: int) -> list[str]:
    groups: dict[str, list[str]] = {}
    for key, one in befell.items():
        groups.setdefault(next(iter(one.kinds)), []).append(key)
    return in_turn([sorted(keys, key=rank_of) for keys in groups.values()], limit)


def _examples(
    diff: Diff,
    sides: Sides,
    chosen: list[str],
    befell: dict[str, _Befell],
    pictures: Pictures,
    purse: Purse,
    size: Size,
) -> Iterator[ExampleShown]:
    old_key = {entry.key: entry.old_key for entry in diff.samples.renamed}
    added, removed = ({entry.key for entry in entries} for entries in (diff.samples.added, diff.samples.removed))
    old_keys = {key: old_key.get(key, key) for key in chosen if key not in added}
    old_rows = rows_by_key(sides.old, old_keys.values())
    new_rows = rows_by_key(sides.new, [key for key in chosen if key not in removed - added - old_key.keys()])
    painters = Painter(sides.old.categories), Painter(sides.new.categories)
    plan: list[tuple[str, list[Asked]]] = []
    for key in chosen:
        one = befell[key]
        old, new = old_rows.get(old_keys.get(key, "")), new_rows.get(key)
        # Of a sample that stands on one side alone, and of one with another picture, nothing is as it was.
        touched = one.ids if old and new and old.get("digest") == new.get("digest") else (None, None)
        both = []
        if old is not None:
            same = new is not None and old.get("digest") is not None and old.get("digest") == new.get("digest")
            reader = reader_of(sides.new, new) if same and new is not None else reader_of(sides.old, old)
            both.append(Asked(old, reader, painters[0], tag="before", touched=touched[0]))
        if new is not None:
            both.append(Asked(new, reader_of(sides.new, new), painters[1], tag="now", touched=touched[1]))
        if both:
            plan.append((key, both))
    groups = make_groups((both for _, both in plan), pictures, size, purse)
    for (key, _), tiles in zip(plan, groups, strict=False):  # fewer where the purse is empty
        yield ExampleShown(key, tuple(befell[key].kinds), tuple(_cut(befell[key].said)), tuple(tiles))


def _cut(said: Sequence[str]) -> list[str]:
    if len(said) <= _SAID_OF_ONE:
        return list(said)
    return [*said[: _SAID_OF_ONE - 1], f"and {len(said) - _SAID_OF_ONE + 1:,} more"]
