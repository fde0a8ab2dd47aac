"""IDX files in a tree: which there are, which belong together, and what their headers say."""

from __future__ import annotations

import io
import lzma
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dsetkit.errors import FormatError
from dsetkit.formats.matching import subset_in_words
from dsetkit.formats.text import refuse_pointer
from dsetkit.formats.unpacked import FAULTS, unpack
from dsetkit.storage.tree import Tree

IMAGES, LABELS = 0x00000803, 0x00000801
"""The first four bytes, as a big-endian number: unsigned bytes in three dimensions, in one."""
ELEMENTS = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
"""The third byte says what the elements are (NumPy's names for them), the fourth how many dimensions there are."""
QMNIST_COLUMNS = 8
MAX_BYTES = 4 * 1024**3
"""A file that has more, unpacked, is refused."""
MAX_PICTURES = 2_000_000
"""A file with more pictures is refused; the largest in use, of EMNIST, has 814,255."""

_TYPES = "ubyte|byte|sbyte|short|int|float|double"
_NAME = re.compile(rf"(?i)(?:^|[-_.])(?:idx\d?(?:[-_.](?:{_TYPES}))?|ubyte)(?:\.(?:gz|xz))?$")
_WORDS = frozenset(
    {"images", "image", "labels", "label", "gz", "xz", "idx", "idx1", "idx2", "idx3", *_TYPES.split("|")}
)
_SPLIT = re.compile(r"[-_.]")
_HEAD_BYTES = 16
_INT = 12
_PACKED_HEAD_BYTES = 4096
_XZ_MEMORY = 256 * 1024**2
_CUT = "Fetch it again: its download was cut short, or it was made wrongly."


