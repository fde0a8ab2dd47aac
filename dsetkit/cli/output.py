"""How results reach a person (text on stdout) or a program (``--json``). Progress and errors go to stderr."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from dsetkit.errors import CheckError, DsetkitError, LossError
from dsetkit.spec.issue import Issue
from dsetkit.spec.snapshot import Counts


class Output:
    """Where a command's result goes; ``as_json`` decides in which form."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.console = _console(stderr=False)
        self.errors = _console(stderr=True)

    def json(self, value: Any) -> None:
        """One JSON document on stdout."""
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n")

    def line(self, text: str = "", style: str | None = None) -> None:
        """One line for a person. What comes from data cannot style the terminal or drive it."""
        self.console.print(escape(_wrapped(self.console, printable(text))), style=style)

    def heading(self, text: str) -> None:
        """A line that stands out."""
        self.line(text, "bold")

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        *,
        right: Sequence[int] = (),
        header: bool = True,
    ) -> None:
        """A table; ``right`` lists the columns that hold numbers."""
        table = Table(box=None, pad_edge=False, header_style="dim", show_header=header)
        for number, name in enumerate(columns):
            table.add_column(name, justify="right" if number in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(escape(printable(_cell(item))) for item in row))
        self.console.print(table)

    def issues(self, issues: Sequence[Issue], *, limit: int = 20) -> None:
        """Issues, a line each, the first ``limit`` of them."""
        styles = {"error": "red", "warning": "yellow", "info": "dim"}
        for issue in issues[:limit]:
            self.line(f"  {issue.describe()}", styles[issue.severity])
        if len(issues) > limit:
            self.line(f"  … and {len(issues) - limit} more (all of them: --json)", "dim")

    def error(self, error: DsetkitError) -> None:
        """What went wrong and what to do, on stderr; under ``--json`` as a document on stdout."""
        issues = error.issues if isinstance(error, CheckError) else ()
        losses = error.losses if isinstance(error, LossError) else ()
        if self.as_json:
            self.json(
                {
                    "error": {
                        "kind": type(error).__name__,
                        "message": error.message,
                        "hint": error.hint,
                        "issues": [issue.model_dump(mode="json", exclude_defaults=True) for issue in issues],
                        "losses": [getattr(loss, "to_row", lambda: str(loss))() for loss in losses],  # noqa: B023
                    }
                }
            )
            return
        message = printable(error.message).rstrip(".")
        if losses:
            message = message.partition(": ")[0]  # the message lists the losses; here each gets a line
        text = _wrapped(self.errors, f"error: {message}.").removeprefix("error:")
        self.errors.print(f"[bold red]error:[/]{escape(text)}")
        listed = [issue.describe() for issue in issues] + [_loss_text(loss) for loss in losses]
        for line in listed[:10]:
            self.errors.print(escape(_wrapped(self.errors, f"  {printable(line)}")))
        if len(listed) > 10:
            self.errors.print(f"  … and {len(listed) - 10} more (all of them: --json)", style="dim")
        if error.hint:
            self.errors.print(f"[bold]{escape(_wrapped(self.errors, printable(error.hint)))}[/]")

    @contextmanager
    def progress(self) -> Iterator[RichProgress]:
        """A bar on stderr while long work runs; nothing where stderr is no terminal or the result is JSON."""
        bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.errors,
            transient=True,
            disable=self.as_json or not self.errors.is_terminal,
        )
        with bars:
            yield RichProgress(bars)


class RichProgress:
    """The engine's ``Progress``, drawn by rich."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._task: Any = None

    def start(self, text: str, total: int | None) -> None:
        """A step begins."""
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(escape(printable(text)), total=total)

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        if self._task is not None:
            self._bars.advance(self._task, count)


def printable(text: str) -> str:
    """The text without what could drive a terminal: control and direction-changing characters become U+FFFD."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )


def size_text(size_bytes: int) -> str:
    """``12.3 MB`` and the like."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return ""


def bar(share: float, width: int = 24) -> str:
    """A bar of block characters for a share from 0 to 1."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


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


def _console(*, stderr: bool) -> Console:
    """Without emoji codes: a contract's name ends in ``:Label``, and ``:label:`` is one."""
    console = Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 10_000  # what a program reads is one line a row, however long
    return console


def _wrapped(console: Console, text: str) -> str:
    """On a terminal, lines broken between words, what follows indented; elsewhere the text as it is."""
    if not console.is_terminal:
        return text
    lines = []
    for line in text.splitlines() or [""]:
        indent = line[: len(line) - len(line.lstrip())]
        lines += textwrap.wrap(
            line,
            max(20, console.width),
            subsequent_indent=indent + "  " if indent else "",
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return "\n".join(lines)


def _loss_text(loss: object) -> str:
    return str(loss.describe()) if hasattr(loss, "describe") else str(loss)


def _cell(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value).lower()
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plain(value: Any) -> Any:
    if hasattr(value, "to_json"):
        return value.to_json()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    return str(value)
