"""VIA's files as text: JSON checked whole by pydantic-core, region by region only where something is wrong; and CSV.

Fields as ``via-2.x.y/src/via.js`` of https://github.com/ox-vgg/via writes and imports them, and those of version 1.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import ConfigDict, Field, ValidationError
from pydantic_core import from_json
from typing_extensions import TypedDict  # pydantic needs it below Python 3.12

from dsetkit.errors import FormatError
from dsetkit.formats.issues import IssueList
from dsetkit.formats.json_text import adapter, deepest_fault, no_json
from dsetkit.formats.notes import shown
from dsetkit.formats.text import decode, utf8_json

LIMIT_PX = 1e9
"""A coordinate beyond this is taken for a fault."""
CSV_COLUMNS = (
    *("filename", "file_size", "file_attributes", "region_count", "region_id", "region_shape_attributes"),
    "region_attributes",
)
PROJECT = "_via_img_metadata"
_Number = Annotated[float, Field(allow_inf_nan=False, ge=-LIMIT_PX, le=LIMIT_PX)]


class RawShape(TypedDict, total=False):
    """``shape_attributes`` of a region."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    name: str
    x: _Number
    y: _Number
    width: _Number
    height: _Number
    cx: _Number
    cy: _Number
    r: _Number
    rx: _Number
    ry: _Number
    theta: _Number
    all_points_x: list[_Number]
    all_points_y: list[_Number]


class RawRegion(TypedDict, total=False):
    """One of ``regions``."""

    shape_attributes: RawShape
    region_attributes: dict[str, Any] | None


class RawImage(TypedDict, total=False):
    """One picture. ``regions`` are a list in version 2, an object in version 1."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    filename: Annotated[str, Field(min_length=1)]
    size: Any
    regions: list[RawRegion] | dict[str, RawRegion]
    file_attributes: dict[str, Any] | None


class Picture(NamedTuple):
    """A picture of a file; ``regions`` are those that are what they should be, each with its place in the file."""

    name: str
    size_bytes: int | None
    attributes: Mapping[str, Any]
    regions: list[tuple[str, Mapping[str, Any]]]
    complete: bool
    """False: a region was left out, with an issue."""
    uri: str | None
    place: str


class Parsed(NamedTuple):
    """One file."""

    pictures: list[Picture]
    defined: Mapping[str, Any]
    """What a project defines: ``region`` and ``file``, each attribute by name."""
    folder: str
    """Where a project says its pictures are; empty where it does not."""


def parse_json(data: bytes, file: str, issues: IssueList) -> Parsed | None:
    """A project or plain annotations; None for JSON that is neither. A region that is wrong is an issue.

    Raises ``FormatError``, naming line and column, for what is no JSON.
    """
    try:
        document = from_json(utf8_json(data, file))
    except (ValueError, RecursionError) as error:
        raise no_json(file, str(error)) from None
    if not isinstance(document, dict):
        return None
    project = document if PROJECT in document else {}
    images = document.get(PROJECT, document)
    if isinstance(images, dict) and "regions" in images and "filename" in images:
        images = {"": images}  # a single picture
    if not isinstance(images, dict) or not (project or any(map(_is_image, images.values()))):
        return None
    start = f"{PROJECT}." if project else ""
    found = [
        made
        for name, raw in images.items()
        if (made := _picture(raw, file, f"{start}{shown(name)}", issues)) is not None
    ]
    defined, core = project.get("_via_attributes"), _at(project, "_via_settings", "core")
    folder = core.get("default_filepath") if isinstance(core, dict) else None
    return Parsed(found, defined if isinstance(defined, dict) else {}, folder if isinstance(folder, str) else "")


def _picture(raw: Any, file: str, place: str, issues: IssueList) -> Picture | None:
    try:
        image = adapter(RawImage).validate_python(raw)
        regions, complete = list(_numbered(image.get("regions", ()))), True
    except ValidationError:
        image, regions, complete = _picture_slowly(raw, file, place, issues)
    name = image.get("filename")
    if not isinstance(name, str) or not name:
        _fault(issues, "picture-invalid", "it names no file, so it was left out", file, f"{place}.filename")
        return None
    if image.get("base64_img_data"):
        issues.add(
            "picture-embedded",
            "the picture itself is in the file as text (base64_img_data), and is not read from there",
            severity="warning",
            file=file,
            place=f"{place}.base64_img_data",
            hint="Put the picture into a file beside it, named as it is named here.",
        )
    uri = image.get("fileref") or name
    web = isinstance(uri, str) and re.match(r"https?://", uri) is not None
    return Picture(
        name=name,
        size_bytes=image["size"] if isinstance(image.get("size"), int) and image["size"] > 0 else None,
        attributes=image.get("file_attributes") or {},
        regions=[(f"{place}.regions[{at}]", region) for at, region in regions],
        complete=complete,
        uri=re.split(r"[?#]", uri)[0] if web and isinstance(uri, str) else None,
        place=place,
    )


def _picture_slowly(
    raw: Any, file: str, place: str, issues: IssueList
) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]], bool]:
    if not isinstance(raw, dict):
        return {}, [], False
    given = raw.get("regions")
    regions: list[tuple[str, dict[str, Any]]] = []
    complete = isinstance(given, list | dict) or given is None
    for at, element in _numbered(given) if isinstance(given, list | dict) else ():
        try:
            regions.append((at, adapter(RawRegion).validate_python(element)))
        except ValidationError as error:
            complete = False
            said, value, path = deepest_fault(error)
            message = f"{said}, not {shown(value)}; the region was left out"
            _fault(issues, "region-invalid", message, file, f"{place}.regions[{at}]{path}")
    if not isinstance(raw.get("file_attributes"), dict | None):
        _fault(issues, "picture-invalid", "its file_attributes are no object", file, f"{place}.file_attributes")
        raw = {**raw, "file_attributes": None}
    return raw, regions, complete


def parse_csv(data: bytes, file: str, issues: IssueList) -> Parsed | None:
    """An exported table; None for one with other columns. A record that is wrong is an issue.

    Raises ``FormatError`` for what is no text, or no CSV.
    """
    reader = csv.reader(io.StringIO(decode(data, file), newline=""), strict=True)
    pictures: dict[tuple[str, str], Picture] = {}
    places: list[int] = []
    line = 1
    try:
        for cells in reader:
            if not places:
                places = csv_places(cells)
                if not places:
                    return None
            elif cells:
                _record([cells[at] if at < len(cells) else "" for at in places], pictures, file, line, issues)
            line = reader.line_num + 1
    except csv.Error as error:
        raise FormatError(
            f"{file} is no proper CSV from line {line} on ({error})",
            file=file,
            place=f"line {line}",
            hint="Look for a quote that is not closed there.",
        ) from None
    return Parsed(list(pictures.values()), {}, "")


def csv_places(header: list[str]) -> list[int]:
    """The place of each of ``CSV_COLUMNS``; empty where one is not there. Version 1 begins the line with ``#``."""
    names = [name.strip().lstrip("#").strip() for name in header]
    return [names.index(name) for name in CSV_COLUMNS] if set(names) >= set(CSV_COLUMNS) else []


