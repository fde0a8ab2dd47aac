"""What augmentation made of samples: the original beside its variants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.compute as pc

from dsetkit.report.drawing.overlay import Painter
from dsetkit.report.drawing.pictures import MEDIUM, Pictures
from dsetkit.report.page.budget import Purse
from dsetkit.report.page.choice import Candidate, in_turn, rank_of, spread
from dsetkit.report.page.reading import Shelf, reader_of, rows_by_key
from dsetkit.report.page.tile import Asked, Tile, make_groups
from dsetkit.report.words import recipe_steps
from dsetkit.snapshots.read import Snapshot

MOST_VARIANTS = 5
"""Variants of one sample that are shown."""

_COLUMNS = ("key", "derived_from", "recipe.name", "recipe.variant")


@dataclass(frozen=True)
class FamilyShown:
    """One sample and what was made of it."""

    original: Tile
    variants: tuple[Tile, ...]
    total: int
    """Variants there are of it."""


@dataclass(frozen=True)
class VariantsShown:
    """The section."""

    families: tuple[FamilyShown, ...]
    parents: int
    """Samples that have variants."""


def show_variants(shelf: Shelf, limit: int, pictures: Pictures, purse: Purse) -> VariantsShown:
    """At most ``limit`` samples that variants were made of, spread over recipes."""
    if shelf.augmented is None:
        return VariantsShown((), 0)
    chosen, parents = _choose(shelf.augmented, limit)
    families = _families(shelf.augmented, chosen)
    some = [[parent, *_some(families[parent])] for parent in chosen]
    asked = {item.row["key"]: item for item in _asked(shelf.augmented, [key for keys in some for key in keys])}
    shown = []
    groups = make_groups(([asked[key] for key in keys] for keys in some), pictures, MEDIUM, purse)
    for parent, (original, *made) in zip(chosen, groups, strict=False):  # fewer where the purse is empty
        total = sum(len(keys) for keys in families[parent].values())
        shown.append(FamilyShown(original, tuple(made), total))
    return VariantsShown(tuple(sorted(shown, key=lambda family: family.original.key.encode())), parents)


def _made(snapshot: Snapshot) -> Iterator[tuple[str, str, str, int]]:
    """Key, parent, recipe and number of each variant."""
    for table in snapshot.iter_tables(_COLUMNS):
        table = table.filter(pc.greater(pc.list_value_length(table["derived_from"]), 0))
        columns = (table[name].to_pylist() for name in ("key", "derived_from", "recipe"))
        for key, parents, recipe in zip(*columns, strict=True):
            if parents and recipe:
                yield key, parents[0], recipe["name"], recipe["variant"] or 0


def _choose(snapshot: Snapshot, limit: int) -> tuple[list[str], int]:
    """Parents to show, and how many there are."""
    recipes = {recipe for _, _, recipe, _ in _made(snapshot)}
    firsts = ((parent, recipe) for _, parent, recipe, number in _made(snapshot) if number == 0)
    candidates = (Candidate(rank_of(parent), parent, (recipe,)) for parent, recipe in firsts)
    return spread(candidates, limit, len(recipes)), len({parent for _, parent, _, _ in _made(snapshot)})


def _families(snapshot: Snapshot, parents: list[str]) -> dict[str, dict[str, list[str]]]:
    """Parent → recipe → keys of its variants."""
    found: dict[str, dict[str, list[str]]] = {parent: {} for parent in parents}
    for key, parent, recipe, _ in _made(snapshot):
        if parent in found:
            found[parent].setdefault(recipe, []).append(key)
    return found


def _some(per_recipe: dict[str, list[str]]) -> list[str]:
    return in_turn([per_recipe[recipe] for recipe in sorted(per_recipe)], MOST_VARIANTS)


def _asked(snapshot: Snapshot, keys: list[str]) -> Iterator[Asked]:
    painter = Painter(snapshot.categories)
    rows = rows_by_key(snapshot, keys)
    for key in keys:
        row = rows.get(key, {"key": key})
        recipe = row.get("recipe") if row.get("derived_from") else None
        facts = () if recipe is None else tuple(("step", step) for step in recipe_steps(recipe))
        tag = "original" if recipe is None else f"{recipe['name']} {recipe.get('variant', 0)}"
        note = "" if recipe is None else " · ".join(recipe_steps(recipe))
        yield Asked(row, reader_of(snapshot, row), painter, tag=tag, note=note, facts=facts)
