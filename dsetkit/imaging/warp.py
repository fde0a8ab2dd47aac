"""Pictures under an affine map: pixels moved, with what shows where there were none.

Every function takes a Pillow image and gives a new one in mode L, RGB, RGBA or I;16 (others are first converted as
``modes.to_mode(image, "keep")`` says), with the colour profile kept. A point is in pixels, (0, 0) the top-left corner
of the top-left pixel, whose centre is (0.5, 0.5): the frame that labels use, so one matrix moves both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dsetkit.geometry.affine import Matrix, invert
from dsetkit.imaging.modes import to_mode

Picture = Image.Image
"""A Pillow image, for rooms that do not import Pillow."""

Fill = Literal["constant", "edge", "reflect", "wrap"]
"""``constant``: one colour; ``edge``: the nearest pixel; ``reflect``: mirrored at the edge, the edge pixel twice (as
``numpy.pad`` calls ``symmetric``); ``wrap``: repeated."""

Color = tuple[int, int, int]
"""R, G, B from 0 to 255."""

_CHUNK = 1 << 16  # points worked on at once at the border, so that memory stays small
_Floats = NDArray[np.float32]


def flip(image: Picture, axis: Literal["horizontal", "vertical", "both"]) -> Picture:
    """The picture mirrored, exactly; ``horizontal`` changes left and right."""
    method = {
        "horizontal": Image.Transpose.FLIP_LEFT_RIGHT,
        "vertical": Image.Transpose.FLIP_TOP_BOTTOM,
        "both": Image.Transpose.ROTATE_180,
    }[axis]
    image = to_mode(image, "keep")
    return like(image.transpose(method), image)


def crop(image: Picture, x_px: int, y_px: int, width_px: int, height_px: int) -> Picture:
    """A window of the picture, exactly. Raises ``ValueError`` for one that is empty or sticks out."""
    if not (0 <= x_px < x_px + width_px <= image.width and 0 <= y_px < y_px + height_px <= image.height):
        raise ValueError(
            f"a window of {width_px}×{height_px} at {x_px}, {y_px} does not lie in {image.width}×{image.height}"
        )
    image = to_mode(image, "keep")
    return like(image.crop((x_px, y_px, x_px + width_px, y_px + height_px)), image)


def affine(
    image: Picture,
    matrix: Matrix,
    *,
    width_px: int,
    height_px: int,
    fill: Fill = "constant",
    fill_color: Color = (0, 0, 0),
) -> Picture:
    """The picture after the map ``matrix`` (old frame to new), in a new frame of ``width_px`` × ``height_px``.

    A map that moves whole pixels onto whole pixels is exact. Any other is sampled once, by Pillow's bicubic filter on
    float32, colours weighted by alpha, rounded to the nearest level; within two pixels of the old edge the filter sees
    what ``fill`` puts there. A grey picture is filled with the colour's luma (ITU-R 601-2), an RGBA one opaque. There
    is no filter against aliasing: a map that shrinks to below a half skips pixels.
    Raises ``ValueError`` for a map that cannot be turned round or a frame without pixels.
    """
    if width_px < 1 or height_px < 1:
        raise ValueError(f"a picture of {width_px}×{height_px} pixels has no pixels")
    image = to_mode(image, "keep")
    inverse = invert(matrix)
    a, b, c, d, e, f = map(float, matrix)
    shape, levels = (height_px, width_px), _fill_levels(image, fill_color)
    whole = c.is_integer() and f.is_integer()
    if whole and abs(a) == 1 == abs(e) and b == d == 0:
        array = _move_whole(np.asarray(image), (a, e), (c, f), shape, fill, levels)
    elif whole and abs(b) == 1 == abs(d) and a == e == 0:
        array = _move_whole(np.asarray(image).swapaxes(0, 1), (b, d), (c, f), shape, fill, levels)
    else:
        array = _resample(image, inverse, shape, fill, levels)
    return like(Image.fromarray(array), image)


def like(image: Picture, source: Picture) -> Picture:
    """The new image with the colour profile of the one it was made from, and no other metadata."""
    profile = source.info.get("icc_profile")
    image.info = {} if profile is None else {"icc_profile": profile}
    return image


def _fill_levels(image: Picture, color: Color) -> tuple[int, ...]:
    red, green, blue = color
    luma = (299 * red + 587 * green + 114 * blue + 500) // 1000
    return {"L": (luma,), "I;16": (luma * 257,), "RGB": color, "RGBA": (*color, 255)}[image.mode]


def _fold(index: NDArray[np.int64], size: int, fill: Fill) -> NDArray[np.int64]:
    """Indices past the edge brought back to pixels that are there."""
    if fill == "wrap":
        return index % size
    if fill == "reflect":
        index = index % (2 * size)
        return np.minimum(index, 2 * size - 1 - index)
    return index.clip(0, size - 1)


def _move_whole(
    pixels: NDArray[Any],
    signs: tuple[float, float],
    shift: tuple[float, float],
    shape: tuple[int, int],
    fill: Fill,
    levels: tuple[int, ...],
) -> NDArray[Any]:
    """Pixels under x' = ±x + shift, y' = ±y + shift: rows and columns picked by index."""
    columns, rows = (
        np.floor(sign * (np.arange(size) + 0.5 - start)).astype(np.int64)
        for sign, start, size in zip(signs, shift, reversed(shape), strict=True)
    )
    height, width = pixels.shape[:2]
    out = pixels[_fold(rows, height, fill)][:, _fold(columns, width, fill)]
    if fill == "constant":
        value = levels if pixels.ndim == 3 else levels[0]
        out[(rows < 0) | (rows >= height)] = value
        out[:, (columns < 0) | (columns >= width)] = value
    return out


def _resample(
    image: Picture, inverse: Matrix, shape: tuple[int, int], fill: Fill, levels: tuple[int, ...]
) -> NDArray[Any]:
    bands = _to_bands(np.asarray(image))
    out = [_sample_inside(band, inverse, shape, level) for band, level in zip(bands, levels, strict=True)]
    for rows, columns in _border_pixels(inverse, shape, bands[0].shape):
        _sample_border(bands, out, rows, columns, inverse, fill, levels)
    return _from_bands(out, np.uint16 if image.mode == "I;16" else np.uint8)


def _to_bands(pixels: NDArray[Any]) -> list[_Floats]:
    """One float32 array a channel, colours premultiplied with alpha."""
    if pixels.ndim == 2:
        return [pixels.astype(np.float32)]
    bands = [pixels[:, :, channel].astype(np.float32) for channel in range(pixels.shape[2])]
    if len(bands) == 4:
        share = bands[3] / np.float32(255)
        bands[:3] = [band * share for band in bands[:3]]
    return bands


def _from_bands(bands: list[_Floats], dtype: type[np.unsignedinteger[Any]]) -> NDArray[Any]:
    if len(bands) == 4:
        share = (bands[3].clip(0, 255) / 255).astype(np.float32)
        share[share == 0] = 1
        bands[:3] = [band / share for band in bands[:3]]
    whole = [np.rint(band).clip(0, np.iinfo(dtype).max).astype(dtype) for band in bands]
    return whole[0] if len(whole) == 1 else np.stack(whole, axis=2)


def _sample_inside(band: _Floats, inverse: Matrix, shape: tuple[int, int], level: int) -> _Floats:
    return np.array(
        Image.fromarray(band).transform(
            (shape[1], shape[0]),
            Image.Transform.AFFINE,
            inverse,
            resample=Image.Resampling.BICUBIC,
            fillcolor=float(level),
        )
    )


def _border_pixels(
    inverse: Matrix, shape: tuple[int, int], old: tuple[int, ...]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows and columns, in chunks, of new pixels whose 4×4 neighbourhood in the old picture is not wholly inside."""
    a, b, c, d, e, f = inverse
    columns = np.arange(shape[1]) + 0.5
    for start in range(0, shape[0], rows_at_once := max(1, _CHUNK // shape[1])):
        rows = (np.arange(start, min(start + rows_at_once, shape[0])) + 0.5)[:, None]
        x, y = a * columns + b * rows + (c - 0.5), d * columns + e * rows + (f - 0.5)
        near = (x < 1) | (x >= old[1] - 2) | (y < 1) | (y >= old[0] - 2)
        if near.any():
            found = np.nonzero(near)
            yield found[0] + start, found[1]


def _sample_border(
    bands: list[_Floats],
    out: list[_Floats],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    inverse: Matrix,
    fill: Fill,
    levels: tuple[int, ...],
) -> None:
    """Bicubic sampling as Pillow does it (cubic convolution, its parameter −1), seeing the fill past the edge."""
    a, b, c, d, e, f = inverse
    height, width = bands[0].shape
    x = a * (columns + 0.5) + b * (rows + 0.5) + (c - 0.5)
    y = d * (columns + 0.5) + e * (rows + 0.5) + (f - 0.5)
    if fill == "constant":  # far out there is nothing but the fill, which is there already
        some = (x > -3) & (x < width + 2) & (y > -3) & (y < height + 2)
        x, y, rows, columns = x[some], y[some], rows[some], columns[some]
    left, top = np.floor(x).astype(np.int64) - 1, np.floor(y).astype(np.int64) - 1
    across, down = _cubic(x - np.floor(x)), _cubic(y - np.floor(y))
    sums = [np.zeros(len(rows)) for _ in bands]
    for j in range(4):
        for i in range(4):
            weight = across[i] * down[j]
            taps = _fold(top + j, height, fill), _fold(left + i, width, fill)
            outside = (taps[0] != top + j) | (taps[1] != left + i) if fill == "constant" else None
            for band, total, level in zip(bands, sums, levels, strict=True):
                value = band[taps]
                if outside is not None:
                    value[outside] = level
                total += weight * value
    for target, total in zip(out, sums, strict=True):
        target[rows, columns] = total


def _cubic(t: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Weights of the four neighbours for a point ``t`` from 0 to 1 past the second of them."""
    t2, t3 = t * t, t * t * t
    return -t + 2 * t2 - t3, 1 - 2 * t2 + t3, t + t2 - t3, t3 - t2
