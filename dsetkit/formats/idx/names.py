"""What label numbers are called: by an option, or by a file beside them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats.base import Options
from dsetkit.formats.text import read_label_text
from dsetkit.storage.tree import Tree

_LISTS = frozenset({"labels.txt", "classes.txt", "label_names.txt", "class_names.txt", "classnames.txt"})
_MAPPING = re.compile(r"(?i)(.*)[-_]mapping\.txt$")
_MAX_LIST_BYTES = 1024 * 1024
_MOST = 256
"""How many names there are at most; a label is one byte, mostly."""


def check_names(options: Options) -> tuple[str, ...] | None:
    """The names that the option gives: a list, or one text with commas. Raises ``UsageError`` for anything else."""
    given = options.get("names")
    if given is None:
        return None
    names = [name.strip() for name in given.split(",")] if isinstance(given, str) else given
    fits = isinstance(names, list | tuple) and all(isinstance(name, str) and name.strip() for name in names)
    if not fits or len(set(names)) < len(names) or not 0 < len(names) <= _MOST:
        raise UsageError(
            f"the option names is {str(given)[:80]!r}",
            hint="Give at most 256 different names, in the order of label numbers from 0.",
        )
    return tuple(names)


def name_lists(tree: Tree, paths: Iterable[str]) -> list[str]:
    """Files in the folders of these files or sets that say what labels are called."""
    folders = {path.rpartition("/")[0] for path in paths}
    found = []
    for path in tree.entries:
        folder, _, name = path.rpartition("/")
        if folder in folders and (name.lower() in _LISTS or _MAPPING.search(name)):
            found.append(path)
    return found


def listed_names(tree: Tree, name: str, refused: list[FormatError]) -> dict[int, str]:
    """The names in a file beside the set: EMNIST's mapping of the set, else a list. What is none is refused."""
    own, paths = name.rpartition("/")[2], name_lists(tree, [name])
    mapped = [path for path in paths if (found := _MAPPING.search(path.rpartition("/")[2])) and _of(found[1], own)]
    for path in (*mapped, *(path for path in paths if not _MAPPING.search(path))):
        try:
            text = read_label_text(tree, path, _MAX_LIST_BYTES)
            return _mapping(text, path) if path in mapped else _list(text, path)
        except FormatError as error:
            refused.append(error)
    return {}


def _of(mapping: str, name: str) -> bool:
    """Whether a mapping's name is a set's: ``emnist-letters`` and ``emnist-letters-train``."""
    return name.lower().startswith(mapping.lower())


def _mapping(text: str, path: str) -> dict[int, str]:
    """EMNIST's: a label number a line, then the codes of the characters that it stands for."""
    names: dict[int, str] = {}
    for line, content in enumerate(text.splitlines(), 1):
        if not content.strip():
            continue
        words = content.split()
        numbers = [int(word) for word in words if re.fullmatch(r"[0-9]{1,6}", word)]
        if len(numbers) != len(words) or len(numbers) < 2 or not 0 <= numbers[0] < _MOST or numbers[0] in names:
            raise _no_list(path, line, "is no label and its character codes")
        codes = numbers[1:]
        if any(not 32 < code < 0x110000 or 0xD800 <= code < 0xE000 for code in codes):
            raise _no_list(path, line, "has a code of no character")
        names[numbers[0]] = "".join(map(chr, codes))
    if len(set(names.values())) < len(names):
        raise _no_list(path, 1, "and others call two labels the same")
    return names


def _list(text: str, path: str) -> dict[int, str]:
    names = [line.strip() for line in text.rstrip().splitlines()]
    for line, name in enumerate(names, 1):
        if not name or names.index(name) < line - 1 or line > _MOST:
            raise _no_list(path, line, "is empty, there twice, or too much for labels of one byte")
    return dict(enumerate(names))


def _no_list(path: str, line: int, what: str) -> FormatError:
    return FormatError(
        f"line {line} of {path} {what}",
        file=path,
        place=f"line {line}",
        hint="Correct it, or give the names by the option names.",
    )
