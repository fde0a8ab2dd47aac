"""One sample as records of Open Images' tables, and the row that reading them gives."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dsetkit.formats.loss import Ledger
from dsetkit.formats.open_images.gather import FACTS, INFO, LIMIT
from dsetkit.formats.open_images.rows import ATTRIBUTES, extras_of, origin_of
from dsetkit.geometry.rle import decode, encode, mask_bbox
from dsetkit.spec.arrow import Row

HEADERS: Mapping[str, tuple[str, ...]] = {
    "annotations-bbox": (
        *("ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax"),
        *("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside"),
    ),
    "annotations-object-segmentation": (
        *("MaskPath", "ImageID", "LabelName", "BoxID", "BoxXMin", "BoxXMax", "BoxYMin", "BoxYMax", "PredictedIoU"),
        "Clicks",
    ),
    "annotations-vrd": (
        *("ImageID", "LabelName1", "LabelName2", "XMin1", "XMax1", "YMin1", "YMax1", "XMin2", "XMax2", "YMin2"),
        *("YMax2", "RelationshipLabel"),
    ),
    "annotations-human-imagelabels": ("ImageID", "Source", "LabelName", "Confidence"),
    "annotations-machine-imagelabels": ("ImageID", "Source", "LabelName", "Confidence"),
    "images-with-rotation": (
        *("ImageID", "Subset", "OriginalURL", "OriginalLandingURL", "License", "AuthorProfileURL", "Author", "Title"),
        *("OriginalSize", "OriginalMD5", "Thumbnail300KURL", "Rotation"),
    ),
}
"""Tables by what stands behind the subset in their names, with their columns, in order."""
_BOXES, _MASKS, _RELATIONS, _HUMAN, _MACHINE, _INFO = HEADERS
_NO_WORD = re.compile(r"[^0-9A-Za-z]")
_BOX_ID = re.compile(r"[0-9A-Za-z]{1,64}")
_MOST_TEXT = 1000
_STATES = {True: "1", False: "0", None: "-1"}


@dataclass
class Records:
    """The records of a sample, by table."""

    tables: dict[str, list[list[str]]] = field(default_factory=dict)

    def add(self, table: str, *cells: str) -> None:
        """One record."""
        self.tables.setdefault(table, []).append(list(cells))


class SampleWriter:
    """Writes one sample. ``carried`` are its annotations as they are read back."""

    def __init__(self, key: str, image_id: str, ids: Mapping[str, str], ledger: Ledger) -> None:
        self.key = key
        self.image_id = image_id
        self.ids = ids
        """Category → what stands for it in tables."""
        self.ledger = ledger
        self.records = Records()
        self.carried: list[Row] = []
        self.masks: list[tuple[str, Row]] = []
        """File name and mask of each that is to be written."""
        self._located: list[Located] = []
        self._names: set[str] = set()

    def write(self, annotations: Sequence[Row], size: tuple[int, int] | None, absent: Sequence[str]) -> list[str]:
        """Masks first, then boxes, then labels. ``size`` is width and height, pixels.

        A mask's record, and that of a relation, name a box by its class and corners, and the first that fits is taken:
        so the boxes of masks stand before those that are none. Gives the absent categories that are kept.
        """
        for kind in ("mask", "box"):
            for item in (item for item in annotations if item["kind"] == kind):
                self._box(item, size)
        for one in self._located:
            self._relate(one)
        labels = [item for item in annotations if item["kind"] == "image_label"]
        for item in sorted(labels, key=_is_proposed):
            self._label(item)
        there = {item["category"] for item in self.carried if item["kind"] == "image_label"}
        kept = [name for name in dict.fromkeys(absent) if name not in there]
        if len(kept) < len(absent):
            message = "a category that is on a picture cannot be absent too"
            self.ledger.add("absent-category-dropped", message, self.key)
        for name in kept:
            self.records.add(_HUMAN, self.image_id, "", self.ids.get(name, name), "0")
        return kept

    def _box(self, item: Row, size: tuple[int, int] | None) -> None:
        if size is None:
            message = "open_images needs the size of a picture; boxes on pictures without one are left out"
            self._lost("picture-size-unknown", message, item)
            return
        mask = self._mask(item, size) if item["kind"] == "mask" else None
        if item["kind"] == "mask" and mask is None:
            return
        around = item.get("bbox_xywh_px") or (mask_bbox(mask) if mask is not None else None)
        if around is None:
            self._lost("shape-broken", "boxes without corners are left out", item)
            return
        x, y, w, h = around
        sides = (x / size[0], (x + w) / size[0], y / size[1], (y + h) / size[1])
        if max(map(abs, sides)) > LIMIT:
            self._lost("box-beyond", "a box that is a million pictures away is left out", item)
            return
        left, right, top, bottom = sides[0] * size[0], sides[1] * size[0], sides[2] * size[1], sides[3] * size[1]
        row: Row = {"kind": item["kind"], "category": item["category"]}
        row["bbox_xywh_px"] = [left, top, right - left, bottom - top]
        states = self._flags(item, row)
        source, is_unknown = self._source(item, row)
        group = "1" if item.get("is_crowd") else "-1" if is_unknown else "0"
        if item.get("is_crowd"):
            row["is_crowd"] = True
        score = self._score(item, row)
        self._status(item)
        cells = (states["IsOccluded"], states["IsTruncated"], group, states["IsDepiction"], states["IsInside"])
        corners = tuple(map(repr, map(float, sides)))
        self.records.add(
            *(_BOXES, self.image_id, source, self.ids[item["category"]], score),
            *(*corners, *cells),
        )
        if mask is not None:
            self._add_mask(item, row, mask, corners)
        self._carry(item, row)
        self._located.append(Located(item, row, corners, said_to_be(item.get("attributes", {}), self.ids)))

    def _mask(self, item: Row, size: tuple[int, int]) -> Row | None:
        """The mask as it is read back; None, with a loss, for one that cannot be written."""
        try:
            drawn = decode(item["mask"])
        except (KeyError, TypeError, ValueError) as error:
            self._lost("shape-broken", f"shapes that cannot be read back are left out ({error})", item)
            return None
        if drawn.shape != size[::-1] or not drawn.any():
            self._lost("shape-broken", "masks that are not of their picture's size, or empty, are left out", item)
            return None
        return encode(drawn)

    def _add_mask(self, item: Row, row: Row, mask: Row, corners: Sequence[str]) -> None:
        label = self.ids[item["category"]]
        own = item.get("extras", {}).get("open_images", {})
        overlap = own.get("PredictedIoU")
        is_number = isinstance(overlap, int | float) and not isinstance(overlap, bool) and abs(overlap) <= LIMIT
        if is_number:
            known = row.get("extras", {}).get("open_images", {})
            row["extras"] = {"open_images": {**known, "PredictedIoU": float(overlap)}}
        box_id, name = self._name_mask(item, label)
        if item.get("source_id") is not None and item["source_id"] != box_id:
            message = "a box's id in open_images is letters and digits, another for each; others are made anew"
            self._lost("source-id-made", message, item, info=True)
        row |= {"mask": mask, "source_id": box_id}
        cells = (name, self.image_id, label, box_id, *corners, repr(float(overlap)) if is_number else "", "")
        self.records.add(_MASKS, *cells)
        self.masks.append((name, mask))

    def _name_mask(self, item: Row, label: str) -> tuple[str, str]:
        """The id of a mask's box, and its file's name: ``<image id>_<class without signs>_<box id>.png``."""
        given, plain = item.get("source_id") or "", _NO_WORD.sub("", label)[:40] or "x"
        box_id = given if _BOX_ID.fullmatch(given) else ""
        number = 0
        while not box_id or f"{plain}_{box_id}".casefold() in self._names:
            box_id = hashlib.sha256(f"{self.image_id}\n{label}\n{item['id']}\n{number}".encode()).hexdigest()[:8]
            number += 1
        self._names.add(f"{plain}_{box_id}".casefold())
        return box_id, f"{self.image_id}_{plain}_{box_id}.png"

    def _relate(self, one: Located) -> None:
        """Relations of a box, and how it is; what is read back is put on the boxes that the reader will find."""
        numbers = {other.item["id"]: other for other in self._located}
        for name in one.facts:
            self.records.add(
                *(_RELATIONS, self.image_id, self.ids[one.row["category"]], self.ids.get(name, name)),
                *(*one.corners, *one.corners, "is"),
            )
            known = self._found(one).row.setdefault("attributes", {})
            known["is"] = list(dict.fromkeys([*known.get("is", ()), name]))
        for relation in one.item.get("relations", ()):
            other, kind = numbers.get(relation["target"]), relation["kind"]
            if other is None:
                message = "open_images has relations between boxes and masks alone; others are left out"
                self._lost("relation-dropped", message, one.item)
                continue
            if kind in ("", "is") or not kind.isprintable() or len(kind) > _MOST_TEXT:
                message = "a relation without a name, or called 'is', cannot be told from what it is; it is left out"
                self._lost("relation-dropped", message, one.item)
                continue
            ids = self.ids[one.row["category"]], self.ids[other.row["category"]]
            self.records.add(_RELATIONS, self.image_id, *ids, *one.corners, *other.corners, kind)
            first, second = self._found(one), self._found(other)
            if first is not one or second is not other:
                message = "of boxes of one class and place the first gets the relations of all"
                self._lost("relation-moved", message, one.item)
            made = {"kind": kind, "target": second.row["id"]}
            if made not in first.row.setdefault("relations", []):
                first.row["relations"].append(made)

    def _found(self, one: Located) -> Located:
        """The box that the reader finds by the class and corners of one: the first that has the same."""
        same = (one.row["category"], one.corners)
        return next(other for other in self._located if (other.row["category"], other.corners) == same)

    def _label(self, item: Row) -> None:
        row: Row = {"kind": "image_label", "category": item["category"]}
        source, is_unknown = self._source(item, row)
        if is_unknown:
            row["extras"] = extras_of(source, False)
            self._lost("extras-dropped", "a label of a picture has no mark of a group", item, info=True)
        for name in ("attributes", "is_crowd", "relations", "source_id"):
            if item.get(name):
                self._lost("field-dropped", f"open_images has no place for the {name} of a label of a picture", item)
        if _is_proposed(item):
            row |= {"status": "proposed", "origin": "model", "score": item["score"]}
            self.records.add(_MACHINE, self.image_id, source, self.ids[item["category"]], repr(float(item["score"])))
        elif source == "machine":
            row.pop("origin", None)
            row.pop("extras", None)
            message = "a machine's label that is not proposed, with a score, is written without its source"
            self._lost("extras-dropped", message, item, info=True)
            self._human(item, row, "")
        else:
            self._human(item, row, source)
        self._carry(item, row)

    def _human(self, item: Row, row: Row, source: str) -> None:
        self._status(item)
        if item.get("score") == 0.0:
            self._lost("score-dropped", "in open_images a label with a score of 0 is an absent one; it has none", item)
            item = {name: value for name, value in item.items() if name != "score"}
        self.records.add(_HUMAN, self.image_id, source, self.ids[item["category"]], self._score(item, row))

    def _flags(self, item: Row, row: Row) -> dict[str, str]:
        given = item.get("attributes", {})
        known = {name: given[name] for name in ATTRIBUTES.values() if isinstance(given.get(name), bool)}
        facts = said_to_be(given, self.ids)
        if len(known) + bool(facts) < len(given):
            message = "open_images has attributes that are true or false alone; others are left out"
            self._lost("attribute-dropped", message, item)
        if known:
            row["attributes"] = known
        return {column: _STATES[known.get(name)] for column, name in ATTRIBUTES.items()}

    def _source(self, item: Row, row: Row) -> tuple[str, bool]:
        own = item.get("extras", {}).get("open_images", {})
        source = own.get("Source", "")
        source = source if isinstance(source, str) and source.isprintable() else ""
        is_unknown = own.get("IsGroupOf") == -1 and not item.get("is_crowd")
        kept = extras_of(source, is_unknown)
        if kept:
            row["extras"] = kept
        if item["kind"] == "mask":
            own = {name: value for name, value in own.items() if name != "PredictedIoU"}
        if own != kept.get("open_images", {}):
            self._lost("extras-dropped", "an extra that no table has a column for is left out", item, info=True)
        if (origin := origin_of(source)) is not None:
            row["origin"] = origin
        return source, is_unknown

    def _score(self, item: Row, row: Row) -> str:
        score = item.get("score")
        if score is None:
            return "1"
        if score == 1.0:
            self._lost(
                "score-dropped", "open_images gives 1 to whatever has no score, so 1 says nothing", item, info=True
            )
            return "1"
        row["score"] = score
        return repr(float(score))

    def _status(self, item: Row) -> None:
        if item.get("status", "accepted") != "accepted":
            message = "open_images has no status but that of a machine's label with a score; not written"
            self._lost("field-dropped", message, item)

    def _carry(self, item: Row, row: Row) -> None:
        if item.get("origin") != row.get("origin") and "origin" in item:
            self._lost("field-dropped", "open_images has no place for the origin of an annotation", item, info=True)
        number = str(len(self.carried))
        if number != item["id"]:
            message = "open_images has no annotation ids; they are numbered anew from 0 in each sample, boxes first"
            self._lost("id-renumbered", message, item, info=True)
        row["id"] = number
        self.carried.append(row)

    def _lost(self, code: str, message: str, item: Row, *, info: bool = False) -> None:
        self.ledger.add(code, message, f"{self.key}#{item['id']}", severity="info" if info else "warning")


class Located:
    """One box or mask that is written: the annotation, how it is read back, and its corners as they are written."""

    def __init__(self, item: Row, row: Row, corners: tuple[str, ...], facts: Sequence[str]) -> None:
        self.item = item
        self.row = row
        self.corners = corners
        self.facts = facts
        """What it is said to be."""


def said_to_be(attributes: Mapping[str, Any], ids: Mapping[str, str]) -> list[str]:
    """The names in the attribute ``is``, if all of them can be written as classes and come back as they are."""
    given = attributes.get("is")
    if not isinstance(given, list | tuple) or len({*map(str, given)}) < len(given):
        return []
    taken = set(ids.values())
    fits = (
        isinstance(name, str)
        and 0 < len(name) <= _MOST_TEXT
        and name.isprintable()
        and (name in ids or name not in taken)
        for name in given
    )
    return list(given) if all(fits) else []


def write_info(row: Row, image_id: str, subset: str, records: Records) -> tuple[dict[str, str], dict[str, Any]]:
    """Adds a sample's record to the table of pictures; gives the provenance and attributes that are read back."""
    given, facts = row.get("provenance") or {}, row.get("attributes", {})
    provenance = {ours: given[ours] for ours in INFO.values() if given.get(ours)}
    kept: dict[str, Any] = {}
    for name in FACTS.values():
        value = facts.get(name)
        wanted = int if name == "original_size_bytes" else str
        if isinstance(value, wanted) and value and not isinstance(value, bool) and str(value).isprintable():
            kept[name] = value
    turned = facts.get("rotation_deg")
    if isinstance(turned, int) and not isinstance(turned, bool) and turned in (0, 90, 180, 270):
        kept["rotation_deg"] = turned
    cells = {"ImageID": image_id, "Subset": subset, "Rotation": str(kept.get("rotation_deg", ""))}
    cells |= {column: provenance.get(ours, "") for column, ours in INFO.items()}
    cells |= {column: str(kept.get(ours, "")) for column, ours in FACTS.items()}
    records.add(_INFO, *(cells[column] for column in HEADERS[_INFO]))
    return provenance, kept


def csv_text(records: Sequence[Sequence[str]]) -> str:
    """Records as CSV."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows(records)
    return out.getvalue()


def _is_proposed(item: Row) -> bool:
    """Whether it is what Open Images calls machine-generated."""
    return item.get("origin") == "model" and item.get("status") == "proposed" and item.get("score") is not None
