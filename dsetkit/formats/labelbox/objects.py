"""One object or list of answers of Labelbox, of all dialects, as an annotation row or attributes.

Coordinates are pixels from the picture's top-left corner: a box is ``top``, ``left``, ``height``, ``width``; polygons
and lines are lists of ``x``, ``y`` (an export repeats a polygon's first point at its end; it is read once).
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from dsetkit.errors import PictureError
from dsetkit.formats.labelbox.values import coordinate, dict_of, list_of, number_of, text_of
from dsetkit.geometry import rle
from dsetkit.geometry.shape import enclosure
from dsetkit.imaging.mask_png import read_mask
from dsetkit.spec.arrow import Row

_DEEPEST = 20


class ObjectError(ValueError):
    """An object that cannot be kept; ``code`` is an issue's."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


def category_of(raw: dict[str, Any]) -> str:
    """The name of an object's feature: ``name`` (exports, imports), ``title`` (v1); the schema's id where none."""
    names = (raw.get("name"), raw.get("title"), raw.get("value"), raw.get("schemaId"), raw.get("feature_schema_id"))
    return next((text for name in names if (text := text_of(name))), "")


def schema_of(raw: dict[str, Any]) -> str:
    """The id of the feature in its ontology; empty where it is not said."""
    return text_of(raw.get("feature_schema_id")) or text_of(raw.get("schemaId"))


def read_object(raw: dict[str, Any]) -> Row:
    """Kind, shape, category, attributes, score, extras as they stand; no id. Raises ``ObjectError``."""
    row = _locate(raw)
    if "bbox_xywh_px" not in row:
        row["bbox_xywh_px"] = list(enclosure(row) or ())
    category = category_of(raw)
    if category:
        row["category"] = category
    else:
        row["issues"] = [{"code": "category-missing", "message": "it has neither a name nor a schema's id"}]
    attributes: dict[str, Any] = {}
    read_answers(list_of(raw.get("classifications")), attributes)
    if attributes:
        row["attributes"] = attributes
    score = number_of(raw.get("confidence"))
    if score is not None:
        row["score"] = score
    metrics = raw.get("customMetrics") or raw.get("custom_metrics")
    if metrics:
        row["extras"] = {"labelbox": {"custom_metrics": metrics}}
    return row


def _locate(raw: dict[str, Any]) -> Row:
    box = raw.get("bounding_box") or raw.get("bbox")
    try:
        if box:
            left, top, width, height = (coordinate(dict_of(box).get(name), name) for name in _BOX)
            return {"kind": "box", "bbox_xywh_px": [left, top, width, height]}
        if raw.get("polygon"):
            flat = read_points(raw["polygon"], "polygon")
            if len(flat) > 6 and flat[:2] == flat[-2:]:
                flat = flat[:-2]
            return {"kind": "polygon", "polygons": [[flat]]}
        if raw.get("line"):
            return {"kind": "polyline", "polyline": read_points(raw["line"], "line")}
        if raw.get("point"):
            return {"kind": "points", "points": read_points([raw["point"]], "point")}
    except ValueError as error:
        raise ObjectError("object-invalid", str(error)) from None
    for name in ("mask", "composite_mask", "segmentation"):
        if raw.get(name):
            return _mask(dict_of(raw[name]))
    if raw.get("instanceURI"):
        return _mask({"instanceURI": raw["instanceURI"]})
    kind = text_of(raw.get("annotation_kind")) or "none that is known"
    raise ObjectError("object-unknown", f"it has no shape of a picture's object (its kind: {kind[:60]})")


_BOX = ("left", "top", "width", "height")


def read_points(points: Any, what: str) -> list[float]:
    """A list of ``{"x": .., "y": ..}`` as flat coordinates. Raises ``ValueError``."""
    if not isinstance(points, list) or not points:
        raise ValueError(f"its {what} is no list of points")
    return [coordinate(dict_of(point).get(axis), f"{axis} of its {what}") for point in points for axis in "xy"]


def _mask(raw: dict[str, Any]) -> Row:
    """A mask of run lengths or of a PNG in base64. One behind a URL is not fetched."""
    packed = dict_of(raw.get("rle")) or raw
    try:
        if "counts" in packed:
            counts, size = packed["counts"], list_of(packed.get("size"))
            if isinstance(counts, list):
                mask = rle.from_uncompressed(counts, size)
            else:
                mask = {"size": size, "counts": counts}
                rle.runs(mask)
        elif isinstance(raw.get("png"), str):
            mask = rle.encode(read_mask(_decoded(raw["png"]), max_pixels=rle.MAX_PIXELS))
        elif raw.get("url") or raw.get("instanceURI"):
            raise ObjectError("mask-not-fetched", "its mask is behind a URL, and nothing is fetched")
        else:
            raise ObjectError("object-invalid", "its mask is neither run lengths nor a PNG")
    except PictureError as error:
        raise ObjectError("object-invalid", f"the PNG of its mask cannot be used: {error.message}") from None
    except ObjectError:
        raise
    except ValueError as error:
        raise ObjectError("object-invalid", str(error)) from None
    box = rle.mask_bbox(mask)
    if box is None:
        raise ObjectError("object-invalid", "no pixel of its mask is set")
    return {"kind": "mask", "mask": mask, "bbox_xywh_px": list(box)}


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.rpartition("base64,")[2], validate=True)
    except (binascii.Error, ValueError):
        raise ObjectError("object-invalid", "the PNG of its mask is no base64") from None


def read_answers(classifications: list[Any], attributes: dict[str, Any], above: str = "", depth: int = 0) -> None:
    """Adds what was answered: radio → text, checklist → list of texts, free text → text.

    Questions nested under an answer come behind, under their own names, too, or, where such a name is taken, as
    ``<question above>.<question>``.
    """
    below: list[tuple[str, list[Any]]] = []
    for raw in classifications:
        if not isinstance(raw, dict) or depth > _DEEPEST:
            continue
        name = category_of(raw)
        value, nested = answer_of(raw)
        if not name or value is None:
            continue
        if name in attributes and above:
            name = f"{above}.{name}"
        attributes[name] = value
        below += [(name, inner) for inner in nested if inner]
    for name, inner in below:
        read_answers(inner, attributes, name, depth + 1)


def answer_of(raw: dict[str, Any]) -> tuple[str | list[str] | None, list[list[Any]]]:
    """What was answered to a question, and the questions nested under it; None where it was not answered."""
    if isinstance(raw.get("text_answer"), dict):
        return text_of(raw["text_answer"].get("content")), []
    names = ("radio_answer", "dropdown_answer", "checklist_answers", "answer", "answers")
    given = next((raw[name] for name in names if raw.get(name) is not None), None)
    if isinstance(given, dict):
        return category_of(given) or None, [list_of(given.get("classifications"))]
    if isinstance(given, list):
        answers = [dict_of(item) for item in given]
        chosen = [text for item in answers if (text := category_of(item))]
        return chosen, [list_of(item.get("classifications")) for item in answers]
    return (given, []) if isinstance(given, str) else (None, [])
