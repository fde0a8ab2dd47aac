"""Samples of WebDataset into rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from dsetkit.errors import FormatError
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.matching import subset_in_words, subset_of_folders
from dsetkit.formats.notes import FileNotes
from dsetkit.formats.pictures import reduce_name
from dsetkit.formats.text import decode, read_label_text, utf8_json
from dsetkit.formats.webdataset.dataset import Dataset, is_own
from dsetkit.formats.webdataset.files import CAPTIONS, CLASSES, DOCUMENT, NAMES
from dsetkit.formats.webdataset.gather import Gatherer, SampleFiles
from dsetkit.spec.arrow import Row, table_from_rows
from dsetkit.spec.category import Category, merge_categories
from dsetkit.spec.sample import Sample
from dsetkit.spec.snapshot import License
from dsetkit.storage.tree import Tree

OWN_FIELDS = frozenset(
    {"source_id", "width_px", "height_px", "split_group", "subsets", "labelled", "absent_categories"}
    | {"not_exhaustive_categories", "annotations", "attributes", "provenance", "responses"}
)
"""What of a row stands in such a JSON member."""
_MAX_LIST_BYTES = 1024 * 1024
_MAX_NUMBER = 10_000
"""Label numbers below this make a category for each number up to the highest."""
_NUMBER = re.compile(r"[0-9]{1,9}")
_CLASS_KEYS = ("cls", "class", "label", "category", "class_name", "label_name", "category_name", "classes", "labels")
_CAPTION_KEYS = ("caption", "text", "captions", "texts")


class SampleReader:
    """Turns samples into rows."""

    def __init__(self, tree: Tree, issues: IssueList) -> None:
        self.tree = tree
        self.issues = issues
        self.gatherer = Gatherer(tree, issues)
        self.datasets: list[Dataset] = []
        self.rows: dict[str, Row] = {}
        self.numbers: set[int] = set()
        self.used: dict[str, None] = {}
        self.own: dict[str, _Notes] = {}
        """Keys of rows that dsetkit wrote."""
        self.listed = self._names()
        self.names = self.listed

    def add_shard(self, path: str) -> None:
        """All samples of a shard. Raises ``FormatError`` for one that cannot even be unpacked."""
        samples = self.gatherer.shard(path)
        self._take_dataset()
        for sample in samples:
            self._add(sample, path, self.gatherer.prefix, subset_in_words(path))

    def add_loose(self, paths: Sequence[str]) -> None:
        """All samples of files beside each other."""
        samples = self.gatherer.loose(paths)
        self._take_dataset()
        for sample in samples:
            key = sample.main() or sample.name
            self._add(sample, None, "", subset_of_folders(key))

    def finish(self) -> LabelSet:
        """All rows."""
        if self.own:
            self._settle(list(self.own))
        listed = list(merge_categories(*(dataset.categories for dataset in self.datasets)))
        known = {category.name for category in listed}
        names = dict.fromkeys(name for name in (*self._numbered(), *self.used) if name not in known)
        numbers = {name: number for number, name in enumerate(self.listed)}
        for name in names:
            number = numbers.get(name, int(name) if not self.listed and _NUMBER.fullmatch(name) else None)
            ids = () if number is None else (str(number),)
            listed.append(Category(name=name, index=len(listed), source_ids=ids))
        info: dict[str, Any] = {}
        licenses: dict[License, None] = {}
        for dataset in self.datasets:
            info = {**dataset.info, **info}
            licenses.update(dict.fromkeys(dataset.licenses))
        return LabelSet.from_rows(self.rows.values(), listed, info, tuple(licenses), self.issues.all())

    def _take_dataset(self) -> None:
        """What the shard read last says of the dataset, if anything; it names the numbers in it."""
        found = self.gatherer.dataset
        self.names = self.listed if found is None else [category.name for category in found.categories]
        if found is not None:
            self.datasets.append(found)

    def _numbered(self) -> list[str]:
        """The names of categories that a list or numbers give, in the order of numbers."""
        if self.listed:
            return self.listed
        most = max(self.numbers, default=-1)
        return [str(number) for number in (range(most + 1) if most < _MAX_NUMBER else sorted(self.numbers))]

    def _names(self) -> list[str]:
        """What classes are called by their numbers, as a list beside the shards says."""
        for path in self.tree.entries:
            if path.rpartition("/")[2] not in NAMES:
                continue
            try:
                lines = read_label_text(self.tree, path, _MAX_LIST_BYTES).rstrip().splitlines()
            except FormatError as error:
                self.issues.add("file-unreadable", error.message, file=path, hint=error.hint)
                continue
            names = [line.strip() for line in lines]
            if all(names) and len(set(names)) == len(names):
                return names
            message, hint = "a line of it is empty or there twice; numbers stay numbers", "Correct it."
            self.issues.add("names-unusable", message, severity="warning", file=path, hint=hint)
        return []

    def _add(self, sample: SampleFiles, shard: str | None, prefix: str, subset: str | None) -> None:
        file = shard if shard is not None else sample.main() or sample.name
        notes = _Notes(self.issues, file, sample.name if shard is not None else "")
        documents = {field: self._json(field, data, notes) for field, data in sample.texts.items() if _is_json(field)}
        key = sample.main()
        own = documents.get(DOCUMENT)
        own = own if is_own(own) else None
        if key is None:
            picture = None if own is None else own.get("picture")
            name = sample.name if not isinstance(picture, str) else picture
            reduced = reduce_name(name)
            if not reduced or prefix + reduced in self.rows or not sample.texts:
                return
            key = prefix + reduced
        if len(sample.pictures) > 1:
            message = f"it has {len(sample.pictures)} pictures; its labels are taken for {key}"
            hint = "The others count as not labelled."
            notes.add("pictures-several", message, hint, severity="warning")
        for _, other in sample.pictures:
            self.rows.setdefault(other, {"key": other, **({} if subset is None else {"subsets": (subset,)})})
        if own is not None:
            row = self._own(key, own, notes)
        else:
            row = self._row(sample, documents, notes)
            if subset is not None:
                row["subsets"] = (subset,)
        self.rows[key] = {**row, "key": key}

    def _own(self, key: str, document: dict[str, Any], notes: _Notes) -> Row:
        """A row that dsetkit wrote; empty where it is not as it writes them."""
        fields = {name: value for name, value in document.items() if name in OWN_FIELDS}
        try:
            row = Sample.model_validate({**fields, "key": "x"}).to_row()
            ids = [annotation["id"] for annotation in row.get("annotations", ())]
            if len(set(ids)) < len(ids):
                raise ValueError("two annotations have one id")
        except (ValueError, TypeError, RecursionError) as error:
            notes.add("labels-malformed", _not_own(error), "It was left out.", field=DOCUMENT)
            return {}
        for annotation in row.get("annotations", ()):
            for name in (annotation.get("category"), *annotation.get("categories", ())):
                if name is not None:
                    self.used.setdefault(name)
        self.own[key] = notes
        return row

    def _settle(self, keys: Sequence[str]) -> None:
        """Leaves out of rows that dsetkit wrote those whose values no column holds; all are tried together first."""
        try:
            table_from_rows([self.rows[key] for key in keys], Sample)
        except (ValueError, TypeError, OverflowError) as error:
            if len(keys) == 1:
                self.own[keys[0]].add("labels-malformed", _not_own(error), "It was left out.", field=DOCUMENT)
                self.rows[keys[0]] = {"key": keys[0]}
                return
            self._settle(keys[: len(keys) // 2])
            self._settle(keys[len(keys) // 2 :])

    def _row(self, sample: SampleFiles, documents: dict[str, Any], notes: _Notes) -> Row:
        """A row of classes, captions and JSON."""
        classes: list[str] = []
        captions: list[str] = []
        for field in CLASSES:
            text = self._text(sample, field, notes)
            if text is not None and text.strip():
                classes.append(self._class(text.strip()))
        for field in CAPTIONS:
            text = self._text(sample, field, notes)
            if text is not None and text.strip():
                captions.append(text.strip("\r\n"))
        document = documents.get(DOCUMENT)
        if isinstance(document, dict):
            if not classes:
                classes = [self._class(value) for name in _CLASS_KEYS for value in _classes(document.get(name))]
            if not captions:
                captions = [text for name in _CAPTION_KEYS for text in _texts(document.get(name))]
        items: list[Row] = [{"kind": "image_label", "category": name} for name in dict.fromkeys(classes)]
        items += [{"kind": "caption", "text": text} for text in dict.fromkeys(captions)]
        row: Row = {}
        if items:
            row = {"labelled": "yes", "annotations": [{"id": str(i), **item} for i, item in enumerate(items)]}
        attributes: dict[str, Any] = {}
        for field, value in documents.items():
            if field == DOCUMENT and isinstance(value, dict):
                attributes = {**value, **attributes}
            elif value is not None:
                attributes[field.removesuffix(f".{DOCUMENT}")] = value
        return row | ({"attributes": attributes} if attributes else {})

    def _class(self, value: str | int) -> str:
        """A category's name, of a name or a number."""
        if isinstance(value, str) and not _NUMBER.fullmatch(value):
            self.used.setdefault(value)
            return value
        number = int(value)
        if number < len(self.names):
            name = self.names[number]
        else:
            name = str(number)
            self.numbers.add(number)
        self.used.setdefault(name)
        return name

    def _text(self, sample: SampleFiles, field: str, notes: _Notes) -> str | None:
        data = sample.texts.get(field)
        if not data:
            return None
        try:
            return decode(data, f".{field}")
        except FormatError as error:
            notes.add("member-unreadable", error.message, error.hint, field=field)
            return None

    def _json(self, field: str, data: bytes, notes: _Notes) -> Any:
        try:
            value = from_json(utf8_json(data, f".{field}"), allow_inf_nan=True)
        except (ValueError, FormatError) as error:
            message = str(error.message if isinstance(error, FormatError) else error)[:200]
            notes.add("member-unreadable", f"it is no JSON ({message})", "It was left out.", field=field)
            return None
        return notes.clean(value, field)


