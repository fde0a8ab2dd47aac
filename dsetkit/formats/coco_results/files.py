"""Which JSON files are lists of predictions, and the COCO files that say what their ids mean."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dsetkit.formats.coco.files import HEAD_BYTES, CocoFile, find_files, split_name
from dsetkit.storage.tree import Tree

_FIRST = re.compile(rb"\s*\[\s*\{")
_IMAGE = re.compile(rb'"image_id"\s*:')
_WHAT = re.compile(rb'"(?:category_id|caption)"\s*:')
_SAID = re.compile(rb'"(?:score|caption)"\s*:')
_NAMED = re.compile(r"results|predictions|detections|_dt(?=[._-])", re.IGNORECASE)


def find_results(tree: Tree, at_most: int | None = None) -> Iterator[str]:
    """The lists of predictions of a tree, likeliest first; reads the beginning of each JSON file, as far as asked on.

    ``at_most`` bounds how many files are looked into whose name does not say so.
    """
    paths = [path for path in tree.entries if path.lower().endswith(".json")]
    looked = 0
    for is_unnamed, path in sorted((not _NAMED.search(path.rpartition("/")[2]), path) for path in paths):
        looked += is_unnamed
        if at_most is not None and looked > at_most:
            return
        if looks_like_results(tree.read_head(path, HEAD_BYTES)):
            yield path


def looks_like_results(head: bytes) -> bool:
    """Whether the beginning of a file is that of a list whose elements are predictions of pictures."""
    text = (
        head.replace(b"\x00", b"").lstrip(b"\xff\xfe\xef\xbb\xbf") if head[:2] in (b"\xff\xfe", b"\xfe\xff") else head
    )
    text = text.removeprefix(b"\xef\xbb\xbf")
    if not _FIRST.match(text):
        return False
    return all(pattern.search(text) is not None for pattern in (_IMAGE, _WHAT, _SAID))


def dataset_files(tree: Tree, results: str) -> list[CocoFile]:
    """The COCO files that may list the pictures of a file of predictions: those of its subset or of like name first."""
    subset = _subset(results)
    stem = results.rpartition("/")[2]

    def rank(file: CocoFile) -> tuple[bool, bool, bytes]:
        own = file.path.rpartition("/")[2].rpartition(".")[0]
        return own not in stem, subset is None or file.subset != subset, file.path.encode()

    return sorted(find_files(tree), key=rank)


def _subset(results: str) -> str | None:
    """The subset that a file's name says: ``instances_val2014_model_results.json`` is of ``val``."""
    folder, slash, name = results.rpartition("/")
    for word in re.split(r"[_.-]", name):
        if (found := split_name(f"{word}.json")[1]) is not None:
            return found
    return split_name(f"{folder}{slash}x.json")[1]
