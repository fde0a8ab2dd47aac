"""Cityscapes' official classes, and what a label's text says.

Source: ``cityscapesscripts/helpers/labels.py`` of https://github.com/mcordts/cityscapesScripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dsetkit.errors import FormatError
from dsetkit.formats.text import read_label_text
from dsetkit.spec.category import Category
from dsetkit.storage.tree import Tree


class Label(NamedTuple):
    """One class."""

    name: str
    id: int
    train_id: int
    """0 to 18 for those that are trained on; else 255, or -1 for what is never drawn."""
    group: str
    has_instances: bool
    color: str


OFFICIAL = (
    Label("unlabeled", 0, 255, "void", False, "#000000"),
    Label("ego vehicle", 1, 255, "void", False, "#000000"),
    Label("rectification border", 2, 255, "void", False, "#000000"),
    Label("out of roi", 3, 255, "void", False, "#000000"),
    Label("static", 4, 255, "void", False, "#000000"),
    Label("dynamic", 5, 255, "void", False, "#6f4a00"),
    Label("ground", 6, 255, "void", False, "#510051"),
    Label("road", 7, 0, "flat", False, "#804080"),
    Label("sidewalk", 8, 1, "flat", False, "#f423e8"),
    Label("parking", 9, 255, "flat", False, "#faaaa0"),
    Label("rail track", 10, 255, "flat", False, "#e6968c"),
    Label("building", 11, 2, "construction", False, "#464646"),
    Label("wall", 12, 3, "construction", False, "#66669c"),
    Label("fence", 13, 4, "construction", False, "#be9999"),
    Label("guard rail", 14, 255, "construction", False, "#b4a5b4"),
    Label("bridge", 15, 255, "construction", False, "#966464"),
    Label("tunnel", 16, 255, "construction", False, "#96785a"),
    Label("pole", 17, 5, "object", False, "#999999"),
    Label("polegroup", 18, 255, "object", False, "#999999"),
    Label("traffic light", 19, 6, "object", False, "#faaa1e"),
    Label("traffic sign", 20, 7, "object", False, "#dcdc00"),
    Label("vegetation", 21, 8, "nature", False, "#6b8e23"),
    Label("terrain", 22, 9, "nature", False, "#98fb98"),
    Label("sky", 23, 10, "sky", False, "#4682b4"),
    Label("person", 24, 11, "human", True, "#dc143c"),
    Label("rider", 25, 12, "human", True, "#ff0000"),
    Label("car", 26, 13, "vehicle", True, "#00008e"),
    Label("truck", 27, 14, "vehicle", True, "#000046"),
    Label("bus", 28, 15, "vehicle", True, "#003c64"),
    Label("caravan", 29, 255, "vehicle", True, "#00005a"),
    Label("trailer", 30, 255, "vehicle", True, "#00006e"),
    Label("train", 31, 16, "vehicle", True, "#005064"),
    Label("motorcycle", 32, 17, "vehicle", True, "#0000e6"),
    Label("bicycle", 33, 18, "vehicle", True, "#770b20"),
    Label("license plate", -1, -1, "vehicle", False, "#00008e"),
)
BY_NAME: Mapping[str, Label] = {label.name: label for label in OFFICIAL}
BY_TRAIN_ID: Mapping[int, Label] = {label.train_id: label for label in OFFICIAL if 0 <= label.train_id < 255}
FRAME_ONLY = frozenset({"unlabeled", "ego vehicle", "rectification border", "out of roi"})
"""Classes that say where nothing is labelled; the test set has no others, since its labels are kept back."""
COLORS = "label_colors.txt"
"""The list of classes that Datumaro and CVAT write for a table of one's own: ``<red> <green> <blue> <name>`` a line."""
_GROUP = "group"
_LINE = re.compile(r"\s*(?:(\d{1,3})\s+(\d{1,3})\s+(\d{1,3})\s+)?(\S.*?)\s*\Z")
_MAX_BYTES = 4 * 1024 * 1024


def parse_label(text: str) -> tuple[str, bool]:
    """The class of a label's text, and whether it is of several things that nobody told apart.

    As ``json2instanceImg.py``: a text that is no class and ends in ``group`` is a group of the class in front of it.

    >>> parse_label("cargroup"), parse_label("polegroup"), parse_label("agegroup")
    (('car', True), ('polegroup', False), ('agegroup', False))
    """
    if text not in BY_NAME and text.endswith(_GROUP):
        name = text.removesuffix(_GROUP)
        if name in BY_NAME:
            return name, True
    return text, False


def label_text(name: str, *, is_crowd: bool) -> str:
    """The text for a class, or a group of it, as far as ``parse_label`` would understand it."""
    group = f"{name}{_GROUP}"
    return group if is_crowd and parse_label(group) == (name, True) else name


def official_categories() -> list[Category]:
    """All official classes in their order; ``source_ids`` are the ids."""
    return [
        Category(
            name=label.name,
            index=index,
            source_ids=(str(label.id),),
            supercategory=label.group,
            is_thing=label.has_instances,
            color=label.color,
        )
        for index, label in enumerate(OFFICIAL)
    ]


def categories_of(used: Iterable[str], own: Mapping[int, Label] | None) -> list[Category]:
    """The categories of a set that uses these names.

    A table of one's ``own`` counts. Else, where all are official ones, all official ones; so that an index is the same
    in each part of Cityscapes. Else those that are used.
    """
    names = list(dict.fromkeys(used))
    if own is None:
        if all(name in BY_NAME for name in names):
            return official_categories()
        return [Category(name=name, index=index) for index, name in enumerate(names)]
    listed = {label.name: label for label in own.values()}
    found: list[Category] = []
    for name in dict.fromkeys((*listed, *names)):
        label = listed.get(name)
        said = {} if label is None else {"source_ids": (str(label.id),), "color": label.color or None}
        found.append(Category.model_validate({"name": name, "index": len(found), **said}))
    return found


def own_labels(tree: Tree) -> Mapping[int, Label] | None:
    """The classes of ``label_colors.txt`` by id, which is the number of the line; None where there is no such file.

    Raises ``FormatError`` for a line that is none.
    """
    paths = [path for path in tree.entries if path.rpartition("/")[2] == COLORS]
    if not paths:
        return None
    lines = [line for line in read_label_text(tree, paths[0], _MAX_BYTES).splitlines() if line.strip()]
    found: dict[int, Label] = {}
    for number, line in enumerate(line for line in lines if not line.startswith("#")):
        parsed = _LINE.match(line)
        levels = [int(part) for part in parsed.group(1, 2, 3) if part is not None] if parsed else []
        if parsed is None or max(levels, default=0) > 255 or len(parsed[4]) > 1000:
            raise FormatError(
                f"{paths[0]} has a line that is not: red green blue name",
                file=paths[0],
                place=f"class {number}",
                hint="Correct the line; the ids of classes are numbers of lines.",
            )
        known = BY_NAME.get(parsed[4])
        color = "#{:02x}{:02x}{:02x}".format(*levels) if levels else ""
        found[number] = Label(parsed[4], number, number, "", known is not None and known.has_instances, color)
    return found
