from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dsetkit.errors import FormatError
from dsetkit.formats import registry
from dsetkit.formats.labelme_xml.format import LabelmeXml
from dsetkit.formats.reading import open_labels, read_labels
from dsetkit.formats.testing import ReadContract, png
from dsetkit.geometry import rle
from dsetkit.storage.scan import scan


def points(*pairs: tuple[float, float]) -> str:
    return "".join(f"<pt><x>{x}</x><y>{y}</y></pt>" for x, y in pairs)


def polygon(number: object, *pairs: tuple[float, float], name: str = "cat", more: str = "") -> str:
    inner = f"<username>ann</username>{points(*pairs)}"
    return f"<object><name>{name}</name><id>{number}</id>{more}<polygon>{inner}</polygon></object>"


def segment(number: object, mask: str, more: str = "") -> str:
    box = "<box><xmin>5</xmin><ymin>6</ymin><xmax>8</xmax><ymax>8</ymax></box>"
    inner = f"<username>ann</username>{box}<mask>{mask}</mask>{more}"
    return f"<object><name>cat</name><id>{number}</id><segm>{inner}</segm></object>"


SIZE = "<imagesize><nrows>24</nrows><ncols>32</ncols></imagesize>"
SQUARE = ((2, 3), (12, 3), (12, 11), (2, 11))


def put(folder: Path, *objects: str, size: str = SIZE, name: str = "a") -> Path:
    head = f"<filename>\n{name}.png\n</filename><folder>f</folder>"
    (folder / "Annotations/f").mkdir(parents=True, exist_ok=True)
    (folder / "Images/f").mkdir(parents=True, exist_ok=True)
    text = f"<annotation>{head}{size}{''.join(objects)}</annotation>"
    (folder / f"Annotations/f/{name}.xml").write_text(text)
    (folder / f"Images/f/{name}.png").write_bytes(png(32, 24))
    return folder


def put_mask(folder: Path, name: str, array: np.ndarray, mode: str = "L") -> None:
    (folder / "Masks/f").mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    Image.fromarray(array, mode).save(out, "PNG")
    (folder / f"Masks/f/{name}").write_bytes(out.getvalue())


class TestLabelmeXml(ReadContract):
    format = LabelmeXml()

    def example(self, folder: Path) -> None:
        array = np.zeros((24, 32), np.uint8)
        array[6:9, 5:9] = 255
        put_mask(folder, "a_mask_1.png", array)
        put(folder, polygon(0, *SQUARE), segment(1, "a_mask_1.png"))


def read(folder: Path, *objects: str, **fields: str) -> tuple[list[dict], list[str]]:
    labels = read_labels(put(folder, *objects, **fields), "labelme_xml")
    (row,) = labels.rows
    return list(row.get("annotations", ())), [issue.describe() for issue in labels.issues]


def test_polygons_boxes_lines_and_points(tmp_path):
    box = polygon(1, *SQUARE, more="<type>bounding_box</type>")
    slanted = polygon(2, (2, 3), (12, 4), (12, 11), (2, 11), more="<type>bounding_box</type>")
    found, issues = read(tmp_path, polygon(0, *SQUARE), box, slanted, polygon(3, (1, 1)), polygon(4, (1, 1), (2, 2)))
    assert [item["kind"] for item in found] == ["polygon", "box", "polygon", "points", "polyline"]
    assert found[0]["polygons"] == [[[2.0, 3.0, 12.0, 3.0, 12.0, 11.0, 2.0, 11.0]]]
    assert found[1]["bbox_xywh_px"] == [2.0, 3.0, 10.0, 8.0]
    assert {item["annotator"] for item in found} == {"ann"}
    assert issues == []


def test_what_else_an_object_says(tmp_path):
    more = (
        "<deleted>0</deleted><verified>1</verified><occluded>yes</occluded><attributes>red, doors=4 , wheel=round"
        "</attributes><date>1-Jan-2010</date><viewpoint><azimuth>1</azimuth></viewpoint>"
    )
    (found,), _ = read(tmp_path, polygon(7, *SQUARE, name="\ncar side\n", more=more))
    assert found["id"] == "7"
    assert found["category"] == "car side"
    assert found["attributes"] == {
        "red": True,
        "doors": 4,
        "wheel": "round",
        "occluded": True,
        "verified": True,
    }
    assert found["extras"] == {"labelme_xml": {"date": "1-Jan-2010"}}


