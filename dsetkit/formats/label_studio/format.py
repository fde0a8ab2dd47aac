"""Label Studio's JSON: exports (JSON, JSON-MIN), single annotations from a cloud storage, tasks to import.

Format: https://labelstud.io/guide/task_format, https://labelstud.io/guide/export#JSON and https://labelstud.io/tags.
Lengths are percent of the picture, from the top-left corner of the top-left pixel. A rectangle turns about its top-left
corner, degrees clockwise; an ellipse about its centre. People see pictures as a browser shows them, upright;
``image_rotation`` is how they had turned it on the screen and moves nothing. Boxes, rotated boxes, polygons (open ones
are polylines), vectors, brush strokes, bitmasks, ellipses and key points are read; key points that belong to a box are
its keypoints. See ``results`` for ids, ``brush`` for the run lengths.

Several annotators of a task are told apart by ``annotator``. What a model said is ``origin`` model and ``proposed``;
what people made of it is ``based_on`` it. What was skipped, or rejected by a reviewer, is ``declined``; drafts are
``proposed``. What is said of a region beside its label are attributes by the name of the tag; of a whole picture:
choices are labels, texts are captions, ratings and numbers attributes of the sample, as are further fields of the data.
Not read: the history of an annotation, comments, and how large a key point is drawn.

Files are read a piece at a time, and rows are kept as columns, so that memory grows with these and not with the text.
A picture that stands in a task itself (a ``data:`` URL) is taken where there is no file of it (``file_upload``); its
key is the file's name and the task's number in it (``tasks/000007.png``).

Written are ``tasks.json``, ``label_config.xml`` (for the project to import into) and ``images/<key>``. What Label
Studio has no place for goes along in ``meta`` (see ``own``), which it keeps. A project refuses annotations of people it
does not know, so annotators are written there too, unless the option ``annotators`` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from dsetkit.formats.base import Capabilities, Detection, Export, Format, HeldPicture, Options, choose
from dsetkit.formats.garbage import collector_paused
from dsetkit.formats.issues import IssueList
from dsetkit.formats.label_studio.config import Config, is_xml_text, read_config
from dsetkit.formats.label_studio.files import find_configs, find_files
from dsetkit.formats.label_studio.held import held_pictures
from dsetkit.formats.label_studio.own import ANNOTATION_FIELDS, SAMPLE_FIELDS
from dsetkit.formats.label_studio.plan import TasksPlan, carry
from dsetkit.formats.label_studio.read import TasksReader
from dsetkit.formats.label_studio.task_pictures import Reading
from dsetkit.formats.label_studio.write import write
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.pictures import PictureIndex
from dsetkit.spec.arrow import Row
from dsetkit.spec.sample import Provenance
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_PICTURES = ("auto", "files")
_MOST = 20
"""How many JSON files at most ``detect`` looks into."""


class LabelStudio(Format):
    """Label Studio."""

    name = "label_studio"
    title = "Label Studio"
    extensions: ClassVar[frozenset[str]] = frozenset({".json"})
    looks_for = "JSON files with a list of tasks, each with data and annotations"
    capabilities = Capabilities(
        kinds=frozenset(
            {"image_label", "box", "rotated_box", "polygon", "mask", "polyline", "points", "keypoints", "ellipse"}
            | {"caption"}
        ),
        annotation_fields=ANNOTATION_FIELDS
        | {"id", "source_id", "categories", "text", "score", "annotator", "model", "origin", "based_on", "status"}
        | {"relations", "extras"},
        attributes=None,
        sample_fields=SAMPLE_FIELDS | {"source_id", "attributes"},
        provenance_fields=frozenset(Provenance.model_fields),
        category_fields=frozenset({"color"}),
        needs_category=False,
        subsets="many",
        parts=False,
    )
    options: ClassVar[Mapping[str, str]] = {
        "image_key": "the field of a task's data that holds the picture; found where it is left out",
        "pictures": "auto (those inside tasks are taken where there is no file of theirs) or files (they are not)",
        "image_prefix": (
            "what stands before a picture's path in the tasks written: /data/local-files/?d= where it is left out "
            "(serve the exported folder as local files), or where the pictures are put, as s3://bucket/folder/"
        ),
        "annotators": (
            "where annotators are written: apart (default; any project takes the tasks), or completed_by, for projects "
            "that know them by e-mail address or number"
        ),
    }

    def detect(self, tree: Tree) -> Detection | None:
        """By the beginnings of JSON files."""
        found = max(find_files(tree, at_most=_MOST), key=lambda file: file.confidence, default=None)
        return None if found is None else Detection(self.name, found.confidence, f"found {found.path} with {found.why}")

    def label_files(self, tree: Tree) -> list[str]:
        """JSON files with tasks, and labelling configurations beside them."""
        tasks = [file.path for file in find_files(tree)]
        return sorted([*tasks, *find_configs(tree, tasks)], key=str.encode)

    def side_files(self, tree: Tree) -> list[str]:
        """Labelling configurations."""
        return [path for path in self.label_files(tree) if path.lower().endswith(".xml")]

    def held(self, tree: Tree, options: Options) -> Iterable[HeldPicture]:
        """Pictures that stand in tasks as ``data:`` URLs."""
        if choose(options, "pictures", _PICTURES, "auto") == "files":
            return ()
        tasks = _task_files(tree)
        index = PictureIndex(None, self.pictures(tree))
        return held_pictures(tree, tasks, index, _config(tree, tasks, IssueList()), _image_key(options))

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """All files, joined by picture."""
        is_holding = choose(options, "pictures", _PICTURES, "auto") == "auto"
        tasks = _task_files(labels)
        if not tasks:
            raise self.no_labels(labels)
        issues = IssueList()
        config = _config(labels, tasks, issues)
        reading = Reading(pictures, config.image_keys, _image_key(options), is_holding)
        reader = TasksReader(labels, reading, config, issues)
        with collector_paused():
            for path in tasks:
                reader.add(path)
            return reader.finish()

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> TasksPlan:
        """Ids and places of everything."""
        choose(options, "annotators", ("apart", "completed_by"), "apart")
        categories = []
        for category in super().prepare(export, options, ledger):
            if is_xml_text(category.name):
                categories.append(category)
            else:
                message = "a category whose name XML cannot hold is not in the labelling configuration"
                ledger.add("category-unwritable", message, category.name)
        return TasksPlan(export, categories, options)

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """See ``plan.carry``."""
        return carry(row, prepared, self.capabilities, ledger)

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """See the module's description."""
        plan = self.prepare(export, options, Ledger(self.name))
        write(export, sink, plan, self.capabilities)


def _task_files(tree: Tree) -> list[str]:
    """The files with tasks; the only JSON file where none looks like one."""
    found = [file.path for file in find_files(tree)]
    every = [path for path in tree.entries if path.lower().endswith(".json")]
    return found or (every if len(every) == 1 else [])


def _config(tree: Tree, tasks: list[str], issues: IssueList) -> Config:
    config = Config()
    for path in find_configs(tree, tasks):
        read_config(tree.read(path), path, config, issues)
    return config


def _image_key(options: Options) -> str | None:
    return str(options["image_key"]) if options.get("image_key") else None