def _record(
    cells: list[str], pictures: dict[tuple[str, str], Picture], file: str, line: int, issues: IssueList
) -> None:
    name, size, about, _, number, shape, said = cells
    place = f"line {line}"
    if not name:
        _fault(issues, "picture-invalid", "it names no file, so it was left out", file, place)
        return
    uri = re.split(r"[?#]", name)[0] if re.match(r"https?://", name) else None
    known = pictures.get((name, size))
    if known is None:
        attributes = _object(about, "file_attributes", file, place, issues)
        size_bytes = int(size) if size.isascii() and size.isdigit() and 0 < len(size) < 16 and int(size) else None
        known = pictures[name, size] = Picture(name, size_bytes, attributes or {}, [], True, uri, place)
    drawn = _object(shape, "region_shape_attributes", file, place, issues)
    if drawn == {}:
        return
    attributes = _object(said, "region_attributes", file, place, issues)
    try:
        if drawn is None:
            raise ValueError
        region = adapter(RawRegion).validate_python({"shape_attributes": drawn, "region_attributes": attributes})
    except ValidationError as error:
        fault, value, _ = deepest_fault(error)
        message = f"{fault}, not {shown(value)}; the region was left out"
        _fault(issues, "region-invalid", message, file, place)
        pictures[name, size] = known._replace(complete=False)
    except ValueError:
        pictures[name, size] = known._replace(complete=False)
    else:
        known.regions.append((f"{place} (region {number[:10]})" if number else place, region))


def _object(cell: str, column: str, file: str, place: str, issues: IssueList) -> dict[str, Any] | None:
    """The JSON object in a cell; None, with an issue, where there is none."""
    if not cell.strip():
        return {}
    try:
        value = from_json(cell)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        _fault(issues, "row-malformed", f"its {column} are no JSON object; they were left out", file, place)
        return None
    return value


def _numbered(regions: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(regions, dict):
        yield from ((shown(name, 20).strip("'\""), region) for name, region in regions.items())
    else:
        yield from ((str(index), region) for index, region in enumerate(regions))


def _is_image(value: Any) -> bool:
    return isinstance(value, dict) and "filename" in value and ("regions" in value or "file_attributes" in value)


def _at(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _fault(issues: IssueList, code: str, message: str, file: str, place: str) -> None:
    issues.add(code, message, file=file, place=place, hint="Correct it in the file.")
