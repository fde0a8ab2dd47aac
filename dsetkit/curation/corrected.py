"""The values that corrections name: whether two say the same, and an annotation that takes them on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsetkit.curation.findings import PREFIX, RULE
from dsetkit.curation.links import add_findings
from dsetkit.curation.nearest import short
from dsetkit.curation.repair import BOX_DEGENERATE, INVALID_FINDINGS, SHAPE_DEGENERATE
from dsetkit.geometry.coordinates import GEOMETRY_FIELDS
from dsetkit.geometry.shape import enclosure
from dsetkit.spec.annotation import Annotation
from dsetkit.spec.arrow import Row
from dsetkit.spec.correction import (
    ADDED,
    CORRECTED,
    INVALID,
    AddAnnotation,
    Correction,
    SetAnnotation,
    check_annotation,
    parse_line,
)
from dsetkit.spec.issue import Finding

TOLERANCE_PX = 0.01
"""Coordinates that differ by no more are the value that a correction names: sources write them anew, rounded."""

_PLACELESS = ("image_label", "caption")
_OWN_BOX = ("box", "keypoints")
_ABOUT_PLACE = INVALID_FINDINGS | {BOX_DEGENERATE, SHAPE_DEGENERATE, "coordinates-outside", "bbox-disagrees"}
_ABOUT_CATEGORY = ("category-undefined", "category-unknown", "category-dropped")
_DEFAULTS: dict[str, Any] = {"status": "accepted"}


def set_values(annotation: Row, correction: SetAnnotation) -> Row:
    """The annotation with the values of a correction, a note of it among its issues, and ``origin: corrected``."""
    said = correction.new.said
    out = {name: value for name, value in annotation.items() if name not in said}
    out |= {name: value for name, value in said.items() if _normal(name, value) is not None}
    if not said.keys().isdisjoint((*GEOMETRY_FIELDS, "kind")):
        out = with_enclosure(out)
    issues = [item for item in out.get("issues") or () if not _is_settled(item["code"], said)]
    out = {name: value for name, value in out.items() if name != "issues"}
    if issues:
        out["issues"] = issues
    out["origin"] = "corrected"
    what = ", ".join(
        f"{name} {short(_listed(annotation.get(name)))} → {short(_listed(value))}" for name, value in said.items()
    )
    return add_findings(_in_field_order(out), [Finding(code=CORRECTED, message=correction.note(what))])


def new_annotation(correction: AddAnnotation) -> Row:
    """The annotation that a correction adds, with a note of it among its issues, and ``origin: human``."""
    said = {name: value for name, value in correction.new.said.items() if _normal(name, value) is not None}
    out = with_enclosure({"id": correction.annotation, **said, "origin": "human"})
    return add_findings(_in_field_order(out), [Finding(code=ADDED, message=correction.note())])


def with_enclosure(annotation: Row) -> Row:
    """The annotation with the box around what it locates; none for what locates nothing. Raises ``ValueError``."""
    out = {name: value for name, value in annotation.items() if name != "bbox_xywh_px"}
    if annotation["kind"] in _PLACELESS:
        return out
    box = annotation.get("bbox_xywh_px") if annotation["kind"] in _OWN_BOX else None
    box = box or enclosure(out)
    if box is None:
        raise ValueError(f"a {annotation['kind']} that locates nothing")
    out["bbox_xywh_px"] = list(box)
    return out


def check_values(correction: Correction) -> Finding | None:
    """What is wrong with a correction that is read: what it sets is no annotation."""
    try:
        if isinstance(correction, AddAnnotation):
            check_annotation(new_annotation(correction), correction.annotation)
        elif isinstance(correction, SetAnnotation):
            check_annotation({**correction.old.said, **correction.new.said}, correction.annotation)
            set_values({"id": correction.annotation, **correction.old.said}, correction)
    except ValueError as error:
        return Finding(code=INVALID, message=f"new: {error}")
    return None


def check_line(correction: Correction) -> Finding | None:
    """What is wrong with a correction that is to be written: it could not be read back, or ``check_values``."""
    found = parse_line(correction.to_line().encode("utf-8", "surrogatepass"))
    return found if isinstance(found, Finding) else check_values(correction)


def same_value(name: str, held: Any, value: Any) -> bool:
    """Whether two values of a field say the same; coordinates to within ``TOLERANCE_PX``."""
    tolerance = TOLERANCE_PX if name in GEOMETRY_FIELDS else 0.0
    return _close(_normal(name, held), _normal(name, value), tolerance)


def _normal(name: str, value: Any) -> Any:
    """One form for what says the same; None for what says nothing."""
    if value is None or value is False or value == _DEFAULTS.get(name, ()) or value in ([], {}):
        return None
    if name == "keypoints":
        return [{"visibility": 2, **point} for point in value]
    if name == "ellipse":
        return {"angle": 0.0, **value}
    return value


def _close(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_close(a[name], b[name], tolerance) for name in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(_close(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return abs(a - b) <= tolerance
    return bool(a == b)


def _is_settled(code: str, said: Mapping[str, Any]) -> bool:
    """Whether a finding was about what is now set anew."""
    if code == RULE or any(code in (f"{PREFIX}{name}", f"{PREFIX}missing-{name}") for name in said):
        return True
    if code in _ABOUT_PLACE:
        return not said.keys().isdisjoint(GEOMETRY_FIELDS)
    return code in _ABOUT_CATEGORY and not said.keys().isdisjoint(("category", "categories"))


def _in_field_order(annotation: Row) -> Row:
    return {name: annotation[name] for name in Annotation.model_fields if name in annotation}


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
