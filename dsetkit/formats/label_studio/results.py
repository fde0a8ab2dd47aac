"""The results of one of a task's annotations, predictions or drafts, as annotations of its pictures.

Results with the same id are one region: its shape, its labels, and what else was said of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dsetkit.formats.label_studio.answers import add_fact, read_answer
from dsetkit.formats.label_studio.filing import Filing
from dsetkit.formats.label_studio.links import join_points, relate
from dsetkit.formats.label_studio.own import OwnAnnotation, read_own
from dsetkit.formats.label_studio.raw import ANSWERS, geometry_of, labels_of, size_of
from dsetkit.formats.label_studio.shapes import ShapeError, base_of, read_shape
from dsetkit.formats.notes import shown
from dsetkit.geometry.shape import enclosure
from dsetkit.spec.arrow import Row


def read_results(filing: Filing, results: Any, keypoint_names: dict[str, dict[str, None]]) -> None:
    """All of them. What cannot be read is an issue, and its picture is not complete."""
    place = f"{filing.origin.place}.result"
    if results is None:
        return
    if not isinstance(results, list):
        filing.lose(None, "result-invalid", f"it is {shown(results)}, not a list", place)
        return
    groups: dict[str | int, list[tuple[int, Row]]] = {}
    relations: list[tuple[int, Row]] = []
    for number, raw in enumerate(results):
        if not isinstance(raw, dict) or not isinstance(raw.get("type"), str):
            filing.lose(None, "result-invalid", f"it is no result with a type, but {shown(raw)}", f"{place}[{number}]")
        elif raw["type"] == "relation":
            relations.append((number, raw))
        else:
            given = raw.get("id")
            name = given if isinstance(given, str) and given else number
            groups.setdefault(name, []).append((number, raw))
    for name, group in groups.items():
        _read_group(filing, name if isinstance(name, str) else None, group)
    join_points(filing, keypoint_names)
    for number, raw in relations:
        relate(filing, raw, f"{place}[{number}]")


def _read_group(filing: Filing, name: str | None, group: Sequence[tuple[int, Row]]) -> None:
    regions = []
    for number, raw in group:
        value = raw.get("value")
        base = base_of(raw["type"], value if isinstance(value, dict) else {})
        if base is not None and raw["type"] not in ANSWERS:
            regions.append((number, raw, base))
    if len(group) == 1 and regions:  # nearly always
        _read_region(filing, name, *regions[0], group)
        return
    # Of a region with separate labels both results have its shape; the one of the shape's own type counts.
    regions.sort(key=lambda item: item[1]["type"] == "labels")
    if regions:
        first = geometry_of(regions[0][1])
        others = [region for region in regions[1:] if geometry_of(region[1]) != first]
        apart = {number for number, _, _ in others}
        _read_region(filing, name, *regions[0], [item for item in group if item[0] not in apart])
        for number, raw, base in others:
            place = f"{filing.origin.place}.result[{number}]"
            message = f"the id {shown(name)} is that of another region above; both are kept"
            filing.notes.add("region-id-twice", message, place, "Give each region an id of its own.", "warning")
            _read_region(filing, name, number, raw, base, [(number, raw)])
        return
    for number, raw in group:
        place = f"{filing.origin.place}.result[{number}]"
        if raw["type"] in ANSWERS and isinstance(raw.get("value"), dict):
            read_answer(filing, name, raw, place)
        else:
            message = f"a result of the type {shown(raw['type'])} says nothing of a picture that can be kept"
            filing.lose(filing.sheet_of(raw), "result-type-unknown", message, place, "warning")


def _read_region(
    filing: Filing, name: str | None, number: int, raw: Row, base: str, group: Sequence[tuple[int, Row]]
) -> None:
    place = f"{filing.origin.place}.result[{number}]"
    at = filing.sheet_of(raw)
    if at is None:
        filing.lose(None, "picture-unclear", "its task has several pictures, and it says of none", place)
        return
    value = raw.get("value")
    size = size_of(raw) or filing.sheets[at].size
    findings: list[Row] = []
    try:
        if size is None:
            raise ShapeError("size-unknown", "lengths are percent of the picture, whose size is nowhere said")
        shape = read_shape(base, value if isinstance(value, dict) else {}, size, findings)
    except ShapeError as error:
        filing.lose(at, error.code, f"{error}; it was left out", place)
        return
    own = read_own(raw.get("meta"), OwnAnnotation, filing.notes.issues, filing.notes.path, f"{place}.meta")
    out: Row = {"id": "", **shape}
    if own.get("kind") == "rotated_box" and shape["kind"] == "box":  # one that is not turned
        x, y, w, h = shape["bbox_xywh_px"]
        box = {"cx": x + w / 2, "cy": y + h / 2, "w": w, "h": h, "angle": 0.0}
        out |= {"kind": "rotated_box", "rotated_box": box}
    labels = [label for _, one in group for label in labels_of(one)]
    _label(out, list(dict.fromkeys(labels)))
    attributes: Row = {}
    for other, one in group:
        if one["type"] in ANSWERS:
            add_fact(filing, out, attributes, one, f"{filing.origin.place}.result[{other}]")
    filing.describe(out, raw, own, place, attributes)
    if findings:
        out["issues"] = findings
    first = filing.made.get(own.get("points_of", ""))
    if first is not None and first[0] == at and out["kind"] == first[1]["kind"] == "points":
        first[1]["points"] += out["points"]
        first[1]["bbox_xywh_px"] = enclosure(first[1])
        return
    if base == "keypoint" and "visibility" in own:
        filing.visibility[id(out)] = own["visibility"]
    filing.file(at, out, name)
    parent = raw.get("parentID") or raw.get("parent_id")
    if name is not None and isinstance(parent, str) and parent:
        filing.parents.append((name, parent, place))


def _label(out: Row, labels: Sequence[str]) -> None:
    if not labels:
        return
    out["category"] = labels[0]
    if len(labels) > 1:
        out["categories"] = list(labels)