@dataclass(frozen=True)
class IdxFile:
    """One file whose header can be believed."""

    path: str
    magic: int
    shape: tuple[int, ...]
    """As the header says: how many, rows, columns."""
    packed: str
    """How it is compressed: ``gz``, ``xz`` or not at all."""
    size_bytes: int
    """Of all of it, unpacked."""

    @property
    def start(self) -> int:
        """Where the data begins, unpacked."""
        return 4 + 4 * len(self.shape)

    @property
    def element(self) -> np.dtype[Any]:
        """What each element is."""
        return np.dtype(ELEMENTS[self.magic >> 8])

    @property
    def is_images(self) -> bool:
        """Whether it holds pictures, not labels."""
        return self.magic == IMAGES

    @property
    def item_bytes(self) -> int:
        """How much one picture, or label, takes."""
        return math.prod(self.shape[1:]) * self.element.itemsize

    @property
    def count(self) -> int:
        """How many there are whole, at most as many as the header says."""
        return max(0, min(self.shape[0], (self.size_bytes - self.start) // self.item_bytes))


def idx_paths(tree: Tree) -> list[str]:
    """Files with names as ``train-images-idx3-ubyte``, ``train-images.idx3-ubyte.gz``, ``x.idx``."""
    return [path for path in tree.entries if _NAME.search(path.rpartition("/")[2])]


def packing_of(path: str) -> str:
    """``gz``, ``xz``, or nothing."""
    extension = path.lower()[-3:]
    return extension[1:] if extension in (".gz", ".xz") else ""


def set_of(path: str) -> str:
    """What a file's images and labels have in common: its folder, and its name without words for what it holds.

    >>> set_of("raw/train-images-idx3-ubyte.gz"), set_of("emnist-letters-test-labels-idx1-ubyte")
    ('raw/train', 'emnist-letters-test')
    """
    folder, slash, name = path.rpartition("/")
    words = [word for word in _SPLIT.split(name) if word and word.lower() not in _WORDS]
    return f"{folder}{slash}{'-'.join(words) or 'pictures'}"


def subset_of(name: str) -> str | None:
    """The subset that a set's name tells: ``train``, ``test`` (``t10k`` is the one of MNIST), ..."""
    last = name.rpartition("/")[2]
    return "test" if last.lower().startswith("t10k") else subset_in_words(last)


def magic_of(tree: Tree, path: str) -> int | None:
    """The first four bytes as a number; None where there are not so many, or it cannot be unpacked."""
    head = _head(tree, path)
    return int.from_bytes(head[:4], "big") if len(head) >= 4 else None


def may_be_idx(magic: int | None) -> bool:
    """Whether a file that begins so is of images or labels that are read."""
    if magic is None or magic >> 16 or magic >> 8 not in ELEMENTS:
        return False
    return magic == IMAGES or magic & 0xFF in (1, 2)


def read_header(tree: Tree, path: str) -> IdxFile:
    """What the header says, with the real size. Little is read, unless a packed file seems to lie about its size.

    Raises ``FormatError`` for a file that is neither images of single bytes nor labels, is cut off in its header,
    has pictures of no pixels or more than can be, or cannot be unpacked.
    """
    refuse_pointer(tree.read_head(path, 1024), path)
    head = _head(tree, path)
    magic = int.from_bytes(head[:4], "big") if len(head) >= 4 else None
    if magic is None or not may_be_idx(magic):
        raise _no_idx(path, magic)
    count = magic & 0xFF
    if len(head) < 4 + 4 * count:
        raise FormatError(f"{path} ends in its header", file=path, place=f"byte {len(head)}", hint=_CUT)
    shape = tuple(int.from_bytes(head[4 + 4 * number : 8 + 4 * number], "big") for number in range(count))
    if magic == IMAGES and not all(1 <= side <= 65_535 for side in shape[1:]):
        message = f"{path} says that its pictures have {shape[2]}×{shape[1]} px"
        raise FormatError(message, file=path, place="byte 8", hint=_CUT)
    if count == 2 and (magic >> 8 != _INT or shape[1] != QMNIST_COLUMNS):
        raise FormatError(
            f"{path} has {shape[1]:,} numbers for each of {shape[0]:,} labels",
            file=path,
            place="byte 8",
            hint="Labels have one number each, or, as QMNIST's, eight of four bytes (idx2-int); write it so.",
        )
    packed = packing_of(path)
    wanted = 4 + 4 * count + math.prod(shape) * np.dtype(ELEMENTS[magic >> 8]).itemsize
    size = _unpacked_size(tree, path, wanted) if packed else tree.entries[path].size_bytes
    found = IdxFile(path, magic, shape, packed, size)
    if found.count > MAX_PICTURES or size > MAX_BYTES:
        raise FormatError(
            f"{path} has {found.count:,} items in {size:,} bytes, more than {MAX_PICTURES:,} or {MAX_BYTES:,} bytes",
            file=path,
            hint="Split it into several files.",
        )
    return found


def _no_idx(path: str, magic: int | None) -> FormatError:
    hint = "Only images of one byte a pixel (idx3-ubyte) and their labels (idx1-ubyte, idx2-int, ...) are read."
    if magic is None or magic >> 16 or magic >> 8 not in ELEMENTS:
        shown = "nothing" if magic is None else f"0x{magic:08x}"
        message = f"{path} begins with {shown}, where images have 0x00000803 and labels 0x00000801"
        return FormatError(message, file=path, place="byte 0", hint=hint)
    what = f"elements of the type 0x{magic >> 8:02x} in {magic & 0xFF} dimensions"
    return FormatError(f"{path} has {what}, so neither images nor labels", file=path, place="byte 2", hint=hint)


def read_data(tree: Tree, file: IdxFile) -> bytes:
    """All items that are there, as they are stored. Raises ``FormatError`` where they cannot be unpacked."""
    length = file.count * file.item_bytes
    if not file.packed:
        return tree.read_range(file.path, file.start, length)
    data = bytearray()
    for chunk in _unpack(tree, file.path):
        data += chunk
        if len(data) >= file.start + length:
            break
    return bytes(data[file.start : file.start + length])


def _head(tree: Tree, path: str) -> bytes:
    kind = packing_of(path)
    if not kind:
        return tree.read_head(path, _HEAD_BYTES)
    packed = tree.read_head(path, _PACKED_HEAD_BYTES)
    try:
        if kind == "gz":
            return zlib.decompressobj(wbits=31).decompress(packed, _HEAD_BYTES)
        return lzma.LZMADecompressor(memlimit=_XZ_MEMORY).decompress(packed, _HEAD_BYTES)
    except (zlib.error, lzma.LZMAError):
        return b""


def _unpacked_size(tree: Tree, path: str, wanted: int) -> int:
    """The size when unpacked, counted up to a little more than what is wanted.

    The last four bytes of a gzip file say it (RFC 1952): where that is what the header of the data wants, it is taken.
    """
    size = tree.entries[path].size_bytes
    if (
        packing_of(path) == "gz"
        and size >= 18
        and int.from_bytes(tree.read_range(path, size - 4, 4), "little") == wanted
    ):
        return wanted
    counted = 0
    for chunk in _unpack(tree, path):
        counted += len(chunk)
        if counted > min(wanted, MAX_BYTES):
            break
    return counted


def _unpack(tree: Tree, path: str) -> Iterator[bytes]:
    try:
        yield from unpack(io.BytesIO(tree.read(path, MAX_BYTES)), packing_of(path))
    except FAULTS as error:
        raise FormatError(f"{path} cannot be unpacked ({error})", file=path, hint=_CUT) from error
