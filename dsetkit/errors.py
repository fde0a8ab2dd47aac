"""Every error dsetkit raises on purpose.

Each carries its facts as attributes, so that a program need not parse a message, and each message ends in what
to do. ``DsetkitError`` is not a ``ValueError``: a careless ``except ValueError`` must not swallow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeGuard


class DsetkitError(Exception):
    """The base of all errors raised on purpose.

    ``message`` says what is wrong and where; ``hint`` says what to do about it.
    """

    exit_code = 2

    def __init__(self, message: str, *, hint: str) -> None:
        self.message = message
        self.hint = hint
        super().__init__(f"{message.rstrip('.')}. {hint}" if hint else message)


class UsageError(DsetkitError):
    """A command or function was called in a way that cannot mean anything."""


class NotFoundError(DsetkitError):
    """A path, key, revision, format or name that is not there. ``name`` is what was asked for."""

    def __init__(self, message: str, *, name: str, hint: str) -> None:
        self.name = name
        super().__init__(message, hint=hint)


class ParamsError(DsetkitError):
    """``params.yaml`` (or another document a person writes) is not what it must be. ``file`` names it."""

    def __init__(self, message: str, *, file: str, hint: str) -> None:
        self.file = file
        super().__init__(message, hint=hint)


class FormatError(DsetkitError):
    """A label file that cannot be read at all. ``file`` and ``place`` (line, element or pointer) say where."""

    def __init__(self, message: str, *, file: str, hint: str, place: str | None = None) -> None:
        self.file = file
        self.place = place
        super().__init__(message, hint=hint)


class PictureError(DsetkitError):
    """Bytes that are not a usable picture. ``code`` is the coded reason (``picture-corrupt``, ...)."""

    def __init__(self, message: str, *, code: str, hint: str = "Replace the file or exclude it.") -> None:
        self.code = code
        super().__init__(message, hint=hint)


class SnapshotError(DsetkitError):
    """A snapshot that is absent, incomplete, damaged, or of an unknown format. ``path`` names it."""

    def __init__(self, message: str, *, path: str, hint: str) -> None:
        self.path = path
        super().__init__(message, hint=hint)


class StorageError(DsetkitError):
    """A URL or file that could not be reached, read or written. ``url`` names it."""

    def __init__(self, message: str, *, url: str, hint: str) -> None:
        self.url = url
        super().__init__(message, hint=hint)


class LossError(DsetkitError):
    """A strict write that would lose something; nothing was written. ``losses`` lists what."""

    exit_code = 1

    def __init__(self, message: str, *, losses: Sequence[object], hint: str) -> None:
        self.losses = tuple(losses)
        super().__init__(message, hint=hint)


class SchemaError(DsetkitError):
    """A contract that cannot be loaded or is not one. ``reference`` is the ``module:Name`` asked for."""

    def __init__(self, message: str, *, reference: str, hint: str) -> None:
        self.reference = reference
        super().__init__(message, hint=hint)


class CheckError(DsetkitError):
    """A check failed: labels break the contract, the budget is spent, a snapshot is damaged.

    ``issues`` (``dsetkit.Issue``) says which.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str, issues: Sequence[Any] = ()) -> None:
        self.issues = tuple(issues)
        super().__init__(message, hint=hint)


class LockError(CheckError):
    """A source, or the tools, are no longer what was locked.

    ``name`` is the source's; ``changes`` says what differs.
    """

    def __init__(self, message: str, *, name: str, changes: Sequence[str], hint: str) -> None:
        self.name = name
        self.changes = tuple(changes)
        super().__init__(message, hint=hint)


class ChangedError(CheckError):
    """Params or inputs changed while a stage ran; it stopped before its swap. ``changed`` names them."""

    def __init__(self, message: str, *, changed: Sequence[str], hint: str) -> None:
        self.changed = tuple(changed)
        super().__init__(message, hint=hint)


class MissingExtraError(DsetkitError):
    """A feature whose library is an extra that is not installed. ``extra`` names it."""

    def __init__(self, feature: str, extra: str) -> None:
        self.extra = extra
        super().__init__(
            f"{feature} needs a library that is not installed", hint=f"Install it: pip install 'dsetkit[{extra}]'."
        )


class AccessError(DsetkitError):
    """Something that this identity may not do or read, or that nobody entitled has signed.

    ``subject`` is what was asked for (a stage, a facet, a file below ``access/``); ``grantors`` are the principals who
    could allow it, where that helps.
    """

    def __init__(self, message: str, *, subject: str, hint: str, grantors: Sequence[str] = ()) -> None:
        self.subject = subject
        self.grantors = tuple(grantors)
        super().__init__(message, hint=hint)


class TamperError(AccessError):
    """Sealed or signed content that is not what was sealed or signed: altered, cut, swapped, moved or put back."""

    exit_code = 1


def is_sealed_to_reader(found: object) -> TypeGuard[AccessError]:
    """Whether it says that this identity lacks the keys of something, and not that it is none to be believed."""
    return isinstance(found, AccessError) and not isinstance(found, TamperError)
