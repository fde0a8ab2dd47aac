"""Lists of pictures with their classes: ``<path> <class> [<class> ...]`` a line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dsetkit.errors import FormatError
from dsetkit.formats.base import SUBSET_NAMES
from dsetkit.formats.imagenet_txt.names import MAX_NAME, name_files
from dsetkit.formats.matching import extension_of_path, subset_of_folders
from dsetkit.formats.text import decode
from dsetkit.imaging.media import PICTURE_EXTENSIONS
from dsetkit.storage.tree import Tree

HEAD_BYTES = 16 * 1024
NO_SPLIT = "default"
"""The list of what is in no split, also Datumaro's; no subset."""
DELIMITERS = {"space": None, "tab": "\t", "comma": ",", "semicolon": ";"}

_GENERAL = frozenset(
    {NO_SPLIT, "list", "images", "image_list", "img_list", "filelist", "files", "data", "all", "index"}
)
_PATH = re.compile(
    r"(?P<path>.*?\.(?:" + "|".join(sorted(item[1:] for item in PICTURE_EXTENSIONS)) + r"))(?=[\s,;]|\Z)", re.IGNORECASE
)
_SEPARATOR = re.compile(r"[\s,;]+")
_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_TRUTH = re.compile(r"validation_ground_truth.*\.txt\Z", re.IGNORECASE)


class Line(NamedTuple):
    """One picture of a list."""

    number: int
    path: str
    classes: tuple[str, ...]
    """As they stand: numbers, or names."""


class ListFile(NamedTuple):
    """A file that looks like a list, by its beginning."""

    path: str
    lines: tuple[Line, ...]
    """The first ones."""
    is_numbered: bool
    """Whether all that stands behind paths is a number."""

    @property
    def says_classes(self) -> bool:
        """Whether anything stands behind paths."""
        return any(line.classes for line in self.lines)


def list_files(tree: Tree) -> list[ListFile]:
    """The ``.txt`` files whose first lines are the path of a picture and what it shows, sorted by path.

    Where one says what pictures show, or a list of classes is there, also those of paths alone.
    """
    aside = set(name_files(tree))
    found = []
    for path in tree.entries:
        if extension_of_path(path) not in (".txt", ".lst") or path in aside or not tree.entries[path].size_bytes:
            continue
        head = tree.read_head(path, HEAD_BYTES)
        cut = head.rpartition(b"\n")[0] if len(head) == HEAD_BYTES else head
        try:
            text = decode(cut, path)
        except FormatError:
            continue
        raw = [line for line in text.splitlines() if line.strip()][:100]
        lines = [parse_line(line, number, strict=True) for number, line in enumerate(raw, 1)]
        there = tuple(line for line in lines if line is not None)
        if there and len(there) == len(raw):
            numbered = all(_NUMBER.fullmatch(item) for line in there for item in line.classes)
            found.append(ListFile(path, there, numbered))
    return found if aside or any(file.says_classes for file in found) else []


def truth_files(tree: Tree) -> list[str]:
    """The devkit's truth of the validation set: a number a line, in the order of the pictures' names."""
    return [path for path in tree.entries if _TRUTH.search(path.rpartition("/")[2])]


def parse_line(line: str, number: int, delimiter: str | None = None, *, strict: bool = False) -> Line | None:
    """A line; None for one that names no picture.

    The path ends with its extension, or stands in quotes. Classes are parted by white space, commas or semicolons where
    they are numbers; a name is all that is left. ``strict``: a path with white space and no number behind it is none,
    unless it stands in quotes; it could be any sentence.

    >>> parse_line('"a b.jpg" 3 5', 1)
    Line(number=1, path='a b.jpg', classes=('3', '5'))
    """
    plain = line.strip()
    if delimiter is not None:
        path, _, rest = plain.partition(delimiter)
        return _made(number, path.strip().strip('"'), rest.split(delimiter) if rest else ())
    if plain.startswith('"'):
        path, quote, rest = plain[1:].partition('"')
        if not quote:
            return None
    else:
        found = _PATH.match(plain)
        if found is None:
            return None
        path, rest = found["path"], plain[found.end() :]
    is_loose = not plain.startswith('"') and "\t" not in plain and " " in path
    rest = rest.strip(" \t,;")
    parts = _SEPARATOR.split(rest) if rest else []
    if all(map(_NUMBER.fullmatch, parts)) and not (strict and is_loose and not parts):
        return _made(number, path, parts)
    return None if is_loose else _made(number, path, [rest])


def _made(number: int, path: str, classes: Sequence[str]) -> Line | None:
    said = tuple(stripped for item in classes if (stripped := item.strip()))
    if not path or any(len(item) > MAX_NAME or not item.isprintable() for item in said):
        return None
    return Line(number, path, said)


def is_running(lines: Iterable[Line]) -> bool:
    """Whether numbers are those of their lines, as in ImageNet's ``ImageSets``: then they are no classes."""
    numbers = [line.classes for line in lines]
    return len(numbers) >= 3 and all(item == (str(number),) for number, item in enumerate(numbers, 1))


def subset_of(path: str) -> str | None:
    """The subset by a list's name: the one word in it that names one, else the whole name, if it is no general one.

    >>> subset_of("meta/train_list.txt"), subset_of("fold 1.txt"), subset_of("default.txt")
    ('train', 'fold 1', None)
    """
    stem = path.rpartition("/")[2].rpartition(".")[0]
    words = [word for word in re.split(r"[\W_]+", stem.lower()) if word in SUBSET_NAMES]
    if len(words) == 1:
        return subset_of_folders(f"{words[0]}/x")
    return None if stem.lower() in _GENERAL or not stem else stem
