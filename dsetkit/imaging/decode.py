"""Hostile bytes in, one upright picture out. The one place where Pillow decodes."""

from __future__ import annotations

import io
import re
from typing import BinaryIO, NamedTuple

from PIL import Image, UnidentifiedImageError

from dsetkit.errors import PictureError
from dsetkit.imaging.exif import orientation_of
from dsetkit.imaging.guard import guarded
from dsetkit.imaging.media import media_type_of
from dsetkit.spec.pointer import fetch_hint, pointer_kind

MAX_PIXELS = 89_478_485
"""The usual limit (``ingest.max_pixels``): a quarter of a GiB in RGB, as Pillow warns from."""

DECODED_FORMATS = (
    # Formats with a magic number first, those that take nearly anything last. Not on this list, and so refused:
    #   EPS                    runs Ghostscript
    #   IPTC                   opens whatever is inside it with every plugin, EPS too
    #   WMF (EMF)              a stub but on Windows, where GDI draws it
    #   BUFR, GRIB, HDF5       stubs: an application must bring the loader
    #   MPEG                   identified only
    #   FPX, MIC               OLE containers, read through another library if that happens to be installed
    #   PDF, PALM              written only
    # FITS is decoded but for its gzip form: 28 bytes of Python objects a pixel, see _check_safe.
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "ICO", "CUR", "ICNS", "PSD", "QOI"),
    *("DDS", "SGI", "SUN", "PCX", "DCX", "XBM", "XPM", "FITS", "FLI", "BLP", "FTEX", "GBR", "MSP", "PIXAR", "MCIDAS"),
    *("XVTHUMB", "DIB", "IM", "IMT", "PCD", "SPIDER", "TGA"),
)
"""Pillow's names of the formats that are decoded; a plugin registered by somebody else is not called."""

_REFUSED_FORMATS = ("EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG", "FPX", "MIC")
_WITHOUT_MAGIC = frozenset(("DIB", "IM", "IMT", "PCD", "SPIDER", "TGA", "PCX", "CUR", "MPEG"))
_OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

_KEPT_INFO = ("icc_profile", "transparency")


