"""The command line: parse, call, render. The only room with typer and rich."""

from dsetkit.cli.app import main

__all__ = ["main"]
