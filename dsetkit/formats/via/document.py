"""VIA's JSON as text: checked whole by pydantic-core, region by region only where something is wrong.

Fields as ``via-2.x.y/src/via.js`` of https://github.com/ox-vgg/via writes and imports them, and those of version 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError
from pydantic_core import from_json
from typing_extensions import TypedDict  # pydantic needs it below Python 3.12

from dsetkit.formats.inline import is_inline
from dsetkit.formats.issues import IssueList
from dsetkit.formats.json_text import adapter, deepest_fault, no_json
from dsetkit.formats.notes import shown
from dsetkit.formats.text import utf8_json
from dsetkit.formats.via.parsed import Number, Parsed, Picture, fault
from dsetkit.formats.via.project3 import is_project3, parse_project3

PROJECT = "_via_img_metadata"


class RawShape(TypedDict, total=False):
    """``shape_attributes`` of a region."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    name: str
    x: Number
    y: Number
    width: Number
    height: Number
    cx: Number
    cy: Number
    r: Number
    rx: Number
    ry: Number
    theta: Number
    all_points_x: list[Number]
    all_points_y: list[Number]


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
    if is_project3(document):
        return parse_project3(document, file, issues)
    project = document if PROJECT in document else {}
    images = document.get(PROJECT, document)
    if isinstance(images, dict) and "regions" in images and "filename" in images:
        images = {"": images}  # a single picture
    if not isinstance(images, dict) or not (project or any(map(_is_image, images.values()))):
        return None
    start = f"{PROJECT}." if project else ""
    found = [
        made
        for number, (name, raw) in enumerate(images.items())
        if (made := _picture(raw, number, file, f"{start}{shown(name)}", issues)) is not None
    ]
    defined, core = project.get("_via_attributes"), _at(project, "_via_settings", "core")
    folder = core.get("default_filepath") if isinstance(core, dict) else None
    return Parsed(found, defined if isinstance(defined, dict) else {}, folder if isinstance(folder, str) else "")


def _picture(raw: Any, number: int, file: str, place: str, issues: IssueList) -> Picture | None:
    try:
        image = adapter(RawImage).validate_python(raw)
        regions, complete = list(_numbered(image.get("regions", ()))), True
    except ValidationError:
        image, regions, complete = _picture_slowly(raw, file, place, issues)
    name = image.get("filename")
    if not isinstance(name, str) or not name:
        fault(issues, "picture-invalid", "it names no file, so it was left out", file, f"{place}.filename")
        return None
    inline = image.get("base64_img_data")
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
        number=number,
        inline=name if is_inline(name) else inline if isinstance(inline, str) else "",
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
            fault(issues, "region-invalid", message, file, f"{place}.regions[{at}]{path}")
    if not isinstance(raw.get("file_attributes"), dict | None):
        fault(issues, "picture-invalid", "its file_attributes are no object", file, f"{place}.file_attributes")
        raw = {**raw, "file_attributes": None}
    return raw, regions, complete


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
