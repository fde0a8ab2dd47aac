from __future__ import annotations

import base64
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats import registry
from dsetkit.formats.labelme.format import Labelme
from dsetkit.formats.reading import open_labels, read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, files_of, png
from dsetkit.formats.writing import write_labels
from dsetkit.geometry import rle
from dsetkit.spec.category import Category
from dsetkit.storage.scan import scan


class TestLabelme(FormatContract):
    format = Labelme()


def shape(kind: str | None, points: Any, label: str = "cat", **fields: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **fields}


def document(*shapes: Any, **fields: Any) -> dict[str, Any]:
    given = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": "a.png", "imageData": None}
    return {**given, "imageHeight": 24, "imageWidth": 32, **fields}


def put(folder: Path, content: Any, name: str = "a.json", picture: str | None = "a.png") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    if picture:
        (folder / picture).parent.mkdir(parents=True, exist_ok=True)
        (folder / picture).write_bytes(png(32, 24))
    return folder


def read(folder: Path, *shapes: Any, **fields: Any) -> list[dict[str, Any]]:
    (row,) = read_labels(put(folder, document(*shapes, **fields)), "labelme").rows
    return list(row.get("annotations", ()))


def base64_of(array: Any) -> str:
    out = io.BytesIO()
    Image.fromarray(np.asarray(array, np.uint8)).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


@pytest.mark.parametrize("corners", [[[2, 3], [12, 11]], [[12, 11], [2, 3]], [[12, 3], [2, 11]], [[2, 11], [12, 3]]])
def test_a_rectangle_is_two_corners_in_any_order(tmp_path, corners):
    (found,) = read(tmp_path, shape("rectangle", corners))
    assert (found["kind"], found["bbox_xywh_px"]) == ("box", [2.0, 3.0, 10.0, 8.0])


def test_shapes_are_what_they_are(tmp_path):
    found = read(
        tmp_path,
        shape("circle", [[10, 10], [13, 14]]),
        shape("line", [[0, 0], [3, 4]]),
        shape("linestrip", [[0, 0], [3, 4], [5, 1]]),
        shape("point", [[7, 8]]),
        shape("points", [[7, 8], [9, 3]]),
        shape("polygon", [[0, 0], [4, 0], [4, 4]]),
    )
    circle, line, strip, point, points, polygon = found
    assert circle["ellipse"] == {"cx": 10.0, "cy": 10.0, "rx": 5.0, "ry": 5.0, "angle": 0.0}
    assert circle["bbox_xywh_px"] == [5.0, 5.0, 10.0, 10.0]
    assert line["polyline"] == [0.0, 0.0, 3.0, 4.0]
    assert strip["polyline"] == [0.0, 0.0, 3.0, 4.0, 5.0, 1.0]
    assert strip["bbox_xywh_px"] == [0.0, 0.0, 5.0, 4.0]
    assert point["points"] == [7.0, 8.0]
    assert points["points"] == [7.0, 8.0, 9.0, 3.0]
    assert polygon["polygons"] == [[[0.0, 0.0, 4.0, 0.0, 4.0, 4.0]]]
    assert [item["id"] for item in found] == ["0", "1", "2", "3", "4", "5"]


