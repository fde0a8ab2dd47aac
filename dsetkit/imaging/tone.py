"""Pictures lighter, darker, recoloured, blurred, noisy: levels change, places do not.

Every function takes a Pillow image and gives one in mode L, RGB, RGBA or I;16 (others are first converted as
``modes.to_mode(image, "keep")`` says), with the colour profile kept. Alpha is never changed. Levels
are rounded half up.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from dsetkit.geometry.shape import turn
from dsetkit.imaging.modes import to_mode
from dsetkit.imaging.warp import Picture, like

# Weights of R, G, B in luminance, as the filters below fix them.
_LUMINANCE = np.array((0.213, 0.715, 0.072))


def brightness_contrast(image: Picture, alpha: float, beta: float) -> Picture:
    """``x' = αx + β`` on each channel, x from 0 to 1; grey pictures too."""
    image = to_mode(image, "keep")
    top = 65535 if image.mode == "I;16" else 255
    levels = np.floor(alpha * np.arange(top + 1) + beta * top + 0.5).clip(0, top)
    if image.mode == "I;16":
        return like(Image.fromarray(levels.astype(np.uint16)[np.asarray(image)]), image)
    table = levels.astype(int).tolist()
    tables = {"L": table, "RGB": table * 3, "RGBA": table * 3 + list(range(256))}[image.mode]
    return like(image.point(tables), image)


def color(image: Picture, saturation: float, hue_deg: float) -> Picture:
    """Saturation by a factor (0 grey, 1 unchanged), hue turned by degrees; luminance stays. Grey stays as it is.

    The matrices are those of ``saturate`` and ``hueRotate`` in W3C Filter Effects Module Level 1, on the stored values.
    """
    image = to_mode(image, "keep")
    if image.mode in ("L", "I;16") or (saturation == 1.0 and hue_deg % 360.0 == 0.0):
        return image
    cos, sin = turn(hue_deg)
    grey = np.tile(_LUMINANCE, (3, 1))
    saturate = grey + saturation * (np.eye(3) - grey)
    across = np.array(((-0.213, -0.715, 0.928), (0.143, 0.140, -0.283), (-0.787, 0.715, 0.072)))
    mix = np.round((grey + cos * (np.eye(3) - grey) + sin * across) @ saturate, 9)
    matrix = tuple(value for row in mix.tolist() for value in (*row, 0.0))
    return _on_color(image, image.convert("RGB").convert("RGB", matrix))


def blur(image: Picture, radius_px: float) -> Picture:
    """Gaussian blur; ``radius_px`` is its standard deviation. Pillow's on 8 bits; colours are weighted by alpha."""
    image = to_mode(image, "keep")
    radius_px = min(radius_px, float(max(image.size)))
    if radius_px <= 0:
        return image
    if image.mode == "I;16":
        return like(Image.fromarray(_blur_16(np.asarray(image), radius_px)), image)
    smooth = ImageFilter.GaussianBlur(radius_px)
    if image.mode == "RGBA":
        return _on_color(image, image.convert("RGBa").filter(smooth).convert("RGBA").convert("RGB"))
    return like(image.filter(smooth), image)


def noise(image: Picture, std: float, seed: int) -> Picture:
    """Gaussian noise of standard deviation ``std`` (on the scale from 0 to 1), for each channel of each pixel apart.

    The same on every machine: 16 random bits each of PCG64, whose stream numpy guarantees, name one of 65,536 equally
    likely quantiles of the normal distribution, which are brought to whole levels before they are added.
    """
    image = to_mode(image, "keep")
    pixels = np.asarray(image.convert("RGB") if image.mode == "RGBA" else image)
    top = 65535 if image.mode == "I;16" else 255
    levels = np.floor(_quantiles() * (std * top) + 0.5).clip(-top, top).astype(np.int32)
    raw = np.random.PCG64(seed).random_raw(-(-pixels.size // 4))
    draws = np.asarray(raw).astype("<u8").view("<u2")[: pixels.size].reshape(pixels.shape)
    noisy = (pixels + levels[draws]).clip(0, top).astype(pixels.dtype)
    return _on_color(image, Image.fromarray(noisy))


def _on_color(image: Picture, changed: Picture) -> Picture:
    """The changed colours with the alpha of the image they come from, if it has one."""
    if image.mode == "RGBA":
        changed.putalpha(image.getchannel("A"))
    return like(changed, image)


@cache
def _quantiles() -> NDArray[np.float64]:
    normal = NormalDist()
    return np.array([normal.inv_cdf((step + 0.5) / 65536) for step in range(65536)])


def _blur_16(pixels: NDArray[Any], radius_px: float) -> NDArray[np.uint16]:
    values = pixels.astype(np.float64)
    for axis in (0, 1):
        reach = min(int(3 * radius_px) + 1, 2 * values.shape[axis])
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / radius_px) ** 2)
        weights /= weights.sum()
        ends = [(reach, reach) if axis == side else (0, 0) for side in (0, 1)]
        padded = np.pad(values, ends, mode="edge")
        total = np.zeros_like(values)
        for start, weight in enumerate(weights.tolist()):
            window = [slice(None), slice(None)]
            window[axis] = slice(start, start + values.shape[axis])
            total += weight * padded[tuple(window)]
        values = total
    return np.floor(values + 0.5).clip(0, 65535).astype(np.uint16)