class _Notes:
    """Notes issues about one sample."""

    def __init__(self, issues: IssueList, file: str, sample: str) -> None:
        self._notes = FileNotes(issues, file)
        self._sample = sample

    def add(self, code: str, message: str, hint: str, *, field: str = "", severity: Any = "error") -> None:
        """Note one."""
        self._notes.add(code, message, self._place(field), hint, severity)

    def clean(self, value: Any, field: str) -> Any:
        """See ``FileNotes.clean``."""
        return self._notes.clean(value, self._place(field))

    def _place(self, field: str) -> str:
        return f"{self._sample}.{field}" if field else self._sample


def _is_json(field: str) -> bool:
    return field.rpartition(".")[2] == DOCUMENT


def _classes(value: Any) -> list[str | int]:
    """Class names or numbers in a JSON value; nothing where something in it can be none."""
    items = value if isinstance(value, list) else [value]
    found: list[str | int] = []
    for item in items:
        if type(item) is int and 0 <= item < 10**9:
            found.append(item)
        elif isinstance(item, str) and item.strip():
            found.append(item.strip())
        else:
            return []
    return found


def _texts(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str) and item.strip()]


def _not_own(error: Exception) -> str:
    fault = str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        fault = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return f"its JSON is not as dsetkit writes it ({fault[:200]})"
