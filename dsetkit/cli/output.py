"""How results reach a person (text on stdout) or a program (``--json``). Progress and errors go to stderr."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from dsetkit.cli.blocks import IN_ASCII
from dsetkit.cli.words import one_line, printable
from dsetkit.errors import AccessError, CheckError, DsetkitError, LossError
from dsetkit.spec.issue import Issue

_SHORTEST = 12
"""Letters that are left of a name, however narrow the terminal."""


class Output:
    """Where a command's result goes; ``as_json`` decides in which form."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.console = _console(stderr=False)
        self.errors = _console(stderr=True)

    def json(self, value: Any) -> None:
        """One JSON document on stdout; in ASCII where stdout is not of Unicode."""
        text = json.dumps(value, indent=2, ensure_ascii=not _is_unicode(self.console), default=_plain)
        sys.stdout.write(f"{text}\n")

    def line(self, text: str = "", style: str | None = None) -> None:
        """One line for a person. What comes from data cannot style the terminal, drive it, or begin a line."""
        self.console.print(escape(_wrapped(self.console, _writable(self.console, one_line(text)))), style=style)

    def heading(self, text: str) -> None:
        """A line that stands out."""
        self.line(text, "bold")

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        *,
        right: Sequence[int] = (),
        short: Sequence[int] = (),
        whole: Sequence[int] = (),
        header: bool = True,
    ) -> None:
        """A table.

        ``right`` lists the columns that hold numbers, ``whole`` others that are never broken; of those in ``short``
        the end is left out where a terminal has no room, all others go on below.
        """
        cells = [[_writable(self.console, one_line(_cell(item))) for item in row] for row in rows]
        others = [max(map(cell_len, (columns[at], *(row[at] for row in cells)))) for at in _but(len(columns), short)]
        room = max(_SHORTEST, self.console.width - sum(others) - 2 * (len(columns) - 1))
        table = Table(box=None, pad_edge=False, header_style="dim", show_header=header)
        for number, name in enumerate(columns):
            table.add_column(
                name,
                justify="right" if number in right else "left",
                overflow="ellipsis" if number in short else "fold",
                no_wrap=number in right or number in short or number in whole,
                max_width=room if number in short else None,
            )
        for row in cells:
            table.add_row(*map(escape, row))
        with self.console.capture() as captured:
            self.console.print(table)
        for line in captured.get().splitlines():
            self.console.out(line.rstrip(), highlight=False)

    def issues(self, issues: Sequence[Issue], *, limit: int = 20) -> None:
        """Issues, a line each, the first ``limit`` of them."""
        styles = {"error": "red", "warning": "yellow", "info": "dim"}
        for issue in issues[:limit]:
            self.line(f"  {issue.describe()}", styles[issue.severity])
        if len(issues) > limit:
            self.line(f"  … and {len(issues) - limit} more (all of them: --json)", "dim")

    def note(self, text: str) -> None:
        """A line on stderr, for a person, beside a result that a program may read."""
        self.errors.print(escape(_wrapped(self.errors, _writable(self.errors, one_line(text)))))

    def note_in_plain(self, path: Path) -> None:
        """A ``note`` where what was sealed has been written in plain into a project that seals it."""
        place = path.resolve()
        root = next((folder for folder in place.parents if (folder / "access" / "policy").is_dir()), None)
        if root is not None:
            self.note(
                f"{path} is plain, and lies in the project: git add --all would take it, and whoever has the "
                "repository would read it. Move it out, or have git ignore it."
            )

    def error(self, error: DsetkitError) -> None:
        """What went wrong and what to do, on stderr; under ``--json`` as a document on stdout."""
        issues = error.issues if isinstance(error, CheckError) else ()
        losses = error.losses if isinstance(error, LossError) else ()
        access = {"subject": error.subject, "grantors": list(error.grantors)} if isinstance(error, AccessError) else {}
        if self.as_json:
            self.json(
                {
                    "error": {
                        "kind": type(error).__name__,
                        "message": error.message,
                        "hint": error.hint,
                        "issues": [issue.model_dump(mode="json", exclude_defaults=True) for issue in issues],
                        "losses": [getattr(loss, "to_row", lambda: str(loss))() for loss in losses],  # noqa: B023
                        **access,
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


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """The reader went away: for ``cli.app`` to end quietly, where rich would end as if something had failed."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def _console(*, stderr: bool) -> Console:
    """Without emoji codes: a contract's name ends in ``:Label``, and ``:label:`` is one."""
    console = _Console(stderr=stderr, highlight=False, soft_wrap=True, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 10_000  # what a program reads is one line a row, however long
    return console


def _is_unicode(console: Console) -> bool:
    return console.encoding.lower().startswith("utf")


def _writable(console: Console, text: str) -> str:
    return text if _is_unicode(console) else text.translate(IN_ASCII)


def _wrapped(console: Console, text: str) -> str:
    """On a terminal, lines broken between words, what follows indented; elsewhere the text as it is.

    A word that is longer than a line stays whole, so that a path can be copied; the terminal breaks it.
    """
    if not console.is_terminal:
        return text
    lines = []
    for line in text.splitlines() or [""]:
        indent = line[: len(line) - len(line.lstrip())]
        room = max(20, console.width)
        if cell_len(line) <= room:
            lines.append(line)
            continue
        current, empty = indent, True
        for word in line[len(indent) :].split(" "):
            if not empty and cell_len(current) + 1 + cell_len(word) > room:
                lines.append(current)
                current, empty = indent + "  " if indent else "", True
            current += word if empty else f" {word}"
            empty = False
        lines.append(current)
    return "\n".join(lines)


def _loss_text(loss: object) -> str:
    return str(loss.describe()) if hasattr(loss, "describe") else str(loss)


def _but(count: int, left_out: Sequence[int]) -> Iterator[int]:
    """The numbers from 0 to before ``count``, but for some."""
    return (number for number in range(count) if number not in left_out)


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
