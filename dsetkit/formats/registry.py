"""All formats by name. Third parties add theirs through the entry point group ``dsetkit.formats``.

An entry point's name is the format's name and it names the ``Format`` class. The names of dsetkit's own formats
cannot be taken.
"""

from __future__ import annotations

import difflib
import importlib
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from dsetkit.errors import NotFoundError
from dsetkit.formats.base import Detection, Format

if TYPE_CHECKING:
    from dsetkit.storage.scan import Tree

GROUP = "dsetkit.formats"

_OWN = {
    "coco": "dsetkit.formats.coco.format:Coco",
    "csv": "dsetkit.formats.csv_boxes.format:CsvBoxes",
    "image_folder": "dsetkit.formats.image_folder:ImageFolder",
    "voc": "dsetkit.formats.voc.format:Voc",
    "yolo": "dsetkit.formats.yolo.format:Yolo",
}


@cache
def names() -> tuple[str, ...]:
    """The names of all formats, sorted."""
    return tuple(sorted({*_OWN, *(point.name for point in entry_points(group=GROUP))}))


@cache
def get(name: str) -> Format:
    """The format of that name. Raises ``NotFoundError``, naming the nearest, for one that is not there."""
    if name in _OWN:
        module, _, attribute = _OWN[name].partition(":")
        made: Format = getattr(importlib.import_module(module), attribute)()
        return made
    for point in entry_points(group=GROUP, name=name):
        loaded: Format = point.load()()
        return loaded
    near = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
    known = f"Known formats: {', '.join(names())}."
    raise NotFoundError(
        f"there is no format {name!r}", name=name, hint=f"Did you mean {near[0]!r}? {known}" if near else known
    )


def detect(tree: Tree) -> tuple[Detection, tuple[Detection, ...]]:
    """The format the tree most likely is, and the others it could be, likeliest first.

    Of equal confidence the first by name wins. Raises ``NotFoundError`` saying what was looked for if it is none.
    """
    found = [detection for name in names() if (detection := get(name).detect(tree)) is not None]
    if not found:
        looked = "; ".join(f"{name}: {get(name).looks_for}" for name in names())
        raise NotFoundError(
            f"no known label format in {tree.url}", name=tree.url, hint=f"Name the format. Looked for {looked}."
        )
    found.sort(key=lambda detection: (-detection.confidence, detection.format))
    return found[0], tuple(found[1:])
