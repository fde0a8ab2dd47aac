"""Which task a YOLO dataset is of, told from some of its label files where nobody says it.

Four numbers a line are boxes and six or more polygons, but some lines can be read in two ways. They are corners of
turned boxes (``obb``) where every line looked at has eight numbers and most of these are rectangles, of which some are
turned: upright ones are as well written as polygons. They are keypoints without a ``kpt_shape`` (``pose``) where every
line has as many numbers, a box and three each, and the last of the three is a visibility (0, 1, 2; once 2 at least).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dsetkit.formats.yolo.text import Line, Task, parse_line
from dsetkit.geometry.quads import rotated_box_of

if TYPE_CHECKING:
    from dsetkit.storage.tree import Tree

TASKS = ("detect", "segment", "obb", "pose")
_LOOKED_AT = 64
_HEAD_BYTES = 64 * 1024
_TURNED_DEG = 0.05


def find_task(
    tree: Tree, paths: Sequence[str], size_of: Callable[[str], tuple[int, int] | None]
) -> tuple[Task, tuple[int, int] | None]:
    """The task of label files, and the ``kpt_shape`` they have without saying it; looks at 64 of them at most.

    ``size_of`` gives the size of a label file's picture, pixels; without one nothing tells corners from polygons.
    """
    sample: list[tuple[str, list[Line]]] = []
    for path in paths[:: -(-len(paths) // _LOOKED_AT)] if paths else ():
        lines = _lines(tree.read_head(path, _HEAD_BYTES))
        if any(line.kind == "box" for line in lines):
            return Task(), None
        if lines:
            sample.append((path, lines))
    if not sample:
        return Task(), None
    shape = _keypoints([line for _, lines in sample for line in lines])
    if shape is not None:
        return Task("pose"), shape
    if all(len(line.values) == 8 for _, lines in sample for line in lines) and _are_turned(sample, size_of):
        return Task("obb"), None
    return Task(), None


def _lines(head: bytes) -> list[Line]:
    texts = head.decode("utf-8-sig", "replace").splitlines()
    if len(head) == _HEAD_BYTES:
        texts = texts[:-1]
    parsed = (parse_line(text, 1) for text in texts if not text.isspace())
    return [line for line in parsed if isinstance(line, Line)]


def _keypoints(lines: Sequence[Line]) -> tuple[int, int] | None:
    numbers = [line.values if line.score is None else (*line.values, line.score) for line in lines]
    count = len(numbers[0]) - 4
    if count % 3 or any(len(one) != count + 4 for one in numbers):
        return None
    seen = {value for one in numbers for value in one[6::3]}
    return (count // 3, 3) if seen <= {0.0, 1.0, 2.0} and 2.0 in seen else None


def _are_turned(sample: Sequence[tuple[str, Sequence[Line]]], size_of: Callable[[str], tuple[int, int] | None]) -> bool:
    seen = rectangles = turned = 0
    for path, lines in sample:
        size = size_of(path)
        for line in lines if size is not None else ():
            assert size is not None
            box = rotated_box_of([value * size[index % 2] for index, value in enumerate(line.values)])
            seen += 1
            rectangles += box is not None
            turned += box is not None and _TURNED_DEG < box["angle"] % 90.0 < 90.0 - _TURNED_DEG
    return turned > 0 and 2 * rectangles > seen
