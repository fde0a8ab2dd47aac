"""Ground Truth's files: which are manifests, which subset each speaks of, which pictures are label maps."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import NamedTuple

from dsetkit.formats.base import SUBSET_NAMES
from dsetkit.formats.notes import bucket_path
from dsetkit.formats.pictures import PictureIndex, reduce_name
from dsetkit.formats.text import MAX_LABEL_BYTES
from dsetkit.storage.tree import Tree

HEAD_BYTES = 16 * 1024
EXTENSIONS = (".manifest", ".json", ".jsonl", ".ndjson")
SOURCE = "source-ref"
_LINE = re.compile(rb'\{[^\n]{0,4000}?"source-ref"\s*:\s*"')
_METADATA = re.compile(rb'"[^"\n]+-metadata"\s*:\s*\{')
_REF = re.compile(rb'"([^"\\\n]+)-ref"\s*:\s*"([^"\\\n]+)"')


class ManifestFile(NamedTuple):
    """One manifest."""

    path: str
    subset: str | None
    confidence: float
    why: str
    """What was seen in it."""


def find_files(tree: Tree, at_most: int | None = None) -> Iterator[ManifestFile]:
    """The manifests of a tree: those of that ending first, then others. Reads the beginning of each likely file.

    ``at_most`` bounds how many files are looked into whose name does not say manifest.
    """
    candidates = [path for path in tree.entries if path.lower().endswith(EXTENSIONS)]
    looked = 0
    for path in sorted(candidates, key=lambda path: ("manifest" not in path.lower(), path.encode())):
        looked += "manifest" not in path.lower()
        if at_most is not None and looked > at_most:
            return
        found = looks_like_manifest(tree.read_head(path, HEAD_BYTES))
        if found is not None:
            yield ManifestFile(path, subset_of(path), *found)


def looks_like_manifest(head: bytes) -> tuple[float, str] | None:
    """How surely a file with this beginning is a manifest of pictures, and what shows it; None if it is none."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.replace(b"\x00", b"")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\xff\xfe \t\r\n")
    if not _LINE.match(text):
        return None
    if _METADATA.search(text):
        return 0.95, "lines with a source-ref, labels and their metadata"
    return 0.9, "lines with a source-ref"


def subset_of(path: str) -> str | None:
    """The subset by the file's name: ``output-<subset>.manifest``, ``train.manifest``."""
    stem = path.rpartition("/")[2].rpartition(".")[0]
    if stem.startswith("output-"):
        return stem.removeprefix("output-") or None
    return stem if stem.lower() in SUBSET_NAMES else None


def label_maps(tree: Tree, pictures: list[str]) -> PictureIndex:
    """The pictures that manifests name as label maps, not as what is labelled."""
    index = PictureIndex(tree, pictures)
    maps: dict[str, int] = {}
    labelled: dict[str, int] = {}
    for file in find_files(tree):
        if tree.entries[file.path].size_bytes > MAX_LABEL_BYTES:
            continue  # ``read`` refuses it
        data = tree.read(file.path)
        if b"-ref-metadata" not in data:
            continue
        for name, value in _REF.findall(data):
            text = value.decode("utf-8", "replace")
            plain = bucket_path(text) or text
            found = index.candidates(plain, file.path.rpartition("/")[0])
            if len(found) == 1:
                claims = labelled if name == b"source" else maps
                claims[found[0]] = max(claims.get(found[0], 0), _common_parts(found[0], plain))
    # Where pictures are absent, the name of one may find the map that is called like it; the map's own finds it better.
    return PictureIndex(tree, [path for path, parts in maps.items() if parts > labelled.get(path, 0)])


def _common_parts(path: str, name: str) -> int:
    """How many of their last parts a path and the name that found it share, at least 1."""
    pairs = zip(reversed(path.split("/")), reversed(reduce_name(name).split("/")), strict=False)
    return max(1, sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)))
