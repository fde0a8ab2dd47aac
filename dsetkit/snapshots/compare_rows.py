"""What differs between two versions of one sample, as entries of a diff."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from pydantic import BaseModel

from dsetkit.geometry.affine import transform
from dsetkit.geometry.coordinates import GEOMETRY_FIELDS, is_same_place
from dsetkit.geometry.overlap import iou
from dsetkit.snapshots.pairing import pair_annotations
from dsetkit.spec.annotation import Annotation
from dsetkit.spec.arrow import Row
from dsetkit.spec.base import canonical_json
from dsetkit.spec.diff import (
    AnnotationChange,
    AnnotationEntry,
    FieldChange,
    Moved,
    Picture,
    Recategorized,
    Reencoded,
    SampleChange,
    SplitChange,
)
from dsetkit.spec.sample import MEANING, Sample

_SAMPLE_FIELDS = tuple(name for name in MEANING if name not in ("key", "digest", "split", "annotations"))
_ANNOTATION_FIELDS = tuple(
    name
    for name in Annotation.model_fields
    if name not in ("id", "category", "categories") and name not in GEOMETRY_FIELDS
)


class Entries:
    """The entries of a diff that come from samples of both snapshots, by the name of their list."""

    def __init__(self, renamed: Mapping[str, str] | None = None) -> None:
        """``renamed``: old key → new key of samples that kept their picture under another key."""
        self._renamed = renamed or {}
        self.samples: dict[str, list[Any]] = {"reencoded": [], "split_changed": [], "changed": []}
        self.annotations: dict[str, list[Any]] = {
            name: [] for name in ("added", "removed", "moved", "recategorized", "changed")
        }

    def compare(self, old: Row, new: Row) -> None:
        """Add what differs between two rows of one sample, whose keys may differ too.

        Where the picture has another size, places are compared in the new picture's frame, the old ones scaled to it.
        """
        key, before = new["key"], self._count()
        if old.get("digest") != new.get("digest"):
            self.samples["reencoded"].append(Reencoded(key=key, old=_picture(old), new=_picture(new)))
        if old.get("split") != new.get("split"):
            self.samples["split_changed"].append(
                SplitChange(key=key, old_split=old.get("split"), split=new.get("split"))
            )
        fields = self._changed_fields(old, new)
        ours, theirs = old.get("annotations") or [], new.get("annotations") or []
        scale = _scale(old, new)
        if scale is not None or _differ(ours, theirs):
            self._compare_annotations(key, ours, theirs, scale)
            if not fields and self._count() == before and old["key"] == key:
                fields = (_silent(ours, theirs),)
        if fields:
            self.samples["changed"].append(SampleChange(key=key, fields=fields))

    def _changed_fields(self, old: Row, new: Row) -> tuple[FieldChange, ...]:
        names = {change.name for change in _differing(self._followed(old, new), new, _SAMPLE_FIELDS, Sample)}
        return _differing(old, new, [name for name in _SAMPLE_FIELDS if name in names], Sample) if names else ()

    def _followed(self, old: Row, new: Row) -> Row:
        """The old row with what follows from a new key alone as the new one has it: said once, it is a renamed sample.

        That is the picture's place in its source, where both keys are made of it, and the keys of what it derives from.
        """
        out = dict(old)
        if old["key"] != new["key"] and _is_at_its_key(old) and _is_at_its_key(new):
            place = {name: new["provenance"][name] for name in _PLACE}
            out["provenance"] = {**old["provenance"], **place}
        if self._renamed and old.get("derived_from"):
            out["derived_from"] = [self._renamed.get(key, key) for key in old["derived_from"]]
        return out

    def _count(self) -> int:
        return sum(len(entries) for group in (self.samples, self.annotations) for entries in group.values())

    def _compare_annotations(
        self, key: str, ours: Sequence[Row], theirs: Sequence[Row], scale: _Scale | None
    ) -> list[tuple[int, int]]:
        placed, target = list(ours), list(theirs)
        if scale is not None:
            placed, target = (
                [_scaled(item, *scale) for item in ours],
                [_scaled(item, 1, 1, *scale[2:]) for item in theirs],
            )
        pairs = pair_annotations(placed, target)
        ids = {ours[i]["id"]: theirs[j]["id"] for i, j in pairs}
        for i, j in pairs:
            if scale is not None or _differ([ours[i]], [theirs[j]]):
                self._compare_annotation(key, (ours[i], theirs[j]), (placed[i], target[j]), ids)
        gone, come = {i for i, _ in pairs}, {j for _, j in pairs}
        self.annotations["removed"] += [_entry(key, item) for i, item in enumerate(ours) if i not in gone]
        self.annotations["added"] += [_entry(key, item) for j, item in enumerate(theirs) if j not in come]
        return pairs

    def _compare_annotation(
        self, key: str, pair: tuple[Row, Row], placed: tuple[Row, Row], ids: dict[str, str]
    ) -> None:
        """``pair``: as they stand; ``placed``: in one frame; ``ids``: old id → new id of annotations that are one."""
        old, new = pair
        same = old["id"] == new["id"]
        head = {"key": key, "id": new["id"], "old_id": None if same else old["id"]}
        category = new.get("category")
        if (category, _names(new)) != (old.get("category"), _names(old)):
            entry = Recategorized(
                **head,
                old_category=old.get("category"),
                category=category,
                old_categories=_names(old),
                categories=_names(new),
            )
            self.annotations["recategorized"].append(entry)
        fields = _differing(_relinked(old, ids), new, _ANNOTATION_FIELDS, Annotation)
        if not is_same_place(*placed):
            boxes = {"old_bbox_xywh_px": old.get("bbox_xywh_px"), "bbox_xywh_px": new.get("bbox_xywh_px")}
            self.annotations["moved"].append(Moved(**head, category=category, iou=iou(*placed), **boxes))
        elif _seen(old) != _seen(new):
            fields = (*fields, *_differing(old, new, ("keypoints",), Annotation))
        if fields:
            self.annotations["changed"].append(AnnotationChange(**head, category=category, fields=fields))


class Kept(NamedTuple):
    """An annotation of a version of a sample that an earlier version has, too."""

    old: int
    """Its number in the earlier version's annotations."""
    is_changed: bool


