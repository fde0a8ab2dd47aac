"""Rows into Datumaro's JSON, version 1.0, a file a subset.

Each annotation becomes an object, and what ``carry`` promises is what the reader makes of that object. An item keeps
its picture's source id where all have one and those of a subset are different; else its id is the picture's name
without extension. Annotations keep their ids where all of a sample are whole numbers; else they are numbered from 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dsetkit.formats.base import Export
from dsetkit.formats.carry import carry_row, split_of, withdraw_labelled
from dsetkit.formats.datumaro.objects import WHOLE, enter_losses, write_object
from dsetkit.formats.datumaro.plan import DatumaroPlan
from dsetkit.formats.datumaro.read import NO_SUBSET
from dsetkit.formats.datumaro.shapes import ShapeError, read_shape
from dsetkit.formats.loss import Ledger
from dsetkit.formats.matching import stem_of
from dsetkit.formats.outlines import mask_unless_plain
from dsetkit.spec.arrow import Row
from dsetkit.storage.sink import Sink

_IMAGE = 2  # MediaType.IMAGE


def carry(row: Row, plan: DatumaroPlan, ledger: Ledger) -> tuple[Row, dict[str, Any]]:
    """The row as it will be read back, and its item."""
    key, split = row["key"], split_of(row)
    size = (row.get("height_px"), row.get("width_px"))
    fitted = [mask_unless_plain(one, size, ledger, f"{key}#{one['id']}") for one in row.get("annotations", ())]
    rest = {**row, "annotations": fitted} if fitted else row
    out = carry_row(rest, plan.capabilities, ledger)
    out["key"] = plan.place(key, split)
    if row.get("source_id") is not None and row["source_id"] != plan.ids[key]:
        message = "picture ids are not there for all or not different; they are made of names"
        ledger.add("image-id-made", message, key, severity="info")
    out["source_id"] = plan.ids[key]
    _carry_split(out, split, plan, key, ledger)
    if "width_px" not in out or "height_px" not in out:
        out.pop("width_px", None)
        out.pop("height_px", None)
    given = out.pop("annotations", ())
    keeps = all(WHOLE.fullmatch(annotation["id"]) for annotation in given)
    groups = _groups(given)
    kept: list[Row] = []
    raws: list[dict[str, Any]] = []
    for annotation in given:
        number = int(annotation["id"]) if keeps else len(raws)
        found = _carry_annotation(annotation, number, groups, plan, ledger, key)
        if found is None:
            continue
        raw, back = found
        back["id"] = str(number)
        if not keeps and annotation["id"] != back["id"]:
            message = "annotation ids of a sample are not all whole numbers; they are numbered from 0"
            ledger.add("id-renumbered", message, f"{key}#{annotation['id']}", severity="info")
        raws.append(raw)
        kept.append(back)
    if kept:
        out["annotations"] = kept
    withdraw_labelled(row, out, ledger)
    item: dict[str, Any] = {"id": out["source_id"], "annotations": raws}
    if out.get("attributes"):
        item["attr"] = out["attributes"]
    item["image"] = {"path": plan.names[key]}
    if "width_px" in out:
        item["image"]["size"] = [out["height_px"], out["width_px"]]
    if out.get("labelled") == "yes" and not raws:
        item["labelled"] = "yes"
    return out, item


def _carry_split(out: Row, split: str | None, plan: DatumaroPlan, key: str, ledger: Ledger) -> None:
    if split is None:
        return
    back = stem_of(f"{plan.files[split]}.json")
    out["subsets"] = (back,)
    if back == NO_SUBSET:
        ledger.add("split-dropped", f"datumaro takes the split {split!r} for none", key)
        del out["subsets"]
    elif back != split:
        ledger.add("split-renamed", f"a split is a file here and {split!r} no file name; it is read as {back!r}", key)


def _groups(annotations: Sequence[Row]) -> dict[str, int]:
    """A number for each group of a sample: its own where it is one, else the next free one, in order."""
    names = dict.fromkeys(one["instance_group"] for one in annotations if one.get("instance_group"))
    numbers = {name: int(name) for name in names if WHOLE.fullmatch(name) and name != "0"}
    for name in names:
        if name not in numbers:
            numbers[name] = max(numbers.values(), default=0) + 1
    return numbers


def _carry_annotation(
    annotation: Row, number: int, groups: Mapping[str, int], plan: DatumaroPlan, ledger: Ledger, key: str
) -> tuple[dict[str, Any], Row] | None:
    where = f"{key}#{annotation['id']}"
    category = annotation.get("category")
    if category is not None and category not in plan.label_ids:
        message = "their category is not in the list of categories; such annotations are left out"
        ledger.add("category-unknown", message, where)
        return None
    if annotation["kind"] == "image_label" and category is None:
        message = "datumaro needs the category of a label of the whole picture; without one it is left out"
        ledger.add("category-none", message, where)
        return None
    try:
        raw = {"id": number, **write_object(annotation, groups, plan, ledger, where)}
        json.dumps(raw, allow_nan=False)
        back = read_shape(raw, plan.labels)
        if back["kind"] == "mask" and "bbox_xywh_px" not in back:
            raise ShapeError("", "a mask without a pixel")
    except (ShapeError, ValueError, TypeError, KeyError, IndexError) as error:
        ledger.add("shape-broken", f"shapes that cannot be read back are left out ({error})", where)
        return None
    enter_losses(annotation, back, ledger, where)
    return raw, back


def write(export: Export, sink: Sink, plan: DatumaroPlan) -> None:
    """Pictures and a file for each subset."""
    ledger = Ledger("datumaro")
    items: dict[str, list[str]] = {name: [] for name in plan.files.values()} or {NO_SUBSET: []}
    for row in export.rows():
        carried, item = carry(row, plan, ledger)
        picture = export.picture(row)
        if picture is not None:
            sink.write(carried["key"], picture)
        items[plan.files[split_of(row)]].append(_dump(item))
    infos = {name: value for name, value in export.info.items() if name != "label_groups"}
    head = f'"dm_format_version":"1.0",\n"media_type":{_IMAGE},\n"infos":{_dump(infos)}'
    for name, lines in sorted(items.items()):
        inside = ",\n".join(lines)
        text = f'{{{head},\n"categories":{_dump(plan.written)},\n"items":[\n{inside}\n]}}\n'
        sink.write(f"annotations/{name}.json", text.encode())


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
