"""A colour a category: distinct from its neighbours, readable on a picture, the same in every run."""

from __future__ import annotations

import colorsys
import re
import zlib
from collections.abc import Sequence

from dsetkit.spec.category import Category

Color = tuple[int, int, int]

_FIRST: tuple[Color, ...] = (
    # Far apart from each other, bright enough to stand out from what is photographed.
    (230, 30, 50),
    (0, 160, 255),
    (255, 205, 0),
    (0, 190, 120),
    (225, 80, 220),
    (255, 105, 0),
    (130, 230, 255),
    (250, 245, 60),
    (150, 90, 255),
    (130, 215, 0),
    (255, 150, 170),
    (150, 90, 40),
)
NEUTRAL: Color = (200, 200, 200)
"""Of an annotation without a category."""

_HEX = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
_GOLDEN = 0.6180339887498949  # a step round the hues that never comes near an earlier one soon


def category_colors(categories: Sequence[Category]) -> dict[str, Color]:
    """R, G, B (0 to 255) of each category by name: its own ``color`` where it has one, else one by its ``index``."""
    return {category.name: _own(category.color) or color_at(category.index) for category in categories}


def color_at(index: int) -> Color:
    """The colour of place ``index``: of a fixed list first, then round the hues in steps of the golden section."""
    if 0 <= index < len(_FIRST):
        return _FIRST[index]
    value = (1.0, 0.75, 0.9)[index % 3]
    red, green, blue = colorsys.hsv_to_rgb(index * _GOLDEN % 1.0, (0.85, 0.6)[index % 2], value)
    return round(red * 255), round(green * 255), round(blue * 255)


def color_of_name(name: str) -> Color:
    """The colour of a category that is in no list: by a checksum of its name."""
    return color_at(zlib.crc32(name.encode("utf-8", "surrogatepass")) % 997)


def text_color(background: Color) -> Color:
    """Black or white, whichever is read better on a colour (ITU-R BT.601 luma)."""
    red, green, blue = background
    return (0, 0, 0) if 299 * red + 587 * green + 114 * blue > 127_500 else (255, 255, 255)


def _own(color: str | None) -> Color | None:
    match = _HEX.fullmatch(color or "")
    if match is None:
        return None
    red, green, blue = (int(part, 16) for part in match.groups())
    return red, green, blue
