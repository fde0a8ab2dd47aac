from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from dsetkit.errors import FormatError
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, ReadContract, files_of, png
from dsetkit.formats.via.format import Via
from dsetkit.formats.via.shapes import read_shape
from dsetkit.formats.writing import write_labels
from dsetkit.spec.category import Category
from dsetkit.storage.scan import scan

HEADER = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
RECT = {"name": "rect", "x": 2, "y": 3, "width": 10, "height": 8}


class TestVia(FormatContract):
    format = Via()


class TestVia3(FormatContract):
    format = Via()
    write_options = {"version": 3}  # noqa: RUF012
    examples = 20


class TestViaTables(ReadContract):
    format = Via()

    def example(self, folder: Path) -> None:
        shape = json.dumps(RECT).replace('"', '""')
        lines = [HEADER, f'a.png,90,"{{}}",1,0,"{shape}","{{""name"":""cat""}}"', 'b.png,90,"{}",0,0,"{}","{}"']
        (folder / "via.csv").write_text("\n".join(lines))
        for name in ("a.png", "b.png"):
            (folder / name).write_bytes(png(32, 24))


def region(shape: dict[str, Any] | None = None, **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape or RECT, "region_attributes": attributes}


def image(*regions: dict[str, Any], name: str = "a.png", **about: Any) -> dict[str, Any]:
    return {"filename": name, "size": 90, "regions": list(regions), "file_attributes": about}


def project(*images: dict[str, Any], region: Any = None, file: Any = None, folder: str = "") -> dict[str, Any]:
    return {
        "_via_settings": {"core": {"default_filepath": folder}, "project": {"name": "x"}},
        "_via_img_metadata": {f"{item['filename']}{item['size']}": item for item in images},
        "_via_attributes": {"region": region or {}, "file": file or {}},
    }


def put(folder: Path, document: Any, name: str = "via.json") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(document))
    (folder / "a.png").write_bytes(png(32, 24))
    return folder


def read(folder: Path, **options: Any) -> Any:
    return read_labels(folder, "via", options=options)


def items(labels: Any) -> list[dict[str, Any]]:
    (row,) = labels.rows
    return list(row.get("annotations", ()))


def test_each_shape(tmp_path):
    shapes = [
        RECT,
        {"name": "circle", "cx": 10, "cy": 9, "r": 4},
        {"name": "ellipse", "cx": 10, "cy": 9, "rx": 5, "ry": 2.5, "theta": math.pi / 6},
        {"name": "polygon", "all_points_x": [0, 4, 4], "all_points_y": [0, 0, 3]},
        {"name": "polyline", "all_points_x": [0, 4, 4], "all_points_y": [0, 0, 3]},
        {"name": "point", "cx": 7, "cy": 8},
    ]
    found = items(read(put(tmp_path, project(image(*(region(shape, label="cat") for shape in shapes))))))
    assert [item["id"] for item in found] == ["0", "1", "2", "3", "4", "5"]
    assert [item["kind"] for item in found] == ["box", "ellipse", "ellipse", "polygon", "polyline", "points"]
    assert found[0]["bbox_xywh_px"] == [2.0, 3.0, 10.0, 8.0]
    assert found[1]["ellipse"] == {"cx": 10.0, "cy": 9.0, "rx": 4.0, "ry": 4.0, "angle": 0.0}
    assert found[2]["ellipse"] == {"cx": 10.0, "cy": 9.0, "rx": 5.0, "ry": 2.5, "angle": 30.0}
    # An ellipse turned by t reaches sqrt(rx² cos² t + ry² sin² t) across and sqrt(rx² sin² t + ry² cos² t) down.
    half_w, half_h = math.sqrt(25 * 0.75 + 6.25 * 0.25), math.sqrt(25 * 0.25 + 6.25 * 0.75)
    assert found[2]["bbox_xywh_px"] == pytest.approx([10 - half_w, 9 - half_h, 2 * half_w, 2 * half_h])
    assert found[3]["polygons"] == [[[0.0, 0.0, 4.0, 0.0, 4.0, 3.0]]]
    assert found[4]["polyline"] == [0.0, 0.0, 4.0, 0.0, 4.0, 3.0]
    assert found[5]["points"] == [7.0, 8.0]


