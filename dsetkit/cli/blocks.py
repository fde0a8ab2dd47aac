"""Charts of one line, made of block characters: bars and sparklines."""

from __future__ import annotations

from collections.abc import Sequence

_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
_LEVELS = "▁▂▃▄▅▆▇█"

IN_ASCII = str.maketrans(
    {
        **dict.fromkeys(_EIGHTHS[1:4], None),
        **dict.fromkeys(_EIGHTHS[4:], "#"),
        **dict(zip(_LEVELS, "..--==##", strict=True)),
        "…": "...",
        "×": "x",
        "−": "-",
        "→": "->",
        "²": "2",
    }
)
"""For ``str.translate``: what the command line draws with, in letters that every terminal has."""


def bar(share: float, width: int = 24) -> str:
    """A bar for a share from 0 to 1, ``width`` letters at 1; what is above 0 is never drawn as nothing."""
    share = max(0.0, min(1.0, share))
    eighths = max(round(share * width * 8), int(share > 0))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8]


def sparkline(counts: Sequence[int], width: int = 24) -> str:
    """A letter a bin, as high as its count; from the first bin that has any to the last, a gap where one has none.

    Neighbouring bins are put together until there are at most ``width``.
    """
    filled = [place for place, count in enumerate(counts) if count > 0]
    if len(filled) < 2:
        return ""  # nothing is spread
    inside = list(counts[filled[0] : filled[-1] + 1])
    together = -(-len(inside) // width)
    bins = [sum(inside[at : at + together]) for at in range(0, len(inside), together)]
    most = max(bins)
    return "".join(_LEVELS[-(-count * len(_LEVELS) // most) - 1] if count else " " for count in bins)
