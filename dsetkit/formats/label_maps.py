"""What covers an area, as masks that a label map (a number a pixel) can hold."""

from __future__ import annotations

from dsetkit.formats.carry import convert
from dsetkit.formats.loss import Ledger
from dsetkit.geometry import rle
from dsetkit.spec.arrow import Row

Size = tuple[int, int]
"""Height, width, pixels."""


def size_of(row: Row) -> Size | None:
    """The size of a sample's picture; where it is not known, that of its first mask."""
    height, width = row.get("height_px"), row.get("width_px")
    if height and width:
        return height, width
    sizes = [tuple(item["mask"]["size"]) for item in row.get("annotations", ()) if item.get("mask")]
    return (int(sizes[0][0]), int(sizes[0][1])) if sizes and len(sizes[0]) == 2 else None


def as_mask(annotation: Row, size: Size | None, ledger: Ledger, where: str) -> Row | None:
    """A mask, polygon, rotated box or ellipse as a mask of the picture's size; None where it cannot be one.

    What is lost is entered in the ledger. Another annotation comes back as it is, as does one without a mask where the
    size is not known.
    """
    kind = annotation["kind"]
    shape = convert(annotation, "polygon") if kind in ("rotated_box", "ellipse") else annotation
    mask = annotation.get("mask")
    try:
        if mask is None and shape is not None and shape.get("polygons") and size is not None:
            mask = rle.mask_from_polygons(shape["polygons"], size)
        if mask is None:
            return annotation
        area = rle.mask_area(mask)
    except (ValueError, KeyError, TypeError) as error:
        ledger.add("shape-broken", f"shapes that cannot be read back are left out ({error})", where)
        return None
    if tuple(mask["size"]) != size:
        message = "a mask of another size than its picture's has no place in the label map; such masks are left out"
        ledger.add("mask-size-differs", message, where)
        return None
    if not area:
        ledger.add("shape-broken", "masks without a pixel are left out", where)
        return None
    if kind != "mask":
        ledger.add("kind-changed", f"{ledger.format_name} cannot say {kind}; it becomes the mask of its pixels", where)
    rest = {name: value for name, value in annotation.items() if name not in ("polygons", "rotated_box", "ellipse")}
    return {**rest, "kind": "mask", "mask": mask, "bbox_xywh_px": rle.mask_bbox(mask)}
