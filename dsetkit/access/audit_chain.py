"""The form of an audit chain: ``access/audit/<principal>.jsonl``, a line an entry.

A line is canonical JSON of an entry and the SSH signature of just that entry; an entry names the SHA-256 of the line
before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from pydantic import Field, JsonValue, ValidationError

from dsetkit.access.files import refuse
from dsetkit.access.provenance import PolicyOfBuild
from dsetkit.spec.base import Digest, Document, canonical_json
from dsetkit.spec.policy import PrincipalName

FOLDER = "access/audit"
MAX_CHAIN_BYTES = 64 * 1024 * 1024
MAX_LINE_BYTES = 64 * 1024

Act = Literal[
    "init",
    "grant",
    "revoke",
    "rotate",
    "protect",
    "declassify",
    "facet",
    "settings",
    "approve",
    "withdraw",
    "settle",
    "sign",
    "build",
    "open",
]


class Entry(Document):
    """One act of one principal."""

    number: int = Field(ge=1)
    """1, 2, ... within the chain."""
    previous: Digest | None = None
    """SHA-256 of the line before; none for the first."""
    principal: PrincipalName
    act: Act
    subject: str = Field(max_length=200)
    """What it was done to: a principal, a stage, a facet."""
    details: dict[str, JsonValue] = Field(default_factory=dict)
    policy: PolicyOfBuild
    """The policy that counted when it was done; for a change of it, the one that it made."""
    at: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
    """By the clock of the machine it was done on: a claim."""


class Logged(NamedTuple):
    """An entry as it stands in a file."""

    entry: Entry
    digest: str
    """SHA-256 of the line."""
    signature: str


def chain_name(principal: str) -> str:
    """Where the chain of a principal is, below the project's root."""
    return f"{FOLDER}/{principal}.jsonl"


def parse_chain(text: bytes, principal: str) -> list[Logged]:
    """The entries of a chain: numbered, linked, of one principal, each in its one byte form; signatures are not looked
    at. Raises ``TamperError``.
    """
    name = chain_name(principal)
    if text and not text.endswith(b"\n"):
        refuse("ends in the midst of an entry", name)
    logged: list[Logged] = []
    for number, line in enumerate(_lines(text), 1):  # one by one: nothing is kept of what follows on a bad one
        place = f"{name}, line {number}"
        found = _parse_line(line, place)
        last = logged[-1] if logged else None
        if found.entry.principal != principal:
            refuse("is of another principal", place)
        if found.entry.number != number or found.entry.previous != (last.digest if last else None):
            refuse("does not follow on the line before: one was altered, taken out or moved", place)
        logged.append(found)
    return logged


def line_of(row: Mapping[str, object], signature: str) -> bytes:
    """The one byte form of an entry and its signature in a chain."""
    return f"{canonical_json({'entry': dict(row), 'signature': signature})}\n".encode()


def signed_bytes(row: Mapping[str, object]) -> bytes:
    """What is signed of an entry."""
    return canonical_json(dict(row)).encode()


def _lines(text: bytes) -> Iterator[bytes]:
    """The lines, each with its line feed. ``text`` ends with one, or is empty."""
    start = 0
    while start < len(text):
        end = text.index(b"\n", start) + 1
        yield text[start:end]
        start = end


def _parse_line(line: bytes, place: str) -> Logged:
    if len(line) > MAX_LINE_BYTES:
        refuse(f"has more than {MAX_LINE_BYTES:,} bytes, and no entry is that long", place)
    try:
        row = json.loads(line)
        entry = Entry.model_validate_json(json.dumps(row["entry"]))
        signature = row["signature"]
        if not isinstance(signature, str) or line_of(entry.to_row(), signature) != line:
            raise ValueError
    except (ValueError, TypeError, KeyError, RecursionError, ValidationError):
        refuse("is no entry, or was altered", place)
    return Logged(entry, hashlib.sha256(line).hexdigest(), signature)
