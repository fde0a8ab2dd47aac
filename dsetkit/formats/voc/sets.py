"""What stands beside VOC's XML files: lists of pictures, lists of categories, masks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from dsetkit.formats.base import SUBSET_NAMES
from dsetkit.formats.issues import IssueList
from dsetkit.formats.matching import extension_of_path, stem_of

if TYPE_CHECKING:
    from dsetkit.storage.tree import Tree

ESCAPE = "\\"
"""Before a name in ``labelmap.txt`` that begins with ``#`` (a comment) or with this."""
MAX_LIST_BYTES = 256 * 1024 * 1024
_MASK_FOLDER = re.compile(r"(?i)segmentation(class|object)\w*\Z|annotationsvisualization\Z")
_COLUMNS = re.compile(r".*\s[+-]?[01]\Z")


def is_mask(path: str) -> bool:
    """Whether a picture lies in a folder of masks or their renderings (``SegmentationClass``, labelme's too)."""
    return any(_MASK_FOLDER.match(part) for part in path.split("/")[:-1])


def subset_order(subsets: Iterable[str]) -> tuple[str, ...]:
    """Those of Main first, then those of other tasks; each once."""
    return tuple(sorted(set(subsets), key=lambda name: ("/" in name, name.encode())))


def is_set_file(path: str) -> bool:
    """Whether a file is a list in ``ImageSets`` or a ``labelmap.txt``."""
    parts = path.casefold().split("/")
    return parts[-1] == "labelmap.txt" or (parts[-1].endswith(".txt") and "imagesets" in parts[:-1])


def subset_of_list(path: str) -> str:
    """The subset a list is of: ``ImageSets/Main/train.txt`` → ``train``, ``ImageSets/Layout/a.txt`` → ``Layout/a``."""
    parts = path.split("/")
    start = max(index for index, part in enumerate(parts[:-1]) if part.casefold() == "imagesets")
    tasks = [part for part in parts[start + 1 : -1] if part.casefold() != "main"]
    return "/".join([*tasks, stem_of(path)])


def read_lists(tree: Tree, find: Callable[[str, str], tuple[str, ...]], issues: IssueList) -> dict[str, set[str]]:
    """Subset → keys, of all lists. ``find`` gives the keys a name can mean, seen from a list's path.

    Lists of single classes are left out; an ``info`` issue counts them.
    """
    members: dict[str, set[str]] = {}
    of_classes: list[str] = []
    for path in tree.entries:
        if not is_set_file(path) or path.rpartition("/")[2].casefold() == "labelmap.txt":
            continue
        if tree.entries[path].size_bytes > MAX_LIST_BYTES:
            issues.add("list-too-large", "the list is too large and was not read", file=path, hint="Split it.")
            continue
        text = tree.read(path).decode("utf-8-sig", "replace")
        lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
        lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
        if _is_of_class(path, lines, find):
            of_classes.append(path)
            continue
        keys = members.setdefault(subset_of_list(path), set())
        for number, line in lines:
            found = find(line, path) or find(line.split()[0], path)
            if len(found) == 1:
                keys.add(found[0])
                continue
            said = "could be any of several pictures" if found else "is the name of no picture and no XML file"
            message = f"{line[:80]!r} {said}"
            place = f"line {number}"
            issues.add("list-unmatched", message, severity="warning", file=path, place=place, hint="It was left out.")
    if of_classes:
        more = f" and {len(of_classes) - 1} more" if len(of_classes) > 1 else ""
        issues.add(
            "voc-class-lists-not-read",
            f"lists of single classes were not read: {of_classes[0]}{more}",
            severity="info",
            hint="They repeat what the boxes say.",
        )
    return {subset: keys for subset, keys in members.items() if keys}


def _is_of_class(path: str, lines: list[tuple[int, str]], find: Callable[[str, str], tuple[str, ...]]) -> bool:
    """Lines ``<picture> -1|0|1`` in a file that is not named like a split (``Layout/train.txt`` numbers objects)."""
    if not lines or stem_of(path).casefold() in SUBSET_NAMES:
        return False
    return all(_COLUMNS.match(line) for _, line in lines) and not find(lines[0][1], path)


def read_labelmap(tree: Tree, issues: IssueList) -> dict[str, str | None]:
    """Category → ``#rrggbb`` in order, of all ``labelmap.txt`` (``name:r,g,b:parts:actions``, Datumaro and CVAT)."""
    names: dict[str, str | None] = {}
    for path in tree.entries:
        if path.rpartition("/")[2].casefold() != "labelmap.txt" or tree.entries[path].size_bytes > 4 * 1024 * 1024:
            continue
        for number, line in enumerate(tree.read(path).decode("utf-8-sig", "replace").split("\n"), 1):
            if not line.strip() or line.startswith("#"):
                continue
            fields = line.rstrip("\r").removeprefix(ESCAPE).rsplit(":", 3)
            if len(fields) != 4 or not fields[0]:
                hint = "Lines are name:r,g,b:parts:actions; it was left out."
                issues.add(
                    "labelmap-malformed",
                    f"{line[:80]!r} is no category",
                    severity="warning",
                    file=path,
                    place=f"line {number}",
                    hint=hint,
                )
                continue
            names.setdefault(fields[0], _color(fields[1]))
    return names


def _color(text: str) -> str | None:
    numbers = [int(part) for part in text.split(",") if part.strip().isdecimal() and int(part) < 256]
    return "#{:02x}{:02x}{:02x}".format(*numbers) if len(numbers) == 3 else None


def mask_issue(tree: Tree, issues: IssueList) -> None:
    """Says that masks are there and not read."""
    masks = [path for path in tree.entries if extension_of_path(path) == ".png" and is_mask(path)]
    if masks:
        files = "1 mask was" if len(masks) == 1 else f"{len(masks)} masks were"
        message = f"{files} not read ({masks[0]})"
        issues.add("voc-masks-not-read", message, severity="info", hint="Boxes and polygons were.")
