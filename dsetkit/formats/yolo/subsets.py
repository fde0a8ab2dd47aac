"""Which subsets pictures are in: as YAML and lists of pictures say, else as their folders are called."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from dsetkit.formats.issues import IssueList
from dsetkit.formats.matching import ByStem, closest, subset_of_folders
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.formats.yolo.names import SPLIT_KEYS, Naming, find_place

if TYPE_CHECKING:
    from dsetkit.storage.tree import Tree

MAX_LIST_BYTES = 256 * 1024 * 1024
NO_SPLIT = "unsplit"
"""The folder dsetkit writes samples without a split to; no subset."""


class Subsets:
    """Reads the lists of a tree; collects issues."""

    def __init__(self, tree: Tree, pictures: PictureIndex, namings: Sequence[Naming], issues: IssueList) -> None:
        self.tree = tree
        self.pictures = pictures
        self.namings = namings
        self.issues = issues

    def lists(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """(subset, list file) → keys, of the splits that are lists of pictures."""
        texts = [path for path in self.tree.entries if path.lower().endswith((".txt", ".list"))]
        by_stem = ByStem(self.pictures.paths)
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        for naming in self.namings:
            for subset, value in naming.splits:
                if not value.lower().endswith((".txt", ".list")):
                    continue
                path = find_place(value, naming, texts)
                if path is None:
                    self._missing(naming, subset, value)
                elif self.tree.entries[path].size_bytes <= MAX_LIST_BYTES:
                    found[subset, path] = tuple(self._listed(path, by_stem))
        return found

    def _listed(self, path: str, by_stem: ByStem) -> Iterable[str]:
        folder = path.rpartition("/")[0]
        text = self.tree.read(path).decode("utf-8-sig", "replace")
        for number, line in enumerate(text.splitlines(), 1):
            name = line.strip()
            if not name:
                continue
            reduced = reduce_name(name)
            found = closest(self.pictures.candidates(name, folder), path)
            found = found or (by_stem.find(reduced, path) if reduced else ())
            if len(found) == 1:
                yield found[0]
            elif not self.pictures.paths and reduced:
                yield reduced
            else:
                said = "could be any of several pictures" if found else "is not there"
                message = f"{name[:80]!r} {said}"
                place = f"line {number}"
                self.issues.add("list-unmatched", message, severity="warning", file=path, place=place)

    def of(self, listed: dict[tuple[str, str], tuple[str, ...]], rows: Collection[str]) -> dict[str, tuple[str, ...]]:
        """Key → subsets: as YAML or lists say, else by folders called ``train``, ``val``, ``valid``, ``test``, ..."""
        folders: dict[str, str] = {}
        paths = sorted({*self.pictures.paths, *rows}, key=str.encode)
        known = {"", *(parent for path in paths for parent in _parents(path))}
        for naming in self.namings:
            for subset, value in naming.splits:
                if value.lower().endswith((".txt", ".list")):
                    continue
                place = find_place(value, naming, known, exact=subset not in SPLIT_KEYS.values())
                if place is None:
                    if subset in SPLIT_KEYS.values():
                        self._missing(naming, subset, value)
                elif place.rpartition("/")[2] != NO_SPLIT:
                    self._add_folder(folders, place, subset, naming)
        subsets: dict[str, dict[str, None]] = {}
        for (subset, _), keys in listed.items():
            for key in keys:
                subsets.setdefault(key, {})[subset] = None
        for path in paths:
            given = next((folders[parent] for parent in (*_parents(path), "") if parent in folders), None)
            if given is not None:
                subsets.setdefault(path, {})[given] = None
            elif path not in subsets and (usual := subset_of_folders(path)) is not None:
                subsets[path] = {usual: None}
        return {key: tuple(names) for key, names in subsets.items()}

    def _add_folder(self, folders: dict[str, str], place: str, subset: str, naming: Naming) -> None:
        other = folders.setdefault(place, subset)
        if other != subset:
            if subset in (place.rpartition("/")[2], subset_of_folders(f"{place}/")):
                folders[place] = subset
            message = f"{place or 'the whole folder'} is both {other} and {subset}; taken as {folders[place]} alone"
            hint = "Give each split pictures of its own."
            self.issues.add("split-shared", message, severity="warning", file=naming.file, place=subset, hint=hint)

    def _missing(self, naming: Naming, subset: str, value: str) -> None:
        message = f"{value[:200]!r} is not there"
        hint = "Correct the path, or take the line out."
        self.issues.add("split-missing", message, severity="warning", file=naming.file, place=subset, hint=hint)


def _parents(path: str) -> list[str]:
    """The folders above a path, deepest first, without the root."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
