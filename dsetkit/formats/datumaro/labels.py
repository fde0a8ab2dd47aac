"""Datumaro's categories: labels by their place in a list, colors and names of points by that place.

A label whose parent is a label with points of its name (as CVAT exports skeletons) is a keypoint's name, no category.
Lines between points count from 1, as Datumaro takes them over from COCO, unless a 0 occurs in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dsetkit.formats.notes import FileNotes, shown
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import AttributeDefinition, Category

_HINT = "Correct it in the file."


class Labels:
    """The labels of one file."""

    def __init__(self) -> None:
        self.names: list[str | None] = []
        """By ``label_id``; None for one that is broken."""
        self.drafts: dict[str, Row] = {}
        """By name, in order: what is known of each category."""
        self.groups: list[Row] = []
        """``label_groups``, as they stand there."""

    def name(self, label_id: Any) -> str | None:
        """The name of a label; None where there is none of that place."""
        if isinstance(label_id, bool) or not isinstance(label_id, int) or not 0 <= label_id < len(self.names):
            return None
        return self.names[label_id]

    def points(self, name: str | None) -> Sequence[str]:
        """The names of a category's points; none where it has none."""
        names: Sequence[str] = self.drafts.get(name or "", {}).get("keypoint_names", ())
        return names


def read_labels(categories: Any, notes: FileNotes) -> Labels:
    """What ``categories`` of a file say. What is wrong with one is an issue."""
    labels = Labels()
    given = categories if isinstance(categories, dict) else {}
    label = _part(given, "label")
    _read_names(_list(label, "labels"), labels, notes)
    labels.groups = [group for group in _list(label, "label_groups") if isinstance(group, dict)]
    for index, raw in enumerate(_list(_part(given, "points"), "items")):
        _read_points(raw, f"categories.points.items[{index}]", labels, notes)
    for raw in _list(_part(given, "mask"), "colormap"):
        name = labels.name(raw.get("label_id")) if isinstance(raw, dict) else None
        channels = [raw.get(channel) for channel in "rgb"] if name is not None else []
        if name is not None and all(type(value) is int and 0 <= value <= 255 for value in channels):
            labels.drafts[name].setdefault("color", "#{:02x}{:02x}{:02x}".format(*channels))
    for name, draft in list(labels.drafts.items()):
        above = labels.drafts.get(draft.get("supercategory", ""))
        if above is not None and above is not draft and name in above.get("keypoint_names", ()):
            draft["is_point"] = True
    return labels


def _part(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = given.get(name)
    return found if isinstance(found, dict) else {}


def _list(given: Mapping[str, Any], name: str) -> list[Any]:
    found = given.get(name)
    return found if isinstance(found, list) else []


def _read_names(given: Iterable[Any], labels: Labels, notes: FileNotes) -> None:
    for index, raw in enumerate(given):
        place = f"categories.label.labels[{index}]"
        name = raw.get("name") if isinstance(raw, dict) else raw
        if not isinstance(name, str) or not name:
            message = f"a label is named by a text, not {shown(name)}; annotations of it have no category"
            notes.add("category-invalid", message, place, _HINT)
            labels.names.append(None)
            continue
        labels.names.append(name)
        draft = labels.drafts.setdefault(name, {"name": name})
        if not isinstance(raw, dict):
            continue
        if isinstance(raw.get("parent"), str) and raw["parent"]:
            draft.setdefault("supercategory", raw["parent"])
        attributes = [item for item in _list(raw, "attributes") if isinstance(item, str) and item]
        if attributes:
            draft.setdefault("attributes", sorted(set(attributes)))


def _read_points(raw: Any, place: str, labels: Labels, notes: FileNotes) -> None:
    name = labels.name(raw.get("label_id")) if isinstance(raw, dict) else None
    if name is None:
        notes.add("category-invalid", "it is of no label there is; it was left out", place, _HINT)
        return
    names = [str(one) for one in _list(raw, "labels")]
    if len(set(names)) < len(names):
        message = "a name of its points is there twice; they are numbered from 0 instead"
        notes.add("keypoint-names-twice", message, place, "Give each a name of its own.", "warning")
        names = [str(index) for index in range(len(names))]
    if not names or "keypoint_names" in labels.drafts[name]:
        return
    joints = [pair for pair in _list(raw, "joints") if isinstance(pair, list) and len(pair) == 2]
    whole = [pair for pair in joints if all(type(end) is int for end in pair)]
    first = 0 if any(0 in pair for pair in whole) else 1
    lines = [(a - first, b - first) for a, b in whole]
    good = [pair for pair in lines if all(0 <= end < len(names) for end in pair)]
    if len(good) < len(_list(raw, "joints")):
        message = "lines that join no points it has were left out"
        notes.add("skeleton-invalid", message, f"{place}.joints", "Count points from 1.", "warning")
    labels.drafts[name] |= {"keypoint_names": names} | ({"skeleton": sorted(good)} if good else {})


def categories_of(files: Iterable[Labels]) -> tuple[Category, ...]:
    """The categories of all files by name, in order."""
    drafts: dict[str, Row] = {}
    for labels in files:
        for name, draft in labels.drafts.items():
            if not draft.get("is_point"):
                drafts[name] = {**draft, **drafts.get(name, {})}
    made = []
    for index, draft in enumerate(drafts.values()):
        attributes = tuple(AttributeDefinition(name=name) for name in draft.get("attributes", ()))
        made.append(Category.model_validate({**draft, "index": index, "attributes": attributes}))
    return tuple(made)
