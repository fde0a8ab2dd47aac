"""Names of picture formats: media types and file extensions."""

from __future__ import annotations

_NAMES: dict[str, tuple[str, str]] = {
    # Pillow's name: media type, extension. Where IANA registers none, the name in common use.
    "JPEG": ("image/jpeg", ".jpg"),
    "MPO": ("image/jpeg", ".jpg"),  # a JPEG with more JPEGs behind it; only the first is decoded
    "PNG": ("image/png", ".png"),
    "WEBP": ("image/webp", ".webp"),
    "GIF": ("image/gif", ".gif"),
    "BMP": ("image/bmp", ".bmp"),
    "TIFF": ("image/tiff", ".tif"),
    "AVIF": ("image/avif", ".avif"),
    "JPEG2000": ("image/jp2", ".jp2"),
    "PPM": ("image/x-portable-anymap", ".pnm"),
    "ICO": ("image/vnd.microsoft.icon", ".ico"),
    "CUR": ("image/x-win-bitmap", ".cur"),
    "ICNS": ("image/icns", ".icns"),
    "PSD": ("image/vnd.adobe.photoshop", ".psd"),
    "QOI": ("image/qoi", ".qoi"),
    "DDS": ("image/vnd-ms.dds", ".dds"),
    "TGA": ("image/x-tga", ".tga"),
    "PCX": ("image/x-pcx", ".pcx"),
    "SGI": ("image/sgi", ".sgi"),
    "SUN": ("image/x-sun-raster", ".ras"),
    "XBM": ("image/xbm", ".xbm"),
    "XPM": ("image/xpm", ".xpm"),
    "FITS": ("image/fits", ".fits"),
    "FLI": ("image/x-fli", ".fli"),
}

_EXTENSIONS = dict(_NAMES.values())

_DECODED = """
    jpg jpeg jpe jfif mpo png apng webp gif bmp dib tif tiff avif jp2 j2k jpx j2c jpc jpf ppm pgm pbm pnm pfm ico cur
    icns psd qoi dds tga pcx dcx sgi rgb rgba bw ras xbm xpm fit fits fli flc blp ftc ftu gbr im msp pcd pxr
"""
_TURNED_AWAY = "heic heif jxl eps emf wmf"  # pictures to their owner: turned away with a reason, not in silence

PICTURE_EXTENSIONS: frozenset[str] = frozenset(f".{name}" for name in f"{_DECODED} {_TURNED_AWAY}".split())
"""Extensions, lower-case with their dot, of files that count as pictures."""


def media_type_of(pillow_format: str) -> str:
    """The media type of a format as Pillow names it (``JPEG`` → ``image/jpeg``)."""
    name = _NAMES.get(pillow_format)
    return name[0] if name else f"image/x-{pillow_format.lower()}"


def extension_of(media_type: str) -> str:
    """The usual extension, with its dot, of a media type (``image/jpeg`` → ``.jpg``).

    A type not known gets the part behind ``image/`` (and ``x-``), letters and digits only; ``.bin`` if nothing is left.
    """
    known = _EXTENSIONS.get(media_type)
    if known:
        return known
    rest = media_type.rpartition("/")[2].removeprefix("x-").lower()
    letters = "".join(letter for letter in rest if letter.isascii() and letter.isalnum())
    return f".{letters}" if letters else ".bin"