def turned(cx: float, cy: float, w: float, h: float, degrees: float) -> list[list[float]]:
    """Corners of a box turned about its centre, clockwise on the screen, from its own top left on."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    own = [(-w / 2, -h / 2), (w / 2, -h / 2), (w / 2, h / 2), (-w / 2, h / 2)]
    return [[cx + x * cos - y * sin, cy + x * sin + y * cos] for x, y in own]


@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0, 135.0, 180.0, -45.0, -120.0])
@pytest.mark.parametrize("name", ["oriented_rectangle", "rotation"])
def test_an_oriented_rectangle_turns_about_its_centre(tmp_path, degrees, name):
    (found,) = read(tmp_path, shape(name, turned(16, 12, 10, 4, degrees)))
    assert found["kind"] == "rotated_box"
    assert found["rotated_box"] == pytest.approx({"cx": 16, "cy": 12, "w": 10, "h": 4, "angle": degrees}, abs=1e-9)


def test_a_rectangle_turned_about_a_corner_has_the_corner_where_it_was(tmp_path):
    # (2, 3) is the pivot; own x axis of 10 px at 30°: (2 + 10 cos 30°, 3 + 10 sin 30°), and 4 px down from it.
    corners = [[2, 3], [10.660254, 8], [8.660254, 11.464102], [0, 6.464102]]
    (found,) = read(tmp_path, shape("oriented_rectangle", corners))
    box = found["rotated_box"]
    assert (box["w"], box["h"], box["angle"]) == pytest.approx((10, 4, 30), abs=1e-5)
    assert (box["cx"], box["cy"]) == pytest.approx((5.330127, 7.232051), abs=1e-6)


def test_four_corners_that_are_no_rectangle_stay_a_polygon_with_a_finding(tmp_path):
    (found,) = read(tmp_path, shape("oriented_rectangle", [[0, 0], [10, 0], [14, 8], [0, 8]]))
    assert (found["kind"], found["issues"][0]["code"]) == ("polygon", "box-not-rectangular")
    assert found["issues"][0]["message"] == "its corners are 4 px off a rectangle"


def test_rectangles_of_four_corners_as_x_anylabeling_writes_them(tmp_path):
    corners = [[2, 3], [12, 3], [12, 11], [2, 11]]
    fields = {"score": 0.5, "difficult": True, "attributes": {"pose": "left"}, "kie_linking": [], "description": ""}
    (found,) = read(tmp_path, shape("rectangle", corners, **fields))
    assert found["bbox_xywh_px"] == [2.0, 3.0, 10.0, 8.0]
    assert found["kind"] == "box"
    assert found["score"] == 0.5
    assert found["attributes"] == {"pose": "left", "difficult": True}
    assert "extras" not in found


def test_a_mask_lies_with_its_first_pixel_at_its_first_point(tmp_path):
    cut = np.array([[1, 0, 1], [1, 1, 1]])
    (found,) = read(tmp_path, shape("mask", [[5, 6], [7, 7]], mask=base64_of(cut)))
    expected = np.zeros((24, 32), bool)
    expected[6:8, 5:8] = cut
    assert (rle.decode(found["mask"]) == expected).all()
    assert found["bbox_xywh_px"] == [5.0, 6.0, 3.0, 2.0]
    assert "issues" not in found


@pytest.mark.parametrize(
    ("points", "code"),
    [
        ([[30, 6], [32, 7]], "mask-outside"),
        ([[-1, 6], [1, 7]], "mask-outside"),
        ([[5, 6], [6, 7]], "mask-box-disagrees"),
        ([[40, 6], [42, 7]], "mask-empty"),
    ],
)
def test_a_mask_that_does_not_fit_is_cut_with_a_finding(tmp_path, points, code):
    (found,) = read(tmp_path, shape("mask", points, mask=base64_of([[1, 1, 1], [1, 1, 1]])))
    assert code in [item["code"] for item in found["issues"]]
    assert found["mask"]["size"] == [24, 32]


def test_a_mask_at_fractions_of_a_pixel_keeps_its_size(tmp_path):
    (found,) = read(tmp_path, shape("mask", [[4.6, 5.5], [7.4, 7.2]], mask=base64_of([[1, 1, 1], [1, 1, 1]])))
    assert found["bbox_xywh_px"] == [5.0, 6.0, 3.0, 2.0]


def test_a_mask_without_a_declared_size_is_of_the_picture_s(tmp_path):
    mask = shape("mask", [[5, 6], [7, 7]], mask=base64_of([[1, 1, 1], [1, 1, 1]]))
    (found,) = read(tmp_path, mask, imageHeight=None, imageWidth=None)
    assert found["mask"]["size"] == [24, 32]
    (tmp_path / "a.png").unlink()
    ((row,), (item,)) = (read_labels(tmp_path, "labelme").rows, read_labels(tmp_path, "labelme").rows[0]["annotations"])
    assert item["mask"]["size"] == [8, 8]
    assert item["issues"][0]["code"] == "mask-size-unknown"
    assert "width_px" not in row


def test_what_a_shape_says_goes_to_its_own_field(tmp_path):
    given = {"group_id": 3, "description": "AB 123", "flags": {"occluded": True, "truncated": False}, "track_no": 7}
    first, second = read(tmp_path, shape("polygon", [[0, 0], [4, 0], [4, 4]], **given), shape("point", [[1, 1]]))
    assert first["instance_group"] == "3"
    assert first["text"] == "AB 123"
    assert first["attributes"] == {"occluded": True, "truncated": False}
    assert first["extras"] == {"labelme": {"track_no": 7}}
    assert second == {"id": "1", "kind": "points", "points": [1.0, 1.0], "bbox_xywh_px": [1.0, 1.0, 0.0, 0.0]} | {
        "category": "cat"
    }


def test_flags_of_the_picture_are_categories(tmp_path):
    flags = {"cat": True, "dog": False, "__ignore__": False}
    labels = read_labels(put(tmp_path, document(flags=flags)), "labelme")
    (row,) = labels.rows
    assert row["annotations"] == [{"id": "0", "kind": "image_label", "category": "cat"}]
    assert row["absent_categories"] == ["dog"]
    assert [category.name for category in labels.categories] == ["cat", "dog"]


def test_what_is_labelled_ignore_has_no_category(tmp_path):
    (found,) = read(tmp_path, shape("rectangle", [[1, 1], [5, 5]], "__ignore__"), flags={"__ignore__": True})
    assert found["is_ignored"]
    assert "category" not in found
    labels = read_labels(tmp_path, "labelme")
    assert labels.categories == ()
    assert labels.rows[0]["attributes"] == {"__ignore__": True}


def test_lists_of_names_give_the_order_of_categories(tmp_path):
    put(tmp_path, document(shape("point", [[1, 1]], "cat"), flags={"night": True}), "x/a.json", "x/a.png")
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\ndog\n cat \n")
    (tmp_path / "x" / "flags.txt").write_text("day\n")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "labels.txt").write_text("not ours\n")
    labels = read_labels(tmp_path, "labelme")
    assert [category.name for category in labels.categories] == ["dog", "cat", "day", "night"]
    assert Labelme().side_files(scan(str(tmp_path))) == ["labels.txt", "x/flags.txt"]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a.png", "labels/a.png"),
        ("..\\images\\a.png", "images/a.png"),
        ("../images/a.png", "images/a.png"),
        ("C:\\Users\\me\\images\\a.png", "images/a.png"),
        ("/home/me/images/a.png", "images/a.png"),
        ("../../../etc/a.png", "images/a.png"),
    ],
)
def test_a_picture_is_found_by_its_path_from_the_json(tmp_path, name, key):
    put(tmp_path, document(imagePath=name), "labels/a.json", key)
    labels = read_labels(tmp_path, "labelme")
    assert [row["key"] for row in labels.rows] == [key]
    assert labels.rows[0]["labelled"] == "yes"
    assert labels.issues == ()


def test_without_pictures_keys_are_paths_from_the_json(tmp_path):
    put(tmp_path, document(imagePath="..\\images\\a.png"), "labels/a.json", None)
    put(tmp_path, document(imagePath="a.png"), "x/a.json", None)
    put(tmp_path, document(imagePath="a.png"), "y/a.json", None)
    put(tmp_path, document(imagePath="D:\\all\\b.png"), "y/b.json", None)
    keys = ["all/b.png", "images/a.png", "x/a.png", "y/a.png"]
    assert [row["key"] for row in read_labels(tmp_path, "labelme").rows] == keys


def test_a_stale_image_path_is_told_of(tmp_path):
    put(tmp_path, document(shape("point", [[1, 1]])), "b.json", "b.png")
    put(tmp_path, document(shape("point", [[2, 2]])))
    labels = read_labels(tmp_path, "labelme")
    assert [(row["key"], row["annotations"][0]["points"]) for row in labels.rows] == [
        ("a.png", [2.0, 2.0]),
        ("b.png", [1.0, 1.0]),
    ]
    (issue,) = labels.issues
    assert issue.describe() == (
        "b.json: it names a.png, but is called like b.png; taken as labels of a.png. "
        "Correct imagePath, or the file's name. [filename-differs]"
    )


def test_two_files_about_one_picture_are_both_taken(tmp_path):
    put(tmp_path, document(shape("point", [[1, 1]])))
    put(tmp_path, document(shape("point", [[2, 2]])), "ann2/a.json", None)
    put(tmp_path, document(shape("point", [[1, 1]])), "ann3/a.json", None)
    labels = read_labels(tmp_path, "labelme")
    assert [item["points"] for item in labels.rows[0]["annotations"]] == [[1.0, 1.0], [2.0, 2.0]]
    assert sorted(issue.code for issue in labels.issues) == ["labels-repeated", "labels-twice"]


def test_old_versions(tmp_path):
    old = {
        "flags": None,
        "shapes": [
            {"label": "cat", "line_color": None, "fill_color": [1, 2, 3, 4], "points": [[0, 0], [4, 0], [4, 4]]},
            ["dog", [[1, 1], [2, 1], [2, 2]], None, None],
        ],
        "lineColor": [0, 255, 0, 128],
        "fillColor": [255, 0, 0, 128],
        "imagePath": "a.png",
        "imageData": None,
    }
    labels = read_labels(put(tmp_path, old), "labelme")
    (row,) = labels.rows
    assert [(item["kind"], item["category"]) for item in row["annotations"]] == [("polygon", "cat"), ("polygon", "dog")]
    assert "attributes" not in row
    assert all("extras" not in item for item in row["annotations"])
    assert labels.issues == ()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings_and_cases(tmp_path, encoding):
    put(tmp_path, json.dumps(document(shape("point", [[1, 1]], "Füße"))).encode(encoding), "a.JSON")
    labels = open_labels(tmp_path).labels
    assert labels.rows[0]["annotations"][0]["category"] == "Füße"


def test_folders_give_subsets_unless_the_file_says(tmp_path):
    put(tmp_path, document(), "train/a.json", "train/a.png")
    put(tmp_path, document(subsets=["fold 1"]), "val/a.json", "val/a.png")
    put(tmp_path, document(subsets=[]), "test/a.json", "test/a.png")
    found = {row["key"]: row.get("subsets") for row in read_labels(tmp_path, "labelme").rows}
    assert found == {"train/a.png": ["train"], "val/a.png": ["fold 1"], "test/a.png": None}


# Pictures inside JSON


def test_a_picture_inside_is_taken_where_there_is_no_file(tmp_path):
    data = png(32, 24, 7)
    put(tmp_path, document(shape("point", [[1, 1]]), imageData=base64.b64encode(data).decode()), "x/a.json", None)
    opened = open_labels(tmp_path)
    assert [row["key"] for row in opened.labels.rows] == ["x/a.png"]
    assert opened.tree.read("x/a.png") == data
    assert opened.labels.issues == ()
    without = read_labels(tmp_path, "labelme", options={"pictures": "files"})
    assert [row["key"] for row in without.rows] == ["x/a.png"]
    with pytest.raises(UsageError, match=r"It is one of: auto, files\."):
        read_labels(tmp_path, "labelme", options={"pictures": "none"})


def test_a_file_comes_before_the_picture_inside(tmp_path):
    put(tmp_path, document(imageData=base64.b64encode(png(32, 24, 7)).decode()))
    assert open_labels(tmp_path).tree.read("a.png") == png(32, 24)


def test_a_picture_inside_without_a_name_is_called_like_its_file(tmp_path):
    put(tmp_path, document(imagePath=None, imageData=base64.b64encode(png(32, 24)).decode()), picture=None)
    assert [row["key"] for row in read_labels(tmp_path, "labelme").rows] == ["a.png"]


@pytest.mark.parametrize("data", ["no base64 !", "AAAA", ""])
def test_a_picture_inside_that_is_none(tmp_path, data):
    put(tmp_path, document(shape("point", [[1, 1]]), imageData=data), picture=None)
    opened = open_labels(tmp_path)
    assert [row["key"] for row in opened.labels.rows] == ["a.png"]
    if "a.png" in opened.tree.entries:
        assert opened.tree.read("a.png") in (b"", b"\0\0\0")


def jpeg(width: int, height: int, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "JPEG", exif=exif)
    return out.getvalue()


def test_points_are_of_the_upright_picture_unless_the_size_is_the_stored_one(tmp_path):
    put(tmp_path, document(shape("rectangle", [[2, 3], [12, 11]]), imagePath="a.jpg", imageHeight=32, imageWidth=24))
    (tmp_path / "a.png").unlink()
    (tmp_path / "a.jpg").write_bytes(jpeg(32, 24, 6))
    (row,) = read_labels(tmp_path, "labelme").rows
    assert row["annotations"][0]["bbox_xywh_px"] == [2.0, 3.0, 10.0, 8.0]
    put(tmp_path, document(shape("rectangle", [[2, 3], [12, 11]]), imagePath="a.jpg"), picture=None)  # LabelMe 2
    (row,) = read_labels(tmp_path, "labelme").rows
    assert list(row["annotations"][0]["bbox_xywh_px"]) == [13.0, 2.0, 8.0, 10.0]
    assert (row["width_px"], row["height_px"]) == (24, 32)


# Bad input


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            shape("rectangle", [[1, 1]]),
            "a.json: shapes[0]: a rectangle has 2 or 4 points, not 1; it was left out. Correct it in LabelMe. "
            "[shape-invalid]",
        ),
        (
            shape("star", [[1, 1]]),
            "a.json: shapes[0]: LabelMe has no shape 'star'; it was left out. Correct it in LabelMe. [shape-unknown]",
        ),
        (
            shape("polygon", []),
            "a.json: shapes[0]: a polygon without points; it was left out. Correct it in LabelMe. [shape-invalid]",
        ),
        (
            shape("point", [[1, 1e12]]),
            "a.json: shapes[0]: a coordinate of its point is beyond any picture (1e9 px); it was left out. "
            "Correct it in LabelMe. [shape-invalid]",
        ),
        (
            shape("mask", [[1, 1], [2, 2]], mask="!!"),
            "a.json: shapes[0]: the field mask is no base64; it was left out. Correct it in LabelMe. [mask-invalid]",
        ),
        (
            shape("mask", [[1, 1], [2, 2]]),
            "a.json: shapes[0]: a mask without its picture (the field mask); it was left out. Correct it in LabelMe. "
            "[mask-invalid]",
        ),
        (
            shape("point", [[1, "x"]]),
            "a.json: shapes[0].points[0][1]: Input should be a valid number, unable to parse string as a number, "
            "not 'x'; the shape was left out. Correct it in the file. [shape-invalid]",
        ),
        (
            shape("point", [[1, float("nan")]]),
            "a.json: shapes[0].points[0][1]: Input should be a finite number, not nan; the shape was left out. "
            "Correct it in the file. [shape-invalid]",
        ),
        (
            shape("point", [[1, 2, 3]]),
            "a.json: shapes[0].points[0]: List should have at most 2 items after validation, not 3, "
            "not [1, 2, 3]; the shape was left out. Correct it in the file. [shape-invalid]",
        ),
        (
            7,
            "a.json: shapes[0]: Input should be a valid dictionary, not 7; the shape was left out. "
            "Correct it in the file. [shape-invalid]",
        ),
    ],
)
def test_a_shape_that_is_wrong_is_told_of_and_the_others_stay(tmp_path, given, message):
    labels = read_labels(put(tmp_path, document(given, shape("point", [[1, 1]], "dog"))), "labelme")
    assert [issue.describe() for issue in labels.issues] == [message]
    assert [item["category"] for item in labels.rows[0]["annotations"]] == ["dog"]
    assert labels.rows[0]["labelled"] == "partial"


def test_values_that_are_no_json_are_told_of(tmp_path):
    given = shape("point", [[1, 1]], attributes={"a": float("inf"), "b": 1}, extra=[float("nan")])
    labels = read_labels(put(tmp_path, document(given, other=float("-inf"))), "labelme")
    (item,) = labels.rows[0]["annotations"]
    assert item["attributes"] == {"a": None, "b": 1}
    assert sorted((issue.code, issue.place) for issue in labels.issues) == [
        ("number-not-finite", "other"),
        ("number-not-finite", "shapes[0].attributes.a"),
        ("number-not-finite", "shapes[0].extra[0]"),
    ]


def test_a_damaged_file_beside_its_picture_is_told_of(tmp_path):
    put(tmp_path, document())
    put(tmp_path, json.dumps(document()).encode()[:40], "b.json", "b.png")
    labels = read_labels(tmp_path, "labelme")
    (issue,) = labels.issues
    assert (issue.code, issue.file, issue.place) == ("json-unreadable", "b.json", "line 1 column 40")
    assert [(row["key"], row.get("labelled")) for row in labels.rows] == [("a.png", "yes"), ("b.png", None)]


def test_a_damaged_file_alone_is_an_error(tmp_path):
    put(tmp_path, b'{"shapes": [', "a.json", None)
    with pytest.raises(FormatError) as caught:
        read_labels(tmp_path, "labelme")
    assert str(caught.value) == (
        "a.json is no JSON: EOF while parsing a list (line 1 column 12). "
        "The file may be cut off; get it again or correct it there."
    )


@pytest.mark.parametrize(
    "other",
    [
        {"version": 1, "shapes": [{"type": "rectangle", "points": [1.0, 2.0, 3.0, 4.0], "label": "x"}]},  # CVAT
        {"images": [], "annotations": [], "categories": []},
        {"shapes": 7, "imagePath": "a.png"},
        [1, 2],
    ],
)
def test_other_json_is_not_taken_for_it(tmp_path, other):
    put(tmp_path, other, "x.json", None)
    assert Labelme().detect(scan(str(tmp_path))) is None
    put(tmp_path, other, "y.json", None)
    with pytest.raises(FormatError, match="no LabelMe labels"):
        read_labels(tmp_path, "labelme")


# Writing


def export(*annotations: dict[str, Any], **fields: Any) -> MemoryExport:
    row = {"key": "src/a.png", "width_px": 32, "height_px": 24, "labelled": "yes", **fields}
    return MemoryExport([{**row, "annotations": annotations}], [Category(name="cat", index=0)])


def item(number: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"id": str(number), "kind": kind, "category": "cat", **fields}


SQUARE = (0.0, 0.0, 4.0, 0.0, 4.0, 4.0, 0.0, 4.0)


def test_what_is_written_is_what_labelme_writes(tmp_path):
    box = item(0, "box", bbox_xywh_px=(2.0, 3.0, 10.0, 8.0), attributes={"occluded": True, "color": "red"}, text="x")
    write_labels(export(box, item(1, "image_label"), split="train"), tmp_path / "out", "labelme")
    files = files_of(tmp_path / "out")
    assert sorted(files) == ["labels.txt", "src/a.json", "src/a.png"]
    assert json.loads(files["src/a.json"]) == {
        "version": "5.5.0",
        "flags": {"cat": True},
        "shapes": [
            {
                "label": "cat",
                "points": [[2.0, 3.0], [12.0, 11.0]],
                "group_id": None,
                "description": "x",
                "shape_type": "rectangle",
                "flags": {"occluded": True},
                "mask": None,
                "attributes": {"color": "red"},
            }
        ],
        "imagePath": "a.png",
        "imageData": None,
        "imageHeight": 24,
        "imageWidth": 32,
        "subsets": ["train"],
    }
    assert files["labels.txt"] == b"cat\n"


def test_parts_of_a_polygon_become_a_group(tmp_path):
    away = tuple(value + 10 for value in SQUARE)
    parts = item(0, "polygon", polygons=((SQUARE,), (away,)), attributes={"n": 1})
    other = item(1, "polygon", polygons=((SQUARE,),), instance_group="0")
    named = item(2, "polygon", polygons=((SQUARE,),), instance_group="herd")
    report = write_labels(export(parts, other, named), tmp_path / "out", "labelme")
    (row,) = read_labels(tmp_path / "out", "labelme").rows
    assert [found["instance_group"] for found in row["annotations"]] == ["2", "2", "0", "1"]
    assert [found.get("attributes") for found in row["annotations"]] == [{"n": 1}, {"n": 1}, None, None]
    assert {loss.code: loss.severity for loss in report.losses} == {
        "polygon-split": "warning",
        "group-renumbered": "info",
        "id-renumbered": "info",
    }


def test_only_circles_are_ellipses(tmp_path):
    round_one = {"cx": 10.0, "cy": 10.0, "rx": 5.0, "ry": 5.0, "angle": 30.0}
    report = write_labels(
        export(item(0, "ellipse", ellipse=round_one), item(1, "ellipse", ellipse={**round_one, "ry": 4.0})),
        tmp_path / "out",
        "labelme",
    )
    first, second = read_labels(tmp_path / "out", "labelme").rows[0]["annotations"]
    assert first["ellipse"] == {"cx": 10.0, "cy": 10.0, "rx": 5.0, "ry": 5.0, "angle": 0.0}
    assert second["kind"] == "polygon"
    assert [loss.message for loss in report.losses] == [
        "labelme has circles and no other ellipses; they become polygons"
    ]


def test_what_is_ignored_without_a_category_survives(tmp_path):
    region = {"id": "0", "kind": "polygon", "polygons": ((SQUARE,),), "is_ignored": True}
    lost = item(1, "box", bbox_xywh_px=(1.0, 1.0, 2.0, 2.0), is_ignored=True)
    report = write_labels(export(region, lost), tmp_path / "out", "labelme")
    first, second = read_labels(tmp_path / "out", "labelme").rows[0]["annotations"]
    assert first["is_ignored"]
    assert "category" not in first
    assert "is_ignored" not in second
    assert [(loss.code, loss.count) for loss in report.losses] == [("ignored-changed", 1)]


def test_names_never_collide(tmp_path):
    rows = [
        {"key": key, "width_px": 8, "height_px": 8, "labelled": "yes"}
        for key in ("a.jpg", "a.png", "A.JPG", "a.json", "labels.txt", ".hidden/x.png", "x:y.png")
    ]
    write_labels(MemoryExport(rows), tmp_path / "out", "labelme")
    names = list(files_of(tmp_path / "out"))
    assert len({name.casefold() for name in names}) == 2 * len(rows) + 1
    assert len(read_labels(tmp_path / "out", "labelme").rows) >= 5


# Real data


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("folder", "kind", "counts"),
    [("bbox_detection", "box", [2, 4, 3]), ("semantic_segmentation", "polygon", [5, 10, 3])],
)
def test_labelme_s_own_examples(shared_data, folder, kind, counts):
    opened = open_labels(shared_data / "labelme" / folder / "data_annotated")
    assert opened.format.name == "labelme"
    rows = opened.labels.rows
    assert [row["key"] for row in rows] == ["2011_000003.jpg", "2011_000006.jpg", "2011_000025.jpg"]
    assert [len(row["annotations"]) for row in rows] == counts
    assert {found["kind"] for row in rows for found in row["annotations"]} == {kind}
    assert opened.labels.issues == ()
    ignored = [found for row in rows for found in row["annotations"] if found.get("is_ignored")]
    assert all("category" not in found for found in ignored)
    assert bool(ignored) == (kind == "polygon")


@pytest.mark.realdata
def test_boxes_are_those_labelme_s_own_converter_made(shared_data):
    folder = shared_data / "labelme" / "bbox_detection"
    ours = read_labels(folder / "data_annotated").rows
    voc = read_labels(folder / "data_dataset_voc", "voc", options={"pixels": "zero_based"}).rows
    theirs = {Path(row["key"]).name: row["annotations"] for row in voc if row.get("annotations")}
    for row in ours:
        expected = [(found["category"], found["bbox_xywh_px"]) for found in theirs[row["key"]]]
        found = [(found["category"], found["bbox_xywh_px"]) for found in row["annotations"]]
        assert [name for name, _ in found] == [name for name, _ in expected]
        assert np.allclose([box for _, box in found], [box for _, box in expected])


@pytest.mark.realdata
def test_primitives(shared_data):
    (row,) = read_labels(shared_data / "labelme" / "primitives").rows
    kinds = [found["kind"] for found in row["annotations"]]
    assert kinds == ["box", "ellipse", "box", "polygon", "polyline", "points", "polyline", "mask"]
    assert row["annotations"][1]["ellipse"]["rx"] == pytest.approx(math.hypot(30, 41))
    assert row["annotations"][7]["bbox_xywh_px"] == [417.0, 305.0, 100.0, 100.0]


@pytest.mark.realdata
def test_classification(shared_data):
    labels = read_labels(shared_data / "labelme" / "classification")
    said = [(row["annotations"][0]["category"], row["absent_categories"]) for row in labels.rows]
    assert said == [("cat", ["dog"]), ("dog", ["cat"])]
    assert [category.name for category in labels.categories] == ["cat", "dog"]


@pytest.mark.realdata
def test_real_labels_survive_being_written(shared_data, tmp_path):
    for folder in ("primitives", "semantic_segmentation/data_annotated", "classification"):
        labels = read_labels(shared_data / "labelme" / folder, "labelme")
        out = tmp_path / folder
        report = write_labels(MemoryExport(labels.rows, labels.categories, pictures={}), out, "labelme", strict=True)
        assert report.is_lossless
        again = read_labels(out, "labelme")
        assert again.categories == labels.categories
        assert again.rows == labels.rows


@pytest.mark.realdata
def test_detection_names_it_among_others(shared_data):
    found, others = registry.detect(scan(str(shared_data / "labelme")))
    assert found.format == "labelme"
    assert found.why.startswith("found 9 JSON files with shapes")
    assert [other.format for other in others if other.confidence > 0.5] == ["voc"]
