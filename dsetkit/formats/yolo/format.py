"""YOLO: a text file a picture, a line an object, numbers as fractions of the upright picture.

Read: Ultralytics' and Roboflow's ``data.yaml`` with ``images`` and ``labels`` folders, darknet's ``obj.data``, or label
files in any folder beside a list of names (see ``names``, ``read``, ``text``). A picture without a label
file is not labelled; one with an empty file is labelled and shows nothing.

Written: ``data.yaml`` (without ``path``, so it works from its own folder), ``images/<split>/<name>`` and
``labels/<split>/<name>.txt``, as Ultralytics loads them; ``images/unsplit`` where a sample has no split. Numbers have
all the digits that give the same float back. Names: ``dsetkit.formats.flat_names``. Ultralytics takes every line of a
file with a polygon for a polygon, so beside polygons boxes are written as polygons of four corners.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from dsetkit.errors import UsageError
from dsetkit.formats.base import Capabilities, Detection, Export, Format, Options
from dsetkit.formats.carry import carry_row, split_of, withdraw_labelled
from dsetkit.formats.flat_names import FlatNames
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Ledger
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.places import Places, safe_part
from dsetkit.formats.yolo.names import NO_SPLIT_KEYS, SPLIT_KEYS, Naming, is_naming_file, naming_files
from dsetkit.formats.yolo.read import HEAD_BYTES, NO_SPLIT, YoloReader, find_label_files, picture_twin
from dsetkit.formats.yolo.text import Line, looks_like_labels, rows_of_lines
from dsetkit.imaging.probe import read_size
from dsetkit.spec.arrow import Row
from dsetkit.spec.category import Category
from dsetkit.storage.sink import Sink
from dsetkit.storage.tree import Tree

_LOOKED_AT = 8
_NAMES_LINE = re.compile(rb"(?m)^\s*names\s*:")
_YAML_HEAD_BYTES = 64 * 1024
_PLAIN_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]*\Z")
_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n"})


class Yolo(Format):
    """Boxes and polygons, one text file a picture."""

    name = "yolo"
    title = "YOLO"
    extensions: ClassVar[frozenset[str]] = frozenset({".txt"})
    looks_for = "text files of lines 'class cx cy w h', with data.yaml, obj.names or classes.txt"
    capabilities = Capabilities(
        kinds=frozenset({"box", "polygon"}),
        becomes={"rotated_box": "polygon", "ellipse": "polygon", "mask": "box", "keypoints": "box"},
        sample_fields=frozenset({"width_px", "height_px"}),
        subsets="one",
        parts=False,
    )
    options: ClassVar[Mapping[str, str]] = {
        "size": "reading: [width, height] in pixels of pictures that are not there",
        "names": "reading: the names of classes in order, instead of those in files",
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
        reader = YoloReader(labels, pictures, size=_size_option(options), names=_names_option(options))
        if not reader.files and not any(naming.names for naming in reader.namings):
            raise self.no_labels(labels)
        return reader.label_set()

    def prepare(self, export: Export, options: Options, ledger: Ledger) -> _Plan:
        """Names of files and folders; says where Ultralytics will miss a split."""
        categories = super().prepare(export, options, ledger)
        plan = _Plan(
            categories=categories,
            ids={category.name: category.index for category in categories},
            naming=Naming("data.yaml", {category.index: category.name for category in categories}),
            names=FlatNames(export.rows()),
            folders=_folders(export.rows()),
            export=export,
        )
        for split in ("train", "val"):
            if split not in plan.folders.values():
                message = f"there is no split {split}, which Ultralytics wants; data.yaml names another folder for it"
                ledger.add("split-missing", message, severity="info")
        return plan

    def carry(self, row: Row, prepared: Any, ledger: Ledger) -> Row:
        """The row as it is read back."""
        return self._render(row, prepared, ledger)[0]

    def write(self, export: Export, sink: Sink, options: Options) -> None:
        """Pictures, label files and ``data.yaml``."""
        ledger = Ledger(self.name)
        plan = self.prepare(export, options, ledger)
        for row in export.rows():
            carried, lines = self._render(row, plan, ledger)
            picture = export.picture(row)
            if picture is not None:
                sink.write(carried["key"], picture)
            if lines is not None:
                folder = plan.folder_of(row)
                sink.write(f"labels/{folder}/{plan.names.stem(row['key'])}.txt", "".join(lines).encode())
        sink.write("data.yaml", "".join(_yaml_lines(plan)).encode())

    def _render(self, row: Row, plan: _Plan, ledger: Ledger) -> tuple[Row, list[str] | None]:
        """The row as read back, and the lines of its label file; none where nobody labelled it."""
        out = carry_row(row, self.capabilities, ledger)
        folder = plan.folder_of(row)
        out["key"] = f"images/{folder}/{plan.names.picture(row)}"
        if out.get("subsets"):
            split = out["subsets"][0]
            if folder != split:
                message = f"the split {split!r} is called {folder!r} here"
                ledger.add("split-renamed", message, row["key"], severity="info")
            out["subsets"] = (folder,)
        annotations = out.pop("annotations", [])
        size = out.pop("width_px", None), out.pop("height_px", None)
        if out.get("labelled") is None:
            return out, None
        if not annotations:
            return out, []
        width_px, height_px = size if None not in size else plan.size_of(row) or (None, None)
        if not width_px or not height_px:
            message = "yolo needs the size of a picture; annotations of pictures without one are left out"
            ledger.add("picture-size-unknown", message, row["key"], count=len(annotations))
            withdraw_labelled(row, out, ledger)
            return out, None
        polygons = any(_is_polygon(annotation) for annotation in annotations)
        lines: list[Line] = []
        for annotation in annotations:
            class_id = plan.ids[annotation["category"]]
            fractions = self._fractions(annotation, polygons, width_px, height_px, row["key"], ledger)
            kind = "polygon" if polygons else "box"
            lines.append(Line(len(lines) + 1, class_id, fractions, kind))
        read_back = rows_of_lines(lines, plan.naming, width_px, height_px)
        for annotation, item in zip(annotations, read_back, strict=True):
            codes = {found["code"] for found in item.get("issues", ())}
            if "annotation-duplicate" in codes:
                message = "a line that says the same as one before it is read back as a duplicate"
                ledger.add("annotation-duplicate", message, f"{row['key']}#{annotation['id']}", severity="info")
        out |= {"width_px": width_px, "height_px": height_px}
        out["annotations"] = read_back
        return out, [" ".join((str(line.class_id), *map(_number, line.values))) + "\n" for line in lines]

    @staticmethod
    def _fractions(
        annotation: Row, polygons: bool, width_px: int, height_px: int, key: str, ledger: Ledger
    ) -> tuple[float, ...]:
        x, y, w, h = annotation["bbox_xywh_px"]
        if not polygons:
            if annotation["kind"] == "polygon":
                message = "yolo cannot say a polygon of under three points; it becomes a box"
                ledger.add("kind-changed", message, f"{key}#{annotation['id']}")
            return (x + w / 2) / width_px, (y + h / 2) / height_px, w / width_px, h / height_px
        if _is_polygon(annotation):
            ring: Sequence[float] = annotation["polygons"][0][0]
        else:
            message = "a yolo file with a polygon has polygons alone; boxes in it become polygons of four corners"
            ledger.add("kind-changed", message, f"{key}#{annotation['id']}")
            ring = (x, y, x + w, y, x + w, y + h, x, y + h)
        sides = (width_px, height_px)
        return tuple(value / sides[index % 2] for index, value in enumerate(ring))


_LISTS = frozenset({"train.txt", "val.txt", "valid.txt", "validation.txt", "test.txt", "trainval.txt"})


@dataclass(frozen=True)
class _Plan:
    """What a write has to know of all rows."""

    categories: tuple[Category, ...]
    ids: Mapping[str, int]
    naming: Naming
    names: FlatNames
    folders: Mapping[str | None, str]
    """Split → folder; its name when read back."""
    export: Export

    def folder_of(self, row: Row) -> str:
        """The folder of a row's split."""
        return self.folders[split_of(row)]

    def size_of(self, row: Row) -> tuple[int, int] | None:
        """The size that the picture's own bytes tell."""
        picture = self.export.picture(row)
        return None if picture is None else read_size(picture)


