"""Numbers and texts as people read them; what comes from data is made safe for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from dsetkit.spec.snapshot import Counts


def printable(text: str) -> str:
    """The text without what could drive a terminal: control and direction-changing characters become U+FFFD."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )


def one_line(text: str) -> str:
    """``printable``, and on one line: what comes from data must not begin a line of its own."""
    return printable(text).replace("\n", " ").replace("\t", " ")


def size_text(size_bytes: int) -> str:
    """``12.3 MB`` and the like."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return ""


def measured_text(value: float) -> str:
    """Three digits that count; whole numbers, and all from 100 on, without a fraction."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def plural(count: int, noun: str) -> str:
    """``1 sample``, ``2 samples``."""
    return f"{count:,} {noun if count == 1 else noun + 's'}"


def turned_away(counts: Counts) -> str:
    """``11 samples (with 13 annotations) and 2 annotations of kept samples``; empty if nothing was.

    A row of ``rejected.parquet`` is one sample with all its annotations, or one annotation.
    """
    alone = sum(counts.per_reason.values()) - counts.rejected_samples
    inside = counts.rejected_annotations - alone
    parts = []
    if counts.rejected_samples:
        with_them = f" (with {plural(inside, 'annotation')})" if inside else ""
        parts.append(f"{plural(counts.rejected_samples, 'sample')}{with_them}")
    if alone:
        parts.append(f"{plural(alone, 'annotation')} of kept samples")
    return " and ".join(parts)


def in_order(per_split: Mapping[str, int]) -> list[tuple[str, int]]:
    """Splits as people name them: train, val, test, then others by name."""
    known = {"train": 0, "val": 1, "test": 2}
    return sorted(per_split.items(), key=lambda item: (known.get(item[0], 3), item[0]))
