"""Pictures that stand in a JSON label file as text: ``data:`` URLs (RFC 2397), or base64 alone.

Each is read from its own bytes of the file, so that nobody has to parse a large file for one picture.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Callable

from pydantic_core import from_json

from dsetkit.errors import PictureError
from dsetkit.formats.matching import extension_of_path, without_extension
from dsetkit.imaging.decode import MAX_PIXELS, open_header
from dsetkit.imaging.media import PICTURE_EXTENSIONS, media_type_of
from dsetkit.imaging.media import extension_of as extension_of_media
from dsetkit.storage.tree import Tree

MAX_BYTES = 256 * 1024**2
"""A picture that has more, as text, is not taken: real ones have some megabytes."""
_TEXT = r'"(%s[^"\\]*(?:\\.[^"\\]*)*)"'
_URL = re.compile((_TEXT % "data:").encode(), re.IGNORECASE | re.DOTALL)
_SPACE = str.maketrans("", "", " \t\r\n")


def is_inline(text: object) -> bool:
    """Whether a value is a ``data:`` URL."""
    return isinstance(text, str) and text[:5].lower() == "data:"


def picture_of(text: str) -> bytes:
    """The bytes of a ``data:`` URL, or of base64 alone. They may be no picture; see ``check``.

    Raises ``PictureError`` with the code ``picture-too-large``, ``picture-unknown`` (it says to be something else than
    a picture) or ``picture-corrupt`` (no base64).
    """
    if len(text) > MAX_BYTES:
        raise PictureError(f"it has {len(text):,} characters, more than {MAX_BYTES:,}", code="picture-too-large")
    head, body = "", text
    if is_inline(text):
        head, comma, body = text.partition(",")
        kind = head[5:].partition(";")[0].strip().lower()
        if not kind.startswith("image/") and kind not in ("", "application/octet-stream"):
            raise PictureError(f"it says to be {kind[:60]!r}, not a picture", code="picture-unknown")
        if not comma or not head.lower().endswith(";base64"):
            raise PictureError("it is no base64", code="picture-corrupt")
    try:
        return base64.b64decode(body.translate(_SPACE), validate=True)
    except (ValueError, binascii.Error) as error:  # other than ASCII, too
        raise PictureError(f"it is no base64 ({str(error).lower()})", code="picture-corrupt") from None


def check(text: str) -> tuple[bytes, str]:
    """The bytes and the media type of a picture; its header is read and nothing decoded.

    Raises ``PictureError`` as ``picture_of`` and ``dsetkit.imaging.decode.open_header`` do, and with the code
    ``picture-bomb`` for one that declares more than ``MAX_PIXELS``.
    """
    data = picture_of(text)
    image = open_header(io.BytesIO(data))
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width}×{image.height} px"
        raise PictureError(f"it declares {size}, more than {MAX_PIXELS:,} pixels", code="picture-bomb")
    return data, media_type_of(image.format or "")


def extension_of(media_type: str, name: str = "") -> str:
    """The extension for a picture of this type; empty where ``name`` has one of a picture already."""
    return "" if extension_of_path(name) in PICTURE_EXTENSIONS else extension_of_media(media_type)


def numbered_key(file: str, number: int, media_type: str, at: int | None = None) -> str:
    """The key of a picture without a name: the file's, and its number in it from 0; ``at`` is a second number.

    >>> numbered_key("a/x.json", 7, "image/png")
    'a/x/000007.png'
    """
    more = "" if at is None else f"-{at}"
    return f"{without_extension(file)}/{number:06d}{more}{extension_of_media(media_type) if media_type else ''}"


class InlineReader:
    """Reads one picture from its stretch of a file; small and picklable."""

    def __init__(self, tree: Tree, path: str, start: int, length: int) -> None:
        self._read: Callable[[], bytes] = tree.range_reader(path, start, length)

    def __call__(self) -> bytes:
        """The picture's bytes. Raises ``PictureError`` where there are none."""
        try:
            return picture_of(from_json(b"".join((b'"', self._read(), b'"'))))
        except ValueError:
            raise PictureError("it is no text", code="picture-corrupt") from None


def stretches(text: bytes, field: str | None = None) -> dict[int, tuple[int, int]]:
    """Where ``data:`` URLs stand in JSON: the hash of each → its first byte and its length as it is written.

    With ``field``, all strings that are the value of such a field.
    """
    pattern = _URL if field is None else re.compile((rf'"{field}"\s*:\s*' + _TEXT % "").encode(), re.DOTALL)
    found: dict[int, tuple[int, int]] = {}
    for match in pattern.finditer(text):
        try:
            value = from_json(b"".join((b'"', match[1], b'"')))
        except ValueError:
            continue
        found.setdefault(hash(value), (match.start(1), len(match[1])))
    return found
