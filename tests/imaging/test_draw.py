from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from dsetkit.geometry.rle import encode as encode_mask
from dsetkit.imaging.decode import open_picture
from dsetkit.imaging.draw import contact_sheet, draw_annotations
from dsetkit.imaging.labels import writable
from dsetkit.imaging.palette import category_colors, color_at, color_of_name, text_color
from dsetkit.spec.category import Category

SIZE = (120, 100)
MASK = np.zeros((100, 120), dtype=bool)
MASK[40:80, 40:90] = True
NAMES = ("nose", "tail", "ear")
CATEGORIES = (
    Category(name="cat", index=0, color="#00ff00", keypoint_names=NAMES, skeleton=((0, 1), (1, 2), (0, 99), (-1, 0))),
    Category(name="dog", index=1),
)
SHAPES = {
    "box": {"bbox_xywh_px": (40.0, 40.0, 50.0, 40.0)},
    "rotated_box": {"rotated_box": {"cx": 60.0, "cy": 60.0, "w": 50.0, "h": 30.0, "angle": 30.0}},
    "polygon": {
        "polygons": (((40.0, 40.0, 90.0, 40.0, 90.0, 80.0, 40.0, 80.0), (55.0, 50.0, 75.0, 50.0, 65.0, 70.0)),)
    },
    "mask": {"mask": encode_mask(MASK), "bbox_xywh_px": (40.0, 40.0, 50.0, 40.0)},
    "polyline": {"polyline": (40.0, 40.0, 90.0, 80.0)},
    "points": {"points": (50.0, 50.0, 70.0, 70.0)},
    "ellipse": {"ellipse": {"cx": 60.0, "cy": 60.0, "rx": 30.0, "ry": 12.0, "angle": 45.0}},
    "keypoints": {
        "keypoints": (
            {"name": "nose", "x": 50.0, "y": 50.0},
            {"name": "tail", "x": 80.0, "y": 80.0, "visibility": 1},
            {"name": "ear", "x": 0.0, "y": 0.0, "visibility": 0},
        )
    },
    "image_label": {},
    "caption": {"text": "a cat"},
}


def drawn(*annotations: dict, **options: object) -> np.ndarray:
    image = Image.new("RGB", SIZE, (128, 128, 128))
    return np.asarray(draw_annotations(image, annotations, CATEGORIES, **options))


@pytest.mark.parametrize("kind", SHAPES)
def test_every_kind_is_drawn_in_its_colour(kind):
    levels = drawn({"id": "0", "kind": kind, "category": "cat", **SHAPES[kind]})
    assert (levels == (0, 255, 0)).all(-1).sum() > 20
    place = levels[40:80, 40:90] if kind not in ("image_label", "caption") else levels[:20]
    assert (place != 128).any()


def test_holes_and_the_rest_of_the_picture_are_not_filled():
    levels = drawn({"id": "0", "kind": "polygon", "category": "cat", **SHAPES["polygon"]}, width=1)
    assert levels[60, 65].tolist() == [128, 128, 128]
    assert levels[60, 50].tolist() != [128, 128, 128]
    assert levels[95, 110].tolist() == [128, 128, 128]


def test_keypoints_not_labelled_are_not_drawn():
    levels = drawn({"id": "0", "kind": "keypoints", "category": "dog", **SHAPES["keypoints"]})
    assert (levels[:20, :20] == 128).all()


def test_the_picture_given_stays_as_it_is(picture):
    for mode in ("RGB", "I;16", "P"):
        image = picture(mode)
        before = image.tobytes()
        result = draw_annotations(image, [{"id": "0", "kind": "box", **SHAPES["box"]}], CATEGORIES)
        assert image.tobytes() == before
        assert (result.mode, result.size) == ("RGB", image.size)


@pytest.mark.parametrize(
    "shape",
    [
        {"kind": "box"},
        {"kind": "box", "bbox_xywh_px": (float("nan"), 0.0, 5.0, 5.0)},
        {"kind": "box", "bbox_xywh_px": (0.0, 0.0, float("inf"), 5.0)},
        {"kind": "box", "bbox_xywh_px": (-1e8, -1e8, 3e8, 3e8)},
        {"kind": "polygon", "polygons": ((), ((1.0, 2.0),), ((0.0, 0.0, 1e300, 0.0, 5.0, 5.0),))},
        {"kind": "polygon", "polygons": (((500.0, 500.0, 600.0, 500.0, 600.0, 600.0),),)},
        {"kind": "ellipse", "ellipse": {"cx": 0.0, "cy": 0.0, "rx": 1e308, "ry": 1.0}},
        {"kind": "rotated_box", "rotated_box": {"cx": 0.0, "cy": float("nan"), "w": 1.0, "h": 1.0, "angle": 0.0}},
        {"kind": "mask", "mask": {"size": (100, 120), "counts": "~~~~"}},
        {"kind": "mask", "mask": {"size": (10**9, 10**9), "counts": "0"}},
        {"kind": "mask"},
        {"kind": "polyline", "polyline": (1.0,)},
        {"kind": "points"},
        {"kind": "keypoints", "keypoints": ({"name": "nose", "x": float("nan"), "y": 1.0},)},
        {"kind": "image_label", "category": "\0\ud800\n" * 500},
        {"kind": "caption"},
    ],
)
def test_broken_and_hostile_shapes_do_no_harm(shape):
    assert drawn({"id": "0", "category": "cat", **shape}).shape == (100, 120, 3)