def _folders(rows: Iterable[Row]) -> dict[str | None, str]:
    """A folder for each split. What YAML and file systems cannot say becomes ``_``; ``valid`` is ``val``."""
    splits = {split_of(row) for row in rows}
    places = Places()
    folders: dict[str | None, str] = {}
    for reserved in ("train", "val", "test", NO_SPLIT):
        places.take(reserved)
    for split in sorted((split for split in splits if split is not None), key=str.encode):
        usual = SPLIT_KEYS.get(split)
        if usual is not None:
            folders[split] = usual
            continue
        name = re.sub(r"[^A-Za-z0-9_-]", "_", safe_part(split))
        name = name if _PLAIN_KEY.match(name) and name.casefold() not in _WORDS | NO_SPLIT_KEYS else f"split_{name}"
        folders[split] = places.take(name)
    if None in splits:
        folders[None] = NO_SPLIT
    return folders


def _is_polygon(annotation: Row) -> bool:
    return annotation["kind"] == "polygon" and len(annotation["polygons"][0][0]) >= 6


def _number(value: float) -> str:
    """The shortest digits that give the same float back; whole numbers without a point."""
    return str(int(value)) if value == int(value) else repr(float(value))


def _yaml_lines(plan: _Plan) -> Iterator[str]:
    folders = sorted(set(plan.folders.values()), key=lambda name: (_order(name), name))
    named = [name for name in folders if name != NO_SPLIT]
    yield "# Paths are relative to this file.\n"
    for name in ("train", "val"):
        if name not in named and folders:
            yield f"# No split {name} was made; Ultralytics wants the line.\n"
            yield f"{name}: images/{NO_SPLIT if NO_SPLIT in folders else folders[0]}\n"
        elif name in named:
            yield f"{name}: images/{name}\n"
    for name in named:
        if name not in ("train", "val"):
            yield f"{name}: images/{name}\n"
    yield f"\nnc: {len(plan.categories)}\n"
    yield "names:\n" if plan.categories else "names: {}\n"
    for category in plan.categories:
        yield f"  {category.index}: {_quoted(category.name)}\n"


def _order(name: str) -> int:
    known = ("train", "val", "test")
    return known.index(name) if name in known else len(known)


def _quoted(text: str) -> str:
    """A YAML double-quoted scalar (YAML 1.2, 5.7): what is not printable as an escape."""
    return '"' + "".join(_escaped(letter) for letter in text) + '"'


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return f"\\{letter}"
    if letter == " " or (letter.isprintable() and letter != "\ufeff"):
        return letter
    return f"\\U{ord(letter):08x}"


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
