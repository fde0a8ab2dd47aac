"""What a write has to know of all rows: where everything goes, and the numbers of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dsetkit.formats.base import Export, choose
from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.carry import split_of
from dsetkit.formats.ground_truth.masks import BACKGROUND
from dsetkit.formats.ground_truth.paint import AREAS, class_colors
from dsetkit.formats.matching import without_extension
from dsetkit.formats.places import Places, safe_part, safe_path
from dsetkit.geometry.shape import is_located
from dsetkit.spec.category import Category

BOXES = "bounding-box"
LABELS = "category"
MAP = "segmentation-ref"
"""Names of label maps end in ``-ref``, no others do."""
MASKS = ("boxes", "label_maps")
"""What masks and outlines become."""


class ManifestPlan:
    """Places and class numbers, settled in one walk over the rows before the first is written."""

    def __init__(
        self, export: Export, categories: Sequence[Category], options: Mapping[str, Any], capabilities: Capabilities
    ) -> None:
        self.prefix = str(options.get("image_prefix", ""))
        self.with_maps = choose(options, "masks", MASKS, "boxes") == "label_maps"
        self.capabilities = capabilities
        self.numbers = {category.name: category.index for category in export.categories}
        self.colors: dict[str, tuple[int, int, int]] = {}
        if self.with_maps:
            self.capabilities = replace(capabilities, kinds=capabilities.kinds | {"mask"})
            shown = [category for category in export.categories if category.name != BACKGROUND]
            self.numbers = {BACKGROUND: 0, **{category.name: number for number, category in enumerate(shown, 1)}}
            self.colors = class_colors(shown)
        self.categories = tuple(categories)
        self.places: dict[str, str] = {}
        self.maps: dict[str, str] = {}
        """Key → where its label map goes."""
        self.files: dict[str | None, str] = {None: "output.manifest"}
        self.has_boxes = self.is_multilabel = self.has_maps = False
        places, maps, files = Places(), Places(), Places()
        files.take("output")
        for row in export.rows():
            self.places[row["key"]] = places.take(f"images/{safe_path(row['key'])}")
            split = split_of(row)
            if split is not None and split not in self.files:
                self.files[split] = f"{files.take(f'output-{safe_part(split)}')}.manifest"
            annotations = row.get("annotations", ())
            labels = [one for one in annotations if one["kind"] == "image_label" and one.get("category") is not None]
            self.is_multilabel = self.is_multilabel or len(labels) > 1
            located = [one for one in annotations if is_located(one)]
            areas = [one for one in located if self.with_maps and one["kind"] in AREAS]
            self.has_boxes = self.has_boxes or len(areas) < len(located)
            self.has_maps = self.has_maps or bool(areas)
            if self.with_maps:
                path = without_extension(self.places[row["key"]].removeprefix("images/"))
                self.maps[row["key"]] = maps.take(f"annotations/{path}.png")
