"""JSON label files as text: checked by pydantic-core, and what is wrong with them in words."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from dsetkit.errors import FormatError


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    """The checker of a type, made once."""
    return TypeAdapter(kind)


def no_json(file: str, said: str) -> FormatError:
    """The error for a file that is no JSON; ``said`` is what the parser says, from which line and column are taken."""
    at = re.search(r"line (\d+) column (\d+)", said)
    place = f"line {at[1]} column {at[2]}" if at else None
    reason = said.split(" at line ")[0].strip()
    where = f" ({place})" if place else ""
    return FormatError(
        f"{file} is no JSON: {reason}{where}",
        file=file,
        place=place,
        hint="The file may be cut off; get it again or correct it there.",
    )


def deepest_fault(error: ValidationError) -> tuple[str, Any, str]:
    """Of several faults the one deepest down: what is wrong, the value, and its place (``.points[3]``)."""
    fault = max(error.errors(include_url=False, include_context=False), key=lambda item: len(item["loc"]))
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"])
    return fault["msg"], fault["input"], path
