"""Rows into manifests: a line a picture, one manifest a split."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dsetkit.formats.base import Export
from dsetkit.formats.carry import carry_row, convert, split_of
from dsetkit.formats.ground_truth.files import SOURCE, subset_of
from dsetkit.formats.ground_truth.masks import BACKGROUND
from dsetkit.formats.ground_truth.paint import Ids, map_png, paint
from dsetkit.formats.ground_truth.plan import BOXES, LABELS, MAP, ManifestPlan
from dsetkit.formats.ground_truth.read import METADATA, NO_DATE, UNSTATED, is_label
from dsetkit.formats.loss import Ledger
from dsetkit.geometry.shape import is_located
from dsetkit.spec.arrow import Row
from dsetkit.storage.sink import Sink

_LIMIT_PX = 1e9
_DEPTHS = {"L": 1, "1": 1, "P": 1, "I": 1, "I;16": 1, "F": 1, "LA": 2, "RGBA": 4, "CMYK": 4}


def render(row: Row, plan: ManifestPlan, ledger: Ledger) -> tuple[Row, Ids | None]:
    """The row as it will be read back, and its label map, if it has one.

    Boxes, masks, then labels of the picture; who made them told of all alike.
    """
    key, capabilities = row["key"], plan.capabilities
    given = row.get("annotations", ())
    ids: Ids | None = None
    if plan.has_maps and (given or row.get("labelled", "no") != "no"):
        row, ids = paint(row, plan.numbers, capabilities, ledger)
    order = {"mask": 1, "image_label": 2} if plan.with_maps else {"image_label": 2}
    sorted_ = sorted(row.get("annotations", ()), key=lambda one: order.get(one["kind"], 0))
    kept = [one for one in sorted_ if _is_writable(one, plan, ledger, key)]
    seen: set[str] = set()
    fitted: list[Row] = []
    for one in kept:
        if one["kind"] == "image_label" and one.get("category") is not None:
            if one["category"] in seen:
                message = "a label that a picture has already is left out"
                ledger.add("label-twice", message, f"{key}#{one['id']}")
                continue
            seen.add(one["category"])
        fitted.append({**one, "bbox_xywh_px": _whole(one["bbox_xywh_px"])} if one["kind"] == "box" else one)
    if given and not fitted:
        ledger_of_losses = Ledger(ledger.format_name)
        out = carry_row({**row, "annotations": given}, capabilities, ledger_of_losses)
        carry_row({**row, "annotations": (), "labelled": "no"}, capabilities, ledger)
        out.pop("annotations", None)
        if out.pop("labelled", None) is not None or row.get("labelled", "no") != "no":
            message = f"{ledger.format_name} can say nothing of what is on a picture; it counts as not labelled"
            ledger.add("labelled-withdrawn", message, key, severity="info")
    else:
        out = carry_row({**row, "annotations": fitted}, capabilities, ledger)
    if "labelled" not in out:
        ids = None
    out["key"] = plan.places[key]
    _carry_makers(out, row, ledger, key)
    _carry_facts(out, plan, ledger, key)
    if not _has_boxes(out, plan, ids) and ids is None:
        out.pop("width_px", None)
        out.pop("height_px", None)
    if ("width_px" in out) != ("height_px" in out):
        out.pop("width_px", None)
        out.pop("height_px", None)
    uri = f"{plan.prefix}{out['key']}"
    if "://" in uri:
        out["provenance"] = {"uri": uri}
    subset = out.pop("subsets", (None,))[0]
    if subset is not None:
        said = subset_of(plan.files[subset])
        if said != subset:
            message = f"the split {subset!r} cannot stand in a file name so; it is read as {said!r}"
            ledger.add("split-renamed", message, key)
        out["subsets"] = (said,)
    return out, ids


def _is_writable(annotation: Row, plan: ManifestPlan, ledger: Ledger, key: str) -> bool:
    """Whether it is a label of a known class, and what it locates can be a box; notes it if not."""
    where = f"{key}#{annotation['id']}"
    category = annotation.get("category")
    if category is not None and category not in plan.numbers:
        message = "their category is not in the list of categories; such annotations are left out"
        ledger.add("category-unknown", message, where)
        return False
    if not is_located(annotation) or category is None or annotation["kind"] in plan.capabilities.kinds - {"box"}:
        return True  # ``carry_row`` says the rest
    try:
        box = annotation if annotation["kind"] == "box" else convert(annotation, "box")
        sides = box.get("bbox_xywh_px") if box is not None else None
        if not sides or not all(abs(side) <= _LIMIT_PX for side in sides):
            raise ValueError("no box around it")
    except (ValueError, KeyError) as error:
        ledger.add("shape-broken", f"shapes that cannot be read back are left out ({error})", where)
        return False
    return True


def _whole(box: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(side) + 0.0 for side in box)


def _carry_makers(out: Row, row: Row, ledger: Ledger, key: str) -> None:
    """Origin, and annotator or model, as far as all boxes and all labels of a picture have one."""
    jobs: dict[str, None] = {}
    for kind in ("box", "mask", "image_label"):
        group = [one for one in out.get("annotations", ()) if one["kind"] == kind]
        origin, job = makers(group)
        field, other = ("model", "annotator") if origin == "model" else ("annotator", "model")
        for annotation in group:
            before = {name: annotation.pop(name, None) for name in ("origin", field, other)}
            annotation["origin"] = origin
            if job is not None:
                annotation[field] = job
            if before != {"origin": origin, field: job, other: None}:
                what = "masks" if kind == "mask" else "boxes, or all labels,"
                message = f"ground_truth says of all {what} of a picture alike who made them: {origin}"
                ledger.add("makers-alike", message, f"{key}#{annotation['id']}", severity="info")
        if job is not None and origin == "human":
            jobs.setdefault(job)
    dates = {one["annotator"]: one.get("created_at") for one in reversed(row.get("responses", ()))}
    out.pop("responses", None)
    responses: list[Row] = []
    for job in jobs:
        date = dates.get(job)
        responses.append({"annotator": job} | ({"created_at": date} if date and date != NO_DATE else {}))
    if responses:
        out["responses"] = responses
    if len(responses) < len(row.get("responses", ())):
        message = "ground_truth knows of one job for all boxes or labels; other visits of annotators are left out"
        ledger.add("responses-dropped", message, key, severity="info")


def makers(annotations: Sequence[Row]) -> tuple[str, str | None]:
    """``human`` or ``model``, and the annotator or model that all of them share."""
    origin = "model" if annotations and all(one.get("origin") == "model" for one in annotations) else "human"
    names = {one.get("model" if origin == "model" else "annotator") for one in annotations}
    return origin, (next(iter(names)) or None) if len(names) == 1 else None


def _carry_facts(out: Row, plan: ManifestPlan, ledger: Ledger, key: str) -> None:
    """Attributes of the sample are fields of the line, unless they would be read as something else."""
    facts = out.pop("attributes", {})
    own = (SOURCE, BOXES, LABELS, *([MAP] if plan.with_maps else []))
    taken = {*own, *(name + METADATA for name in own)}
    kept = {name: value for name, value in facts.items() if name not in taken and not is_label(name, tuple(facts))}
    for name in facts.keys() - kept.keys():
        message = f"an attribute {name!r} of a sample would be read as a label; not written"
        ledger.add("attribute-dropped", message, key)
    if kept:
        out["attributes"] = kept


def _has_boxes(row: Row, plan: ManifestPlan, ids: Ids | None) -> bool:
    """Whether the line of a row, which has that label map, has a list of boxes, be it empty."""
    if row.get("labelled", "no") == "no":
        return False
    kinds = {one["kind"] for one in row.get("annotations", ())}
    return "box" in kinds or plan.has_boxes or (not kinds and not plan.is_multilabel and ids is None)


def write(export: Export, sink: Sink, plan: ManifestPlan) -> None:
    """Pictures, label maps and manifests."""
    ledger = Ledger("ground_truth")
    lines: dict[str, list[str]] = {}
    for row in export.rows():
        data = export.picture(row)
        if data is not None:
            sink.write(plan.places[row["key"]], data)
        carried, ids = render(row, plan, ledger)
        if ids is not None:
            sink.write(plan.maps[row["key"]], map_png(ids, [plan.colors[name] for name in plan.numbers]))
        line = _line(carried, plan, ids, plan.maps.get(row["key"], ""), _DEPTHS.get(row.get("mode") or "RGB", 3))
        text = json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        lines.setdefault(plan.files[split_of(row)], []).append(text)
    for name in sorted(lines):
        sink.write(name, "".join(f"{text}\n" for text in lines[name]).encode())


def _line(row: Row, plan: ManifestPlan, ids: Ids | None, map_path: str, depth: int) -> Row:
    line: Row = {SOURCE: plan.prefix + row["key"], **row.get("attributes", {})}
    annotations = row.get("annotations", ())
    boxes = [one for one in annotations if one["kind"] == "box"]
    labels = [one for one in annotations if one["kind"] == "image_label"]
    has_boxes = _has_boxes(row, plan, ids)
    if has_boxes:
        found = [_box(one, plan) for one in boxes]
        size = [{"width": row["width_px"], "height": row["height_px"], "depth": depth}] if "width_px" in row else []
        line[BOXES] = {"annotations": found, "image_size": size}
        metadata: Row = {"objects": [{"confidence": one.get("score", 1.0)} for one in boxes]}
        unstated = [number for number, one in enumerate(boxes) if "score" not in one]
        metadata["class-map"] = _class_map(boxes, plan)
        line[BOXES + METADATA] = _metadata(row, boxes, metadata, "object-detection", unstated)
    if ids is not None:
        masks = [one for one in annotations if one["kind"] == "mask"]
        line[MAP] = plan.prefix + map_path
        metadata = {"internal-color-map": _color_map(masks, plan)}
        unscored = [str(plan.numbers[one["category"]]) for one in masks if "score" not in one]
        line[MAP + METADATA] = _metadata(row, masks, metadata, "semantic-segmentation", unscored)
    if labels and not plan.is_multilabel:
        (label,) = labels
        line[LABELS] = plan.numbers[label["category"]]
        metadata = {"class-name": label["category"], "confidence": label.get("score", 1.0)}
        unstated_one = "score" not in label
        line[LABELS + METADATA] = _metadata(row, labels, metadata, "image-classification", unstated_one)
    elif labels or (plan.is_multilabel and not has_boxes and ids is None and row.get("labelled", "no") != "no"):
        numbers = [plan.numbers[one["category"]] for one in labels]
        scores = {str(number): one.get("score", 1.0) for number, one in zip(numbers, labels, strict=True)}
        metadata = {"class-map": _class_map(labels, plan), "confidence-map": scores}
        line[LABELS] = numbers
        unstated = [number for number, one in zip(numbers, labels, strict=True) if "score" not in one]
        line[LABELS + METADATA] = _metadata(row, labels, metadata, "image-classification-multilabel", unstated)
    return line


def _class_map(annotations: Sequence[Row], plan: ManifestPlan) -> dict[str, str]:
    names = {plan.numbers[one["category"]]: one["category"] for one in annotations}
    return {str(number): names[number] for number in sorted(names)}


def _color_map(masks: Sequence[Row], plan: ManifestPlan) -> Row:
    """The classes on a label map by number, that of nothing first."""
    scores = {BACKGROUND: 1.0, **{one["category"]: one.get("score", 1.0) for one in masks}}
    return {
        str(plan.numbers[name]): {
            "class-name": name,
            "hex-color": "#{:02x}{:02x}{:02x}".format(*plan.colors[name]),
            "confidence": score,
        }
        for name, score in scores.items()
    }


def _box(annotation: Row, plan: ManifestPlan) -> Row:
    x, y, w, h = (int(side) if float(side).is_integer() else float(side) for side in annotation["bbox_xywh_px"])
    return {"class_id": plan.numbers[annotation["category"]], "width": w, "top": y, "height": h, "left": x}


def _metadata(row: Row, annotations: Sequence[Row], metadata: Row, kind: str, unstated: Any) -> Row:
    origin, job = makers(annotations)
    dates = {one["annotator"]: one.get("created_at") for one in row.get("responses", ())}
    out = {**metadata, "type": f"groundtruth/{kind}", "human-annotated": "no" if origin == "model" else "yes"}
    out["creation-date"] = (dates.get(job) if job is not None and origin == "human" else None) or NO_DATE
    if job is not None:
        out["job-name"] = job
    if unstated:
        out[UNSTATED] = unstated
    return out
