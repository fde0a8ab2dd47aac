"""Rows into DOTA label files."""

from __future__ import annotations

import re
from typing import Any

from dsetkit.formats.base import Export
from dsetkit.formats.capabilities import Capabilities
from dsetkit.formats.carry import carry_categories, carry_row, split_of, withdraw_labelled
from dsetkit.formats.dota.text import LIMIT_PX, Line, rows_of_lines
from dsetkit.formats.flat_names import FlatNames
from dsetkit.formats.loss import Ledger
from dsetkit.formats.matching import subset_of_folders
from dsetkit.formats.places import Places, safe_part
from dsetkit.formats.quads import as_quad, corners_of
from dsetkit.spec.arrow import Row

_BLANK = re.compile(r"[\s\x00-\x1f\x7f]+")


class DotaPlan:
    """Names of pictures, folders and categories."""

    def __init__(self, export: Export, capabilities: Capabilities, ledger: Ledger) -> None:
        self.capabilities = capabilities
        self.categories = _words(category.name for category in carry_categories(export, capabilities, ledger))
        self.names = FlatNames(export.rows())
        places = Places()
        for reserved in ("images", "labelTxt"):
            places.take(reserved)
        splits = {split for row in export.rows() if (split := split_of(row)) is not None}
        self.folders = {split: f"{places.take(safe_part(split))}/" for split in sorted(splits, key=str.encode)}

    def folder_of(self, row: Row) -> str:
        """The folder of a row's split, with ``/`` behind it; empty where it has none."""
        split = split_of(row)
        return "" if split is None else self.folders[split]


def render(row: Row, plan: DotaPlan, ledger: Ledger) -> tuple[Row, str | None]:
    """The row as read back, and its label file; None where nobody labelled it."""
    key = row["key"]
    given = row
    if row.get("annotations"):
        given = {**row, "annotations": [as_quad(item, ledger, f"{key}#{item['id']}") for item in row["annotations"]]}
    out = carry_row(given, plan.capabilities, ledger)
    out["key"] = f"{plan.folder_of(row)}images/{plan.names.picture(row)}"
    _carry_split(out, plan.folder_of(row), key, ledger)
    facts = out.pop("attributes", {})
    lines = _lines(out.pop("annotations", []), plan, key, ledger)
    if row.get("annotations") and not lines:
        withdraw_labelled(row, out, ledger)
    headers = _headers(facts, key, ledger)
    if out.get("labelled") is None:
        if headers:
            message = "a picture nobody labelled has no file, so its facts are left out"
            ledger.add("attribute-dropped", message, key)
        return out, None
    if headers:
        out["attributes"] = headers
    if lines:
        out["annotations"] = rows_of_lines(lines)
    text = "".join(f"{name}:{_number(value)}\n" for name, value in headers.items())
    return out, text + "".join(_text(line) for line in lines)


def _carry_split(out: Row, folder: str, key: str, ledger: Ledger) -> None:
    subset = out.pop("subsets", (None,))[0]
    said = subset_of_folders(f"{folder}images/x")
    if subset is not None and said is None:
        message = "a folder is read as a split only where it is called train, val, test or trainval"
        ledger.add("split-dropped", f"{message}; others are left out", key)
    elif subset is not None and said != subset:
        ledger.add("split-renamed", f"the split {subset!r} is called {said!r} here", key, severity="info")
    if said is not None:
        out["subsets"] = (said,)


def _headers(facts: Row, key: str, ledger: Ledger) -> dict[str, Any]:
    """``imagesource`` and ``gsd``; other facts have no place."""
    kept: dict[str, Any] = {}
    source, gsd = facts.get("imagesource"), facts.get("gsd")
    if isinstance(source, str) and source == _BLANK.sub(" ", source).strip() and source.lower() not in _NOTHING:
        kept["imagesource"] = source
    if isinstance(gsd, int | float) and not isinstance(gsd, bool) and 0 < gsd < LIMIT_PX:
        kept["gsd"] = float(gsd)
    for name in facts:
        if name not in kept:
            message = f"dota has no place for the attribute {name!r} of a sample; not written"
            ledger.add("attribute-dropped", message, key)
    return kept


_NOTHING = frozenset({"", "null", "none", "nan", "unknown"})


def _lines(annotations: list[Row], plan: DotaPlan, key: str, ledger: Ledger) -> list[Line]:
    lines: list[Line] = []
    for annotation in annotations:
        where = f"{key}#{annotation['id']}"
        corners = tuple(map(float, corners_of(annotation)))
        if not corners or not all(abs(value) < LIMIT_PX for value in corners):
            message = "shapes that cannot be read back are left out (no four corners, or numbers that are none)"
            ledger.add("shape-broken", message, where)
            continue
        name = annotation["category"]
        if name not in plan.categories:
            message = "their category is not in the list of categories; such annotations are left out"
            ledger.add("category-unknown", message, where)
            continue
        if plan.categories[name] != name:
            message = f"dota's category is one word: {name!r} becomes {plan.categories[name]!r}"
            ledger.add("category-renamed", message, where)
        difficult = _difficult(annotation, where, ledger)
        lines.append(Line(len(lines) + 1, corners, plan.categories[name], difficult))
    for index, found in enumerate(rows_of_lines(lines)):
        if any(finding["code"] == "annotation-duplicate" for finding in found.get("issues", ())):
            message = "a line that says the same as one before it is read back as a duplicate"
            ledger.add("annotation-duplicate", message, f"{key}#{index}", severity="info")
    return lines


def _difficult(annotation: Row, where: str, ledger: Ledger) -> int:
    given = annotation.get("attributes", {}).get("difficult", False)
    own = annotation.get("extras", {}).get("dota", {})
    own = own.get("difficult") if isinstance(own, dict) else None
    if given is True:
        return own if type(own) is int and 1 <= own <= 999 else 1
    if "difficult" in annotation.get("attributes", {}):
        message = "what is not difficult is read back without a word on it"
        severe = given is not False
        message = "difficult is yes or no; another value is left out" if severe else message
        ledger.add("attribute-dropped", message, where, severity="warning" if severe else "info")
    return 0


def _words(names: Any) -> dict[str, str]:
    """Name → one word, all different; those that are one already stay."""
    given = list(names)
    words: dict[str, str] = {name: name for name in given if not _BLANK.search(name)}
    taken = set(words)
    for name in given:
        if name in words:
            continue
        base = _BLANK.sub("-", name.strip()).strip("-") or "_"
        word, number = base, 2
        while word in taken:
            word, number = f"{base}-{number}", number + 1
        taken.add(word)
        words[name] = word
    return words


def _text(line: Line) -> str:
    return " ".join((*map(_number, line.corners), line.category, str(line.difficult))) + "\n"


def _number(value: Any) -> str:
    """The shortest digits that give the same float back; whole numbers without a point."""
    if not isinstance(value, float):
        return str(value)
    return str(int(value)) if value.is_integer() else repr(value)
