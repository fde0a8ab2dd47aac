"""Metadata taken away byte by byte, so that pixels and colours stay exactly as they were.

Sources: ITU-T T.81 annex B (JPEG), JFIF 1.02, ICC.1:2022 annex B.4 (profiles in JPEG); W3C PNG, third edition;
RFC 9649 (WebP). What a decoder needs is kept and all else dropped, unknown kinds too. A structure that is not exactly
as the standards say is refused: a decoder may guess there, and a guess might change when bytes around it go.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

from dsetkit.imaging.exif import orientation_block, orientation_of

STRIPPABLE = frozenset(("image/jpeg", "image/png", "image/webp"))
"""Media types whose metadata can be taken away at byte level."""

_EXIF = b"Exif\0\0"

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC8}  # SOFn, DHT, DAC
_TABLES = frozenset((0xDB, 0xDC, 0xDD))  # DQT, DNL, DRI
_SOS, _EOI, _COM = 0xDA, 0xD9, 0xFE
_NEXT_MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")  # not a stuffed 0xFF, not a restart

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = frozenset(
    # Pixels, and what colours mean.
    (
        b"IHDR",
        b"PLTE",
        b"IDAT",
        b"IEND",
        b"tRNS",
        b"gAMA",
        b"cHRM",
        b"sRGB",
        b"iCCP",
        b"sBIT",
        b"cICP",
        b"mDCV",
        b"cLLI",
    )
)

_WEBP_PIXELS = (b"VP8 ", b"VP8L")
_WEBP_KEPT = frozenset((b"ICCP", b"ALPH", *_WEBP_PIXELS))
_ANIMATION, _XMP_FLAG, _EXIF_FLAG = 0x02, 0x04, 0x08


def strip_metadata(data: bytes, media_type: str) -> bytes:
    """The same picture without EXIF, XMP, IPTC, comments, text, thumbnails, further pictures and trailing bytes.

    Decoded pixels, ICC profile and what else colours depend on stay. An EXIF orientation of 2 to 8 stays too, alone in
    a new EXIF block. Of an MPO or APNG the first picture stays. If there is nothing to take away, ``data`` itself is
    returned. Raises ``ValueError`` for another media type, an animated WebP, and a structure that is damaged or not
    understood: such a picture has to be decoded and encoded anew.
    """
    strip = _STRIPPERS.get(media_type)
    if strip is None:
        raise ValueError(f"metadata of {media_type} cannot be taken away at byte level")
    try:
        stripped = strip(data)
    except IndexError:
        raise ValueError("the file ends too early") from None
    return data if stripped == data else stripped


def is_lossless_webp(data: bytes) -> bool:
    """Whether the bytes are a WebP file that holds its (only) picture without loss."""
    try:
        return any(name == b"VP8L" for name, _ in _webp_chunks(data))
    except ValueError:
        return False


def _strip_jpeg(data: bytes) -> bytes:
    if data[:2] != b"\xff\xd8":
        raise ValueError("no JPEG begins here")
    kept, exif, place, scans = [data[:2]], b"", 2, 0
    while True:
        if data[place] != 0xFF:
            raise ValueError("bytes between JPEG segments")
        while data[place] == 0xFF:  # a marker may have fill bytes before it
            place += 1
        marker, place = data[place], place + 1
        if marker == _EOI:
            break
        length = int.from_bytes(data[place : place + 2], "big")
        content, place = data[place + 2 : place + length], place + length
        if length < 2 or place > len(data):
            raise ValueError("a JPEG segment is longer than the file")
        if marker in _FRAMES or marker in _TABLES or marker == _SOS:
            kept.append(_segment(marker, content))
        elif 0xE0 <= marker <= 0xEF:
            kept.append(_application_segment(marker, content))
            if marker == 0xE1 and content.startswith(_EXIF):
                exif += content[len(_EXIF) :] if exif else content
        elif marker != _COM:
            raise ValueError(f"a JPEG segment of an unknown kind: {marker:#x}")
        if marker == _SOS:
            found = _NEXT_MARKER.search(data, place)
            if found is None:
                raise ValueError("the JPEG has no end")
            kept.append(data[place : found.start()])
            place, scans = found.start(), scans + 1
    if not scans:
        raise ValueError("the JPEG has no pixels")
    orientation = orientation_of(exif)
    if orientation is not None and orientation != 1:
        kept.insert(1, _segment(0xE1, _EXIF + orientation_block(orientation)))
    return b"".join((*kept, b"\xff\xd9"))


def _application_segment(marker: int, content: bytes) -> bytes:
    """What is kept of an APPn segment: JFIF without its thumbnail, Adobe's colour transform, an ICC profile."""
    if marker == 0xE0 and content.startswith(b"JFIF\0") and len(content) >= 14:
        return _segment(marker, content[:12] + b"\0\0")
    if (marker == 0xEE and content.startswith(b"Adobe")) or (marker == 0xE2 and content.startswith(b"ICC_PROFILE\0")):
        return _segment(marker, content)
    return b""


