"""ImageNet's lists, or its folders, of a whole tree as rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats.imagenet_txt.lists import (
    DELIMITERS,
    Line,
    is_running,
    list_files,
    parse_line,
    subset_of,
    truth_files,
)
from dsetkit.formats.imagenet_txt.names import SYNSET, ClassNames, is_devkit_file, name_files, read_names
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.matching import stem_of, subset_of_folders
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.text import read_label_text
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import merge_categories
from dsetkit.storage.tree import Tree

_VAL = re.compile(r"_val_(\d{8})\Z", re.ASCII)


class ImagenetReader:
    """Reads one tree; collects issues."""

    def __init__(self, tree: Tree, pictures: PictureIndex, *, words: str, labels: str | None) -> None:
        self.tree = tree
        self.pictures = pictures
        self.issues = IssueList()
        self.refused: list[FormatError] = []
        self._given = _find(tree, labels) if labels is not None else None
        self._words = words
        self._name_files = name_files(tree)
        self._names: dict[str | None, ClassNames] = {}
        self._rows: dict[str, Row] = {}
        self._used: dict[ClassNames, dict[str, None]] = {}

    def _names_for(self, path: str) -> ClassNames:
        """The classes of the list nearest above a file; else of the only one there is."""
        lists = [name for name in self._name_files if not is_devkit_file(name)]
        folder, nearest = path.rpartition("/")[0], self._given
        while nearest is None:
            nearest = next((name for name in lists if name.rpartition("/")[0] == folder), None)
            if not folder:
                break
            folder = folder.rpartition("/")[0]
        if nearest is None and len(lists) == 1:
            nearest = lists[0]
        if nearest not in self._names:
            more = filter(is_devkit_file, self._name_files)
            self._names[nearest] = read_names(self.tree, nearest, more, self._words, self.issues)
        return self._names[nearest]

    def read_lists(self, paths: Sequence[str], delimiter: str | None) -> None:
        """Lists; each gives a subset where there are several, or where its name is a subset's."""
        for path in paths:
            try:
                text = read_label_text(self.tree, path)
            except FormatError as error:
                self.refused.append(error)
                self.issues.add("list-unreadable", error.message, file=path, place=error.place, hint=error.hint)
                continue
            names = self._names_for(path)
            lines: list[Line] = []
            for number, raw in enumerate(text.splitlines(), 1):
                if not raw.strip():
                    continue
                line = parse_line(raw, number, DELIMITERS[delimiter] if delimiter is not None else None)
                if line is None:
                    message = "a line is not: path of a picture, class; it was left out"
                    hint = "Correct the line; put a path with white space in quotes."
                    self.issues.add("list-malformed", message, file=path, place=f"line {number}", hint=hint)
                else:
                    lines.append(line)
            if is_running(lines) and not names.listed:
                message = "its numbers are those of its lines, so they are taken for no classes"
                hint = "Add a list of the classes (synsets.txt), if they are classes."
                self.issues.add("list-running", message, severity="info", file=path, hint=hint)
                lines = [line._replace(classes=()) for line in lines]
            for line in lines:
                self._add(path, line, names)

    def _add(self, file: str, line: Line, names: ClassNames) -> None:
        folder = file.rpartition("/")[0]
        images = f"{folder}/images" if folder else "images"
        place = f"line {line.number}"
        subset = subset_of(file)
        prefer = (subset,) if subset else ()
        near = images if f"{images}/{line.path}" in self.pictures else folder
        key = self.pictures.key_of(line.path, self.issues, near=near, prefer=prefer, file=file, place=place)
        if key is None:
            return
        row = self._rows.setdefault(key, {"key": key})
        if subset and subset not in row.get("subsets", ()):
            row["subsets"] = [*row.get("subsets", ()), subset]
        for said in line.classes:
            self._label(row, said, names, file, place)

    def _label(self, row: Row, said: str, names: ClassNames, file: str, place: str) -> None:
        listed = names.listed
        annotation: Row = {"id": str(len(row.get("annotations", ()))), "kind": "image_label"}
        if said.isdecimal() and said not in listed:
            known = listed[int(said)] if int(said) < len(listed) else None
            annotation["category"] = known if known is not None else str(int(said))
            if listed and known is None:
                message = f"{int(said)} is the number of no class; there are {len(listed)}"
                annotation["issues"] = [{"code": "category-unknown", "message": message}]
                hint = "Correct the line, or name the right list by the option labels."
                self.issues.add("category-unknown", message, file=file, place=place, key=row["key"], hint=hint)
        else:
            annotation["category"] = names.name_of(said)
        others = [{name: value for name, value in item.items() if name != "id"} for item in row.get("annotations", ())]
        if {name: value for name, value in annotation.items() if name != "id"} in others:
            return  # said before, in another list
        row["annotations"] = [*row.get("annotations", ()), annotation]
        row["labelled"] = "yes"
        self._use(names, annotation["category"])

    def _use(self, names: ClassNames, category: str) -> None:
        self._used.setdefault(names, {}).setdefault(category)

    def read_truth(self) -> None:
        """The devkit's truth of pictures called ``ILSVRC2012_val_00000001``."""
        for path in truth_files(self.tree):
            try:
                lines = read_label_text(self.tree, path).split()
            except FormatError as error:
                self.refused.append(error)
                self.issues.add("list-unreadable", error.message, file=path, place=error.place, hint=error.hint)
                continue
            names = self._names_for(path)
            numbers = {int(found[1]): key for key in self.pictures.paths if (found := _VAL.search(stem_of(key)))}
            for number, key in sorted(numbers.items()):
                said = lines[number - 1] if 0 < number <= len(lines) else ""
                if not (said.isascii() and said.isdecimal() and len(said) < 10):
                    continue
                synset = names.numbers.get(int(said))
                category = names.name_of(synset) if synset is not None else said
                annotation = {"id": "0", "kind": "image_label", "category": category}
                row = self._rows.setdefault(key, {"key": key})
                row |= {"subsets": ["val"], "labelled": "yes", "annotations": [annotation]}
                self._use(names, category)
            if not names.numbers:
                message = "nothing says which classes the devkit's numbers are"
                hint = "Put the devkit's map_clsloc.txt beside it."
                self.issues.add("classes-unknown", message, severity="warning", file=path, hint=hint)

    def read_folders(self) -> None:
        """Pictures in folders of classes, or with a class in front of their names."""
        names = self._names_for("")
        classes = class_folders(self.pictures.paths, names.synsets)
        for path in self.pictures.paths:
            said = class_of(path, classes)
            row: Row = {"key": path}
            if (subset := subset_of_folders(path)) is not None:
                row["subsets"] = [subset]
            if said is not None:
                category = names.name_of(said)
                row |= {"labelled": "yes", "annotations": [{"id": "0", "kind": "image_label", "category": category}]}
                self._use(names, category)
                if SYNSET.fullmatch(said):
                    names.ids.setdefault(category, said)
            if len(row) > 1:
                self._rows.setdefault(path, row)

    def label_set(self) -> LabelSet:
        """All that was read. Raises ``FormatError`` where no list could be."""
        if self.refused and not self._rows:
            raise self.refused[0]
        if not self._names:
            self._names_for("")
        each = [names.categories(self._used.get(names, ())) for names in self._names.values()]
        categories = merge_categories(*each)
        return LabelSet.from_rows(self._rows.values(), categories, issues=self.issues.all())


