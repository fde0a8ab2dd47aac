"""Which files of a tree are Cityscapes', of which picture each is, and in which subset.

Names: ``<root>/<split>/<city>/<city>_<sequence>_<frame>_<type>[_<type2>].<ext>`` (README of
https://github.com/mcordts/cityscapesScripts), the root ``leftImg8bit``, ``gtFine`` or ``gtCoarse``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from dsetkit.formats.matching import closest, stem_of, subset_of_folders
from dsetkit.storage.tree import Tree

POLYGONS = "polygons"
KINDS = (POLYGONS, "instanceIds", "labelIds", "labelTrainIds")
"""What says most comes first."""
NO_SPLIT = "default"
"""The folder of what is in no split, also Datumaro's; no subset."""
SUFFIX = "_leftImg8bit"

_LABELS = re.compile(r"(?P<stem>.+)_gt(?P<set>Fine|Coarse)_(?:(?P<json>polygons)\.json|(?P<ids>\w+)\.png)\Z")
_NO_PICTURE = re.compile(r"_gt(?:Fine|Coarse)_[A-Za-z]+\.png\Z|_disparity\.png\Z")
_PICTURE = re.compile(r"(?P<stem>.+?)_leftImg8bit(?P<variant>.*)\Z")
_ROOT = re.compile(r"(?:leftImg8bit|gtFine|gtCoarse)\b|(?:leftImg8bit|gtFine|gtCoarse)_")
_PLACE = re.compile(r"(?P<city>.+)_(?P<sequence>\d{6})_(?P<frame>\d{6})\Z", re.ASCII)


class LabelFile(NamedTuple):
    """A file of labels."""

    path: str
    stem: str
    """What it is about: ``aachen_000000_000019``."""
    is_fine: bool
    kind: str
    """One of ``KINDS``."""


class Place(NamedTuple):
    """Where and when a picture was taken, by its name."""

    city: str
    sequence: str
    frame: int


def label_files(tree: Tree) -> list[LabelFile]:
    """Of each picture and set the file that says most, sorted by path."""
    best: dict[tuple[str, str, bool], LabelFile] = {}
    for path in tree.entries:
        file = parse(path)
        if file is None:
            continue
        name = (path.rpartition("/")[0], file.stem, file.is_fine)
        known = best.get(name)
        if known is None or KINDS.index(file.kind) < KINDS.index(known.kind):
            best[name] = file
    return sorted(best.values(), key=lambda file: file.path.encode())


def all_label_files(tree: Tree) -> list[str]:
    """Paths of all files of labels, also those that another says more than, sorted."""
    return [path for path in tree.entries if parse(path) is not None]


def parse(path: str) -> LabelFile | None:
    """What a path says; None where it is no file of labels."""
    name = path.rpartition("/")[2]
    found = _LABELS.match(name)
    kind = found and (found["json"] or found["ids"])
    if not found or kind not in KINDS:
        return None
    return LabelFile(path, found["stem"], found["set"] == "Fine", kind)


def is_picture(path: str) -> bool:
    """Whether a file that could be a picture is one: no map of ids, colours or distances."""
    return _NO_PICTURE.search(path.rpartition("/")[2]) is None


def subset_of(path: str) -> str | None:
    """The folder below ``leftImg8bit``, ``gtFine`` or ``gtCoarse``; else a folder of a usual name."""
    folders = path.split("/")[:-1]
    for index in range(len(folders) - 2, -1, -1):
        if is_root(folders[index]):
            return None if folders[index + 1] == NO_SPLIT else folders[index + 1]
    return subset_of_folders(path)


def place_of(stem: str) -> Place | None:
    """City, sequence and frame, where the name says them.

    >>> place_of("aachen_000000_000019")
    Place(city='aachen', sequence='000000', frame=19)
    """
    found = _PLACE.match(stem)
    return Place(found["city"], found["sequence"], int(found["frame"])) if found else None


def picture_stem(path: str) -> str:
    """What a picture is called in the names of its labels."""
    found = _PICTURE.match(stem_of(path))
    return found["stem"] if found else stem_of(path)


class Pictures:
    """Pictures by what their labels are called."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._by_stem: dict[str, dict[str, list[str]]] = {}
        for path in paths:
            found = _PICTURE.match(stem_of(path))
            stem, variant = (found["stem"], found["variant"]) if found else (stem_of(path), "")
            self._by_stem.setdefault(stem, {}).setdefault(variant, []).append(path)

    def of(self, file: LabelFile) -> list[tuple[str, ...]]:
        """The pictures that labels are about: one of each variant (plain, with fog, with rain).

        Several of one variant stand together where they cannot be told apart.
        """
        variants = self._by_stem.get(file.stem, {})
        return [closest(tuple(paths), file.path) for _, paths in sorted(variants.items())]


def is_root(folder: str) -> bool:
    """Whether a folder is called as those above the splits are."""
    return _ROOT.match(folder) is not None


def made_key(file: LabelFile) -> str:
    """Where the picture of a file of labels would be."""
    folders = file.path.split("/")[:-1]
    roots = [index for index, name in enumerate(folders) if is_root(name)]
    if roots:
        folders[roots[-1]] = SUFFIX.removeprefix("_")
    return "/".join((*folders, f"{file.stem}{SUFFIX}.png"))
