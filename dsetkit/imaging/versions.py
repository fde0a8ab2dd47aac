"""The versions that bytes and measures of pictures depend on."""

from __future__ import annotations

from PIL import __version__ as pillow_version
from PIL import features

PIXELS_VERSION = "2"
"""Counts up whenever this room would give other bytes or measures for the same picture."""

_LIBRARIES = {
    # Our name: Pillow's name of what it was built with.
    "libjpeg": "libjpeg_turbo",
    "zlib": "zlib",
    "zlib_ng": "zlib_ng",
    "libtiff": "libtiff",
    "webp": "webp",
    "avif": "avif",
    "openjpeg": "jpg_2000",
    "littlecms": "littlecms2",
}


def codec_versions() -> dict[str, str]:
    """Versions of this room's pixel code, Pillow and the codecs Pillow was built with, by name.

    numpy is not among them: what is asked of it is integers and elementary operations, which IEEE 754 fixes; the same
    project built with two of its versions gave the same fingerprints.
    A codec that this build of Pillow lacks is left out; one without a version of its own is ``"unknown"``.
    """
    versions = {"dsetkit_pixels": PIXELS_VERSION, "pillow": pillow_version}
    known = {*features.modules, *features.codecs, *features.features}
    for name, feature in _LIBRARIES.items():
        if feature in known and features.check(feature):
            versions[name] = features.version(feature) or "unknown"
    if "zlib_ng" in versions:
        del versions["zlib"]  # Pillow then states the system's zlib, which it does not use
    return dict(sorted(versions.items()))
