"""Ids, places and categories of what is written, settled before the first row is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dsetkit.formats.base import Export
from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.carry import split_of
from dsetkit.formats.datumaro.labels import categories_of, read_labels
from dsetkit.formats.datumaro.read import NO_SUBSET
from dsetkit.formats.issues import IssueList
from dsetkit.formats.loss import Ledger
from dsetkit.formats.matching import without_extension
from dsetkit.formats.notes import FileNotes
from dsetkit.formats.places import Places, safe_part, safe_path
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category

_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


class DatumaroPlan:
    """Ids, places and categories, settled in one walk over the rows before the first is written."""

    def __init__(
        self, export: Export, categories: Sequence[Category], capabilities: Capabilities, ledger: Ledger
    ) -> None:
        self.capabilities = capabilities
        self.names: dict[str, str] = {}
        """Key → the picture's name, a path below its subset's folder."""
        self.files: dict[str | None, str] = {}
        """Split → name of its file and folder."""
        self.points = {category.name: dict.fromkeys(category.keypoint_names) for category in categories}
        self.attributes: dict[str, set[str]] = {
            category.name: {item.name for item in category.attributes if item.name} for category in categories
        }
        places, files, stems = Places(), Places(), Places()
        given: dict[str, tuple[str | None, str]] = {}
        made: dict[str, str] = {}
        for row in export.rows():
            key, split = row["key"], split_of(row)
            self.names[key] = places.take(safe_path(key))
            made[key] = stems.take(without_extension(self.names[key]))
            given[key] = (split, row.get("source_id") or "")
            self.files.setdefault(split, "")
            for annotation in row.get("annotations", ()):
                self._note(annotation)
        for split in sorted(self.files, key=lambda name: (name is not None, (name or "").encode())):
            self.files[split] = files.take(safe_part(split if split is not None else NO_SUBSET))
        keeps = all(name for _, name in given.values()) and len(set(given.values())) == len(given)
        self.ids = {key: name for key, (_, name) in given.items()} if keeps else made
        self.source = tuple(categories)
        self.label_ids = {category.name: index for index, category in enumerate(categories)}
        self.written = self._categories(export)
        self.labels = read_labels(self.written, FileNotes(IssueList(), ""))
        self.categories = categories_of([self.labels])
        self._enter_losses(ledger)

    def _note(self, annotation: Row) -> None:
        category = annotation.get("category")
        if category not in self.points:
            return
        for point in annotation.get("keypoints", ()) if annotation["kind"] == "keypoints" else ():
            self.points[category].setdefault(point["name"])
        self.attributes[category].update(name for name in annotation.get("attributes", {}) if name)

    def _categories(self, export: Export) -> dict[str, Any]:
        labels = [
            {
                "name": category.name,
                "parent": category.supercategory or "",
                "attributes": sorted(self.attributes[category.name]),
            }
            for category in self.source
        ]
        groups = export.info.get("label_groups")
        out: dict[str, Any] = {
            "label": {
                "labels": labels,
                "label_groups": [group for group in groups if self._is_group(group)]
                if isinstance(groups, list)
                else [],
                "attributes": [],
            }
        }
        colors = [
            {"label_id": index, "r": int(color[1:3], 16), "g": int(color[3:5], 16), "b": int(color[5:7], 16)}
            for index, category in enumerate(self.source)
            if (color := category.color or "") and _COLOR.fullmatch(color)
        ]
        if colors:
            out["mask"] = {"colormap": colors}
        items = [
            {
                "label_id": index,
                "labels": list(self.points[category.name]),
                "joints": [[first + 1, second + 1] for first, second in category.skeleton],
                "positions": [],
            }
            for index, category in enumerate(self.source)
            if self.points[category.name]
        ]
        if items:
            out["points"] = {"items": items}
        return out

    def _is_group(self, group: Any) -> bool:
        if not isinstance(group, dict) or set(group) != {"name", "group_type", "labels"}:
            return False
        return isinstance(group["labels"], list) and all(label in self.points for label in group["labels"])

    def _enter_losses(self, ledger: Ledger) -> None:
        back = {category.name: category for category in self.categories}
        for category in self.source:
            known = back.get(category.name)
            if known is None:
                message = "a category that is a point of its supercategory is read as no category"
                ledger.add("category-dropped", message, category.name)
                continue
            if category.attributes != known.attributes and category.attributes:
                message = "datumaro keeps names of attributes only, no types, values or defaults"
                ledger.add("attribute-definition-changed", message, category.name, severity="info")
            same_color = (category.color or "").lower() == (known.color or "")
            if not same_color or sorted(category.skeleton) != sorted(known.skeleton):
                message = "colors other than #rrggbb and lines between points that are not there are left out"
                ledger.add("category-field-dropped", message, category.name, severity="info")

    def place(self, key: str, split: str | None) -> str:
        """Where the picture lies."""
        return f"images/{self.files[split]}/{self.names[key]}"
