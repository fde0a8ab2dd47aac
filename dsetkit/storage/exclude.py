"""Patterns of paths to leave out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from dsetkit.errors import UsageError


def compile_exclude(patterns: Sequence[str]) -> Callable[[str], bool]:
    """A test whether a relative path, of a file or a folder, is to be left out; a folder takes all in it along.

    ``*`` and ``?`` stand for any characters but ``/``, ``[abc]`` and ``[!abc]`` for one, ``**`` as a whole part for any
    number of folders. A pattern without ``/`` is tried on the last part of the path, wherever it is; one with a ``/``
    on the whole path from the root of the source (a leading ``/`` anchors, one at the end changes nothing). Upper and
    lower case differ; both sides are compared in NFC. Raises ``UsageError`` for a pattern that can match nothing.
    """
    if not patterns:
        return lambda path: False
    try:
        whole = re.compile("|".join(_expression(pattern) for pattern in patterns), re.DOTALL)
    except re.error as error:
        raise UsageError(
            f"An exclude pattern cannot be read ({error})", hint="Check the ranges in square brackets: '[a-z]'."
        ) from error

    def excluded(path: str) -> bool:
        return whole.fullmatch(path if path.isascii() else unicodedata.normalize("NFC", path)) is not None

    return excluded


def _expression(pattern: str) -> str:
    parts = unicodedata.normalize("NFC", pattern).rstrip("/").split("/")
    anchored = len(parts) > 1
    if anchored and parts[0] == "":
        parts = parts[1:]
    if any(part in ("", ".", "..") for part in parts):
        raise UsageError(
            f"The exclude pattern {pattern!r} can match nothing",
            hint="Patterns are relative to the source: '*.tmp', 'drafts/**', '/old'.",
        )
    expression = "" if anchored else "(?:[^/]+/)*"
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            expression += ".+" if last else "(?:[^/]+/)*"
        else:
            expression += _part(part) + ("" if last else "/")
    return expression


def _part(part: str) -> str:
    expression = ""
    position = 0
    while position < len(part):
        char = part[position]
        position += 1
        if char == "*":
            expression += "" if expression.endswith("[^/]*") else "[^/]*"
        elif char == "?":
            expression += "[^/]"
        elif (
            char == "["
            and (end := part.find("]", position + 2 if part[position:].startswith("!") else position + 1)) > 0
        ):
            inside = part[position:end]
            negated = inside.startswith("!")
            inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", inside.removeprefix("!"))
            expression += f"(?!/)[{'^' if negated else ''}{inside}]"
            position = end + 1
        else:
            expression += re.escape(char)
    return expression
