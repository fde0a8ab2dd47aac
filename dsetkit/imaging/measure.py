"""What a picture measures: sharpness, brightness, contrast, colour, and a hash that near pictures share.

All sums are integer sums over 8-bit levels (histograms, an integer Laplacian, an integer cosine transform), so that a
picture measures the same on every machine; only the last step of each divides. Pictures of other depths are brought
to 8 bits, and alpha onto white, as ``modes.to_mode`` says.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dsetkit.imaging.modes import to_mode

# The longer side of the pictures of COCO and many after it: resizing them would take a quarter of the time.
_SHARPNESS_SIDE_PX = 640
_HASH_SIDE_PX = 32
_HASH_SIDE = 8
_COSINE_SCALE = 1 << 14
_CHUNK = 1 << 10  # squared Laplacians added up in 32 bits: 2^10 · 1020² < 2^31
_POWERS = np.arange(256, dtype=np.int64)[:, None] ** np.array([1, 2])  # of every level; (256, 2)


def _cosine_matrix() -> npt.NDArray[np.int64]:
    """DCT-II of 32 samples, lowest 8 frequencies and their next, as integers: round(cos · 2^14); (9, 32)."""
    frequency = np.arange(_HASH_SIDE + 1)[:, None]
    place = 2 * np.arange(_HASH_SIDE_PX)[None, :] + 1
    scaled: npt.NDArray[np.float64] = np.cos(np.pi * frequency * place / (2 * _HASH_SIDE_PX)) * _COSINE_SCALE
    return np.rint(scaled).astype(np.int64)


_COSINES = _cosine_matrix()


class _Scratch(threading.local):
    """Room for the Laplacian of a picture, kept for the next one, each thread its own.

    Fresh arrays of this size go back to the system each time and come again as page faults: in two threads those took
    a third of the time of probing photos of 640 × 480.
    """

    def __init__(self) -> None:
        self.arrays = _arrays(_SHARPNESS_SIDE_PX * _SHARPNESS_SIDE_PX)


def _arrays(size: int) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16], npt.NDArray[np.int32]]:
    """Levels, Laplacian and its square, each flat, of ``size`` pixels and as many more as fill a chunk."""
    size += -size % _CHUNK
    return np.empty(size, np.int16), np.empty(size, np.int16), np.empty(size, np.int32)


_scratch = _Scratch()


def measure(image: Image.Image) -> dict[str, Any]:
    """Row fields of a decoded, upright picture: ``phash, sharpness, brightness, contrast, channel_mean, channel_std``.

    Levels are divided by 255, so that means lie from 0 to 1 and deviations (of the population) from 0 to 0.5;
    grey is ITU-R 601-2 luma. ``sharpness`` is in squared grey levels. ``channel_*`` are of R, G, B; a grey picture has
    three equal ones.
    """
    if _is_grey(image):
        grey = to_mode(image, "L")
        own = _statistics(grey)
        channels = own * 3
    else:
        color = to_mode(image, "RGB")
        grey = color.convert("L")
        own, channels = _statistics(grey), _statistics(color)
    small = _within(grey, _SHARPNESS_SIDE_PX)
    return {
        "phash": phash(small),
        "sharpness": sharpness(small),
        "brightness": own[0][0],
        "contrast": own[0][1],
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
    width, height = grey.size
    if min(width, height) < 3:
        return 0.0
    picture = np.asarray(grey)
    size = width * height
    level, laplacian, square = _scratch.arrays if size <= len(_scratch.arrays[0]) else _arrays(size)
    # The picture as one line, so that each step is one run through memory; left and right of the border columns stand
    # pixels of other rows there, and what comes of those is wiped out.
    line, inner = level[:size], laplacian[: size - 2 * width - 2]
    np.copyto(line.reshape(height, width), picture)
    np.add(line[1 : -2 * width - 1], line[2 * width + 1 : -1], out=inner)
    inner += line[width : -width - 2]
    inner += line[width + 2 : -width]
    line <<= 2
    inner -= line[width + 1 : -width - 1]
    padded = len(inner) + -len(inner) % _CHUNK
    laplacian[len(inner) : padded] = 0
    laplacian[width - 2 : len(inner) : width] = 0
    laplacian[width - 1 : len(inner) : width] = 0
    wide = square[:padded]
    np.copyto(wide, laplacian[:padded])
    chunks = wide.reshape(-1, _CHUNK)
    squares = int(np.einsum("ij,ij->i", chunks, chunks).sum(dtype=np.int64))
    count, total = (width - 2) * (height - 2), _sum_of_laplacian(picture)
    return (count * squares - total * total) / (count * count)


def _sum_of_laplacian(levels: npt.NDArray[np.uint8]) -> int:
    """Sum of the Laplacian inside the border: all but the two outermost rows and columns cancels out."""
    rows = levels[[0, 1, -2, -1], 1:-1].sum(axis=1, dtype=np.int64).tolist()
    columns = levels[1:-1, [0, 1, -2, -1]].sum(axis=0, dtype=np.int64).tolist()
    return int(sum(side[0] - side[1] - side[2] + side[3] for side in (rows, columns)))


def _within(grey: Image.Image, side_px: int) -> Image.Image:
    """The picture with its longer side brought down to ``side_px``; itself where it is no longer."""
    width, height = grey.size
    longest = max(width, height)
    if longest <= side_px:
        return grey
    # Sides rounded half up, in integers.
    size = tuple(max(1, (2 * side * side_px + longest) // (2 * longest)) for side in (width, height))
    return grey.resize((size[0], size[1]), Image.Resampling.BILINEAR)


def _statistics(image: Image.Image) -> list[tuple[float, float]]:
    """Mean and population deviation, from 0 to 1, of the levels of each channel of 8 bits."""
    count = image.width * image.height
    sums = np.array(image.histogram(), dtype=np.int64).reshape(-1, 256) @ _POWERS
    return [
        (total / (255 * count), math.sqrt(count * squares - total * total) / (255 * count))
        for total, squares in sums.tolist()
    ]
