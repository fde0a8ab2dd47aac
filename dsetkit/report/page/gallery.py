"""Samples of the cleaned snapshot with their labels drawn, and what the colours mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dsetkit.report.drawing.overlay import Painter
from dsetkit.report.drawing.pictures import LARGE, Pictures
from dsetkit.report.page.budget import Purse
from dsetkit.report.page.choice import choose_samples
from dsetkit.report.page.reading import Shelf, reader_of, rows_by_key
from dsetkit.report.page.tile import Asked, Tile, make_tiles
from dsetkit.spec.category import Category


def show_gallery(shelf: Shelf, limit: int, pictures: Pictures, purse: Purse) -> tuple[Tile, ...]:
    """At most ``limit`` samples in key order, the most telling first to be taken."""
    keys = choose_samples(shelf.cleaned, limit)
    rows = rows_by_key(shelf.cleaned, keys)
    painter = Painter(shelf.cleaned.categories)
    asked = (Asked(rows[key], reader_of(shelf.cleaned, rows[key]), painter) for key in keys)
    tiles = make_tiles(asked, pictures, LARGE, purse, look="filtered")
    return tuple(sorted(tiles, key=lambda tile: tile.key.encode()))


def legend(shelf: Shelf, gallery: Sequence[Tile]) -> dict[str, str]:
    """``#rrggbb`` of each category that the gallery shows, in the dataset's order."""
    return colors_of(shelf.cleaned.categories, {name for tile in gallery for name in tile.categories})


def colors_of(categories: Sequence[Category], names: Iterable[str]) -> dict[str, str]:
    """``#rrggbb`` of each name, in the order of the categories; a name that is none of them comes behind."""
    painter = Painter(categories)
    order = {category.name: place for place, category in enumerate(categories)}
    return {name: painter.hex_of(name) for name in sorted(names, key=lambda name: (order.get(name, len(order)), name))}
