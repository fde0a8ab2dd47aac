"""IDX files in a tree: which there are, which belong together, and what their headers say."""

from __future__ import annotations

import io
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from dsetkit.errors import FormatError
from dsetkit.formats.matching import subset_in_words
from dsetkit.formats.text import refuse_pointer
from dsetkit.formats.unpacked import FAULTS, unpack
from dsetkit.storage.tree import Tree

IMAGES, LABELS = 0x00000803, 0x00000801
"""The first four bytes, as a big-endian number: unsigned bytes in three dimensions, in one."""
MAX_BYTES = 4 * 1024**3
"""A file that has more, unpacked, is refused."""
MAX_PICTURES = 2_000_000
"""A file with more pictures is refused; the largest in use, of EMNIST, has 814,255."""

_NAME = re.compile(r"(?i)(?:^|[-_.])(?:idx\d?(?:[-_.]ubyte)?|ubyte)(?:\.gz)?$")
_WORDS = frozenset({"images", "image", "labels", "label", "ubyte", "gz", "idx", "idx1", "idx3"})
_SPLIT = re.compile(r"[-_.]")
_HEAD_BYTES = 16
_PACKED_HEAD_BYTES = 4096
_CUT = "Fetch it again: its download was cut short, or it was made wrongly."


@dataclass(frozen=True)
class IdxFile:
    """One file whose header can be believed."""

    path: str
    magic: int
    shape: tuple[int, ...]
    """As the header says: how many, rows, columns."""
    packed: bool
    """Whether it is compressed (gzip)."""
    size_bytes: int
    """Of all of it, unpacked."""

    @property
    def start(self) -> int:
        """Where the data begins, unpacked."""
        return 4 + 4 * len(self.shape)

    @property
    def item_bytes(self) -> int:
        """How much one picture, or label, takes."""
        return math.prod(self.shape[1:])

    @property
    def count(self) -> int:
        """How many there are whole, at most as many as the header says."""
        return max(0, min(self.shape[0], (self.size_bytes - self.start) // self.item_bytes))


def idx_paths(tree: Tree) -> list[str]:
    """Files with names as ``train-images-idx3-ubyte``, ``train-images.idx3-ubyte.gz``, ``x.idx``."""
    return [path for path in tree.entries if _NAME.search(path.rpartition("/")[2])]


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


def read_header(tree: Tree, path: str) -> IdxFile:
    """What the header says, with the real size. Little is read, unless a packed file seems to lie about its size.

    Raises ``FormatError`` for a file that is neither images nor labels of single bytes, is cut off in its header,
    has pictures of no pixels or more than can be, or cannot be unpacked.
    """
    refuse_pointer(tree.read_head(path, 1024), path)
    head = _head(tree, path)
    magic = int.from_bytes(head[:4], "big") if len(head) >= 4 else None
    if magic not in (IMAGES, LABELS):
        shown = "nothing" if magic is None else f"0x{magic:08x}"
        raise FormatError(
            f"{path} begins with {shown}, where images have 0x00000803 and labels 0x00000801",
            file=path,
            place="byte 0",
            hint="Only images of one byte a pixel (idx3-ubyte) and their labels (idx1-ubyte) are read.",
        )
    count = 3 if magic == IMAGES else 1
    if len(head) < 4 + 4 * count:
        raise FormatError(f"{path} ends in its header", file=path, place=f"byte {len(head)}", hint=_CUT)
    shape = tuple(int.from_bytes(head[4 + 4 * number : 8 + 4 * number], "big") for number in range(count))
    rows, columns = shape[1:] if count == 3 else (1, 1)
    if not 1 <= rows <= 65_535 or not 1 <= columns <= 65_535:
        message = f"{path} says that its pictures have {columns}×{rows} px"
        raise FormatError(message, file=path, place="byte 8", hint=_CUT)
    packed = path.lower().endswith(".gz")
    wanted = 4 + 4 * count + math.prod(shape)
    size = _unpacked_size(tree, path, wanted) if packed else tree.entries[path].size_bytes
    found = IdxFile(path, magic, shape, packed, size)
    if found.count > MAX_PICTURES or size > MAX_BYTES:
        raise FormatError(
            f"{path} has {found.count:,} items in {size:,} bytes, more than {MAX_PICTURES:,} or {MAX_BYTES:,} bytes",
            file=path,
            hint="Split it into several files.",
        )
    return found


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
    if not path.lower().endswith(".gz"):
        return tree.read_head(path, _HEAD_BYTES)
    packed = tree.read_head(path, _PACKED_HEAD_BYTES)
    try:
        return zlib.decompressobj(wbits=31).decompress(packed, _HEAD_BYTES)
    except zlib.error:
        return b""


def _unpacked_size(tree: Tree, path: str, wanted: int) -> int:
    """The size when unpacked, counted up to a little more than what is wanted.

    The last four bytes of a gzip file say it (RFC 1952): where that is what the header of the data wants, it is taken.
    """
    size = tree.entries[path].size_bytes
    if size >= 18 and int.from_bytes(tree.read_range(path, size - 4, 4), "little") == wanted:
        return wanted
    counted = 0
    for chunk in _unpack(tree, path):
        counted += len(chunk)
        if counted > min(wanted, MAX_BYTES):
            break
    return counted


def _unpack(tree: Tree, path: str) -> Iterator[bytes]:
    try:
        yield from unpack(io.BytesIO(tree.read(path, MAX_BYTES)), "gz")
    except FAULTS as error:
        raise FormatError(f"{path} cannot be unpacked ({error})", file=path, hint=_CUT) from error
