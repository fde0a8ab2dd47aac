"""Datumaro JSON: ``annotations/<subset>.json`` with categories and items, pictures in ``images/<subset>/``.

Definition: https://open-edge-platform.github.io/datumaro/stable/docs/data-formats/formats/datumaro.html and the reader
and writer in ``plugins/data_formats/datumaro``, version 1.0 and before (without ``dm_format_version``, pictures named
from ``images``), and CVAT's fork of it (skeletons). Pixels and angles: ``shapes``; ids: ``read``. Coordinates are of
the picture as Datumaro loads it: its declared size (height, width) tells whether that is the upright one.

Read: label, bbox, polygon, polyline, points, mask, caption, ellipse, skeleton, rotated_bbox; groups, z_order, facts
among attributes. Cuboids and what else there is are left out, with an issue. Datumaro lists every picture of a subset,
labelled or not, so an item without annotations counts as not labelled.

Written: version 1.0. An item that was labelled and shows nothing has ``"labelled": "yes"``, which Datumaro passes over.
Datumaro's JSON has no rotated boxes: they become polygons, or (option ``rotated``) boxes with an attribute
``rotation``, as CVAT writes and reads them, which Datumaro itself takes for boxes that are not turned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from dsetkit.formats.base import Capabilities, Detection, Export, Format, Options, choose
from dsetkit.formats.datumaro.plan import DatumaroPlan
from dsetkit.formats.datumaro.read import DatumaroReader
from dsetkit.formats.datumaro.write import carry, write
from dsetkit.formats.garbage import collector_paused
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.matching import extension_of_path
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.text import read_label_bytes
from dsetkit.spec.arrow import Row
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_HEAD_BYTES = 64 * 1024
_LOOKED_AT = 20
_VERSION = re.compile(rb'"dm_format_version"\s*:')
_CATEGORIES = re.compile(rb'"categories"\s*:\s*\{\s*(?:\}|"(?:label|mask|points)"\s*:\s*\{)')
_ITEMS = re.compile(rb'"items"\s*:\s*\[')


class Datumaro(Format):
    """Datumaro's own format."""

    name = "datumaro"
    title = "Datumaro"
    extensions: ClassVar[frozenset[str]] = frozenset({".json"})
    looks_for = "JSON files with categories and items (annotations/<subset>.json)"
    capabilities = Capabilities(
        kinds=frozenset(
            {"image_label", "box", "polygon", "mask", "polyline", "points", "keypoints", "ellipse", "caption"}
        ),
        becomes={"rotated_box": "polygon"},
        annotation_fields=frozenset({"id", "score", "is_crowd", "instance_group", "track", "extras"}),
        outside=True,
        attributes=None,
        sample_fields=frozenset({"source_id", "width_px", "height_px", "attributes"}),
        category_fields=frozenset({"supercategory", "color", "keypoint_names", "skeleton", "attributes"}),
        needs_category=False,
        subsets="one",
        names="free",
        parts=False,  # what has parts or holes is written as a mask, which ``carry`` says
    )
    options: ClassVar[Mapping[str, str]] = {
        "empty": "reading: what an item without annotations is: unlabelled (Datumaro lists every picture) or labelled",
        "rotated": "writing: rotated boxes as a polygon, or as a box with the attribute rotation, which CVAT reads",
    }

    def detect(self, tree: Tree) -> Detection | None:
        """By the beginnings of JSON files, at most 20 of them."""
        for path in _json_files(tree)[:_LOOKED_AT]:
            why = looks_like_datumaro(tree.read_head(path, _HEAD_BYTES))
            if why is not None:
                return Detection(self.name, 0.95, f"found {path} with {why}")
        return None

    def label_files(self, tree: Tree) -> list[str]:
        """JSON files with Datumaro's categories and items."""
        return [path for path in _json_files(tree) if looks_like_datumaro(tree.read_head(path, _HEAD_BYTES))]

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """All files, one row an item."""
        empty = choose(options, "empty", ("unlabelled", "labelled"), "unlabelled") == "labelled"
        files = self.label_files(labels)
        if not files:
            files = _json_files(labels)  # a single one is read all the same, so that an error says why it is none
            if len(files) != 1:
                raise self.no_labels(labels)
        reader = DatumaroReader(pictures, empty_is_labelled=empty)
        with collector_paused():
            for path in files:
                reader.add(path, read_label_bytes(labels, path))
            return reader.finish()

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> DatumaroPlan:
        """Ids, places and categories."""
        rotated = choose(options, "rotated", ("polygon", "box"), "polygon")
        capabilities = self.capabilities
        if rotated == "box":
            capabilities = replace(capabilities, kinds=capabilities.kinds | {"rotated_box"}, becomes={})
        return DatumaroPlan(export, super().prepare(export, options, ledger), capabilities, ledger)

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """See ``write.carry``."""
        return carry(row, prepared, ledger)[0]

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """See the module's description."""
        ledger = Ledger(self.name)
        write(export, sink, self.prepare(export, options, ledger))


def looks_like_datumaro(head: bytes) -> str | None:
    """What of Datumaro is seen in the beginning of a file; None if it does not look like it."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.replace(b"\x00", b"")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\xff\xfe \t\r\n")
    if not text.startswith(b"{"):
        return None
    if _VERSION.search(text):
        return "a dm_format_version"
    if _CATEGORIES.search(text) and (_ITEMS.search(text) or len(head) >= _HEAD_BYTES):
        return "categories and items"
    return None


def _json_files(tree: Tree) -> list[str]:
    """JSON files, those in a folder ``annotations`` first."""
    found = [path for path in tree.entries if extension_of_path(path) == ".json"]
    return sorted(found, key=lambda path: ("annotations/" not in path, path.encode()))
