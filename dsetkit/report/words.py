"""Numbers and labels as people read them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from dsetkit.spec.annotation import is_outside
from dsetkit.spec.arrow import Row

KINDS = {
    "box": "boxes",
    "rotated_box": "rotated boxes",
    "polygon": "polygons",
    "mask": "masks",
    "polyline": "polylines",
    "points": "points",
    "keypoints": "keypoints",
    "ellipse": "ellipses",
    "image_label": "image labels",
    "caption": "captions",
}
"""Kinds of annotations, many of each."""


_UNSEEN = ("fill", "fill_color", "seed")


def number(value: float) -> str:
    """``12,345``; a fraction with four digits that count."""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def percent(part: float, whole: float) -> str:
    """``4.2 %``, never ``0 %`` or ``100 %`` for what is not none and not all."""
    if not whole:
        return "0 %"
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "< 0.1 %"
    if 99.9 < share < 100:
        return "> 99.9 %"
    return f"{share:.1f} %" if share < 10 or (share > 90 and share != 100) else f"{share:.0f} %"


def counted(count: int, one: str, many: str | None = None) -> str:
    """``1 sample``, ``2 samples``, ``2 categories``."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"


def size(count_bytes: int) -> str:
    """``1.4 GB``, in powers of 1000."""
    value, units = float(count_bytes), ("B", "kB", "MB", "GB", "TB", "PB")
    place = 0
    while value >= 999.5 and place < len(units) - 1:
        value, place = value / 1000, place + 1
    return f"{value:.0f} {units[place]}" if place == 0 or value >= 99.5 else f"{value:.1f} {units[place]}"


def in_split_order(names: Iterable[str]) -> list[str]:
    """Splits as people list them: train, val, test, others by name, and ``none`` last."""
    known = ("train", "training", "val", "valid", "validation", "test")
    return sorted(names, key=lambda name: (name == "none", known.index(name) if name in known else len(known), name))


def shorten(text: str, letters: int) -> str:
    """The text, cut off with an ellipsis where it is longer."""
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def label_name(annotation: Row) -> str:
    """The category or categories of an annotation; empty for none."""
    return ", ".join(annotation.get("categories") or filter(None, [annotation.get("category")]))


def label_facts(annotation: Row) -> str:
    """What else an annotation says: text, score, flags, status, attributes, findings."""
    facts: list[str] = ["not in this frame"] if is_outside(annotation) else []
    if annotation.get("text"):
        facts.append(f"“{shorten(annotation['text'], 200)}”")
    if annotation.get("score") is not None:
        facts.append(f"score {annotation['score']:.3g}")
    facts += [name for flag, name in (("is_crowd", "crowd"), ("is_ignored", "ignored")) if annotation.get(flag)]
    if annotation.get("status", "accepted") != "accepted":
        facts.append(annotation["status"])
    hidden = sum(point.get("visibility", 2) == 1 for point in annotation.get("keypoints") or ())
    if annotation.get("keypoints"):
        shown = sum(point.get("visibility", 2) > 0 for point in annotation["keypoints"])
        facts.append(f"{counted(shown, 'point')}{f', {hidden} hidden' if hidden else ''}")
    attributes = sorted((annotation.get("attributes") or {}).items())
    facts += [name if value is True else f"{name} {_value(value)}" for name, value in attributes if _says(value)]
    facts += [finding["code"] for finding in annotation.get("issues") or ()]
    return shorten("; ".join(facts), 400)


def recipe_steps(recipe: Row) -> list[str]:
    """Each step of a recipe with the values that were drawn: ``rotate: angle_deg -3.21``.

    How the rest was filled, seeds and the encoding are left out: they say nothing of what one sees.
    """
    steps = []
    for step in recipe.get("steps") or ():
        if step["op"] == "encode":
            continue
        values = {name: value for name, value in (step.get("values") or {}).items() if name not in _UNSEEN}
        drawn = ", ".join(f"{name} {_value(value)}" for name, value in values.items())
        steps.append(step["op"].replace("_", " ") + (f": {drawn}" if drawn else ""))
    return steps


def _says(value: Any) -> bool:
    """Whether an attribute says anything; that a thing is not so, or not known, goes without saying."""
    return value is not None and value is not False and value != "" and value != "Unspecified"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return shorten(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True), 60)
