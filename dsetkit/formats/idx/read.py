"""IDX files into rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from dsetkit.errors import FormatError
from dsetkit.formats.idx.files import IdxFile, read_data, read_header, set_of, subset_of
from dsetkit.formats.idx.names import listed_names
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category, merge_categories
from dsetkit.storage.tree import Tree

_MAX_NUMBER = 10_000
"""Label numbers below this make a category for each number up to the highest."""
_QMNIST = ("hsf_series", "writer", "writer_digit", "nist_class", "nist_digit")
"""What the second to the sixth column of QMNIST's labels say."""


_TOO_LARGE = 2.0**53


class Labels(NamedTuple):
    """The labels of a file, and what else it says of each."""

    values: list[int | None]
    facts: list[Row]
    """Empty where it says nothing."""


def is_transposed(path: str, transposed: str) -> bool:
    """Whether what a file stores as a row is a column: as the option says, or where the name begins with emnist."""
    return transposed == "yes" or (transposed == "auto" and path.rpartition("/")[2].lower().startswith("emnist"))


def upright_size(file: IdxFile, transposed: str) -> tuple[int, int]:
    """Height and width of its pictures as they are given out."""
    rows, columns = file.shape[1:]
    return (columns, rows) if is_transposed(file.path, transposed) else (rows, columns)


