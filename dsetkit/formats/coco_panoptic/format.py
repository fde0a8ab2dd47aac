"""COCO panoptic: one PNG a picture in which each pixel has the number of its segment.

A pixel's number is R + 256 G + 256² B; 0 is nothing. ``segments_info`` says what each number is (category,
``iscrowd``); categories are things or stuff (``isthing``). Segments are masks, exact to the pixel, of the picture whose
size is declared (see ``dsetkit.formats.frames``); ids are the numbers, ``area`` and ``bbox`` are worked out anew and
compared.
Definition: https://cocodataset.org/#format-data, https://github.com/cocodataset/panopticapi.

Layout read: JSON files with ``segments_info`` (``annotations/panoptic_<split>.json``), maps in the folder of the same
name or, by their names, anywhere; pictures as in ``coco``. Predictions, which list no images and no categories, are
read too: pictures by the map's name, categories by their ids.

Written: ``annotations/panoptic_<split>.json``, ``annotations/panoptic_<split>/<key>.png``, ``images/<key>``; without
``_<split>`` where a picture has none. A picture nobody labelled has no annotation. See ``write`` for overlaps.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dsetkit.formats.base import Detection, Export, Options
from dsetkit.formats.coco.family import CAPABILITIES, CocoFamily
from dsetkit.formats.coco.files import CocoFile, find_files, split_name
from dsetkit.formats.coco.panoptic import find_panoptic, label_maps
from dsetkit.formats.coco_panoptic.read import PanopticReader
from dsetkit.formats.coco_panoptic.write import PanopticPlan, render, write
from dsetkit.formats.garbage import collector_paused
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.text import read_label_bytes
from dsetkit.spec.arrow import Row
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_MOST = 20
"""How many JSON files at most ``detect`` looks into beyond those whose name says panoptic."""


class CocoPanoptic(CocoFamily):
    """COCO's panoptic segmentation."""

    name = "coco_panoptic"
    title = "COCO panoptic"
    looks_for = "JSON files with segments_info and PNG label maps (annotations/panoptic_<split>.json)"
    capabilities = replace(
        CAPABILITIES,
        kinds=frozenset({"mask"}),  # polygons, rotated boxes and ellipses have become masks before
    )

    def detect(self, tree: Tree) -> Detection | None:
        """By the beginnings and ends of JSON files."""
        found = next(find_panoptic(tree, at_most=_MOST), None)
        if found is None:
            return None
        other = next(find_files(tree, at_most=_MOST), None)
        beside = f"; {other.path} beside it is coco, which wins where both fit" if other is not None else ""
        return Detection(self.name, 0.95, f"found {found.path} with {found.why}{beside}")

    def label_files(self, tree: Tree) -> list[str]:
        """JSON files with segments, and their label maps."""
        files = list(find_panoptic(tree))
        return sorted({*(file.path for file in files), *label_maps(tree, files)}, key=str.encode)

    def pictures(self, tree: Tree) -> list[str]:
        """All pictures but label maps."""
        maps = label_maps(tree, find_panoptic(tree))
        return [path for path in super().pictures(tree) if path not in maps]

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """All files, joined by picture."""
        files = sorted(find_panoptic(labels), key=lambda file: file.path.encode())
        if not files:
            path = self.json_alone(labels)
            _, subset, hints = split_name(path)
            files = [CocoFile(path, "panoptic", subset, hints, "")]
        reader = PanopticReader(pictures, labels, str(options.get("image_root", "")))
        with collector_paused():
            for file in files:
                reader.add(file, read_label_bytes(labels, file.path))
            return reader.finish()

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> PanopticPlan:
        """Ids and places of everything."""
        return PanopticPlan(export, self.coco_plan(export, options, ledger), ledger)

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """See ``write.render``."""
        return render(row, prepared, self.capabilities, ledger)[0]

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """See the module's description."""
        write(export, sink, self.prepare(export, options, Ledger(self.name)), self.capabilities)
