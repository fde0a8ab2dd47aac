"""One YOLO label file, read: a line an object, numbers as fractions of the upright picture's width and height.

Lines (https://docs.ultralytics.com/datasets/): ``class cx cy w h`` a box; ``class cx cy w h conf`` a predicted box;
``class x1 y1 x2 y2 x3 y3 ...`` a polygon, with one number more a predicted one; where the dataset declares keypoints,
``class cx cy w h`` and two or three numbers for each.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from dsetkit.formats.issues import IssueList
from dsetkit.formats.yolo.names import MAX_CLASS_ID, Naming
from dsetkit.spec.arrow import Row

MAX_LABEL_BYTES = 64 * 1024 * 1024
_SLACK = 1e-6
"""How far outside 0..1 a number may lie before it is a finding: six decimals are what most tools write."""


class Line(NamedTuple):
    """One object as written."""

    number: int
    """Of the line, from 1."""
    class_id: int
    values: tuple[float, ...]
    """Fractions; 4 for a box, then those of keypoints; 6 or more for a polygon."""
    kind: str
    score: float | None = None


def looks_like_labels(head: bytes) -> bool:
    """Whether a file's beginning reads like label lines: an integer and at least four numbers, no words."""
    lines = head.decode("utf-8-sig", "replace").splitlines()
    first = next((line for line in lines if line.strip()), "")
    return isinstance(_parse(first, 1, None), Line)


def read_lines(data: bytes, file: str, naming: Naming | None, issues: IssueList) -> tuple[list[Line], bool]:
    """The file's objects, and whether every line could be read. A bad line is an issue; the others stand."""
    keypoints = naming.keypoints if naming is not None else None
    lines: list[Line] = []
    complete = True
    for number, text in enumerate(data.decode("utf-8-sig", "replace").splitlines(), 1):
        if not text or text.isspace():
            continue
        parsed = _parse(text, number, keypoints)
        if isinstance(parsed, Line):
            lines.append(parsed)
            continue
        complete = False
        hint = "Correct or delete the line; it was left out."
        issues.add("line-malformed", parsed, file=file, place=f"line {number}", hint=hint)
    return lines, complete


def _parse(text: str, number: int, keypoints: tuple[int, int] | None) -> Line | str:
    """The line, or what is wrong with it."""
    words = text.split()
    if len(words) < 5:
        return f"{len(words)} of the at least 5 numbers that an object has"
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
    if keypoints is not None and count >= (wanted := 4 + keypoints[0] * keypoints[1]) and count - wanted <= 1:
        return Line(number, int(class_id), rest[:wanted], "keypoints", rest[wanted] if count > wanted else None)
    if count in (4, 5):
        return Line(number, int(class_id), rest[:4], "box", rest[4] if count == 5 else None)
    score = rest[-1] if count % 2 else None
    return Line(number, int(class_id), rest if score is None else rest[:-1], "polygon", score)


def rows_of_lines(lines: list[Line], naming: Naming | None, width_px: int, height_px: int) -> list[Row]:
    """Annotations in pixels of the upright picture, ids "0", "1", ... in line order.

    Findings: ``category-undefined`` (class id without a name: the number is its name), ``coordinates-outside``,
    ``box-inverted`` (negative side; taken as positive), ``box-degenerate`` (a side of 0), ``annotation-duplicate``
    (the same numbers as a line before).
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
    if low < -_SLACK or high > 1.0 + _SLACK:
        worst = low if low < -_SLACK else high
        findings.append(_finding("coordinates-outside", line, f"{worst:g} is not from 0 to 1"))
    if line.kind == "polygon":
        xs = [value * width for value in values[0::2]]
        ys = [value * height for value in values[1::2]]
        ring = [value for point in zip(xs, ys, strict=True) for value in point]
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
    step = naming.keypoints[1]
    keypoints = []
    for index, name in enumerate(naming.keypoint_names):
        x, y, *rest = values[4 + index * step : 4 + (index + 1) * step]
        visibility = min(max(round(rest[0]), 0), 2) if rest else (0 if x == y == 0.0 else 2)
        keypoints.append({"name": name, "x": x * width, "y": y * height, "visibility": visibility})
    return {"bbox_xywh_px": box, "keypoints": keypoints}


def _finding(code: str, line: Line, message: str) -> Row:
    return {"code": code, "message": f"line {line.number}: {message}"}


def _short(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:40])
