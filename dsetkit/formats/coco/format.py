"""COCO: instances, keypoints, captions, labels of whole pictures; LVIS's lists of absent categories.

Format: https://cocodataset.org/#format-data; layouts: COCO's own (``annotations/instances_<split>.json``, pictures
anywhere), MMDetection's, Roboflow's (``<split>/_annotations.coco.json``), Datumaro's (``labels_<split>.json``: an
annotation without a box is a label of the whole picture). LVIS: ``neg_category_ids``, ``not_exhaustive_category_ids``
and a category's ``def`` (its guideline) are kept; its ``synset``, ``synonyms`` and ``frequency`` are not, which an
issue says. Panoptic files are ``coco_panoptic``'s, lists of predictions ``coco_results``'.

Written are ``annotations/instances_<split>.json`` (all that is located), ``captions_<split>.json``,
``labels_<split>.json`` and ``image_info_<split>.json`` (pictures nobody labelled), each only if it has something to
say, without ``_<split>`` where a picture has none; pictures lie in ``images/<key>`` and ``file_name`` is the path from
there. See ``plan`` for ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from dsetkit.formats.base import Detection, Export, Options
from dsetkit.formats.coco.columns import CocoColumnsReader
from dsetkit.formats.coco.family import CAPABILITIES, CocoFamily
from dsetkit.formats.coco.files import KINDS, CocoFile, find_files, only_file
from dsetkit.formats.coco.panoptic import find_panoptic, label_maps
from dsetkit.formats.coco.plan import CocoPlan
from dsetkit.formats.coco.read import CocoReader
from dsetkit.formats.coco.stream import NotInPieces
from dsetkit.formats.coco.write import carry, write
from dsetkit.formats.garbage import collector_paused
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.text import read_label_bytes
from dsetkit.spec.arrow import Row
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

COLUMNS_FROM_BYTES = 1024**2
"""Files that have as many bytes together are read into columns; of fewer, rows cost nothing and are there at once."""
_MOST = 20
"""How many JSON files at most ``detect`` looks into beyond those whose name says COCO."""


class Coco(CocoFamily):
    """COCO and its relatives."""

    name = "coco"
    title = "COCO"
    looks_for = "JSON files with images, annotations and categories (annotations/instances_<split>.json)"
    capabilities = replace(
        CAPABILITIES,
        kinds=frozenset({"image_label", "box", "polygon", "mask", "keypoints", "caption"}),
        becomes={"rotated_box": "polygon", "ellipse": "polygon"},
        annotation_fields=CAPABILITIES.annotation_fields | {"polygons", "mask"},
        holes=True,  # written as a mask, which ``carry`` says
    )

    def detect(self, tree: Tree) -> Detection | None:
        """By the beginnings of JSON files."""
        found = next(find_files(tree, at_most=_MOST), None)
        if found is None:
            return None
        confidence = 0.95 if found.why == "images and annotations" or found.kind != "other" else 0.8
        return Detection(self.name, confidence, f"found {found.path} with {found.why}")

    def label_files(self, tree: Tree) -> list[str]:
        """JSON files that hold images or annotations of COCO."""
        return sorted((file.path for file in find_files(tree)), key=str.encode)

    def pictures(self, tree: Tree) -> list[str]:
        """All pictures but the label maps of panoptic files (see ``coco_panoptic``)."""
        pictures = super().pictures(tree)
        maps = label_maps(tree, find_panoptic(tree))
        return [path for path in pictures if path not in maps] if maps else pictures

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """All files, joined by picture."""
        files = sorted(find_files(labels), key=lambda file: (KINDS.index(file.kind), file.path.encode()))
        if not files:
            files = [only_file(self.json_alone(labels))]
        with collector_paused():
            if sum(labels.entries[file.path].size_bytes for file in files) >= COLUMNS_FROM_BYTES:
                with suppress(NotInPieces):
                    return _read(CocoColumnsReader, labels, files, pictures, options)
            return _read(CocoReader, labels, files, pictures, options)

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> CocoPlan:
        """Ids and places of everything."""
        return self.coco_plan(export, options, ledger)

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """See ``write.carry``."""
        return carry(row, prepared, self.capabilities, ledger)

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """See the module's description."""
        ledger = Ledger(self.name)
        plan = self.prepare(export, options, ledger)
        write(export, sink, plan, self.capabilities)


def _read(
    kind: type[CocoReader], labels: Tree, files: Sequence[CocoFile], pictures: PictureIndex, options: Options
) -> LabelSet:
    reader = kind(pictures, str(options.get("image_root", "")))
    for file in files:
        reader.add(file, read_label_bytes(labels, file.path))
    return reader.finish()