def test_an_ellipse_turns_as_via_draws_it():
    """``via.js`` makes points of an ellipse as: x = cx + a cos t cos θ − b sin t sin θ, y = cy + a cos t sin θ + ..."""
    row = read_shape({"name": "ellipse", "cx": 50.0, "cy": 40.0, "rx": 20.0, "ry": 5.0, "theta": 0.5})
    points = []
    for step in range(3600):
        t = math.radians(step / 10)
        x = 50 + 20 * math.cos(t) * math.cos(0.5) - 5 * math.sin(t) * math.sin(0.5)
        y = 40 + 20 * math.cos(t) * math.sin(0.5) + 5 * math.sin(t) * math.cos(0.5)
        points.append((x, y))
    x, y, w, h = row["bbox_xywh_px"]
    assert (x, y) == pytest.approx((min(p[0] for p in points), min(p[1] for p in points)), abs=1e-3)
    assert (x + w, y + h) == pytest.approx((max(p[0] for p in points), max(p[1] for p in points)), abs=1e-3)
    assert row["ellipse"]["angle"] == pytest.approx(math.degrees(0.5))


def test_version_1_has_regions_as_an_object_and_closed_polygons(tmp_path):
    shape = {"name": "polygon", "all_points_x": [0, 4, 4, 0], "all_points_y": [0, 0, 3, 0]}
    document = {
        "a.png90": {
            "fileref": "https://host/x/a.png?key=secret",
            "size": 90,
            "filename": "a.png",
            "base64_img_data": "",
            "file_attributes": {},
            "regions": {"0": region(shape, name="cat"), "1": region(name="dog")},
        }
    }
    labels = read(put(tmp_path, document))
    assert [item["category"] for item in items(labels)] == ["cat", "dog"]
    assert items(labels)[0]["polygons"] == [[[0.0, 0.0, 4.0, 0.0, 4.0, 3.0]]]
    assert labels.rows[0]["provenance"] == {"uri": "https://host/x/a.png"}
    assert Via().detect(scan(str(tmp_path))).why == "found via.json with regions of VIA 1"


@pytest.mark.parametrize(
    ("attributes", "defined", "category"),
    [
        ({"label": "cat", "class": "x"}, {}, "cat"),
        ({"Class Name": "cat", "colour": "red"}, {}, "cat"),
        ({"animal": "cat"}, {}, "cat"),
        ({"colour": "red", "animal": "cat"}, {"colour": {"type": "text"}, "animal": {"type": "dropdown"}}, "cat"),
        ({"colour": "red", "animal": "cat"}, {}, None),
        ({"label": ""}, {}, None),
        ({"label": 7}, {}, "7"),
        ({}, {}, None),
    ],
)
def test_the_attribute_that_is_the_category_is_found(tmp_path, attributes, defined, category):
    labels = read(put(tmp_path, project(image(region(**attributes)), region=defined)))
    assert items(labels)[0].get("category") == category
    unclear = [issue.describe() for issue in labels.issues]
    assert unclear == (
        [
            "regions have the attributes colour, animal; none of them says that it is the category. Name it by the "
            "option category. [category-unclear]"
        ]
        if len(attributes) == 2 and not defined and category is None
        else []
    )


def test_the_attribute_that_is_the_category_can_be_named(tmp_path):
    folder = put(tmp_path, project(image(region(label="red", animal="cat"))))
    found = items(read(folder, category="animal"))[0]
    assert (found["category"], found["attributes"]) == ("cat", {"label": "red"})


def test_options_are_the_categories_in_their_order(tmp_path):
    defined = {
        "type": {"type": "dropdown", "options": {"dog": "Good dog", "cat": "", "unused": "x"}},
        "image_quality": {"type": "checkbox", "options": {"good": "", "frontal": ""}},
    }
    regions = [region(type="cat", image_quality={"good": True, "frontal": True}), region(type="fish", image_quality={})]
    labels = read(put(tmp_path, project(image(*regions), region=defined)))
    assert [item.name for item in labels.categories] == ["dog", "cat", "unused", "fish"]
    first, second = items(labels)
    assert first["attributes"] == {"image_quality": {"good": True, "frontal": True}}
    assert "attributes" not in second  # nobody answered
    (definition,) = labels.categories[0].attributes
    assert (definition.name, definition.type, definition.values) == ("image_quality", "checkbox", ("good", "frontal"))


def test_options_that_are_numbers_are_called_by_their_description(tmp_path):
    defined = {"category": {"type": "dropdown", "options": {"1": "person", "2": " "}}}
    labels = read(put(tmp_path, project(image(region(category="1"), region(category="2")), region=defined)))
    assert [item["category"] for item in items(labels)] == ["person", "2"]
    assert [(item.name, item.source_ids) for item in labels.categories] == [("person", ("1",)), ("2", ())]