class Decoded(NamedTuple):
    """One decoded picture."""

    image: Image.Image
    """First frame, upright, in the mode it was stored in; its ``info`` holds the ICC profile and transparency only."""
    media_type: str
    orientation: int | None
    """EXIF orientation as stored, 1 to 8; already applied."""
    exif: bytes | None
    """The EXIF block as stored, where the format has one."""


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decode a picture wholly, once. The size is checked before any pixel is decoded.

    Of a file with many pictures (GIF, APNG, MPO, TIFF) the first. Memory, measured with probing: 10 to 16 bytes a
    pixel, 25 for float pictures and JPEG 2000 with alpha. The result does not depend on the process's warning filters
    or ``PIL.Image.MAX_IMAGE_PIXELS``.
    Raises ``PictureError`` with the code ``picture-empty``, ``picture-unknown``, ``picture-pointer`` (Git LFS and
    git-annex leave one where data is not fetched), ``picture-unsafe``, ``picture-bomb``, ``picture-truncated`` or
    ``picture-corrupt``; nothing else.
    """
    if not data:
        raise PictureError("The file is empty", code="picture-empty")
    with guarded(max_pixels):
        try:
            image = _identify(io.BytesIO(data), data[:16], max_pixels)
            exif, tiff_orientation = _metadata(image)
            image.load()
            exif = exif or _exif_of(image)  # a PNG may have it behind the pixels
            _check_size(image, max_pixels)
            media_type = media_type_of(image.format or "")
            if tiff_orientation:  # Pillow has turned it while loading
                return Decoded(_without_info(image), media_type, tiff_orientation, None)
            orientation = orientation_of(exif)
            turned = upright(image, orientation)
            return Decoded(_without_info(turned), media_type, orientation, exif)
        except PictureError:
            raise
        except Image.DecompressionBombError as error:
            raise _bomb(str(error), max_pixels) from None
        except Exception as error:  # Pillow raises nearly any type on damaged bytes
            raise _damaged(error) from error


def open_picture(data: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """The first frame as a Pillow image, upright (EXIF orientation applied), in the mode it was stored in.

    ``info`` holds ``icc_profile`` and ``transparency`` where the picture has them and nothing else, so that turning it
    upright again does nothing. Raises ``PictureError`` as ``decode`` does.
    """
    return decode(data, max_pixels).image


def upright(image: Image.Image, orientation: int | None) -> Image.Image:
    """The picture turned as an EXIF orientation asks; itself for ``None`` and 1."""
    method = _TRANSPOSE.get(orientation or 1)
    return image if method is None else image.transpose(method)


def open_header(file: BinaryIO) -> Image.Image:
    """A Pillow image of which only the header was read; pixels are never decoded (of an icon: at most 4 MP).

    Raises ``PictureError`` as ``decode`` does, but never ``picture-bomb`` for a size that is merely declared.
    """
    file.seek(0)
    prefix = file.read(16)
    if not prefix:
        raise PictureError("The file is empty", code="picture-empty")
    # Pillow decodes an icon when it opens it. Nothing else does, so that no size is too large to be told.
    max_pixels = 1 << 22 if prefix.startswith((b"\0\0\1\0", b"\0\0\2\0")) else None
    with guarded(max_pixels):
        try:
            return _identify(file, prefix, max_pixels)
        except PictureError:
            raise
        except Image.DecompressionBombError as error:
            raise _bomb(str(error), max_pixels or 0) from None
        except Exception as error:
            raise _damaged(error) from error


def header_orientation(image: Image.Image) -> int | None:
    """EXIF orientation, 1 to 8, of an image whose header was read, as far as the header tells."""
    exif, tiff_orientation = _metadata(image)
    return tiff_orientation or orientation_of(exif)


def _identify(file: BinaryIO, prefix: bytes, max_pixels: int | None) -> Image.Image:
    """Read the header. Raises ``PictureError`` or whatever Pillow raises."""
    refused = _accepted_by(prefix, _REFUSED_FORMATS)
    if prefix.startswith(_OLE_MAGIC):
        refused = "OLE"
    if refused:
        raise _unsafe(refused)
    try:
        image = Image.open(file, formats=[name for name in DECODED_FORMATS if name in Image.OPEN])
    except UnidentifiedImageError:
        known = _accepted_by(prefix, [name for name in DECODED_FORMATS if name not in _WITHOUT_MAGIC])
        if known:
            raise PictureError(f"It begins as {known} but its header is damaged", code="picture-corrupt") from None
        file.seek(0)
        if kind := pointer_kind(file.read(1024)):
            said = f"It is a {kind} pointer, which only says where the picture is. {fetch_hint(kind)}"
            raise PictureError(said.rstrip("."), code="picture-pointer") from None
        raise PictureError("It is not a picture of a known format", code="picture-unknown") from None
    _check_safe(image)
    if max_pixels is not None:
        _check_size(image, max_pixels)
    return image


def _accepted_by(prefix: bytes, names: list[str] | tuple[str, ...]) -> str | None:
    for name in names:
        _, accept = Image.OPEN.get(name, (None, None))
        if accept is None:
            continue
        try:
            if accept(prefix) is True:
                return name
        except Exception:  # a prefix that is too short for this plugin's test
            continue
    return None


def _check_safe(image: Image.Image) -> None:
    if any(tile[0] == "fits_gzip" for tile in getattr(image, "tile", ())):
        raise _unsafe("FITS in gzip form")


def _check_size(image: Image.Image, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise _bomb(f"{image.width} x {image.height} pixels", max_pixels)


def _metadata(image: Image.Image) -> tuple[bytes | None, int | None]:
    """EXIF block, and the orientation of a TIFF (which Pillow applies itself when loading)."""
    for name in ("xmp", "XML:com.adobe.xmp"):  # Pillow turns a TIFF by its XMP where it has no orientation
        image.info.pop(name, None)
    if image.format != "TIFF":
        return _exif_of(image), None
    value = getattr(image, "tag_v2", {}).get(274)
    return None, value if isinstance(value, int) and 1 <= value <= 8 else None


def _exif_of(image: Image.Image) -> bytes | None:
    exif = image.info.get("exif")
    return exif if isinstance(exif, bytes) and exif else None


def _without_info(image: Image.Image) -> Image.Image:
    image.info = {name: image.info[name] for name in _KEPT_INFO if image.info.get(name) is not None}
    return image


def _unsafe(name: str) -> PictureError:
    return PictureError(
        f"{name} is not decoded: it would run another program, has no decoder, or cannot be bounded",
        code="picture-unsafe",
        hint="Convert the file to PNG or JPEG, or exclude it.",
    )


def _bomb(size: str, max_pixels: int) -> PictureError:
    return PictureError(
        f"It declares {size}, more than the {max_pixels} allowed",
        code="picture-bomb",
        hint="Raise ingest.max_pixels if the picture can be trusted, or exclude it.",
    )


def _damaged(error: Exception) -> PictureError:
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(str(error).split()))[:200]  # no addresses: equal in every run
    reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, EOFError) or "truncated" in text.lower() or "unexpected end" in text.lower():
        return PictureError(f"The file ends too early ({reason})", code="picture-truncated")
    return PictureError(f"It cannot be decoded ({reason})", code="picture-corrupt")
