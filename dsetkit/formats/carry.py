"""From capabilities to losses: the row that a format can carry, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.loss import Ledger
from dsetkit.formats.outside import left_out, note_left_out
from dsetkit.geometry.polygons import ring_area
from dsetkit.geometry.shape import box_corners, ellipse_outline, enclosure
from dsetkit.spec.annotation import is_outside
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category

if TYPE_CHECKING:
    from dsetkit.formats.base import Export

SHAPE_FIELD: Mapping[str, str | None] = {
    "image_label": None,
    "box": None,
    "rotated_box": "rotated_box",
    "polygon": "polygons",
    "mask": "mask",
    "polyline": "polyline",
    "points": "points",
    "keypoints": "keypoints",
    "ellipse": "ellipse",
    "caption": "text",
}
"""The field that holds a kind's own shape, beside ``bbox_xywh_px``."""

# What the snapshot measured itself or keeps for itself; a reader of pictures and labels finds it anew.
_MEASURED = frozenset(
    {"digest", "made_from", "row_digest", "shard", "offset_bytes", "size_bytes", "media_type", "width_px", "height_px"}
    | {"mode", "exif_orientation", "phash", "sharpness", "brightness", "contrast", "channel_mean", "channel_std"}
)
_LINEAGE = frozenset({"source_id", "split_group", "derived_from", "recipe", "responses"})
_ANNOTATION_LINEAGE = frozenset({"source_id", "annotator", "model", "origin", "based_on", "issues"})
_HANDLED = frozenset({"id", "kind", "category", "bbox_xywh_px", "attributes", "extras"})
_ROW_HANDLED = frozenset({"key", "annotations", "split", "subsets", "labelled", "provenance"})


def is_measured(name: str) -> bool:
    """Whether a field of a sample is found anew by who reads the picture, so that it counts as no loss."""
    return name in _MEASURED


def is_bookkeeping(name: str, *, of_annotation: bool = False) -> bool:
    """Whether the loss of a field of a sample, or of an annotation, is one of bookkeeping alone."""
    return name in (_ANNOTATION_LINEAGE if of_annotation else _LINEAGE)


def split_of(row: Row) -> str | None:
    """The one split a row is written under: its ``split``, else the first of its ``subsets``."""
    split: str | None = row.get("split")
    if split is not None:
        return split
    subsets: Sequence[str] = row.get("subsets", ())
    return subsets[0] if subsets else None


def carry_row(row: Row, capabilities: Capabilities, ledger: Ledger) -> Row:
    """The row as far as the capabilities go; the rest is entered in the ledger. The row itself is not changed.

    What is not in the frame (``is_outside``) is no label of the picture: a sample of which that alone is left out is as
    labelled as it was.
    """
    key: str = row["key"]
    fmt = ledger.format_name
    out: Row = {"key": key}
    for name, value in row.items():
        if name in _ROW_HANDLED or name.startswith("_"):  # an export may note things of its own on its rows
            continue
        if name in capabilities.sample_fields:
            out[name] = value
        elif name not in _MEASURED:
            _field_lost(ledger, "sample", name, key, info=name in _LINEAGE)
    _carry_subsets(row, capabilities, ledger, out)
    provenance: Mapping[str, Any] = row.get("provenance") or {}
    kept = {name: value for name, value in provenance.items() if name in capabilities.provenance_fields}
    if kept:
        out["provenance"] = kept
    for name in provenance:
        if name not in kept:
            _field_lost(ledger, "sample", f"provenance.{name}", key, info=True)
    annotations: list[Row] = []
    for annotation in row.get("annotations", ()):
        carried = carry_annotation(annotation, capabilities, ledger, key)
        if carried is None:
            continue
        if "id" not in capabilities.annotation_fields:
            new_id = str(len(annotations))
            if new_id != annotation["id"]:
                message = f"{fmt} has no annotation ids; they are numbered anew from 0 in each sample"
                ledger.add("id-renumbered", message, f"{key}#{annotation['id']}", severity="info")
            carried["id"] = new_id
        annotations.append(carried)
    if annotations:
        out["annotations"] = annotations
    _carry_labelled(row, capabilities, ledger, out)
    return out