def test_several_ticked_categories(tmp_path):
    labels = read(put(tmp_path, project(image(region(label={"cat": True, "pet": True, "dog": False})))))
    assert (items(labels)[0]["category"], items(labels)[0]["categories"]) == ("cat", ["cat", "pet"])


def test_attributes_of_pictures(tmp_path):
    about = {"label": {"indoor": True, "night": True}, "caption": "a cat", "weather": "rain", "empty": ""}
    labels = read(put(tmp_path, project(image(region(label="cat"), **about))))
    box, indoor, night, caption = items(labels)
    assert (box["id"], box["kind"]) == ("0", "box")
    assert (indoor["kind"], indoor["category"], night["category"]) == ("image_label", "indoor", "night")
    assert (caption["kind"], caption["text"], caption["id"]) == ("caption", "a cat", "3")
    assert labels.rows[0]["attributes"] == {"weather": "rain"}
    found = items(read(tmp_path, label="weather"))
    assert [item.get("category") for item in found] == ["cat", None, "rain"]


def test_a_picture_of_which_nothing_is_said_is_not_labelled(tmp_path):
    labels = read(put(tmp_path, project(image(), image(region(label="x"), name="b.png"))))
    assert [(row["key"], row.get("labelled", "no")) for row in labels.rows] == [("a.png", "no"), ("b.png", "yes")]


def test_pictures_are_found_by_folder_and_size(tmp_path):
    for name, width in (("x/a.png", 32), ("y/a.png", 33)):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(png(width, 24) + b"\0" * width)
    one = {**image(region(label="cat")), "size": (tmp_path / "y" / "a.png").stat().st_size}
    put(tmp_path / "z", project(one))
    (tmp_path / "z" / "a.png").unlink()
    labels = read(tmp_path)
    assert [row["key"] for row in labels.rows if row.get("annotations")] == ["y/a.png"]
    put(tmp_path / "z", project(image(region(label="cat")), folder="../x/"))
    (tmp_path / "z" / "a.png").unlink()
    assert [row["key"] for row in read(tmp_path).rows if row.get("annotations")] == ["x/a.png"]


def test_folders_of_splits(tmp_path):
    for split in ("train", "val"):
        put(tmp_path / split, {"a.png90": image(region(name="balloon"))}, "via_region_data.json")
    rows = read(tmp_path).rows
    assert [(row["key"], row["subsets"]) for row in rows] == [("train/a.png", ["train"]), ("val/a.png", ["val"])]


def test_the_same_in_two_files_counts_once_and_more_is_put_together(tmp_path):
    put(tmp_path, project(image(region(label="cat"))), "1.json")
    put(tmp_path, {"a": image(region(label="cat"))}, "2.json")
    put(tmp_path, {"a": image(region(label="dog"))}, "3.json")
    labels = read(tmp_path)
    assert [(item["id"], item["category"]) for item in items(labels)] == [("0", "cat"), ("1", "dog")]
    assert [(issue.code, issue.severity) for issue in labels.issues] == [
        ("labels-repeated", "info"),
        ("labels-twice", "warning"),
    ]


