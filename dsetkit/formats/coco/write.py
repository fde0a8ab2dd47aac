"""Rows into COCO files.

Ids. A picture keeps its source's id where all pictures of the export have one, whole numbers and all different; else
each gets one made of its key (48 bits of its SHA-256), so that adding a picture changes no other's. Annotations keep
theirs where all are whole numbers from 1 and all different over the whole export; else they are numbered from 1.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from dsetkit.formats.base import Export
from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.carry import carry_row, split_of, withdraw_labelled
from dsetkit.formats.coco.files import split_name
from dsetkit.formats.coco.fit import fit_annotation
from dsetkit.formats.coco.shapes import write_keypoints
from dsetkit.formats.loss import Ledger
from dsetkit.formats.places import Places, safe_part, safe_path
from dsetkit.geometry.shape import area_px2
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.storage.sink import Sink

_WHOLE = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_FILES = ("instances", "captions", "labels", "image_info")


class CocoPlan:
    """Ids, places and file names, settled in one walk over the rows before the first is written."""

    def __init__(self, export: Export, categories: Sequence[Category], ledger: Ledger) -> None:
        self.places: dict[str, str] = {}
        self.first_id: dict[str, int] = {}
        """Key → the number of its first annotation, where they are numbered anew."""
        self.has_instances = False
        self.suffixes: dict[str, str] = {}
        names: dict[str, dict[str, None]] = {
            category.name: dict.fromkeys(category.keypoint_names) for category in categories
        }
        self.licenses = {entry.name: entry for entry in export.licenses}
        self.used_licenses: dict[str, None] = dict.fromkeys(self.licenses)
        image_ids: dict[str, str] = {}
        annotation_ids: list[str] = []
        places, suffixes = Places(), Places()
        number = 1
        has_labels = False
        for row in export.rows():
            key = row["key"]
            self.places[key] = places.take(f"images/{safe_path(key)}")
            image_ids[key] = row.get("source_id") or ""
            self.first_id[key] = number
            split = split_of(row)
            if split is not None and split not in self.suffixes:
                self.suffixes[split] = suffixes.take(safe_part(split))
            license_name = (row.get("provenance") or {}).get("license")
            if license_name:
                self.used_licenses.setdefault(license_name)
            for annotation in row.get("annotations", ()):
                number += 1
                annotation_ids.append(annotation["id"])
                if annotation["kind"] not in ("caption", "image_label"):
                    self.has_instances = True
                has_labels = has_labels or annotation["kind"] == "image_label"
                for point in annotation.get("keypoints", ()):
                    names.get(annotation.get("category") or "", {}).setdefault(point["name"])
        # A file of captions lists no categories, so where there are some another has to.
        self.has_instances = self.has_instances or (bool(categories) and not has_labels)
        self.keeps_annotation_ids = _all_whole(annotation_ids) and "0" not in annotation_ids
        self.keeps_image_ids = _all_whole(list(image_ids.values()))
        self.image_ids = (
            {key: int(text) for key, text in image_ids.items()} if self.keeps_image_ids else _made_ids(image_ids)
        )
        self.categories = tuple(
            category.model_copy(update={"keypoint_names": tuple(names[category.name])}) for category in categories
        )
        self.category_ids = {category.name: category.index + 1 for category in self.categories}
        self.keypoint_names = {category.name: category.keypoint_names for category in self.categories}

    def file_name(self, kind: str, subset: str | None) -> str:
        """``annotations/instances_train.json``."""
        return f"annotations/{kind}_{self.suffixes[subset]}.json" if subset is not None else f"annotations/{kind}.json"


def _all_whole(ids: Sequence[str]) -> bool:
    return bool(ids) and len(set(ids)) == len(ids) and all(map(_WHOLE.fullmatch, ids))


def _made_ids(keys: Mapping[str, str]) -> dict[str, int]:
    made: dict[str, int] = {}
    taken: set[int] = set()
    for key in keys:
        number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big")
        while number in taken:
            number += 1
        taken.add(number)
        made[key] = number
    return made


def carry(row: Row, plan: CocoPlan, capabilities: Capabilities, ledger: Ledger) -> Row:
    """The row as it will be read back: ids as written, holes as masks, captions behind what is located."""
    key = row["key"]
    size = (row.get("height_px"), row.get("width_px"))
    annotations = []
    for index, annotation in enumerate(row.get("annotations", ())):
        number = int(annotation["id"]) if plan.keeps_annotation_ids else plan.first_id[key] + index
        fitted = fit_annotation(annotation, size, plan, ledger, key)
        if fitted is None:
            continue
        if str(number) != annotation["id"]:
            message = "annotation ids are not whole numbers, all different; they are numbered anew"
            ledger.add("id-renumbered", message, f"{key}#{annotation['id']}", severity="info")
        annotations.append({**fitted, "id": str(number), "source_id": str(number)})
    annotations.sort(key=lambda annotation: _FILES.index(_file_of(annotation)))
    rest = {**row, "annotations": annotations} if row.get("annotations") else row
    if row.get("annotations") and not annotations and row.get("labelled") == "partial":
        rest = {**rest, "labelled": "yes"}  # nothing more is to be said of how far it is labelled
    out = carry_row(rest, capabilities, ledger)
    withdraw_labelled(row, out, ledger)
    for annotation in out.get("annotations", ()):
        if annotation["kind"] == "caption" and annotation.pop("category", None) is not None:
            message = "a COCO caption has no category; it is left out"
            ledger.add("caption-category", message, f"{key}#{annotation['id']}")
    out["key"] = plan.places[key]
    if out.get("source_id") != str(plan.image_ids[key]):
        message = "picture ids are not whole numbers, all different; they are made of keys"
        ledger.add("image-id-made", message, key, severity="info")
        out["source_id"] = str(plan.image_ids[key])
    _carry_facts(out, plan, ledger, key)
    subset = out.pop("subsets", (None,))[0]
    if subset is not None:
        said = split_name(plan.file_name("instances", subset))[1]
        if said != subset:
            ledger.add(
                "split-renamed", f"the split {subset!r} cannot stand in a file name so; it is read as {said!r}", key
            )
        out["subsets"] = (said,)
    return out


def _carry_facts(out: Row, plan: CocoPlan, ledger: Ledger, key: str) -> None:
    provenance = {name: value for name, value in out.pop("provenance", {}).items() if value}
    if "uri" in provenance and "://" not in provenance["uri"]:
        ledger.add("field-dropped", "coco keeps the provenance.uri only where it is a URL", key, severity="info")
        del provenance["uri"]
    if provenance:
        out["provenance"] = provenance
    for name in ("absent_categories", "not_exhaustive_categories"):
        known = [category for category in out.pop(name, ()) if category in plan.category_ids]
        if known:
            out[name] = known


def _file_of(annotation: Row) -> str:
    return {"caption": "captions", "image_label": "labels"}.get(annotation["kind"], "instances")


def write(export: Export, sink: Sink, plan: CocoPlan, capabilities: Capabilities) -> None:
    """Pictures and files; see ``dsetkit.formats.coco``."""
    ledger = Ledger("coco")
    licenses = _licenses(plan)
    images: dict[str, list[str]] = {}
    lines: dict[str, list[str]] = {}
    for row in export.rows():
        data = export.picture(row)
        if data is not None:
            sink.write(plan.places[row["key"]], data)
        split = split_of(row)
        carried = carry(row, plan, capabilities, ledger)
        annotations = carried.get("annotations", ())
        kinds = {_file_of(annotation) for annotation in annotations}
        if carried.get("labelled", "no") == "no":
            kinds = {"image_info"}
        elif plan.has_instances or not kinds:
            kinds.add("instances")
        image = _dump(_image(carried, plan, licenses))
        for kind in sorted(kinds):
            images.setdefault(plan.file_name(kind, split), []).append(image)
        image_id = plan.image_ids[row["key"]]
        for annotation in annotations:
            name = plan.file_name(_file_of(annotation), split)
            lines.setdefault(name, []).append(_dump(_annotation(annotation, image_id, plan)))
    head = {
        "info": _dump(dict(export.info)),
        "licenses": _listed([_dump(entry) for entry in licenses.values()]),
        "categories": _listed([_dump(_category(category)) for category in plan.categories]),
    }
    for name in sorted(images):
        # As in COCO's own: pycocotools expects a category of every annotation of a file that lists categories.
        without = "categories" if name.startswith("annotations/captions") else ""
        parts = {part: text for part, text in head.items() if part != without}
        parts |= {"images": _listed(images[name]), "annotations": _listed(lines.get(name, []))}
        text = ",\n".join(f'"{part}": {value}' for part, value in parts.items())
        sink.write(name, f"{{\n{text}\n}}\n".encode())


def _licenses(plan: CocoPlan) -> dict[str, Row]:
    """COCO licences by name; their own ids where all are whole numbers and all different, else from 1."""
    given = [entry.id or "" if (entry := plan.licenses.get(name)) else "" for name in plan.used_licenses]
    keep = _all_whole(given)
    out: dict[str, Row] = {}
    for index, name in enumerate(plan.used_licenses):
        url = plan.licenses[name].url if name in plan.licenses else None
        out[name] = {"id": int(given[index]) if keep else index + 1, "name": name, "url": url or ""}
    return out


def _image(row: Row, plan: CocoPlan, licenses: Mapping[str, Row]) -> Row:
    out: Row = {"id": int(row["source_id"]), "file_name": row["key"].removeprefix("images/")}
    for name, field in (("width", "width_px"), ("height", "height_px")):
        if field in row:
            out[name] = row[field]
    provenance = row.get("provenance", {})
    if "license" in provenance:
        out["license"] = licenses[provenance["license"]]["id"]
    if "uri" in provenance:
        out["coco_url"] = provenance["uri"]
    if "captured_at" in provenance:
        out["date_captured"] = provenance["captured_at"]
    if row.get("attributes"):
        out["attributes"] = row["attributes"]
    for name, field in (
        ("neg_category_ids", "absent_categories"),
        ("not_exhaustive_category_ids", "not_exhaustive_categories"),
    ):
        if field in row:
            out[name] = [plan.category_ids[category] for category in row[field]]
    return out


def _annotation(annotation: Row, image_id: int, plan: CocoPlan) -> Row:
    out: Row = {"id": int(annotation["id"]), "image_id": image_id}
    kind = annotation["kind"]
    if kind == "caption":
        out["caption"] = annotation.get("text", "")
    else:
        out["category_id"] = plan.category_ids[annotation["category"]]
    if kind not in ("caption", "image_label"):
        out["bbox"] = list(annotation["bbox_xywh_px"])
        shape = annotation
        if annotation.get("polygons"):
            out["segmentation"] = [list(rings[0]) for rings in annotation["polygons"]]
            shape = {"kind": "polygon", "polygons": annotation["polygons"]}
        elif annotation.get("mask"):
            out["segmentation"] = annotation["mask"]
            shape = {"kind": "mask", "mask": annotation["mask"]}
        else:
            out["segmentation"] = []
            shape = {"kind": "box", "bbox_xywh_px": annotation["bbox_xywh_px"]}
        out["area"] = area_px2(shape)
        out["iscrowd"] = 0
        names = plan.keypoint_names[annotation["category"]]
        if names:  # evaluation wants them on every object of such a category
            out["keypoints"] = write_keypoints(annotation, names)
            out["num_keypoints"] = sum(visibility > 0 for visibility in out["keypoints"][2::3])
    if annotation.get("is_crowd"):
        out["iscrowd"] = 1
    if annotation.get("is_ignored"):
        out["ignore"] = 1
    if "score" in annotation:
        out["score"] = annotation["score"]
    if annotation.get("attributes"):
        out["attributes"] = annotation["attributes"]
    return {**annotation.get("extras", {}).get("coco", {}), **out}


def _category(category: Category) -> Row:
    out: Row = {"id": category.index + 1, "name": category.name, "supercategory": category.supercategory or ""}
    if category.is_thing is not None:
        out["isthing"] = int(category.is_thing)
    if category.color is not None and re.fullmatch(r"#[0-9a-f]{6}", category.color):
        out["color"] = list(bytes.fromhex(category.color[1:]))
    if category.keypoint_names:
        out["keypoints"] = list(category.keypoint_names)
        out["skeleton"] = [[a + 1, b + 1] for a, b in category.skeleton]
    return out


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(", ", ": "))


def _listed(lines: Sequence[str]) -> str:
    """A JSON list, one element a line: a version control system then shows what changed."""
    return "[\n" + ",\n".join(lines) + "\n]" if lines else "[]"