class IdxReader:
    """Gathers the files of a tree, then gives their rows."""

    def __init__(self, tree: Tree, names: tuple[str, ...] | None, transposed: str) -> None:
        self.tree = tree
        self.names = names
        self.transposed = transposed
        self.issues = IssueList()
        self.images: dict[str, IdxFile] = {}
        self.labels: dict[str, IdxFile] = {}
        self.refused: list[FormatError] = []

    def add(self, path: str) -> None:
        """Look at one file's header."""
        try:
            file = read_header(self.tree, path)
        except FormatError as error:
            self._refuse(error)
            return
        kind, name = self.images if file.is_images else self.labels, set_of(path)
        if name in kind:
            both = (kind[name], file)  # QMNIST has its labels twice, once with all columns
            kept, other = sorted(both, key=lambda one: (-len(one.shape), one.packed != "", one.path.encode()))
            kind[name] = kept
            message = f"{kept.path} is of the same set; this file was left out"
            hint = "Take one of the two away."
            self.issues.add("file-twice", message, severity="info", file=other.path, hint=hint)
        else:
            kind[name] = file

    def finish(self) -> LabelSet:
        """All rows. Raises ``FormatError`` where no file can be read."""
        if not self.images and not self.labels:
            raise self.refused[0]
        rows: list[Row] = []
        lists: list[tuple[Category, ...]] = []
        for name in sorted({*self.images, *self.labels}, key=str.encode):
            values = self._values(name)
            names = self._names(name, values)
            lists.append(_categories(names))
            rows += self._rows(name, values, names)
        return LabelSet.from_rows(rows, merge_categories(*lists), issues=self.issues.all())

    def _values(self, name: str) -> Labels | None:
        """The labels of a set; None where there are none."""
        images, labels = self.images.get(name), self.labels.get(name)
        for file in (images, labels):
            if file is not None:
                self._check_size(file)
        if labels is None:
            assert images is not None
            message, hint = "there are no labels for its pictures", "Put the file of labels beside it."
            self.issues.add("labels-missing", message, severity="warning", file=images.path, hint=hint)
            return None
        if images is not None and images.count != labels.count:
            message = f"it has {labels.count:,} labels, where {images.path} has {images.count:,} pictures"
            hint = "Fetch both again; pictures without a label count as not labelled."
            self.issues.add("counts-differ", message, file=labels.path, hint=hint)
        elif images is None:
            message, hint = "there is no file of pictures to its labels", "Put it beside it."
            self.issues.add("pictures-missing", message, severity="warning", file=labels.path, hint=hint)
        try:
            return self._labels(labels, read_data(self.tree, labels))
        except FormatError as error:
            self._refuse(error)
            return None

    def _labels(self, file: IdxFile, data: bytes) -> Labels:
        numbers = np.frombuffer(data, file.element).reshape(file.count, math.prod(file.shape[1:]))
        given = numbers[:, 0]
        is_label = (given >= 0) & (given == np.floor(given)) & (given < _TOO_LARGE)
        if not is_label.all():
            at = int(np.flatnonzero(~is_label)[0])
            message = f"{int((~is_label).sum()):,} labels are no category, as number {at}: {given[at]}"
            hint = "Their pictures count as not labelled; correct the file if they are."
            self.issues.add("label-invalid", message, severity="warning", file=file.path, hint=hint)
        whole = np.where(is_label, given, 0).astype(np.int64).tolist()
        values = [value if fits else None for value, fits in zip(whole, is_label.tolist(), strict=True)]
        if numbers.shape[1] == 1:
            return Labels(values, [])
        columns = numbers[:, 1 : 1 + len(_QMNIST)].astype(np.int64).tolist()
        return Labels(values, [dict(zip(_QMNIST, row, strict=True)) for row in columns])

    def _check_size(self, file: IdxFile) -> None:
        what = "pictures" if file.is_images else "labels"
        if file.is_images and file.count and file.shape[0] == file.count * file.item_bytes:
            message = f"its header counts values, {file.shape[0]:,}, not its {file.count:,} pictures"
            hint = "Some tools write it so; nothing is lost."
            self.issues.add("header-counts-values", message, severity="warning", file=file.path, hint=hint)
        elif file.count < file.shape[0]:
            message = f"its header says {file.shape[0]:,} {what}, and {file.count:,} are there"
            hint = "Fetch it again: its download was cut short, or it was made wrongly."
            self.issues.add("file-cut-off", message, file=file.path, hint=hint)
        elif file.size_bytes > file.start + file.count * file.item_bytes:
            message = f"there is more in it than the {file.shape[0]:,} {what} of its header; that was left out"
            self.issues.add("bytes-left-over", message, severity="warning", file=file.path, hint="Check its header.")

    def _rows(self, name: str, labels: Labels | None, names: Mapping[int, str]) -> list[Row]:
        labels = labels or Labels([], [])
        images = self.images.get(name)
        count = len(labels.values) if images is None else images.count
        subset = subset_of(name)
        shared: Row = {} if subset is None else {"subsets": (subset,)}
        if images is not None:
            height, width = upright_size(images, self.transposed)
            shared |= {"width_px": width, "height_px": height}
        said: dict[int | None, Row] = {
            value: {"labelled": "yes", "annotations": ({"id": "0", "kind": "image_label", "category": text},), **shared}
            for value, text in names.items()
        }
        said[None] = shared
        rows: list[Row] = [
            {"key": f"{name}/{number:06d}.png", **said[value]} for number, value in enumerate(labels.values[:count])
        ]
        if labels.facts:
            rows = [{**row, "attributes": facts} for row, facts in zip(rows, labels.facts, strict=False)]
        return rows + [{"key": f"{name}/{number:06d}.png", **shared} for number in range(len(rows), count)]

    def _names(self, name: str, found: Labels | None) -> dict[int, str]:
        """What each label number that is used or listed is called, in the order of numbers."""
        refused: list[FormatError] = []
        listed = dict(enumerate(self.names)) if self.names is not None else listed_names(self.tree, name, refused)
        for error in refused:
            self._refuse(error)
        used = sorted({value for value in found.values if value is not None}) if found is not None else []
        if not listed:
            most = used[-1] + 1 if used else 0
            return {number: str(number) for number in (range(most) if most <= _MAX_NUMBER else used)}
        unknown = [number for number in used if number not in listed]
        if unknown:
            labels = self.labels[name]
            message = f"label {unknown[0]} has no name in the list of {len(listed)}; it is called by its number"
            hint = "Complete the list of names."
            self.issues.add("category-unlisted", message, severity="warning", file=labels.path, hint=hint)
        taken = set(listed.values())
        for number in unknown:
            text = str(number)
            while text in taken:
                text = f"label {text}"
            listed[number] = text
        return dict(sorted(listed.items()))

    def _refuse(self, error: FormatError) -> None:
        self.refused.append(error)
        self.issues.add("file-unreadable", error.message, file=error.file, place=error.place, hint=error.hint)


def _categories(names: Mapping[int, str]) -> tuple[Category, ...]:
    return tuple(
        Category(name=name, index=index, source_ids=(str(number),))
        for index, (number, name) in enumerate(names.items())
    )
