"""What differs between two snapshots: samples, annotations, categories, params, schema, files that decided.

A new value stands under its own name and the old one behind ``old_``. All lists are sorted by key, then by id.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import Field, JsonValue

from dsetkit.spec.annotation import BBox
from dsetkit.spec.base import Document, Fraction
from dsetkit.spec.diff_text import summary_lines
from dsetkit.spec.html import diff_html, pictures_of


class Side(Document):
    """One of the two snapshots."""

    name: str
    """``raw/blood``, ``cleaned``, ``augmented``."""
    fingerprint: str
    rev: str | None = None
    """The revision it was opened at, as it was named; none for what stands in a folder or at a URL."""


class FieldChange(Document):
    """One field with its old and its new value; a field that is left out has its default value."""

    name: str
    old: JsonValue = None
    new: JsonValue = None


class SampleEntry(Document):
    """A sample that only one of the snapshots has; its annotations are counted here and listed nowhere else."""

    key: str
    digest: str | None = None
    split: str | None = None
    annotations: int = 0


class Picture(Document):
    """The bytes of a sample."""

    digest: str | None = None
    size_bytes: int | None = None
    media_type: str | None = None
    width_px: int | None = None
    height_px: int | None = None


class Reencoded(Document):
    """A sample with other bytes under the same key."""

    key: str
    old: Picture
    new: Picture


class Renamed(Document):
    """The same bytes under a new key."""

    old_key: str
    key: str
    digest: str


class SplitChange(Document):
    """A sample that went to another split; null for none."""

    key: str
    old_split: str | None = None
    split: str | None = None


class SampleChange(Document):
    """A sample of which fields other than picture, split and annotations differ.

    A field ``annotations.id`` lists all ids of its annotations: nothing but ids or order differs. A field
    ``annotations`` without values: coordinates differ by less than counts.
    """

    key: str
    fields: tuple[FieldChange, ...]


class SampleChanges(Document):
    """What became of samples; one can be in several lists."""

    added: tuple[SampleEntry, ...] = ()
    removed: tuple[SampleEntry, ...] = ()
    reencoded: tuple[Reencoded, ...] = ()
    renamed: tuple[Renamed, ...] = ()
    split_changed: tuple[SplitChange, ...] = ()
    changed: tuple[SampleChange, ...] = ()


class AnnotationEntry(Document):
    """An annotation that only one of the snapshots has."""

    key: str
    """Of its sample; of a renamed one the new key."""
    id: str
    kind: str
    category: str | None = None
    bbox_xywh_px: BBox | None = None


class Moved(Document):
    """An annotation at another place, or of another shape."""

    key: str
    id: str
    old_id: str | None = None
    """Where it was another."""
    category: str | None = None
    iou: Fraction
    """Intersection over union of old and new shape; where the picture has another size, in the new picture's frame."""
    old_bbox_xywh_px: BBox | None = None
    """In pixels of the old picture."""
    bbox_xywh_px: BBox | None = None


class Recategorized(Document):
    """An annotation of another category."""

    key: str
    id: str
    old_id: str | None = None
    old_category: str | None = None
    category: str | None = None
    old_categories: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


class AnnotationChange(Document):
    """An annotation of which fields other than place and category differ."""

    key: str
    id: str
    old_id: str | None = None
    category: str | None = None
    fields: tuple[FieldChange, ...]


class AnnotationChanges(Document):
    """What became of the annotations of samples that both snapshots have; one can be in several lists."""

    added: tuple[AnnotationEntry, ...] = ()
    removed: tuple[AnnotationEntry, ...] = ()
    moved: tuple[Moved, ...] = ()
    recategorized: tuple[Recategorized, ...] = ()
    changed: tuple[AnnotationChange, ...] = ()


class CategoryEntry(Document):
    """A category that only one of the snapshots has."""

    name: str
    index: int


class CategoryChange(Document):
    """A category of which fields differ."""

    name: str
    fields: tuple[FieldChange, ...]


class CategoryChanges(Document):
    """What became of categories, in their order."""

    added: tuple[CategoryEntry, ...] = ()
    removed: tuple[CategoryEntry, ...] = ()
    changed: tuple[CategoryChange, ...] = ()


class FileChange(Document):
    """A file of the contract or of corrections that differs between two revisions."""

    path: str
    """In the project: ``corrections/blood.jsonl``, ``schemas/detection.py``."""
    change: Literal["added", "removed", "changed"]
    lines_added: int | None = None
    """None where it is no text."""
    lines_removed: int | None = None


class Diff(Document):
    """What differs between two snapshots; ``dsetkit.diff`` makes one.

    ``len`` is the number of entries in all lists, so it is false where nothing differs. Samples and categories can
    only be without entries where both fingerprints are equal; params, schema and files can differ all the same.
    """

    __slots__ = ("_pictures",)  # not a field: no part of equality, copies, pickles and JSON

    old: Side
    new: Side
    samples: SampleChanges = SampleChanges()
    annotations: AnnotationChanges = AnnotationChanges()
    categories: CategoryChanges = CategoryChanges()
    params: tuple[FieldChange, ...] = ()
    """Of two snapshots alone: ``params_digest``, where it differs."""
    schema_: tuple[FieldChange, ...] = Field(default=(), alias="schema")
    """``reference`` and ``digest`` of the contract, where they differ."""
    files: tuple[FileChange, ...] = ()
    """Between revisions: files under ``schemas/`` and ``corrections/``, by path."""

    def lists(self) -> Iterator[tuple[str, str, Sequence[Any]]]:
        """Group, name and entries of every list: ``("samples", "added", ...)``; others than these three have ""."""
        for group in ("samples", "annotations", "categories"):
            for name, entries in getattr(self, group):
                yield group, name, entries
        yield "params", "", self.params
        yield "schema", "", self.schema_
        yield "files", "", self.files

    def __len__(self) -> int:
        return sum(len(entries) for _, _, entries in self.lists())

    def __bool__(self) -> bool:
        return len(self) > 0

    def to_json(self) -> str:
        """All of it, one JSON object, indented by 2, without a newline at the end."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)

    def summary(self, limit: int = 10) -> list[str]:
        """Lines for a person: counts, then what befell each category, then entries, at most ``limit`` of a list.

        Text that came from data is shown with what could steer a terminal escaped.
        """
        return summary_lines(self, limit)

    def _repr_html_(self) -> str:
        """For a notebook: counts, and pictures where they can be found (see ``dsetkit.diff``)."""
        return diff_html(self, pictures_of(self))
