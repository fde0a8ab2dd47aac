"""Batches into rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from dsetkit.errors import FormatError
from dsetkit.formats.cifar.batch import Batch, batch_of, read_binary, read_pickle, strings
from dsetkit.formats.cifar.files import CifarFiles, subset_of
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.matching import extension_of_path, without_extension
from dsetkit.formats.pictures import reduce_name
from dsetkit.formats.places import Places
from dsetkit.formats.text import read_label_text
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category, merge_categories
from dsetkit.storage.tree import Tree

_MAX_LIST_BYTES = 1024 * 1024
_MAX_NAME_BYTES = 200
_MAX_LABELS = 10_000
_AGAIN = "Fetch the file again."


def read_batch(tree: Tree, path: str, files: CifarFiles) -> Batch:
    """One batch. Raises ``FormatError``."""
    if path in files.binary:
        return read_binary(tree, path, files.binary[path])
    return batch_of(read_pickle(tree, path), path)


def keys_of(batch: Batch) -> Iterator[str]:
    """The key of each picture: its batch, and what its file was called, else its number."""
    folder = batch.path.removesuffix(".bin")
    count = max(len(batch.fine), len(batch.places))
    if len(batch.names) != count:
        yield from (f"{folder}/{number:05d}.png" for number in range(count))
        return
    places = Places()
    for number, name in enumerate(batch.names):
        own = reduce_name(name).rpartition("/")[2].lstrip(".")
        own = own.encode()[:_MAX_NAME_BYTES].decode(errors="ignore") or f"{number:05d}"
        if extension_of_path(own) != ".png":
            own = f"{without_extension(own) if extension_of_path(own) in ('.jpg', '.jpeg') else own}.png"
        yield places.take(f"{folder}/{own}")


class CifarReader:
    """Gathers batches, then gives their rows."""

    def __init__(self, tree: Tree, files: CifarFiles) -> None:
        self.tree = tree
        self.files = files
        self.issues = IssueList()
        self.refused: list[FormatError] = []
        self.rows: list[Row] = []
        self.lists: list[list[Category]] = []

    def read(self) -> LabelSet:
        """All rows. Raises ``FormatError`` where no batch can be read."""
        folders: dict[str, list[Batch]] = {}
        for path in self.files.batches:
            try:
                batch = read_batch(self.tree, path, self.files)
            except FormatError as error:
                self._refuse(error)
            else:
                folders.setdefault(path.rpartition("/")[0], []).append(batch)
        if not folders:
            raise self.refused[0]
        for folder, batches in folders.items():
            fine, coarse = self._names(folder, batches)
            categories = _with_parents(fine, coarse, batches)
            self.lists.append(categories)
            for batch in batches:
                self._check(batch)
                self.rows += self._rows(batch, categories, coarse)
        return LabelSet.from_rows(self.rows, merge_categories(*self.lists), issues=self.issues.all())

    def _check(self, batch: Batch) -> None:
        if batch.left_over:
            message = f"{batch.left_over:,} bytes are left over behind its {len(batch.places):,} pictures"
            self.issues.add("bytes-left-over", message, file=batch.path, hint=_AGAIN)
        counts = {"pictures": len(batch.places), "labels": len(batch.fine)}
        counts |= {"coarse labels": len(batch.coarse)} if batch.coarse else {}
        counts |= {"file names": len(batch.names)} if batch.names else {}
        if len(set(counts.values())) > 1:
            shown = ", ".join(f"{count:,} {what}" for what, count in counts.items())
            hint = f"{_AGAIN} Pictures without a label count as not labelled."
            self.issues.add("counts-differ", f"it has {shown}", file=batch.path, hint=hint)
        for number, place in enumerate(batch.places):
            size = batch.form(number).size_bytes
            if place is not None and (found := place.size if not isinstance(place, bytes) else len(place)) != size:
                message = f"it has {found:,} values, where its size takes {size:,}"
                place_name = f"data[{number}]"
                self.issues.add("pixels-differ", message, file=batch.path, place=place_name, hint=_AGAIN)

    def _rows(self, batch: Batch, categories: Sequence[Category], coarse: Sequence[str]) -> Iterator[Row]:
        subset = subset_of(batch.path)
        for number, key in enumerate(keys_of(batch)):
            row: Row = {"key": key, "subsets": (subset,)}
            if number < len(batch.places):
                form = batch.form(number)
                row |= {"width_px": form.width_px, "height_px": form.height_px}
            label = batch.fine[number] if number < len(batch.fine) else None
            if label is not None:
                category = categories[label] if 0 <= label < len(categories) else None
                if category is None:
                    message = f"there is no label {label}"
                    place, hint = f"labels[{number}]", f"Label numbers are from 0 to {_MAX_LABELS - 1:,}."
                    self.issues.add("label-unknown", message, file=batch.path, place=place, key=key, hint=hint)
                else:
                    annotation: Row = {"id": "0", "kind": "image_label", "category": category.name}
                    if number < len(batch.coarse):
                        annotation |= _coarse_finding(category, batch.coarse[number], coarse)
                    row |= {"labelled": "yes", "annotations": (annotation,)}
            yield row

    def _names(self, folder: str, batches: Sequence[Batch]) -> tuple[list[str], list[str]]:
        """Names of labels and of coarse labels, in the order of numbers; numbers where there are no names."""
        fine: list[str] = []
        coarse: list[str] = []
        for path in self.files.sides:
            if path.rpartition("/")[0] != folder:
                continue
            try:
                found = self._lists(path)
            except FormatError as error:
                self._refuse(error)
                continue
            fine = fine or found.get("fine", [])
            coarse = coarse or found.get("coarse", [])
        return self._complete(fine, [batch.fine for batch in batches], batches), self._complete(
            coarse, [batch.coarse for batch in batches], batches
        )

    def _lists(self, path: str) -> dict[str, list[str]]:
        if path in self.files.meta:
            content = read_pickle(self.tree, path)
            names = {"label_names": "fine", "fine_label_names": "fine", "coarse_label_names": "coarse"}
            return {role: strings(content[name], name, path) for name, role in names.items() if name in content}
        lines = read_label_text(self.tree, path, _MAX_LIST_BYTES).rstrip().splitlines()
        role = "coarse" if path.endswith("coarse_label_names.txt") else "fine"
        return {role: [line.strip() for line in lines]}

    def _complete(
        self, names: list[str], labels: Sequence[Sequence[int | None]], batches: Sequence[Batch]
    ) -> list[str]:
        """The names, each once, with one for every number that is used."""
        used = {number for numbers in labels for number in set(numbers) if number is not None}
        count = max((number for number in used if number < _MAX_LABELS), default=-1) + 1
        if names and count > len(names):
            message = f"label {count - 1} has no name in the list of {len(names)}; it is called by its number"
            hint = "Complete the list of names."
            path = batches[0].path
            self.issues.add("category-unlisted", message, severity="warning", file=path, hint=hint)
        complete: dict[str, None] = {}
        for number in range(max(count, min(len(names), _MAX_LABELS))):
            text = names[number] if number < len(names) and names[number].strip() else str(number)
            while text in complete:
                text = f"{text} ({number})"
            complete[text] = None
        return list(complete)

    def _refuse(self, error: FormatError) -> None:
        self.refused.append(error)
        self.issues.add("file-unreadable", error.message, file=error.file, place=error.place, hint=error.hint)


def _with_parents(fine: Sequence[str], coarse: Sequence[str], batches: Sequence[Batch]) -> list[Category]:
    """Categories whose supercategory is the coarse label that most of their pictures have."""
    pairs: Counter[tuple[int, int]] = Counter()
    for batch in batches:
        for low, high in zip(batch.fine, batch.coarse, strict=False):
            if low is not None and high is not None:
                pairs[low, high] += 1
    parents: dict[int, int] = {}
    for (low, high), _ in sorted(pairs.items(), key=lambda item: (-item[1], item[0])):
        parents.setdefault(low, high)
    categories = []
    for number, name in enumerate(fine):
        parent = parents.get(number)
        above = coarse[parent] if parent is not None and 0 <= parent < len(coarse) else None
        categories.append(Category(name=name, index=number, source_ids=(str(number),), supercategory=above))
    return categories


def _coarse_finding(category: Category, number: int | None, coarse: Sequence[str]) -> Row:
    """Nothing where the coarse label is the one above the category; else a finding, and the label in ``extras``."""
    name = coarse[number] if number is not None and 0 <= number < len(coarse) else str(number)
    if name == category.supercategory:
        return {}
    message = f"its coarse label is {name!r}, where most of {category.name!r} have {category.supercategory!r}"
    return {
        "issues": ({"code": "coarse-label-differs", "message": message},),
        "extras": {"cifar": {"coarse_label": name}},
    }
