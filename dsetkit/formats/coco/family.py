"""What COCO's formats have in common: what a picture and a category say, the options, and the plan of a write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from dsetkit.formats.base import Capabilities, Export, Format, Options, choose
from dsetkit.formats.coco.plan import CocoPlan
from dsetkit.formats.loss import Ledger
from dsetkit.storage.tree import Tree

CAPABILITIES = Capabilities(
    kinds=frozenset(),
    annotation_fields=frozenset({"id", "source_id", "score", "is_crowd", "is_ignored", "extras"}),
    attributes=None,
    sample_fields=frozenset(
        {"source_id", "width_px", "height_px", "attributes", "absent_categories", "not_exhaustive_categories"}
    ),
    provenance_fields=frozenset({"uri", "license", "captured_at"}),
    category_fields=frozenset(
        {"source_ids", "supercategory", "is_thing", "color", "guideline", "keypoint_names", "skeleton"}
    ),
    subsets="one",
    names="free",
)
"""What all of them carry; each adds its kinds."""


class CocoFamily(Format):
    """A format of ``images``, ``annotations`` and ``categories`` in JSON files."""

    extensions: ClassVar[frozenset[str]] = frozenset({".json"})
    options: ClassVar[Mapping[str, str]] = {
        "image_root": "the folder, relative to the source, that file names start from; found where it is left out",
        "category_ids": "writing: what categories are numbered by, index (from 1) or source (their own numbers)",
    }

    def coco_plan(self, export: Export, options: Options, ledger: Ledger) -> CocoPlan:
        """Ids and places of everything."""
        ids = choose(options, "category_ids", ("index", "source"), "index")
        return CocoPlan(export, super().prepare(export, options, ledger), ledger, category_ids=ids)

    def json_alone(self, labels: Tree) -> str:
        """The one JSON file of a tree in which none looks like this format, to be read so that an error says why.

        Raises ``FormatError`` where there is none, or several.
        """
        only = [path for path in labels.entries if path.lower().endswith(".json")]
        if len(only) != 1:
            raise self.no_labels(labels)
        return only[0]
