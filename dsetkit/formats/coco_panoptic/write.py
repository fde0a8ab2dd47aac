"""Rows into panoptic files: masks painted into one label map a picture.

A pixel is of one segment, so where masks overlap one gives way: stuff and crowds to things, then the larger to the
smaller, then the later to the earlier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dsetkit.formats.base import Export
from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.carry import carry_row, split_of, withdraw_labelled
from dsetkit.formats.coco.entries import document, dump, head_entries, image_entry, license_entries, listed
from dsetkit.formats.coco.fit import fit_extras
from dsetkit.formats.coco.plan import CocoPlan, all_whole
from dsetkit.formats.coco.write import carry_sample
from dsetkit.formats.coco_panoptic.ids import masks_of
from dsetkit.formats.coco_panoptic.read import OWN
from dsetkit.formats.label_maps import Size, as_mask, size_of
from dsetkit.formats.loss import Ledger
from dsetkit.formats.matching import without_extension
from dsetkit.formats.places import Places
from dsetkit.geometry import rle
from dsetkit.imaging.id_png import MAX_ID, write_ids
from dsetkit.spec.arrow import Row
from dsetkit.storage.sink import Sink

Ids = NDArray[np.uint32]


class PanopticPlan:
    """COCO's plan, and where label maps lie."""

    def __init__(self, export: Export, coco: CocoPlan, ledger: Ledger) -> None:
        self.coco = coco
        self.things = {category.name: category.is_thing is not False for category in coco.categories}
        places = Places()
        self.maps = {
            key: places.take(f"{without_extension(place.removeprefix('images/'))}.png")
            for key, place in coco.places.items()
        }
        for category in coco.categories:
            if category.is_thing is None:
                message = (
                    "every category is things or stuff in coco_panoptic; one of which nobody said counts as things"
                )
                ledger.add("category-thing-assumed", message, category.name, severity="info")
        coco.categories = tuple(
            category.model_copy(update={"is_thing": category.is_thing is not False}) for category in coco.categories
        )


def write(export: Export, sink: Sink, plan: PanopticPlan, capabilities: Capabilities) -> None:
    """Pictures, label maps and files."""
    ledger = Ledger("coco_panoptic")
    coco = plan.coco
    licenses = license_entries(coco)
    images: dict[str, list[str]] = {}
    lines: dict[str, list[str]] = {}
    for row in export.rows():
        key = row["key"]
        data = export.picture(row)
        if data is not None:
            sink.write(coco.places[key], data)
        carried, ids = render(row, plan, capabilities, ledger)
        name = coco.file_name("panoptic", split_of(row))
        images.setdefault(name, []).append(dump(image_entry(carried, coco, licenses)))
        if carried.get("labelled", "no") == "no":
            continue
        entry: Row = {"image_id": coco.image_ids[key]}
        if ids is not None:
            entry["file_name"] = plan.maps[key]
            sink.write(f"{without_extension(name)}/{plan.maps[key]}", write_ids(ids))
        entry["segments_info"] = [_segment(item, coco) for item in carried.get("annotations", ())]
        lines.setdefault(name, []).append(dump(entry))
    head = head_entries(export, coco, licenses)
    for name in sorted(images):
        parts = {**head, "images": listed(images[name]), "annotations": listed(lines.get(name, []))}
        sink.write(name, document(parts))


def render(row: Row, plan: PanopticPlan, capabilities: Capabilities, ledger: Ledger) -> tuple[Row, Ids | None]:
    """The row as it is read back, and its label map; None where its size is not known or nobody labelled it."""
    key, coco = row["key"], plan.coco
    size = size_of(row)
    fitted = [_fit(item, size, plan, ledger, f"{key}#{item['id']}") for item in row.get("annotations", ())]
    kept, ids = _paint([item for item in fitted if item is not None], size, plan, ledger, key)
    rest = {**row, "annotations": kept} if row.get("annotations") else row
    if row.get("annotations") and not kept and row.get("labelled") == "partial":
        rest = {**rest, "labelled": "yes"}  # nothing more is to be said of how far it is labelled
    out = carry_row(rest, capabilities, ledger)
    withdraw_labelled(row, out, ledger)
    carry_sample(out, coco, "panoptic", ledger, key)
    return out, ids if "labelled" in out else None


