"""A diff as lines of text for people."""

from __future__ import annotations

import json
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


_ONE = {
    "samples": ("sample", "samples"),
    "annotations": ("annotation", "annotations"),
    "categories": ("category", "categories"),
    "params": ("param", "params"),
    "schema": ("fact of the contract", "facts of the contract"),
    "files": ("file of contract or corrections", "files of contract or corrections"),
}
_LINES = 20
"""Of categories that are shown, whatever the limit of entries: they sum up."""
_LETTERS = 60
"""Of a value that is shown."""


def summary_lines(diff: Diff, limit: int) -> list[str]:
    """See ``Diff.summary``."""
    lines = [f"{_side(diff.old)} → {_side(diff.new)}"]
    if not diff:
        return [*lines, "nothing differs"]
    for group, line in _counts(diff):
        lines.append(line)
        if group == "annotations":
            if values := sorted(entry.iou for entry in diff.annotations.moved):
                lines.append(f"  moved: IoU {values[0]:.2f} to {values[-1]:.2f}, median {median(values):.2f}")
            lines += _block(list(_per_category(diff)), max(limit, _LINES), "lines of categories")
    for group, name, entries in diff.lists() if limit else ():
        if entries:
            lines.append(f"{_number(len(entries), group)} {WORDS[name or 'changed']}:")
            lines += _block([f"{_subject(entry)} {about(entry)}".rstrip() for entry in entries[:limit]], limit, "")
            if len(entries) > limit:
                lines.append(f"  … and {len(entries) - limit:,} more")
    return lines


def count_lines(diff: Diff) -> list[str]:
    """How many entries each list has, a line for samples, annotations and categories."""
    return [line for group, line in _counts(diff) if group in ("samples", "annotations", "categories")]


def _counts(diff: Diff) -> Iterator[tuple[str, str]]:
    """Each group in which something differs, and how many entries each of its lists has, as a line."""
    counts: dict[str, list[str]] = {}
    for group, name, entries in diff.lists():
        if entries:
            counts.setdefault(group, []).append(f"{len(entries):,} {WORDS[name or 'changed']}")
    yield from ((group, f"{group}: {', '.join(said)}") for group, said in counts.items())


