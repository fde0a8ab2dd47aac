"""One LabelMe JSON document as text: checked whole by pydantic-core, shape by shape only where something is wrong.

Fields as LabelMe 3 to 6 write them (``labelme/_label_file.py`` of https://github.com/wkentaro/labelme), with those of
X-AnyLabeling's and AnyLabeling's dialect (``score``, ``difficult``, ``attributes``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json
from typing_extensions import TypedDict  # pydantic needs it below Python 3.12

from dsetkit.errors import FormatError
from dsetkit.formats.issues import IssueList
from dsetkit.formats.notes import FileNotes, shown
from dsetkit.formats.text import utf8_json

Coordinate = Annotated[float, Field(allow_inf_nan=False)]
Point = Annotated[list[Coordinate], Field(min_length=2, max_length=2)]
_OLD_FIELDS = ("label", "points", "line_color", "fill_color", "shape_type", "flags")


class RawShape(TypedDict, total=False):
    """One of ``shapes``."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    label: Any
    points: list[Point]
    shape_type: str | None
    mask: str | None
    score: Annotated[float, Field(allow_inf_nan=False)] | None
    group_id: Any
    description: Any
    flags: Any


class RawFile(TypedDict, total=False):
    """The whole document."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    shapes: list[RawShape]
    imagePath: Any
    imageData: Any


class Parsed(NamedTuple):
    """A document; ``shapes`` are those that are what they should be, each with its place in the file."""

    document: dict[str, Any]
    shapes: list[tuple[int, dict[str, Any]]]
    complete: bool
    """False: a shape was left out, with an issue."""


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def parse(data: bytes, file: str, issues: IssueList) -> Parsed | None:
    """The document; None for JSON that is no LabelMe (no list ``shapes``). A shape that is wrong is an issue.

    Raises ``FormatError``, naming line and column, for what is no JSON.
    """
    data = utf8_json(data, file)
    try:
        document: dict[str, Any] = _adapter(RawFile).validate_json(data)
    except ValidationError:
        return _parse_slowly(data, file, issues)
    except (ValueError, RecursionError) as error:
        raise _no_json(file, str(error)) from None
    if "shapes" not in document:
        return None
    return Parsed(document, list(enumerate(document["shapes"])), True)


def _parse_slowly(data: bytes, file: str, issues: IssueList) -> Parsed | None:
    try:
        document = from_json(data)
    except (ValueError, RecursionError) as error:
        raise _no_json(file, str(error)) from None
    if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
        return None
    shapes: list[tuple[int, dict[str, Any]]] = []
    for index, element in enumerate(document["shapes"]):
        if isinstance(element, list):  # LabelMe before 2.9: label, points, line colour, fill colour
            element = dict(zip(_OLD_FIELDS, element, strict=False))
        try:
            shapes.append((index, _adapter(RawShape).validate_python(element)))
        except ValidationError as error:
            fault = max(error.errors(include_url=False, include_context=False), key=lambda item: len(item["loc"]))
            path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault["loc"])
            issues.add(
                "shape-invalid",
                f"{fault['msg']}, not {shown(fault['input'])}; the shape was left out",
                file=file,
                place=f"shapes[{index}]{path}",
                hint="Correct it in the file.",
            )
    return Parsed(document, shapes, len(shapes) == len(document["shapes"]))


def rest_of(raw: dict[str, Any], known: frozenset[str], notes: FileNotes, place: str = "") -> Iterator[tuple[str, Any]]:
    """Fields that are not known and say something, cleaned, by name."""
    for name in sorted(raw.keys() - known):
        value = notes.clean(raw[name], f"{place}.{name}" if place else name)
        if value is not None and value != "" and value != [] and value != {}:
            yield name, value


def _no_json(file: str, said: str) -> FormatError:
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
