"""Labels on pictures: readable, and none on another where there is room."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dsetkit.imaging.draw import draw_annotations
from dsetkit.imaging.labels import LabelWriter
from dsetkit.spec.category import Category

COLORS = [(230, 30, 50), (0, 160, 255), (255, 205, 0), (0, 190, 120), (225, 80, 220), (255, 105, 0)]


def covered(image: Image.Image, color: tuple[int, int, int]) -> int:
    return int((np.asarray(image) == color).all(axis=2).sum())


def blank(width_px: int = 400, height_px: int = 300) -> tuple[Image.Image, LabelWriter]:
    image = Image.new("RGB", (width_px, height_px))
    return image, LabelWriter(ImageDraw.Draw(image), image.size)


@pytest.mark.parametrize("box", [(150.0, 120.0, 90.0, 60.0), (0.0, 0.0, 30.0, 20.0), (370.0, 280.0, 30.0, 20.0)])
def test_labels_of_one_place_hide_nothing_of_each_other(box: tuple[float, float, float, float]) -> None:
    alone = []
    for color in COLORS[:3]:
        image, writer = blank()
        writer.at("category", box, color)
        alone.append(covered(image, color))
    together, writer = blank()
    for color in COLORS[:3]:
        writer.at("category", box, color)
    assert [covered(together, color) for color in COLORS[:3]] == alone


def test_what_cannot_be_avoided_hides_as_little_as_it_can() -> None:
    image, writer = blank(60, 24)
    for color in COLORS:
        writer.at("abcdefgh", (5.0, 5.0, 10.0, 10.0), color)
    assert covered(image, COLORS[-1]) > 0  # all are written


def test_captions_come_first_and_boxes_make_room() -> None:
    caption = {"id": "1", "kind": "caption", "text": "a cat on a wall"}
    box = {"id": "0", "kind": "box", "category": "cat", "bbox_xywh_px": [10.0, 20.0, 80.0, 60.0]}
    image = Image.new("RGB", (400, 300))
    alone = covered(draw_annotations(image, [caption]), (200, 200, 200))
    drawn = draw_annotations(image, [box, caption], [Category(name="cat", index=0)])
    label = covered(drawn, COLORS[0])
    assert covered(drawn, (200, 200, 200)) >= 0.99 * alone
    assert label > covered(draw_annotations(image, [{**box, "category": None}, caption]), COLORS[0]) + 100


def test_a_long_caption_goes_over_four_lines_at_most() -> None:
    heights = []
    for words in (1, 12, 30, 500):
        image, writer = blank(200, 300)
        writer.in_corner("word " * words, COLORS[1])
        heights.append(int((np.asarray(image) == COLORS[1]).all(axis=2)[:, 0].sum()))
    one = heights[0]
    assert heights[1] > 1.5 * one
    assert heights[2] == heights[3] <= 4 * one + 4
    image, writer = blank()
    writer.in_corner("", COLORS[0])
    writer.in_corner("   ", COLORS[0])
    assert covered(image, COLORS[0]) == 0


def test_letters_grow_with_the_picture() -> None:
    sizes = []
    for side in (100, 800, 3000):
        image, writer = blank(side, side)
        writer.at("cat", (10.0, side / 2, 20.0, 20.0), COLORS[0])
        sizes.append(int((np.asarray(image) == COLORS[0]).all(axis=2).any(axis=1).sum()))
    assert sizes[0] < sizes[1] < sizes[2]
    assert sizes[2] > 60
