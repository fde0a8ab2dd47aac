"""What Open Images' machine ids (MIDs, ``/m/01g317``) are called, what stands above them, how large pictures are."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import from_json

from dsetkit.errors import FormatError
from dsetkit.formats.issues import IssueList
from dsetkit.formats.open_images.files import TableFile
from dsetkit.formats.text import read_label_bytes, read_label_text, utf8_json
from dsetkit.spec.category import Category
from dsetkit.storage.tree import Tree

MAX_NAMES_BYTES = 64 * 1024 * 1024
"""The longest list of classes that was published has 0.5 MB."""
MAX_META_BYTES = 2 * 1024**3
_MAX_NAME = 1000
_MAX_DEPTH = 100
_META = re.compile(r'("(?:[^"\\]|\\.)*"|\S+)\s+(\d{1,9})\s+(\d{1,9})\s*\Z')


class ClassNames:
    """Names by machine id, in order of first appearance."""

    def __init__(self, issues: IssueList) -> None:
        self.issues = issues
        self._names: dict[str, str] = {}
        self._above: dict[str, str] = {}

    def name_of(self, mid: str) -> str:
        """What a class is called; its id where nothing says it."""
        return self._names.get(mid, mid)

    def read(self, tree: Tree, files: Iterable[TableFile]) -> None:
        """Lists of classes, those of the boxable ones first, and the hierarchy."""
        given = [file for file in files if file.what in ("classes", "hierarchy")]
        for file in sorted(given, key=lambda file: (file.what, "boxable" not in file.path, file.path.encode())):
            try:
                self._read_list(tree, file.path) if file.what == "classes" else self._read_tree(tree, file.path)
            except FormatError as error:
                hint = error.hint
                self.issues.add("classes-unreadable", error.message, file=file.path, place=error.place, hint=hint)

    def _read_list(self, tree: Tree, path: str) -> None:
        text = read_label_text(tree, path, MAX_NAMES_BYTES)
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            for cells in reader:
                if len(cells) < 2 or cells[:2] == ["LabelName", "DisplayName"] or not cells[0] or not cells[1]:
                    continue
                if max(map(len, cells[:2])) > _MAX_NAME:
                    message = "a name of more than 1,000 characters is no class"
                    place = f"line {reader.line_num}"
                    self.issues.add("class-malformed", message, file=path, place=place, hint="Correct the line.")
                    continue
                self._names.setdefault(cells[0], cells[1])
        except csv.Error as error:
            place = f"line {reader.line_num}"
            hint = "Look for a quote that is not closed."
            raise FormatError(f"{path} is no proper CSV ({error})", file=path, place=place, hint=hint) from None

    def _read_tree(self, tree: Tree, path: str) -> None:
        data = read_label_bytes(tree, path, MAX_NAMES_BYTES)
        try:
            root = from_json(utf8_json(data, path))
        except (ValueError, RecursionError) as error:
            hint = "Get the file again, or exclude it."
            raise FormatError(f"{path} is no JSON ({str(error)[:100]})", file=path, hint=hint) from None
        level: list[tuple[Any, str | None]] = [(root, None)]
        for _ in range(_MAX_DEPTH):
            below: list[tuple[Any, str | None]] = []
            for node, above in level:
                mid = node.get("LabelName") if isinstance(node, dict) else None
                if not isinstance(mid, str):
                    continue
                if above is not None:
                    self._above.setdefault(mid, above)
                children = node.get("Subcategory")
                # What has no name of its own is the root of all ("Entity").
                top = mid if mid in self._names else None
                below += [(child, top) for child in children] if isinstance(children, list) else []
            level = below

    def categories(self, used: Iterable[str]) -> list[Category]:
        """Those that are listed, then others that are ``used`` (ids). Ids of one name share a category."""
        ids: dict[str, list[str]] = {}
        for mid in dict.fromkeys((*self._names, *used)):
            ids.setdefault(self.name_of(mid), []).append(mid)
        above = {self.name_of(mid): self.name_of(parent) for mid, parent in self._above.items()}
        for name, mids in ids.items():
            if len(mids) > 1:
                message = f"{', '.join(mids[:3])} are all called {name[:60]!r}; they are one category"
                hint = "Give them names of their own in the list of classes, where they are to stay apart."
                self.issues.add("class-name-shared", message, severity="info", hint=hint)
        return [
            Category(
                name=name,
                index=index,
                source_ids=() if mids == [name] else tuple(mids),
                supercategory=above.get(name) if above.get(name) != name else None,
            )
            for index, (name, mids) in enumerate(ids.items())
        ]


def read_sizes(tree: Tree, files: Iterable[TableFile], issues: IssueList) -> Mapping[str, tuple[int, int]]:
    """Width and height, pixels, by image id, as ``images.meta`` says them."""
    sizes: dict[str, tuple[int, int]] = {}
    for path in (file.path for file in files if file.what == "meta"):
        if tree.entries[path].size_bytes == 0:
            continue
        try:
            text = read_label_text(tree, path, MAX_META_BYTES)
        except FormatError as error:
            issues.add("sizes-unreadable", error.message, severity="warning", file=path, hint=error.hint)
            continue
        for number, line in enumerate(text.split("\n"), 1):
            plain = line.strip()
            if not plain or plain.startswith("#"):
                continue
            found = _META.match(plain)
            height, width = (int(found[2]), int(found[3])) if found else (0, 0)
            if not found or not height or not width:
                message = "a line is not: image id, height, width"
                hint = "Correct the line; it was passed over."
                place = f"line {number}"
                issues.add("sizes-malformed", message, severity="warning", file=path, place=place, hint=hint)
                continue
            name = found[1]
            if name.startswith('"'):
                name = re.sub(r"\\(.)", r"\1", name[1:-1])
            sizes.setdefault(name, (width, height))
    return sizes


def meta_line(image_id: str, width_px: int, height_px: int) -> str:
    """One line of ``images.meta``."""
    quoted = image_id.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}" {height_px} {width_px}\n'
