"""A snapshot among the files of a tree."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from dsetkit.errors import FormatError, StorageError
from dsetkit.storage.tree import Tree

DOCUMENT = "snapshot.json"
_HEAD_BYTES = 4096


def snapshot_roots(tree: Tree) -> list[str]:
    """Folders with a snapshot in them, each with ``/`` at its end but the tree's own, which is empty."""
    roots = []
    for path in tree.entries:
        folder, _, name = path.rpartition("/")
        if name == DOCUMENT:
            head = tree.read_head(path, _HEAD_BYTES)
            if head.lstrip().startswith(b"{") and b'"' in head:
                roots.append(f"{folder}/" if folder else "")
    return [root for root in roots if _has_parts(tree, root)]


def only_root(tree: Tree) -> str | None:
    """The folder of the one snapshot; None where there is none. Raises ``FormatError`` where there are several."""
    roots = snapshot_roots(tree)
    if len(roots) > 1:
        shown = ", ".join(root.rstrip("/") or "." for root in roots[:3])
        raise FormatError(
            f"{tree.url} has {len(roots)} snapshots ({shown})",
            file=roots[0] + DOCUMENT,
            hint="Name the folder of one of them.",
        )
    return roots[0] if roots else None


def snapshot_files(tree: Tree, root: str) -> list[str]:
    """All files of a snapshot."""
    folders = (f"{root}samples/", f"{root}shards/")
    return [
        path
        for path in tree.entries
        if path in (root + DOCUMENT, f"{root}rejected.parquet")
        or (path.startswith(folders[0]) and path.endswith(".parquet"))
        or (path.startswith(folders[1]) and path.endswith(".tar"))
    ]


def _has_parts(tree: Tree, root: str) -> bool:
    """Whether what lies beside the document is a snapshot's; an empty one has nothing beside it."""
    start = len(root)
    beside = {path[start:].partition("/")[0] for path in tree.entries if path.startswith(root)}
    return bool(beside & {"samples", "shards", "rejected.parquet"}) or beside == {DOCUMENT}


class TreeFolder:
    """The files below a folder of a tree, as ``dsetkit.storage.folder.Folder``."""

    def __init__(self, tree: Tree, root: str) -> None:
        self._tree = tree
        self._root = root

    @property
    def url(self) -> str:
        """See ``Folder.url``."""
        return f"{self._tree.url}/{self._root}".rstrip("/")

    def read(self, name: str) -> bytes:
        """See ``Folder.read``."""
        return self._tree.read(self._root + name)

    def read_range(self, name: str, start: int, length: int) -> bytes:
        """See ``Folder.read_range``."""
        return self._tree.read_range(self._root + name, start, length)

    def size_bytes(self, name: str) -> int | None:
        """See ``Folder.size_bytes``."""
        entry = self._tree.entries.get(self._root + name)
        return None if entry is None else entry.size_bytes

    def local_path(self, name: str) -> Path | None:
        """None: files are read as they were when scanned."""
        return None

    def names(self) -> Iterator[str]:
        """See ``Folder.names``."""
        return (path[len(self._root) :] for path in self._tree.entries if path.startswith(self._root))


class PackedPicture:
    """Reads a picture in a shard, if its bytes are those that were packed."""

    def __init__(self, read: Callable[[], bytes], digest: str, key: str) -> None:
        self._arguments = (read, digest, key)

    def __call__(self) -> bytes:
        """Its bytes. Raises ``StorageError`` where they are others."""
        read, digest, key = self._arguments
        data = read()
        if hashlib.sha256(data).hexdigest() != digest:
            raise StorageError(
                f"the picture of {key!r} is not the one that was packed",
                url=key,
                hint="See what else is damaged: dsetkit verify; then fetch the snapshot again.",
            )
        return data
