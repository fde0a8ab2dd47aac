"""The command line: parse, call, render. The only room with typer and rich."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["main"]


def main() -> None:
    """Run a command. Exit code 0: fine; 1: findings or a failed check; 2: wrong usage or bad input; 130: Ctrl-C."""
    with _leaving_quietly():
        from dsetkit.cli.app import run
    run()


@contextmanager
def _leaving_quietly() -> Iterator[None]:
    """While libraries are loaded, which takes most of a second, Ctrl-C ends the process at once and without a word.

    An exception would come up inside some library's import, which may take it for a failure of its own.
    """
    is_usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not is_usual or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
