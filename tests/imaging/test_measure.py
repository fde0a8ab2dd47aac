"""The measures against a slow reference that is written another way: equal to the last bit."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dsetkit.imaging.measure import measure, phash, sharpness
from dsetkit.imaging.modes import to_mode

MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "LAB", "HSV", "I;16", "I", "F")
SIZES = ((1, 1), (1, 9), (9, 1), (2, 50), (3, 3), (4, 3), (31, 33), (641, 4), (3, 700), (640, 640), (701, 530))


def laplacian_variance(image: Image.Image) -> float:
    levels = np.asarray(image, dtype=np.int64)
    if min(levels.shape) < 3:
        return 0.0
    center = levels[1:-1, 1:-1]
    found = levels[:-2, 1:-1] + levels[2:, 1:-1] + levels[1:-1, :-2] + levels[1:-1, 2:] - 4 * center
    count, total, squares = found.size, int(found.sum()), int((found * found).sum())
    return (count * squares - total * total) / (count * count)


def hash_bits(image: Image.Image) -> int:
    """With Python's own integers, and frequencies one by one."""
    levels = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)).astype(int).tolist()
    total = sum(map(sum, levels))
    cosine = [
        [round(math.cos(math.pi * frequency * (2 * place + 1) / 64) * 2**14) for place in range(32)]
        for frequency in range(9)
    ]

    def at(v: int, u: int) -> int:
        return sum(cosine[v][y] * cosine[u][x] * (1024 * levels[y][x] - total) for y in range(32) for x in range(32))

    values = [at(v, u) for v in range(8) for u in range(8)]
    values[0] = at(0, 8)
    ordered = sorted(values)
    return sum(1 << (63 - place) for place, value in enumerate(values) if 2 * value > ordered[31] + ordered[32])


def mean_and_deviation(levels: np.ndarray) -> tuple[float, float]:
    numbers = levels.astype(int).ravel().tolist()
    total, squares, count = sum(numbers), sum(number * number for number in numbers), len(numbers)
    return total / (255 * count), math.sqrt(count * squares - total * total) / (255 * count)


def reference(image: Image.Image) -> dict[str, Any]:
    color = np.asarray(to_mode(image, "RGB")).astype(int)
    red, green, blue = (color[..., channel] for channel in range(3))
    grey_levels = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16  # ITU-R 601-2 luma
    grey = Image.fromarray(grey_levels.astype(np.uint8))
    width, height = grey.size
    longest = max(width, height)
    small = grey
    if longest > 640:
        sides = [max(1, math.floor(side * 640 / longest + 0.5)) for side in (width, height)]
        small = grey.resize((sides[0], sides[1]), Image.Resampling.BILINEAR)
    brightness, contrast = mean_and_deviation(grey_levels)
    channels = [mean_and_deviation(levels) for levels in (red, green, blue)]
    return {
        "phash": hash_bits(small),
        "sharpness": laplacian_variance(small),
        "brightness": brightness,
        "contrast": contrast,
        "channel_mean": tuple(mean for mean, _ in channels),
        "channel_std": tuple(deviation for _, deviation in channels),
    }


def made(mode: str, size: tuple[int, int], seed: int) -> Image.Image:
    """Noise, or hard edges, in a mode; some palettes with a transparent colour."""
    random = np.random.default_rng(seed)
    width, height = size
    if mode == "I;16":
        return Image.fromarray(random.integers(0, 65536, (height, width)).astype("<u2"))
    if mode == "I":
        return Image.fromarray(random.integers(-(2**31), 2**31, (height, width)).astype("<i4"))
    if mode == "F":
        return Image.fromarray(random.normal(0, 1e6, (height, width)).astype("<f4"))
    levels = random.integers(0, 256, (height, width, 4), dtype=np.uint8)
    if seed % 2:
        levels = (levels // 128 * 255).astype(np.uint8)
    image = Image.fromarray(levels)
    if mode in ("RGBA", "RGBa"):
        return image.convert(mode)
    if mode in ("LA", "La", "PA"):
        grey = image.convert("LA")
        return grey if mode == "LA" else grey.convert(mode)
    if mode == "LAB":
        return Image.frombytes("LAB", size, levels[..., :3].tobytes())
    out = image.convert("RGB").convert(mode)
    if mode == "P" and seed % 3 == 0:
        out.info["transparency"] = seed % 256
    return out


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("mode", MODES)
def test_measures_equal_the_reference(mode: str, size: tuple[int, int]) -> None:
    for seed in range(2 if size[0] * size[1] > 10_000 else 6):
        image = made(mode, size, seed)
        assert measure(image) == reference(image)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(MODES), st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**32))
def test_measures_of_small_pictures_equal_the_reference(mode: str, width: int, height: int, seed: int) -> None:
    image = made(mode, (width, height), seed)
    assert measure(image) == reference(image)


@pytest.mark.parametrize("size", [(642, 640), (2, 9_000), (5_000, 3), (3, 5_000), (900, 800)], ids=str)
def test_sharpness_of_pictures_larger_than_what_is_kept_ready(size: tuple[int, int]) -> None:
    for seed in (0, 1):
        image = made("L", size, seed)
        assert sharpness(image) == laplacian_variance(image)


def test_the_largest_laplacians_do_not_overflow() -> None:
    """A checkerboard: ±1020 everywhere."""
    board = Image.fromarray((np.indices((640, 640)).sum(0) % 2 * 255).astype(np.uint8))
    assert sharpness(board) == laplacian_variance(board) == 1020.0**2


def test_what_an_earlier_picture_left_behind_does_not_count() -> None:
    large, small = made("L", (640, 640), 1), made("L", (40, 30), 2)
    alone = sharpness(small)
    assert sharpness(large) == laplacian_variance(large)
    assert sharpness(small) == alone == laplacian_variance(small)


def test_threads_do_not_share_what_they_compute_in() -> None:
    pictures = [made("L", (300 + seed, 200), seed) for seed in range(24)]
    wanted = [laplacian_variance(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(sharpness, pictures * 5)) == wanted * 5


def test_hash_equals_the_reference_at_its_ends() -> None:
    for levels in (np.zeros((32, 32)), np.full((32, 32), 255), np.indices((32, 32)).sum(0) % 2 * 255):
        image = Image.fromarray(levels.astype(np.uint8))
        assert phash(image) == hash_bits(image)
