"""Ids, places and file names of what is written as COCO.

Ids. A picture keeps its source's id where all pictures of the export have one, whole numbers and all different; else
each gets one made of its key (48 bits of its SHA-256), so that adding a picture changes no other's. Annotations keep
theirs where all are whole numbers from 1 and all different over the whole export; else they are numbered from 1.
Categories are numbered by their index from 1, so that adding one changes no other's; the option ``category_ids``
keeps those of the source.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

from dsetkit.errors import UsageError
from dsetkit.formats.base import Export
from dsetkit.formats.carry import split_of
from dsetkit.formats.loss import Ledger
from dsetkit.formats.places import Places, safe_part, safe_path
from dsetkit.spec.category import Category

_WHOLE = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_CATEGORY_ID = re.compile(r"0|-?[1-9][0-9]{0,17}", re.ASCII)


class CocoPlan:
    """Ids, places and file names, settled in one walk over the rows before the first is written."""

    def __init__(
        self, export: Export, categories: Sequence[Category], ledger: Ledger, *, category_ids: str = "index"
    ) -> None:
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
        self.keeps_annotation_ids = all_whole(annotation_ids) and "0" not in annotation_ids
        self.keeps_image_ids = all_whole(list(image_ids.values()))
        self.image_ids = (
            {key: int(text) for key, text in image_ids.items()} if self.keeps_image_ids else _made_ids(image_ids)
        )
        self.categories = tuple(
            category.model_copy(update={"keypoint_names": tuple(names[category.name])}) for category in categories
        )
        self.category_ids = _category_ids(self.categories, category_ids, ledger)
        self.keypoint_names = {category.name: category.keypoint_names for category in self.categories}

    def file_name(self, kind: str, subset: str | None) -> str:
        """``annotations/instances_train.json``."""
        return f"annotations/{kind}_{self.suffixes[subset]}.json" if subset is not None else f"annotations/{kind}.json"


def all_whole(ids: Sequence[str]) -> bool:
    """Whether there are ids, all of them whole numbers from 0 and all different."""
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


def _category_ids(categories: Sequence[Category], which: str, ledger: Ledger) -> dict[str, int]:
    """Name → id. ``which``: ``index`` or ``source``."""
    if which == "index":
        for category in categories:
            others = [known for known in category.source_ids if known not in (str(category.index + 1), category.name)]
            if any(map(_CATEGORY_ID.fullmatch, others)):
                message = "categories are numbered by their index from 1; category_ids=source keeps their own numbers"
                ledger.add("category-id-renumbered", message, category.name, severity="info")
            elif others:
                message = "coco has no place for what sources called a category; not written"
                ledger.add("category-field-dropped", message, category.name, severity="info")
        return {category.name: category.index + 1 for category in categories}
    for category in categories:
        if len(category.source_ids) != 1 or not _CATEGORY_ID.fullmatch(category.source_ids[0]):
            raise UsageError(
                f"the category {category.name!r} has no whole number of its own: {list(category.source_ids)}",
                hint="Leave category_ids out, and they are numbered by their index from 1.",
            )
    ids = {category.name: int(category.source_ids[0]) for category in categories}
    for category in categories:
        twin = next(name for name, number in ids.items() if number == ids[category.name])
        if twin != category.name:
            raise UsageError(
                f"the categories {twin!r} and {category.name!r} both have the number {ids[twin]}",
                hint="Leave category_ids out, and they are numbered by their index from 1.",
            )
    return ids
