"""The geometry of one COCO annotation, as a row's fields and back.

Format: https://cocodataset.org/#format-data. Boxes are x, y, width, height from 0; polygons are one flat ring a part;
run-length masks go column by column; keypoints are x, y, visibility by the order of their category's names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dsetkit.geometry import rle
from dsetkit.geometry.shape import enclosure
from dsetkit.spec.arrow import Row

LIMIT_PX = 1e9
"""A coordinate beyond this is taken for a fault: sums of those within stay exact to a fraction of a pixel."""
POLYGON_SLACK_PX = 0.5
"""A given box this near to a polygon's own enclosure, edge by edge, is the same box (COCO rounds to 0.01 px)."""
MASK_SLACK_PX = 1.0
"""Of masks: tools count width and height of pixel boxes as last − first, or that + 1."""


_BEYOND = "a coordinate of its {} is beyond any picture (1e9 px); it was left out"


def read_shape(raw: Mapping[str, Any], names: Sequence[str], findings: list[Row]) -> Row | None:
    """``kind``, ``bbox_xywh_px`` and the shape's fields of a checked annotation; None where it locates nothing.

    ``names`` are the category's keypoint names; keypoints beyond them are called by their number. What is wrong with a
    part of it is left out and appended to ``findings``.
    """
    given = raw.get("bbox")
    box: tuple[float, ...] | None = tuple(given) if given else None
    if box is not None and len(box) != 4:
        findings.append({"code": "bbox-length", "message": f"a bbox is 4 numbers, not {len(box)}"})
        box = None
    if box is not None and not within_limit(box):
        findings.append({"code": "coordinate-beyond", "message": _BEYOND.format("bbox")})
        box = None
    out: Row = {}
    segmentation = raw.get("segmentation")
    if segmentation:
        if isinstance(segmentation, dict):
            found = _read_mask(segmentation, findings)
            if found is not None:
                mask, own = found
                out = {"kind": "mask", "mask": mask}
                _compare(box, own, MASK_SLACK_PX, findings)
                box = own if own is not None else box
        else:
            parts = _read_rings(segmentation, findings)
            if parts:
                out = {"kind": "polygon", "polygons": parts}
                own = _around(parts)
                if not _compare(box, own, POLYGON_SLACK_PX, findings):
                    box = own
    if not out and box is not None:
        out = {"kind": "box"}
    keypoints = raw.get("keypoints")
    if keypoints:
        points = _read_keypoints(keypoints, names, findings)
        if points:
            out = {**out, "kind": "keypoints", "keypoints": points}
            if box is None:
                box = enclosure(out)
    if out and box is not None:
        out["bbox_xywh_px"] = box
    return out or None


def within_limit(flat: Sequence[float]) -> bool:
    """Whether no coordinate is beyond ``LIMIT_PX`` or not finite."""
    return max(flat) <= LIMIT_PX and min(flat) >= -LIMIT_PX


def _around(parts: Sequence[Sequence[Sequence[float]]]) -> tuple[float, float, float, float]:
    # Plain Python: for the twenty points of a usual ring this is several times faster than an array.
    left = top = math.inf
    right = bottom = -math.inf
    for part in parts:
        xs, ys = part[0][0::2], part[0][1::2]
        left, right = min(left, min(xs)), max(right, max(xs))
        top, bottom = min(top, min(ys)), max(bottom, max(ys))
    return left, top, right - left, bottom - top


def _compare(
    given: tuple[float, ...] | None, own: tuple[float, ...] | None, slack_px: float, findings: list[Row]
) -> bool:
    """Whether the box that was given is the shape's own; a finding if it was given and is not."""
    if given is None or own is None:
        return False
    apart = max(
        abs(given[0] - own[0]),
        abs(given[1] - own[1]),
        abs(given[0] + given[2] - own[0] - own[2]),
        abs(given[1] + given[3] - own[1] - own[3]),
    )
    if apart <= slack_px:
        return True
    shown = ", ".join(f"{value:g}" for value in given)
    message = f"the bbox given is [{shown}], {apart:g} px off what is outlined; the outline counts"
    findings.append({"code": "bbox-disagrees", "message": message})
    return False


def _read_rings(rings: Sequence[Sequence[float]], findings: list[Row]) -> list[list[Sequence[float]]]:
    parts = []
    if rings and not isinstance(rings[0], list | tuple):
        rings = [rings]  # type: ignore[list-item]
    for ring in rings:
        if ring and not within_limit(ring):
            findings.append({"code": "coordinate-beyond", "message": _BEYOND.format("outline")})
        elif len(ring) % 2:
            message = f"an outline of {len(ring)} numbers is no list of x, y pairs; it was left out"
            findings.append({"code": "polygon-odd", "message": message})
        elif ring:
            parts.append([ring])
    return parts


def _read_mask(
    segmentation: Mapping[str, Any], findings: list[Row]
) -> tuple[Row, tuple[float, float, float, float] | None] | None:
    """The mask, and the box around it, made of the runs, which have to be looked at anyway."""
    counts = segmentation["counts"]
    try:
        if not isinstance(counts, str):
            mask = rle.from_uncompressed(counts, segmentation["size"])
            return mask, rle.runs_bbox(np.array(counts, np.int64), mask["size"][0])
        mask = {"size": list(segmentation["size"]), "counts": counts}
        return mask, rle.mask_bbox(mask)
    except ValueError as error:
        findings.append({"code": "mask-invalid", "message": f"{error}; it was left out"})
        return None


def _read_keypoints(flat: Sequence[float], names: Sequence[str], findings: list[Row]) -> list[Row]:
    """Keypoints by name; none where not one is labelled or has a place (COCO fills those with zeros)."""
    if len(flat) % 3:
        message = f"{len(flat)} numbers are no list of x, y, visibility; the last {len(flat) % 3} were left out"
        findings.append({"code": "keypoints-length", "message": message})
    points = []
    labelled = False
    for index in range(len(flat) // 3):
        x, y, visibility = flat[3 * index : 3 * index + 3]
        if not within_limit((x, y)):
            findings.append({"code": "coordinate-beyond", "message": _BEYOND.format(f"keypoint {index}")})
            x, y, visibility = 0.0, 0.0, 0
        if visibility not in (0, 1, 2):
            message = f"keypoint {index} has the visibility {visibility:g}, which is none of 0, 1, 2; taken for 2"
            findings.append({"code": "keypoint-visibility", "message": message})
            visibility = 2
        labelled = labelled or bool(visibility or x or y)
        name = names[index] if index < len(names) else str(index)
        point: Row = {"name": name, "x": x, "y": y}
        if visibility != 2:
            point["visibility"] = int(visibility)
        points.append(point)
    return points if labelled else []


def write_keypoints(annotation: Row, names: Sequence[str]) -> list[float | int]:
    """Flat x, y, visibility in the order of ``names``; zeros for those the annotation does not have."""
    by_name = {point["name"]: point for point in annotation.get("keypoints", ())}
    flat: list[float | int] = []
    for name in names:
        point = by_name.get(name)
        flat.extend((0, 0, 0) if point is None else (point["x"], point["y"], point.get("visibility", 2)))
    return flat
