"""What came of contests, as numbers and as Markdown: ratios with their spread, never a bare best case."""

from __future__ import annotations

import math
import os
import platform
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import Outcome, Run

TOTAL = "total"
HEAD = """# Benchmarks

Written by `make bench`; how to run, how to read and what is fair: [README.md](README.md).
A ratio is a peer's wall seconds over dsetkit's in the same round: over 1, dsetkit is faster. Given are the median of
the rounds and, in brackets, the least and the most.
"""


@dataclass(frozen=True)
class Spread:
    """The median, least and most of a value over the rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def show(self, form: str) -> str:
        """``1.2 (1.1–1.3)`` in a number format; one number when all are shown alike."""
        median, least, most = (format(value, form) for value in (self.median, self.least, self.most))
        return median if least == most else f"{median} ({least}–{most})"


def seconds(runs: Sequence[Run], step: str) -> Spread | None:
    """Wall seconds of a step (or ``TOTAL``) over the rounds; None when the contender has no such step."""
    values = [run.total_s if step == TOTAL else run.steps.get(step) for run in runs]
    known = [value for value in values if value is not None]
    return Spread.of(known) if len(known) == len(values) else None


def ratio(peer: Sequence[Run], ours: Sequence[Run], step: str) -> Spread | None:
    """The peer's seconds over ours, round by round; None when one of them has no such step or took no time."""
    ratios = []
    for theirs, own in zip(peer, ours, strict=True):
        above, below = ((run.total_s if step == TOTAL else run.steps.get(step)) for run in (theirs, own))
        if above is None or not below:
            return None
        ratios.append(above / below)
    return Spread.of(ratios)


def missed(outcome: Outcome) -> list[str]:
    """What the contest was to reach and did not, a sentence each; empty when all was reached."""
    contest, first = outcome.contest, outcome.contest.contenders[0].name
    ours = outcome.runs[first]
    found = []
    for peer, wanted in contest.target.items():
        reached = ratio(outcome.runs[peer], ours, TOTAL)
        if reached is None or reached.median < wanted:
            found.append(f"{wanted:g}× {peer} was wanted, {reached.median if reached else 0:.2f}× was reached")
    for (peer, step), limit in contest.at_most.items():
        reached = ratio(outcome.runs[peer], ours, step)
        if reached is None or reached.median > limit:
            median = reached.median if reached else math.inf
            found.append(f"{step}, {peer} is {median:.2f}×, at most {limit:g}× was wanted")
    for fact, limit in contest.limits.items():
        most = max(_fact(run, fact) for run in ours)
        if most > limit:
            found.append(f"{fact} is {most:g}, at most {limit:g} was wanted")
    return found


def _fact(run: Run, name: str) -> float:
    return float(run.peak_rss_bytes if name == "peak_rss_bytes" else run.facts[name])


def section(outcome: Outcome) -> str:
    """One contest as Markdown: input, table of steps, resources, targets, and what bounds it."""
    contest, runs = outcome.contest, outcome.runs
    first, *peers = (contender.name for contender in contest.contenders)
    steps = list(dict.fromkeys(step for of_one in runs.values() for run in of_one for step in run.steps))
    lines = [f"## {contest.title}", "", f"Input: {_facts(outcome.workload)}. Rounds: {len(runs[first])}.", ""]
    head = ["", f"{first}, s", *(f"{peer}, s" for peer in peers), *(f"ratio to {peer}" for peer in peers)]
    lines += [_row(head), _row(["---", *(["---:"] * (len(head) - 1))])]
    for step in [*steps, TOTAL]:
        cells = [f"**{step}**" if step == TOTAL else step]
        cells += [_show(seconds(runs[name], step), ".2f") for name in (first, *peers)]
        cells += [_show(ratio(runs[peer], runs[first], step), ".2f", "×") for peer in peers]
        lines.append(_row(cells))
    for label, form, values in (
        ("CPU of the process, s", ".2f", {name: [run.cpu_s for run in of_one] for name, of_one in runs.items()}),
        ("peak memory, MiB", ".0f", {n: [run.peak_rss_bytes / 2**20 for run in of_one] for n, of_one in runs.items()}),
    ):
        cells = [label, *(Spread.of(values[name]).show(form) for name in (first, *peers))]
        lines.append(_row([*cells, *(Spread.of(_over(values[p], values[first])).show(".2f") + "×" for p in peers)]))
    facts = {name: dict(of_one[-1].facts) for name, of_one in runs.items()}
    lines += ["", *(f"- {name}: {_facts(of_one)}" for name, of_one in facts.items() if of_one)]
    wanted = [f"{value:g}× {peer}" for peer, value in contest.target.items()]
    wanted += [
        f"peak memory ≤ {limit / 2**20:,.0f} MiB" if fact == "peak_rss_bytes" else f"{fact} ≤ {limit:g}"
        for fact, limit in contest.limits.items()
    ]
    wanted += [f"{step}, {peer} ≤ {limit:g}×" for (peer, step), limit in contest.at_most.items()]
    outcome_words = "; ".join(missed(outcome)) or "reached"
    if outcome.is_quick:
        lines += ["", "A quick run: these times are not judged and say nothing."]
    elif wanted:
        lines += ["", f"Wanted: {', '.join(wanted)}: {outcome_words}."]
    lines += ["", contest.bound.strip(), "", _machine(outcome.versions)]
    return "\n".join(lines)


def _over(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [a / b if b else 0.0 for a, b in zip(above, below, strict=True)]


def _show(spread: Spread | None, form: str, unit: str = "") -> str:
    return "" if spread is None else spread.show(form) + unit


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _facts(facts: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in facts.items()
    )


def _machine(versions: Mapping[str, str]) -> str:
    """What ran it: cores, processor, memory, Python, versions; nothing that names the machine or the day."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return (
        f"On {os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, {platform.system()},"
        f" Python {platform.python_version()}: {packages}."
    )


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.machine()


def write(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Put the contests' sections into the results file; sections of contests that were not held stay as they are."""
    sections: dict[str, str] = {}
    if path.exists():
        sections = dict(re.findall(r"^<!-- (\w+) -->\n(.*?)\n<!-- end -->$", path.read_text(), re.M | re.S))
    sections |= {outcome.contest.name: section(outcome) for outcome in outcomes}
    parts = [f"<!-- {name} -->\n{sections[name]}\n<!-- end -->\n" for name in sorted(sections)]
    path.write_text("\n".join([HEAD, *parts]), encoding="utf-8")
