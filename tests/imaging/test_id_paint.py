from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw

from dsetkit.imaging.id_paint import paint_in_order
from dsetkit.imaging.id_png import read_ids, write_grey_ids, write_indexed


def test_the_last_ring_counts_and_outlines_are_painted():
    found = paint_in_order((5, 4), [(0, 0, 2, 0, 2, 2, 0, 2), (2, 1.9, 9, 1, 9, 2.9, 2, 2)])
    assert found.tolist() == [[1, 1, 1, 0, 0], [1, 1, 2, 2, 2], [1, 1, 2, 2, 2], [0, 0, 0, 0, 0]]
    assert paint_in_order((2, 1), []).tolist() == [[0, 0]]


def test_whole_numbers_are_not_rounded():
    """A flat list of them would be made float32 by Pillow."""
    ring = (0, 0, 16_777_217, 0, 16_777_217, 3, 0, 4)
    as_points = Image.new("L", (4, 5))
    ImageDraw.Draw(as_points).polygon(list(zip(ring[::2], ring[1::2], strict=True)), fill=1)
    assert (paint_in_order((4, 5), [ring]) == np.asarray(as_points)).all()


def test_ids_in_grey_and_with_a_palette():
    ids = np.array([[0, 1, 255]], np.uint8)
    assert read_ids(write_grey_ids(ids)).tolist() == ids.tolist()
    assert read_ids(write_grey_ids(ids.astype(np.uint16) * 257)).tolist() == [[0, 257, 65535]]
    data = write_indexed(ids.clip(0, 1), [(255, 255, 255), (1, 2, 3)])
    image = Image.open(io.BytesIO(data))
    assert (image.mode, np.asarray(image).tolist()) == ("P", [[0, 1, 1]])
    assert np.asarray(image.convert("RGB")).tolist() == [[[255, 255, 255], [1, 2, 3], [1, 2, 3]]]
    assert data == write_indexed(ids.clip(0, 1), [(255, 255, 255), (1, 2, 3)])
