"""Which picture a label file beside or near it is about, for formats that say it by the file's name."""

from __future__ import annotations

import re
from collections.abc import Iterable


class ByStem:
    """Paths to be found by their file name without its extension, whatever its case.

    ``aliases`` are more names under which a path is found: pairs of another path (its stem counts) and the path.
    """

    def __init__(self, paths: Iterable[str], aliases: Iterable[tuple[str, str]] = ()) -> None:
        self._by_stem: dict[str, list[tuple[str, str]]] = {}
        for path in paths:
            self._add(path, path)
        for name, path in aliases:
            self._add(name, path)

    def _add(self, name: str, path: str) -> None:
        self._by_stem.setdefault(stem_of(name).casefold(), []).append((name, path))

    def find(self, name: str, near: str) -> tuple[str, ...]:
        """The paths that ``name`` (a path with or without extension) can mean, seen from the file ``near``.

        None, one, or several that cannot be told apart. Better than others is a path that agrees in case, then with
        the folders in ``name``, then one in folders like ``near``'s (``labels/train/1.txt``: ``images/train/1.jpg``).
        """
        base = name.rpartition("/")[2]
        found = self._by_stem.get(base.casefold()) or self._by_stem.get(stem_of(base).casefold(), [])
        if len(found) > 1:
            same = [item for item in found if base in (stem_of(item[0]), item[0].rpartition("/")[2])]
            found = same or found
        if len(found) > 1 and "/" in name:
            tail = "/" + without_extension(name)
            ending = [item for item in found if f"/{without_extension(item[0])}".endswith((tail, f"/{name}"))]
            found = ending or found
        return closest(tuple(dict.fromkeys(path for _, path in found)), near)


def closest(paths: tuple[str, ...], near: str) -> tuple[str, ...]:
    """Of paths, those whose folders agree most with the folders of the file ``near``: first parts and last parts."""
    if len(paths) < 2:
        return paths
    folders = near.split("/")[:-1]
    scores = [_agreement(path.split("/")[:-1], folders) for path in paths]
    best = max(scores)
    return tuple(path for path, score in zip(paths, scores, strict=True) if score == best)


def _agreement(one: list[str], other: list[str]) -> int:
    first = _equal_parts(one, other)
    return first + _equal_parts(one[first:][::-1], other[first:][::-1])


def _equal_parts(one: list[str], other: list[str]) -> int:
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def stem_of(path: str) -> str:
    """The file name without its extension: ``a/b.c.jpg`` → ``b.c``."""
    name = path.rpartition("/")[2]
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem else name


def without_extension(path: str) -> str:
    """The path without its file's extension: ``a/b.c.jpg`` → ``a/b.c``."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{stem_of(name)}"


def extension_of_path(path: str) -> str:
    """The extension, lower-case with its dot; empty where there is none."""
    name = path.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    return f".{extension.lower()}" if dot and stem else ""


_USUAL = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "trainval": "trainval",
}


def subset_of_folders(path: str) -> str | None:
    """The subset that the deepest folder of such a name is: ``train``, ``val`` (``valid``, ``dev``), ``test``, ..."""
    for part in reversed(path.split("/")[:-1]):
        if (name := _USUAL.get(part.casefold())) is not None:
            return name
    return None


def subset_in_words(path: str) -> str | None:
    """The word for a subset in a path, as it stands there, last part first: ``imagenet-train-0001``, ``test/0``."""
    for part in reversed(path.lower().split("/")):
        for word in re.split(r"[^a-z]+", part):
            if word in _USUAL:
                return word
    return None
