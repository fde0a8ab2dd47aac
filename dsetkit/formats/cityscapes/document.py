"""One ``*_polygons.json``: parsed whole by pydantic-core, object by object only where something is wrong.

Fields as ``CsPoly`` of ``cityscapesscripts/helpers/annotation.py`` reads and writes them.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, ValidationError
from pydantic_core import from_json
from typing_extensions import TypedDict  # pydantic needs it below Python 3.12

from dsetkit.errors import FormatError
from dsetkit.formats.cityscapes.labels import parse_label
from dsetkit.formats.issues import IssueList
from dsetkit.formats.json_text import adapter, deepest_fault, no_json
from dsetkit.formats.notes import FileNotes, shown
from dsetkit.formats.text import utf8_json
from dsetkit.spec.arrow import Row

LIMIT_PX = 1e9
"""A coordinate beyond this is taken for a fault."""
MAX_JSON_BYTES = 256 * 1024**2
"""A larger file is not read; real ones have some tens of kilobytes."""
KNOWN = frozenset({"label", "polygon", "id", "deleted", "verified", "user"})
_Coordinate = Annotated[float, Field(allow_inf_nan=False, ge=-LIMIT_PX, le=LIMIT_PX)]
_Point = Annotated[list[_Coordinate], Field(min_length=2, max_length=2)]
_MAX_NAME = 1000


class RawObject(TypedDict):
    """One of ``objects``."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    label: Annotated[str, Field(min_length=1, max_length=_MAX_NAME)]
    polygon: Annotated[list[_Point], Field(min_length=1)]


class RawFile(TypedDict, total=False):
    """The whole document."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    imgHeight: Any
    imgWidth: Any
    objects: list[RawObject]


class Parsed(NamedTuple):
    """A document."""

    size: tuple[int, int] | None
    """Width and height, pixels."""
    annotations: list[Row]
    complete: bool
    """False: an object was left out, with an issue."""


def parse(data: bytes, file: str, issues: IssueList) -> Parsed:
    """The document's objects, in the order in which they are painted. What is wrong with one is an issue.

    Raises ``FormatError`` for what is no JSON, naming line and column, or has no list ``objects``.
    """
    data = utf8_json(data, file)
    objects: list[tuple[int, dict[str, Any]]]
    try:
        document: dict[str, Any] = adapter(RawFile).validate_json(data)
        objects = list(enumerate(document.get("objects", ())))
        found = len(objects) if "objects" in document else None
    except ValidationError:
        document, objects, found = _parse_slowly(data, file, issues)
    except (ValueError, RecursionError) as error:
        raise no_json(file, str(error)) from None
    if found is None:
        hint = "Cityscapes' files have imgHeight, imgWidth and objects."
        raise FormatError(f"{file} has no list of objects", file=file, hint=hint)
    notes = FileNotes(issues, file)
    annotations = [
        {"id": str(number), **read_object(raw, notes, f"objects[{index}]")}
        for number, (index, raw) in enumerate(objects)
    ]
    return Parsed(_size(document, notes), annotations, len(objects) == found)


def read_object(raw: dict[str, Any], notes: FileNotes, place: str) -> Row:
    """One object that was checked, as a row without an id."""
    ring = [value for point in raw["polygon"] for value in point]
    xs, ys = ring[0::2], ring[1::2]
    left, top = min(xs), min(ys)
    name, is_crowd = parse_label(raw["label"])
    row: Row = {"kind": "polygon", "category": name, "polygons": [[ring]]}
    row["bbox_xywh_px"] = [left, top, max(xs) - left, max(ys) - top]
    if is_crowd:
        row["is_crowd"] = True
    if raw.get("deleted") in (1, True):
        row["status"] = "declined"
    elif raw.get("verified") in (0, False):
        row["status"] = "proposed"
    if isinstance(raw.get("user"), str) and raw["user"]:
        row["annotator"] = raw["user"]
    number = raw.get("id")
    if isinstance(number, int | str) and not isinstance(number, bool) and str(number) not in ("", "-1"):
        row["source_id"] = str(number)
    extras = {name: notes.clean(raw[name], f"{place}.{name}") for name in sorted(raw.keys() - KNOWN)}
    extras = {name: value for name, value in extras.items() if value not in (None, "", [], {})}
    if extras:
        row["extras"] = {"cityscapes": extras}
    if len(ring) < 6:
        message = f"a polygon of {len(ring) // 2} points covers nothing"
        row["issues"] = [{"code": "polygon-degenerate", "message": message}]
    return row


def _parse_slowly(
    data: bytes, file: str, issues: IssueList
) -> tuple[dict[str, Any], list[tuple[int, dict[str, Any]]], int | None]:
    try:
        document = from_json(data)
    except (ValueError, RecursionError) as error:
        raise no_json(file, str(error)) from None
    given = document.get("objects") if isinstance(document, dict) else None
    if not isinstance(given, list):
        return {}, [], None
    kept: list[tuple[int, dict[str, Any]]] = []
    for index, element in enumerate(given):
        try:
            kept.append((index, adapter(RawObject).validate_python(element)))
        except ValidationError as error:
            said, value, path = deepest_fault(error)
            issues.add(
                "object-invalid",
                f"{said}, not {shown(value)}; the object was left out",
                file=file,
                place=f"objects[{index}]{path}",
                hint="Correct it in the file.",
            )
    return document, kept, len(given)


def _size(document: dict[str, Any], notes: FileNotes) -> tuple[int, int] | None:
    sides = [document.get(name) for name in ("imgWidth", "imgHeight")]
    if all(isinstance(side, int) and not isinstance(side, bool) and 0 < side < 2**31 for side in sides):
        return sides[0], sides[1]  # type: ignore[return-value]
    if any(side is not None for side in sides):
        given = " × ".join(repr(side)[:20] for side in sides)
        notes.add("size-unusable", f"it says the picture has {given} pixels", "imgWidth", "Correct it.", "warning")
    return None
