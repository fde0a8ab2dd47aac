"""What DVC keeps for a commit: the outputs that its ``dvc.lock`` and ``.dvc`` files record.

A repository may come out of a backup that somebody has tampered with, so nothing in it is believed: documents that are
too large, too deep or no YAML record nothing, and a path that leads out of the project is no output.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any

from dsetkit.history.recorded import MAX_DOCUMENT_BYTES
from dsetkit.history.repository import git
from dsetkit.stages.yaml_documents import UnfitYaml, parse_untrusted

_OID = re.compile(r"[0-9a-f]{32}(\.dir)?\Z")


class Outputs:
    """The outputs of a project's commits; each document of git is read once."""

    def __init__(self, root: Path) -> None:
        """``root``: the project's folder."""
        self._root = root
        self._documents: dict[str, Any] = {}

    def at(self, rev: str) -> dict[str, str]:
        """Path in the project → DVC's object of each output that a commit records and git does not keep itself."""
        tree = self._tree(rev)
        in_git = set(tree) | {str(folder) for name in tree for folder in PurePosixPath(name).parents}
        found: dict[str, str] = {}
        for name in tree:
            base = name.rpartition("/")[2]
            if base != "dvc.lock" and not (base.endswith(".dvc") and base != ".dvc"):
                continue
            folder = PurePosixPath(name).parent
            uncached = _uncached(self._document(tree, str(folder / "dvc.yaml"))) if base == "dvc.lock" else set()
            for path, oid in _recorded(self._document(tree, name)):
                place = normpath(str(folder / path))
                if place not in in_git and path not in uncached and _is_inside(place):
                    found[place] = oid
        return found

    def _tree(self, rev: str) -> dict[str, tuple[str, int]]:
        """Path in the project → blob and size of every file of a commit below the project's folder."""
        text = git(self._root, "ls-tree", "-r", "-l", "-z", rev, required=True) or ""
        found = {}
        for entry in text.split("\0"):
            facts, mark, name = entry.partition("\t")
            if mark:
                _, _, blob, size = facts.split()
                found[name] = (blob, int(size) if size.isdigit() else 0)  # "-": a submodule
        return found

    def _document(self, tree: dict[str, tuple[str, int]], name: str) -> Any:
        blob, size = tree.get(name, ("", 0))
        if not 0 < size <= MAX_DOCUMENT_BYTES:
            return None
        if blob not in self._documents:
            text = git(self._root, "cat-file", "blob", blob, required=True) or ""
            try:
                self._documents[blob] = parse_untrusted(text)
            except UnfitYaml:
                self._documents[blob] = None
        return self._documents[blob]


def _is_inside(place: str) -> bool:
    return place != "." and not place.startswith(("/", "../")) and place != ".." and not set("\\\0") & set(place)


def _recorded(document: Any) -> Iterator[tuple[str, str]]:
    """Path → object of the outputs in a ``dvc.lock`` or ``.dvc`` file."""
    if not isinstance(document, dict):
        return
    stages = document.get("stages")
    for holder in list(stages.values()) if isinstance(stages, dict) else [document]:
        outs = holder.get("outs") if isinstance(holder, dict) else None
        for out in outs if isinstance(outs, list) else ():
            if isinstance(out, dict) and out.get("cache") is not False:
                oid, path = out.get("md5"), out.get("path")
                if isinstance(path, str) and isinstance(oid, str) and _OID.match(oid):
                    yield path, oid


def _uncached(document: Any) -> set[str]:
    """Outputs that ``dvc.yaml`` keeps out of DVC's cache (``cache: false``)."""
    found: set[str] = set()
    pending, seen = [document], set()
    while pending:
        value = pending.pop()
        if not isinstance(value, (dict, list)) or id(value) in seen:  # YAML's aliases may repeat a part, or hold itself
            continue
        seen.add(id(value))
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(inner, dict) and inner.get("cache") is False:
                found.add(str(name))
            pending.append(inner)
    return found
