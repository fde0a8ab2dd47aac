"""Polygons for formats that know but one outline, without holes."""

from __future__ import annotations

from dsetkit.formats.loss import Ledger
from dsetkit.geometry.rle import mask_from_polygons
from dsetkit.spec.arrow import Row


def mask_unless_plain(annotation: Row, size: tuple[int | None, int | None], ledger: Ledger, where: str) -> Row:
    """A polygon of several parts or with holes as a mask, which is entered in the ledger; another as it is.

    ``size`` is the picture's height and width, pixels; where it is not known the polygon stays as it is (``carry_row``
    then takes parts and holes away, and says so).
    """
    parts = annotation.get("polygons", ())
    has_holes = any(len(rings) > 1 for rings in parts)
    height, width = size
    if (not has_holes and len(parts) < 2) or height is None or width is None:
        return annotation
    what, code = ("holes", "polygon-holes") if has_holes else ("several parts", "polygon-parts")
    ledger.add(code, f"{ledger.format_name} has no polygons with {what}; such a polygon becomes a mask", where)
    mask = mask_from_polygons(parts, (height, width))
    rest = {name: value for name, value in annotation.items() if name not in ("polygons", "bbox_xywh_px")}
    return {**rest, "kind": "mask", "mask": mask}
