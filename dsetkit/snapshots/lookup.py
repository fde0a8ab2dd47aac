"""A sample's key by a part of it, and keys near a text that is none."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from dsetkit.errors import NotFoundError

_MAX_NEAR = 1000
"""Keys that are held to look for near ones among."""


def find_key(keys: Iterable[str], text: str, snapshot: str) -> str:
    """The only key that ends in ``/<text>``, or in the rest of it within its source; ``keys`` are gone through once.

    ``snapshot`` is its name, for messages. Raises ``NotFoundError`` where there is none (its hint names near ones) or
    more than one.
    """
    found: list[str] = []
    near: list[str] = []
    first = None
    source, slash, rest = text.partition("/")
    name = text.rpartition("/")[2].rpartition(".")[0].casefold() or text.casefold()
    for key in keys:
        first = key if first is None else first
        if key.endswith(f"/{text}") or (slash and key.startswith(f"{source}/") and key.endswith(f"/{rest}")):
            found.append(key)
        elif len(near) < _MAX_NEAR and name in key.casefold():
            near.append(key)
    if len(found) == 1:
        return found[0]
    if found:
        hint = f"Say which: {', '.join(map(repr, found[:3]))}{' and others' if len(found) > 3 else ''}."
        raise NotFoundError(f"{len(found)} samples of {snapshot} end in {text!r}", name=text, hint=hint)
    close = get_close_matches(text, near, 3, 0.5)
    if close:
        hint = f"Near it: {', '.join(map(repr, close))}."
    else:
        hint = "It holds no sample at all." if first is None else f"Its keys look like {first!r}."
    raise NotFoundError(f"{snapshot} has no sample {text!r}", name=text, hint=hint)
