"""What a picture measures: sharpness, brightness, contrast, colour, and a hash that near pictures share.

All sums are integer sums over 8-bit levels (histograms, an integer Laplacian, an integer cosine transform), so that a
picture measures the same on every machine; only the last step of each divides. Pictures of other depths are brought
to 8 bits, and alpha onto white, as ``modes.to_mode`` says.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsetkit.imaging.modes import to_mode

_SHARPNESS_SIDE_PX = 512
_HASH_SIDE_PX = 32
_HASH_SIDE = 8
_COSINE_SCALE = 1 << 14
_LEVELS = np.arange(256, dtype=np.int64)


def _cosine_matrix() -> npt.NDArray[np.int64]:
    """DCT-II of 32 samples, lowest 8 frequencies and their next, as integers: round(cos · 2^14); (9, 32)."""
    frequency = np.arange(_HASH_SIDE + 1)[:, None]
    place = 2 * np.arange(_HASH_SIDE_PX)[None, :] + 1
    scaled: npt.NDArray[np.float64] = np.cos(np.pi * frequency * place / (2 * _HASH_SIDE_PX)) * _COSINE_SCALE
    return np.rint(scaled).astype(np.int64)


_COSINES = _cosine_matrix()


def measure(image: Image.Image) -> dict[str, Any]:
    """Row fields of a decoded, upright picture: ``phash, sharpness, brightness, contrast, channel_mean, channel_std``.

    Levels are divided by 255, so that means lie from 0 to 1 and deviations (of the population) from 0 to 0.5;
    grey is ITU-R 601-2 luma. ``sharpness`` is in squared grey levels. ``channel_*`` are of R, G, B; a grey picture has
    three equal ones.
    """
    if _is_grey(image):
        grey = to_mode(image, "L")
        channels = [_statistics(grey.histogram(), grey)] * 3
        brightness, contrast = channels[0]
    else:
        color = to_mode(image, "RGB")
        grey = color.convert("L")
        brightness, contrast = _statistics(grey.histogram(), grey)
        levels = color.histogram()
        channels = [_statistics(levels[start : start + 256], color) for start in (0, 256, 512)]
    small = _within(grey, _SHARPNESS_SIDE_PX)
    return {
        "phash": phash(small),
        "sharpness": sharpness(small),
        "brightness": brightness,
        "contrast": contrast,
        "channel_mean": tuple(mean for mean, _ in channels),
        "channel_std": tuple(std for _, std in channels),
    }


def _is_grey(image: Image.Image) -> bool:
    """Whether the picture has one channel of grey and no transparency, so that its grey is all there is."""
    return (image.mode in ("1", "L", "I", "F") and "transparency" not in image.info) or image.mode.startswith("I;16")


def phash(grey: Image.Image) -> int:
    """64-bit perceptual hash of a grey picture (mode L): an int from 0 to 2^64 − 1; near pictures differ in few bits.

    The picture is brought to 32 × 32, its mean taken away, and transformed by an integer DCT-II. Of the 8 × 8 lowest
    frequencies (the constant one, always 0 now, replaced by the next along x) each above their median sets a bit, the
    lowest frequency the highest bit, row by row. A flat picture has no frequencies and hashes to 0.
    After C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010, section 3.2.
    """
    small = grey.resize((_HASH_SIDE_PX, _HASH_SIDE_PX), Image.Resampling.BILINEAR)
    levels = np.asarray(small).astype(np.int64)
    # Times 1024, so that the mean is an integer. |sum| < 2^8 · 2^10 · (2^5 · 2^14)^2 = 2^56: no overflow.
    levels = levels * levels.size - levels.sum()
    spectrum = _COSINES @ levels @ _COSINES.T
    lowest = spectrum[:_HASH_SIDE, :_HASH_SIDE].ravel().copy()
    lowest[0] = spectrum[0, _HASH_SIDE]
    ordered = np.sort(lowest)
    twice_median = ordered[31] + ordered[32]
    return int.from_bytes(np.packbits(2 * lowest > twice_median).tobytes(), "big")


def sharpness(grey: Image.Image) -> float:
    """Variance of the Laplacian (4 neighbours, inside the border) of a grey picture (mode L); 0 below 3 × 3 pixels.

    After J. L. Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", 2000.
    """
    if min(grey.size) < 3:
        return 0.0
    levels = np.asarray(grey).astype(np.int16)
    laplacian = levels[:-2, 1:-1] + levels[2:, 1:-1]  # in place from here on: fresh arrays cost more than sums
    laplacian += levels[1:-1, :-2]
    laplacian += levels[1:-1, 2:]
    levels *= 4
    laplacian -= levels[1:-1, 1:-1]
    total, count = int(laplacian.sum(dtype=np.int64)), laplacian.size
    wide = laplacian.astype(np.int32)
    wide *= wide  # at most 1020²
    squares = int(wide.sum(dtype=np.int64))
    return (count * squares - total * total) / (count * count)


def _within(grey: Image.Image, side_px: int) -> Image.Image:
    """The picture with its longer side brought down to ``side_px``; itself where it is no longer."""
    width, height = grey.size
    longest = max(width, height)
    if longest <= side_px:
        return grey
    # Sides rounded half up, in integers.
    size = tuple(max(1, (2 * side * side_px + longest) // (2 * longest)) for side in (width, height))
    return grey.resize((size[0], size[1]), Image.Resampling.BILINEAR)


def _statistics(histogram: list[int], image: Image.Image) -> tuple[float, float]:
    """Mean and population deviation, from 0 to 1, of the levels counted in a histogram of 256."""
    count = image.width * image.height
    times = np.array(histogram, dtype=np.int64)
    total, squares = int(times @ _LEVELS), int(times @ (_LEVELS * _LEVELS))
    return total / (255 * count), math.sqrt(count * squares - total * total) / (255 * count)