def test_parts_point_at_their_wholes_whichever_says_so(tmp_path):
    whole = polygon(0, *SQUARE, more="<parts><hasparts>1,2</hasparts><ispartof></ispartof></parts>")
    part = polygon(1, *SQUARE, more="<parts><hasparts/><ispartof>0</ispartof></parts>")
    found, issues = read(tmp_path, whole, part, polygon(2, *SQUARE))
    assert [item.get("relations") for item in found] == [
        None,
        [{"kind": "part_of", "target": "0"}],
        [{"kind": "part_of", "target": "0"}],
    ]
    assert issues == []


def test_a_part_of_nothing_is_told_of(tmp_path):
    lost = polygon(1, *SQUARE, more="<parts><hasparts/><ispartof>9</ispartof></parts>")
    (found,), issues = read(tmp_path, lost)
    assert "relations" not in found
    assert issues == [
        "Annotations/f/a.xml: line 3: object 1 is said to be a part of 9, and there is no object 9. "
        "The relation was left out. [part-missing]"
    ]


def test_deleted_objects_are_left_out_and_counted(tmp_path):
    gone = polygon(0, *SQUARE, more="<deleted>1</deleted>")
    part = polygon(1, *SQUARE, more="<parts><hasparts/><ispartof>0</ispartof></parts>")
    found, issues = read(tmp_path, gone, part)
    assert [item["id"] for item in found] == ["1"]
    assert issues == [
        "Annotations/f/a.xml: annotators deleted 1 object. "
        "LabelMe keeps them in the file; they were left out. [objects-deleted]"
    ]


def test_ids_are_the_objects_own_and_each_is_there_once(tmp_path):
    found, issues = read(tmp_path, polygon(1, *SQUARE), polygon(1, *SQUARE), polygon("", *SQUARE), polygon(0, *SQUARE))
    assert [item["id"] for item in found] == ["1", "2", "3", "0"]
    assert "[object-id-twice]" in issues[0]


@pytest.mark.parametrize("mode", ["L", "RGBA", "RGB"])
def test_masks_are_the_picture_s_size(tmp_path, mode):
    array = np.zeros((24, 32), np.uint8)
    array[6:9, 5:9] = 200
    if mode == "RGBA":  # colour everywhere, seen where it is not transparent
        array = np.dstack([np.full((24, 32), 9, np.uint8)] * 3 + [array])
    elif mode == "RGB":
        array = np.dstack([np.zeros_like(array), array, np.zeros_like(array)])
    put_mask(tmp_path, "a_mask_0.png", array, mode)
    (found,), issues = read(tmp_path, segment(0, "a_mask_0.png"))
    expected = np.zeros((24, 32), bool)
    expected[6:9, 5:9] = True
    assert (rle.decode(found["mask"]) == expected).all()
    assert found["bbox_xywh_px"] == [5.0, 6.0, 4.0, 3.0]
    assert issues == []


def test_a_mask_that_is_not_there_leaves_its_box(tmp_path):
    (found,), _ = read(tmp_path, segment(0, "../../../etc/passwd"))
    assert (found["kind"], found["bbox_xywh_px"]) == ("box", [5.0, 6.0, 3.0, 2.0])
    (finding,) = found["issues"]
    assert finding == {"code": "mask-missing", "message": "there is no mask '../../../etc/passwd'; its box counts"}


def test_a_mask_of_another_size_and_one_without_pixels(tmp_path):
    put_mask(tmp_path, "a.png", np.full((5, 5), 255, np.uint8))
    put_mask(tmp_path, "b.png", np.zeros((24, 32), np.uint8))
    other, empty = read(tmp_path, segment(0, "a.png"), segment(1, "b.png"))[0]
    assert other["issues"][0]["message"] == "the mask has 5×5 px, the file says 32×24"
    assert empty["issues"][0]["message"] == "the mask 'b.png' cannot be used: no pixel of it is set; its box counts"


