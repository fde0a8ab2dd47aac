"""Polygons painted into pictures of ids, as ``json2labelImg.py`` and ``json2instanceImg.py`` paint them.

Source: ``preparation`` of https://github.com/mcordts/cityscapesScripts. Objects are painted in their order, later ones
over earlier ones; deleted ones, and classes with an id below 0 (``license plate``), are not. Pixels without an object
are 0. In the picture of single things a thing is 1000 · class + its number among those of its class, from 0; a group is
its class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsetkit.formats.cityscapes.labels import BY_NAME, parse_label
from dsetkit.formats.loss import Ledger
from dsetkit.geometry import rle
from dsetkit.imaging.id_paint import paint_in_order
from dsetkit.imaging.id_png import write_grey_ids

MOST_THINGS = 1000
"""More single things of one class than this have ids of the next class."""
_TOP = 65535  # what 16 bits hold; Pillow, too, puts it for what is above


class Painting:
    """What is to be painted of a sample; nothing is, before one of the pictures is asked for."""

    def __init__(self, size: tuple[int, int], objects: Sequence[dict[str, Any]], ids: Sequence[str]) -> None:
        self.size = size
        """Width, height, pixels."""
        self.rings: list[list[float]] = []
        self.losses: list[tuple[str, str, str]] = []
        """Code, message and annotation of each object that is not painted as one would wish."""
        label_ids, thing_ids = [0], [0]
        things: Counter[str] = Counter()
        for raw, where in zip(objects, ids, strict=True):
            if raw.get("deleted"):
                continue
            name, is_group = parse_label(raw["label"])
            label = BY_NAME.get(name)
            if label is None:
                self._lost("ids-none", "cityscapes has no id for such a category; pictures of ids leave it out", where)
                continue
            if label.id < 0:
                self._lost("ids-none", "cityscapes never paints a license plate; pictures of ids leave it out", where)
                continue
            if len(raw["polygon"]) < 2:
                self._lost("ids-none", "an outline of one point is not painted in pictures of ids", where)
                continue
            number = label.id
            if label.has_instances and not is_group:
                number = label.id * MOST_THINGS + things[name]
                things[name] += 1
                if things[name] > MOST_THINGS:
                    message = "more than 1000 things of a class in a picture of ids have ids of the next class"
                    self._lost("ids-run-over", message, where)
            self.rings.append([value for point in raw["polygon"] for value in point])
            label_ids.append(label.id)
            thing_ids.append(min(number, _TOP))
        self._label_ids = np.array(label_ids, np.uint8)
        self._thing_ids = np.array(thing_ids, np.uint16)

    def enter(self, ledger: Ledger, key: str) -> None:
        """Enter what the pictures do not show."""
        for code, message, where in self.losses:
            ledger.add(code, message, f"{key}#{where}")

    def label_ids(self) -> bytes:
        """``_labelIds.png``: 8 bits, the class of each pixel."""
        return write_grey_ids(self._label_ids[self._numbers])

    def instance_ids(self) -> bytes:
        """``_instanceIds.png``: 16 bits, the single thing, or else the class, of each pixel."""
        return write_grey_ids(self._thing_ids[self._numbers])

    @cached_property
    def _numbers(self) -> NDArray[np.int32]:
        return paint_in_order(self.size, self.rings)

    def _lost(self, code: str, message: str, where: str) -> None:
        self.losses.append((code, message, where))


def is_paintable(size: tuple[int, int]) -> bool:
    """Whether a picture of that width and height can be painted, and read again."""
    return 0 < size[0] * size[1] <= rle.MAX_PIXELS