def test_a_table_of_version_1(tmp_path):
    lines = [
        f"#{HEADER}",
        '"a.png",90,"{""caption"":""x""}",2,0,"{""name"":""rect"",""x"":2,""y"":3,""width"":10,""height"":8}",'
        '"{""name"":""cat""}"',
        '"a.png",90,"{""caption"":""x""}",2,1,"{""name"":""point"",""cx"":2,""cy"":3}","{""name"":""dog""}"',
    ]
    (tmp_path / "via.csv").write_text("\n".join(lines))
    found = items(read(tmp_path))
    assert [(item["kind"], item.get("category")) for item in found] == [
        ("box", "cat"),
        ("points", "dog"),
        ("caption", None),
    ]


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"name": "star"}, "regions[0]: VIA has no shape 'star'; it was left out. Correct it in VIA. [shape-unknown]"),
        ({"name": "rect", "x": 1}, "regions[0]: a rect without y, width, height; it was left out. Correct it in VIA. "
         "[region-invalid]"),
        ({"name": "circle", "cx": 1, "cy": 1, "r": -1}, "regions[0]: a circle whose half axis is below 0; it was left "
         "out. Correct it in VIA. [region-invalid]"),
        ({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1]}, "regions[0]: a polygon of 2 x and 1 y; it "
         "was left out. Correct it in VIA. [region-invalid]"),
        ({**RECT, "x": "left"}, "regions[0].shape_attributes.x: Input should be a valid number, unable to parse string "
         "as a number, not 'left'; the region was left out. Correct it in the file. [region-invalid]"),
        ({**RECT, "x": 1e300}, "regions[0].shape_attributes.x: Input should be less than or equal to 1000000000, not "
         "1e+300; the region was left out. Correct it in the file. [region-invalid]"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_region_is_told_with_its_place(tmp_path, shape, said):
    labels = read(put(tmp_path, {"a": image(region(shape, label="x"))}))
    assert [issue.describe() for issue in labels.issues] == [f"via.json: 'a'.{said}"]
    assert labels.rows[0]["labelled"] == "partial"


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("via.json", b'{"_via_img_metadata": {', "via.json is no JSON: EOF while parsing an object (line 1 column 23)"),
        ("via.csv", f'{HEADER}\na.png,"x'.encode(), "via.csv is no proper CSV from line 2 on (unexpected end of data)"),
        ("via.csv", f"{HEADER}\n".encode() + b"\xff", f"via.csv is not UTF-8 text (byte {len(HEADER) + 1})"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FormatError) as caught:
        read(tmp_path)
    assert caught.value.message == message
    assert caught.value.hint


def test_other_json_is_not_via(tmp_path):
    (tmp_path / "a.json").write_text('{"images": [{"filename": "a"}], "annotations": []}')
    (tmp_path / "b.json").write_text('{"shapes": [], "imagePath": "a.png"}')
    assert Via().detect(scan(str(tmp_path))) is None
    with pytest.raises(FormatError, match="no VIA labels in"):
        read(tmp_path)


def test_a_written_project_is_what_via_opens(tmp_path):
    ellipse = {"cx": 10.0, "cy": 9.0, "rx": 5.0, "ry": 2.5, "angle": 30.0}
    annotations = [
        {
            "id": "0",
            "kind": "box",
            "category": "cat",
            "bbox_xywh_px": [2.0, 3.0, 10.5, 8.0],
            "attributes": {"hat": True},
        },
        {"id": "1", "kind": "ellipse", "category": "dog", "ellipse": ellipse, "bbox_xywh_px": [5.0, 5.0, 10.0, 8.0]},
        {"id": "2", "kind": "image_label", "category": "dog"},
    ]
    row = {"key": "s/a.png", "width_px": 32, "height_px": 24, "split": "train", "labelled": "yes"}
    categories = [Category(name="cat", index=0), Category(name="dog", index=1)]
    export = MemoryExport([{**row, "annotations": annotations}], categories)
    report = write_labels(export, tmp_path / "out", "via")
    assert report.is_lossless, report.describe()
    files = files_of(tmp_path / "out")
    assert sorted(files) == ["train/images/s/a.png", "train/via_project.json"]
    made = json.loads(files["train/via_project.json"])
    size = len(files["train/images/s/a.png"])
    assert list(made) == [
        *("_via_settings", "_via_img_metadata", "_via_attributes", "_via_data_format_version", "_via_image_id_list")
    ]
    assert made["_via_settings"]["core"]["default_filepath"] == ""
    assert made["_via_settings"]["project"]["name"] == "train"
    assert made["_via_image_id_list"] == [f"images/s/a.png{size}"]
    assert made["_via_img_metadata"][f"images/s/a.png{size}"] == {
        "filename": "images/s/a.png",
        "size": size,
        "regions": [
            {
                "shape_attributes": {"name": "rect", "x": 2, "y": 3, "width": 10.5, "height": 8},
                "region_attributes": {"label": "cat", "hat": True},
            },
            {
                "shape_attributes": {
                    "name": "ellipse",
                    "cx": 10,
                    "cy": 9,
                    "rx": 5,
                    "ry": 2.5,
                    "theta": math.radians(30),
                },
                "region_attributes": {"label": "dog"},
            },
        ],
        "file_attributes": {"label": {"dog": True}},
    }
    assert made["_via_attributes"]["region"]["label"]["options"] == {"cat": "", "dog": ""}
    (back,) = read(tmp_path / "out").rows
    assert back["subsets"] == ["train"]
    assert back["annotations"][1]["ellipse"] == ellipse
