"""Shards in a tree, and the names of their members: ``a/0001.left.jpg`` is ``left.jpg`` of the sample ``a/0001``."""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from dsetkit.errors import FormatError, PictureError
from dsetkit.formats.text import refuse_pointer
from dsetkit.formats.unpacked import Unpacked
from dsetkit.formats.webdataset.dataset import MEMBER
from dsetkit.formats.webdataset.tar import TarError, TarWalk
from dsetkit.imaging.media import PICTURE_EXTENSIONS
from dsetkit.spec.pointer import pointer_kind
from dsetkit.storage.tree import Tree

SUFFIXES = {".tar": "", ".tar.gz": "gz", ".tgz": "gz", ".tar.bz2": "bz2", ".tbz2": "bz2", ".tar.xz": "xz", ".txz": "xz"}
"""What names of shards end in, and how they are packed."""
CLASSES = ("cls", "cls.txt", "class", "class.txt", "label", "label.txt", "cls2")
"""Extensions of members that name a class, or its number."""
CAPTIONS = ("txt", "text", "caption", "caption.txt", "transcript", "transcript.txt")
DOCUMENT = "json"
NAMES = frozenset({"classnames.txt", "classes.txt", "class_names.txt", "labels.txt", "label_names.txt"})
"""Files beside shards that list the classes, one a line, from 0."""
_HEAD_BYTES = 64 * 1024
_LOOKED_AT = 24


class Name(NamedTuple):
    """What a member's name says."""

    sample: str
    """The path up to the first dot of its last part."""
    field: str
    """What follows the dot, lower-case: ``jpg``, ``cls``, ``left.png``."""

    @property
    def is_picture(self) -> bool:
        """Whether the field is a picture's."""
        return f".{self.field.rpartition('.')[2]}" in PICTURE_EXTENSIONS

    @property
    def is_text(self) -> bool:
        """Whether labels are read from the field."""
        return self.field in CLASSES or self.field in CAPTIONS or self.field.rpartition(".")[2] == DOCUMENT


def split_name(path: str) -> Name | None:
    """A member's sample and field; None for one that WebDataset passes over too: no dot, hidden, ``__MACOSX``.

    >>> split_name("a.b/0001.Left.JPG")
    Name(sample='a.b/0001', field='left.jpg')
    """
    folder, slash, base = path.rpartition("/")
    stem, dot, field = base.partition(".")
    if not stem or not dot or not field or re.search(r"(?:^|/)__[^/]*__(?:/|$)|(?:^|/)__MACOSX/", path):
        return None
    return Name(f"{folder}{slash}{stem}", field.lower())


def packing(path: str) -> str | None:
    """How a tar is packed (``gz``, ..., empty: not at all), by its name; None for another file."""
    lower = path.lower()
    return next((kind for suffix, kind in SUFFIXES.items() if lower.endswith(suffix)), None)


def without_suffix(path: str) -> str:
    """A shard's path without what says that it is one."""
    lower = path.lower()
    return next((path[: -len(suffix)] for suffix in SUFFIXES if lower.endswith(suffix)), path)


def shard_paths(tree: Tree) -> list[str]:
    """Tars that begin with members a sample may have, and pointers to tars that nobody has fetched."""
    tars = [path for path in tree.entries if packing(path) is not None]
    return [path for path in tars if any(_beginning(tree, path)) or pointer_kind(tree.read_head(path, 1024))]


def open_shard(tree: Tree, path: str) -> TarWalk:
    """A shard, to be gone through; one that is packed is unpacked into a temporary file. Raises ``FormatError``."""
    refuse_pointer(tree.read_head(path, 1024), path)
    kind = packing(path)
    if not kind:
        size = tree.entries[path].size_bytes
        ahead = _HEAD_BYTES if tree.workers <= 8 else 1024 * 1024
        return TarWalk(lambda start, length: tree.read_range(path, start, length), size, ahead)
    try:
        unpacked = Unpacked(tree.read(path), kind)
    except PictureError as error:
        hint = "Fetch it again, or unpack it by hand if you trust it."
        raise FormatError(f"{path}: {error.message}", file=path, hint=hint) from error
    return TarWalk(unpacked.read, unpacked.size_bytes)


def looks_like_samples(tree: Tree, path: str) -> tuple[bool, bool]:
    """Whether a shard begins with pictures, and whether with a picture and labels of the same sample."""
    pictures: set[str] = set()
    texts: set[str] = set()
    for name in _beginning(tree, path):
        (pictures if name.is_picture else texts).add(name.sample)
    return bool(pictures), bool(pictures & texts)


def loose_files(tree: Tree) -> list[str]:
    """Label files that lie beside their pictures as they would in a shard (a tar that was unpacked).

    Those that name classes always, others only where there is such a file, or a picture, of the same sample.
    """
    named = {path: name for path in tree.entries if (name := split_name(path)) is not None}
    samples = {name.sample for name in named.values() if name.is_picture or name.field in CLASSES}
    return [
        path
        for path, name in named.items()
        if name.is_text and name.sample in samples and path.rpartition("/")[2] not in NAMES
    ] + [path for path in tree.entries if path == MEMBER]


def name_lists(tree: Tree) -> list[str]:
    """Files that say what classes are called."""
    return [path for path in tree.entries if path.rpartition("/")[2] in NAMES]


def _beginning(tree: Tree, path: str) -> Iterator[Name]:
    """The first members of a shard that a sample may have; of a packed one as far as its beginning goes."""
    kind = packing(path)
    if kind:
        head = _unpack_head(tree.read_head(path, _HEAD_BYTES), kind)
        walk = TarWalk(lambda start, length: head[start : start + length], len(head))
    else:
        size = tree.entries[path].size_bytes
        walk = TarWalk(lambda start, length: tree.read_range(path, start, length), size)
    members = walk.members()
    for _ in range(_LOOKED_AT):
        try:
            member = next(members, None)
        except TarError:
            return
        if member is None:
            return
        name = split_name(member.name)
        if name is not None and (name.is_picture or name.is_text):
            yield name


def _unpack_head(data: bytes, kind: str) -> bytes:
    try:
        if kind == "gz":
            return zlib.decompressobj(wbits=31).decompress(data, _HEAD_BYTES)
        opened = bz2.BZ2Decompressor() if kind == "bz2" else lzma.LZMADecompressor()
        return opened.decompress(data, _HEAD_BYTES)
    except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError):
        return b""
