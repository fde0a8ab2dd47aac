"""One line of DOTA's results."""

from __future__ import annotations

from typing import NamedTuple

from dsetkit.formats.dota.text import number_of, short
from dsetkit.formats.quads import quad_shape
from dsetkit.spec.arrow import Row


class Prediction(NamedTuple):
    """One line as written."""

    name: str
    """Of the picture, mostly without extension; blanks in it are one each."""
    score: float
    numbers: tuple[float, ...]
    """Eight: four corners; or four: left, top, right, bottom."""


def parse(line: str, task: str) -> Prediction | str:
    """The line of task ``1`` or ``2``, or what is wrong with it."""
    count = 8 if task == "1" else 4
    words = line.split()
    if len(words) < count + 2:
        return f"{len(words)} words, where a picture's name, a score and {count} numbers are the least"
    numbers: list[float] = []
    for word in words[-count - 1 :]:
        value = number_of(word)
        if value is None:
            return f"{short(word)!r} is not a usable number"
        numbers.append(value)
    return Prediction(" ".join(words[: -count - 1]), numbers[0], tuple(numbers[1:]))


def shape_of(prediction: Prediction) -> Row:
    """Its kind and geometry. A side of 0 or less is a Finding ``box-degenerate``."""
    if len(prediction.numbers) == 8:
        row = quad_shape(prediction.numbers)
        sides = (row["rotated_box"]["w"], row["rotated_box"]["h"]) if row["kind"] == "rotated_box" else (1.0, 1.0)
    else:
        left, top, right, bottom = prediction.numbers
        sides = (right - left, bottom - top)
        box = [min(left, right), min(top, bottom), abs(sides[0]), abs(sides[1])]
        row = {"kind": "box", "bbox_xywh_px": box}
    if min(sides) <= 0.0:
        row["issues"] = [{"code": "box-degenerate", "message": f"width {sides[0]:g}, height {sides[1]:g}"}]
    return row
