"""Ctrl-C at any moment ends the command with 130 and without a traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import dsetkit.cli

HEARD = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
"""Where the tests run in the background of a shell, interrupts are ignored, and so would they be in what is started."""


def test_while_libraries_are_loaded() -> None:
    """The interrupt comes from inside an import, where it always took a traceback to say so."""
    code = """
import os, signal, sys
class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "NAME":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
sys.argv = ["dsetkit", "--version"]
from dsetkit.cli import main
main()
"""
    for name in ("typer", "pyarrow", "dsetkit.cli.output", "pydantic_core"):
        done = subprocess.run(
            [sys.executable, "-c", HEARD + code.replace("NAME", name)], capture_output=True, text=True
        )
        assert (done.returncode, done.stdout, done.stderr) == (130, "", ""), name


def test_while_a_command_runs() -> None:
    code = """
import os, signal, sys
from dsetkit.cli import main, show
show._open = lambda path: os.kill(os.getpid(), signal.SIGINT)
sys.argv = ["dsetkit", "show", "x"]
main()
"""
    done = subprocess.run([sys.executable, "-c", HEARD + code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (130, "", "")


def test_what_was_set_before_stays() -> None:
    """A handler of a program that calls a command, and an ignored interrupt, are left alone."""
    before = signal.getsignal(signal.SIGINT)
    for handler in (signal.default_int_handler, signal.SIG_IGN):
        signal.signal(signal.SIGINT, handler)
        try:
            with dsetkit.cli._leaving_quietly():
                inside = signal.getsignal(signal.SIGINT)
            assert (inside is handler) == (handler is signal.SIG_IGN)
            assert signal.getsignal(signal.SIGINT) is handler
        finally:
            signal.signal(signal.SIGINT, before)
    found: list[str] = []

    def elsewhere() -> None:
        with dsetkit.cli._leaving_quietly():
            found.append("left alone")

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == ["left alone"]
