"""One DOTA label file, read: facts of the picture on top, then a line an object.

``imagesource:GoogleEarth``, ``gsd:0.1463`` (metres a pixel; ``null`` where nobody knows), then
``x1 y1 x2 y2 x3 y3 x4 y4 category difficult``: four corners in pixels. ``difficult`` (0, 1; 2 in later editions for
what is too small) may be left out.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from dsetkit.formats.issues import IssueList
from dsetkit.formats.quads import quad_shape
from dsetkit.spec.arrow import Row

HEADERS = ("imagesource", "gsd")
_HEADER = re.compile(r"\s*(imagesource|gsd)\s*:(.*)", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DIGITS = re.compile(r"\d{1,3}", re.ASCII)
_UNKNOWN = frozenset({"", "null", "none", "nan", "unknown"})
LIMIT_PX = 1e9


class Line(NamedTuple):
    """One object as written."""

    number: int
    """Of the line, from 1."""
    corners: tuple[float, ...]
    category: str
    difficult: int


def looks_like_dota(head: bytes, *, is_cut: bool = False) -> str | None:
    """What of DOTA is seen in the beginning of a file; None if it does not look like it."""
    lines = head.decode("utf-8-sig", "replace").splitlines()
    lines = [line for line in (lines[:-1] if is_cut else lines) if line.strip()]
    headers = 0
    for line in lines:
        if _HEADER.fullmatch(line):
            headers += 1
            continue
        parsed = _parse(line, 1)
        # A number alone may be a category, but then the line is anything's.
        fits = isinstance(parsed, Line) and (headers or not _NUMBER.fullmatch(parsed.category))
        return "lines 'x1 y1 ... x4 y4 category difficult'" if fits else None
    return "imagesource and gsd" if headers == len(HEADERS) else None


def read_text(text: str, file: str, issues: IssueList) -> tuple[Row, list[Line]]:
    """The row of a label file without its key and annotations, and its objects. A bad line is an issue."""
    row: Row = {"labelled": "yes"}
    facts: Row = {}
    lines: list[Line] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        header = _HEADER.fullmatch(line)
        if header is not None:
            _read_header(header[1].lower(), header[2].strip(), facts, file, number, issues)
            continue
        parsed = _parse(line, number)
        if isinstance(parsed, Line):
            lines.append(parsed)
            continue
        row["labelled"] = "partial"
        hint = "Correct or delete the line; it was left out."
        issues.add("line-malformed", parsed, file=file, place=f"line {number}", hint=hint)
    return row | ({"attributes": facts} if facts else {}), lines


def rows_of_lines(lines: list[Line]) -> list[Row]:
    """Annotations, ids "0", "1", ... in line order: rotated boxes where four corners are one, else polygons.

    Findings: ``box-degenerate`` (a side of 0), ``annotation-duplicate`` (the same as a line before).
    """
    seen: dict[tuple[str, tuple[float, ...]], int] = {}
    rows: list[Row] = []
    for line in lines:
        findings: list[Row] = []
        row: Row = {"id": str(len(rows)), "category": line.category, **quad_shape(line.corners)}
        before = seen.setdefault((line.category, line.corners), line.number)
        if before != line.number:
            message = f"line {line.number}: the same as line {before}"
            findings.append({"code": "annotation-duplicate", "message": message})
        box = row.get("rotated_box")
        if box is not None and min(box["w"], box["h"]) == 0.0:
            message = f"line {line.number}: width {box['w']:g}, height {box['h']:g}"
            findings.append({"code": "box-degenerate", "message": message})
        if line.difficult:
            row["attributes"] = {"difficult": True}
        if line.difficult > 1:
            row["extras"] = {"dota": {"difficult": line.difficult}}
        rows.append(row | ({"issues": findings} if findings else {}))
    return rows


def _read_header(name: str, value: str, facts: Row, file: str, number: int, issues: IssueList) -> None:
    if value.lower() in _UNKNOWN:
        return
    if name == "imagesource":
        facts[name] = value
        return
    if _NUMBER.fullmatch(value) and len(value) < 64 and 0 < float(value) < LIMIT_PX:
        facts[name] = float(value)
        return
    hint = "Write metres a pixel, or null."
    message = f"gsd is {short(value)!r}, which is no length; it was left out"
    issues.add("header-malformed", message, severity="warning", file=file, place=f"line {number}", hint=hint)


def _parse(text: str, number: int) -> Line | str:
    """The line, or what is wrong with it."""
    words = text.split()
    if len(words) < 9:
        return f"{len(words)} words, where eight numbers and a category are the least"
    corners: list[float] = []
    for word in words[:8]:
        value = number_of(word)
        if value is None:
            return f"{short(word)!r} is not a usable number"
        corners.append(value)
    rest = words[8:]
    difficult = 0
    if len(rest) > 1 and _DIGITS.fullmatch(rest[-1]):
        difficult = int(rest.pop())
    category = " ".join(rest)
    if all(map(_NUMBER.fullmatch, rest)) and not (len(rest) == 1 and len(words) == 10):
        return f"{len(words)} numbers and no category"
    return Line(number, tuple(corners), category, difficult)


def number_of(word: str) -> float | None:
    """A number that is written in full and may be a coordinate; None for another word."""
    value = float(word) if len(word) < 64 and _NUMBER.fullmatch(word) else math.nan
    return value if abs(value) < LIMIT_PX else None


def short(text: str) -> str:
    """A word for a message: its beginning, without what cannot be printed."""
    return "".join(c if c.isprintable() else "?" for c in text[:40])
