"""IDX files into rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats.base import Options
from dsetkit.formats.idx.files import IMAGES, IdxFile, read_data, read_header, set_of, subset_of
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.text import read_label_text
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category, merge_categories
from dsetkit.storage.tree import Tree

_LISTS = frozenset({"labels.txt", "classes.txt", "label_names.txt", "class_names.txt", "classnames.txt"})
_MAPPING = re.compile(r"(?i)(.*)[-_]mapping\.txt$")
_MAX_LIST_BYTES = 1024 * 1024
_MOST = 256
"""A label is one byte."""


def check_names(options: Options) -> tuple[str, ...] | None:
    """The names that the option gives: a list, or one text with commas. Raises ``UsageError`` for anything else."""
    given = options.get("names")
    if given is None:
        return None
    names = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
    fits = isinstance(names, list | tuple) and all(isinstance(name, str) and name.strip() for name in names)
    if not fits or len(set(names)) < len(names) or not 0 < len(names) <= _MOST:
        raise UsageError(
            f"the option names is {str(given)[:80]!r}",
            hint="Give at most 256 different names, in the order of label numbers from 0.",
        )
    return tuple(names)


def name_lists(tree: Tree, paths: Iterable[str]) -> list[str]:
    """Files in the folders of these files or sets that say what labels are called."""
    folders = {path.rpartition("/")[0] for path in paths}
    found = []
    for path in tree.entries:
        folder, _, name = path.rpartition("/")
        if folder in folders and (name.lower() in _LISTS or _MAPPING.search(name)):
            found.append(path)
    return found


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
        kind, name = self.images if file.magic == IMAGES else self.labels, set_of(path)
        if name in kind:
            kept, other = sorted((kind[name], file), key=lambda one: (one.packed, one.path.encode()))
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

    def _values(self, name: str) -> list[int] | None:
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
            return list(read_data(self.tree, labels))
        except FormatError as error:
            self._refuse(error)
            return None

    def _check_size(self, file: IdxFile) -> None:
        what = "pictures" if file.magic == IMAGES else "labels"
        if file.magic == IMAGES and file.count and file.shape[0] == file.count * file.item_bytes:
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

    def _rows(self, name: str, values: Sequence[int] | None, names: Mapping[int, str]) -> list[Row]:
        values = values or ()
        images = self.images.get(name)
        count = len(values) if images is None else images.count
        subset = subset_of(name)
        shared: Row = {} if subset is None else {"subsets": (subset,)}
        if images is not None:
            height, width = upright_size(images, self.transposed)
            shared |= {"width_px": width, "height_px": height}
        said = {
            value: {"labelled": "yes", "annotations": ({"id": "0", "kind": "image_label", "category": text},), **shared}
            for value, text in names.items()
        }
        rows: list[Row] = [
            {"key": f"{name}/{number:06d}.png", **said[value]} for number, value in enumerate(values[:count])
        ]
        return rows + [{"key": f"{name}/{number:06d}.png", **shared} for number in range(len(rows), count)]

    def _names(self, name: str, values: Sequence[int] | None) -> dict[int, str]:
        """What each label number that is used or listed is called, in the order of numbers."""
        listed = dict(enumerate(self.names)) if self.names is not None else self._listed(name)
        used = sorted(set(values or ()))
        if not listed:
            return {number: str(number) for number in range(used[-1] + 1)} if used else {}
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

    def _listed(self, name: str) -> dict[int, str]:
        """The names in a file beside the set: EMNIST's mapping of the set, else a list."""
        own, paths = name.rpartition("/")[2], name_lists(self.tree, [name])
        mapped = [path for path in paths if (found := _MAPPING.search(path.rpartition("/")[2])) and _of(found[1], own)]
        for path in (*mapped, *(path for path in paths if not _MAPPING.search(path))):
            try:
                text = read_label_text(self.tree, path, _MAX_LIST_BYTES)
                return _mapping(text, path) if path in mapped else _list(text, path)
            except FormatError as error:
                self._refuse(error)
        return {}

    def _refuse(self, error: FormatError) -> None:
        self.refused.append(error)
        self.issues.add("file-unreadable", error.message, file=error.file, place=error.place, hint=error.hint)


def _of(mapping: str, name: str) -> bool:
    """Whether a mapping's name is a set's: ``emnist-letters`` and ``emnist-letters-train``."""
    return name.lower().startswith(mapping.lower())


def _mapping(text: str, path: str) -> dict[int, str]:
    """EMNIST's: a label number a line, then the codes of the characters that it stands for."""
    names: dict[int, str] = {}
    for line, content in enumerate(text.splitlines(), 1):
        if not content.strip():
            continue
        words = content.split()
        numbers = [int(word) for word in words if re.fullmatch(r"[0-9]{1,6}", word)]
        if len(numbers) != len(words) or len(numbers) < 2 or not 0 <= numbers[0] < _MOST or numbers[0] in names:
            raise _no_list(path, line, "is no label and its character codes")
        codes = numbers[1:]
        if any(not 32 < code < 0x110000 or 0xD800 <= code < 0xE000 for code in codes):
            raise _no_list(path, line, "has a code of no character")
        names[numbers[0]] = "".join(map(chr, codes))
    if len(set(names.values())) < len(names):
        raise _no_list(path, 1, "and others call two labels the same")
    return names


def _list(text: str, path: str) -> dict[int, str]:
    names = [line.strip() for line in text.rstrip().splitlines()]
    for line, name in enumerate(names, 1):
        if not name or names.index(name) < line - 1 or line > _MOST:
            raise _no_list(path, line, "is empty, there twice, or too much for labels of one byte")
    return dict(enumerate(names))


def _no_list(path: str, line: int, what: str) -> FormatError:
    return FormatError(
        f"line {line} of {path} {what}",
        file=path,
        place=f"line {line}",
        hint="Correct it, or give the names by the option names.",
    )


def _categories(names: Mapping[int, str]) -> tuple[Category, ...]:
    return tuple(
        Category(name=name, index=index, source_ids=(str(number),))
        for index, (number, name) in enumerate(names.items())
    )
