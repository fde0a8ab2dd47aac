"""YOLO's label files of a whole tree: which are label files, of which pictures, in which subsets; all as rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from dsetkit.formats.issues import KEPT, IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.matching import ByStem, without_extension
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.yolo.names import Naming, find_namings, is_naming_file, nearest
from dsetkit.formats.yolo.subsets import Subsets
from dsetkit.formats.yolo.task import find_task
from dsetkit.formats.yolo.text import MAX_LABEL_BYTES, Line, Task, looks_like_labels, read_lines, rows_of_lines
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category

if TYPE_CHECKING:
    from dsetkit.storage.tree import Tree

HEAD_BYTES = 512
_LABEL_FOLDERS = frozenset({"labels", "obj_train_data", "obj_valid_data", "obj_test_data", "obj_val_data"})


class LabelFile(NamedTuple):
    """A label file and the picture it is about."""

    path: str
    picture: str | None
    """None where it is not there."""
    also: tuple[str, ...] = ()
    """The pictures it could be about, where that is not clear."""


def picture_twin(path: str) -> str:
    """Where Ultralytics expects a label file's picture, without extension: the last ``labels`` folder as ``images``."""
    parts = without_extension(path).split("/")
    for index in range(len(parts) - 2, -1, -1):
        if parts[index].casefold() == "labels":
            parts[index] = "images"
            break
    return "/".join(parts)


def find_label_files(tree: Tree, pictures: Iterable[str]) -> list[LabelFile]:
    """The label files of a tree, sorted by path.

    A ``.txt`` is one if its picture is where Ultralytics or darknet look for it (``labels`` → ``images``, or beside
    it), or if its beginning reads like label lines. So ``README.txt``, lists and names of classes are none. One that
    does not read so is one all the same if it is called like a picture and lies beside label files.
    """
    by_stem = ByStem(pictures)
    found: list[LabelFile] = []
    doubtful: list[LabelFile] = []
    for path, entry in tree.entries.items():
        if not path.lower().endswith(".txt"):
            continue
        candidates = by_stem.find(path, path)
        beside = without_extension(path)
        near = tuple(item for item in candidates if without_extension(item) in (picture_twin(path), beside))
        if near:
            found.append(LabelFile(path, near[0]) if len(near) == 1 else LabelFile(path, None, near))
            continue
        if is_naming_file(path):
            continue
        in_labels = path.rpartition("/")[0].casefold().split("/")[-1] in _LABEL_FOLDERS or "/labels/" in f"/{path}"
        if entry.size_bytes == 0:
            fits = bool(candidates) or (in_labels and path.count("/") > 0)
        else:
            fits = looks_like_labels(tree.read_head(path, HEAD_BYTES))
        one = len(candidates) == 1
        item = LabelFile(path, candidates[0] if one else None, () if one else candidates)
        if fits:
            found.append(item)
        elif one:
            doubtful.append(item)
    folders = {item.path.rpartition("/")[0] for item in found}
    found += [item for item in doubtful if item.path.rpartition("/")[0] in folders]
    return sorted(found, key=lambda item: item.path.encode())


