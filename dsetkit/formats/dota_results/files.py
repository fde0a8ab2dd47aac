"""Which text files are DOTA's results, by their names and beginnings."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dsetkit.formats.dota_results.text import Prediction, parse
from dsetkit.storage.tree import Tree

HEAD_BYTES = 1024
_NAME = re.compile(r"Task([12])_(.+)\.txt\Z", re.IGNORECASE)


def task_of(path: str) -> str:
    """``1`` (oriented boxes) or ``2`` (upright ones), as the name says; empty for another name."""
    found = _NAME.fullmatch(path.rpartition("/")[2])
    return found[1] if found is not None else ""


def category_of(path: str) -> str:
    """The category that a file's name says.

    >>> category_of("results/Task1_small-vehicle.txt")
    'small-vehicle'
    """
    found = _NAME.fullmatch(path.rpartition("/")[2])
    return found[2] if found is not None else ""


def find_results(tree: Tree, at_most: int | None = None) -> Iterator[str]:
    """Files called so, of the folders where there is one whose first line is one of theirs.

    ``at_most`` bounds how many are looked into.
    """
    paths = [path for path in tree.entries if task_of(path)]
    looked = [(path, _looks(tree, path)) for path in (paths if at_most is None else paths[:at_most])]
    folders = {path.rpartition("/")[0] for path, looks in looked if looks}
    for path, _ in looked:
        if path.rpartition("/")[0] in folders:
            yield path


def _looks(tree: Tree, path: str) -> bool:
    """Whether the first line is a prediction."""
    lines = tree.read_head(path, HEAD_BYTES).decode("utf-8-sig", "replace").splitlines()
    line = next((line for line in lines if line.strip()), None)
    return line is not None and isinstance(parse(line, task_of(path)), Prediction)
