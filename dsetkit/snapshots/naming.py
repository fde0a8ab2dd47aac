"""What the files of a snapshot are called, plain and sealed.

Plain: ``samples/<SHA-256>.parquet``, ``rejected.parquet``, ``shards/<SHA-256>.tar``. Sealed: tables are called by a
keyed hash of their content, which they are bound to: ``samples/<name>.sealed`` and ``rejected-<name>.sealed``; shards
by the SHA-256 of their sealed bytes. Tables of facets: ``facets/<facet>/<name>.sealed``, and
``facets/<one>+<other>/<name>.sealed`` for what takes several facets to read.
"""

from __future__ import annotations

import re
from typing import Literal

SAMPLES = "samples"
SHARDS = "shards"
SNAPSHOT = "snapshot.json"
FACETS = "facets"
REJECTED = "rejected.parquet"

TableKind = Literal["samples", "rejected"]

SHARD = re.compile(r"shards/([0-9a-f]{64})\.tar\Z")
PLAIN_TABLES = {
    "samples": re.compile(r"samples/([0-9a-f]{64})\.parquet\Z"),
    "rejected": re.compile(r"rejected\.parquet\Z"),
}
SEALED_TABLES = {
    "samples": re.compile(r"samples/([0-9a-f]{64})\.sealed\Z"),
    "rejected": re.compile(r"rejected-([0-9a-f]{64})\.sealed\Z"),
}

FACET_TABLE = re.compile(r"facets/([a-z0-9][a-z0-9-]{0,63}(?:\+[a-z0-9][a-z0-9-]{0,63})*)/([0-9a-f]{64})\.sealed\Z")


def plain_table(kind: TableKind, digest: str) -> str:
    """The name of a plain table."""
    return f"{SAMPLES}/{digest}.parquet" if kind == "samples" else REJECTED


def sealed_table(kind: TableKind, content: str) -> str:
    """The name of a sealed table whose content is called ``content`` (64 hex digits)."""
    return f"{SAMPLES}/{content}.sealed" if kind == "samples" else f"rejected-{content}.sealed"


def facet_table(layer: str, content: str) -> str:
    """The name of a table of what takes all facets of ``layer`` (joined by ``+``) to read."""
    return f"{FACETS}/{layer}/{content}.sealed"


def content_name(name: str) -> str:
    """What a sealed file called so is bound to: its name without folder, kind and ending."""
    return name.rpartition("/")[2].removeprefix("rejected-").partition(".")[0]
