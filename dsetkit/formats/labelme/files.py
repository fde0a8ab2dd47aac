"""Which files of a tree are LabelMe's: JSON files, lists of names, pictures inside JSON files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from dsetkit.errors import FormatError
from dsetkit.formats.issues import IssueList
from dsetkit.formats.matching import without_extension
from dsetkit.formats.text import read_label_text
from dsetkit.imaging.media import PICTURE_EXTENSIONS
from dsetkit.storage.tree import Tree

HEAD_BYTES = 4096
MAX_JSON_BYTES = 512 * 1024**2
"""A larger file is not read: real ones have some kilobytes, and the size of a picture where one is inside."""
LISTS = ("labels.txt", "flags.txt")
"""What LabelMe's own examples call the lists they hand to ``--labels`` and ``--flags``."""
NO_CATEGORIES = frozenset({"__ignore__", "_background_"})
"""Names in a list that stand for no category (LabelMe's converters)."""

_SHAPES = re.compile(rb'"shapes"\s*:\s*\[')
_OURS = re.compile(rb'"(?:imagePath|imageData|imageHeight|shape_type|flags|lineColor)"\s*:|"points"\s*:\s*\[\s*\[')
_DATA_FIRST = re.compile(rb'\{\s*"(?:imageData|imagePath)"\s*:\s*"')  # sorted keys, as some scripts write
_MAX_LIST_BYTES = 4 * 1024 * 1024
_MAX_NAME = 1000


def json_files(tree: Tree) -> list[str]:
    """All paths that end in ``.json``, in any case."""
    return [path for path in tree.entries if path.lower().endswith(".json")]


def looks_like_labelme(head: bytes) -> bool:
    """Whether the beginning of a file is a LabelMe document's."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head[2:].replace(b"\x00", b"")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text.startswith(b"{"):
        return False
    return bool(_DATA_FIRST.match(text) or (_SHAPES.search(text) and _OURS.search(text)))


def label_files(tree: Tree) -> list[str]:
    """JSON files that look like LabelMe's, and those that are called like a picture beside them.

    A damaged file is among them, so that it is told of rather than taken for no labels.
    """
    stems = {without_extension(path) for path in tree.entries if _extension(path) in PICTURE_EXTENSIONS}
    found = []
    for path in json_files(tree):
        if without_extension(path) in stems or looks_like_labelme(tree.read_head(path, HEAD_BYTES)):
            found.append(path)
    return found


def list_files(tree: Tree, labels: Iterable[str]) -> list[str]:
    """Lists of names in the folders of label files and in those above them, labels before flags."""
    folders = {""}
    for path in labels:
        folder = path.rpartition("/")[0]
        while folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    paths = [path for path in tree.entries if path.rpartition("/")[2].lower() in LISTS]
    paths = [path for path in paths if path.rpartition("/")[0] in folders]
    return sorted(paths, key=lambda path: (LISTS.index(path.rpartition("/")[2].lower()), path.encode()))


def read_lists(tree: Tree, paths: Iterable[str], issues: IssueList) -> Iterator[str]:
    """The names in lists, one a line, as LabelMe reads them (without space around)."""
    for path in paths:
        if tree.entries[path].size_bytes == 0:
            continue
        try:
            text = read_label_text(tree, path, _MAX_LIST_BYTES)
        except FormatError as error:
            issues.add("list-unreadable", error.message, severity="warning", file=path, hint=error.hint)
            continue
        for number, line in enumerate(text.split("\n"), 1):
            name = line.strip()
            if len(name) > _MAX_NAME or not (name.isprintable() or not name):
                message = "a line that is too long or not printable is no category"
                hint = "Check the list; the line was left out."
                issues.add("list-malformed", message, severity="warning", file=path, place=f"line {number}", hint=hint)
            elif name and name not in NO_CATEGORIES:
                yield name


def _extension(path: str) -> str:
    stem, dot, extension = path.rpartition("/")[2].rpartition(".")
    return f".{extension.lower()}" if dot and stem else ""
