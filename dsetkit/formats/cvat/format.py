"""CVAT for images 1.1 and CVAT for video 1.1: XML files whose root element is ``<annotations>``.

Definition: https://docs.cvat.ai/docs/dataset_management/formats/format-xml/ and what CVAT's own exporter and importer
do (``cvat/apps/dataset_manager/formats/cvat.py``). Pixels are plain (``shapes``); a rotated box turns about its centre,
clockwise. Coordinates are of the picture as CVAT shows it: upright today, as stored in its early versions; the size
that is declared tells which. CVAT's shapes have no ids, so annotations are numbered from "0" in each sample.

Read: ``<image>`` (its picture lies in ``images/[<subset>/]<name>`` below the file, or where it is found by its name),
tags as labels of the whole picture, skeletons as keypoints, masks, and ``<track>`` of videos, a row a frame
(``tracks``). A frame's picture is ``frame_000013`` (option ``frame_name``); without one the row has that key.
An ``outside`` shape is kept as the frame of its track that says that the object is not there. Cuboids are left out,
with an issue. CVAT lists every image of a task, labelled or not, so one without shapes counts as not labelled.

Written (option ``layout``): CVAT for images, ``annotations.xml`` and pictures in ``images/``; where samples have
splits, a project with a task for each, pictures in ``images/<split>/``. An image that was labelled and shows nothing
has ``labelled="yes"``, which CVAT passes over.

Or CVAT for video, ``annotations.xml`` and ``images/frame_000000.png``, ... (with the extension that the picture has);
several videos, splits or sizes each in a folder of its own, as CVAT has one video in a task. There everything is a
shape of a track: what is of none becomes a track of one frame, and a track that ends gets an ``outside`` shape behind
its end. Both are marked, so that they come back as they were (``tracks``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats.base import Capabilities, Detection, Export, Format, Options, choose
from dsetkit.formats.cvat.read import CvatReader
from dsetkit.formats.cvat.video import VideoPlan, has_videos
from dsetkit.formats.cvat.video_write import carry_frame, write_video
from dsetkit.formats.cvat.write import CvatPlan, carry, write
from dsetkit.formats.cvat.xml import MAX_XML_BYTES, looks_like_cvat
from dsetkit.formats.garbage import collector_paused
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger, LossReport
from dsetkit.formats.matching import extension_of_path
from dsetkit.formats.outside import SeenExport
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.text import read_label_bytes
from dsetkit.formats.xml_text import XmlRefusedError
from dsetkit.spec.arrow import Row
from dsetkit.spec.issue import Issue
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_HEAD_BYTES = 64 * 1024
_LOOKED_AT = 20
_FRAME_NAME = "frame_%06d.png"
_PATTERN = re.compile(r"[^%/\\]{0,100}%(?:0?[1-9][0-9]?)?d[^%/\\]{0,100}", re.ASCII)


class Cvat(Format):
    """CVAT's own XML."""

    name = "cvat"
    title = "CVAT"
    extensions: ClassVar[frozenset[str]] = frozenset({".xml"})
    looks_for = "XML files whose root element is <annotations>, with <image> or <track>"
    capabilities = Capabilities(  # of both layouts together; what each carries stands in ``_IMAGES`` and ``_VIDEO``
        kinds=frozenset(
            {"image_label", "box", "rotated_box", "polygon", "mask", "polyline", "points", "keypoints", "ellipse"}
        ),
        annotation_fields=frozenset({"origin", "instance_group", "track", "extras"}),
        outside=True,
        attributes=None,
        sample_fields=frozenset({"source_id", "width_px", "height_px"}),
        provenance_fields=frozenset({"video", "frame"}),
        category_fields=frozenset({"color", "keypoint_names", "skeleton", "attributes"}),
        subsets="one",
        names="free",
        parts=False,  # what has parts or holes is written as a mask, which ``carry`` says
    )
    options: ClassVar[Mapping[str, str]] = {
        "layout": (
            "writing: images, video or auto (video where there are tracks and each sample is a frame of its own of a "
            "video, else images)"
        ),
        "empty": "reading: what an image without shapes is: unlabelled (CVAT lists every image of a task) or labelled",
        "frame_name": f"reading: how pictures of a video's frames are called, with the number as %d ({_FRAME_NAME})",
    }

    def detect(self, tree: Tree) -> Detection | None:
        """By the beginnings of XML files, at most 20 of them."""
        found = [path for path in _xml_files(tree)[:_LOOKED_AT] if looks_like_cvat(tree.read_head(path, _HEAD_BYTES))]
        if not found:
            return None
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        return Detection(self.name, 0.95, f"found {found[0]}{more} whose root element is <annotations>")

    def label_files(self, tree: Tree) -> list[str]:
        """XML files that look like CVAT's."""
        return [path for path in _xml_files(tree) if looks_like_cvat(tree.read_head(path, _HEAD_BYTES))]

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """All files, one row an image or frame."""
        empty = choose(options, "empty", ("unlabelled", "labelled"), "unlabelled") == "labelled"
        reader = CvatReader(pictures, empty_is_labelled=empty, frame_name=_frame_name(options))
        files = self.label_files(labels) or (_xml_files(labels) if len(_xml_files(labels)) == 1 else [])
        if not files:
            raise self.no_labels(labels)
        refused: list[tuple[str, XmlRefusedError]] = []
        folders = [path.rpartition("/")[0] for path in files]
        with collector_paused():
            for path, folder in zip(files, folders, strict=True):
                data = read_label_bytes(labels, path, MAX_XML_BYTES)
                try:
                    reader.add(path, data, alone=folders.count(folder) == 1, is_only=len(files) == 1)
                except XmlRefusedError as error:
                    refused.append((path, error))
            if len(refused) == len(files):
                raise _unreadable(*refused[0])
            for path, reason in refused:
                place = None if reason.line is None else f"line {reason.line}"
                hint = "Restore the file, or exclude it from the source."
                reader.found.append(Issue(code=reason.code, message=str(reason), file=path, place=place, hint=hint))
            return reader.finish()

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> CvatPlan | VideoPlan:
        """Ids or frames, places, groups, the types of attributes and what is of which track."""
        layout = choose(options, "layout", ("auto", "images", "video"), "auto")
        categories = super().prepare(export, options, ledger)
        if layout == "video" or (layout == "auto" and has_videos(export)):
            return VideoPlan(export, categories, _VIDEO, ledger)
        return CvatPlan(SeenExport(export), categories, ledger)

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """See ``write.carry`` and ``video_write.carry_frame``."""
        if isinstance(prepared, VideoPlan):
            return carry_frame(row, prepared, ledger)[0]
        return carry(row, prepared, _IMAGES, ledger)[0]

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """See the module's description."""
        self.write_reporting(export, sink, options)

    def write_reporting(self, export: Export, sink: Sink, options: Options) -> LossReport:
        """Write, and what was lost by it."""
        ledger = Ledger(self.name)
        plan = self.prepare(export, options, ledger)
        if isinstance(plan, VideoPlan):
            write_video(export, sink, plan, ledger)
        else:
            write(export, sink, plan, _IMAGES, ledger)
        return ledger.report()


_IMAGES = replace(
    Cvat.capabilities,
    annotation_fields=Cvat.capabilities.annotation_fields - {"track"},
    outside=False,
    provenance_fields=frozenset(),
)
_VIDEO = replace(
    Cvat.capabilities,
    kinds=Cvat.capabilities.kinds - {"image_label"},
    sample_fields=Cvat.capabilities.sample_fields - {"source_id"},
)


def _xml_files(tree: Tree) -> list[str]:
    return [path for path in tree.entries if extension_of_path(path) == ".xml"]


def _frame_name(options: Options) -> str:
    given = str(options.get("frame_name", _FRAME_NAME))
    if not _PATTERN.fullmatch(given):
        raise UsageError(
            f"the option frame_name is {given[:80]!r}",
            hint=f"It is a file name with one number, such as {_FRAME_NAME}.",
        )
    return given


def _unreadable(path: str, error: XmlRefusedError) -> FormatError:
    place = None if error.line is None else f"line {error.line}"
    where = f" ({place})" if place else ""
    hint = "Restore the file, or exclude it from the source."
    return FormatError(f"{path}: {error}{where}", file=path, place=place, hint=hint)
