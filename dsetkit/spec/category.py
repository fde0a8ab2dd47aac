"""Categories: ordered, append-only."""

from __future__ import annotations

import re

from pydantic import Field, JsonValue

from dsetkit.spec.annotation import Int32
from dsetkit.spec.base import Document


class AttributeDefinition(Document):
    """An attribute that annotations of a category may carry."""

    name: str
    type: str = "text"
    """``text``, ``number``, ``checkbox``, ``select`` or ``radio``, as label tools call them."""
    values: tuple[str, ...] = ()
    default: JsonValue = None
    mutable: bool = False


class Category(Document):
    """One thing annotations can be about. Adding one never renumbers the others."""

    name: str = Field(min_length=1)
    index: Int32 = Field(ge=0)
    """Its place in the dataset's list, from 0."""
    source_ids: tuple[str, ...] = ()
    """What sources called or numbered it."""
    supercategory: str | None = None
    is_thing: bool | None = None
    color: str | None = None
    """``#rrggbb``."""
    guideline: str | None = None
    """How annotators are told to label it."""
    keypoint_names: tuple[str, ...] = ()
    skeleton: tuple[tuple[Int32, Int32], ...] = ()
    """Pairs of 0-based indices into ``keypoint_names`` that are joined by a line."""
    flip_pairs: tuple[tuple[Int32, Int32], ...] = ()
    """Pairs of 0-based indices into ``keypoint_names`` that change places in a mirror."""
    attributes: tuple[AttributeDefinition, ...] = ()


def mirrored_pairs(keypoint_names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Pairs of indices of keypoints that change places in a mirror, told from ``left`` and ``right`` in their names."""
    places = {name: place for place, name in enumerate(keypoint_names)}
    pairs = []
    for name, place in places.items():
        twin = _SIDES.sub(lambda side: _OTHER_SIDE[side.group().lower()], name.lower())
        other = next((where for known, where in places.items() if known.lower() == twin), None)
        if other is not None and place < other:
            pairs.append((place, other))
    return tuple(pairs)


_SIDES = re.compile(r"(?<![a-z])(?:left|right|l|r)(?![a-z])|^(?:left|right)|(?:left|right)$", re.IGNORECASE)
_OTHER_SIDE = {"left": "right", "right": "left", "l": "r", "r": "l"}


def merge_categories(*lists: tuple[Category, ...] | list[Category]) -> tuple[Category, ...]:
    """One list of all categories by name, in order of first appearance, indices given anew from 0.

    A category met again adds its ``source_ids`` and fills fields that were still at their defaults.
    """
    merged: dict[str, Category] = {}
    for category in (item for items in lists for item in items):
        known = merged.get(category.name)
        if known is None:
            merged[category.name] = category.model_copy(update={"index": len(merged)})
            continue
        update: dict[str, object] = {
            name: value for name, value in category.to_row().items() if name != "index" and name not in known.to_row()
        }
        update = {name: getattr(category, name) for name in update}
        update["source_ids"] = tuple(dict.fromkeys((*known.source_ids, *category.source_ids)))
        merged[category.name] = known.model_copy(update=update)
    return tuple(merged.values())
