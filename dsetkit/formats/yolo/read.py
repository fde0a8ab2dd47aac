"""YOLO's label files of a whole tree: which are label files, of which pictures, in which subsets; all as rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from dsetkit.formats.issues import KEPT, IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.matching import ByStem, closest, subset_of_folders, without_extension
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.formats.yolo.names import SPLIT_KEYS, Naming, find_namings, find_place, is_naming_file, nearest
from dsetkit.formats.yolo.text import MAX_LABEL_BYTES, Line, looks_like_labels, read_lines, rows_of_lines
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category

if TYPE_CHECKING:
    from dsetkit.storage.tree import Tree

HEAD_BYTES = 512
MAX_LIST_BYTES = 256 * 1024 * 1024
NO_SPLIT = "unsplit"
"""The folder dsetkit writes samples without a split to; no subset."""
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
        self, tree: Tree, pictures: PictureIndex, *, size: tuple[int, int] | None, names: Sequence[str] | None
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

    def label_set(self) -> LabelSet:
        """All rows, with subsets; pictures without a label file that are in no subset are left to the caller."""
        listed = self._lists()
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
            naming = nearest(self.namings, item.path)
            row, lines = self._row(key, item, naming)
            used.setdefault(naming.file if naming is not None else None, set()).update(line.class_id for line in lines)
            rows[key], found[key] = row, item
        self._say_unsized()
        subsets = self._subsets(listed, rows)
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
        lines, complete = read_lines(self.tree.read(item.path), item.path, naming, self.issues)
        row: Row = {"key": key, "labelled": "yes" if complete else "partial"}
        if not lines:
            return row, lines
        size = (self.pictures.size(item.picture) if item.picture is not None else None) or self.size
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
        keypoints = next((naming for naming in self.namings if naming.keypoints is not None), None)
        extra = (
            {}
            if keypoints is None
            else {"keypoint_names": keypoints.keypoint_names, "flip_pairs": keypoints.flip_pairs}
        )
        return [
            Category(name=name, index=index, source_ids=() if ids == [str(index)] else tuple(ids), **extra)
            for index, (name, ids) in enumerate(names.items())
        ]

    def _lists(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """(subset, list file) → keys, of the splits that are lists of pictures."""
        texts = [path for path in self.tree.entries if path.lower().endswith((".txt", ".list"))]
        by_stem = ByStem(self.pictures.paths)
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        for naming in self.namings:
            for subset, value in naming.splits:
                if not value.lower().endswith((".txt", ".list")):
                    continue
                path = find_place(value, naming, texts)
                if path is None:
                    self._missing(naming, subset, value)
                elif self.tree.entries[path].size_bytes <= MAX_LIST_BYTES:
                    found[subset, path] = tuple(self._listed(path, by_stem))
        return found

    def _listed(self, path: str, by_stem: ByStem) -> Iterable[str]:
        folder = path.rpartition("/")[0]
        text = self.tree.read(path).decode("utf-8-sig", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            name = line.strip()
            if not name:
                continue
            reduced = reduce_name(name)
            found = closest(self.pictures.candidates(name, folder), path)
            found = found or (by_stem.find(reduced, path) if reduced else ())
            if len(found) == 1:
                yield found[0]
            elif not self.pictures.paths and reduced:
                yield reduced
            else:
                said = "could be any of several pictures" if found else "is not there"
                message = f"{name[:80]!r} {said}"
                place = f"line {number}"
                self.issues.add("list-unmatched", message, severity="warning", file=path, place=place)

    def _subsets(
        self, listed: dict[tuple[str, str], tuple[str, ...]], rows: Collection[str]
    ) -> dict[str, tuple[str, ...]]:
        """Key → subsets: as YAML or lists say, else by folders called ``train``, ``val``, ``valid``, ``test``, ..."""
        folders: dict[str, str] = {}
        paths = sorted({*self.pictures.paths, *rows}, key=str.encode)
        known = {"", *(parent for path in paths for parent in _parents(path))}
        for naming in self.namings:
            for subset, value in naming.splits:
                if value.lower().endswith((".txt", ".list")):
                    continue
                place = find_place(value, naming, known, exact=subset not in SPLIT_KEYS.values())
                if place is None:
                    if subset in SPLIT_KEYS.values():
                        self._missing(naming, subset, value)
                elif place.rpartition("/")[2] != NO_SPLIT:
                    self._add_folder(folders, place, subset, naming)
        subsets: dict[str, dict[str, None]] = {}
        for (subset, _), keys in listed.items():
            for key in keys:
                subsets.setdefault(key, {})[subset] = None
        for path in paths:
            given = next((folders[parent] for parent in (*_parents(path), "") if parent in folders), None)
            if given is not None:
                subsets.setdefault(path, {})[given] = None
            elif path not in subsets and (usual := subset_of_folders(path)) is not None:
                subsets[path] = {usual: None}
        return {key: tuple(names) for key, names in subsets.items()}

    def _add_folder(self, folders: dict[str, str], place: str, subset: str, naming: Naming) -> None:
        other = folders.setdefault(place, subset)
        if other != subset:
            if subset in (place.rpartition("/")[2], subset_of_folders(f"{place}/")):
                folders[place] = subset
            message = f"{place or 'the whole folder'} is both {other} and {subset}; taken as {folders[place]} alone"
            hint = "Give each split pictures of its own."
            self.issues.add("split-shared", message, severity="warning", file=naming.file, place=subset, hint=hint)

    def _missing(self, naming: Naming, subset: str, value: str) -> None:
        message = f"{value[:200]!r} is not there"
        hint = "Correct the path, or take the line out."
        self.issues.add("split-missing", message, severity="warning", file=naming.file, place=subset, hint=hint)


def _parents(path: str) -> list[str]:
    """The folders above a path, deepest first, without the root."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
