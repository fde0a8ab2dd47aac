"""Keys: the name of a sample, ``<source>/<relative path>``."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator

SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def check_source_name(name: str) -> str:
    """The name itself; raises ``ValueError`` unless it matches ``[a-z0-9][a-z0-9_-]*``."""
    if not SOURCE_NAME.match(name):
        raise ValueError(f"a source name is lower-case letters, digits, '-' and '_', not {name!r}")
    return name


def check_key(key: str) -> str:
    """The key in NFC; raises ``ValueError`` for one that could escape a folder or a terminal.

    A key is a relative path of ``/``-separated parts; no part is empty, ``.`` or ``..``; no backslash, no control
    or direction-changing character; at most 1,024 bytes of UTF-8.
    """
    key = unicodedata.normalize("NFC", key)
    if _CONTROL.search(key) or "\\" in key:
        raise ValueError(f"a key has no control characters and no backslash: {key!r}")
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError(f"a key is a relative path without empty, '.' or '..' parts: {key!r}")
    if len(key.encode()) > 1024:
        raise ValueError("a key has at most 1,024 bytes")
    return key


def sort_key(key: str) -> bytes:
    """What keys are sorted by: their UTF-8 bytes."""
    return key.encode()


Key = Annotated[str, AfterValidator(check_key)]
"""A sample's name, unique in a snapshot: ``<source>/<relative path>``, NFC."""

SourceName = Annotated[str, AfterValidator(check_source_name)]
"""A source's name."""
