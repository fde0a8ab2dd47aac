"""The record sets of ``croissant.json``: samples with their annotations, categories, splits, pictures."""

from __future__ import annotations

from typing import Any

from dsetkit.report.cards.text import split_order
from dsetkit.report.facts.collect import NO_SPLIT, SnapshotFacts
from dsetkit.snapshots.read import Snapshot

_SAMPLE_FIELDS = (
    ("key", "sc:Text", "The sample's name: its source and the path there."),
    ("digest", "sc:Text", "SHA-256 of the picture's bytes; names it in the record set pictures."),
    ("shard", "sc:Text", "File name of the shard that holds the bytes."),
    ("offset_bytes", "sc:Integer", "Where the bytes start in the shard."),
    ("size_bytes", "sc:Integer", "How many bytes the picture has."),
    ("media_type", "sc:Text", "The picture's media type."),
    ("width_px", "sc:Integer", "Width of the upright picture, pixels."),
    ("height_px", "sc:Integer", "Height of the upright picture, pixels."),
    ("split", "sc:Text", "The split; none where there is none."),
    ("labelled", "sc:Text", "Whether all that is to be labelled is: no, partial or yes."),
)
_ANNOTATION_FIELDS = (
    ("id", "id", "sc:Text", None, "Unique in its sample."),
    ("kind", "kind", "sc:Text", None, "box, rotated_box, polygon, mask, keypoints, image_label, caption, ..."),
    ("category", "category", ["sc:Text", "cr:Label"], None, "A name of the record set categories."),
    ("categories", "categories", "sc:Text", "-1", "All of them, where several apply."),
    ("bbox_xywh_px", "bbox_xywh_px", "sc:Float", "4", "x, y, width, height of the upright enclosure, pixels."),
    ("polygons", "polygons", "sc:Float", "-1,-1,-1", "Parts of rings of x, y; ring 0 the outline, others holes."),
    ("mask_size", "mask.size", "sc:Integer", "2", "Height and width of the mask, pixels."),
    ("mask_counts", "mask.counts", "sc:Text", None, "The mask as COCO's compressed run lengths."),
    ("text", "text", "sc:Text", None, "A caption, or what is written there."),
    ("attributes", "attributes", "sc:Text", None, "Facts about the object: a JSON object."),
    ("status", "status", "sc:Text", None, "proposed, accepted or declined."),
    ("is_crowd", "is_crowd", "sc:Boolean", None, "Whether it stands for several objects."),
    ("is_ignored", "is_ignored", "sc:Boolean", None, "Whether evaluation leaves it out."),
)
_SPLIT_TERMS = {"train": "cr:TrainingSplit", "val": "cr:ValidationSplit", "test": "cr:TestSplit"}


def record_sets(snapshot: Snapshot, facts: SnapshotFacts) -> list[dict[str, Any]]:
    """All record sets that have something in them; ``samples`` always."""
    splits = [name for name in facts.samples_per_split if name != NO_SPLIT]
    sets = [_samples(is_split=bool(splits))]
    if snapshot.categories:
        sets.append(_categories(snapshot))
    if splits:
        sets.append(_splits(sorted(splits, key=split_order)))
    if has_pictures(facts):
        sets.append(_pictures())
    return sets


def has_pictures(facts: SnapshotFacts) -> bool:
    """Whether samples have pictures in shards; an empty set of files would be an error."""
    return bool(facts.info.shards) and any("/" in name for name in facts.media_types)


def _samples(*, is_split: bool) -> dict[str, Any]:
    fields = [
        _field(f"samples/{name}", kind, text, _column(name), references="splits/name" if name == "split" else None)
        for name, kind, text in _SAMPLE_FIELDS
    ]
    if not is_split:
        fields = [{name: value for name, value in field.items() if name != "references"} for field in fields]
    parts = [
        _field(f"samples/annotations/{name}", kind, text, _column("annotations", path), shape=shape)
        for name, path, kind, shape, text in _ANNOTATION_FIELDS
    ]
    annotations = {
        "@type": "cr:Field",
        "@id": "samples/annotations",
        "name": "annotations",
        "description": "What people or models said about the picture.",
        "isArray": True,
        "arrayShape": "-1",
        "subField": parts,
    }
    return {
        "@type": "cr:RecordSet",
        "@id": "samples",
        "name": "samples",
        "description": "One record a sample: a picture and its annotations. Coordinates are of the upright picture.",
        "key": {"@id": "samples/key"},
        "field": [*fields, annotations],
    }


def _categories(snapshot: Snapshot) -> dict[str, Any]:
    fields = [
        _field("categories/name", ["sc:Text", "cr:Label"], "Its name."),
        _field("categories/index", "sc:Integer", "Its place in the order, from 0."),
    ]
    rows: list[dict[str, Any]] = [
        {"categories/name": category.name, "categories/index": category.index} for category in snapshot.categories
    ]
    if any(category.supercategory for category in snapshot.categories):
        fields.append(_field("categories/supercategory", "sc:Text", "What it is a kind of."))
        for row, category in zip(rows, snapshot.categories, strict=True):
            row["categories/supercategory"] = category.supercategory or ""
    return {
        "@type": "cr:RecordSet",
        "@id": "categories",
        "name": "categories",
        "description": "What annotations can be about, in order.",
        "dataType": "sc:Enumeration",
        "key": {"@id": "categories/name"},
        "field": fields,
        "data": rows,
    }


def _splits(names: list[str]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "The splits; samples of one split group are all in one.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            _field("splits/name", "sc:Text", "Its name."),
            _field("splits/url", "sc:URL", "What it is for, as Croissant calls it."),
        ],
        "data": [{"splits/name": name, "splits/url": _SPLIT_TERMS.get(name, "cr:Split")} for name in names],
    }


def _pictures() -> dict[str, Any]:
    def source(what: str, regex: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {"fileSet": {"@id": "picture-files"}, "extract": {"fileProperty": what}}
        return found if regex is None else {**found, "transform": {"regex": regex}}

    return {
        "@type": "cr:RecordSet",
        "@id": "pictures",
        "name": "pictures",
        "description": "One record a picture in a shard, also of samples that were turned away.",
        "field": [
            _field("pictures/digest", "sc:Text", "SHA-256 of the bytes.", source("filename", "^([0-9a-f]{64})")),
            _field("pictures/content", "sc:ImageObject", "The picture.", source("content")),
        ],
    }


def _column(name: str, path: str | None = None) -> dict[str, Any]:
    source: dict[str, Any] = {"fileSet": {"@id": "sample-files"}, "extract": {"column": name}}
    return source if path is None else {**source, "transform": {"jsonPath": path}}


def _field(
    name: str,
    kind: str | list[str],
    text: str,
    source: dict[str, Any] | None = None,
    *,
    shape: str | None = None,
    references: str | None = None,
) -> dict[str, Any]:
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": name,
        "name": name.rpartition("/")[2],
        "description": text,
        "dataType": kind,
    }
    if shape is not None:
        field |= {"isArray": True, "arrayShape": shape}
    if source is not None:
        field["source"] = source
    if references is not None:
        field["references"] = {"field": {"@id": references}}
    return field
