"""What is asked of a single result as it stands in a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsetkit.formats.label_studio.shapes import base_of
from dsetkit.spec.arrow import Row

ANSWERS = ("choices", "taxonomy", "textarea", "rating", "number", "datetime", "pairwise", "ranker")
"""Types of results that say something of a picture, or of a region with the same id."""


def labels_of(raw: Row) -> list[str]:
    """The labels that a result gives."""
    value = raw.get("value")
    if not isinstance(value, dict) or not (raw["type"].endswith("labels") or base_of(raw["type"], value)):
        return []
    given = value.get(raw["type"] if raw["type"].endswith("labels") else f"{raw['type']}labels", value.get("labels"))
    return [label for label in given if isinstance(label, str) and label] if isinstance(given, list) else []


def geometry_of(raw: Row) -> Row:
    """What of a result says where: its value without labels and texts."""
    value = raw.get("value")
    named = value.items() if isinstance(value, dict) else ()
    return {name: item for name, item in named if not name.endswith("labels") and name not in ("text", *ANSWERS)}


def listed(value: Any) -> list[Any]:
    """A list as it is, nothing as none, anything else as a list of one."""
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def size_of(raw: Mapping[str, Any]) -> tuple[int, int] | None:
    """Width and height that a result declares."""
    sides = [raw.get("original_width"), raw.get("original_height")]
    whole = [int(side) for side in sides if isinstance(side, int | float) and 1 <= side < 2**31 and not side % 1]
    return (whole[0], whole[1]) if len(whole) == 2 else None


def declared_size(raw: Any) -> tuple[int, int] | None:
    """As ``size_of``, of anything."""
    return size_of(raw) if isinstance(raw, dict) else None
