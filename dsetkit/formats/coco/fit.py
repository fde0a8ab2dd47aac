"""One annotation as far as COCO can hold it, beyond what capabilities say: holes, keypoint names, broken shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from dsetkit.formats.carry import convert
from dsetkit.formats.coco.read import OWN, may_be_geometry
from dsetkit.formats.coco.shapes import read_shape, write_keypoints
from dsetkit.formats.loss import Ledger
from dsetkit.geometry.rle import mask_from_polygons
from dsetkit.geometry.shape import enclosure
from dsetkit.spec.arrow import Row


class Names(Protocol):
    """What has to be known of the categories."""

    @property
    def category_ids(self) -> Mapping[str, int]:
        """COCO's id of each category, by name."""

    @property
    def keypoint_names(self) -> Mapping[str, Sequence[str]]:
        """The keypoint names of each category, by its name."""


def fit_annotation(
    annotation: Row, size: tuple[int | None, int | None], names: Names, ledger: Ledger, key: str
) -> Row | None:
    """The annotation as it is read back, but for what ``carry_row`` takes away and for its ids; None if it is lost.

    ``size`` is the picture's height and width, pixels: polygons with holes become masks of that size.
    """
    where = f"{key}#{annotation['id']}"
    kind, category = annotation["kind"], annotation.get("category")
    if kind in ("rotated_box", "ellipse"):
        changed = convert(annotation, "polygon")
        if changed is None:
            return None
        ledger.add("kind-changed", f"coco cannot say {kind}; it becomes polygon", where)
        annotation, kind = changed, "polygon"
    if kind in ("polyline", "points"):
        return annotation  # ``carry_row`` says so
    if kind == "caption":
        return fit_extras({**annotation, "text": annotation.get("text") or ""}, ledger, where)
    if category is None:
        return annotation  # ``carry_row`` says so
    if category not in names.category_ids:
        message = "their category is not in the list of categories; such annotations are left out"
        ledger.add("category-unknown", message, where)
        return None
    if kind == "image_label":
        return fit_extras(annotation, ledger, where)
    fitted = _fit_shape(annotation, size, names.keypoint_names[category], ledger, where)
    return None if fitted is None else fit_extras(fitted, ledger, where)


def _fit_shape(
    annotation: Row, size: tuple[int | None, int | None], names: Sequence[str], ledger: Ledger, where: str
) -> Row | None:
    out = dict(annotation)
    if any(len(rings) > 1 for rings in annotation.get("polygons", ())):
        out = _without_holes(out, size, ledger, where)
    try:
        box = out.get("bbox_xywh_px") or enclosure(out)
        raw: Row = {"bbox": box}
        if out.get("polygons"):
            raw["segmentation"] = [rings[0] for rings in out["polygons"] if rings]
        elif out.get("mask"):
            raw["segmentation"] = out["mask"]
        if not _is_finite(raw, out):
            raise ValueError("coordinates that are no finite numbers")
        findings: list[Row] = []
        if out.get("keypoints"):
            raw["keypoints"] = write_keypoints(_whole_visibility(out, names, ledger, where), names)
        shape = read_shape(raw, names, findings)  # what the reader will make of it, by the reader itself
        if any(finding["code"] != "bbox-disagrees" for finding in findings):
            raise ValueError(findings[0]["message"])
    except ValueError as error:
        ledger.add("shape-broken", f"shapes that cannot be read back are left out ({error})", where)
        return None
    if shape is None:
        ledger.add("shape-broken", "annotations that locate nothing are left out", where)
        return None
    if shape["kind"] != annotation["kind"] and out["kind"] != shape["kind"]:
        ledger.add("kind-changed", f"a {out['kind']} without its points or outline becomes {shape['kind']}", where)
    shape.setdefault("bbox_xywh_px", (0.0, 0.0, 0.0, 0.0))  # an empty mask
    for name in ("bbox_xywh_px", "polygons", "mask", "keypoints"):
        out.pop(name, None)
    return {**out, **shape}


def _without_holes(out: Row, size: tuple[int | None, int | None], ledger: Ledger, where: str) -> Row:
    height, width = size
    if height is None or width is None:
        message = "coco has no holes in polygons, and the picture's size is not known for a mask; they are filled"
        ledger.add("polygon-holes", message, where)
        return {**out, "polygons": [rings[:1] for rings in out["polygons"]]}
    ledger.add("polygon-holes", "coco has no holes in polygons; such a polygon becomes a mask", where)
    mask = mask_from_polygons(out["polygons"], (height, width))
    rest = {name: value for name, value in out.items() if name not in ("polygons", "bbox_xywh_px")}
    return {**rest, "kind": "mask" if out["kind"] == "polygon" else out["kind"], "mask": mask}


def _whole_visibility(out: Row, names: Sequence[str], ledger: Ledger, where: str) -> Row:
    points = []
    seen: set[str] = set()
    for point in out["keypoints"]:
        if point["name"] in seen:
            ledger.add("keypoint-twice", "of keypoints of one name the first is kept", where)
            continue
        seen.add(point["name"])
        visibility = point.get("visibility", 2)
        if visibility not in (0, 1, 2):
            ledger.add("keypoint-visibility", "a visibility other than 0, 1, 2 becomes 2", where)
            visibility = 2
        points.append({**point, "visibility": visibility})
    return {**out, "keypoints": points}


def _is_finite(raw: Mapping[str, Any], out: Row) -> bool:
    segmentation = raw.get("segmentation", ())
    rings = segmentation if not isinstance(segmentation, dict) else ()
    points = [point[axis] for point in out.get("keypoints", ()) for axis in ("x", "y")]
    # One number that is not finite makes a sum so; a sum is much quicker than to ask of each.
    return math.isfinite(sum(raw["bbox"] or ()) + sum(map(sum, rings)) + sum(points))


def fit_extras(annotation: Row, ledger: Ledger, where: str, *, own: frozenset[str] = OWN, name: str = "coco") -> Row:
    """Without extras that would be taken for something else when read back.

    ``own`` are the format's own fields, ``name`` is the format's.
    """
    given = annotation.get("extras", {}).get(name)
    if not isinstance(given, dict):
        return annotation
    kept = {field: value for field, value in given.items() if field not in own and not may_be_geometry(value)}
    if len(kept) == len(given):
        return annotation
    ledger.add("extras-dropped", "extras that look like coordinates or bear COCO's own names are left out", where)
    extras = {field: value for field, value in annotation["extras"].items() if field != name}
    return {**annotation, "extras": {**extras, name: kept} if kept else extras}
