"""One LabelMe JSON document as text: checked whole by pydantic-core, shape by shape only where something is wrong.

Fields as LabelMe 3 to 6 write them (``labelme/_label_file.py`` of https://github.com/wkentaro/labelme), with those of
X-AnyLabeling's and AnyLabeling's dialect (``score``, ``difficult``, ``attributes``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, ValidationError
from pydantic_core import from_json
from typing_extensions import TypedDict  # pydantic needs it below Python 3.12

from dsetkit.formats.issues import IssueList
from dsetkit.formats.json_text import adapter, deepest_fault, no_json
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


def parse(data: bytes, file: str, issues: IssueList) -> Parsed | None:
    """The document; None for JSON that is no LabelMe (no list ``shapes``). A shape that is wrong is an issue.

    Raises ``FormatError``, naming line and column, for what is no JSON.
    """
    data = utf8_json(data, file)
    try:
        document: dict[str, Any] = adapter(RawFile).validate_json(data)
    except ValidationError:
        return _parse_slowly(data, file, issues)
    except (ValueError, RecursionError) as error:
        raise no_json(file, str(error)) from None
    if "shapes" not in document:
        return None
    return Parsed(document, list(enumerate(document["shapes"])), True)


def _parse_slowly(data: bytes, file: str, issues: IssueList) -> Parsed | None:
    try:
        document = from_json(data)
    except (ValueError, RecursionError) as error:
        raise no_json(file, str(error)) from None
    if not isinstance(document, dict) or not isinstance(document.get("shapes"), list):
        return None
    shapes: list[tuple[int, dict[str, Any]]] = []
    for index, element in enumerate(document["shapes"]):
        if isinstance(element, list):  # LabelMe before 2.9: label, points, line colour, fill colour
            element = dict(zip(_OLD_FIELDS, element, strict=False))
        try:
            shapes.append((index, adapter(RawShape).validate_python(element)))
        except ValidationError as error:
            said, value, path = deepest_fault(error)
            issues.add(
                "shape-invalid",
                f"{said}, not {shown(value)}; the shape was left out",
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
