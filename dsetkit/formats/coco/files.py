"""COCO's files: which JSON files are COCO, what kind each is, which subset it speaks of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from dsetkit.formats.base import SUBSET_NAMES
from dsetkit.storage.tree import Tree

KINDS = ("instances", "person_keypoints", "stuff", "other", "captions", "labels", "image_info")
"""What a file's name says it is; files are read in this order, so its ids stay as they are in the first of them."""

HEAD_BYTES = 64 * 1024
_NAMED = re.compile(
    r"(?P<kind>instances|person_keypoints|keypoints|stuff|captions|labels|image_info|panoptic)(?:[_-](?P<rest>.+))?",
    re.I,
)
_YEAR = re.compile(r"(?<=[a-z])(?:19|20)\d\d\Z|(?<=[a-z])(?:19|20)\d\d(?=-)", re.I)
_IMAGES = re.compile(rb'"images"\s*:\s*\[')
_ANNOTATIONS = re.compile(rb'"annotations"\s*:\s*\[')
_REFERENCE = re.compile(rb'"(?:image_id|category_id|segmentation|bbox)"\s*:')
_OTHERS = re.compile(rb'"(?:segments_info|items|shapes|_via_img_metadata|data_row|labels?_?Map)"\s*:')


class CocoFile(NamedTuple):
    """One annotation file."""

    path: str
    kind: str
    """One of ``KINDS``."""
    subset: str | None
    folder_hints: tuple[str, ...]
    """Names of folders its pictures likely lie in."""
    why: str
    """What was seen in it."""


def split_name(path: str) -> tuple[str, str | None, tuple[str, ...]]:
    """Kind, subset and folder hints by a file's path.

    ``annotations/instances_val2017.json`` is instances of ``val`` (the year is COCO's edition, no part of the subset);
    ``val/_annotations.coco.json`` and ``val.json`` are of ``val`` too.
    """
    folder, _, name = path.rpartition("/")
    stem = re.sub(r"\.coco\Z|\A_+", "", name.rpartition(".")[0], flags=re.I)
    found = _NAMED.fullmatch(stem)
    kind, rest = ("other", None) if found is None else (found["kind"].lower(), found["rest"])
    kind = "person_keypoints" if kind == "keypoints" else kind
    if found is None:
        words = [word for word in re.split(r"[\W_]+", stem) if _YEAR.sub("", word).lower() in SUBSET_NAMES]
        rest = words[0] if len(words) == 1 else None
    if rest is None:
        last = folder.rpartition("/")[2]
        rest = last if _YEAR.sub("", last).lower() in SUBSET_NAMES else None
    if rest is None:
        return kind, None, ()
    subset = _YEAR.sub("", rest)
    return kind, subset, tuple(dict.fromkeys((rest, subset)))


def find_files(tree: Tree, at_most: int | None = None) -> Iterator[CocoFile]:
    """The COCO files of a tree, likeliest first. Reads the beginning of each JSON file, as far as it is asked on.

    ``at_most`` bounds how many files are looked into whose name does not say COCO.
    """
    candidates = []
    for path in tree.entries:
        if path.lower().endswith(".json"):
            kind, subset, hints = split_name(path)
            likely = kind != "other" or path.lower().endswith(".coco.json") or "annotations/" in path
            if kind != "panoptic":
                candidates.append((not likely, path, kind, subset, hints))
    looked = 0
    for unlikely, path, kind, subset, hints in sorted(candidates, key=lambda item: (item[0], item[1].encode())):
        looked += unlikely
        if at_most is not None and looked > at_most:
            return
        why = looks_like_coco(tree.read_head(path, HEAD_BYTES))
        if why == "images" and speaks_of_segments(tree, path):
            continue
        if why is not None:
            yield CocoFile(path, kind, subset, hints, why)


def speaks_of_segments(tree: Tree, path: str) -> bool:
    """Whether the end of a file whose beginning has no annotations yet is of a panoptic one."""
    size = tree.entries[path].size_bytes
    length = min(size - HEAD_BYTES, 2 * HEAD_BYTES)
    return length > 0 and b'"segments_info"' in tree.read_range(path, size - length, length).replace(b"\x00", b"")


def looks_like_coco(head: bytes) -> str | None:
    """What of COCO is seen in the beginning of a file; None if it does not look like it."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.replace(b"\x00", b"")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\xff\xfe \t\r\n")
    if not text.startswith(b"{") or _OTHERS.search(text):
        return None
    images, annotations = _IMAGES.search(text), _ANNOTATIONS.search(text)
    if images and annotations:
        return "images and annotations"
    if images and (b'"file_name"' in text or b'"coco_url"' in text):
        return "images"
    if annotations and (_REFERENCE.search(text) and b'"image_id"' in text):
        return "annotations"
    return None


def only_file(path: str) -> CocoFile:
    """A file that does not look like COCO, to be read all the same so that an error says why it is not."""
    kind, subset, hints = split_name(path)
    return CocoFile(path, "other" if kind == "panoptic" else kind, subset, hints, "")