def kept_annotations(old: Row, new: Row) -> dict[int, Kept]:
    """Of two rows of one sample: number of an annotation in ``new`` → which of ``old`` it is, paired as for a diff.

    It is changed where a diff says something of it, other than the number its source gives it.
    """
    entries = Entries()
    ours, theirs = old.get("annotations") or [], new.get("annotations") or []
    pairs = entries._compare_annotations(new["key"], ours, theirs, _scale(old, new))
    told = {item.id for name in ("moved", "recategorized") for item in entries.annotations[name]}
    for item in entries.annotations["changed"]:
        if any(field.name != "source_id" for field in item.fields):
            told.add(item.id)
    return {j: Kept(i, theirs[j]["id"] in told) for i, j in pairs}


_PLACE = ("source", "uri")


def _is_at_its_key(row: Row) -> bool:
    """Whether the key is the picture's source and place in it, as keys of sources are."""
    provenance = row.get("provenance") or {}
    source, uri = (provenance.get(name) for name in _PLACE)
    return bool(source and uri) and unicodedata.normalize("NFC", f"{source}/{uri}") == row["key"]


_Scale = tuple[float, float, int, int]
"""By how much x and y grow; width and height of the new frame, pixels."""


def _scale(old: Row, new: Row) -> _Scale | None:
    """From the old picture's frame to the new one's; None where they are the same, or one is not known."""
    before, after = ((row.get("width_px"), row.get("height_px")) for row in (old, new))
    if before == after or not (before[0] and before[1] and after[0] and after[1]):
        return None
    return after[0] / before[0], after[1] / before[1], after[0], after[1]


def _scaled(item: Row, x: float, y: float, width_px: int, height_px: int) -> Row:
    """In a frame of that size; also for a scale of 1 what follows from the shape is worked out anew, as for others."""
    if item["kind"] == "box" and (x, y) == (1, 1):
        return item
    try:
        return transform(item, (x, 0.0, 0.0, 0.0, y, 0.0), width_px=width_px, height_px=height_px)
    except ValueError:  # a broken mask, or a frame no mask can have
        return item


def _differ(ours: Sequence[Row], theirs: Sequence[Row]) -> bool:
    """Whether annotations differ at all; in JSON ``true``, ``1`` and ``1.0`` are three things, in Python one."""
    loose = [[(item.get("attributes"), item.get("extras")) for item in side] for side in (ours, theirs)]
    return ours != theirs or canonical_json(loose[0]) != canonical_json(loose[1])


def _differing(old: Row, new: Row, names: Sequence[str], model: type[BaseModel]) -> tuple[FieldChange, ...]:
    defaults = _defaults(model)
    found = []
    for name in names:
        if name in old or name in new:
            before, after = old.get(name, defaults[name]), new.get(name, defaults[name])
            if before != after or (before and canonical_json(before) != canonical_json(after)):
                found.append(FieldChange(name=name, old=_plain(before), new=_plain(after)))
    return tuple(found)


@cache
def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    """As rows have them: sequences are lists."""
    fields = model.model_fields.items()
    return {
        name: None if field.is_required() else _plain(field.get_default(call_default_factory=True))
        for name, field in fields
    }


def _plain(value: Any) -> Any:
    """As JSON has it."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _relinked(item: Row, ids: dict[str, str]) -> Row:
    """With links to other annotations by their new ids."""
    out = dict(item)
    if item.get("relations"):
        out["relations"] = [{**link, "target": ids.get(link["target"], link["target"])} for link in item["relations"]]
    if item.get("based_on") is not None:
        out["based_on"] = ids.get(item["based_on"], item["based_on"])
    return out


def _silent(ours: Sequence[Row], theirs: Sequence[Row]) -> FieldChange:
    """For rows that mean something else, but in which nothing that is listed elsewhere differs."""
    ids = [[item["id"] for item in side] for side in (ours, theirs)]
    return (
        FieldChange(name="annotations.id", old=ids[0], new=ids[1])
        if ids[0] != ids[1]
        else FieldChange(name="annotations")
    )


def _names(item: Row) -> tuple[str, ...]:
    return tuple(item.get("categories") or ())


def _seen(item: Row) -> list[int]:
    return [point.get("visibility", 2) for point in item.get("keypoints") or ()]


def _entry(key: str, item: Row) -> AnnotationEntry:
    box = item.get("bbox_xywh_px")
    return AnnotationEntry(key=key, id=item["id"], kind=item["kind"], category=item.get("category"), bbox_xywh_px=box)


def _picture(row: Row) -> Picture:
    return Picture(**{name: row.get(name) for name in Picture.model_fields})