def _segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content


def _strip_png(data: bytes) -> bytes:
    if not data.startswith(_PNG_MAGIC):
        raise ValueError("no PNG begins here")
    kept, exif, place, before, pixels = [_PNG_MAGIC], b"", len(_PNG_MAGIC), b"", 0
    while before != b"IEND":
        length, name = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        end = place + 12 + length
        if end > len(data) or (before == b"") != (name == b"IHDR"):
            raise ValueError("a PNG chunk is out of place or longer than the file")
        if name == b"IDAT":
            if pixels and before != b"IDAT":
                raise ValueError("pixels of the PNG are not together")
            pixels += 1
        if name in _PNG_KEPT:
            kept.append(data[place:end])
        elif name == b"eXIf" and not exif:
            exif = data[place + 8 : end - 4]
        elif not name[0] & 0x20:
            raise ValueError("a PNG chunk of an unknown kind that a decoder must know")
        place, before = end, name
    if not pixels:
        raise ValueError("the PNG has no pixels")
    orientation = orientation_of(exif)
    if orientation is not None and orientation != 1:
        chunk = b"eXIf" + orientation_block(orientation)
        kept.insert(2, (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big"))
    return b"".join(kept)


def _strip_webp(data: bytes) -> bytes:
    chunks = _webp_chunks(data)
    header = chunks[0][1] if chunks[0][0] == b"VP8X" else b""
    if header and (len(header) != 10 or header[0] & _ANIMATION):
        raise ValueError("the WebP is animated or its header damaged")
    if sum(name in _WEBP_PIXELS for name, _ in chunks) != 1:
        raise ValueError("the WebP has not exactly one picture")
    kept = [(name, content) for name, content in chunks if name in _WEBP_KEPT]
    if header:
        flags = header[0] & ~(_XMP_FLAG | _EXIF_FLAG)
        exif = next((content for name, content in chunks if name == b"EXIF"), b"") if header[0] & _EXIF_FLAG else b""
        orientation = orientation_of(exif)
        if orientation is not None and orientation != 1:
            kept.append((b"EXIF", orientation_block(orientation)))
            flags |= _EXIF_FLAG
        kept.insert(0, (b"VP8X", bytes((flags,)) + header[1:]))
    elif chunks[0][0] not in _WEBP_PIXELS:
        raise ValueError("the WebP does not begin with a picture or a header")
    else:
        kept = chunks[:1]
    body = b"".join(
        name + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2) for name, content in kept
    )
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def _webp_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Name and content of each chunk. Raises ``ValueError`` where a chunk does not fit the file."""
    end = int.from_bytes(data[4:8], "little") + 8
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or end > len(data):
        raise ValueError("no whole WebP begins here")
    chunks, place = [], 12
    while place < end:
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        start, place = place + 8, place + 8 + length + length % 2
        if place > end:
            raise ValueError("a WebP chunk is longer than the file")
        chunks.append((data[start - 8 : start - 4], data[start : start + length]))
    if not chunks:
        raise ValueError("the WebP has no picture")
    return chunks


_STRIPPERS: dict[str, Callable[[bytes], bytes]] = {
    "image/jpeg": _strip_jpeg,
    "image/png": _strip_png,
    "image/webp": _strip_webp,
}
