from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from dsetkit.errors import PictureError
from dsetkit.imaging.mask_png import read_mask, write_mask

SPOT = np.zeros((5, 7), np.bool_)
SPOT[1:3, 2:6] = True


def saved(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_the_object_is_what_is_not_zero_or_not_transparent(mode):
    level = Image.fromarray(SPOT.astype(np.uint8) * 255)
    if mode in ("RGBA", "LA"):
        image = Image.new(mode, (7, 5), "white")  # white all over, seen where it is not transparent
        image.putalpha(level)
    elif mode == "P":
        image = Image.fromarray(SPOT.astype(np.uint8) * 3, "P")
        image.putpalette([255, 255, 255] * 4)  # one colour: the index tells
    else:
        image = level.convert(mode)
    assert (read_mask(saved(image)) == SPOT).all()


@pytest.mark.parametrize("level", [1, 255])
def test_what_is_written_is_read(level):
    data = write_mask(SPOT, level=level)
    assert (read_mask(data) == SPOT).all()
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "L"
        assert image.getextrema() == (0, level)
    assert data == write_mask(SPOT.astype(np.int64) * 9, level=level)


def test_bad_bytes_and_bombs_are_refused():
    with pytest.raises(PictureError):
        read_mask(b"no picture")
    with pytest.raises(PictureError):
        read_mask(write_mask(SPOT), max_pixels=10)
