"""Charts of a page, each with the same numbers as a table.

A chart is drawn small (about 300 px wide), so that it can be read on a phone; on a desk it grows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from dsetkit.report.drawing.svg import ACCENT, SERIES, WARNING, render
from dsetkit.report.facts.histograms import Grid, Histogram
from dsetkit.report.words import counted, number, percent, shorten

_WIDE: dict[str, Any] = {"width": 310, "autosize": {"type": "fit-x", "contains": "padding"}}
"""All charts come out equally wide, so that their letters are equally large on the page."""


@dataclass(frozen=True)
class Bound:
    """A threshold of params, drawn on a histogram."""

    name: str
    value: float
    below: bool
    """Whether what lies below it is turned away (else what lies above)."""


@dataclass(frozen=True)
class Chart:
    """A drawn chart with the same numbers as a table, and one sentence that says what it shows."""

    title: str
    svg: Markup
    said: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def bars(title: str, counts: Mapping[str, int], *, unit: str, names: Mapping[str, str] | None = None) -> Chart:
    """One bar a name, in the order given; ``names`` gives what is written instead."""
    shown = dict(list(counts.items())[:24])
    whole, most_of_all = sum(counts.values()), max(counts.values(), default=0)
    values = [{"name": _name(name, names), "n": count, "text": number(count)} for name, count in shown.items()]
    encoding = {
        "y": {"field": "name", "type": "nominal", "sort": None, "title": None, "axis": _NAMES},
        "x": {
            "field": "n",
            "type": "quantitative",
            "title": unit,
            "axis": _COUNTS,
            "scale": {"domain": [0, 1.2 * max(1, most_of_all)], "nice": False},  # room for the number beside the bar
        },
    }
    spec = {
        "data": {"values": values},
        **_WIDE,
        "height": {"step": 19},
        "encoding": encoding,
        "layer": [
            {"mark": {"type": "bar", "color": ACCENT, "cornerRadiusEnd": 2, "height": {"band": 0.72}}},
            {
                "mark": {"type": "text", "align": "left", "dx": 4, "color": "currentColor", "fontSize": 11},
                "encoding": {"text": {"field": "text"}},
            },
        ],
    }
    rows = tuple((_name(name, names), number(count), percent(count, whole)) for name, count in counts.items())
    most = max(counts.items(), key=lambda pair: pair[1], default=("nothing", 0))
    said = f"{title}: {counted(len(counts), 'bar')}, the largest {_name(most[0], names)} with {number(most[1])} {unit}."
    return Chart(title, render(spec), said, ("", unit, "share"), rows[:200])


def stacked(
    title: str,
    table: Mapping[str, Mapping[str, int]],
    parts: Sequence[str],
    *,
    unit: str,
    colors: Sequence[str] = SERIES,
) -> Chart:
    """One bar a name, made of its parts: ``{name: {part: count}}``; at most 24 bars are drawn."""
    shown = list(table.items())[:24]
    values = [
        {"name": shorten(name, 22), "part": part, "n": counts.get(part, 0), "order": place}
        for name, counts in shown
        for place, part in enumerate(parts)
        if counts.get(part, 0)
    ]
    spec = {
        "data": {"values": values},
        **_WIDE,
        "height": {"step": 19},
        "mark": {"type": "bar", "height": {"band": 0.72}},
        "encoding": {
            "y": {"field": "name", "type": "nominal", "sort": None, "title": None, "axis": _NAMES},
            "x": {"field": "n", "type": "quantitative", "title": unit, "axis": _COUNTS, "stack": "zero"},
            "color": {
                "field": "part",
                "type": "nominal",
                "scale": {"domain": list(parts), "range": list(colors)},
                "legend": {"columns": 4, "labelLimit": 60},
            },
            "order": {"field": "order"},
        },
    }
    rows = tuple(
        (name, *(number(counts.get(part, 0)) for part in parts), number(sum(counts.values())))
        for name, counts in table.items()
    )
    note = f"{len(shown)} of {number(len(table))} are drawn." if len(table) > len(shown) else ""
    said = f"{title}: {unit} of {counted(len(table), 'bar')} by {', '.join(parts) or 'nothing'}."
    return Chart(title, render(spec), said, ("", *parts, "all"), rows[:200], note)


def histogram(title: str, counted_: Histogram, *, unit: str, bounds: Sequence[Bound] = (), log: bool = False) -> Chart:
    """Counts over fixed bins, thresholds as dashed lines; empty bins at both ends are left away."""
    first, last = _used(counted_.counts, [_bin_of(counted_.edges, bound.value) for bound in bounds])
    edges, counts = counted_.edges[first : last + 1], counted_.counts[first:last]
    scale: dict[str, Any] = {"type": "symlog", "constant": 1} if log else {"type": "linear"}
    scale |= {"domain": [edges[0], edges[-1]], "nice": False}
    bins = [{"a": low, "b": high, "n": n} for low, high, n in zip(edges[:-1], edges[1:], counts, strict=True)]
    across = {"grid": False, "labelOverlap": True, **(_log_axis(edges[-1], counted_.unit) if log else {"tickCount": 6})}
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": bins},
            "mark": {"type": "bar", "color": ACCENT, "binSpacing": 0.5},
            "encoding": {
                "x": {
                    "field": "a",
                    "type": "quantitative",
                    "scale": scale,
                    "title": counted_.unit or "0 to 1",
                    "axis": across,
                },
                "x2": {"field": "b"},
                "y": {"field": "n", "type": "quantitative", "title": unit, "axis": _COUNTS},
                "y2": {"datum": 0},
            },
        }
    ]
    if bounds:
        layers.append(
            {
                "data": {"values": [{"at": bound.value} for bound in bounds]},
                "mark": {"type": "rule", "color": WARNING, "strokeDash": [4, 3], "strokeWidth": 1.6},
                "encoding": {"x": {"field": "at", "type": "quantitative"}},
            }
        )
    spec = {**_WIDE, "height": 110, "layer": layers}
    pairs = zip(counted_.edges, counted_.edges[1:], counted_.counts, strict=False)
    rows = tuple((number(low), number(high), number(n)) for low, high, n in pairs if n)
    said = f"{title}: {number(counted_.total)} {unit} from {number(edges[0])} to {number(edges[-1])} {counted_.unit}."
    return Chart(title, render(spec), said.replace(" .", "."), ("from", "below", unit), rows)


def heatmap(title: str, grid: Grid, *, unit: str, x: str, y: str, log: bool, down: bool = False) -> Chart:
    """Counts of pairs as a grid; the stronger the colour, the more (by the square root).

    ``down``: y grows downwards, as in a picture.
    """
    cells: list[tuple[float, float, float, float, int]] = [
        (grid.x_edges[column], grid.x_edges[column + 1], grid.y_edges[row], grid.y_edges[row + 1], count)
        for row, counts in enumerate(grid.counts)
        for column, count in enumerate(counts)
        if count
    ]
    most = max((cell[4] for cell in cells), default=1)
    values = [{"a": a, "b": b, "c": c, "d": d, "o": max(0.08, (n / most) ** 0.5)} for a, b, c, d, n in cells]
    ticks = {"tickCount": 5} if not log else _SHARES if grid.x_edges[-1] <= 1.0 else _SIDES
    axis = {"labelOverlap": True, **ticks}
    across = _scale(grid.x_edges, cells, 0, log)
    upward = _scale(grid.y_edges, cells, 2, log) | {"reverse": down}
    spec = {
        "data": {"values": values},
        **_WIDE,
        "height": 190,
        "mark": {"type": "rect", "color": ACCENT, "stroke": None},
        "encoding": {
            "x": {"field": "a", "type": "quantitative", "title": x, "scale": across, "axis": axis},
            "x2": {"field": "b"},
            "y": {"field": "c", "type": "quantitative", "title": y, "scale": upward, "axis": axis},
            "y2": {"field": "d"},
            "opacity": {"field": "o", "type": "quantitative", "scale": None, "legend": None},
        },
    }
    top = sorted(cells, key=lambda cell: (-cell[4], cell))[:40]
    rows = tuple((f"{a:.4g} – {b:.4g}", f"{c:.4g} – {d:.4g}", number(n)) for a, b, c, d, n in top)
    said = f"{title}: {number(grid.total)} {unit} over {number(len(cells))} cells, at most {number(most)} in one."
    note = f"The fullest cell holds {counted(most, unit.removesuffix('s'), unit)}." if cells else ""
    return Chart(title, render(spec), said, (x, y, unit), rows, note)


_SHARES = {"values": [0, 0.01, 0.03, 0.1, 0.3, 1], "format": "~g"}
_SIDES = {"values": [2**power for power in range(3, 15)], "format": "d"}
_NAMES = {"labelLimit": 150, "ticks": False, "domain": False, "grid": False}
_SHORT = "datum.value >= 1e6 ? datum.value / 1e6 + 'M' : datum.value >= 1e3 ? datum.value / 1e3 + 'k' : datum.value"
_COUNTS = {"tickCount": 4, "tickMinStep": 1, "labelExpr": _SHORT}


def _log_axis(last: float, unit: str) -> dict[str, Any]:
    """Of pixels every doubling; else 0, then every power of ten, and between them 2 and 5 where there is room."""
    if unit == "px":
        return _SIDES
    powers = [10**power for power in range(6) if 10**power <= last]
    steps = (1, 2, 5) if len(powers) <= 2 else (1,)
    return {"values": [0, *(step * power for power in powers for step in steps)], "labelExpr": _SHORT}


def _name(name: str, names: Mapping[str, str] | None) -> str:
    return shorten((names or {}).get(name, name), 26)


def _scale(edges: Sequence[float], cells: Sequence[tuple[float, ...]], at: int, log: bool) -> dict[str, Any]:
    """Of shares and positions all of it, from 0 to 1; of pixels what is used."""
    if edges[-1] <= 1.0:
        return {"domain": [edges[0], edges[-1]], "nice": False} | ({"type": "symlog", "constant": 0.01} if log else {})
    low = min((cell[at] for cell in cells), default=edges[0])
    high = max((cell[at + 1] for cell in cells), default=edges[-1])
    return {"domain": [low / 1.5, high * 1.5], "nice": False, "type": "log", "base": 2}


def _used(counts: Sequence[int], also: Sequence[int]) -> tuple[int, int]:
    """The first bin to draw, and the one after the last."""
    places = [place for place, count in enumerate(counts) if count] + list(also)
    return (max(0, min(places) - 1), min(len(counts), max(places) + 2)) if places else (0, len(counts))


def _bin_of(edges: Sequence[float], value: float) -> int:
    below = sum(edge <= value for edge in edges) - 1
    return max(0, min(len(edges) - 2, below))
