"""Reading label files: size limits and encodings, with errors that say where."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from dsetkit.errors import FormatError
from dsetkit.spec.pointer import fetch_hint, pointer_kind
from dsetkit.storage.scan import Tree

MAX_LABEL_BYTES = 2 * 1024**3
"""A single label file larger than this is refused unread."""

# UTF-32's little-endian mark begins with UTF-16's, so it is tried first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_label_bytes(tree: Tree, path: str, limit_bytes: int = MAX_LABEL_BYTES) -> bytes:
    """The bytes of a label file; raises ``FormatError`` for one that is too large or empty."""
    _check_size(tree, path, limit_bytes)
    data = tree.read(path)
    if not data or data.isspace():
        raise FormatError(f"{path} is empty", file=path, hint="Restore the file, or exclude it from the source.")
    refuse_pointer(data[:1024], path)
    return data


def label_chunks(tree: Tree, path: str, limit_bytes: int = MAX_LABEL_BYTES) -> Iterator[bytes]:
    """The bytes of a label file in portions; raises ``FormatError`` for one that is too large, or a pointer."""
    _check_size(tree, path, limit_bytes)
    refuse_pointer(tree.read_head(path, 1024), path)
    yield from tree.chunks(path)


def _check_size(tree: Tree, path: str, limit_bytes: int) -> None:
    size = tree.entries[path].size_bytes
    if size > limit_bytes:
        raise FormatError(
            f"{path} has {size:,} bytes, more than {limit_bytes:,}",
            file=path,
            hint="Split the label file into smaller ones.",
        )


def refuse_pointer(head: bytes, path: str) -> None:
    """Raises ``FormatError`` where a file, by its beginning, is a pointer of Git LFS or git-annex."""
    if kind := pointer_kind(head):
        raise FormatError(
            f"{path} is a {kind} pointer, which only says where the labels are", file=path, hint=fetch_hint(kind)
        )


def read_label_text(tree: Tree, path: str, limit_bytes: int = MAX_LABEL_BYTES) -> str:
    """The text of a label file, without byte order mark. Raises as ``read_label_bytes`` and ``decode`` do."""
    return decode(read_label_bytes(tree, path, limit_bytes), path)


def decode(data: bytes, path: str) -> str:
    """Bytes as text: by their byte order mark (UTF-8, UTF-16, UTF-32), else UTF-8.

    Raises ``FormatError`` naming the first byte that does not fit; zero bytes are refused.
    """
    encoding, start = next(((name, len(mark)) for mark, name in _MARKS if data.startswith(mark)), ("utf-8", 0))
    try:
        text = data[start:].decode(encoding)
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{path} is not {encoding.upper()} text (byte {start + error.start})",
            file=path,
            place=f"byte {start + error.start}",
            hint="Save it as UTF-8.",
        ) from None
    if "\x00" in text:
        raise FormatError(f"{path} holds zero bytes, so it is no text file", file=path, hint="Save it as UTF-8 text.")
    return text


def utf8_json(data: bytes, path: str) -> bytes:
    """JSON bytes as UTF-8 without byte order mark; other encodings that a mark tells are converted."""
    if data.startswith(codecs.BOM_UTF8):
        return data[len(codecs.BOM_UTF8) :]
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return decode(data, path).encode()
    return data
