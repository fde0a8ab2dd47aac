"""Labels that are almost right: what is nothing is dropped, what sticks out a little is clipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dsetkit.curation.links import add_findings
from dsetkit.geometry.clip import clip, overhang_px
from dsetkit.geometry.shape import enclosure, is_degenerate, is_located
from dsetkit.spec.annotation import is_outside
from dsetkit.spec.arrow import Row
from dsetkit.spec.issue import Finding
from dsetkit.spec.params import RepairParams

BOX_DEGENERATE = "box-degenerate"
"""A box without area, or smaller than ``clean.repair.min_side_px``; readers set it too."""
SHAPE_DEGENERATE = "shape-degenerate"
"""Any other located shape that is nothing."""
CLIPPED = "clipped"
"""It stuck out of the picture by no more than ``clean.repair.clip_px`` and was cut at its edge."""
OUTSIDE = "outside-picture"
"""It sticks out by more."""
MASK_SIZE = "mask-size-differs"
"""A mask that is not of the picture's size."""
LINK_DROPPED = "link-dropped"
"""It pointed at an annotation that is no longer there."""

SHAPE_UNREADABLE = "shape-unreadable"
"""A shape that cannot be measured or cut."""

INVALID_FINDINGS = frozenset(
    {
        "box-inverted",  # corners the wrong way round, or a negative side; the reader turned them
        "coordinate-beyond",  # beyond any picture; that part of it was left out
        "coordinates-not-finite",  # NaN or infinity
        "keypoints-length",
        "keypoints-unreadable",
        "mask-corrupt",  # run lengths that do not fill the mask's size
        "mask-invalid",
        "mask-unreadable",
        "polygon-odd",  # a part that is no list of x, y pairs was left out
        "polygon-too-short",  # fewer than three points
        MASK_SIZE,
        SHAPE_UNREADABLE,
    }
)
"""Findings of readers that make an annotation invalid: its shape was guessed at, or is not all there.

Whether it is then dropped is for ``clean.on_invalid`` to say. What only speaks of its place (``coordinates-outside``)
is measured here anew, and what speaks of its category is for the mapping and the contract.
"""

_BOXES = ("box", "rotated_box")


class Repair(NamedTuple):
    """What became of one annotation."""

    annotation: Row | None
    """None: dropped; ``findings`` holds the reason."""
    findings: tuple[Finding, ...] = ()
    """Why it is dropped; of one that stays, what makes it invalid."""
    change: str | None = None
    """``clipped`` where it was changed."""


class RepairedRow(NamedTuple):
    """What became of one sample's annotations."""

    row: Row
    dropped: tuple[tuple[Row, Finding], ...] = ()
    """Annotations as they were, each with why it is gone."""
    invalid: tuple[tuple[str, Finding], ...] = ()
    """Ids of annotations that stay and what makes them invalid; it stands in their ``issues`` too."""
    clipped: int = 0
    """How many of those that stay were clipped."""


def repair_annotation(annotation: Row, width_px: int | None, height_px: int | None, params: RepairParams) -> Repair:
    """One annotation, mended where that is safe. ``width_px``, ``height_px``: the upright picture's; none: not known.

    Degenerate (no area, a side at or below ``min_side_px``, or found so by its reader): dropped. Sticks out by at most
    ``clip_px``: clipped, with the finding ``clipped`` that names the old values. Sticks out by more, nothing of it
    lies inside, or carries one of ``INVALID_FINDINGS``: stays as it is and is invalid. One whose object is not in this
    frame (``is_outside``) stays as it is: it locates nothing. Nothing in it makes this raise as long as its fields have
    their types.
    """
    if not is_located(annotation) or is_outside(annotation):
        return Repair(annotation)
    code = BOX_DEGENERATE if annotation["kind"] in _BOXES else SHAPE_DEGENERATE
    had = [Finding.model_construct(**item) for item in annotation.get("issues") or ()]
    found = next((item for item in had if item.code in (BOX_DEGENERATE, SHAPE_DEGENERATE)), None)
    invalid = tuple(item for item in had if item.code in INVALID_FINDINGS)
    if invalid and not annotation.get("bbox_xywh_px"):  # its reader could not make a shape of it
        return Repair(annotation, invalid)
    if found is not None or is_degenerate(annotation, params.min_side_px):
        return Repair(None, (Finding(code=code, message=_degenerate_message(annotation, params, found)),))
    if width_px is None or height_px is None:
        return Repair(annotation, invalid)
    mask = annotation.get("mask")
    if mask and list(mask["size"]) != [height_px, width_px]:
        message = f"the mask is {mask['size'][1]}×{mask['size'][0]} px, the picture {width_px}×{height_px} px"
        return Repair(annotation, (*invalid, Finding(code=MASK_SIZE, message=message)))
    try:
        return _clip(annotation, width_px, height_px, params, invalid)
    except ValueError as error:  # a broken mask beside the shape
        return Repair(annotation, (*invalid, Finding(code=SHAPE_UNREADABLE, message=str(error))))


