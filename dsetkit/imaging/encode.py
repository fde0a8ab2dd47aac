"""One picture out: the same bytes for the same pixels, and no metadata but the colour profile."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from dsetkit.errors import UsageError
from dsetkit.imaging.modes import to_mode

FORMATS = ("jpeg", "png", "webp")
_PNG_LEVEL = 3  # on photos 2.8 times as fast as 6 and 5 % larger; fixed, so that bytes do not follow a default
_WEBP_METHOD = 4
_MODES = {
    "jpeg": ("L", "RGB"),
    "png": ("1", "L", "LA", "I;16", "RGB", "RGBA"),
    "webp": ("RGB", "RGBA"),
}
_PROFILE_SPACES = {"1": b"GRAY", "L": b"GRAY", "LA": b"GRAY", "I;16": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB "}


def encode(
    image: Image.Image, *, format: str, quality: int, lossless: bool = False, exif: bytes | None = None
) -> bytes:
    """Encode a picture as ``jpeg``, ``png`` or ``webp``; deterministic for one version of the codecs.

    JPEG: baseline, 4:4:4 (no chroma subsampling), standard Huffman tables. PNG: level 3; ``quality`` (1 to 100) does
    not matter. WebP: lossy at ``quality`` unless ``lossless``. A mode that the format cannot carry is converted as
    ``modes.to_mode`` says (alpha onto white for JPEG). The ICC profile is kept where it is one of the encoded colour
    space; no other metadata is written, but ``exif`` as given. Raises ``UsageError`` for another format.
    """
    if format not in FORMATS:
        raise UsageError(f"Pictures are not written as {format!r}", hint=f"Use one of: {', '.join(FORMATS)}.")
    image = carried(image, format)
    options: dict[str, Any] = {
        # Given, even where empty: what is not given Pillow takes from image.info.
        "icc_profile": profile_for(image.info.get("icc_profile"), image.mode),
        "exif": exif or b"",
    }
    if format == "jpeg":
        options |= {"quality": quality, "subsampling": 0, "progressive": False, "optimize": False, "comment": b""}
    elif format == "png":
        options |= {"compress_level": _PNG_LEVEL, "optimize": False, "transparency": None}
    else:
        options |= {"quality": quality, "method": _WEBP_METHOD, "lossless": lossless, "exact": lossless, "xmp": b""}
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def carried(image: Image.Image, format: str) -> Image.Image:
    """The picture in a mode that the format can carry; itself if it is so already."""
    modes = _MODES[format]
    if image.mode not in modes or "transparency" in image.info:
        image = to_mode(image, "keep")
    if image.mode not in modes:
        image = to_mode(image, "L" if image.mode == "I;16" and "L" in modes else "RGB")
    if format == "webp" and image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        return to_mode(image, "RGB")  # libwebp drops an alpha channel that hides nothing; so it would be read as RGB
    return image


def profile_for(profile: object, mode: str) -> bytes:
    """The ICC profile if it is one for pictures of this mode (ICC.1:2022, header bytes 16 to 19), else nothing."""
    if isinstance(profile, bytes) and profile[16:20] == _PROFILE_SPACES.get(mode):
        return profile
    return b""
