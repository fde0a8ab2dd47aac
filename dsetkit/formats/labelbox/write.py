"""One sample as lines of Labelbox's import NDJSON, and the row that reading them gives: the reader itself reads them.

Definition: https://docs.labelbox.com/reference/import-image-annotations and ``labelbox/data/serialization/ndjson`` of
https://github.com/Labelbox/labelbox-python. Each line is one annotation with a UUID of its own, made of the sample's
key and the annotation's id; ``dataRow.globalKey`` is the picture's path in what is written.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from typing import Any

from dsetkit.formats.labelbox.gather import IMAGE_LABEL
from dsetkit.formats.labelbox.read import LabelboxReader
from dsetkit.formats.loss import Ledger
from dsetkit.formats.pictures import PictureIndex
from dsetkit.geometry import rle
from dsetkit.imaging.mask_png import write_mask
from dsetkit.spec.arrow import Row

_SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://docs.labelbox.com/reference/import-image-annotations")
_KEPT = ("labelled", "annotations", "attributes")


class SampleWriter:
    """Writes one sample. ``records`` are its lines, in order."""

    def __init__(self, key: str, global_key: str, free_text: frozenset[str], ledger: Ledger) -> None:
        self.key = key
        self.global_key = global_key
        self.free_text = free_text
        self.ledger = ledger
        self.records: list[dict[str, Any]] = []
        self._ids: dict[str, str] = {}

    def write(self, row: Row) -> Row:
        """Takes the row as far as it can be carried; gives what is read back, ids and attributes as they come back."""
        annotations = row.get("annotations", ())
        for item in annotations:
            if item["kind"] != "image_label":
                self._object(item)
        self._image_labels([item for item in annotations if item["kind"] == "image_label"])
        for name, value in row.get("attributes", {}).items():
            answer = self._answer(name, value, self.key)
            if answer is not None and name != IMAGE_LABEL:
                self._record(f"attribute {name}", {"name": name, "answer": answer})
            elif answer is not None:
                message = f"{name!r} is the name of the question about whole pictures"
                self.ledger.add("attribute-dropped", message, self.key)
        for item in annotations:
            self._relations(item)
        reader = LabelboxReader(PictureIndex(None))
        for record in self.records:
            reader.add(record, "", "")
        found = reader.rows()
        back = {name: found[0][name] for name in _KEPT if name in found[0]} if found else {}
        self._check(row, back)
        return back

    def _object(self, item: Row) -> None:
        shapes = _shapes_of(item)
        if not shapes:
            self._lost("shape-empty", "labelbox has no objects without points; they are left out", item)
        if len(shapes) > 1:
            message = "labelbox has one point an object; each becomes an annotation of its own"
            self._lost("points-split", message, item)
        for index, shape in enumerate(shapes):
            name = self._identity(item["id"], index)
            if index == 0:
                self._ids[item["id"]] = name
            answers = self._answers(item)
            record = {"name": item["category"], **shape, "classifications": answers}
            if "score" in item:
                record["confidence"] = item["score"]
            extras = item.get("extras", {}).get("labelbox", {})
            if extras.get("custom_metrics"):
                record["customMetrics"] = extras["custom_metrics"]
            if extras.keys() - {"custom_metrics"}:
                self._lost("extras-dropped", "labelbox takes in no extras but metrics", item, info=True)
            self.records.append({"uuid": name, "dataRow": {"globalKey": self.global_key}, **record})

    def _answers(self, item: Row) -> list[dict[str, Any]]:
        where = f"{self.key}#{item['id']}"
        given = ((name, self._answer(name, value, where)) for name, value in item.get("attributes", {}).items())
        return [{"name": name, "answer": answer} for name, answer in given if answer is not None]

    def _image_labels(self, labels: list[Row]) -> None:
        answers: dict[str, dict[str, Any]] = {}
        for item in labels:
            if item["category"] in answers:
                message = "labelbox has each answer about a picture once; others are left out"
                self._lost("label-repeated", message, item)
                continue
            answer: dict[str, Any] = {"name": item["category"]}
            if "score" in item:
                answer["confidence"] = item["score"]
            nested = self._answers(item)
            if nested:
                answer["classifications"] = nested
            if item.get("extras"):
                self._lost("extras-dropped", "what labelbox knows of an answer is left out", item, info=True)
            answers[item["category"]] = answer
        if answers:
            self._record(IMAGE_LABEL, {"name": IMAGE_LABEL, "answer": list(answers.values())})

    def _relations(self, item: Row) -> None:
        for index, relation in enumerate(item.get("relations", ())):
            source, target = self._ids.get(item["id"]), self._ids.get(relation["target"])
            if source is None or target is None or not relation["kind"]:
                message = "labelbox has relations between objects only; others are left out"
                self._lost("relation-dropped", message, item)
                continue
            ends = {"source": source, "target": target, "type": "unidirectional"}
            self._record(f"relation {item['id']} {index}", {"name": relation["kind"], "relationship": ends})

    def _answer(self, name: str, value: Any, where: str) -> Any:
        """A value as an answer: text, one of a radio, or a checklist; None, entered as a loss, for what is none."""
        if isinstance(value, str) and name:
            return value if name in self.free_text or not value else {"name": value}
        is_list = isinstance(value, list | tuple) and len(value) > 0
        if is_list and name and all(isinstance(item, str) and item for item in value) and len(set(value)) == len(value):
            return [{"name": item} for item in value]
        if isinstance(value, bool | int | float) and name:
            message = f"labelbox has only texts as answers; {name!r} is read back as one"
            self.ledger.add("attribute-changed", message, where)
            return {"name": str(value).lower() if isinstance(value, bool) else str(value)}
        self.ledger.add("attribute-dropped", f"labelbox cannot say such a value of the attribute {name!r}", where)
        return None

    def _record(self, what: str, content: Mapping[str, Any]) -> None:
        self.records.append({"uuid": self._identity(what), "dataRow": {"globalKey": self.global_key}, **content})

    def _identity(self, *parts: object) -> str:
        return str(uuid.uuid5(_SPACE, "\n".join((self.key, *map(str, parts)))))

    def _check(self, row: Row, back: Row) -> None:
        """Enters that ids are made anew."""
        for item in row.get("annotations", ()):
            if self._ids.get(item["id"]) != item["id"]:
                message = "labelbox's ids are UUIDs; they are made of the sample's key and the annotation's id"
                self._lost("id-renumbered", message, item, info=True)

    def _lost(self, code: str, message: str, item: Row, *, info: bool = False) -> None:
        where = f"{self.key}#{item['id']}"
        self.ledger.add(code, message, where, severity="info" if info else "warning")


def _shapes_of(item: Row) -> list[dict[str, Any]]:
    """The shapes that stand for an annotation, each as its field of the import format."""
    kind = item["kind"]
    if kind == "box":
        x, y, w, h = item["bbox_xywh_px"]
        return [{"bbox": {"top": y, "left": x, "height": h, "width": w}}]
    if kind == "mask":
        if rle.mask_bbox(item["mask"]) is None:
            return []
        return [{"mask": {"png": base64.b64encode(write_mask(rle.decode(item["mask"]))).decode("ascii")}}]
    if kind == "polygon":
        parts = item.get("polygons", ())
        return [{"polygon": points} for rings in parts if rings and (points := _points(rings[0]))]
    if kind == "polyline":
        points = _points(item.get("polyline", ()))
        return [{"line": points}] if points else []
    return [{"point": point} for point in _points(item.get("points", ()))]


def _points(flat: Any) -> list[dict[str, float]]:
    return [{"x": flat[index], "y": flat[index + 1]} for index in range(0, len(flat) - 1, 2)]
