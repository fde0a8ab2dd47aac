"""Parquet files of a tree."""

from __future__ import annotations

from typing import IO, cast

from dsetkit.formats.text import refuse_pointer
from dsetkit.snapshots.foreign import MAX_GROUP_BYTES, ForeignParquet
from dsetkit.storage.tree import Entry, Store, Tree
from dsetkit.storage.unfold import Window


def open_parquet(tree: Tree, path: str) -> ForeignParquet:
    """A Parquet file, of which the footer is read. Raises ``FormatError`` for one that cannot be read."""
    refuse_pointer(tree.read_head(path, 1024), path)
    return open_in_store(*tree.place(path))


def open_in_store(store: Store, entry: Entry) -> ForeignParquet:
    """As ``open_parquet``, of a file that a store has."""
    return ForeignParquet(cast("IO[bytes]", Window(store, entry, MAX_GROUP_BYTES)), entry.path)
