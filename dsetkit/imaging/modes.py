"""From the many modes pictures are stored in to the few that are worked with."""

from __future__ import annotations

import numpy as np
from PIL import Image

_WHITE = (255, 255, 255, 255)
_TOP = 65535


def has_alpha(image: Image.Image) -> bool:
    """Whether the picture has an alpha channel or a transparent colour (I;16: none that is kept)."""
    return image.has_transparency_data and not image.mode.startswith("I;16")


def to_mode(image: Image.Image, mode: str) -> Image.Image:
    """The picture in mode ``keep``, ``RGB`` or ``L``; itself where it is so already.

    ``keep`` leaves L, RGB, RGBA and I;16 (as ``I;16``, whatever its byte order; a transparent grey of it is lost).
    1 becomes L; LA, anything with a transparent colour become RGBA; other P, CMYK, YCbCr, LAB and
    HSV become RGB; I and F become I;16 (see ``to_16_bit``). ``RGB`` and ``L`` put alpha onto white and take the upper
    8 bits of 16. CMYK becomes RGB without its profile (Pillow's formula), L is ITU-R 601-2 luma, both in integers.
    """
    if mode == "keep":
        return _keep(image)
    if image.mode == mode and "transparency" not in image.info:
        return image
    if has_alpha(image):
        return _convert(_onto_white(image), mode)
    if image.mode[0] in "IF":
        image = _to_8_bit(_keep(image))
    if mode == "L" and image.mode not in ("1", "L", "RGB"):
        image = _convert(image, "RGB")
    return _convert(image, mode)


def to_16_bit(image: Image.Image) -> tuple[Image.Image, float, float]:
    """A picture of mode I or F as I;16, with the values that became 0 and 65535.

    I whose values all lie from 0 to 65535 keeps them. Any other I or F is stretched evenly from its own lowest to its
    own highest finite value, rounded to even; NaN becomes 0, infinities the ends; a flat picture becomes 0.
    """
    values = np.asarray(image)
    if image.mode == "I" and values.min() >= 0 and values.max() <= _TOP:
        return _from_16_bit(values, image), 0.0, float(_TOP)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if not high > low:
        return _from_16_bit(np.zeros(values.shape), image), low, high
    stretched = values.astype(np.float64)  # the span of two float32 fits; in place from here on, to spare memory
    np.clip(stretched, low, high, out=stretched)
    stretched -= low
    stretched /= high - low
    stretched *= _TOP
    np.nan_to_num(stretched, copy=False)
    return _from_16_bit(np.rint(stretched, out=stretched), image), low, high


def _keep(image: Image.Image) -> Image.Image:
    mode = image.mode
    if mode.startswith("I;16"):
        if mode == "I;16" and "transparency" not in image.info:
            return image
        return _from_16_bit(np.asarray(image), image)
    if mode in ("I", "F"):
        return to_16_bit(image)[0]
    if has_alpha(image):
        return image if mode == "RGBA" else _to_rgba(image)
    if mode in ("L", "RGB"):
        return image
    return _convert(image, "L" if mode == "1" else "RGB")


def _to_rgba(image: Image.Image) -> Image.Image:
    if image.mode == "La":  # premultiplied; Pillow knows only the way through LA
        image = image.convert("LA")
    return _convert(image, "RGBA")


def _onto_white(image: Image.Image) -> Image.Image:
    rgba = image if image.mode == "RGBA" else _to_rgba(image)
    return _with_profile(Image.alpha_composite(Image.new("RGBA", rgba.size, _WHITE), rgba), image)


def _to_8_bit(image: Image.Image) -> Image.Image:
    """The upper 8 bits of I;16."""
    return _with_profile(Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)), image)


def _from_16_bit(values: np.ndarray, image: Image.Image) -> Image.Image:
    return _with_profile(Image.fromarray(values.astype("<u2")), image)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    return _with_profile(image if image.mode == mode else image.convert(mode), image)


def _with_profile(image: Image.Image, source: Image.Image) -> Image.Image:
    profile = source.info.get("icc_profile")
    if image is not source:
        image.info = {} if profile is None else {"icc_profile": profile}
    return image