def class_folders(paths: Iterable[str], synsets: Mapping[str, str]) -> frozenset[str]:
    """Folders that are called like a synset, or like the beginning of the name of a picture in them."""
    found: set[str] = set()
    for path in paths:
        folder, _, name = path.rpartition("/")
        own = folder.rpartition("/")[2]
        if own and (own in synsets or SYNSET.fullmatch(own) or name.startswith(f"{own}_")):
            found.add(own)
    return frozenset(found)


def class_of(path: str, classes: frozenset[str]) -> str | None:
    """The class that a picture's name begins with, the longest, else that of the deepest folder of one.

    >>> class_of("label_0_2.jpg", frozenset({"label_0", "label"}))
    'label_0'
    """
    *folders, name = path.split("/")
    at = name.rfind("_")
    while at > 0:
        if name[:at] in classes:
            return name[:at]
        at = name.rfind("_", 0, at)
    return next((folder for folder in reversed(folders) if folder in classes), None)


def find_lists(tree: Tree) -> list[str]:
    """Paths of the lists."""
    return [file.path for file in list_files(tree)]


def _find(tree: Tree, name: str) -> str:
    plain = name.replace("\\", "/").removeprefix("./")
    if plain in tree.entries:
        return plain
    ending = [path for path in tree.entries if path.endswith(f"/{plain}")]
    if len(ending) != 1:
        raise UsageError(
            f"the option labels names {name!r}, which is not there" if not ending else f"{name!r} is there twice",
            hint="Name the list of classes by its path in the source.",
        )
    return ending[0]
