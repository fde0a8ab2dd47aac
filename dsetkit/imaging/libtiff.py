"""libtiff prints what is wrong with a file to stderr, past Python. Pillow raises too, so the print is noise."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from pathlib import Path

import PIL


def silence_libtiff() -> None:
    """Take the handler that prints away from the libtiff that Pillow's Linux and macOS wheels bring along.

    What fails is still raised by Pillow. Does nothing where Pillow was built on another libtiff, which is then not
    found where wheels keep theirs. Source: libtiff's ``TIFFSetErrorHandler(3)``, null for no messages.
    """
    package = Path(PIL.__file__).parent
    for library in [*package.parent.glob("pillow.libs/libtiff-*"), *package.glob(".dylibs/libtiff*")]:
        with suppress(OSError, AttributeError):
            handle = ctypes.CDLL(str(library))  # already loaded by Pillow: the same one
            for setter in (handle.TIFFSetErrorHandler, handle.TIFFSetWarningHandler):
                setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
                setter(None)
