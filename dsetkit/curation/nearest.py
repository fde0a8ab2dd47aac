"""The known name that somebody may have meant."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable, Sequence

_SHOWN = 80


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name most like ``name``, upper and lower case alike; none where nothing is like it."""
    folded: dict[str, str] = {}
    for item in known:
        folded.setdefault(item.casefold(), item)
    found = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.7)
    return folded[found[0]] if found else None


def suggest(name: str, known: Iterable[str]) -> str:
    """``"; the nearest is 'WBC'"``, or nothing; more text or a full stop may follow."""
    near = nearest_name(name, known)
    return "" if near is None else f"; the nearest is {near!r}"


def list_names(names: Sequence[str], at_most: int = 8) -> str:
    """``'a', 'b', 'c'``; of many the first few and how many more."""
    shown = ", ".join(short(name) for name in names[:at_most])
    return shown if len(names) <= at_most else f"{shown} and {len(names) - at_most} more"


def short(value: object) -> str:
    """``repr`` of a value from outside, cut where it is long, deep or strange: safe to print and never huge."""
    if not isinstance(value, str | bool | int | float | list | tuple | dict | None.__class__):
        return f"a {type(value).__name__}"
    try:
        text = repr(value) if isinstance(value, str) and len(value) < _SHOWN else _REPR.repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        return f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN + 2 else text[: _SHOWN - 1] + "…"


_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxstring, _REPR.maxother = 3, _SHOWN, _SHOWN
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = 8
