"""DOTA results: predictions, a text file a category, as DOTA's evaluation takes them.

``Task1_<category>.txt`` has lines ``imgname score x1 y1 x2 y2 x3 y3 x4 y4`` (oriented), ``Task2_<category>.txt`` lines
``imgname score xmin ymin xmax ymax`` (https://captain-whu.github.io/DOTA/tasks.html). Pixels and corners are as in
``dota``: four corners of a rectangle are a rotated box about their centre, others a polygon. Where both tasks are
there, the first is read: they are about the same objects. ``imgname`` is a picture's name without extension; without
pictures it is the key.

Predictions are ``origin`` model and ``proposed``, so that no export takes them for labels unasked; they say nothing on
whether a picture is labelled. Annotations are numbered from 0 on each picture, file by file. Categories are sorted by
name; an empty file has one. Only read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from dsetkit.formats.base import Capabilities, Detection, Export, Format, Options, choose
from dsetkit.formats.dota_results.files import find_results, task_of
from dsetkit.formats.dota_results.read import ResultsReader
from dsetkit.formats.garbage import collector_paused
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.pictures import PictureIndex
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_TASKS = ("auto", "1", "2")
_MOST = 20
"""How many files at most ``detect`` looks into."""


class DotaResults(Format):
    """DOTA's lists of predictions."""

    name = "dota_results"
    title = "DOTA results"
    extensions: ClassVar[frozenset[str]] = frozenset({".txt"})
    looks_for = "text files called Task1_<category>.txt or Task2_<category>.txt with lines 'imgname score x1 y1 ...'"
    capabilities = Capabilities(kinds=frozenset(), writes=False)
    options: ClassVar[Mapping[str, str]] = {
        "task": "which predictions: 1 (oriented), 2 (upright), or auto (1 where there are both)",
        "model": "the name of the model whose predictions these are",
    }

    def detect(self, tree: Tree) -> Detection | None:
        """By names, and the beginnings of files."""
        found = list(find_results(tree, at_most=_MOST))
        if not found:
            return None
        lines = "imgname score x1 y1 ..." if task_of(found[0]) == "1" else "imgname score xmin ymin xmax ymax"
        return Detection(self.name, 0.9, f"found {found[0]} with lines '{lines}'")

    def label_files(self, tree: Tree) -> list[str]:
        """Results of both tasks."""
        return sorted(find_results(tree), key=str.encode)

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """One row a picture of which something is predicted."""
        task = choose({name: str(given) for name, given in options.items()}, "task", _TASKS, "auto")
        files = self.label_files(labels)
        if task == "auto":
            task = "1" if any(task_of(path) == "1" for path in files) else "2"
        if not any(task_of(path) == task for path in files):
            raise self.no_labels(labels)
        model = options.get("model")
        reader = ResultsReader(pictures, labels, None if model is None else str(model))
        with collector_paused():
            for path in files:
                if task_of(path) == task:
                    reader.add(path)
                elif "task" not in options:
                    reader.leave_out(path)
            return reader.finish()

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """Never called: it is only read."""
        raise NotImplementedError
