"""Which files of a tree are Open Images', what each says, and of which subset."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dsetkit.errors import FormatError
from dsetkit.formats.matching import extension_of_path, subset_of_folders
from dsetkit.formats.text import decode
from dsetkit.storage.tree import Tree

HEAD_BYTES = 8 * 1024
META = "images.meta"
"""Sizes of pictures, ``<image id> <height> <width>`` a line, as CVAT and Datumaro write them beside the tables."""

# What a table says, told by the columns that it must have; the first that fits counts.
_TABLES: Mapping[str, tuple[str, ...]] = {
    "masks": ("MaskPath", "ImageID", "LabelName"),
    "relations": ("ImageID", "LabelName1", "LabelName2", "XMin1", "XMax1", "YMin1", "YMax1", "XMin2"),
    "boxes": ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax"),
    "labels": ("ImageID", "LabelName", "Confidence"),
    "points": ("ImageId", "X", "Y", "Label", "EstimatedYesNo"),
}
_INFO = frozenset({"OriginalURL", "Rotation", "License", "OriginalLandingURL"})
_CLASSES = re.compile(r"class(es)?[-_]descriptions?", re.IGNORECASE)
_HIERARCHY = re.compile(r"hierarchy.*\.json$", re.IGNORECASE)
_SUBSET = re.compile(
    r"^(?:oidv\d+-|challenge-\d+-)?(?!annotations-)(?P<subset>.+?)-(?:annotations|images|detection|vrd|image_ids)\b"
)
_MASK = re.compile(r"_m[0-9a-z_]+_[0-9a-z]+\.png$", re.IGNORECASE)
_USUAL = {"validation": "val", "valid": "val", "training": "train", "testing": "test"}


class TableFile(NamedTuple):
    """One of Open Images' files."""

    path: str
    what: str
    """``boxes``, ``labels``, ``masks``, ``relations``, ``points``, ``info``, ``classes``, ``hierarchy`` or ``meta``."""
    columns: tuple[str, ...] = ()
    """Its columns by name; none where it has no header."""
    subset: str | None = None


def table_files(tree: Tree) -> list[TableFile]:
    """All files, sorted by path; reads the beginning of each CSV file.

    Classes, sizes and the hierarchy, which are known by their names, count only where there is a table, too.
    """
    found: list[TableFile] = []
    aside: list[TableFile] = []
    for path in tree.entries:
        name = path.rpartition("/")[2]
        if name == META:
            aside.append(TableFile(path, "meta"))
        elif _HIERARCHY.search(name):
            aside.append(TableFile(path, "hierarchy"))
        elif extension_of_path(path) == ".csv":
            columns = _header(tree.read_head(path, HEAD_BYTES), path)
            what = what_of(columns)
            if what is not None:
                (aside if what == "info" else found).append(TableFile(path, what, columns, subset_of(path)))
            elif _CLASSES.search(name):
                aside.append(TableFile(path, "classes"))
    return sorted((*found, *aside), key=lambda file: file.path.encode()) if found else []


def what_of(columns: Iterable[str]) -> str | None:
    """What a table with these columns says; None where it is none of Open Images'."""
    there = set(columns)
    for what, needed in _TABLES.items():
        if there.issuperset(needed):
            return what
    return "info" if "ImageID" in there and there & _INFO else None


def subset_of(path: str) -> str | None:
    """The subset by a file's name, else by its folders; ``validation`` is ``val``.

    >>> subset_of("oidv6-train-annotations-bbox.csv"), subset_of("2017_11/test/annotations-human.csv")
    ('train', 'test')
    """
    found = _SUBSET.match(path.rpartition("/")[2])
    if found is None:
        return subset_of_folders(path)
    return _USUAL.get(found["subset"], found["subset"])


def mask_files(tree: Tree, tables: Iterable[TableFile]) -> list[str]:
    """PNG files that are masks: those called like one or in a folder called so, where a table of masks is there.

    What lies below a folder ``images`` is none.
    """
    if not any(table.what == "masks" for table in tables):
        return []
    return [path for path in tree.entries if path.lower().endswith(".png") and _is_mask(path)]


def _is_mask(path: str) -> bool:
    folders, _, name = path.rpartition("/")
    if "images" in folders.casefold().split("/"):
        return False
    return bool(_MASK.search(name)) or "masks" in re.split(r"[\W_]+", folders.casefold())


def _header(head: bytes, path: str) -> tuple[str, ...]:
    line = re.split(rb"[\r\n]", head.removeprefix(b"\xef\xbb\xbf"), maxsplit=1)[0]
    try:
        return tuple(next(csv.reader([decode(line, path)]), ()))
    except (FormatError, csv.Error):
        return ()
