"""Which files of a tree are CIFAR's, by their names and first bytes."""

from __future__ import annotations

import re
from typing import NamedTuple

from dsetkit.formats.cifar.batch import PIXELS
from dsetkit.storage.tree import Tree

_BINARY_10 = re.compile(r"(?:data_batch_\d+|test_batch)\.bin$")
_BINARY_100 = re.compile(r"(?:train|test|val)\.bin$")
_PYTHON_10 = re.compile(r"(?:data_batch_\d+|test_batch)$")
_META = ("batches.meta", "meta")
_LISTS = ("batches.meta.txt", "fine_label_names.txt", "coarse_label_names.txt")
_PROTOCOLS = tuple(b"\x80" + bytes([number]) for number in range(2, 6))
_HEAD_BYTES = 4096
_WORDS = (b"filenames", b"fine_labels", b"coarse_labels", b"batch_label", b"labels", b"data")


class CifarFiles(NamedTuple):
    """The files of one tree."""

    binary: dict[str, int]
    """Path → label bytes a record: 1 (CIFAR-10) or 2."""
    python: list[str]
    """Pickled batches."""
    meta: list[str]
    """Pickles with names of labels."""
    lists: list[str]
    """Texts with names of labels."""

    @property
    def batches(self) -> list[str]:
        """All batches, sorted."""
        return sorted((*self.binary, *self.python), key=str.encode)

    @property
    def sides(self) -> list[str]:
        """All files with names of labels, sorted."""
        return sorted((*self.meta, *self.lists), key=str.encode)


def cifar_files(tree: Tree) -> CifarFiles:
    """What there is, told by names; of pickles, and of files with general names, the first bytes are looked at."""
    binary: dict[str, int] = {}
    python: list[str] = []
    meta: list[str] = []
    for path, entry in tree.entries.items():
        folder, slash, name = path.rpartition("/")
        if _BINARY_10.match(name):
            binary[path] = 1
        elif _BINARY_100.match(name):
            if f"{folder}{slash}fine_label_names.txt" in tree.entries or entry.size_bytes % (PIXELS + 2) == 0:
                binary[path] = 2
        elif name in _META and _is_pickle(tree, path, (b"label_names",)):
            meta.append(path)
    described = {path.rpartition("/")[0] for path in meta}
    for path in tree.entries:
        folder, _, name = path.rpartition("/")
        if path in meta or "." in name:
            continue
        if _PYTHON_10.match(name) or folder in described or name in ("train", "test"):
            known = folder in described or bool(_PYTHON_10.match(name))
            if _is_pickle(tree, path, () if known else _WORDS):
                python.append(path)
    folders = {path.rpartition("/")[0] for path in (*binary, *python)}
    lists = [path for path in tree.entries if path.rpartition("/")[2] in _LISTS and path.rpartition("/")[0] in folders]
    return CifarFiles(binary, python, [path for path in meta if path.rpartition("/")[0] in folders], lists)


def _is_pickle(tree: Tree, path: str, words: tuple[bytes, ...]) -> bool:
    head = tree.read_head(path, _HEAD_BYTES)
    return head.startswith(_PROTOCOLS) and (not words or any(word in head for word in words))


def subset_of(path: str) -> str:
    """``train`` for ``data_batch_1``, ``test`` for ``test_batch``, else the file's own name."""
    name = path.rpartition("/")[2].removesuffix(".bin")
    if name.startswith("data_batch_"):
        return "train"
    return "test" if name == "test_batch" else name
