from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsetkit.errors import FormatError
from dsetkit.formats.cityscapes.files import place_of, subset_of
from dsetkit.formats.cityscapes.format import Cityscapes
from dsetkit.formats.cityscapes.labels import OFFICIAL, label_text, parse_label
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, ReadContract, files_of, png
from dsetkit.formats.writing import write_labels
from dsetkit.geometry import rle
from dsetkit.spec.category import Category
from dsetkit.storage.scan import scan

STEM = "aachen_000000_000019"
PICTURE = f"leftImg8bit/train/aachen/{STEM}_leftImg8bit.png"
LABELS = f"gtFine/train/aachen/{STEM}_gtFine"


class TestCityscapes(FormatContract):
    format = Cityscapes()


def ids_png(array: Any, kind: type = np.uint16) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.array(array, kind)).save(out, "PNG")
    return out.getvalue()


class TestPicturesOfIds(ReadContract):
    format = Cityscapes()

    def example(self, folder: Path) -> None:
        put(folder, {PICTURE: png(4, 2), f"{LABELS}_instanceIds.png": ids_png([[26000, 26, 7, 0], [26001, 26, 7, 0]])})


def put(folder: Path, files: dict[str, Any]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, dict):
            (folder / name).write_text(json.dumps(data))
        else:
            (folder / name).write_bytes(data)
    return folder


def thing(label: str, *points: tuple[float, float], **fields: Any) -> dict[str, Any]:
    return {"label": label, "polygon": [list(point) for point in points or ((0, 0), (4, 0), (4, 3))], **fields}


def doc(*objects: dict[str, Any], width: Any = 8, height: Any = 4) -> dict[str, Any]:
    return {"imgHeight": height, "imgWidth": width, "objects": list(objects)}


def read(folder: Path, **options: Any) -> Any:
    return read_labels(folder, "cityscapes", options=options)


def test_polygons_in_the_order_of_painting(tmp_path):
    objects = [
        thing("road", (0, 0), (8, 0), (8, 4), (0, 4)),
        thing("cargroup"),
        thing("car", (1, 1), (3.5, 1), (3, 3)),
        thing("polegroup"),
    ]
    folder = put(tmp_path, {PICTURE: png(8, 4), f"{LABELS}_polygons.json": doc(*objects)})
    labels = read(folder)
    (row,) = labels.rows
    assert row["key"] == PICTURE
    assert row["subsets"] == ["train"]
    assert row["attributes"] == {"city": "aachen"}
    assert row["provenance"] == {"video": "aachen_000000", "frame": 19}
    assert (row["width_px"], row["height_px"], row["labelled"]) == (8, 4, "yes")
    assert [(item["id"], item["category"], item.get("is_crowd", False)) for item in row["annotations"]] == [
        ("0", "road", False),
        ("1", "car", True),
        ("2", "car", False),
        ("3", "polegroup", False),
    ]
    assert row["annotations"][2]["polygons"] == [[[1.0, 1.0, 3.5, 1.0, 3.0, 3.0]]]
    assert row["annotations"][2]["bbox_xywh_px"] == [1.0, 1.0, 2.5, 2.0]
    assert len(labels.categories) == 35
    car = labels.categories[26]
    assert (car.name, car.source_ids, car.supercategory, car.is_thing, car.color) == (
        *("car", ("26",), "vehicle", True),
        "#00008e",
    )
    assert labels.issues == ()


def test_classes_are_the_official_ones():
    assert [label.id for label in OFFICIAL] == [*range(34), -1]
    assert sorted(label.train_id for label in OFFICIAL if 0 <= label.train_id < 255) == list(range(19))
    assert [label.name for label in OFFICIAL if label.has_instances] == [
        *("person", "rider", "car", "truck", "bus", "caravan", "trailer", "train", "motorcycle", "bicycle")
    ]
    for label in OFFICIAL:
        assert parse_label(label.name) == (label.name, False)
    assert parse_label("group") == ("group", False)
    assert label_text("pole", is_crowd=True) == "pole"  # "polegroup" is another class
    assert label_text("car", is_crowd=True) == "cargroup"


def test_what_the_label_tool_says_of_an_object(tmp_path):
    objects = [
        thing("car", deleted=1, verified=0, user="ann", date="01-Jan-2020 00:00:00", id=7),
        thing("car", deleted=0, verified=0, user="", id=-1),
        thing("car", deleted=0, verified=1, occlusion="heavy"),
    ]
    (row,) = read(put(tmp_path, {f"{LABELS}_polygons.json": doc(*objects)})).rows
    first, second, third = row["annotations"]
    assert (first["status"], first["annotator"], first["source_id"]) == ("declined", "ann", "7")
    assert first["extras"] == {"cityscapes": {"date": "01-Jan-2020 00:00:00"}}
    assert second["status"] == "proposed"
    assert "annotator" not in second
    assert "source_id" not in second
    assert third["extras"] == {"cityscapes": {"occlusion": "heavy"}}
    assert row["key"] == PICTURE  # where it would be


