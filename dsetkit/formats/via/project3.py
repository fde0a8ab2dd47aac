"""Projects of VIA 3: files, views of them, and metadata, each with a place (``xy``), times (``z``) or neither.

Definition: ``_via_data.js``, ``_via_metadata.js``, ``_via_file.js`` and ``_via_attribute.js`` in ``via-3.x.y/src/js``
of https://github.com/ox-vgg/via (data format 3.1.1; 3.1.0 has the path of local files elsewhere).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ConfigDict, ValidationError
from typing_extensions import TypedDict  # pydantic needs it below Python 3.12

from dsetkit.formats.inline import is_inline
from dsetkit.formats.issues import IssueList
from dsetkit.formats.json_text import adapter, deepest_fault
from dsetkit.formats.notes import shown
from dsetkit.formats.via.parsed import Number, Parsed, Picture, fault
from dsetkit.formats.via.shapes3 import shape_of

_PARTS = ("project", "attribute", "file", "metadata", "view")
_VIDEO, _AUDIO = 4, 8
_LOCAL, _INLINE = "1", "4"
_TYPES = {1: "text", 2: "checkbox", 3: "radio", 4: "dropdown", 5: "image"}
_OF_FILE, _OF_GROUP = "FILE1_Z0_XY0", "FILEN_"
_WEB = re.compile(r"https?://")


class RawEntry(TypedDict, total=False):
    """One of ``metadata``."""

    __pydantic_config__ = ConfigDict(extra="ignore")  # type: ignore[misc]
    vid: str | int
    z: list[Any] | None
    xy: list[Number] | None
    av: dict[str, Any] | None


@dataclass
class _File:
    """What is said of one file."""

    raw: Mapping[str, Any]
    regions: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)
    complete: bool = True
    left_out: int = 0
    """How many segments and regions, of a video."""

    @property
    def is_video(self) -> bool:
        return self.raw.get("type") in (_VIDEO, _AUDIO)


def is_project3(document: Mapping[str, Any]) -> bool:
    """Whether a JSON document is a project of VIA 3."""
    return all(isinstance(document.get(name), dict) for name in _PARTS)


def parse_project3(document: Mapping[str, Any], file: str, issues: IssueList) -> Parsed:
    """Its pictures, with regions as version 2 has them. Videos and sound are an issue each."""
    attributes = {name: one for name, one in document["attribute"].items() if isinstance(one, dict)}
    files = {name: _File(raw) for name, raw in document["file"].items() if isinstance(raw, dict)}
    for name in document["file"].keys() - files.keys():
        fault(issues, "picture-invalid", "it is no object, so it was left out", file, f"file.{name}")
    views = {name: _files_of(view) for name, view in document["view"].items()}
    for mid, entry in _entries(document["metadata"], file, views, files, issues):
        _take(mid, entry, file, views, files, attributes, issues)
    pictures = []
    for number, (name, one) in enumerate(files.items()):
        if one.is_video:
            what = "a video" if one.raw["type"] == _VIDEO else "a sound"
            message = f"it is {what}, which is not read; {one.left_out:,} segments and regions of it were left out"
            hint = "Export its frames as pictures, and their regions with them."
            issues.add("video-not-read", message, file=file, place=f"file.{name}", hint=hint)
        elif (picture := _picture(name, one, number, document, file, issues)) is not None:
            pictures.append(picture)
    return Parsed(pictures, _defined(attributes), "")


def _files_of(view: Any) -> list[str]:
    given = view.get("fid_list") if isinstance(view, dict) else None
    return [str(fid) for fid in given if isinstance(fid, str | int)] if isinstance(given, list) else []


def _entries(
    given: Mapping[str, Any], file: str, views: Mapping[str, list[str]], files: Mapping[str, _File], issues: IssueList
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        yield from adapter(dict[str, RawEntry]).validate_python(given).items()
        return
    except ValidationError:
        pass
    for mid, raw in given.items():
        try:
            yield mid, adapter(RawEntry).validate_python(raw)
        except ValidationError as error:
            said, value, path = deepest_fault(error)
            message = f"{said}, not {shown(value)}; the region was left out"
            fault(issues, "region-invalid", message, file, f"metadata.{shown(mid)}{path}")
            for fid in views.get(str(raw.get("vid")), ()) if isinstance(raw, dict) else ():
                if fid in files:
                    files[fid].complete = False


def _take(
    mid: str,
    entry: Mapping[str, Any],
    file: str,
    views: Mapping[str, list[str]],
    files: Mapping[str, _File],
    attributes: Mapping[str, Any],
    issues: IssueList,
) -> None:
    """One of ``metadata`` into what is said of its file."""
    place = f"metadata.{shown(mid)}"
    shown_files = [files[fid] for fid in views.get(str(entry.get("vid")), ()) if fid in files]
    if not shown_files:
        fault(issues, "view-missing", f"there is no view {shown(entry.get('vid'))} of a file", file, f"{place}.vid")
        return
    if len(shown_files) > 1:
        message = f"it is of a view of {len(shown_files)} files, so of no single picture; it was left out"
        issues.add(
            "view-of-several", message, severity="warning", file=file, place=place, hint="Check that it is not needed."
        )
        for one in shown_files:
            one.complete &= not entry.get("xy")
        return
    (one,) = shown_files
    xy, times, values = entry.get("xy") or [], entry.get("z") or [], entry.get("av") or {}
    if one.is_video:
        one.left_out += 1
        return
    of_region: dict[str, Any] = {}
    for aid, value in values.items():
        given = attributes.get(aid, {})
        name = given.get("aname") if isinstance(given.get("aname"), str) and given["aname"] else aid
        is_of_file = not xy or str(given.get("anchor_id")).startswith((_OF_FILE, _OF_GROUP))
        (one.attributes if is_of_file else of_region)[name] = _value(value, given)
    if times:
        message = "it has times (z), which a picture has none of; they were left out"
        issues.add("times-dropped", message, severity="warning", file=file, place=f"{place}.z", hint="Check the file.")
    if xy:
        region = {"shape_attributes": shape_of(xy), "region_attributes": of_region, "mid": mid}
        one.regions.append((place, region))


def _picture(
    name: str, one: _File, number: int, document: Mapping[str, Any], file: str, issues: IssueList
) -> Picture | None:
    raw, place = one.raw, f"file.{name}"
    given, src = (raw[key] if isinstance(raw.get(key), str) else "" for key in ("fname", "src"))
    inline = src if is_inline(src) or str(raw.get("loc")) == _INLINE else ""
    src = "" if inline else src
    prefix = _prefix(document, str(raw.get("loc")))
    best = given if str(raw.get("loc")) == _LOCAL or not src else src
    if not best and not inline:
        fault(issues, "picture-invalid", "it names no file, so it was left out", file, place)
        return None
    names = [f"{prefix}{item}" for item in (src, given) if item and prefix] + [item for item in (src, given) if item]
    uri = next((item for item in names if _WEB.match(item)), None)
    return Picture(
        name=best or inline,
        size_bytes=None,
        attributes=one.attributes,
        regions=one.regions,
        complete=one.complete,
        uri=None if uri is None else re.split(r"[?#]", uri)[0],
        place=place,
        number=number,
        names=names,
        inline=inline,
    )


def _prefix(document: Mapping[str, Any], loc: str) -> str:
    """What stands before the names of files of this kind."""
    config = document.get("config")
    given = config.get("file") if isinstance(config, dict) else None
    prefixes = given.get("loc_prefix") if isinstance(given, dict) else None
    found = prefixes.get(loc) if isinstance(prefixes, dict) else None
    if found is None and isinstance(given, dict) and loc == _LOCAL:
        found = given.get("path")  # of 3.1.0
    return found if isinstance(found, str) else ""


def _defined(attributes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The definitions as version 2 has them: what values are called stands for the numbers of options."""
    found: dict[str, dict[str, Any]] = {"region": {}, "file": {}}
    for aid, given in attributes.items():
        anchor = str(given.get("anchor_id"))
        if "_Z0_" not in anchor:
            continue  # of videos
        name = given["aname"] if isinstance(given.get("aname"), str) and given["aname"] else aid
        options = given.get("options")
        ids = {_called(oid, options): oid for oid in options} if isinstance(options, dict) else {}
        kind = _TYPES.get(given["type"], "text") if isinstance(given.get("type"), int) else "text"
        of = "file" if anchor.startswith((_OF_FILE, _OF_GROUP)) else "region"
        found[of].setdefault(name, {"type": kind, "options": dict.fromkeys(ids, ""), "ids": ids})
    return found


def _value(value: Any, given: Mapping[str, Any]) -> Any:
    """A value by its name: of what is chosen the option's, of what is ticked all, as version 2 has them."""
    options = given.get("options")
    if not isinstance(value, str) or not isinstance(options, dict) or given.get("type") not in (2, 3, 4):
        return value
    if given["type"] != 2:
        return _called(value, options)
    return {_called(part, options): True for part in value.split(",") if part}


def _called(oid: str, options: Mapping[str, Any]) -> str:
    said = options.get(oid)
    return said if isinstance(said, str) and said.strip() else oid
