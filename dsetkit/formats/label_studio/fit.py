"""One annotation as far as Label Studio's JSON can hold it, beyond what capabilities say: broken and holed shapes."""

from __future__ import annotations

from dsetkit.formats.label_studio.shapes import LIMIT_PX, read_shape, write_shape
from dsetkit.formats.loss import Ledger
from dsetkit.geometry import rle
from dsetkit.geometry.polygons import ring_area
from dsetkit.geometry.shape import FIELD_OF_KIND, enclosure
from dsetkit.spec.arrow import Row

_GEOMETRY = ("bbox_xywh_px", "rotated_box", "polygons", "polyline", "points", "ellipse", "mask", "keypoints")


def fit_annotation(annotation: Row, size: tuple[int, int] | None, ledger: Ledger, key: str) -> Row | None:
    """The annotation as it is read back, but for what ``carry_row`` takes away and for its id; None if it is lost.

    ``size`` is the picture's width and height, pixels: lengths are written as percent of it.
    """
    where = f"{key}#{annotation['id']}"
    kind = annotation["kind"]
    out = {name: value for name, value in annotation.items() if name not in _GEOMETRY}
    if kind == "caption":
        return {**out, "text": annotation.get("text") or ""}
    names = [name for name in (annotation.get("category"), *annotation.get("categories", ())) if name]
    names = list(dict.fromkeys(names))
    for name in ("category", "categories"):
        out.pop(name, None)
    out |= {"category": names[0]} if names else {}
    out |= {"categories": names} if len(names) > 1 and kind != "image_label" else {}
    if len(names) > 1 and kind == "image_label":
        message = "a label of a picture has one category; the others are left out"
        ledger.add("categories-dropped", message, where)
    if kind == "image_label":
        if not names:
            message = "label_studio needs a category on a label of a picture; those without one are left out"
            ledger.add("category-none", message, where)
            return None
        return out
    if kind in FIELD_OF_KIND and kind != "mask" and size is None:
        message = "label_studio says lengths in percent; annotations of pictures of unknown size are left out"
        ledger.add("size-unknown", message, where)
        return None
    try:
        shape = _fit_shape(annotation, size, ledger, where)
    except (ValueError, KeyError, TypeError) as error:
        ledger.add("shape-broken", f"shapes that cannot be read back are left out ({error})", where)
        return None
    if shape is None:
        ledger.add("shape-broken", "annotations that locate nothing are left out", where)
        return None
    return {**out, **shape}


def _fit_shape(annotation: Row, size: tuple[int, int] | None, ledger: Ledger, where: str) -> Row | None:
    kind = annotation["kind"]
    if kind == "polygon":
        annotation = _whole_polygon(annotation, size, ledger, where)
    if kind == "mask" and annotation.get("mask"):
        height, width = rle.check_size(annotation["mask"]["size"])
        rle.runs(annotation["mask"])
        size = (width, height)
    if kind == "keypoints":
        return _fit_keypoints(annotation, ledger, where)
    if kind == "points" and len(annotation.get("points", ())) > 2:
        flat = [float(value) for value in annotation["points"]]
        if len(flat) % 2 or not all(abs(value) <= LIMIT_PX for value in flat):
            raise ValueError("points that are no pairs of finite numbers")
        shape: Row = {"kind": "points", "points": flat}
        return {**shape, "bbox_xywh_px": enclosure(shape)}
    if size is None:
        return None
    if annotation["kind"] == "mask":  # what is packed is what is unpacked
        if not annotation.get("mask"):
            return None
        around = enclosure(annotation)
        return {"kind": "mask", "mask": annotation["mask"], "bbox_xywh_px": around or (0.0, 0.0, 0.0, 0.0)}
    written = write_shape(annotation, size)
    if written is None:
        return None
    findings: list[Row] = []
    shape = read_shape(*written, size, findings)  # what the reader will make of it, by the reader itself
    if kind == "rotated_box" and shape["kind"] == "box":
        x, y, w, h = shape["bbox_xywh_px"]
        box = {"cx": x + w / 2, "cy": y + h / 2, "w": w, "h": h, "angle": 0.0}
        shape |= {"kind": "rotated_box", "rotated_box": box}
    return shape


def _whole_polygon(annotation: Row, size: tuple[int, int] | None, ledger: Ledger, where: str) -> Row:
    """A polygon of one ring as it is; others as a mask, or, of a picture of unknown size, their largest outline."""
    parts = [rings for rings in annotation.get("polygons", ()) if rings]
    if len(parts) == 1 and len(parts[0]) == 1:
        return {**annotation, "polygons": parts}
    if not parts:
        raise ValueError("a polygon without points")
    assert size is not None
    if size[0] * size[1] > rle.MAX_PIXELS:
        message = "a polygon with holes or parts is too large for a mask; its largest outline is kept"
        ledger.add("polygon-holes", message, where)
        return {**annotation, "polygons": [[max((rings[0] for rings in parts), key=ring_area)]]}
    message = "label_studio has no holes and no parts in polygons; such a polygon becomes a mask"
    ledger.add("polygon-holes", message, where)
    rest = {name: value for name, value in annotation.items() if name not in ("polygons", "bbox_xywh_px")}
    return {**rest, "kind": "mask", "mask": rle.mask_from_polygons(parts, (size[1], size[0]))}


def _fit_keypoints(annotation: Row, ledger: Ledger, where: str) -> Row | None:
    """Keypoints beside their box; those that are not labelled have no place to be written at."""
    points = []
    for point in annotation.get("keypoints", ()):
        visibility = point.get("visibility", 2)
        if visibility == 0:
            message = "keypoints that are not labelled are left out"
            ledger.add("keypoint-unlabelled", message, where, severity="info")
            continue
        if visibility not in (1, 2) or not point["name"]:
            message = "label_studio cannot say such a keypoint; it is left out"
            ledger.add("keypoint-dropped", message, where)
            continue
        x, y = float(point["x"]), float(point["y"])
        if not max(abs(x), abs(y)) <= LIMIT_PX:
            raise ValueError("coordinates that are no finite numbers")
        points.append({"name": point["name"], "x": x, "y": y, **({"visibility": 1} if visibility == 1 else {})})
    box = annotation.get("bbox_xywh_px") or enclosure({**annotation, "keypoints": points})
    if box is None:
        return None
    x, y, w, h = map(float, box)
    if not max(map(abs, (x, y, w, h))) <= LIMIT_PX or w < 0 or h < 0:
        raise ValueError("a box of no size")
    if not points:
        ledger.add("kind-changed", "keypoints of which none is labelled become a box", where)
        return {"kind": "box", "bbox_xywh_px": (x, y, w, h)}
    return {"kind": "keypoints", "keypoints": points, "bbox_xywh_px": (x, y, w, h)}