def test_other_classes_are_listed_as_they_are_used(tmp_path):
    (tmp_path / "a").mkdir()
    folder = put(tmp_path / "a", {f"{LABELS}_polygons.json": doc(thing("boatgroup"), thing("car"))})
    assert [category.name for category in read(folder).categories] == ["boatgroup", "car"]


def test_ids_of_single_things(tmp_path):
    ids = [[26000, 26, 7, 0, 3], [26001, 26, 7, 0, 24012]]
    files = {PICTURE: png(5, 2), f"{LABELS}_instanceIds.png": ids_png(ids), f"{LABELS}_labelIds.png": ids_png(ids)}
    labels = read(put(tmp_path, files))
    (row,) = labels.rows  # the pictures of ids are no samples
    assert [(item["source_id"], item["category"], item.get("is_crowd", False)) for item in row["annotations"]] == [
        ("3", "out of roi", False),
        ("7", "road", False),
        ("26", "car", True),
        ("24012", "person", False),
        ("26000", "car", False),
        ("26001", "car", False),
    ]
    assert (row["width_px"], row["height_px"]) == (5, 2)
    crowd = row["annotations"][2]
    assert crowd["bbox_xywh_px"] == [1.0, 0.0, 1.0, 2.0]
    assert rle.decode(crowd["mask"]).tolist() == [[False, True, False, False, False]] * 2
    assert len(labels.categories) == 35


def test_ids_of_classes_and_ids_to_train_on(tmp_path):
    folder = put(tmp_path / "a", {f"{LABELS}_labelIds.png": ids_png([[26, 24, 77]], np.uint8)})
    labels = read(folder)
    assert [(item["category"], item.get("is_crowd")) for item in labels.rows[0]["annotations"]] == [
        ("person", None),
        ("car", None),
        ("77", None),
    ]
    assert labels.rows[0]["annotations"][2]["issues"] == [
        {"code": "category-unknown", "message": "77 is the id of no class"}
    ]
    folder = put(tmp_path / "b", {f"{LABELS}_labelTrainIds.png": ids_png([[0, 13, 19, 255]], np.uint8)})
    assert [item["category"] for item in read(folder).rows[0]["annotations"]] == ["road", "car"]


def test_a_table_of_ones_own(tmp_path):
    """As Datumaro and CVAT write it: the id of a class is the number of its line."""
    files = {
        f"{LABELS}_instanceIds.png": ids_png([[0, 1, 2002]]),
        "label_colors.txt": b"# red green blue name\n0 0 0 background\n255 0 16 big cat\n1 2 3 car\n",
    }
    labels = read(put(tmp_path, files))
    assert [(item["category"], item.get("is_crowd")) for item in labels.rows[0]["annotations"]] == [
        ("big cat", None),
        ("car", None),
    ]
    assert [(item.name, item.source_ids, item.color) for item in labels.categories] == [
        ("background", ("0",), "#000000"),
        ("big cat", ("1",), "#ff0010"),
        ("car", ("2",), "#010203"),
    ]
    (tmp_path / "label_colors.txt").write_text("300 0 0 x\n")
    with pytest.raises(FormatError, match="has a line that is not: red green blue name"):
        read(tmp_path)


def test_coarse_labels_count_where_there_are_no_fine_ones(tmp_path):
    other = "aachen_000001_000019"
    files = {
        PICTURE: png(8, 4),
        f"leftImg8bit/train/aachen/{other}_leftImg8bit.png": png(8, 4),
        f"{LABELS}_polygons.json": doc(thing("car"), thing("bus")),
        f"gtCoarse/train/aachen/{STEM}_gtCoarse_polygons.json": doc(thing("road")),
        f"gtCoarse/train/aachen/{other}_gtCoarse_polygons.json": doc(thing("road")),
    }
    folder = put(tmp_path, files)
    labels = read(folder)
    said = [(row["labelled"], len(row["annotations"])) for row in labels.rows]
    assert said == [("yes", 2), ("partial", 1)]
    assert [issue.describe() for issue in labels.issues] == [
        f"gtCoarse/train/aachen/{STEM}_gtCoarse_polygons.json: {LABELS}_polygons.json says more of {PICTURE}; its "
        "coarse labels were left out. Pass the option labels: coarse, if those are wanted. [labels-coarse]"
    ]
    assert [(row["labelled"], len(row["annotations"])) for row in read(folder, labels="coarse").rows] == [
        ("partial", 1),
        ("partial", 1),
    ]


