"""Rows into COCO files; see ``plan`` for ids and names."""

from __future__ import annotations

from dsetkit.formats.base import Export
from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.carry import carry_row, split_of, withdraw_labelled
from dsetkit.formats.coco.entries import (
    annotation_entry,
    document,
    dump,
    head_entries,
    image_entry,
    license_entries,
    listed,
)
from dsetkit.formats.coco.files import split_name
from dsetkit.formats.coco.fit import fit_annotation
from dsetkit.formats.coco.plan import CocoPlan
from dsetkit.formats.loss import Ledger
from dsetkit.spec.arrow import Row
from dsetkit.storage.sink import Sink

_FILES = ("instances", "captions", "labels", "image_info")


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
    carry_sample(out, plan, "instances", ledger, key)
    return out


def carry_sample(out: Row, plan: CocoPlan, kind: str, ledger: Ledger, key: str) -> None:
    """Makes of what ``carry_row`` gave for a sample what is read back of it from a file of that kind."""
    out["key"] = plan.places[key]
    if out.get("source_id") != str(plan.image_ids[key]):
        message = "picture ids are not whole numbers, all different; they are made of keys"
        ledger.add("image-id-made", message, key, severity="info")
        out["source_id"] = str(plan.image_ids[key])
    _carry_facts(out, plan, ledger, key)
    subset = out.pop("subsets", (None,))[0]
    if subset is not None:
        said = split_name(plan.file_name(kind, subset))[1]
        if said != subset:
            ledger.add(
                "split-renamed", f"the split {subset!r} cannot stand in a file name so; it is read as {said!r}", key
            )
        out["subsets"] = (said,)


def _carry_facts(out: Row, plan: CocoPlan, ledger: Ledger, key: str) -> None:
    provenance = {name: value for name, value in out.pop("provenance", {}).items() if value}
    if "uri" in provenance and "://" not in provenance["uri"]:
        message = f"{ledger.format_name} keeps the provenance.uri only where it is a URL"
        ledger.add("field-dropped", message, key, severity="info")
        del provenance["uri"]
    if provenance:
        out["provenance"] = provenance
    for name in ("absent_categories", "not_exhaustive_categories"):
        given = out.pop(name, ())
        known = [category for category in given if category in plan.category_ids]
        if known:
            out[name] = known
        if len(known) < len(given):
            message = f"categories that are not in the list of categories are left out of {name}"
            ledger.add("category-unknown", message, key, count=len(given) - len(known))


def _file_of(annotation: Row) -> str:
    return {"caption": "captions", "image_label": "labels"}.get(annotation["kind"], "instances")


def write(export: Export, sink: Sink, plan: CocoPlan, capabilities: Capabilities) -> None:
    """Pictures and files; see ``dsetkit.formats.coco``."""
    ledger = Ledger("coco")
    licenses = license_entries(plan)
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
        image = dump(image_entry(carried, plan, licenses))
        for kind in sorted(kinds):
            images.setdefault(plan.file_name(kind, split), []).append(image)
        image_id = plan.image_ids[row["key"]]
        for annotation in annotations:
            name = plan.file_name(_file_of(annotation), split)
            lines.setdefault(name, []).append(dump(annotation_entry(annotation, image_id, plan)))
    head = head_entries(export, plan, licenses)
    for name in sorted(images):
        # As in COCO's own: pycocotools expects a category of every annotation of a file that lists categories.
        without = "categories" if name.startswith("annotations/captions") else ""
        parts = {part: text for part, text in head.items() if part != without}
        parts |= {"images": listed(images[name]), "annotations": listed(lines.get(name, []))}
        sink.write(name, document(parts))