def _carry_subsets(row: Row, capabilities: Capabilities, ledger: Ledger, out: Row) -> None:
    split: str | None = row.get("split")
    given: Sequence[str] = row.get("subsets", ())
    subsets = (split,) if split is not None else tuple(given)
    room = {"none": 0, "one": 1, "many": len(subsets)}[capabilities.subsets]
    if subsets[:room]:
        out["subsets"] = subsets[:room]
    if split is not None and any(name != split for name in given):
        message = "the subsets that the source gave are left out where a sample has a split"
        ledger.add("subsets-dropped", message, row["key"], severity="info")
    if len(subsets) > room:
        some = "no splits" if room == 0 else "one split a picture"
        ledger.add("split-dropped", f"{ledger.format_name} has {some}; others are left out", row["key"])


def _carry_labelled(row: Row, capabilities: Capabilities, ledger: Ledger, out: Row) -> None:
    labelled = row.get("labelled", "no")
    if labelled != "no":
        out["labelled"] = "yes"
    withdraw_labelled(row, out, ledger)
    is_empty = all(map(is_outside, row.get("annotations", ())))
    if is_empty and not out.get("annotations") and not capabilities.tells_unlabelled:
        out.pop("labelled", None)
    if out.get("annotations"):
        out["labelled"] = "yes"
    said = out.get("labelled", "no")
    if labelled == "partial" and (said == "yes" or is_empty):
        message = f"{ledger.format_name} cannot say that a picture is labelled in part; it counts as labelled '{said}'"
        ledger.add("labelled-partial", message, row["key"])
    elif labelled == "yes" and said == "no" and is_empty:
        message = (
            f"{ledger.format_name} cannot say that a picture was labelled and shows nothing; it counts as not labelled"
        )
        ledger.add("labelled-empty", message, row["key"])


def withdraw_labelled(row: Row, out: Row, ledger: Ledger) -> None:
    """Make ``out`` not labelled where ``row`` has annotations and none of them is carried.

    Empty labels would say that somebody looked and nothing is there.
    """
    has_labels = not all(map(is_outside, row.get("annotations", ())))
    if has_labels and not out.get("annotations") and out.pop("labelled", None) is not None:
        message = f"{ledger.format_name} can say nothing of what is on a picture; it counts as not labelled"
        ledger.add("labelled-withdrawn", message, row["key"], severity="info")  # each annotation is a warning


def carry_annotation(annotation: Row, capabilities: Capabilities, ledger: Ledger, key: str) -> Row | None:
    """The annotation as far as the capabilities go, a new row; None where nothing of it can be written.

    ``key`` is its sample's, for examples. Its ``id`` is kept; the caller numbers anew where ids do not survive.
    """
    fmt, kind, where = ledger.format_name, annotation["kind"], f"{key}#{annotation['id']}"
    if capabilities.needs_category and kind != "caption" and annotation.get("category") is None:
        ledger.add("category-none", f"{fmt} needs a category; annotations without one are left out", where)
        return None
    if left_out(annotation, capabilities):
        note_left_out(ledger, where)
        return None
    source = annotation
    if kind not in capabilities.kinds:
        target = capabilities.becomes.get(kind)
        converted = convert(annotation, target) if target is not None else None
        if converted is None:
            ledger.add("kind-dropped", f"{fmt} cannot say {kind}; such annotations are left out", where)
            return None
        ledger.add("kind-changed", f"{fmt} cannot say {kind}; it becomes {target}", where)
        source, kind = converted, converted["kind"]
    own = SHAPE_FIELD[kind]
    out: Row = {"id": source["id"], "kind": kind}
    for name in ("category", "bbox_xywh_px", own):
        if name is not None and source.get(name) is not None:
            out[name] = source[name]
    if kind in ("image_label", "caption"):
        out.pop("bbox_xywh_px", None)
    if kind == "polygon":
        out["polygons"] = _carry_polygons(out.get("polygons", ()), capabilities, ledger, where)
    for name, value in source.items():
        if name in _HANDLED or name == own:
            continue
        if name in capabilities.annotation_fields:
            out[name] = value
        else:
            _field_lost(ledger, "annotation", name, where, info=name in _ANNOTATION_LINEAGE)
    _carry_open(source, capabilities, ledger, where, out)
    return out