def test_small_pictures_are_enlarged_by_a_whole_factor():
    image = Image.new("L", (28, 20), 100)
    mask = {"id": "0", "kind": "mask", "category": "cat", "mask": encode_mask(np.ones((20, 28), bool))}
    result = draw_annotations(image, [mask], CATEGORIES, min_side_px=50)
    assert result.size == (84, 60)
    assert result.getpixel((83, 59)) != (100, 100, 100)
    assert draw_annotations(image, [], min_side_px=20).size == (28, 20)


def test_colours_are_distinct_and_stay():
    colors = [color_at(index) for index in range(40)]
    assert len(set(colors)) == 40
    apart = [
        sum(abs(a - b) for a, b in zip(one, other, strict=True))
        for place, one in enumerate(colors[:12])
        for other in colors[:place]
    ]
    assert min(apart) >= 90
    found = category_colors([*CATEGORIES, Category(name="odd", index=2, color="red; drop")])
    assert found == {"cat": (0, 255, 0), "dog": color_at(1), "odd": color_at(2)}
    assert color_of_name("fox") == color_of_name("fox") != color_of_name("box")


def test_text_is_read_on_its_backing():
    assert text_color((255, 255, 0)) == (0, 0, 0)
    assert text_color((60, 0, 160)) == (255, 255, 255)


def test_text_keeps_to_what_the_font_has():
    assert writable("Läsion\n№ 7 — ☃") == "Lasion No 7 ? ?"
    assert writable("plain [text] 0.5…") == "plain [text] 0.5..."


def test_a_large_picture_is_brought_down_with_its_labels():
    image = Image.new("RGB", (400, 200), (255, 255, 255))
    mask = {"id": "0", "kind": "mask", "category": "RBC", "mask": encode_mask(np.ones((200, 400), np.uint8))}
    box = {"id": "1", "kind": "box", "category": CATEGORIES[0].name, "bbox_xywh_px": [200.0, 100.0, 100.0, 60.0]}
    result = np.asarray(draw_annotations(image, [mask, box], CATEGORIES, max_side_px=100))
    assert result.shape == (50, 100, 3)
    assert (result[-5, 5] != 255).any()  # the mask covers it
    assert (
        (result[39:42, 62] == category_colors(CATEGORIES)[CATEGORIES[0].name]).all(-1).any()
    )  # the box's lower edge, at 160 / 4
    assert draw_annotations(image, [], max_side_px=500).size == (400, 200)


def test_contact_sheet(picture):
    images = [picture(mode, size) for mode, size in (("RGB", (300, 100)), ("L", (10, 10)), ("RGBA", (50, 200)))]
    sheet = contact_sheet(images, 2, 64)
    assert sheet.size == (2 * 70 + 6, 21 + 64 + 3 * 6)  # a row is as tall as its tallest picture
    titled = contact_sheet(images, 2, 64, ["a/very/long/path/to/a/picture.jpg", "b", "c"])
    assert titled.size == (146, 21 + 64 + 3 * 6 + 2 * 16)
    assert contact_sheet([], 4, 32).size == (44, 44)
    assert contact_sheet(images, 2, 64).tobytes() == sheet.tobytes()


@pytest.mark.realdata
def test_blood_cells(shared_data):
    annotations = []
    (file,) = (shared_data / "bccd").rglob("BloodImage_00003.xml")
    for item in ElementTree.parse(file).getroot().iter("object"):
        left, top, right, bottom = (float(item.findtext(f"bndbox/{name}")) for name in ("xmin", "ymin", "xmax", "ymax"))
        box = (left, top, right - left, bottom - top)
        annotations.append({"id": str(len(annotations)), "kind": "box", "category": "RBC", "bbox_xywh_px": box})
    (photo,) = (shared_data / "bccd").rglob("BloodImage_00003.jpg")
    image = open_picture(photo.read_bytes())
    result = np.asarray(draw_annotations(image, annotations, [Category(name="RBC", index=0)]))
    assert result.shape == (480, 640, 3)
    assert (result == color_at(0)).all(-1).sum() > 1000


def test_what_is_not_in_the_frame_is_not_drawn():
    annotation = {"id": "0", "kind": "box", "category": "a", "bbox_xywh_px": (2.0, 2.0, 8.0, 8.0)}
    gone = {**annotation, "track": {"id": "7", "outside": True}}
    assert np.array_equal(drawn(gone), drawn())
    assert not np.array_equal(drawn(annotation), drawn())
