"""The application: commands from their rooms, errors to exit codes."""

from __future__ import annotations

import errno
import io
import os
import sys

import typer

import dsetkit
from dsetkit.cli import (
    access,
    backup,
    corrections,
    labels,
    look,
    rollback,
    show,
    signatures,
    sources,
    stages,
    verify,
    versions,
)
from dsetkit.cli.output import Output
from dsetkit.errors import DsetkitError, StorageError

_OF_THE_DISK = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}
"""What a disk may refuse in the middle of anything."""

app = typer.Typer(
    name="dsetkit",
    help="Versioned image datasets: gather, clean, augment, and know later which data it was.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    if version:
        typer.echo(dsetkit.__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


sources.register(app)
stages.register(app)
show.register(app)
look.register(app)
verify.register(app)
labels.register(app)
corrections.register(app)
versions.register(app)
backup.register(app)
rollback.register(app)
access.register(app)
signatures.register(app)


def run() -> None:
    """Run the command that ``sys.argv`` names, and end the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a letter that the terminal's encoding lacks is no reason to fail
    try:
        rollback.finish_before()
        app()
    except DsetkitError as error:
        Output(as_json="--json" in sys.argv).error(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if error.errno not in _OF_THE_DISK or error.filename is None:
            raise
        denied = StorageError(
            f"{error.filename} could not be written ({error.strerror})",
            url=str(error.filename),
            hint="Check the permissions and the disk, and run it again.",
        )
        Output(as_json="--json" in sys.argv).error(denied)
        sys.exit(denied.exit_code)
