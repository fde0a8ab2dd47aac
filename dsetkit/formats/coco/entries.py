"""Rows as the entries of COCO's lists, and JSON as it is written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from dsetkit.formats.base import Export
from dsetkit.formats.coco.plan import CocoPlan, all_whole
from dsetkit.formats.coco.shapes import write_keypoints
from dsetkit.geometry.shape import area_px2
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category


def license_entries(plan: CocoPlan) -> dict[str, Row]:
    """COCO licences by name; their own ids where all are whole numbers and all different, else from 1."""
    given = [entry.id or "" if (entry := plan.licenses.get(name)) else "" for name in plan.used_licenses]
    keep = all_whole(given)
    out: dict[str, Row] = {}
    for index, name in enumerate(plan.used_licenses):
        url = plan.licenses[name].url if name in plan.licenses else None
        out[name] = {"id": int(given[index]) if keep else index + 1, "name": name, "url": url or ""}
    return out


def image_entry(row: Row, plan: CocoPlan, licenses: Mapping[str, Row]) -> Row:
    """One of ``images``, of a row as it is read back."""
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


def annotation_entry(annotation: Row, image_id: int, plan: CocoPlan) -> Row:
    """One of ``annotations``, of an annotation as it is read back."""
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


def category_entry(category: Category, plan: CocoPlan) -> Row:
    """One of ``categories``."""
    out: Row = {
        "id": plan.category_ids[category.name],
        "name": category.name,
        "supercategory": category.supercategory or "",
    }
    if category.is_thing is not None:
        out["isthing"] = int(category.is_thing)
    if category.color is not None and re.fullmatch(r"#[0-9a-f]{6}", category.color):
        out["color"] = list(bytes.fromhex(category.color[1:]))
    if category.guideline:
        out["def"] = category.guideline  # as LVIS calls it
    if category.keypoint_names:
        out["keypoints"] = list(category.keypoint_names)
        out["skeleton"] = [[a + 1, b + 1] for a, b in category.skeleton]
    return out


def head_entries(export: Export, plan: CocoPlan, licenses: Mapping[str, Row]) -> dict[str, str]:
    """What stands in front of ``images`` and ``annotations``, as JSON."""
    return {
        "info": dump(dict(export.info)),
        "licenses": listed([dump(entry) for entry in licenses.values()]),
        "categories": listed([dump(category_entry(category, plan)) for category in plan.categories]),
    }


def document(parts: Mapping[str, str]) -> bytes:
    """A JSON document of parts that are JSON already."""
    text = ",\n".join(f'"{part}": {value}' for part, value in parts.items())
    return f"{{\n{text}\n}}\n".encode()


def dump(value: Any) -> str:
    """One line of JSON."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(", ", ": "))


def listed(lines: Sequence[str]) -> str:
    """A JSON list, one element a line: a version control system then shows what changed."""
    return "[\n" + ",\n".join(lines) + "\n]" if lines else "[]"