def printable(text: str) -> str:
    """The text, with every character that does not print (control, direction-changing, …) written as its escape."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def value_text(value: Any, letters: int = _LETTERS) -> str:
    """A value of a field as a person reads it, without what could steer a terminal, cut to so many letters."""
    if isinstance(value, str):
        text = printable(value)
    elif value is None:
        text = "none"
    else:
        text = printable(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def _side(side: Any) -> str:
    at = f" at {printable(side.rev)}" if side.rev else ""
    return f"{printable(side.name)}{at} ({side.fingerprint[:12]})"


def _number(count: int, group: str) -> str:
    one, many = _ONE[group]
    return f"{count:,} {one if count == 1 else many}"


def _block(lines: list[str], limit: int, what: str) -> list[str]:
    """The lines, indented, at most so many."""
    cut = [f"  … and {len(lines) - limit:,} more {what}"] if len(lines) > limit else []
    return [*(f"  {line}" for line in lines[:limit]), *cut]


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


def _category(name: str | None) -> str:
    return "(no category)" if name is None else printable(name)


def _subject(entry: Any) -> str:
    return printable(next(getattr(entry, name) for name in ("key", "name", "path") if hasattr(entry, name)))


def about(entry: Any) -> str:
    """What an entry of a diff says, without the key, name or path it is about."""
    return _ABOUT[type(entry).__name__](entry)


def _change(change: Any) -> str:
    if change.name == "params_digest":  # all that is known where two snapshots are compared without their params.yaml
        return f"{(change.old or 'none')[:12]} → {(change.new or 'none')[:12]}: params or corrections are others"
    return f"{value_text(change.old)} → {value_text(change.new)}"


def _fields(entry: Any) -> str:
    return "; ".join(_field(change) for change in entry.fields)


def _field(change: Any) -> str:
    """Name, old and new value; of an object only what differs in it."""
    old, new = change.old, change.new
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return f"{printable(change.name)} {_change(change)}"
    names = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    said = (
        f"{printable(f'{change.name}.{name}')} {value_text(old.get(name))} → {value_text(new.get(name))}"
        for name in names
    )
    return "; ".join(said) or f"{printable(change.name)} {_change(change)}"


def _added(entry: Any) -> str:
    count = f"{entry.annotations:,} annotation{'' if entry.annotations == 1 else 's'}"
    return f"({'no split' if entry.split is None else printable(entry.split)}, {count})"


def _reencoded(entry: Any) -> str:
    """What of the picture is another: its bytes always, so their number is told where nothing else is."""
    sizes = [f"{picture.width_px or '?'}×{picture.height_px or '?'} px" for picture in (entry.old, entry.new)]
    types = [printable((picture.media_type or "?").removeprefix("image/")) for picture in (entry.old, entry.new)]
    weights = [
        "?" if picture.size_bytes is None else f"{picture.size_bytes / 1000:,.1f} kB"
        for picture in (entry.old, entry.new)
    ]
    pairs = [pair for pair in (sizes, types, weights) if pair[0] != pair[1]]
    return f"({', '.join(f'{old} → {new}' for old, new in pairs) or f'{weights[0]}, other bytes'})"


def _moved(entry: Any) -> str:
    """How alike the two places are, and where both have a box, by how much it went and grew."""
    said = [f"IoU {entry.iou:.2f}"]
    if entry.old_bbox_xywh_px and entry.bbox_xywh_px:
        x, y, w, h = (new - old for old, new in zip(entry.old_bbox_xywh_px, entry.bbox_xywh_px, strict=True))
        went = [f"{_pixels(abs(by))} {words[by < 0]}" for by, words in ((x, _ACROSS), (y, _DOWN)) if _pixels(by) != "0"]
        grew = [f"{_pixels(abs(by))} {words[by < 0]}" for by, words in ((w, _WIDE), (h, _HIGH)) if _pixels(by) != "0"]
        said += [f"{', '.join((*went, *grew))} (px)"] if went or grew else []
    return _thing(entry, _category(entry.category), ", ".join(said))


_ACROSS, _DOWN = ("right", "left"), ("down", "up")
_WIDE, _HIGH = ("wider", "narrower"), ("taller", "shorter")


def _pixels(by: float) -> str:
    text = f"{by:.1f}".removesuffix(".0")
    return "0" if text in ("-0", "0") else text


def _recategorized(entry: Any) -> str:
    names = [
        ", ".join(map(printable, several)) if len(several) > 1 else _category(one)
        for one, several in ((entry.old_category, entry.old_categories), (entry.category, entry.categories))
    ]
    return _thing(entry, names[0], "→", names[1])


def _file(entry: Any) -> str:
    if entry.lines_added is None:
        return str(entry.change)
    return f"{entry.change} (+{entry.lines_added:,} -{entry.lines_removed or 0:,} lines)"


def _thing(entry: Any, *more: str) -> str:
    return " ".join((f"#{printable(entry.id)}", *more))


_ABOUT: dict[str, Callable[[Any], str]] = {
    "SampleEntry": _added,
    "Reencoded": _reencoded,
    "Renamed": lambda e: f"from {printable(e.old_key)}",
    "SplitChange": lambda e: f"{value_text(e.old_split)} → {value_text(e.split)}",
    "SampleChange": _fields,
    "AnnotationEntry": lambda e: _thing(e, _category(e.category), e.kind),
    "Moved": _moved,
    "Recategorized": _recategorized,
    "AnnotationChange": lambda e: _thing(e, _category(e.category), _fields(e)),
    "CategoryEntry": lambda e: "",
    "CategoryChange": _fields,
    "FieldChange": _change,
    "FileChange": _file,
}
