"""Small files below a project's root that anybody may have written: read within limits, through no link.

Also the one text of a document that is signed: signatures are over bytes, so each document has just one byte form, and
a file in any other is refused, however it reads.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, TypeVar

from pydantic import ValidationError

from dsetkit.errors import TamperError
from dsetkit.spec.base import Document
from dsetkit.storage.atomic import write_atomic

RESTORE = "Take the committed file back (git checkout), or ask who changed it (git log)."
"""What to do about a file that is not what it must be."""

_ANY = TypeVar("_ANY", bound=Document)


def read_below(root: Path, name: str, limit_bytes: int) -> bytes | None:
    """The bytes of the regular file ``name`` (``/`` between its parts) below ``root``; None where there is none.

    Raises ``TamperError`` for a link at any part of ``name``, what is no regular file, and more than ``limit_bytes``.
    """
    *folders, last = name.split("/")
    with _folder(root, folders, name) as folder:
        if folder is None:
            return None
        # O_NONBLOCK: a named pipe must not make the reader wait for a writer.
        number = _open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, folder, name)
        if number is None:
            return None
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            refuse("is no regular file", name)
        with open(number, "rb") as file:
            data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        refuse(f"has more than {limit_bytes:,} bytes, and no such file is that large", name)
    return data


def names_below(root: Path, name: str, limit: int) -> list[str]:
    """The names in the folder ``name`` below ``root``, sorted; none where there is no such folder.

    Raises ``TamperError`` for a link on the way, and more than ``limit`` names.
    """
    names: list[str] = []
    with _folder(root, name.split("/"), name) as folder:
        if folder is not None:
            with os.scandir(folder) as entries:
                for entry in entries:
                    names.append(entry.name)
                    if len(names) > limit:
                        refuse(f"has more than {limit:,} files", name)
    return sorted(names)


def write_below(root: Path, name: str, data: bytes) -> None:
    """Puts ``data`` at ``name`` below ``root``, whole or not at all.

    Raises ``TamperError`` for a link on the way, ``StorageError``.
    """
    with _folder(root, name.split("/")[:-1], name):
        pass
    write_atomic(root / name, data)


def document_text(document: Document) -> bytes:
    """The one byte form of a document: JSON, ASCII, keys sorted, indented by 2, a line feed at the end.

    Fields at their defaults are left out, so that a field that comes later changes no text of before; ``format`` always
    stands there, where the document has one.
    """
    row = document.model_dump(mode="json", exclude_defaults=True)
    if "format" in type(document).model_fields:
        row["format"] = document.model_dump(mode="json", include={"format"})["format"]
    return (json.dumps(row, indent=2, sort_keys=True, allow_nan=False) + "\n").encode("ascii")


def parse_document(kind: type[_ANY], data: bytes, name: str) -> _ANY:
    """The document in the file ``name``. Raises ``TamperError`` unless it is one, in its one byte form."""
    try:
        document = kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        refuse(f"is not what it must be ({shown(f'{place}: ' if place else '')}{shown(first['msg'])})", name)
    if document_text(document) != data:
        refuse("is not in the form that is signed: written by hand, or altered", name)
    return document


def shown(text: str) -> str:
    """Text of an unknown author as it may be shown: ASCII without control characters, at most 200 characters."""
    return "".join(sign if " " <= sign <= "~" else ascii(sign)[1:-1] for sign in text[:200])


def refuse(what: str, name: str, *, hint: str = RESTORE) -> NoReturn:
    """Raises the error for a file that must not be believed."""
    raise TamperError(f"{shown(name)} {what}", subject=name, hint=hint) from None


@contextlib.contextmanager
def _folder(root: Path, names: list[str], whole: str) -> Iterator[int | None]:
    """An open folder below ``root``, each part opened in the one before without following a link; None: not there."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    with contextlib.ExitStack() as opened:
        try:
            folder = os.open(root, flags)
        except FileNotFoundError:
            yield None
            return
        opened.callback(os.close, folder)
        for name in names:
            if name in ("", ".", ".."):
                raise ValueError(f"{whole!r} is no path below a root")
            inner = _open(name, flags | os.O_NOFOLLOW, folder, whole)
            if inner is None:
                yield None
                return
            opened.callback(os.close, inner)
            folder = inner
        yield folder


def _open(name: str, flags: int, folder: int, whole: str) -> int | None:
    try:
        return os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENOTDIR):
            refuse("is a link, or lies behind one, and links are not followed here", whole)
        refuse(f"cannot be read ({error.strerror})", whole, hint="Check its permissions.")