def _carry_open(source: Row, capabilities: Capabilities, ledger: Ledger, where: str, out: Row) -> None:
    """Attributes and extras."""
    fmt = ledger.format_name
    attributes: Mapping[str, Any] = source.get("attributes", {})
    allowed = capabilities.attributes
    kept = {name: value for name, value in attributes.items() if allowed is None or name in allowed}
    if kept:
        out["attributes"] = kept
    for name in attributes:
        if name not in kept:
            ledger.add("attribute-dropped", f"{fmt} has no place for the attribute {name!r}; not written", where)
    extras: Mapping[str, Any] = source.get("extras", {})
    if "extras" in capabilities.annotation_fields and fmt in extras:
        out["extras"] = {fmt: extras[fmt]}
    else:
        out.pop("extras", None)
    for name in extras:
        if name not in out.get("extras", {}):
            message = f"what only {name} knows of an annotation is left out"
            ledger.add("extras-dropped", message, where, severity="info")


def _field_lost(ledger: Ledger, what: str, name: str, where: str, *, info: bool) -> None:
    severity: Literal["warning", "info"] = "info" if info else "warning"
    article = "an" if what == "annotation" else "a"
    message = f"{ledger.format_name} has no place for the {name} of {article} {what}; not written"
    ledger.add("field-dropped", message, where, severity=severity)


def _carry_polygons(parts: Sequence[Any], capabilities: Capabilities, ledger: Ledger, where: str) -> Sequence[Any]:
    fmt = ledger.format_name
    if not capabilities.holes and any(len(rings) > 1 for rings in parts):
        ledger.add("polygon-holes", f"{fmt} has no holes in polygons; they are filled", where)
        parts = tuple((rings[0],) for rings in parts)
    if not capabilities.parts and len(parts) > 1:
        ledger.add("polygon-parts", f"{fmt} has no polygons of several parts; the largest is kept", where)
        parts = (max(parts, key=lambda rings: ring_area(rings[0])),)
    return parts


def convert(annotation: Row, kind: str) -> Row | None:
    """The annotation as another kind: ``box`` (its enclosure), ``image_label``, or ``polygon`` from a rotated box
    (its corners) or an ellipse (points on it, within 0.1 px). None where it locates nothing.

    Raises ``ValueError`` for another kind.
    """
    own = SHAPE_FIELD[annotation["kind"]]
    out = {name: value for name, value in annotation.items() if name not in (own, "kind")}
    out["kind"] = kind
    if kind == "image_label":
        out.pop("bbox_xywh_px", None)
        return out
    if kind == "box":
        out["bbox_xywh_px"] = annotation.get("bbox_xywh_px") or enclosure(annotation)
        return out if out["bbox_xywh_px"] is not None else None
    if kind == "polygon" and annotation["kind"] in ("rotated_box", "ellipse"):
        shape = annotation[annotation["kind"]]
        ring = box_corners(shape) if annotation["kind"] == "rotated_box" else ellipse_outline(shape)
        out["polygons"] = ((ring,),)
        out["bbox_xywh_px"] = enclosure({"id": out["id"], "kind": "polygon", "polygons": out["polygons"]})
        return out
    raise ValueError(f"no way from {annotation['kind']} to {kind}")


def carry_categories(export: Export, capabilities: Capabilities, ledger: Ledger) -> tuple[Category, ...]:
    """The categories as far as the capabilities go, in order; what is left behind is entered in the ledger."""
    fmt = ledger.format_name
    carried: list[Category] = []
    for category in export.categories:
        given = {name: value for name, value in category.to_row().items() if name not in ("name", "index")}
        for name in sorted(given.keys() - capabilities.category_fields):
            message = f"{fmt} has no place for the {name} of a category; not written"
            ledger.add("category-field-dropped", message, category.name, severity="info")
        kept = {name: getattr(category, name) for name in given if name in capabilities.category_fields}
        carried.append(Category(name=category.name, index=len(carried), **kept))
    if capabilities.categories == "used" and carried:
        used = {annotation.get("category") for row in export.rows() for annotation in row.get("annotations", ())}
        for category in carried:
            if category.name not in used:
                message = f"{fmt} has no list of categories; those that no annotation names are left out"
                ledger.add("category-unused", message, category.name, severity="info")
        carried = [category for category in carried if category.name in used]
        carried = [category.model_copy(update={"index": index}) for index, category in enumerate(carried)]
    return tuple(carried)
