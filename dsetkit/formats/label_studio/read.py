"""Task files into rows: each task's pictures, its annotations, predictions and drafts, joined by picture."""

from __future__ import annotations

from dsetkit.formats.issues import IssueList
from dsetkit.formats.label_studio.config import Config
from dsetkit.formats.label_studio.task import TaskReader
from dsetkit.formats.label_studio.task_pictures import Reading
from dsetkit.formats.label_studio.tasks import iter_tasks, task_pieces
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.notes import FileNotes
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.storage.tree import Tree

OPEN_BYTES = 4 * 1024 * 1024
"""How much text is read until its rows are kept as columns; as rows it takes some ten times as much."""


class TasksReader:
    """Takes files one after another, gives one label set."""

    def __init__(self, tree: Tree, reading: Reading, config: Config, issues: IssueList) -> None:
        self.tree = tree
        self.reading = reading
        self.config = config
        self.issues = issues
        self._read_bytes = 0

    def add(self, path: str) -> None:
        """Read one file. Raises ``FormatError`` for one that holds no tasks."""
        notes = FileNotes(self.issues, path)
        for piece in task_pieces(self.tree, path):
            for number, task in iter_tasks(piece, self.config.choices, notes):
                TaskReader(self.reading, task, number, notes).read()
            self._read_bytes += len(piece.text)
            if self._read_bytes >= OPEN_BYTES:
                self._read_bytes = 0
                self.reading.sheets.put_away()

    def finish(self) -> LabelSet:
        """All that was read."""
        rows = self.reading.sheets.finish()
        drafts: dict[str, Row] = {name: dict(fields) for name, fields in self.config.categories.items()}
        for name in self.reading.sheets.used():
            drafts.setdefault(name, {})
        for name, above in self.reading.above.items():
            if name in drafts:
                drafts[name].setdefault("supercategory", above)
        for name, points in self.reading.keypoint_names.items():
            drafts[name]["keypoint_names"] = list(points)
        categories = [
            Category.model_validate({**draft, "name": name, "index": index})
            for index, (name, draft) in enumerate(drafts.items())
        ]
        issues = self.issues.all()
        if isinstance(rows, list):
            return LabelSet.from_rows(rows, categories, issues=issues)
        return LabelSet(rows, categories, issues=issues)
