"""One YOLO label file, read: a line an object, numbers as fractions of the upright picture's width and height.

Lines (https://docs.ultralytics.com/datasets/): ``class cx cy w h`` a box; ``class cx cy w h conf`` a predicted box;
``class x1 y1 x2 y2 x3 y3 ...`` a polygon, with one number more a predicted one; where the dataset declares keypoints,
``class cx cy w h`` and two or three numbers for each; in an oriented dataset ``class x1 y1 x2 y2 x3 y3 x4 y4``, the
corners of a turned box.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from dsetkit.formats.issues import IssueList
from dsetkit.formats.quads import quad_shape
from dsetkit.formats.yolo.names import MAX_CLASS_ID, Naming
from dsetkit.spec.arrow import Row

MAX_LABEL_BYTES = 64 * 1024 * 1024
SLACK = 1e-6
"""How far outside 0..1 a number may lie before it is a finding: six decimals are what most tools write."""
_LEAST = 5


class Task(NamedTuple):
    """What lines are to be read as."""

    name: str | None = None
    """``detect``, ``segment``, ``obb``, ``pose``, or None: boxes and polygons, and keypoints where declared."""
    is_strict: bool = False
    """Whether a line of another task is a fault; else it is read as what it looks like."""


ANY = Task()


class Line(NamedTuple):
    """One object as written."""

    number: int
    """Of the line, from 1."""
    class_id: int
    values: tuple[float, ...]
    """Fractions; 4 for a box, then those of keypoints; 8 for corners; 6 or more for a polygon."""
    kind: str
    """``box``, ``polygon``, ``keypoints`` or ``corners``."""
    score: float | None = None


def looks_like_labels(head: bytes) -> bool:
    """Whether a file's beginning reads like label lines: an integer and at least four numbers, no words."""
    lines = head.decode("utf-8-sig", "replace").splitlines()
    first = next((line for line in lines if line.strip()), "")
    return isinstance(parse_line(first, 1), Line)


def read_lines(
    data: bytes, file: str, naming: Naming | None, issues: IssueList, task: Task = ANY
) -> tuple[list[Line], bool]:
    """The file's objects, and whether every line could be read. A bad line is an issue; the others stand."""
    keypoints = naming.keypoints if naming is not None else None
    lines: list[Line] = []
    complete = True
    for number, text in enumerate(data.decode("utf-8-sig", "replace").splitlines(), 1):
        if not text or text.isspace():
            continue
        parsed = parse_line(text, number, keypoints, task)
        if isinstance(parsed, Line):
            lines.append(parsed)
            continue
        complete = False
        hint = "Correct or delete the line; it was left out."
        issues.add("line-malformed", parsed, file=file, place=f"line {number}", hint=hint)
    return lines, complete


def parse_line(text: str, number: int, keypoints: tuple[int, int] | None = None, task: Task = ANY) -> Line | str:
    """The line, or what is wrong with it."""
    words = text.split()
    if len(words) < _LEAST:
        return f"{len(words)} of the at least {_LEAST} numbers that an object has"
    values: list[float] = []
    for word in words:
        try:
            value = float(word)
        except ValueError:
            value = math.nan
        if not abs(value) < 1e9 or "_" in word or not word.isascii():
            return f"{_short(word)!r} is not a usable number"
        values.append(value)
    class_id, rest = values[0], tuple(values[1:])
    if class_id != int(class_id) or not 0 <= class_id <= MAX_CLASS_ID:
        return f"{_short(words[0])!r} is not a class id"
    count = len(rest)
    wanted = _wanted(task, keypoints)
    if task.is_strict and wanted and count not in (wanted, wanted + 1):
        return f"{count} numbers behind the class, where a line of {task.name} has {wanted}"
    if task.name in (None, "pose") and keypoints is not None:
        wanted = 4 + keypoints[0] * keypoints[1]
        if 0 <= count - wanted <= 1:
            return Line(number, int(class_id), rest[:wanted], "keypoints", rest[wanted] if count > wanted else None)
    if count in (4, 5):
        return Line(number, int(class_id), rest[:4], "box", rest[4] if count == 5 else None)
    score = rest[-1] if count % 2 else None
    shape = rest if score is None else rest[:-1]
    kind = "corners" if task.name == "obb" and len(shape) == 8 else "polygon"
    return Line(number, int(class_id), shape, kind, score)


def _wanted(task: Task, keypoints: tuple[int, int] | None) -> int:
    """How many numbers lines of a task have behind the class; 0 where it is not fixed."""
    if task.name == "pose":
        return 0 if keypoints is None else 4 + keypoints[0] * keypoints[1]
    return {"detect": 4, "obb": 8}.get(task.name or "", 0)


