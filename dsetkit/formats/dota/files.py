"""DOTA's files: which text files are its labels, and which subset a picture is of."""

from __future__ import annotations

from collections.abc import Iterable

from dsetkit.formats.dota.text import looks_like_dota
from dsetkit.formats.matching import ByStem, stem_of
from dsetkit.storage.tree import Tree

HEAD_BYTES = 1024
_FOLDER = "labeltxt"


def texts(tree: Tree) -> list[str]:
    """All text files."""
    return [path for path in tree.entries if path.lower().endswith(".txt")]


def in_label_folder(path: str) -> bool:
    """Whether a file lies in a folder called ``labelTxt``, or ``labelTxt-v1.5``, ``trainset_reclabelTxt``, ..."""
    return _FOLDER in path.rpartition("/")[0].rpartition("/")[2].casefold()


def look(tree: Tree, path: str) -> str | None:
    """What of DOTA is seen in the beginning of a file."""
    head = tree.read_head(path, HEAD_BYTES)
    return looks_like_dota(head, is_cut=len(head) == HEAD_BYTES)


def find_files(tree: Tree, pictures: Iterable[str]) -> list[str]:
    """Label files: those that look so, all in a folder called like DOTA's, and beside them those called like pictures.

    An empty one is none but there: it says that a picture shows nothing.
    """
    found: list[str] = []
    doubtful: list[str] = []
    for path in texts(tree):
        (found if in_label_folder(path) or look(tree, path) is not None else doubtful).append(path)
    folders = {path.rpartition("/")[0] for path in found}
    by_stem = ByStem(pictures)
    found += [path for path in doubtful if path.rpartition("/")[0] in folders and by_stem.find(path, path)]
    return sorted(found, key=str.encode)


def picture_twin(path: str) -> str:
    """Where DOTA has a label file's picture, without extension, as seen from the label file's folder."""
    return f"../images/{stem_of(path)}"
