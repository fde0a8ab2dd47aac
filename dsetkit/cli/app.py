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
    access_settle,
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
from dsetkit.cli.words import printable
from dsetkit.errors import DsetkitError, StorageError, UsageError

_Misused: type[Exception] = typer.BadParameter.__mro__[1]
"""What the parser raises of wrong usage, whichever click typer brings: it gives no name to it."""

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
access_settle.register(app)
signatures.register(app)


def run() -> None:
    """Run the command that ``sys.argv`` names, and end the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a letter that the terminal's encoding lacks is no reason to fail
    as_json = "--json" in sys.argv
    try:
        rollback.finish_before()
        code = app(standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:
        _nobody_reads()
    except SystemExit:
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":
            _nobody_reads()  # so typer ends for a closed pipe: it has put that in the place of stdout
        raise
    except DsetkitError as error:
        Output(as_json=as_json).error(error)
        sys.exit(error.exit_code)
    except _Misused as error:
        if as_json:
            wrong = getattr(error, "format_message", error.__str__)()
            Output(as_json=True).error(UsageError(wrong, hint="Ask the command: --help."))
        else:
            getattr(error, "show", print)()
        sys.exit(2)
    except typer.Abort:
        typer.echo("stopped; nothing was done", err=True)
        sys.exit(130)
    except KeyboardInterrupt:
        sys.exit(130)
    except UnicodeEncodeError as error:
        if not any("\udc80" <= letter <= "\udcff" for letter in str(error.object)):
            raise
        unclear = UsageError(
            f"{printable(str(error.object))[:200]!r} is not text in this locale's encoding",
            hint="Give it in that encoding, or set a UTF-8 locale: LC_ALL=C.UTF-8.",
        )
        Output(as_json=as_json).error(unclear)
        sys.exit(unclear.exit_code)
    except OSError as error:
        if error.errno not in _OF_THE_DISK or error.filename is None:
            raise
        denied = StorageError(
            f"{error.filename} could not be written ({error.strerror})",
            url=str(error.filename),
            hint="Check the permissions and the disk, and run it again.",
        )
        Output(as_json=as_json).error(denied)
        sys.exit(denied.exit_code)


def _nobody_reads() -> None:
    """The reader of our output went away (`| head`): nothing is wrong, and nothing more can be said."""
    if sys.__stdout__ is not None:
        sys.stdout = sys.__stdout__
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)
