"""A diff as lines of text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dsetkit.spec.diff import Diff

WORDS = {
    "added": "added",
    "removed": "removed",
    "reencoded": "re-encoded",
    "renamed": "renamed",
    "split_changed": "in another split",
    "moved": "moved",
    "recategorized": "re-categorised",
    "changed": "changed",
}
"""What the lists are called in front of people."""


_ONE = {"samples": "sample", "annotations": "annotation", "categories": "category"}


def summary_lines(diff: Diff, limit: int) -> list[str]:
    """See ``Diff.summary``."""
    lines = [f"{_side(diff.old)} → {_side(diff.new)}"]
    if not diff:
        return [*lines, "nothing differs"]
    lines += count_lines(diff)
    if values := sorted(entry.iou for entry in diff.annotations.moved):
        lines.append(f"moved: IoU {values[0]:.2f} to {values[-1]:.2f}, median {median(values):.2f}")
    lines += _cut(list(_per_category(diff)), limit, "categories")
    for group, name, entries in diff.lists():
        if entries and name:
            head = f"{_ONE[group]} {WORDS[name]}"
            lines += [f"{head}: {_subject(entry)} {about(entry)}".rstrip() for entry in entries[:limit]]
            if len(entries) > limit:
                lines.append(f"{head}: and {len(entries) - limit:,} more")
    for group, changes in (("params", diff.params), ("schema", diff.schema_)):
        lines += _cut([f"{group}: {_field(change)}" for change in changes], limit, group)
    return lines


def count_lines(diff: Diff) -> list[str]:
    """How many entries each list has, a line for samples, annotations and categories."""
    lines = []
    for group in ("samples", "annotations", "categories"):
        counts = [f"{len(entries):,} {WORDS[name]}" for name, entries in getattr(diff, group) if entries]
        if counts:
            lines.append(f"{group}: {', '.join(counts)}")
    return lines


def printable(text: str) -> str:
    """The text, with every character that does not print (control, direction-changing, …) written as its escape."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _side(side: Any) -> str:
    return f"{printable(side.name)} {side.fingerprint[:12]}"


def _per_category(diff: Diff) -> Iterator[str]:
    """One line a category: what befell its annotations; and how many went from one category to another."""
    counts: dict[str, Counter[str]] = {}
    for name, entries in diff.annotations:
        if name != "recategorized":
            for entry in entries:
                counts.setdefault(_category(entry.category), Counter())[WORDS[name]] += 1
    for category in sorted(counts):
        yield f"{category}: " + ", ".join(f"{count:,} {word}" for word, count in counts[category].items())
    moves = Counter((_category(e.old_category), _category(e.category)) for e in diff.annotations.recategorized)
    yield from (f"{old} → {new}: {count:,}" for (old, new), count in sorted(moves.items()))


def _cut(lines: list[str], limit: int, what: str) -> list[str]:
    return lines if len(lines) <= limit else [*lines[:limit], f"and {len(lines) - limit:,} more {what}"]


def _category(name: str | None) -> str:
    return "(no category)" if name is None else printable(name)


def _subject(entry: Any) -> str:
    return printable(entry.key if hasattr(entry, "key") else entry.name)


def about(entry: Any) -> str:
    """What an entry of a diff says, without the key or name it is about."""
    return _ABOUT[type(entry).__name__](entry)


def _field(change: Any) -> str:
    old, new = (_value(value) for value in (change.old, change.new))
    return f"{printable(change.name)} {old} → {new}"


def _fields(entry: Any) -> str:
    return "; ".join(_field(change) for change in entry.fields)


def _value(value: Any) -> str:
    text = "none" if value is None else printable(value if isinstance(value, str) else repr(value))
    return text if len(text) <= 40 else f"{text[:39]}…"


def _size(picture: Any) -> str:
    return f"{picture.width_px or '?'}×{picture.height_px or '?'}"


def _count(number: int) -> str:
    return f"{number} annotation{'' if number == 1 else 's'}"


def _thing(entry: Any, *more: str) -> str:
    return " ".join((f"#{printable(entry.id)}", *more))


_ABOUT: dict[str, Callable[[Any], str]] = {
    "SampleEntry": lambda e: f"({'no split' if e.split is None else printable(e.split)}, {_count(e.annotations)})",
    "Reencoded": lambda e: f"({_size(e.old)} → {_size(e.new)})",
    "Renamed": lambda e: f"from {printable(e.old_key)}",
    "SplitChange": lambda e: f"{_value(e.old_split)} → {_value(e.split)}",
    "SampleChange": _fields,
    "AnnotationEntry": lambda e: _thing(e, _category(e.category), e.kind),
    "Moved": lambda e: _thing(e, _category(e.category), f"IoU {e.iou:.2f}"),
    "Recategorized": lambda e: _thing(e, _category(e.old_category), "→", _category(e.category)),
    "AnnotationChange": lambda e: _thing(e, _category(e.category), _fields(e)),
    "CategoryEntry": lambda e: "",
    "CategoryChange": _fields,
}