def test_masks_and_scribbles_are_no_pictures(tmp_path):
    put_mask(tmp_path, "a.png", np.full((24, 32), 255, np.uint8))
    (tmp_path / "Scribbles/f").mkdir(parents=True)
    (tmp_path / "Scribbles/f/s.png").write_bytes(png(32, 24))
    put(tmp_path, segment(0, "a.png"))
    opened = open_labels(tmp_path)
    assert [row["key"] for row in opened.labels.rows] == ["Images/f/a.png"]
    assert [issue.code for issue in opened.labels.issues] == ["scribbles-not-read"]
    assert LabelmeXml().label_files(opened.tree) == ["Annotations/f/a.xml", "Masks/f/a.png"]
    assert LabelmeXml().side_files(opened.tree) == ["Masks/f/a.png"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (polygon(0), "its <polygon> has no points; the object was left out. Correct it."),
        (
            polygon(0, ("x", 1), (2, 2), (3, 3)),
            "<x> of <pt> is 'x', no coordinate; the object was left out. Correct it.",
        ),
        (
            polygon(0, ("1e99", 1), (2, 2), (3, 3)),
            "<x> of <pt> is '1e99', no coordinate; the object was left out. Correct it.",
        ),
        (
            "<object><name>a</name></object>",
            "it has neither <polygon> nor <segm>; the object was left out. Correct it.",
        ),
    ],
)
def test_an_object_that_is_wrong_is_told_of(tmp_path, given, message):
    labels = read_labels(put(tmp_path, given, polygon(5, *SQUARE)), "labelme_xml")
    assert [issue.describe() for issue in labels.issues] == [
        f"Annotations/f/a.xml: line 3: {message} [object-unreadable]"
    ]
    assert len(labels.rows[0]["annotations"]) == 1
    assert labels.rows[0]["labelled"] == "partial"


def test_a_size_that_is_none(tmp_path):
    size = "<imagesize><nrows>0</nrows><ncols>32</ncols></imagesize>"
    labels = read_labels(put(tmp_path, polygon(0, *SQUARE), size=size), "labelme_xml")
    assert labels.issues[0].describe() == (
        "Annotations/f/a.xml: line 3: it says the picture has 32 × 0 pixels. [size-unusable]"
    )
    assert "width_px" not in labels.rows[0]


def test_documents_made_to_harm_are_refused(tmp_path):
    put(tmp_path)
    text = '<!DOCTYPE a [<!ENTITY x "xx">]><annotation><polygon/><filename>&x;</filename></annotation>'
    (tmp_path / "Annotations/f/a.xml").write_text(text)
    with pytest.raises(FormatError, match="it declares entities"):
        read_labels(tmp_path, "labelme_xml")


def test_voc_s_xml_is_not_taken_for_it(tmp_path):
    (tmp_path / "a.xml").write_text(
        "<annotation><filename>a.png</filename><object><name>x</name></object></annotation>"
    )
    assert LabelmeXml().detect(scan(str(tmp_path))) is None
    put(tmp_path, polygon(0, *SQUARE))
    found = LabelmeXml().detect(scan(str(tmp_path)))
    assert found is not None
    assert found.why == "found 2 XML files, 1 of 2 looked at of the LabelMe web tool"


@pytest.mark.realdata
def test_datumaro_s_example(shared_data):
    folder = shared_data / "formats-tiny" / "labelme_dataset"
    assert registry.detect(scan(str(folder)))[0].format == "labelme_xml"
    labels = read_labels(folder)
    (row,) = labels.rows
    assert row["key"] == "Images/subset1/img1.png"
    assert (row["width_px"], row["height_px"]) == (102, 77)
    said = [(item["id"], item["kind"], item["category"], item["annotator"]) for item in row["annotations"]]
    assert said == [
        ("0", "polygon", "window", "admin"),
        ("1", "mask", "license plate", "brussell"),
        ("2", "polygon", "o1", "anonymous"),
        ("3", "polygon", "q1", "anonymous"),
        ("4", "box", "b1", "anonymous"),
        ("5", "mask", "m1", "anonymous"),
        ("6", "polygon", "hg", "anonymous"),
    ]
    targets = {item["id"]: [one["target"] for one in item.get("relations", ())] for item in row["annotations"]}
    assert targets == {"0": [], "1": [], "2": [], "3": ["2"], "4": ["2"], "5": [], "6": ["5"]}
    # Pillow's own view of the masks: the box around what is not transparent.
    boxes = {item["id"]: item["bbox_xywh_px"] for item in row["annotations"] if item["kind"] == "mask"}
    for number in ("1", "5"):
        with Image.open(folder / f"Masks/subset1/img1_mask_{number}.png") as image:
            left, top, right, bottom = image.getchannel("A").getbbox()
        assert boxes[number] == [left, top, right - left, bottom - top]
    assert row["annotations"][2]["attributes"] == {"a1": True, "occluded": True}
    assert [issue.describe() for issue in labels.issues] == [
        "2 scribbles were not read. The masks that were grown from them were. [scribbles-not-read]"
    ]