def test_the_test_set_is_labelled_in_part(tmp_path):
    labels = "gtFine/test/berlin/berlin_000000_000019_gtFine_polygons.json"
    (row,) = read(put(tmp_path, {labels: doc(thing("ego vehicle"), thing("out of roi"))})).rows
    assert (row["labelled"], row["subsets"]) == ("partial", ["test"])


def test_pictures_in_fog_share_the_labels(tmp_path):
    files: dict[str, Any] = {f"{LABELS}_polygons.json": doc(thing("car"))}
    for beta in ("0.005", "0.01"):
        files[f"leftImg8bit_foggy/train/aachen/{STEM}_leftImg8bit_foggy_beta_{beta}.png"] = png(8, 4)
    rows = read(put(tmp_path, files)).rows
    assert [(len(row["annotations"]), row["subsets"]) for row in rows] == [(1, ["train"]), (1, ["train"])]


def test_pictures_without_labels_have_their_subset_and_city(tmp_path):
    picture = "leftImg8bit/val/ulm/ulm_000002_000007_leftImg8bit.png"
    files = {PICTURE: png(8, 4), f"{LABELS}_polygons.json": doc(thing("car")), picture: png(8, 4)}
    row = read(put(tmp_path, files)).rows[1]
    assert row == {
        "key": picture,
        "subsets": ["val"],
        "attributes": {"city": "ulm"},
        "provenance": {"video": "ulm_000002", "frame": 7},
    }


def test_other_pictures_of_the_layout_are_no_samples(tmp_path):
    names = [f"{LABELS}_{kind}.png" for kind in ("color", "instanceIds", "labelIds", "labelTrainIds")]
    names.append(f"disparity/train/aachen/{STEM}_disparity.png")
    folder = put(tmp_path, {PICTURE: png(8, 4), **dict.fromkeys(names, png(8, 4))})
    assert Cityscapes().pictures(scan(str(folder))) == [PICTURE]


def test_names_and_places():
    assert subset_of("x/leftImg8bit_trainextra/leftImg8bit/train_extra/a/b.png") == "train_extra"
    assert subset_of("gtFine/val/a_gtFine_polygons.json") == "val"
    assert subset_of("gtFine/default/city/a.json") is None
    assert subset_of("labels/test/a.json") == "test"
    assert place_of("a_1_2") is None
    assert place_of("x_y_000001_000002") == ("x_y", "000001", 2)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (
            {"imgWidth": "x", "imgHeight": 4, "objects": []},
            "imgWidth: it says the picture has 'x' × 4 pixels. Correct it. [size-unusable]",
        ),
        (
            doc(thing("car"), {"label": "car"}),
            "objects[1].polygon: Field required, not {'label': 'car'}; the object was left out. Correct it in "
            "the file. [object-invalid]",
        ),
        (
            doc(thing("car", (0, 0), (1, 2), ("x", 3))),  # type: ignore[arg-type]
            "objects[0].polygon[2][0]: Input should be a valid number, unable to parse string as a number, not 'x'; "
            "the object was left out. Correct it in the file. [object-invalid]",
        ),
        (
            doc(thing("")),
            "objects[0].label: String should have at least 1 character, not ''; the object was left out. Correct it in "
            "the file. [object-invalid]",
        ),
        (
            doc(thing("car", (1e300, 0), (1, 1), (2, 2))),
            "objects[0].polygon[0][0]: Input should be less than or equal to 1000000000, not 1e+300; the object was "
            "left out. Correct it in the file. [object-invalid]",
        ),
    ],
)
def test_what_is_wrong_with_an_object_is_told_with_its_place(tmp_path, document, said):
    labels = read(put(tmp_path, {f"{LABELS}_polygons.json": document}))
    name = f"{LABELS}_polygons.json"
    assert [issue.describe() for issue in labels.issues] == [f"{name}: {said}"]
    if "left out" in said:
        assert labels.rows[0]["labelled"] == "partial"