class YoloReader:
    """Reads one tree; collects issues."""

    def __init__(
        self,
        tree: Tree,
        pictures: PictureIndex,
        *,
        size: tuple[int, int] | None,
        names: Sequence[str] | None,
        task: str | None = None,
        keypoints: tuple[int, int] | None = None,
    ) -> None:
        self.tree = tree
        self.pictures = pictures
        self.size = size
        self.issues = IssueList()
        self.files = find_label_files(tree, pictures.paths)
        taken = {item.path for item in self.files}
        self.namings = find_namings(tree, self.issues, taken)
        if names is not None:
            given = dict(enumerate(names))
            self.namings = [replace(naming, names=given) for naming in self.namings] or [Naming("", given)]
        self._unsized: list[str] = []
        self._speaks: dict[str, Naming | None] = {item.path: nearest(self.namings, item.path) for item in self.files}
        self._tasks = self._find_tasks(task, keypoints)

    def _find_tasks(self, task: str | None, keypoints: tuple[int, int] | None) -> dict[str, Task]:
        """The task of the label files that each naming speaks for, by its file; "" for those that none speaks for.

        What is said counts, then what YAML declares; else some of the files are looked at.
        """
        groups: dict[str, list[LabelFile]] = {}
        for item in self.files:
            naming = self._speaks[item.path]
            groups.setdefault(naming.file if naming is not None else "", []).append(item)
        known = {naming.file: naming for naming in self.namings}
        tasks: dict[str, Task] = {}
        for file, items in groups.items():
            naming = known.get(file, Naming("", {}))
            shape = keypoints or naming.keypoints
            if task is not None:
                tasks[file] = Task(task, is_strict=True)
                if task == "pose" and shape is None:
                    shape = find_task(self.tree, [item.path for item in items], lambda path: None)[1]
            elif naming.task is not None or shape is not None:
                tasks[file] = Task("pose" if shape is not None else naming.task)
            else:
                of = {item.path: item for item in items}
                tasks[file], shape = find_task(self.tree, list(of), lambda path, of=of: self._size(of[path]))  # type: ignore[misc]
            if tasks[file].name == "pose" and shape is None:
                message = "nothing says how many keypoints a line has; lines are read without them"
                hint = "Declare kpt_shape in data.yaml, or pass the option kpt_shape: [how many, 2 or 3]."
                self.issues.add("keypoints-undeclared", message, file=file or None, hint=hint)
                tasks[file] = Task()
            if shape != naming.keypoints:
                self._declare(naming, shape, items)
        return tasks

    def _declare(self, naming: Naming, shape: tuple[int, int] | None, items: Sequence[LabelFile]) -> None:
        """Gives a naming keypoints that it does not declare itself."""
        numbered = tuple(str(index) for index in range(shape[0])) if shape is not None else ()
        fits = shape is not None and len(naming.keypoint_names) == shape[0]
        made = replace(naming, keypoints=shape, keypoint_names=naming.keypoint_names if fits else numbered)
        if not fits:
            made = replace(made, class_points={}, flip_pairs=())
        self.namings = [made if other is naming else other for other in self.namings]
        if naming not in self.namings and made not in self.namings:
            self.namings.append(made)
        self._speaks.update(dict.fromkeys((item.path for item in items), made))

    def _size(self, item: LabelFile) -> tuple[int, int] | None:
        return (self.pictures.size(item.picture) if item.picture is not None else None) or self.size

    def label_set(self) -> LabelSet:
        """All rows, with subsets; pictures without a label file that are in no subset are left to the caller."""
        splits = Subsets(self.tree, self.pictures, self.namings, self.issues)
        listed = splits.lists()
        by_stem = ByStem(key for keys in listed.values() for key in keys)
        rows: dict[str, Row] = {}
        found: dict[str, LabelFile] = {}
        used: dict[str | None, set[int]] = {}
        for item in self.files:
            key = item.picture or self._made_key(item, by_stem)
            if key in rows:
                message = f"it is about {key}, which {found[key].path} labels already; it was left out"
                hint = "Take one of the two away."
                self.issues.add("labels-twice", message, severity="warning", file=item.path, hint=hint)
                continue
            naming = self._speaks[item.path]
            row, lines = self._row(key, item, naming)
            used.setdefault(naming.file if naming is not None else None, set()).update(line.class_id for line in lines)
            rows[key], found[key] = row, item
        self._say_unsized()
        subsets = splits.of(listed, rows)
        for key, names in subsets.items():
            rows[key] = {**rows.get(key, {"key": key}), "subsets": names}
        info: dict[str, object] = {}
        for naming in self.namings:
            info = {**naming.info, **info}
        return LabelSet.from_rows(rows.values(), self._categories(used), info, issues=self.issues.all())

    def _row(self, key: str, item: LabelFile, naming: Naming | None) -> tuple[Row, list[Line]]:
        if self.tree.entries[item.path].size_bytes > MAX_LABEL_BYTES:
            hint = "Exclude it from the source."
            self.issues.add(
                "labels-too-large", "the label file is too large and was not read", file=item.path, hint=hint
            )
            return {"key": key, "labelled": "partial"}, []
        task = self._tasks[naming.file if naming is not None else ""]
        lines, complete = read_lines(self.tree.read(item.path), item.path, naming, self.issues, task)
        row: Row = {"key": key, "labelled": "yes" if complete else "partial"}
        if not lines:
            return row, lines
        size = self._size(item)
        if size is None:
            self._unsized.append(item.path)
            row["labelled"] = "partial"
            return row, lines
        row |= {"width_px": size[0], "height_px": size[1]}
        row["annotations"] = rows_of_lines(lines, naming, *size)
        return row, lines

    def _made_key(self, item: LabelFile, listed: ByStem) -> str:
        """A key for a picture that is not there: as a list of pictures names it, else where it would be."""
        if item.also:
            shown = ", ".join(item.also[:3])
            message = f"it could be about any of {len(item.also)} pictures ({shown})"
            hint = "Lay pictures and labels out alike: images/a/1.jpg, labels/a/1.txt."
            self.issues.add("picture-ambiguous", message, file=item.path, hint=hint)
        named = listed.find(item.path, item.path)
        return named[0] if len(named) == 1 else picture_twin(item.path)

    def _say_unsized(self) -> None:
        for number, path in enumerate(self._unsized[:KEPT], 1):
            more = len(self._unsized) - KEPT if number == KEPT else 0
            also = f"; {more} more files are like this" if more else ""
            message = f"its picture is not there or shows no size, so its fractions cannot become pixels{also}"
            hint = "Put the pictures beside the labels, or pass the option size: [width, height]."
            self.issues.add("picture-size-unknown", message, file=path, hint=hint)

    def _categories(self, used: dict[str | None, set[int]]) -> list[Category]:
        """Named classes in order of their ids, then the ids that have no name."""
        names: dict[str, list[str]] = {}
        for naming in self.namings:
            for number, name in naming.names.items():
                ids = names.setdefault(name, [])
                if str(number) not in ids:
                    ids.append(str(number))
        named = {naming.file: naming.names for naming in self.namings}
        nameless = {number for file, ids in used.items() for number in ids if number not in named.get(file or "", {})}
        for number in sorted(nameless):
            names.setdefault(str(number), [str(number)])
        points: dict[str, dict[str, tuple[object, ...]]] = {}
        for naming in self.namings:
            for number, name in (*naming.names.items(),) if naming.keypoints is not None else ():
                points.setdefault(name, _points(naming, number))
            for number in nameless if naming.keypoints is not None else ():
                points.setdefault(str(number), _points(naming, number))
        return [
            Category.model_validate(
                {"name": name, "index": index, "source_ids": () if ids == [str(index)] else tuple(ids)}
                | points.get(name, {})
            )
            for index, (name, ids) in enumerate(names.items())
        ]


def _points(naming: Naming, number: int) -> dict[str, tuple[object, ...]]:
    """The fields of a category that are about its keypoints."""
    names = naming.points_of(number)
    pairs = tuple(pair for pair in naming.flip_pairs if max(pair) < len(names))
    return {"keypoint_names": names, "flip_pairs": pairs} if names else {}
