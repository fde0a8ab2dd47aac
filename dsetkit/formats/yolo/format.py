"""YOLO: a text file a picture, a line an object, numbers as fractions of the upright picture.

Read: Ultralytics' and Roboflow's ``data.yaml`` with ``images`` and ``labels`` folders, darknet's ``obj.data``, or label
files in any folder beside a list of names (see ``names``, ``read``, ``text``). A picture without a label
file is not labelled; one with an empty file is labelled and shows nothing. Boxes, polygons, keypoints and oriented
boxes (four corners; pivot is their centre) are told apart by ``data.yaml`` (``kpt_shape``, ``task``), by the files
(``task``), or by the option ``task``. Annotations are numbered from 0 in each file.

Written: ``data.yaml`` (without ``path``, so it works from its own folder), ``images/<split>/<name>`` and
``labels/<split>/<name>.txt``, as Ultralytics loads them; ``images/unsplit`` where a sample has no split. Numbers have
all the digits that give the same float back. Names: ``dsetkit.formats.flat_names``. Ultralytics takes every line of a
file with a polygon for a polygon, so beside polygons boxes are written as polygons of four corners.

Definition: https://docs.ultralytics.com/datasets/ (detect, segment, obb, pose). Classification has no label files: it
is ``image_folder``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from dsetkit.errors import UsageError
from dsetkit.formats.base import Capabilities, Detection, Export, Format, Options, choose
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger, LossReport
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.yolo.names import is_naming_file, keypoint_shape, naming_files
from dsetkit.formats.yolo.plan import YoloPlan, choose_task
from dsetkit.formats.yolo.read import HEAD_BYTES, YoloReader, find_label_files, picture_twin
from dsetkit.formats.yolo.task import TASKS
from dsetkit.formats.yolo.text import looks_like_labels
from dsetkit.formats.yolo.write import render, write
from dsetkit.spec.arrow import Row
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_LOOKED_AT = 8
_NAMES_LINE = re.compile(rb"(?m)^\s*names\s*:")
_YAML_HEAD_BYTES = 64 * 1024


class Yolo(Format):
    """Boxes, polygons, oriented boxes or keypoints, one text file a picture."""

    name = "yolo"
    title = "YOLO"
    extensions: ClassVar[frozenset[str]] = frozenset({".txt"})
    looks_for = "text files of lines 'class cx cy w h', with data.yaml, obj.names or classes.txt"
    capabilities = Capabilities(  # of all tasks together; what each carries stands in ``plan``
        kinds=frozenset({"box", "polygon", "rotated_box", "keypoints"}),
        becomes={"ellipse": "polygon", "mask": "box"},
        sample_fields=frozenset({"width_px", "height_px"}),
        category_fields=frozenset({"keypoint_names", "flip_pairs"}),
        subsets="one",
        parts=False,
    )
    options: ClassVar[Mapping[str, str]] = {
        "size": "reading: [width, height] in pixels of pictures that are not there",
        "names": "reading: the names of classes in order, instead of those in files",
        "task": (
            "detect, segment, obb or pose; left out, reading finds it from data.yaml and the files, and writing takes "
            "obb for rotated boxes, pose for keypoints, else boxes and polygons as they are"
        ),
        "kpt_shape": "reading: [how many keypoints, 2 or 3 numbers for each], instead of what data.yaml says",
    }

    def detect(self, tree: Tree) -> Detection | None:
        """Looks at the beginnings of at most 8 text files, evenly spread, and of 8 YAML files."""
        texts = [path for path in tree.entries if path.lower().endswith(".txt") and not is_naming_file(path)]
        twins = _twins(self.pictures(tree))
        likely = [path for path in texts if picture_twin(path) in twins] or texts
        looked = likely[:: -(-len(likely) // _LOOKED_AT)] if likely else []
        heads = [tree.read_head(path, HEAD_BYTES) for path in looked]
        fitting = sum(looks_like_labels(head) for head in heads)
        empty = sum(not head.strip() for head in heads)
        names = self._names_file(tree)
        if names is None and fitting == 0:
            return None
        if fitting == 0:
            if not names or not names.lower().endswith((".yaml", ".yml")):
                return None
            return Detection(self.name, 0.6, f"found class names in {names} and no labels")
        # Text files in the tree that are no labels (README.txt) weigh little, bad ones among labels do.
        share = fitting / max(1, len(looked) - empty) if likely is not texts else 1.0
        beside = f" and class names in {names}" if names else ""
        files = "1 text file" if len(likely) == 1 else f"{len(likely)} text files"
        some = "" if fitting + empty == len(likely) else f" ({fitting + empty} of {len(looked)} looked at)"
        why = f"found {files} with lines 'class cx cy w h'{some}{beside}"
        return Detection(self.name, (0.95 if names else 0.8) * (0.5 + 0.5 * share), why)

    @staticmethod
    def _names_file(tree: Tree) -> str | None:
        for path in naming_files(tree)[:_LOOKED_AT]:
            if not path.lower().endswith((".yaml", ".yml")):
                return path
            if _NAMES_LINE.search(tree.read_head(path, _YAML_HEAD_BYTES)):
                return path
        return None

    def label_files(self, tree: Tree) -> list[str]:
        """Label files, names of classes, YAML and lists of pictures."""
        labels = (item.path for item in find_label_files(tree, self.pictures(tree)))
        return sorted({*self.side_files(tree), *labels}, key=str.encode)

    def side_files(self, tree: Tree) -> list[str]:
        """Names of classes, YAML and lists of pictures."""
        lists = (path for path in tree.entries if path.rpartition("/")[2].casefold() in _LISTS)
        return sorted({*naming_files(tree), *lists}, key=str.encode)

    def read(self, labels: Tree, pictures: PictureIndex, options: Options) -> LabelSet:
        """One row a picture that has a label file or is in a subset."""
        reader = YoloReader(
            labels,
            pictures,
            size=_size_option(options),
            names=_names_option(options),
            task=choose(options, "task", TASKS, "detect") if options.get("task") is not None else None,
            keypoints=_keypoints_option(options),
        )
        if not reader.files and not any(naming.names for naming in reader.namings):
            raise self.no_labels(labels)
        return reader.label_set()

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> YoloPlan:
        """Names of files and folders; says where Ultralytics will miss something."""
        return YoloPlan(export, choose_task(export, options), ledger)

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """The row as it is read back."""
        return render(row, prepared, ledger)[0]

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """Pictures, label files and ``data.yaml``."""
        self.write_reporting(export, sink, options)

    def write_reporting(self, export: Export, sink: Sink, options: Options) -> LossReport:
        """As ``write``."""
        ledger = Ledger(self.name)
        write(export, sink, self.prepare(export, options, ledger), ledger)
        return ledger.report()


_LISTS = frozenset({"train.txt", "val.txt", "valid.txt", "validation.txt", "test.txt", "trainval.txt"})


def _twins(pictures: Iterable[str]) -> frozenset[str]:
    return frozenset(path.rpartition(".")[0] for path in pictures)


def _size_option(options: Options) -> tuple[int, int] | None:
    value = options.get("size")
    if value is None:
        return None
    if isinstance(value, str):
        value = [part for part in re.split(r"[\s,x×\[\]]+", value) if part]
    sides = list(value) if isinstance(value, list | tuple) else []
    if len(sides) != 2 or not all(str(side).isdecimal() and 0 < int(side) < 2**31 for side in sides):
        raise UsageError(
            f"the option size is {options['size']!r}", hint="It is [width, height], in whole pixels above 0."
        )
    return int(sides[0]), int(sides[1])


def _names_option(options: Options) -> list[str] | None:
    value = options.get("names")
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if value is None:
        return None
    if not isinstance(value, list | tuple) or not value or not all(isinstance(item, str) and item for item in value):
        raise UsageError(
            f"the option names is {options['names']!r}", hint="It is a list of names, the first for class 0."
        )
    return list(value)


def _keypoints_option(options: Options) -> tuple[int, int] | None:
    value = options.get("kpt_shape")
    if value is None:
        return None
    if isinstance(value, str):
        value = [part for part in re.split(r"[\s,x×\[\]]+", value) if part]
    numbers = list(value) if isinstance(value, list | tuple) else []
    numbers = [int(number) for number in numbers if str(number).isdecimal() and len(str(number)) < 9]
    shape = keypoint_shape(numbers)
    if shape is None:
        hint = "It is [how many keypoints, 2 or 3 numbers for each], as [17, 3]."
        raise UsageError(f"the option kpt_shape is {options['kpt_shape']!r}", hint=hint)
    return shape
