"""The parts of a COCO file that are about no single picture: ids, categories, licences, and what to note."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from dsetkit.formats.notes import FileNotes
from dsetkit.spec.arrow import Row
from dsetkit.spec.snapshot import License

_CATEGORY_OWN = frozenset({"id", "name", "supercategory", "isthing", "color", "def", "keypoints", "skeleton"})
_SHOWN = 12


def ident(value: Any) -> str | None:
    """An id as text, so that 5, 5.0 and "5" are the same; None where it is none."""
    if type(value) is int:  # nearly always; bool is no int here
        return str(value)
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        value = int(value) if value.is_integer() else value
    return str(value)


def read_licenses(document: Mapping[str, Any], known: dict[tuple[str, str | None], License]) -> dict[str, str]:
    """Adds a file's licences to ``known``; gives their names by id. Placeholders (no name, no URL) are passed over."""
    names: dict[str, str] = {}
    given = document.get("licenses")
    for raw in given if isinstance(given, list) else ():
        if not isinstance(raw, dict):
            continue
        name, url = str(raw.get("name") or ""), str(raw.get("url") or "") or None
        number = ident(raw.get("id"))
        shown = name or url
        if not shown:
            continue
        known.setdefault((shown, url), License(name=shown, id=number, url=url))
        if number is not None:
            names.setdefault(number, shown)
    return names


class Categories:
    """The categories of all files by name, as drafts of ``Category``; one file's ids at a time."""

    def __init__(self) -> None:
        self.drafts: dict[str, Row] = {}

    def add(
        self, raw: Mapping[str, Any], ids: dict[str, str], place: str, notes: FileNotes, keypoints: int = 0
    ) -> None:
        """One element of a file's ``categories``; ``ids`` (id → name, of that file) takes it in.

        ``keypoints`` is how many its annotations have; those that it gives no names are called by their number.
        """
        number = ident(raw.get("id"))
        if number is None:
            notes.add("category-invalid", "it has no id; it was left out", place, "Give it one.")
            return
        name = raw.get("name")
        if not isinstance(name, str) or not name:
            name = number
            message = f"it has no name; it is called by its id, {number}"
            notes.add("category-unnamed", message, place, "Give it one.", "warning")
        if number in ids:
            message = f"the id {number} is {ids[number]!r} already; {name!r} was left out"
            notes.add("category-id-twice", message, place, "Give each category an id of its own.")
            return
        if name in ids.values():
            message = f"the name {name!r} is there already under another id; they count as one"
            notes.add("category-name-twice", message, place, "Rename one, if they are not the same.", "warning")
        ids[number] = name
        draft = self.drafts.setdefault(name, {"name": name, "source_ids": []})
        if number not in draft["source_ids"]:
            draft["source_ids"].append(number)
        for field, value in _fields(raw, place, notes, keypoints).items():
            draft.setdefault(field, value)

    @staticmethod
    def note_unread(categories: Sequence[Mapping[str, Any]], notes: FileNotes) -> None:
        """Names, once a file, the fields of categories that nothing is made of."""
        unread: dict[str, int] = {}
        for raw in categories:
            for field in raw.keys() - _CATEGORY_OWN:
                if raw[field] not in ("", None, []):
                    unread[field] = unread.get(field, 0) + 1
        if unread:
            shown = ", ".join(f"{name} ({unread[name]})" for name in sorted(unread)[:_SHOWN])
            shown += f" and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else ""
            message = f"a category has no place for these fields of it, which were left out: {shown}"
            notes.add("category-field-dropped", message, "categories", "Nothing need be done.", "info")

    def keypoint_names(self, name: str | None) -> Sequence[str]:
        """The keypoint names of a category; none where it has none."""
        return self.drafts[name].get("keypoint_names", ()) if name in self.drafts else ()


def _fields(raw: Mapping[str, Any], place: str, notes: FileNotes, keypoints: int) -> Row:
    out: Row = {}
    above = raw.get("supercategory")
    if isinstance(above, str) and above:
        out["supercategory"] = above
    if raw.get("isthing") in (0, 1):
        out["is_thing"] = bool(raw["isthing"])
    if isinstance(raw.get("def"), str) and raw["def"]:
        out["guideline"] = raw["def"]
    color = raw.get("color")
    if isinstance(color, list) and len(color) == 3 and all(type(c) is int and 0 <= c <= 255 for c in color):
        out["color"] = "#{:02x}{:02x}{:02x}".format(*color)
    names = _keypoint_names(raw.get("keypoints"), place, notes, keypoints)
    if names:
        out["keypoint_names"] = names
    skeleton = raw.get("skeleton")
    if isinstance(skeleton, list) and skeleton and "keypoint_names" in out:
        pairs = _skeleton(skeleton, len(out["keypoint_names"]), place, notes)
        if pairs:
            out["skeleton"] = pairs
    return out


def _keypoint_names(given: Any, place: str, notes: FileNotes, count: int) -> list[str]:
    names = [str(name) for name in given] if isinstance(given, list) else []
    if len(set(names)) < len(names):
        message = "a name of its keypoints is there twice; they are numbered from 0 instead"
        notes.add("keypoint-names-twice", message, place, "Give each a name of its own.", "warning")
        names = [str(index) for index in range(len(names))]
    if len(names) < count:
        message = f"its annotations have {count} keypoints, but it names {len(names)}; the others are numbered"
        notes.add("keypoint-names-missing", message, place, "Name them in keypoints.", "warning")
        names += [str(index) for index in range(len(names), count)]
    return names


def _skeleton(skeleton: Sequence[Any], count: int, place: str, notes: FileNotes) -> list[tuple[int, int]]:
    """Pairs of indices from 0. COCO counts from 1; a skeleton in which a 0 occurs must count from 0."""
    whole = [pair for pair in skeleton if isinstance(pair, list) and len(pair) == 2]
    whole = [pair for pair in whole if all(type(end) is int for end in pair)]
    first = 0 if any(0 in pair for pair in whole) else 1
    good = [(a - first, b - first) for a, b in whole if first <= a < count + first and first <= b < count + first]
    if len(good) < len(skeleton):
        message = f"{len(skeleton) - len(good)} of its skeleton's lines join no keypoints it has; they were left out"
        notes.add("skeleton-invalid", message, f"{place}.skeleton", "Count keypoints from 1.", "warning")
    return good