def _fit(annotation: Row, size: Size | None, plan: PanopticPlan, ledger: Ledger, where: str) -> Row | None:
    """The annotation as a mask of the picture's size; itself where ``carry_row`` is to say why not; None if lost."""
    kind, category = annotation["kind"], annotation.get("category")
    if category is None or kind in ("image_label", "caption"):
        return annotation
    if category not in plan.coco.category_ids:
        message = "their category is not in the list of categories; such annotations are left out"
        ledger.add("category-unknown", message, where)
        return None
    found = as_mask(annotation, size, ledger, where)
    if found is None or found is annotation:
        return found
    return fit_extras(found, ledger, where, own=OWN, name="coco_panoptic")


def _paint(
    annotations: Sequence[Row], size: Size | None, plan: PanopticPlan, ledger: Ledger, key: str
) -> tuple[list[Row], Ids | None]:
    """The annotations as the label map shows them, under ids that it can hold, and the map."""
    if size is None:
        return list(annotations), None
    masks = [item for item in annotations if item["kind"] == "mask" and item.get("category") is not None]
    numbers = _numbers(masks, ledger, key)
    areas = [rle.mask_area(item["mask"]) for item in masks]
    order = sorted(range(len(masks)), key=lambda at: (not _gives_way(masks[at], plan), -areas[at], -at))
    try:
        ids: Ids = np.zeros(rle.check_size(size), np.uint32)
    except ValueError:
        return list(annotations), None
    for at in order:
        ids[rle.decode(masks[at]["mask"])] = numbers[at]
    shown = masks_of(ids, numbers).masks
    painted: dict[int, Row | None] = {}
    for at, item in enumerate(masks):
        where = f"{key}#{item['id']}"
        mask = shown.get(numbers[at])
        if mask is None:
            message = "a mask that others hide has no pixel left of it in a label map; such masks are left out"
            ledger.add("mask-hidden", message, where)
            painted[id(item)] = None
            continue
        if rle.mask_area(mask) < areas[at]:
            message = "masks overlap, and in a label map a pixel is of one; the pixels of the others are left out"
            ledger.add("mask-overlap", message, where)
        number = str(numbers[at])
        changed = {"id": number, "source_id": number, "mask": mask, "bbox_xywh_px": rle.mask_bbox(mask)}
        painted[id(item)] = {**item, **changed}
    out = [painted.get(id(item), item) for item in annotations]
    return [item for item in out if item is not None], ids


def _gives_way(item: Row, plan: PanopticPlan) -> bool:
    return bool(item.get("is_crowd")) or not plan.things[item["category"]]


def _numbers(masks: Sequence[Row], ledger: Ledger, key: str) -> list[int]:
    """Their own ids where all are whole numbers that a map can hold, all different; else from 1."""
    given = [item["id"] for item in masks]
    if all_whole(given) and all(0 < int(one) <= MAX_ID for one in given):
        return [int(one) for one in given]
    for number, one in enumerate(given, 1):
        if one != str(number):
            message = "ids of a picture that are not all whole numbers from 1 to 16777215 are numbered anew from 1"
            ledger.add("id-renumbered", message, f"{key}#{one}", severity="info")
    return list(range(1, len(masks) + 1))


def _segment(item: Row, plan: CocoPlan) -> Mapping[str, object]:
    """One of ``segments_info``; ``area`` and ``iscrowd`` are what evaluation wants on each."""
    out: Row = {
        "id": int(item["id"]),
        "category_id": plan.category_ids[item["category"]],
        "area": rle.mask_area(item["mask"]),
        "bbox": list(map(int, item["bbox_xywh_px"])),
        "iscrowd": int(bool(item.get("is_crowd"))),
    }
    if item.get("is_ignored"):
        out["ignore"] = 1
    for name in ("score", "attributes"):
        if item.get(name) not in (None, {}):
            out[name] = item[name]
    return {**item.get("extras", {}).get("coco_panoptic", {}), **out}
