"""Values as Labelbox's files have them: checked one by one, since the files follow no schema."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import urlsplit

from dsetkit.formats.notes import shown

LIMIT_PX = 1e9
"""A coordinate beyond this is taken for a fault."""


def text_of(value: Any) -> str:
    """A text, or a number as one; empty for all else."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def dict_of(value: Any) -> dict[str, Any]:
    """An object; an empty one for all else."""
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """A list; an empty one for all else."""
    return value if isinstance(value, list) else []


def number_of(value: Any) -> float | None:
    """A finite number; None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def coordinate(value: Any, what: str) -> float:
    """A coordinate, pixels. Raises ``ValueError`` naming ``what`` for what is none."""
    number = number_of(value)
    if number is None or abs(number) > LIMIT_PX:
        raise ValueError(f"{what} is {shown(value, 40)}, no coordinate")
    return number


def side_of(value: Any) -> int | None:
    """A width or height in pixels; None for what is none."""
    number = number_of(value)
    return int(number) if number is not None and number == int(number) and 0 < number < 2**31 else None


def plain_url(url: str) -> str:
    """A URL without query, fragment and user: what grants access stays out. Empty for what is no URL."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    if not parts.scheme or not parts.netloc or any(ord(letter) < 33 for letter in url):
        return ""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
