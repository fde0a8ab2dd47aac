"""What ImageNet's classes are called: lists of names, of synsets with words, and the devkit's numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from dsetkit.errors import FormatError
from dsetkit.formats.issues import IssueList
from dsetkit.formats.text import read_label_text
from dsetkit.spec.category import Category
from dsetkit.storage.tree import Tree

SYNSET = re.compile(r"n\d{8}", re.ASCII)
"""A WordNet id, as ImageNet calls its classes and their folders."""
MAX_NAMES_BYTES = 64 * 1024 * 1024
MAX_NAME = 1000
WORDS = ("words", "first", "synset")
"""What a class is called where a list gives a synset and its words."""

_LISTS = re.compile(
    r"(?:synsets?|synset_words|labels?|classes|class_names|imagenet_classes|loc_synset_mapping|categories)"
    r"(?:[-_]\w+)?\.txt\Z",
    re.IGNORECASE,
)
_NUMBERED = "map_clsloc.txt"
_WORDS = "words.txt"
_WITH_WORDS = re.compile(r"(n\d{8})[\s,:]+(\S.*)\Z", re.ASCII)
_CLSLOC = re.compile(r"(n\d{8})\s+(\d{1,6})\s+(\S.*)\Z", re.ASCII)


class ClassNames:
    """The classes that a tree lists."""

    def __init__(self, words: str = "words") -> None:
        self.listed: list[str] = []
        """Name by index, in the order of the list."""
        self.synsets: dict[str, str] = {}
        """Synset → name."""
        self.numbers: dict[int, str] = {}
        """The devkit's number (from 1) → synset."""
        self.ids: dict[str, str] = {}
        """Name → synset, where there is one."""
        self._words = words
        self._taken: set[str] = set()

    def name_of(self, synset: str) -> str:
        """What a synset, or the folder of a class, is called."""
        return self.synsets.get(synset, synset)

    def add_synset(self, synset: str, said: str) -> str:
        """The name of a synset of which a list gives the words. Of two of one name the second has its synset in it."""
        if synset not in self.synsets:
            name = {"words": said, "first": said.split(",")[0].strip() or said, "synset": synset}[self._words]
            self._note(name, synset, synset)
        return self.synsets[synset]

    def add_line(self, line: str) -> None:
        """One line of a list; a line that is empty, or a name again, keeps its number."""
        number = str(len(self.listed))
        synset, said = parse_line(line)
        name = said or number
        if synset is not None and synset not in self.synsets:
            name = self.add_synset(synset, said)
        else:
            name = self._note(name, number, name if SYNSET.fullmatch(name) else None)
        self.listed.append(name)

    def _note(self, name: str, other: str, synset: str | None) -> str:
        while name in self._taken:  # "crane" is a bird, and a machine
            name = f"{name} ({other})"
        self._taken.add(name)
        if synset is not None:
            self.synsets.setdefault(synset, name)
            self.ids[name] = synset
        return name

    def categories(self, used: Iterable[str]) -> list[Category]:
        """Those that are listed, then those that are used: numbers in their order, others by name."""
        rest = sorted(set(used) - set(self.listed), key=lambda name: (not name.isdecimal(), _number(name), name))
        return [
            Category(name=name, index=index, source_ids=(self.ids[name],) if name in self.ids else ())
            for index, name in enumerate((*self.listed, *rest))
        ]


def is_name_file(path: str) -> bool:
    """Whether a file is called like a list of classes, or one of the devkit's."""
    return bool(_LISTS.match(path.rpartition("/")[2])) or is_devkit_file(path)


def name_files(tree: Tree) -> list[str]:
    """Lists of classes by their usual names, the likeliest first (nearest to the root), and the devkit's."""
    named = [path for path in tree.entries if is_name_file(path)]
    return sorted(named, key=lambda path: (is_devkit_file(path), path.count("/"), _rank(path), path.encode()))


def is_devkit_file(path: str) -> bool:
    """Whether a file says what synsets are called, and not which classes there are."""
    return path.rpartition("/")[2] in (_NUMBERED, _WORDS)


def read_names(tree: Tree, listed: str | None, more: Iterable[str], words: str, issues: IssueList) -> ClassNames:
    """The classes of one list, where there is one, and what the devkit's files say of synsets. ``words``: ``WORDS``."""
    names = ClassNames(words)
    for path in more if listed is None else (listed, *more):
        try:
            lines = [line.strip() for line in read_label_text(tree, path, MAX_NAMES_BYTES).splitlines()]
            _check(lines, path)
        except FormatError as error:
            issues.add("names-unreadable", error.message, file=path, place=error.place, hint=error.hint)
            continue
        base = path.rpartition("/")[2]
        if path != listed and base == _NUMBERED:
            for found in filter(None, map(_CLSLOC.match, lines)):
                names.numbers.setdefault(int(found[2]), found[1])
                names.add_synset(found[1], found[3].replace("_", " "))
        elif path != listed and base == _WORDS:
            for found in filter(None, map(_WITH_WORDS.match, lines)):
                names.add_synset(found[1], found[2])
        else:
            while lines and not lines[-1]:
                lines.pop()
            for line in lines:
                names.add_line(line)
    return names


def parse_line(line: str) -> tuple[str | None, str]:
    """Synset, if there is one, and words of a line of a list.

    >>> parse_line("n01440764 tench, Tinca tinca"), parse_line("golden retriever")
    (('n01440764', 'tench, Tinca tinca'), (None, 'golden retriever'))
    """
    found = _WITH_WORDS.match(line)
    return (found[1], found[2]) if found else (None, line)


def _check(lines: list[str], path: str) -> None:
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_NAME or not (line.replace("\t", " ").isprintable() or not line):
            raise FormatError(
                f"{path} has a line that is too long or not printable, so it is no list of classes",
                file=path,
                place=f"line {number}",
                hint="Correct the line, or name another list by the option labels.",
            )


def _rank(path: str) -> int:
    name = path.rpartition("/")[2].lower()
    known = ("synsets.txt", "loc_synset_mapping.txt", "synset_words.txt")
    return known.index(name) if name in known else len(known)


def _number(name: str) -> int:
    return int(name) if name.isdecimal() and len(name) < 10 else 0


def synsets_of(categories: Iterable[Category]) -> Mapping[str, str]:
    """The synset of each category that has one among its ``source_ids``; each synset once."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for category in categories:
        own = next((item for item in category.source_ids if SYNSET.fullmatch(item) and item not in taken), None)
        if own is not None:
            found[category.name] = own
            taken.add(own)
    return found
