"""Labelbox's files: which they are, and the records in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import from_json

from dsetkit.formats.issues import IssueList
from dsetkit.formats.json_text import no_json
from dsetkit.formats.matching import extension_of_path
from dsetkit.formats.text import read_label_bytes, utf8_json

if TYPE_CHECKING:
    from dsetkit.storage.tree import Tree

EXTENSIONS = frozenset({".json", ".jsonl", ".ndjson"})
Dialect = Literal["export", "import", "v1"]
WHAT: dict[Dialect, str] = {
    "export": "data rows and projects, as Labelbox exports them",
    "import": "annotations with a dataRow, as Labelbox imports them",
    "v1": "Labeled Data and Label, as Labelbox exported them before 2023",
}

_HEAD_BYTES = 64 * 1024
_EXPORT = re.compile(rb'"data_row"\s*:\s*\{')
_IMPORT = re.compile(rb'"dataRow"\s*:\s*\{')
_V1 = re.compile(rb'"(?:Labeled Data|DataRow ID)"\s*:')


def find_files(tree: Tree) -> Iterator[tuple[str, Dialect]]:
    """Paths of Labelbox's files, each with its dialect. Reads the beginning of each JSON file."""
    for path in tree.entries:
        if extension_of_path(path) in EXTENSIONS:
            dialect = dialect_of(tree.read_head(path, _HEAD_BYTES))
            if dialect is not None:
                yield path, dialect


def dialect_of(head: bytes) -> Dialect | None:
    """What the beginning of a file is of; None if it is not Labelbox's."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head[2:].replace(b"\x00", b"")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith((b"{", b"[")):
        return None
    first = [(found.start(), dialect) for dialect, found in _marks(text) if found is not None]
    return min(first)[1] if first else None


def _marks(text: bytes) -> list[tuple[Dialect, re.Match[bytes] | None]]:
    return [("export", _EXPORT.search(text)), ("import", _IMPORT.search(text)), ("v1", _V1.search(text))]


def records(tree: Tree, path: str, issues: IssueList) -> Iterator[tuple[str, dict[str, Any]]]:
    """The records of a file, each with its place: a line of NDJSON, an element of a list, or the one document.

    A line that is no JSON is an issue. Raises ``FormatError`` where there is no JSON at all.
    """
    data = utf8_json(read_label_bytes(tree, path), path).strip()
    values: list[tuple[str, Any]] = []
    if not data.startswith(b"["):
        first, _, more = data.partition(b"\n")
        if _load(first) is not None or (more and _load(more.partition(b"\n")[0]) is not None):
            yield from _lines(data, path, issues)
            return
    try:
        document = from_json(data)
    except (ValueError, RecursionError) as error:
        raise no_json(path, str(error)) from None
    if isinstance(document, list):
        values = [(f"[{index}]", value) for index, value in enumerate(document)]
    else:
        values = [("", document)]
    for place, value in values:
        if isinstance(value, dict):
            yield place, value
        else:
            _not_a_record(path, place, "it is no object", issues)


def _lines(data: bytes, path: str, issues: IssueList) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        value = _load(line)
        if isinstance(value, dict):
            yield f"line {number}", value
        else:
            said = "it is no JSON" if value is None else "it is no object"
            _not_a_record(path, f"line {number}", said, issues)


def _not_a_record(path: str, place: str, said: str, issues: IssueList) -> None:
    hint = "The file may be cut off; get it again or correct it there."
    issues.add("record-malformed", f"{said}; it was left out", file=path, place=place, hint=hint)


def _load(line: bytes) -> Any:
    """The JSON value of a line; None where it is none."""
    try:
        return from_json(line)
    except (ValueError, RecursionError):
        return None
