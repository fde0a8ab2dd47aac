"""Datumaro JSON as text: parsed whole by pydantic-core, element by element only where something in it is wrong."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, ValidationError
from pydantic_core import from_json
from typing_extensions import TypedDict  # pydantic needs it below Python 3.12

from dsetkit.errors import FormatError
from dsetkit.formats.json_text import adapter, no_json
from dsetkit.formats.notes import FileNotes, shown
from dsetkit.formats.text import utf8_json

Coordinate = Annotated[float, Field(allow_inf_nan=False)]
_OPEN = ConfigDict(extra="allow")


class RawRle(TypedDict):
    """A mask: size is height, width; counts compressed (a string) or not (run lengths)."""

    size: list[int]
    counts: list[int] | str


class RawAnnotation(TypedDict, total=False):
    """One of ``annotations``. Fields that may be wrong without harm are looked at later."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    id: Any
    type: str
    label_id: Any
    bbox: list[Coordinate] | None
    points: Annotated[  # the second is a cuboid's
        list[Coordinate] | list[list[Coordinate]] | None, Field(union_mode="left_to_right")
    ]
    visibility: list[int] | None
    rle: RawRle | None
    caption: str | None


class RawItem(TypedDict, total=False):
    """One of ``items``."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    id: Any
    annotations: list[RawAnnotation] | None


class RawFile(TypedDict, total=False):
    """The whole document."""

    __pydantic_config__ = _OPEN  # type: ignore[misc]
    infos: Any
    categories: Any
    items: list[RawItem]


class Parsed(NamedTuple):
    """A document whose items and annotations are what they should be; bad ones are gone, with an issue each."""

    document: dict[str, Any]
    items: list[tuple[int, dict[str, Any]]]
    """Items, each with its place in the file."""
    incomplete: frozenset[int]
    """Places of items that an annotation was taken from."""


def parse(data: bytes, file: str, notes: FileNotes) -> Parsed:
    """The document. What is wrong with one annotation costs that annotation, and is an issue.

    Raises ``FormatError`` for what is no JSON (naming line and column) or no Datumaro at all.
    """
    data = utf8_json(data, file)
    try:
        document: dict[str, Any] = adapter(RawFile).validate_json(data)
    except ValidationError:
        return _parse_slowly(data, file, notes)
    except (ValueError, RecursionError) as error:  # what the JSON parser itself refuses
        raise no_json(file, str(error)) from None
    _check(document, file)
    return Parsed(document, list(enumerate(document["items"])), frozenset())


def _check(document: Any, file: str) -> None:
    if not isinstance(document, dict) or not isinstance(document.get("items"), list):
        raise FormatError(
            f"{file} has no list of items, so it is no Datumaro dataset",
            file=file,
            hint="Check the file and its format.",
        )


def _parse_slowly(data: bytes, file: str, notes: FileNotes) -> Parsed:
    try:
        document = from_json(data)
    except (ValueError, RecursionError) as error:
        raise no_json(file, str(error)) from None
    _check(document, file)
    items: list[tuple[int, dict[str, Any]]] = []
    incomplete: set[int] = set()
    for index, element in enumerate(document["items"]):
        if not isinstance(element, dict):
            message = f"an item is an object, not {shown(element)}; it was left out"
            notes.add("item-invalid", message, f"items[{index}]", "Correct it in the file.")
            continue
        given = element.get("annotations")
        kept = []
        for number, raw in enumerate(given if isinstance(given, list) else ()):
            try:
                kept.append(adapter(RawAnnotation).validate_python(raw))
            except ValidationError as error:
                incomplete.add(index)
                _note(error, f"items[{index}].annotations[{number}]", notes)
        if given is not None and not isinstance(given, list):
            incomplete.add(index)
            message = f"annotations are a list, not {shown(given)}; none were read"
            notes.add("item-invalid", message, f"items[{index}].annotations", "Correct it in the file.")
        items.append((index, {**element, "annotations": kept}))
    return Parsed(document, items, frozenset(incomplete))


def _note(error: ValidationError, place: str, notes: FileNotes) -> None:
    faults = error.errors(include_url=False, include_context=False)
    fault = max(faults, key=lambda item: len(item["loc"]))  # of a union's branches, the one that got furthest
    steps = (part for part in fault["loc"] if isinstance(part, int) or part.replace("_", "").isalnum())
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in steps if part != "RawRle")
    message = f"{fault['msg']}, not {shown(fault['input'])}; the annotation was left out"
    notes.add("annotation-invalid", message, f"{place}{path}", "Correct it in the file.")
