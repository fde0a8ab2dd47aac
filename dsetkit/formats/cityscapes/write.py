"""One sample as Cityscapes' polygons, and the row that reading them gives: what is written is read by the reader."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dsetkit.formats.carry import convert
from dsetkit.formats.cityscapes.document import KNOWN, LIMIT_PX, read_object
from dsetkit.formats.cityscapes.labels import label_text
from dsetkit.formats.issues import IssueList
from dsetkit.formats.loss import Ledger
from dsetkit.formats.notes import FileNotes
from dsetkit.spec.arrow import Row

_MAX_NAME = 1000


def as_polygons(row: Row, ledger: Ledger) -> Row:
    """The row with each box as a polygon of four corners, clockwise from the top left."""
    annotations = []
    for item in row.get("annotations", ()):
        if item["kind"] in ("box", "keypoints") and item.get("bbox_xywh_px") is not None:
            x, y, w, h = item["bbox_xywh_px"]
            message = f"cityscapes cannot say {item['kind']}; it becomes a polygon of four corners"
            ledger.add("kind-changed", message, f"{row['key']}#{item['id']}")
            corners = (x, y, x + w, y, x + w, y + h, x, y + h)
            box = convert(item, "box") or item
            item = {**box, "kind": "polygon", "polygons": ((corners,),)}
        annotations.append(item)
    return {**row, "annotations": annotations} if annotations else row


class ObjectWriter:
    """Writes the annotations of one sample. ``objects`` are the document's, ``carried`` what is read back.

    ``given_ids`` are the annotations' own ids, one an object.
    """

    def __init__(self, key: str, ledger: Ledger) -> None:
        self.key = key
        self.ledger = ledger
        self.objects: list[dict[str, Any]] = []
        self.carried: list[Row] = []
        self.given_ids: list[str] = []
        self._notes = FileNotes(IssueList(), "")

    def write(self, annotations: Sequence[Row]) -> None:
        """``annotations`` are polygons, in the order in which they are painted; each part becomes an object."""
        for item in annotations:
            rings = [part[0] for part in item.get("polygons", ()) if part and len(part[0]) >= 2]
            if not rings or len(item["category"]) > _MAX_NAME or any(_is_far(ring) for ring in rings):
                message = "a polygon without points, with a place or a name beyond all measure is left out"
                self._lost("shape-unusable", message, item)
                continue
            if len(rings) > 1:
                message = "cityscapes has no polygons of several parts; each becomes an object of its own"
                self._lost("polygon-split", message, item)
            for ring in rings:
                self._object(item, ring)

    def _object(self, item: Row, ring: Sequence[float]) -> None:
        raw: dict[str, Any] = {"label": label_text(item["category"], is_crowd=bool(item.get("is_crowd")))}
        if "source_id" in item:
            raw["id"] = item["source_id"]
        status = item.get("status", "accepted")
        if status != "accepted":
            raw |= {"deleted": int(status == "declined"), "verified": int(status == "declined")}
        if item.get("annotator"):
            raw["user"] = item["annotator"]
        for name, value in item.get("extras", {}).get("cityscapes", {}).items():
            if name not in KNOWN:
                raw[name] = value
        whole = [int(value) if value == int(value) else float(value) for value in ring]
        raw["polygon"] = [whole[at : at + 2] for at in range(0, len(whole) - 1, 2)]
        back = read_object(raw, self._notes, "")
        self._check(item, back)
        self.objects.append(raw)
        self.given_ids.append(item["id"])
        number = str(len(self.carried))
        if number != item["id"]:
            message = "cityscapes has no annotation ids; they are numbered anew from 0 in each sample"
            self._lost("id-renumbered", message, item, info=True)
        self.carried.append({"id": number, **back})

    def _check(self, item: Row, back: Row) -> None:
        """Enters what the object does not say as the annotation did."""
        if back["category"] != item["category"]:
            message = f"a category that is called like a group is read as {back['category']!r}"
            self._lost("category-changed", message, item)
        elif bool(item.get("is_crowd")) != bool(back.get("is_crowd")):
            message = "cityscapes knows groups of its own categories alone; others lose the mark"
            self._lost("field-dropped", message, item)
        for name in ("source_id", "annotator", "extras"):
            if (item.get(name) or None) != back.get(name):
                self._lost("field-dropped", f"such a value of {name} is read as none", item, info=True)

    def _lost(self, code: str, message: str, item: Row, *, info: bool = False) -> None:
        where = f"{self.key}#{item['id']}"
        self.ledger.add(code, message, where, severity="info" if info else "warning")


def document_of(size: tuple[int, int] | None, objects: Sequence[dict[str, Any]]) -> bytes:
    """The document of a sample, indented as the published ones are."""
    document: dict[str, Any] = {} if size is None else {"imgHeight": size[1], "imgWidth": size[0]}
    document["objects"] = list(objects)
    text = json.dumps(document, ensure_ascii=False, indent=4, allow_nan=False)
    return f"{text}\n".encode()


def _is_far(ring: Sequence[float]) -> bool:
    return max(map(abs, ring)) > LIMIT_PX