def rows_of_lines(lines: list[Line], naming: Naming | None, width_px: int, height_px: int) -> list[Row]:
    """Annotations in pixels of the upright picture, ids "0", "1", ... in line order.

    Findings: ``category-undefined`` (class id without a name: the number is its name), ``coordinates-outside``,
    ``box-inverted`` (negative side; taken as positive), ``box-degenerate`` (a side of 0), ``annotation-duplicate``
    (the same numbers as a line before), ``corners-no-rectangle`` (four corners that are a polygon),
    ``keypoint-visibility`` (a visibility that is none of 0, 1, 2; the nearest is taken).
    """
    names = naming.names if naming is not None else {}
    seen: dict[tuple[int, tuple[float, ...]], int] = {}
    rows: list[Row] = []
    for line in lines:
        findings: list[Row] = []
        name = names.get(line.class_id)
        if name is None:
            findings.append(_finding("category-undefined", line, f"class {line.class_id} has no name"))
        before = seen.setdefault((line.class_id, line.values), line.number)
        if before != line.number:
            findings.append(_finding("annotation-duplicate", line, f"the same as line {before}"))
        row: Row = {"id": str(len(rows)), "kind": line.kind, "category": name or str(line.class_id)}
        row |= _shape(line, naming, float(width_px), float(height_px), findings)
        row |= {"score": line.score} if line.score is not None else {}
        row |= {"issues": findings} if findings else {}
        rows.append(row)
    return rows


def _shape(line: Line, naming: Naming | None, width: float, height: float, findings: list[Row]) -> Row:
    values = line.values
    located = values if line.kind != "keypoints" else values[:4]
    low, high = min(located), max(located)
    if low < -SLACK or high > 1.0 + SLACK:
        worst = low if low < -SLACK else high
        findings.append(_finding("coordinates-outside", line, f"{worst:g} is not from 0 to 1"))
    if line.kind in ("polygon", "corners"):
        xs = [value * width for value in values[0::2]]
        ys = [value * height for value in values[1::2]]
        ring = [value for point in zip(xs, ys, strict=True) for value in point]
        if line.kind == "corners":
            return _corners(line, ring, findings)
        box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
        return {"polygons": [[ring]], "bbox_xywh_px": box}
    cx, cy, w, h = values[:4]
    if w < 0 or h < 0:
        findings.append(_finding("box-inverted", line, f"width {w:g}, height {h:g}: taken as positive"))
        w, h = abs(w), abs(h)
    if w == 0 or h == 0:
        findings.append(_finding("box-degenerate", line, f"width {w:g}, height {h:g}"))
    box = [(cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height]
    if line.kind == "box" or naming is None or naming.keypoints is None:
        return {"bbox_xywh_px": box}
    keypoints = _keypoints(line, naming, naming.keypoints, (width, height), findings)
    if not any(point["visibility"] for point in keypoints):
        return {"kind": "box", "bbox_xywh_px": box}
    return {"bbox_xywh_px": box, "keypoints": keypoints}


def _corners(line: Line, ring: list[float], findings: list[Row]) -> Row:
    shape = quad_shape(ring)
    if shape["kind"] == "polygon":
        findings.append(_finding("corners-no-rectangle", line, "its four corners are no rectangle's; it is a polygon"))
    elif min(shape["rotated_box"]["w"], shape["rotated_box"]["h"]) == 0.0:
        findings.append(_finding("box-degenerate", line, "two of its corners are one"))
    return shape


def _keypoints(
    line: Line, naming: Naming, declared: tuple[int, int], size: tuple[float, float], findings: list[Row]
) -> list[Row]:
    """Points by the names of the line's class; without a name those that have a place, by their number."""
    count, step = declared
    names = naming.points_of(line.class_id)
    points: list[Row] = []
    for index in range(count):
        x, y, *rest = line.values[4 + index * step : 4 + (index + 1) * step]
        if index >= len(names) and not (x or y or any(rest)):
            continue
        if not rest:
            visibility = 0 if x == y == 0.0 else 2
        else:
            visibility = min(max(round(rest[0]), 0), 2)
            if visibility != rest[0]:
                said = f"the visibility of keypoint {index} is {rest[0]:g}, none of 0, 1, 2; taken for {visibility}"
                findings.append(_finding("keypoint-visibility", line, said))
        name = names[index] if index < len(names) else str(index)
        points.append({"name": name, "x": x * size[0], "y": y * size[1], "visibility": visibility})
    return points


def _finding(code: str, line: Line, message: str) -> Row:
    return {"code": code, "message": f"line {line.number}: {message}"}


def _short(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:40])
