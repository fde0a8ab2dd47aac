"""What VIA's files of all versions are read into: pictures with regions as version 2 has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from dsetkit.formats.issues import IssueList

LIMIT_PX = 1e9
"""A coordinate beyond this is taken for a fault."""
Number = Annotated[float, Field(allow_inf_nan=False, ge=-LIMIT_PX, le=LIMIT_PX)]
"""A coordinate."""


class Picture(NamedTuple):
    """A picture of a file; ``regions`` are those that are what they should be, each with its place in the file."""

    name: str
    size_bytes: int | None
    attributes: Mapping[str, Any]
    regions: list[tuple[str, Mapping[str, Any]]]
    complete: bool
    """False: a region was left out, with an issue."""
    uri: str | None
    place: str
    number: int = 0
    """Of the picture in its file, from 0."""
    names: Sequence[str] = ()
    """What it may be found by before its name."""
    inline: str = ""
    """The picture itself, as a ``data:`` URL or base64."""


class Parsed(NamedTuple):
    """One file."""

    pictures: list[Picture]
    defined: Mapping[str, Any]
    """What a project defines: ``region`` and ``file``, each attribute by name."""
    folder: str
    """Where a project says its pictures are; empty where it does not."""


def fault(issues: IssueList, code: str, message: str, file: str, place: str) -> None:
    """Notes something wrong in a file."""
    issues.add(code, message, file=file, place=place, hint="Correct it in the file.")