def _clip(ann: Row, width_px: int, height_px: int, params: RepairParams, invalid: tuple[Finding, ...]) -> Repair:
    overhang = overhang_px(ann, width_px, height_px)
    if overhang <= 0.0:
        return Repair(ann, invalid)
    where = f"{_box_text(ann)} sticks out of the {width_px}×{height_px} px picture by {overhang:.6g} px"
    if overhang > params.clip_px:
        finding = Finding(code=OUTSIDE, message=f"{where}, more than clip_px = {params.clip_px:g}")
        return Repair(ann, (*invalid, finding))
    clipped = clip(ann, width_px, height_px)
    if clipped is None or is_degenerate(clipped, params.min_side_px):
        return Repair(ann, (*invalid, Finding(code=OUTSIDE, message=f"{where}; nothing of it lies inside")))
    return Repair(add_findings(clipped, [Finding(code=CLIPPED, message=f"{where}; clipped")]), invalid, CLIPPED)


def repair_row(row: Row, params: RepairParams) -> RepairedRow:
    """All annotations of one sample repaired. A sample that loses one and was fully labelled becomes ``partial``."""
    kept: list[Row] = []
    dropped: list[tuple[Row, Finding]] = []
    invalid: list[tuple[str, Finding]] = []
    clipped = 0
    for annotation in row.get("annotations") or ():
        repair = repair_annotation(annotation, row.get("width_px"), row.get("height_px"), params)
        if repair.annotation is None:
            dropped.append((annotation, repair.findings[0]))
            continue
        kept.append(add_findings(repair.annotation, repair.findings))
        invalid += [(annotation["id"], finding) for finding in repair.findings]
        clipped += repair.change is not None
    if not row.get("annotations"):
        return RepairedRow(row)
    return RepairedRow(with_annotations(row, kept, lost=bool(dropped)), tuple(dropped), tuple(invalid), clipped)


def with_annotations(row: Row, annotations: Sequence[Row], *, lost: bool) -> Row:
    """The sample with other annotations; ``lost``: some are gone, so it is fully labelled no more."""
    out = {key: value for key, value in row.items() if key != "annotations"}
    if annotations:
        out["annotations"] = drop_links(annotations) if lost else list(annotations)
    if lost and row.get("labelled") == "yes":
        out["labelled"] = "partial"
    return out


def drop_links(annotations: Sequence[Row]) -> list[Row]:
    """The annotations without ``based_on`` and relations to ids that none has, each noted as ``link-dropped``."""
    ids = {item["id"] for item in annotations}
    out = []
    for item in annotations:
        relations = item.get("relations") or ()
        kept = [link for link in relations if link["target"] in ids]
        base = item.get("based_on")
        lost = [f"relation {link['kind']!r} to {link['target']!r}" for link in relations if link["target"] not in ids]
        lost += [f"based_on {base!r}"] if base is not None and base not in ids else []
        if lost:
            update: Row = {"relations": kept, "based_on": base if base in ids else None}
            item = {key: value for key, value in {**item, **update}.items() if key not in update or value}
            item = add_findings(item, [Finding(code=LINK_DROPPED, message=f"{text} is gone") for text in lost])
        out.append(item)
    return out


def _degenerate_message(annotation: Row, params: RepairParams, found: Finding | None) -> str:
    if found is not None and found.message:
        return found.message
    box = _box_text(annotation)
    if params.min_side_px and not is_degenerate(annotation):
        return f"{box} has a side at or below min_side_px = {params.min_side_px:g}"
    return f"{box} is nothing: no area, no length or no visible point"


def _box_text(annotation: Row) -> str:
    box = annotation.get("bbox_xywh_px") or enclosure(annotation)
    numbers = ", ".join(f"{value:.6g}" for value in box) if box else "none"
    return f"bbox_xywh_px [{numbers}]"
