"""What a record's flags and its source say of an annotation, reading and writing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dsetkit.formats.open_images.gather import FLAGS

ATTRIBUTES: Mapping[str, str] = {
    "IsOccluded": "occluded",
    "IsTruncated": "truncated",
    "IsDepiction": "is_depiction",
    "IsInside": "is_inside",
}
"""Column of a flag → attribute."""
_BY_PEOPLE = frozenset({"xclick", "freeform", "verification", "crowdsource-verification"})
_BY_MODELS = frozenset({"machine", "activemil"})


def attributes_of(states: Sequence[int]) -> dict[str, bool]:
    """Attributes of flags (in the order of ``FLAGS``): what is unknown (-1) is not said."""
    named = zip(FLAGS, states, strict=True)
    return {ATTRIBUTES[name]: state == 1 for name, state in named if state >= 0 and name in ATTRIBUTES}


def origin_of(source: str, *, machine: bool = False) -> str | None:
    """``human`` for what people drew or verified, ``model`` for what machines made; None for an unknown source."""
    if machine or source in _BY_MODELS:
        return "model"
    return "human" if source in _BY_PEOPLE else None


def extras_of(source: str, is_group_unknown: bool) -> dict[str, Any]:
    """What only Open Images knows: how it was made, and that nobody said whether it is a group."""
    own: dict[str, Any] = {"Source": source} if source else {}
    if is_group_unknown:
        own["IsGroupOf"] = -1
    return {"open_images": own} if own else {}
