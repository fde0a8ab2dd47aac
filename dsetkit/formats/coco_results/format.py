"""COCO results: lists of predictions, as evaluation takes them.

``[{"image_id", "category_id", "bbox" | "segmentation" | "keypoints", "score"}, ...]`` or ``[{"image_id", "caption"}]``
(https://cocodataset.org/#format-results); Ultralytics' ``predictions.json`` with ``file_name``. Pixels, boxes and masks
are as in ``coco``. What pictures and categories ids mean, COCO files in the same source say, or the one that the option
``images`` names; without any, a picture is the one whose name is the id or ends in it as COCO's names do, else the id
is its key, and categories are called by their ids.

Predictions are ``origin`` model and ``proposed``, so that no export takes them for labels unasked; they say nothing on
whether a picture is labelled. Annotations are numbered from 0 on each picture. Only read: ``coco`` writes scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from dsetkit.errors import UsageError
from dsetkit.formats.base import Capabilities, Detection, Export, Format, Options
from dsetkit.formats.coco.files import find_files
from dsetkit.formats.coco_results.files import find_results
from dsetkit.formats.coco_results.read import ResultsReader
from dsetkit.formats.garbage import collector_paused
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.text import read_label_bytes
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_MOST = 20
"""How many JSON files at most ``detect`` looks into beyond those whose name says results."""


class CocoResults(Format):
    """COCO's lists of predictions."""

    name = "coco_results"
    title = "COCO results"
    extensions: ClassVar[frozenset[str]] = frozenset({".json"})
    looks_for = "JSON lists of objects with image_id, category_id and score (*_results.json, predictions.json)"
    capabilities = Capabilities(kinds=frozenset(), writes=False)
    options: ClassVar[Mapping[str, str]] = {
        "images": "the COCO file, relative to the source, that says what image and category ids mean",
        "model": "the name of the model whose predictions these are",
    }

    def detect(self, tree: Tree) -> Detection | None:
        """By the beginnings of JSON files. Beside a dataset with annotations it is ``coco`` first."""
        found = next(find_results(tree, at_most=_MOST), None)
        if found is None:
            return None
        confidence, why = 0.9, f"found {found}, a list of objects with image_id and score"
        datasets = list(find_files(tree, at_most=_MOST))
        other = next((file for file in datasets if file.kind != "image_info" and file.why != "images"), None)
        if other is not None:
            why += f"; {other.path} beside it is coco, which wins where both fit"
        elif datasets:
            confidence = 0.96
            why += f"; {datasets[0].path} only lists its pictures"
        return Detection(self.name, confidence, why)

    def label_files(self, tree: Tree) -> list[str]:
        """Lists of predictions, and the COCO files that say what they mean."""
        return sorted({*find_results(tree), *self.side_files(tree)}, key=str.encode)

    def side_files(self, tree: Tree) -> list[str]:
        """COCO files; they are read for pictures and categories, not for annotations."""
        return sorted((file.path for file in find_files(tree)), key=str.encode)

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """One row a picture of which something is predicted."""
        images, model = options.get("images"), options.get("model")
        if images is not None and images not in labels.entries:
            known = ", ".join(self.side_files(labels)[:5]) or "none"
            raise UsageError(
                f"the option images is {images!r}, which is no file of the source",
                hint=f"It is a COCO file's path in it; there are: {known}.",
            )
        files = sorted(find_results(labels), key=str.encode)
        if not files:
            files = [path for path in labels.entries if path.lower().endswith(".json") and path != images]
            if len(files) != 1:
                raise self.no_labels(labels)
        reader = ResultsReader(pictures, labels, images=images, model=None if model is None else str(model))
        with collector_paused():
            for path in files:
                reader.add(path, read_label_bytes(labels, path))
            return reader.finish()

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """Never called: it is only read."""
        raise NotImplementedError
