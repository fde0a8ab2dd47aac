"""DOTA's results into rows."""

from __future__ import annotations

from dsetkit.formats.dota_results.files import category_of
from dsetkit.formats.dota_results.text import parse, shape_of
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.formats.text import decode, read_label_bytes
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.storage.tree import Tree

MAX_BYTES = 1024**3


class ResultsReader:
    """Takes files one after another, gives one label set."""

    def __init__(self, pictures: PictureIndex, labels: Tree, model: str | None) -> None:
        self.pictures = pictures
        self.labels = labels
        self.issues = IssueList()
        self._fields: Row = {"origin": "model", "status": "proposed"} | ({} if model is None else {"model": model})
        self._rows: dict[str, Row] = {}
        self._keys: dict[str, str | None] = {}
        self._categories: set[str] = set()

    def leave_out(self, path: str) -> None:
        """Note that a file of the other task is not read."""
        message = "it has the upright boxes of objects whose oriented ones are read; it was left out"
        hint = "Read it by the option task=2."
        self.issues.add("task-left-out", message, severity="info", file=path, hint=hint)

    def add(self, path: str) -> None:
        """Read one file. Raises ``FormatError`` for one that is too large or no text."""
        category = category_of(path)
        task = path.rpartition("/")[2][4]
        self._categories.add(category)
        data = read_label_bytes(self.labels, path, MAX_BYTES) if self.labels.entries[path].size_bytes else b""
        for number, line in enumerate(decode(data, path).splitlines(), 1):
            if not line.strip():
                continue
            prediction = parse(line, task)
            if isinstance(prediction, str):
                hint = "Correct or delete the line; it was left out."
                self.issues.add("line-malformed", prediction, file=path, place=f"line {number}", hint=hint)
                continue
            key = self._key(prediction.name, path, number)
            if key is None:
                continue
            row = self._rows.setdefault(key, {"key": key, "annotations": []})
            fields: Row = {"id": str(len(row["annotations"])), "category": category, "score": prediction.score}
            row["annotations"].append(fields | shape_of(prediction) | self._fields)

    def finish(self) -> LabelSet:
        """All that was read."""
        names = sorted(self._categories, key=str.encode)
        categories = [Category(name=name, index=index, source_ids=(name,)) for index, name in enumerate(names)]
        return LabelSet.from_rows(self._rows.values(), categories, issues=self.issues.all())

    def _key(self, name: str, path: str, number: int) -> str | None:
        """The picture of that name, else a key made of it; None, with an issue, where nothing is left of it."""
        if name not in self._keys:
            near = path.rpartition("/")[0]
            found = self.pictures.by_stem(name, near) or self.pictures.resolve(name, near)
            self._keys[name] = found or reduce_name(name) or None
            if self._keys[name] is None:
                hint = "Correct the name; its lines were left out."
                message = f"no picture can be named {name[:80]!r}"
                self.issues.add("picture-name-unusable", message, file=path, place=f"line {number}", hint=hint)
        return self._keys[name]
