"""Labelbox: exports of data rows (version 2, NDJSON), v1 exports of labels, and annotations to import.

Definitions: https://docs.labelbox.com/reference/export-image-annotations, /reference/export-glossary and
/reference/import-image-annotations, and https://github.com/Labelbox/labelbox-python (``data/serialization/ndjson``).

Frame and pixels. Plain pixels from the picture's top-left corner: a box reaches from ``left`` to ``left + width``.
Labelbox shows pictures turned as EXIF says; the declared size (``media_attributes``) tells which frame is meant. Of the
oldest exports (labels by category) y counts from the foot of the picture.

Read. A data row is found among the pictures by its external id, its global key or its URL's file name (nothing is
fetched, and query and user of URLs are not kept: they grant access). Ids are the features' (``feature_id``, ``uuid``).
Answers about an object are its attributes, those about the picture attributes of the sample, or, with the option
``classifications: labels``, labels of the picture; a question called ``image_label`` always is about such. Several
labels of a data row are several annotators' (``annotator``, ``responses``: skipped, submitted, and what reviewers
approved or rejected); predictions of model runs have ``model`` and the origin ``model``. Relationships → relations,
``split`` in the metadata and ``Data Split`` → subsets. Masks are read from run lengths or PNG; a mask behind a URL is
an issue ``mask-not-fetched`` and its picture counts as labelled in part. Videos, texts and documents are left out, with
an issue.

Written: ``labels.ndjson`` for Labelbox's import of annotations, and the pictures, whose paths are the global keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from dsetkit.errors import FormatError
from dsetkit.formats.base import Capabilities, Detection, Export, Format, Options, choose
from dsetkit.formats.carry import carry_row, withdraw_labelled
from dsetkit.formats.garbage import collector_paused
from dsetkit.formats.labelbox.files import EXTENSIONS, WHAT, find_files, records
from dsetkit.formats.labelbox.read import LabelboxReader
from dsetkit.formats.labelbox.write import SampleWriter
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.matching import extension_of_path
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.places import Places, safe_path
from dsetkit.spec.arrow import Row
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_LABELS = "labels.ndjson"
_CLASSIFICATIONS = ("attributes", "labels")
_ORIGINS = ("bottom", "top")


class Labelbox(Format):
    """Objects and answers, data row by data row."""

    name = "labelbox"
    title = "Labelbox"
    extensions: ClassVar[frozenset[str]] = frozenset({".ndjson", ".jsonl", ".json"})
    looks_for = "NDJSON or JSON with data_row (exports), dataRow (imports), or Labeled Data and Label (v1 exports)"
    capabilities = Capabilities(
        kinds=frozenset({"image_label", "box", "polygon", "mask", "polyline", "points"}),
        becomes={"rotated_box": "polygon", "ellipse": "polygon", "keypoints": "box"},
        annotation_fields=frozenset({"score", "relations", "extras"}),
        attributes=None,
        sample_fields=frozenset({"attributes"}),
        categories="used",
        parts=False,
        tells_unlabelled=False,
        names="free",
    )
    options: ClassVar[Mapping[str, str]] = {
        "classifications": "what answers about the whole picture become: attributes, or labels of the picture",
        "legacy_origin": "where y counts from in the oldest exports (labels by category): bottom or top",
    }

    def detect(self, tree: Tree) -> Detection | None:
        """By the beginnings of JSON files."""
        found = next(find_files(tree), None)
        return None if found is None else Detection(self.name, 0.9, f"found {found[0]} with {WHAT[found[1]]}")

    def label_files(self, tree: Tree) -> list[str]:
        """JSON and NDJSON files that look like Labelbox's."""
        return [path for path, _ in find_files(tree)]

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """All files; one row a picture that a data row is."""
        reader = LabelboxReader(
            pictures,
            answers_are_labels=choose(options, "classifications", _CLASSIFICATIONS, "attributes") == "labels",
            from_top=choose(options, "legacy_origin", _ORIGINS, "bottom") == "top",
        )
        paths = self.label_files(labels)
        if not paths:
            paths = [path for path in labels.entries if extension_of_path(path) in EXTENSIONS]
            if len(paths) != 1:
                raise self.no_labels(labels)
        refused: list[FormatError] = []
        read = 0
        with collector_paused():
            for path in paths:
                if labels.entries[path].size_bytes == 0 and extension_of_path(path) != ".json":
                    read += 1
                    message = "it has no line, so it speaks of no picture"
                    reader.issues.add("labels-empty", message, severity="info", file=path)
                    continue
                try:
                    for place, record in records(labels, path, reader.issues):
                        read += reader.add(record, path, place)
                except FormatError as error:
                    refused.append(error)
                    hint = error.hint
                    reader.issues.add("json-unreadable", error.message, file=path, place=error.place, hint=hint)
        if not read:
            raise refused[0] if refused else self.no_labels(labels)
        return reader.label_set()

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> _Plan:
        """Where each picture goes; which questions are answered in free text."""
        categories = super().prepare(export, options, ledger)
        del categories
        places = Places()
        places.take(_LABELS)
        defined = {item.name: item.type for category in export.categories for item in category.attributes}
        return _Plan(
            paths={row["key"]: places.take(f"images/{safe_path(row['key'])}") for row in export.rows()},
            free_text=frozenset(name for name, kind in defined.items() if kind == "text"),
        )

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """The row as it is read back."""
        return self._render(row, prepared, ledger)[0]

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """A line an annotation; a sample without any has none."""
        ledger = Ledger(self.name)
        plan = self.prepare(export, options, ledger)
        lines: list[str] = []
        for row in export.rows():
            carried, written = self._render(row, plan, ledger)
            picture = export.picture(row)
            if picture is not None:
                sink.write(carried["key"], picture)
            lines += [f"{json.dumps(record, ensure_ascii=False, allow_nan=False)}\n" for record in written]
        sink.write(_LABELS, "".join(lines).encode())

    def _render(self, row: Row, plan: _Plan, ledger: Ledger) -> tuple[Row, list[dict[str, Any]]]:
        """The row as read back, and its lines."""
        kept = self.capabilities.annotation_fields | {"id"}
        able = replace(self.capabilities, annotation_fields=kept, tells_unlabelled=True)
        out = carry_row(row, able, ledger)
        path = plan.paths[row["key"]]
        if out.get("labelled") is None and out.pop("attributes", None):
            message = "answers would say that somebody labelled the picture; those of one nobody labelled are left out"
            ledger.add("field-dropped", message, row["key"])
        writer = SampleWriter(row["key"], path, plan.free_text, ledger)
        back = writer.write(out)
        if not back and out.get("labelled") is not None and not out.get("annotations"):
            message = "labelbox's import cannot say that a picture shows nothing; it counts as not labelled"
            ledger.add("labelled-empty", message, row["key"])
        carried = {"key": path, **back}
        withdraw_labelled(row, {**carried}, ledger)
        return carried, writer.records


@dataclass(frozen=True)
class _Plan:
    """What a write has to know of all rows."""

    paths: Mapping[str, str]
    """Key → path of the picture, which is the global key."""
    free_text: frozenset[str]
