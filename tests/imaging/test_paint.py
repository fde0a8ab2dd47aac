from __future__ import annotations

import io

import pytest
from PIL import Image, ImageChops, ImageOps

from dsetkit.imaging import paint


@pytest.fixture
def picture() -> Image.Image:
    canvas = paint.Canvas(40, 30, (200, 220, 240))
    canvas.gradient(0, 15, (20, 40, 200), (200, 220, 240))
    canvas.polygon([(2, 28), (2, 18), (14, 28)], (180, 30, 30))
    canvas.ellipse(30, 8, 5, 5, (250, 220, 40))
    canvas.line([(20, 28), (38, 18)], (30, 120, 40), 2)
    return canvas.finish(seed="a")


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_canvas_has_its_size_and_grain_of_its_seed(picture: Image.Image) -> None:
    assert (picture.size, picture.mode) == ((40, 30), "RGB")
    plain = paint.Canvas(40, 30, (100, 100, 100))
    one, same, other = (plain.finish(seed=seed, grain=4) for seed in ("a", "a", "b"))
    assert one.tobytes() == same.tobytes() != other.tobytes()
    assert one.getextrema()[0] == (96, 104)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_jpeg_is_upright_again(picture: Image.Image, orientation: int) -> None:
    stored = opened(paint.to_jpeg(picture, quality=95, orientation=orientation))
    assert stored.size == ((40, 30) if orientation < 5 else (30, 40))
    upright = ImageOps.exif_transpose(stored)
    difference = ImageChops.difference(upright.convert("L"), picture.convert("L"))
    assert sum(difference.tobytes()) / (40 * 30) < 6


def test_a_jpeg_tells_time_and_place_only_when_asked(picture: Image.Image) -> None:
    assert not opened(paint.to_jpeg(picture)).getexif()
    told = opened(paint.to_jpeg(picture, taken_at="2024:05:06 12:20:00", latitude_deg=52)).getexif()
    assert told.get_ifd(0x8769)[0x9003] == "2024:05:06 12:20:00"
    assert told.get_ifd(0x8825)[2][0] == 52


def test_ways_to_go_wrong(picture: Image.Image) -> None:
    assert paint.grey(picture).mode == "L"
    assert paint.with_palette(picture, 16).mode == "P"
    assert paint.resized(picture, 8, 6).size == (8, 6)
    assert paint.exposed(picture, 0.0, 255.0).getextrema() == ((255, 255),) * 3
    assert len(paint.to_png(paint.blurred(picture, 3))) < len(paint.to_png(picture))
    assert paint.mix((0, 0, 0), (10, 20, 30), 0.5) == (5, 10, 15)
