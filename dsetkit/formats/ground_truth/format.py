"""SageMaker Ground Truth: manifests, one JSON object a line (augmented manifests).

Format: https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html (``sms-input-data-input-manifest`` for what
goes in). A line names its picture in ``source-ref``; a label ``<name>`` stands beside its ``<name>-metadata``.
Boxes are left, top, width, height in pixels from the top-left corner of the top-left pixel, of the picture whose size
``image_size`` says. Read are boxes (and outlines of custom tasks), classes of the picture (one or several), label maps
of semantic segmentation (one mask a class; ``BACKGROUND`` is none) and verdicts of verification jobs (attributes).
Annotations are numbered from 0 on each picture. The job is the ``annotator``, or, where no human looked, the ``model``;
its date is that of a response. Labels that an adjustment job went over are ``declined`` in favour of the adjusted ones.
A line whose labelling failed is not labelled, with an issue. Further fields of a line are attributes of the sample.

Written are ``output.manifest`` and ``output-<split>.manifest``: boxes as ``bounding-box``, classes as ``category`` (a
number where no picture has several, else lists), classes numbered as the categories; pictures in ``images/<key>``.
Where asked for, masks, polygons, rotated boxes and ellipses become ``segmentation-ref``: a label map a picture in
``annotations/<key>.png`` (see ``paint``), exact to the pixel where masks do not overlap; classes are numbered from 1
then, 0 is ``BACKGROUND``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from dsetkit.formats.base import Capabilities, Detection, Export, Format, Options
from dsetkit.formats.garbage import collector_paused
from dsetkit.formats.ground_truth.files import EXTENSIONS, ManifestFile, find_files, label_maps, subset_of
from dsetkit.formats.ground_truth.plan import ManifestPlan
from dsetkit.formats.ground_truth.read import ManifestReader
from dsetkit.formats.ground_truth.write import render, write
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.text import read_label_bytes
from dsetkit.spec.arrow import Row
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_MOST = 20
"""How many files at most ``detect`` looks into beyond those whose name says manifest."""


class GroundTruth(Format):
    """SageMaker Ground Truth."""

    name = "ground_truth"
    title = "SageMaker Ground Truth"
    extensions: ClassVar[frozenset[str]] = frozenset(EXTENSIONS)
    looks_for = "manifests (*.manifest, *.jsonl, *.json) with a JSON object with source-ref a line"
    capabilities = Capabilities(
        kinds=frozenset({"image_label", "box"}),
        becomes=dict.fromkeys(("rotated_box", "polygon", "mask", "polyline", "points", "keypoints", "ellipse"), "box"),
        annotation_fields=frozenset({"score", "annotator", "model", "origin"}),
        sample_fields=frozenset({"width_px", "height_px", "attributes", "responses"}),
        categories="used",
        subsets="one",
    )
    options: ClassVar[Mapping[str, str]] = {
        "image_prefix": (
            "what stands before a picture's path in source-ref when writing, as s3://bucket/folder/; nothing where it "
            "is left out"
        ),
        "masks": (
            "writing: what masks and outlines become: boxes, or label_maps (a PNG a picture, as of semantic "
            "segmentation); boxes where it is left out"
        ),
    }

    def detect(self, tree: Tree) -> Detection | None:
        """By the beginnings of manifests."""
        found = max(find_files(tree, at_most=_MOST), key=lambda file: file.confidence, default=None)
        return None if found is None else Detection(self.name, found.confidence, f"found {found.path} with {found.why}")

    def label_files(self, tree: Tree) -> list[str]:
        """Manifests, and the label maps they name."""
        files = [file.path for file in find_files(tree)]
        maps = label_maps(tree, super().pictures(tree)).paths if files else ()
        return sorted({*files, *maps}, key=str.encode)

    def pictures(self, tree: Tree) -> list[str]:
        """All pictures but the label maps that manifests name."""
        pictures = super().pictures(tree)
        maps = set(label_maps(tree, pictures).paths)
        return [path for path in pictures if path not in maps]

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """All manifests, joined by picture."""
        files = list(find_files(labels))
        if not files:
            only = [path for path in labels.entries if path.lower().endswith(EXTENSIONS)]
            if len(only) != 1:
                raise self.no_labels(labels)
            files = [ManifestFile(only[0], subset_of(only[0]), 0.0, "")]
        maps = label_maps(labels, super().pictures(labels))
        reader = ManifestReader(pictures, maps, IssueList())
        with collector_paused():
            for file in sorted(files, key=lambda file: file.path.encode()):
                reader.add(file, read_label_bytes(labels, file.path))
            return reader.finish()

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> ManifestPlan:
        """Places and class numbers."""
        return ManifestPlan(export, super().prepare(export, options, ledger), options, self.capabilities)

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """See ``write.render``."""
        return render(row, prepared, ledger)[0]

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """See the module's description."""
        write(export, sink, self.prepare(export, options, Ledger(self.name)))
