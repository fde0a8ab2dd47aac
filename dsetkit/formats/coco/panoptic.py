"""COCO's panoptic files: which JSON files are some, and which PNG files are their label maps.

They are read and written by ``coco_panoptic``; here so that ``coco`` can tell them from its own, and their maps from
pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydantic import TypeAdapter
from typing_extensions import TypedDict  # pydantic needs it below Python 3.12

from dsetkit.formats.coco.files import HEAD_BYTES, CocoFile, speaks_of_segments, split_name
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.text import MAX_LABEL_BYTES, utf8_json
from dsetkit.storage.tree import Tree

_SEGMENTS = b'"segments_info"'
_FOLDERS = ("panoptic", "panoptic_maps", "masks", "mask", "maps", "labels", "segmentation", "annotations")
"""Where label maps lie, where pictures have the same names."""


class _Named(TypedDict, total=False):
    file_name: object


class _Names(TypedDict, total=False):
    images: list[_Named]
    annotations: list[_Named]


_NAMES = TypeAdapter(_Names)


def find_panoptic(tree: Tree, at_most: int | None = None) -> Iterator[CocoFile]:
    """The panoptic files of a tree, likeliest first; reads the beginning and the end of each JSON file.

    ``at_most`` bounds how many files are looked into whose name does not say ``panoptic``.
    """
    paths = [path for path in tree.entries if path.lower().endswith(".json")]
    looked = 0
    for is_unnamed, path in sorted((not _is_named(path), path) for path in paths):
        looked += is_unnamed
        if at_most is not None and looked > at_most:
            return
        why = why_panoptic(tree, path)
        if why is not None:
            _, subset, hints = split_name(path)
            yield CocoFile(path, "panoptic", subset, hints, why)


def why_panoptic(tree: Tree, path: str) -> str | None:
    """What of a panoptic file is seen in a JSON file's beginning, end and name; None if it does not look like one."""
    head = _plain(tree.read_head(path, HEAD_BYTES))
    if not head.lstrip(b" \t\r\n").startswith(b"{"):
        return None
    if b'"annotations"' in head and _SEGMENTS in head:
        return "annotations with segments_info"
    if b'"images"' not in head and b'"annotations"' not in head:
        return None
    if speaks_of_segments(tree, path):
        return "annotations with segments_info"
    is_empty = b'"annotations"' in head and not any(mark in head for mark in _OTHER_ANNOTATIONS)
    return "images and annotations, and is called panoptic" if _is_named(path) and is_empty else None


_OTHER_ANNOTATIONS = (b'"bbox"', b'"segmentation"', b'"caption"', b'"category_id"')


def label_maps(tree: Tree, files: Iterable[CocoFile]) -> frozenset[str]:
    """The label maps of panoptic files."""
    found: set[str] = set()
    for file in files:
        own = _beside(tree, file)
        found.update(own or _named_maps(tree, file))
    return frozenset(found)


class MapIndex:
    """The label maps of one file, to be found by the names it gives them.

    They lie in the folder that is called like the file (``panoptic_val.json``: ``panoptic_val/``); where there is none,
    anywhere, but a map is no picture: names in ``pictures`` are of those.
    """

    def __init__(self, tree: Tree, file: CocoFile, pictures: Iterable[str] = ()) -> None:
        own = _beside(tree, file)
        self._file = file
        self._pictures = frozenset() if own else frozenset(pictures)
        self._near = _folder(file) if own else file.path.rpartition("/")[0]
        self._index = PictureIndex(None, own or [path for path in tree.entries if _is_png(path)])

    def find(self, name: str) -> str | None:
        """The path of a map; None where it is not there or not clear."""
        prefer = (*_FOLDERS, *self._file.folder_hints)
        found = self._index.candidates(name, self._near, prefer)
        if len(found) != 1 or (name in self._pictures and not _under(found[0], prefer)):
            return None
        return found[0]


def _named_maps(tree: Tree, file: CocoFile) -> Iterator[str]:
    if tree.entries[file.path].size_bytes > MAX_LABEL_BYTES or not any(map(_is_png, tree.entries)):
        return
    try:
        document = _NAMES.validate_json(utf8_json(tree.read(file.path), file.path))
    except (ValueError, RecursionError):  # reading it says what is wrong
        return
    index = MapIndex(tree, file, names_in(document.get("images", ())))
    for name in names_in(document.get("annotations", ())):
        path = index.find(name)
        if path is not None:
            yield path


def names_in(entries: Sequence[object]) -> Iterator[str]:
    """The file names that entries of a list give."""
    for entry in entries:
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if isinstance(name, str) and name:
            yield name


def _beside(tree: Tree, file: CocoFile) -> list[str]:
    folder = f"{_folder(file)}/"
    return [path for path in tree.entries if path.startswith(folder) and _is_png(path)]


def _folder(file: CocoFile) -> str:
    return file.path.rpartition(".")[0]


def _under(path: str, folders: Sequence[str]) -> bool:
    return not {part.casefold() for part in folders}.isdisjoint(path.casefold().split("/")[:-1])


def _is_named(path: str) -> bool:
    return "panoptic" in path.rpartition("/")[2].lower()


def _is_png(path: str) -> bool:
    return path.lower().endswith(".png")


def _plain(head: bytes) -> bytes:
    return head.replace(b"\x00", b"").lstrip(b"\xff\xfe\xef\xbb\xbf")