def test_a_polygon_of_two_points_is_kept_with_a_finding(tmp_path):
    (row,) = read(put(tmp_path, {f"{LABELS}_polygons.json": doc(thing("car", (0, 0), (3, 4)))})).rows
    assert row["annotations"][0]["issues"] == [
        {"code": "polygon-degenerate", "message": "a polygon of 2 points covers nothing"}
    ]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("polygons.json", b'{"objects": [', "is no JSON: EOF while parsing a list (line 1 column 13)"),
        ("polygons.json", b'{"imgWidth": 3}', "has no list of objects"),
        ("polygons.json", b"[]", "has no list of objects"),
        ("polygons.json", b"", "is empty"),
        ("instanceIds.png", b"\x89PNG", "is no picture of ids: "),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path, name, data, message):
    with pytest.raises(FormatError) as caught:
        read(put(tmp_path, {f"{LABELS}_{name}": data}))
    assert caught.value.message.startswith(f"{LABELS}_{name} {message}")
    assert caught.value.hint


def test_a_colour_picture_is_no_picture_of_ids(tmp_path):
    out = io.BytesIO()
    Image.new("RGB", (2, 2)).save(out, "PNG")
    with pytest.raises(FormatError, match=r"it has colours \(mode RGB\), not ids"):
        read(put(tmp_path, {f"{LABELS}_labelIds.png": out.getvalue()}))


def test_written_files_to_the_byte(tmp_path):
    ring = (0.0, 0.0, 4.5, 0.0, 4.0, 3.0)
    items = [
        {"id": "0", "kind": "polygon", "category": "car", "polygons": [[ring]], "is_crowd": True},
        {"id": "1", "kind": "box", "category": "sky", "bbox_xywh_px": [1.0, 1.0, 2.0, 2.0], "status": "declined"},
    ]
    rows = [
        {"key": f"s/{STEM}_leftImg8bit.png", "width_px": 8, "height_px": 4, "split": "val", "labelled": "yes"}
        | {"annotations": items},
        {"key": "s/x.jpg", "width_px": 8, "height_px": 4},
    ]
    write_labels(
        MemoryExport(rows, [Category(name="car", index=0), Category(name="sky", index=1)]), tmp_path / "o", "cityscapes"
    )
    files = files_of(tmp_path / "o")
    name = f"gtFine/val/aachen/{STEM}_gtFine_polygons.json"
    assert sorted(files) == [
        name,
        "leftImg8bit/default/unknown/x_leftImg8bit.jpg",
        f"leftImg8bit/val/aachen/{STEM}_leftImg8bit.png",
    ]
    assert files[name].decode().startswith('{\n    "imgHeight": 4,\n    "imgWidth": 8,\n    "objects": [\n')
    assert json.loads(files[name])["objects"] == [
        {"label": "cargroup", "polygon": [[0, 0], [4.5, 0], [4, 3]]},
        {"label": "sky", "deleted": 1, "verified": 1, "polygon": [[1, 1], [3, 1], [3, 3], [1, 3]]},
    ]


@pytest.mark.realdata
def test_tiny_cityscapes(shared_data):
    labels = read(shared_data / "formats-tiny" / "cityscapes_dataset" / "dataset")
    assert labels.issues == ()
    said = {
        row["key"].rpartition("/")[2].removesuffix("_leftImg8bit.png"): (
            row["subsets"][0],
            [(item["category"], item.get("is_crowd", False), item["source_id"]) for item in row["annotations"]],
        )
        for row in labels.rows
    }
    assert said == {
        "defaultcity_000001_000019": ("val", [("ego vehicle", False, "1"), ("out of roi", False, "3")]),
        "defaultcity_000001_000031": ("test", [("out of roi", False, "3"), ("truck", True, "27")]),
        "defaultcity_000001_000032": (
            *("test", [("out of roi", False, "3"), ("wall", False, "12"), ("train", True, "31")]),
        ),
        "defaultcity_000002_000045": ("train", [("out of roi", False, "3"), ("person", True, "24")]),
    }
    assert {row["attributes"]["city"] for row in labels.rows} == {"defaultcity"}
    things = read(shared_data / "formats-tiny" / "cityscapes_dataset" / "train_dataset")
    rows = {row["key"].rpartition("/")[2][:25]: row["annotations"] for row in things.rows}
    assert [item["source_id"] for item in rows["defaultcity_000001_000031"]] == ["3", "27001", "27002"]
    both = read(shared_data / "formats-tiny" / "cityscapes_dataset")
    assert len(both) == 8
    assert both.issues == ()


@pytest.mark.realdata
def test_a_real_file_of_polygons(shared_data):
    labels = read(shared_data / "mindspore-json")
    (row,) = labels.rows
    assert (row["width_px"], row["height_px"], row["labelled"]) == (2048, 1024, "yes")
    assert [(item["category"], len(item["polygons"][0][0]) // 2) for item in row["annotations"]] == [
        (item["label"], len(item["polygon"]))
        for item in json.loads((shared_data / "mindspore-json" / "aa_000000_gtFine_polygons.json").read_text())[
            "objects"
        ]
    ]
