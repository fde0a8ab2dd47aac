"""Text on a card: what comes from people and from data, made safe for Markdown and YAML, and titles."""

from __future__ import annotations

import re
from typing import Any

from dsetkit.report.facts.collect import SnapshotFacts
from dsetkit.report.words import KINDS, counted
from dsetkit.spec.card import DatasetCard
from dsetkit.spec.snapshot import SnapshotInfo

NOT_STATED = "Not stated."

_MARKS = re.compile(r"([\\`*_\[\]<>|~&$!#{}])")
_LINE_START = re.compile(r"^(\d*)([-+=:.)])(?=[-=\s]|$)")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*(?:[./][A-Za-z0-9_-]+)*\Z")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""What YAML 1.1 takes for something else than text."""

_JOINERS = "\u200c\u200d"  # part of how Persian, Hindi and emoji are written


def visible(text: str) -> str:
    """The text without what no eye sees: control and direction-changing characters become U+FFFD."""
    return "".join(
        character if character.isprintable() or character in _JOINERS else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )


def inline(text: str) -> str:
    """One line of Markdown that shows ``text`` as it is: in a paragraph, a heading, a list or a cell of a table."""
    line = visible(" ".join(text.split()))
    return _LINE_START.sub(r"\1\\\2", _MARKS.sub(r"\\\1", line))  # "- " and "1. " would begin a list


def block(text: str) -> str:
    """Paragraphs of Markdown that show ``text`` as it is; blank lines part them."""
    parts = re.split(r"\n\s*\n", text.replace("\r\n", "\n").strip())
    return "\n\n".join("\n".join(inline(line) for line in part.splitlines() if line.strip()) for part in parts)


def fenced(text: str, language: str = "") -> str:
    """A block of code; nothing in it ends it."""
    ticks = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    lines = "\n".join(visible(line) for line in text.strip("\n").splitlines())
    return f"{ticks}{language}\n{lines}\n{ticks}"


def yaml_lines(value: Any, indent: int = 0) -> list[str]:
    """A mapping of text, whole numbers, lists and mappings as lines of YAML that 1.1 and 1.2 read alike.

    Text is quoted unless it is plainly a word: ``no``, ``1e3`` and ``12:30`` would be read as something else.
    """
    lines: list[str] = []
    space = " " * indent
    for name, item in value.items():
        if isinstance(item, dict):
            lines += [f"{space}{scalar(name)}:", *yaml_lines(item, indent + 2)]
        elif isinstance(item, list):
            lines.append(f"{space}{scalar(name)}:" if item else f"{space}{scalar(name)}: []")
            for each in item:
                inner = yaml_lines(each, indent + 2) if isinstance(each, dict) else [f"{space}  {scalar(each)}"]
                lines += [f"{space}- {inner[0].strip()}", *inner[1:]]
        else:
            lines.append(f"{space}{scalar(name)}: {scalar(item)}")
    return lines


def scalar(value: str | int) -> str:
    """Text or a whole number in YAML."""
    if isinstance(value, int):
        return str(value)
    if _PLAIN.match(value) and value.lower() not in _WORDS:
        return value
    return '"' + "".join(map(_quoted, value)) + '"'


def _quoted(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    number = ord(character)
    if 0xD800 <= number < 0xE000:  # half a character: no text can hold it
        return "\N{REPLACEMENT CHARACTER}"
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def title_of(card: DatasetCard, info: SnapshotInfo) -> str:
    """The dataset's name; of another snapshot than the cleaned one with that snapshot's. Untitled: the snapshot's."""
    if not card.title:
        return info.name
    return card.title if info.name == "cleaned" else f"{card.title} ({info.name})"


def describe(card: DatasetCard, facts: SnapshotFacts) -> str:
    """The summary, if one is stated, and what was counted, in plain text."""
    kinds = ", ".join(KINDS.get(kind, kind) for kind, _ in by_count(facts.kinds))
    counts = (
        f"{counted(facts.samples, 'sample')} with {counted(facts.annotations, 'annotation')}"
        f"{f' ({kinds})' if kinds else ''} of {counted(len(facts.categories), 'category', 'categories')}."
    )
    return f"{card.summary}\n\n{counts}" if card.summary else counts


def split_order(name: str) -> tuple[int, str]:
    """For sorting: train, val, test, then others by name."""
    known = {"train": 0, "val": 1, "test": 2}
    return known.get(name, 3), name


def by_count(counts: dict[str, int]) -> list[tuple[str, int]]:
    """The most frequent first; of those alike by name."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
