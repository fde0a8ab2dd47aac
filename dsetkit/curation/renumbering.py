"""Did categories get other numbers than they had: a model that was trained before would misread what is made now."""

from __future__ import annotations

import json
from collections.abc import Sequence

from dsetkit.curation.nearest import short
from dsetkit.spec.category import Category
from dsetkit.spec.issue import Issue

RENUMBERED = "categories-renumbered"
_EXAMPLES = 3


def renumbered(old: Sequence[Category], new: Sequence[Category]) -> Issue | None:
    """A warning that says what moved and what keeps the numbers; None where ``new`` is ``old`` and what was appended.

    A category that is now called otherwise (``source_ids`` of the new one tell) is the same one; one that is gone must
    leave its number free. Not for a snapshot: whose bytes never depend on what was there before.
    """
    before = [item.name for item in sorted(old, key=lambda item: item.index)]
    after = [item.name for item in sorted(new, key=lambda item: item.index)]
    kept = _kept(before, new)
    if after == kept:
        return None
    changed = [
        f"{number} was {short(name)}, is {short(after[number]) if number < len(after) else 'none'}"
        for number, name in enumerate(kept[: len(before)])
        if name not in after[number : number + 1]
    ]
    more = f"; and {len(changed) - _EXAMPLES} more" if len(changed) > _EXAMPLES else ""
    is_misread = any(name not in kept[number : number + 1] for number, name in enumerate(after[: len(before)]))
    return Issue(
        code=RENUMBERED,
        severity="warning",
        message=f"categories have not kept their numbers of the version before ({'; '.join(changed[:_EXAMPLES])}{more})"
        + (
            ", so a model trained on that one misreads this one"
            if is_misread
            else ", so the next one that is added takes a number that models know for something else"
        ),
        hint="To keep the numbers, put this under clean.categories in params.yaml and run dvc repro: "
        f"names: {json.dumps(kept, ensure_ascii=False)}",
    )


def _kept(before: Sequence[str], new: Sequence[Category]) -> list[str]:
    """The names that are there now, those from before in their places; of one that is gone the old name."""
    names = {item.name for item in new}
    renamed: dict[str, str] = {}
    for item in new:
        if item.name not in before:
            origin = next((name for name in item.source_ids if name in before and name not in names), None)
            if origin is not None:
                renamed.setdefault(origin, item.name)
    kept = [renamed.get(name, name) for name in before]
    return [*kept, *(item.name for item in new if item.name not in kept)]
