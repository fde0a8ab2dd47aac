from __future__ import annotations

import numpy as np
import pytest

from dsetkit.formats.label_studio.brush import read_brush, write_brush
from dsetkit.geometry import rle


def unpack(data):
    """What the packed bytes mean, bit by bit, as the coding's description says."""
    bits = "".join(f"{byte:08b}" for byte in data)
    place = 0

    def take(count):
        nonlocal place
        place += count
        return int(bits[place - count : place], 2)

    number, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values = []
    while len(values) < number:
        repeats = take(1)
        count = take(sizes[take(2)]) + 1
        values += [take(word)] * count if repeats else [take(word) for _ in range(count)]
    return values


def pack(values, word, sizes, codes):
    """Values packed in codes of (how many, which size, whether one repeats)."""
    bits = f"{len(values):032b}{word - 1:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    place = 0
    for count, which, repeats in codes:
        bits += f"{int(repeats)}{which:02b}{count - 1:0{sizes[which]}b}"
        bits += "".join(f"{value:0{word}b}" for value in values[place : place + (1 if repeats else count)])
        place += count
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_masks_come_back_and_are_packed_as_the_coding_says(share):
    dice = np.random.default_rng(7)
    for height, width in ((1, 1), (3, 50), (41, 17), (300, 200)):
        painted = dice.random((height, width)) < share
        painted[height // 2 :] = share > 0.3  # long runs too
        mask = rle.encode(painted)
        data = write_brush(mask)
        assert read_brush(data, width, height) == mask
        values = np.array(unpack(data)).reshape(height, width, 4)
        assert (values == painted[:, :, None] * 255).all()


@pytest.mark.parametrize("word", [1, 3, 8, 12, 32])
def test_any_coding_is_read_exactly(word):
    dice = np.random.default_rng(word)
    for _ in range(20):
        height, width = map(int, dice.integers(1, 12, 2))
        values, codes, sizes = [], [], [1, 4, 9, 16]
        while len(values) < height * width * 4:
            which, repeats = int(dice.integers(0, 4)), bool(dice.integers(0, 2))
            count = int(min(dice.integers(1, 2 ** sizes[which] + 1), height * width * 4 - len(values), 70))
            made = [int(value) if dice.random() < 0.6 else 0 for value in dice.integers(0, 2**word, count)]
            values += made[:1] * count if repeats else made
            codes.append((count, which, repeats))
        data = pack(values, word, sizes, codes)
        assert unpack(data) == values
        alpha = np.array(values).reshape(height, width, 4)[:, :, 3]
        assert read_brush(data, width, height) == rle.encode(alpha != 0)


def test_faint_strokes_count():
    values = [0, 0, 0, 1, 9, 9, 9, 0]
    data = pack(values, 8, [3, 4, 8, 16], [(8, 0, False)])
    assert rle.decode(read_brush(data, 2, 1)).tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("data", "size", "message"),
    [
        ([], (4, 4), "brush strokes without a head"),
        ([0, 0, 0, 64, 0x38], (4, 4), "brush strokes without a head"),
        ([0, 0, 0, 63, 0x39, 0x1B, 0xF8], (4, 4), "brush strokes of 63 values, not 4 for each of 4×4 pixels"),
        ([0, 0, 0, 64, 0x39, 0x1B, 0xF8], (4, 4), "brush strokes that end too early"),
        ([0, 0, 0, 4, 0x39, 0x1B, 0xFD, 0xFF, 0xFF, 0xFF, 0xFF], (1, 1), "brush strokes beyond their size"),
        ([256] * 9, (4, 4), "brush strokes are whole numbers from 0 to 255"),
        ([1.5], (4, 4), "brush strokes are whole numbers from 0 to 255"),
        ([0] * 9, (10**6, 10**6), "a mask of 1000000×1000000 pixels is empty or above the limit of 178956970 pixels"),
    ],
)
def test_hostile_strokes_are_refused_before_they_are_decoded(data, size, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        read_brush(data, *size)
