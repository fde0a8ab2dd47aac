"""What Pillow does process-wide, made local to one decode.

Pillow's size limit is a global, and what lies above it is a *warning*: whether a bomb is refused would depend on
the process's warning filters, and ``warnings.catch_warnings`` is not safe in threads. So the two names that its
plugins call, ``Image._decompression_bomb_check`` and their module's ``warnings``, are wrapped once. Within
``guarded(...)``, in that thread alone, every size check of every plugin (also of pictures nested in ICO, ICNS, DCX,
TIFF tiles, GIF frames) applies the caller's limit and no warning is issued; everywhere else both do what they did.
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from dsetkit.imaging.libtiff import silence_libtiff


class _State(threading.local):
    active = False
    max_pixels: int | None = None


_state = _State()
_lock = threading.Lock()
_installed = False


class _Warnings:
    """Stands for the module ``warnings`` inside Pillow's modules."""

    def warn(self, message: Any, category: Any = None, stacklevel: int = 1, source: Any = None) -> None:
        if not _state.active:
            warnings.warn(message, category, stacklevel + 1, source)

    def __getattr__(self, name: str) -> Any:
        return getattr(warnings, name)


def _install() -> None:
    global _installed
    with _lock:
        if _installed:
            return
        Image.init()
        silence_libtiff()
        checked = getattr(Image, "_decompression_bomb_check", None)

        def check(size: tuple[int, int], *args: Any, **options: Any) -> None:
            if not _state.active:
                if checked is not None:
                    checked(size, *args, **options)
            elif _state.max_pixels is not None and max(1, size[0]) * max(1, size[1]) > _state.max_pixels:
                raise Image.DecompressionBombError(f"{size[0]} x {size[1]} pixels")

        setattr(Image, "_decompression_bomb_check", check)  # noqa: B010  (mypy: a function is not assigned to)
        quiet = _Warnings()
        for name, module in list(sys.modules.items()):
            if name.startswith("PIL.") and getattr(module, "warnings", None) is warnings:
                setattr(module, "warnings", quiet)  # noqa: B010
        # The one plugin that logs an error; without a handler, logging prints it to stderr.
        logging.getLogger("PIL.TiffImagePlugin").addFilter(lambda record: not _state.active)
        _installed = True


@contextmanager
def guarded(max_pixels: int | None) -> Iterator[None]:
    """Within it, in this thread: Pillow refuses pictures of more than ``max_pixels`` and warns of nothing.

    ``None`` is no limit, for reading headers. Raises nothing itself; Pillow raises
    ``PIL.Image.DecompressionBombError`` for a picture that is too large. The inner of two holds.
    """
    if not _installed:
        _install()
    before = _state.active, _state.max_pixels
    _state.active, _state.max_pixels = True, max_pixels
    try:
        yield
    finally:
        _state.active, _state.max_pixels = before
