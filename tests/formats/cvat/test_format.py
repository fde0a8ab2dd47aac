from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from lxml import etree

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats import registry
from dsetkit.formats.cvat import tracks
from dsetkit.formats.cvat.format import Cvat
from dsetkit.formats.cvat.masks import BoxMask, from_picture, to_picture
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import LossReport
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, expected_rows, normal
from dsetkit.formats.writing import write_labels
from dsetkit.geometry import rle
from dsetkit.spec.category import AttributeDefinition, Category
from dsetkit.storage.scan import scan

Row = dict[str, Any]


class TestCvat(FormatContract):
    format: ClassVar[Cvat] = Cvat()


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress((b"\x00" + b"\x00" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def lay(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


LABELS = """<labels>
  <label><name>car</name><color>#FA3253</color><attributes>
    <attribute><name>seats</name><mutable>False</mutable><input_type>number</input_type>
      <default_value>4</default_value><values>1\n9\n1</values></attribute>
    <attribute><name>parked</name><mutable>True</mutable><input_type>checkbox</input_type>
      <default_value>false</default_value><values></values></attribute>
    <attribute><name>plate</name><mutable>False</mutable><input_type>text</input_type>
      <default_value></default_value><values></values></attribute>
    <attribute><name>make</name><mutable>False</mutable><input_type>select</input_type>
      <default_value>other</default_value><values>other\nVW Golf</values></attribute>
  </attributes></label>
  <label><name>person</name><type>skeleton</type><attributes></attributes><svg>&lt;line data-type="edge"
    data-node-from="2" data-node-to="1"&gt;&lt;/line&gt;&lt;circle data-type="element node" data-element-id="1"
    data-node-id="1" data-label-name="head"&gt;&lt;/circle&gt;&lt;circle data-type="element node" data-element-id="2"
    data-node-id="2" data-label-name="hip &amp;amp; knee"&gt;&lt;/circle&gt;</svg></label>
  <label><name>head</name><type>points</type><attributes></attributes><parent>person</parent></label>
  <label><name>hip &amp; knee</name><type>points</type><attributes></attributes><parent>person</parent></label>
</labels>"""


def document(*inside: str, task: str = "", labels: str = LABELS) -> str:
    head = f"<annotations><version>1.1</version><meta><task>{task}{labels}</task><source>t.mp4</source></meta>"
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head}\n' + "\n".join(inside) + "\n</annotations>"


def image(*shapes: str, name: str = "a.png", more: str = 'width="20" height="10"') -> str:
    return f'<image id="0" name="{name}" {more}>{"".join(shapes)}</image>'


def read(folder: Path, **options: Any) -> LabelSet:
    return read_labels(folder, "cvat", options=options or None)


def one(folder: Path, *shapes: str) -> Row:
    """The only annotation of a picture with these shapes."""
    found: Row = rows_of(folder, document(image(*shapes)))[0]["annotations"][0]
    return found


def rows_of(folder: Path, text: str, **options: Any) -> list[Row]:
    lay(folder, {"annotations.xml": text})
    return list(read(folder, **options).rows)


def described(folder: Path, *inside: str, **given: str) -> list[str]:
    lay(folder, {"annotations.xml": document(*inside, **given)})
    return [issue.describe() for issue in read(folder).issues]


def round_trip(rows: list[Row], folder: Path, *categories: Category) -> tuple[LossReport, list[Row]]:
    export = MemoryExport(rows, categories or [Category(name="car", index=0)])
    report = write_labels(export, folder, "cvat")
    back = [normal(row) for row in read(folder).rows]
    assert back == expected_rows(Cvat(), export)
    return report, back


def a_row(*annotations: Row, **fields: Any) -> Row:
    return {"key": "s/a.png", "labelled": "yes", "width_px": 20, "height_px": 10, "annotations": annotations, **fields}


def a_box(**fields: Any) -> Row:
    return {"id": "0", "kind": "box", "category": "car", "bbox_xywh_px": (1.0, 2.0, 3.0, 4.0), **fields}


# ------------------------------------------------------------------ shapes


def test_a_box_is_corners_in_plain_pixels(tmp_path: Path) -> None:
    found = one(tmp_path, '<box label="car" occluded="1" xtl="1.50" ytl="2" xbr="4" ybr="8.25" z_order="3"/>')
    assert found["bbox_xywh_px"] == [1.5, 2.0, 2.5, 6.25]
    assert found["attributes"] == {"occluded": True}
    assert found["extras"] == {"cvat": {"z_order": 3}}


def test_a_rotated_box_turns_clockwise_about_its_centre(tmp_path: Path) -> None:
    found = one(tmp_path, '<box label="car" xtl="4" ytl="2" xbr="12" ybr="6" rotation="30.00"/>')
    assert found["kind"] == "rotated_box"
    assert found["rotated_box"] == {"cx": 8.0, "cy": 4.0, "w": 8.0, "h": 4.0, "angle": 30.0}
    # By hand: the corner (4, 2) is (-4, -2) from the centre; turned by 30° with y down.
    cos, sin = math.cos(math.pi / 6), math.sin(math.pi / 6)
    corners = [(8 + x * cos - y * sin, 4 + x * sin + y * cos) for x, y in ((-4, -2), (4, -2), (4, 2), (-4, 2))]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    expected = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    assert found["bbox_xywh_px"] == pytest.approx(expected)
    assert corners[1] == pytest.approx((8 + 4 * cos + 2 * sin, 4 + 4 * sin - 2 * cos))  # the right end goes down


def test_an_ellipse_has_half_axes_and_turns_too(tmp_path: Path) -> None:
    found = one(tmp_path, '<ellipse label="car" cx="10" cy="5" rx="4" ry="2" rotation="90"/>')
    assert found["ellipse"] == {"cx": 10.0, "cy": 5.0, "rx": 4.0, "ry": 2.0, "angle": 90.0}
    assert found["bbox_xywh_px"] == [8.0, 1.0, 4.0, 8.0]


@pytest.mark.parametrize(
    ("shape", "kind", "field", "value"),
    [
        ('<polygon label="car" points="1,2;3.5,4;6,5"/>', "polygon", "polygons", [[[1.0, 2.0, 3.5, 4.0, 6.0, 5.0]]]),
        ('<polyline label="car" points="1,2;3,4;"/>', "polyline", "polyline", [1.0, 2.0, 3.0, 4.0]),
        ('<points label="car" points="1.0, 2"/>', "points", "points", [1.0, 2.0]),
    ],
)
def test_points_are_pairs(tmp_path: Path, shape: str, kind: str, field: str, value: Any) -> None:
    found = one(tmp_path, shape)
    assert (found["kind"], found[field]) == (kind, value)


def test_a_tag_is_a_label_of_the_picture(tmp_path: Path) -> None:
    found = one(tmp_path, '<tag label="car" source="auto"><attribute name="seats">5</attribute></tag>')
    assert found == {
        "id": "0",
        "kind": "image_label",
        "category": "car",
        "origin": "model",
        "attributes": {"seats": 5},
    }


def test_a_mask_goes_row_by_row_through_its_own_box(tmp_path: Path) -> None:
    # Rows of 3: ".##", "##." at (4, 2).
    shape = '<mask label="car" source="semi-auto" rle="1, 4, 1" left="4" top="2" width="3" height="2" z_order="0"/>'
    found = one(tmp_path, shape)
    expected = np.zeros((10, 20), np.bool_)
    expected[2, 5:7] = expected[3, 4:6] = True
    assert found["mask"] == rle.encode(expected)
    assert found["bbox_xywh_px"] == [4.0, 2.0, 3.0, 2.0]
    assert found["extras"] == {"cvat": {"source": "semi-auto"}}


def test_masks_both_ways_are_exact() -> None:
    random = np.random.default_rng(7)
    for _ in range(200):
        height, width = random.integers(1, 9, 2)
        pixels = random.random((height, width)) < random.choice([0.1, 0.5, 0.95, 1.1])
        mask = rle.encode(pixels)
        box = from_picture(mask)
        if box is None:
            assert not pixels.any()
            continue
        assert sum(box.runs) == box.width * box.height
        assert to_picture(box, int(width), int(height)) == (mask, False)


def test_a_mask_that_reaches_out_is_cut() -> None:
    mask, cut = to_picture(BoxMask([0, 16], -2, 8, 4, 4), 20, 10)
    assert cut
    assert rle.mask_bbox(mask) == (0.0, 8.0, 2.0, 2.0)
    mask, cut = to_picture(BoxMask([0, 4], 50, 50, 2, 2), 20, 10)
    assert cut
    assert rle.mask_area(mask) == 0


def test_a_mask_takes_the_size_of_the_picture_where_none_is_given(tmp_path: Path) -> None:
    shape = '<mask label="car" rle="0,4" left="1" top="1" width="2" height="2"/>'
    lay(tmp_path, {"annotations.xml": document(image(shape, more="")), "images/a.png": png(20, 10)})
    assert read(tmp_path).rows[0]["annotations"][0]["mask"]["size"] == [10, 20]


def test_a_skeleton_is_keypoints(tmp_path: Path) -> None:
    lay(
        tmp_path,
        {
            "annotations.xml": document(
                image(
                    '<skeleton label="person" source="manual" z_order="0" group_id="4">'
                    '<points label="head" outside="0" occluded="1" points="3.00,4.00"></points>'
                    '<points label="hip &amp; knee" outside="0" occluded="0" points="5,8">'
                    '<attribute name="side">left</attribute></points>'
                    '<points label="tail" outside="1" occluded="0" points="9,9"/></skeleton>'
                )
            )
        },
    )
    labels = read(tmp_path)
    assert labels.rows[0]["annotations"][0] == {
        "id": "0",
        "kind": "keypoints",
        "category": "person",
        "bbox_xywh_px": [3.0, 4.0, 2.0, 4.0],
        "keypoints": [
            {"name": "head", "x": 3.0, "y": 4.0, "visibility": 1},
            {"name": "hip & knee", "x": 5.0, "y": 8.0},
            {"name": "tail", "x": 9.0, "y": 9.0, "visibility": 0},
        ],
        "origin": "human",
        "instance_group": "4",
        "extras": {"cvat": {"elements": {"hip & knee": {"side": "left"}}}},
    }
    assert [category.name for category in labels.categories] == ["car", "person"]
    person = labels.categories[1]
    assert person.keypoint_names == ("head", "hip & knee", "tail")
    assert person.skeleton == ((1, 0),)


def test_attributes_have_the_types_of_their_definitions(tmp_path: Path) -> None:
    inside = "".join(
        f'<attribute name="{name}">{text}</attribute>'
        for name, text in (
            ("seats", " 5 "),
            ("parked", "True"),
            ("plate", "0042"),
            ("make", "\n VW Golf\n"),
            ("other", "true"),
            ("more", "7"),
        )
    )
    found = one(tmp_path, f'<box label="car" xtl="1" ytl="1" xbr="2" ybr="2">{inside}</box>')
    assert found["attributes"] == {
        "seats": 5,
        "parked": True,
        "plate": "0042",
        "make": "VW Golf",
        "other": True,
        "more": "7",
    }
    category = read(tmp_path).categories[0]
    assert category.color == "#fa3253"
    assert category.attributes == (
        AttributeDefinition(name="seats", type="number", values=("1", "9", "1"), default=4),
        AttributeDefinition(name="parked", type="checkbox", default=False, mutable=True),
        AttributeDefinition(name="plate", type="text"),
        AttributeDefinition(name="make", type="select", values=("other", "VW Golf"), default="other"),
    )


def test_what_does_not_fit_its_definition_stays_text(tmp_path: Path) -> None:
    shape = '<box label="car" xtl="1" ytl="1" xbr="2" ybr="2"><attribute name="seats">NaN</attribute></box>'
    assert one(tmp_path, shape)["attributes"] == {"seats": "NaN"}


# ------------------------------------------------------------------ images


def test_an_image_without_shapes_is_not_said_to_be_labelled(tmp_path: Path) -> None:
    text = document(image(name="a.png"), image('<tag label="car"/>', name="b.png"))
    assert [row.get("labelled", "no") for row in rows_of(tmp_path, text)] == ["no", "yes"]
    assert [row.get("labelled", "no") for row in rows_of(tmp_path, text, empty="labelled")] == ["yes", "yes"]


def test_images_of_one_name_are_told_apart_by_their_subset(tmp_path: Path) -> None:
    tag = '<tag label="car"/>'
    images = [image(tag, more=f'subset="{subset}"') for subset in ("Train", "Test", "default")]
    assert [row["key"] for row in rows_of(tmp_path, document(*images))] == ["Test/a.png", "Train/a.png", "a.png"]
    files = {f"images/{folder}/a.png": png(20, 10) for folder in ("Train", "Test", "default")}
    labels = read(lay(tmp_path, files))
    assert [(row["key"], row.get("subsets", ())) for row in labels.rows] == [
        ("images/Test/a.png", ["Test"]),
        ("images/Train/a.png", ["Train"]),
        ("images/default/a.png", ()),
    ]
    assert not labels.issues


def test_a_name_without_extension_is_found(tmp_path: Path) -> None:
    text = document(image('<tag label="car"/>', name="frame_000001"))
    lay(tmp_path, {"annotations.xml": text, "images/frame_000001.jpg": b"x", "images/frame_000002.jpg": b"x"})
    assert [row["key"] for row in read(tmp_path).rows if row.get("annotations")] == ["images/frame_000001.jpg"]


def test_a_picture_listed_twice(tmp_path: Path) -> None:
    tag, other = '<tag label="car"/>', '<tag label="person"/>'
    assert described(tmp_path, image(tag), image(tag)) == [
        "annotations.xml: line 24: a.png: a.png is there already, and this says the same of it; it was left out. "
        "List each picture once. [image-twice]"
    ]
    rows = rows_of(tmp_path, document(image(tag), image(other)))
    assert [(item["id"], item["category"]) for item in rows[0]["annotations"]] == [("0", "car"), ("1", "person")]


def test_paths_never_leave_the_source(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, document(image('<tag label="car"/>', name="../../etc/passwd")))
    assert [row["key"] for row in rows] == ["etc/passwd"]
    assert described(tmp_path, image(name="..")) == [
        "annotations.xml: line 23: no picture can be named '..'. Name the picture by its path relative to the source. "
        "[picture-name-unusable]"
    ]


# ------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (
            '<box label="car" xtl="1" ytl="x" xbr="2" ybr="2"/>',
            "ytl is 'x', no finite number; the shape was left out. Correct it in the file, or in CVAT. "
            "[shape-unreadable]",
        ),
        (
            '<box label="car" xtl="1" xbr="2" ybr="2"/>',
            "ytl is missing; the shape was left out. Correct it in the file, or in CVAT. [shape-unreadable]",
        ),
        (
            '<box label="car" xtl="1" ytl="1e999" xbr="2" ybr="2"/>',
            "ytl is '1e999', no finite number; the shape was left out. Correct it in the file, or in CVAT. "
            "[shape-unreadable]",
        ),
        (
            '<points label="car" points="1,2,3;4"/>',
            "points are '1,2,3;4', no list of x,y; the shape was left out. Correct it in the file, or in CVAT. "
            "[shape-unreadable]",
        ),
        (
            '<polygon label="car" points="1,2;3,4"/>',
            "a polygon of 2 points; the shape was left out. Correct it in the file, or in CVAT. [shape-unreadable]",
        ),
        (
            '<cuboid label="car" xtl1="1" ytl1="1"/>',
            "a <cuboid> has no place here; it was left out. Such a shape cannot be kept. [shape-not-read]",
        ),
        (
            '<mask label="car" rle="1,2" left="0" top="0" width="2" height="2"/>',
            "a mask's runs do not fill its 2×2 pixels exactly; it was left out. Correct it in the file, or in CVAT. "
            "[mask-unreadable]",
        ),
        (
            '<mask label="car" rle="a" left="0" top="0" width="2" height="2"/>',
            "its rle is no list of whole numbers; it was left out. Correct it in the file, or in CVAT. "
            "[mask-unreadable]",
        ),
        (
            '<mask label="car" rle="9" left="0" top="0" width="1000000" height="1000000"/>',
            "a mask of 1000000×1000000 pixels is empty or above the limit of 178956970 pixels; it was left out. "
            "Correct it in the file, or in CVAT. [mask-unreadable]",
        ),
        (
            '<skeleton label="person"/>',
            "a skeleton without elements; it was left out. Correct it in the file, or in CVAT. [shape-unreadable]",
        ),
        (
            '<skeleton label="person"><box label="head" xtl="1"/></skeleton>',
            "a skeleton with the element <box label='head'> has no place here; it was left out. Correct it in the "
            "file, or in CVAT. [shape-not-read]",
        ),
        (
            '<box label="truck" xtl="1" ytl="1" xbr="2" ybr="2"/>',
            "the label 'truck' is not defined in the meta; it became a category all the same. Define it, or correct "
            "the name. [category-undefined]",
        ),
    ],
)
def test_a_bad_shape_is_an_issue_and_the_rest_is_read(tmp_path: Path, shape: str, said: str) -> None:
    assert described(tmp_path, image('<tag label="car"/>', shape)) == [f"annotations.xml: line 23: {said}"]
    row = read(tmp_path).rows[0]
    assert row["labelled"] == ("yes" if "truck" in shape else "partial")
    assert row["annotations"][0]["kind"] == "image_label"


def test_findings_stand_on_the_annotation(tmp_path: Path) -> None:
    assert one(tmp_path, '<box label="" xtl="4" ytl="1" xbr="2" ybr="2"/>')["issues"] == [
        {"code": "box-inverted", "message": "xtl 4, ytl 1, xbr 2, ybr 2: corners exchanged"},
        {"code": "category-missing", "message": "its label is empty"},
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<annotations><meta></annotations>", "annotations.xml: not well-formed XML: Opening and ending tag mismatch"),
        ("<annotation></annotation>", "annotations.xml: its root element is <annotation>, not <annotations>"),
        (
            '<!DOCTYPE annotations [<!ENTITY a "b">]><annotations><image name="&a;"/></annotations>',
            "annotations.xml: it declares entities",
        ),
    ],
)
def test_a_file_that_cannot_be_read_at_all(tmp_path: Path, text: str, said: str) -> None:
    lay(tmp_path, {"annotations.xml": text})
    with pytest.raises(FormatError) as caught:
        read(tmp_path)
    assert caught.value.message.startswith(said)


def test_one_bad_file_of_two_leaves_nothing_behind(tmp_path: Path) -> None:
    good, bad = document(image('<tag label="car"/>')), document(image('<tag label="car"/>', name="b.png"))
    lay(tmp_path, {"a/annotations.xml": good, "b/annotations.xml": bad[:-8]})
    labels = read(tmp_path)
    assert [row["key"] for row in labels.rows] == ["a.png"]
    assert [issue.code for issue in labels.issues] == ["xml-malformed"]
    lay(tmp_path, {"b/annotations.xml": bad[:-8].replace('tag label="car"', 'tag label="leftover"')})
    assert "leftover" not in [category.name for category in read(tmp_path).categories]


@pytest.mark.parametrize("name", ["frame.png", "%s.png", "a/%d.png", "%*d", "%99999999d", "%d%d"])
def test_a_frame_name_that_is_none(tmp_path: Path, name: str) -> None:
    lay(tmp_path, {"annotations.xml": document(image())})
    with pytest.raises(UsageError, match="the option frame_name is"):
        read(tmp_path, frame_name=name)


# ------------------------------------------------------------------ video


def box_at(frame: int, x: float, outside: int = 0, keyframe: int = 1, more: str = "", inside: str = "") -> str:
    where = f'frame="{frame}" outside="{outside}" occluded="0" keyframe="{keyframe}"'
    return f'<box {where} xtl="{x}" ytl="1" xbr="{x + 4}" ybr="5" z_order="0" {more}>{inside}</box>'


def track(*shapes: str, label: str = "car", more: str = "") -> str:
    return f'<track id="7" label="{label}" source="manual" {more}>{"".join(shapes)}</track>'


def frames_of(rows: list[Row]) -> dict[int, Row]:
    return {row["provenance"]["frame"]: row["annotations"][0] for row in rows}


def test_frames_between_keyframes_are_on_a_line(tmp_path: Path) -> None:
    task = "<start_frame>10</start_frame><stop_frame>22</stop_frame><frame_filter>step=3</frame_filter>"
    task += "<original_size><width>20</width><height>10</height></original_size>"
    rows = rows_of(tmp_path, document(track(box_at(10, 1), box_at(19, 10)), task=task))
    found = frames_of(rows)
    assert {frame: item["bbox_xywh_px"][0] for frame, item in found.items()} == {
        10: 1.0,
        13: 4.0,
        16: 7.0,
        19: 10.0,
        22: 10.0,  # the track goes on to the last frame
    }
    assert found[10]["track"] == {"id": "7"}
    assert found[13]["track"] == {"id": "7", "keyframe": False, "interpolated": True}
    assert rows[0]["key"] == "frame_000010.png"
    assert rows[0]["provenance"] == {"video": "t.mp4", "frame": 10}
    assert (rows[0]["width_px"], rows[0]["height_px"]) == (20, 10)
    assert found[13]["origin"] == "human"


def test_listed_frames_count_as_they_are(tmp_path: Path) -> None:
    found = frames_of(rows_of(tmp_path, document(track(box_at(0, 1), box_at(1, 9, keyframe=0), box_at(2, 3)))))
    assert [item["bbox_xywh_px"][0] for item in found.values()] == [1.0, 9.0, 3.0]
    assert found[1]["track"]["interpolated"]


def test_an_outside_shape_ends_a_track_until_the_next(tmp_path: Path) -> None:
    task = "<start_frame>0</start_frame><stop_frame>6</stop_frame>"
    text = document(track(box_at(0, 1), box_at(2, 3, outside=1), box_at(5, 6)), task=task)
    found = frames_of(rows_of(tmp_path, text))
    assert sorted(found) == [0, 1, 2, 5, 6]
    assert found[2]["track"] == {"id": "7", "outside": True}


def test_rotation_goes_the_short_way_round(tmp_path: Path) -> None:
    text = document(track(box_at(0, 1, more='rotation="350"'), box_at(4, 1, more='rotation="30"')))
    found = frames_of(rows_of(tmp_path, text))
    assert [item["rotated_box"]["angle"] for item in found.values()] == [350.0, 0.0, 10.0, 20.0, 30.0]


def test_attributes_hold_until_they_are_said_anew(tmp_path: Path) -> None:
    said = '<attribute name="seats">{}</attribute>'
    shapes = (
        box_at(0, 1, inside=said.format(2) + '<attribute name="plate">X</attribute>'),
        box_at(2, 1, inside=said.format(3)),
        box_at(3, 1),
    )
    found = frames_of(rows_of(tmp_path, document(track(*shapes))))
    assert [item["attributes"]["seats"] for item in found.values()] == [2, 2, 3, 3]
    assert {item["attributes"]["plate"] for item in found.values()} == {"X"}


def test_single_points_move_and_several_are_held(tmp_path: Path) -> None:
    def points(frame: int, text: str) -> str:
        return f'<points frame="{frame}" outside="0" occluded="0" keyframe="1" points="{text}" z_order="0"/>'

    found = frames_of(rows_of(tmp_path, document(track(points(0, "0,0"), points(2, "4,6")))))
    assert found[1]["points"] == [2.0, 3.0]
    found = frames_of(rows_of(tmp_path, document(track(points(0, "0,0;1,1"), points(2, "4,6;5,5")))))
    assert found[1]["points"] == [0.0, 0.0, 1.0, 1.0]


def test_elements_of_a_skeleton_move(tmp_path: Path) -> None:
    def skeleton(frame: int, x: float, outside: int) -> str:
        element = '<points label="{}" keyframe="1" outside="{}" occluded="0" points="{},2"/>'
        inside = element.format("head", 0, x) + element.format("tail", outside, x)
        return f'<skeleton frame="{frame}" keyframe="1" z_order="0">{inside}</skeleton>'

    text = document(track(skeleton(0, 2, 1), skeleton(2, 6, 0), label="person"))
    found = frames_of(rows_of(tmp_path, text))
    assert found[1]["keypoints"] == [
        {"name": "head", "x": 4.0, "y": 2.0},
        {"name": "tail", "x": 2.0, "y": 2.0, "visibility": 0},
    ]
    assert found[1]["bbox_xywh_px"] == [4.0, 2.0, 0.0, 0.0]


def test_polygons_between_keyframes_are_said_to_be_missing(tmp_path: Path) -> None:
    shape = '<polygon frame="{}" outside="0" occluded="0" keyframe="1" points="1,1;5,1;{},5"/>'
    text = track(shape.format(0, 1), shape.format(4, 2)), track(box_at(0, 1), box_at(4, 1))
    assert described(tmp_path, *text) == [
        "annotations.xml: between the frames 0 and 4 a polygon or polyline changes, which only CVAT can fill in. "
        "Export every frame of its tracks, as CVAT does. [track-not-filled]"
    ]
    assert [row["labelled"] for row in read(tmp_path).rows] == ["yes", "partial", "partial", "partial", "yes"]
    same = track(shape.format(0, 1), shape.format(2, 1))
    assert described(tmp_path, same) == []
    assert len(read(tmp_path)) == 3


def test_only_frames_that_have_a_picture_are_filled_where_there_are_pictures(tmp_path: Path) -> None:
    text = document(track(box_at(0, 0), box_at(10, 10)))
    lay(tmp_path, {"annotations.xml": text, "images/frame_000005.jpg": b"x", "images/frame_000099.jpg": b"x"})
    labels = read(tmp_path)
    assert {row["key"]: len(row.get("annotations", ())) for row in labels.rows} == {
        "frame_000000.png": 1,
        "frame_000010.png": 1,
        "images/frame_000005.jpg": 1,
        "images/frame_000099.jpg": 0,
    }
    found = {row["key"]: row for row in labels.rows}
    assert found["images/frame_000005.jpg"]["annotations"][0]["bbox_xywh_px"][0] == 5.0
    (tmp_path / "images/frame_000005.jpg").rename(tmp_path / "images/5-x.jpg")
    assert "images/5-x.jpg" in {row["key"] for row in read(tmp_path, frame_name="%d-x.png").rows if "provenance" in row}


def test_two_videos_do_not_share_frames(tmp_path: Path) -> None:
    text = document(track(box_at(0, 1)))
    lay(tmp_path, {"a/annotations.xml": text, "b/annotations.xml": text, "a/images/frame_000000.png": png(20, 10)})
    assert [row["key"] for row in read(tmp_path).rows] == ["a/images/frame_000000.png", "b/frame_000000.png"]
    lay(tmp_path, {"c/one.xml": text, "c/two.xml": text})
    keys = [row["key"] for row in read(tmp_path).rows]
    assert keys[2:] == ["c/one/frame_000000.png", "c/two/frame_000000.png"]


def test_endless_tracks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = track(box_at(0, 1), box_at(999_999_999, 2)), track(box_at("9" * 400, 1))  # type: ignore[arg-type]
    assert described(tmp_path, *text) == [
        "annotations.xml: line 24: its frame is '99999999999999999999999999999999999999999999999999999999999999999999"
        "999999999999', no number from 0; it was left out. Correct it in the file. [frame-unreadable]",
        "annotations.xml: line 23: its tracks leave more frames to be filled in than can be; the rest was left out. "
        "Export every frame of its tracks, as CVAT does, or split the file. [track-too-long]",
    ]
    monkeypatch.setattr(tracks, "MAX_MADE", 3)
    assert "track-too-long" in described(tmp_path, track(box_at(0, 1), box_at(5, 2)))[0]


def test_a_frame_listed_twice_in_a_track(tmp_path: Path) -> None:
    assert described(tmp_path, track(box_at(0, 1), box_at(0, 2))) == [
        "annotations.xml: line 23: the track 7 is at frame 0 already; the first counts. Take one away. [frame-twice]"
    ]


# ------------------------------------------------------------------ written


def test_the_layout_and_the_xml(tmp_path: Path) -> None:
    category = Category(
        name="car",
        index=0,
        color="#fa3253",
        attributes=(AttributeDefinition(name="make", type="select", values=("a", "b c"), default="a"),),
    )
    shape = a_box(
        attributes={"make": "b c", "occluded": False, "n": 1.5, "ok": True},
        origin="human",
        instance_group="3",
        extras={"cvat": {"z_order": 2}},
    )
    report, rows = round_trip([a_row(shape, split="train"), {"key": "s/b.png"}], tmp_path / "out", category)
    assert report.describe() == "cvat: 2 samples, 1 annotations, nothing lost"
    assert rows[1]["annotations"][0]["attributes"] == shape["attributes"]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")) == [
        "out/annotations.xml",
        "out/images/default/s/b.png",
        "out/images/train/s/a.png",
    ]
    text = (tmp_path / "out/annotations.xml").read_text()
    assert text.startswith('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta>')
    assert text.endswith(
        """
  <image id="0" name="s/a.png" subset="train" task_id="2" width="20" height="10">
    <box label="car" source="manual" occluded="0" xtl="1" ytl="2" xbr="4" ybr="6" z_order="2" group_id="3">
      <attribute name="make">b c</attribute>
      <attribute name="n">1.5</attribute>
      <attribute name="ok">true</attribute>
    </box>
  </image>
  <image id="1" name="s/b.png" subset="default" task_id="1"/>
</annotations>
"""
    )
    project = etree.fromstring(text.encode()).find("meta/project")
    assert project.findtext("subsets") == "default\ntrain"
    assert [task.findtext("subset") for task in project.iterfind("tasks/task")] == ["default", "train"]
    made = project.find("labels/label/attributes")
    assert [(item.findtext("name"), item.findtext("input_type")) for item in made] == [
        ("make", "select"),
        ("n", "number"),
        ("ok", "checkbox"),
    ]
    assert made[0].findtext("values") == "a\nb c"


def test_what_cvats_own_importer_asks_for_is_there(tmp_path: Path) -> None:
    """``load_anno`` of CVAT indexes these attributes; without one an import fails."""
    point = {"name": "nose", "x": 1.0, "y": 2.0}
    shapes = [
        a_box(id="0"),
        {"id": "1", "kind": "ellipse", "category": "car", "ellipse": {"cx": 5.0, "cy": 5.0, "rx": 2.0, "ry": 1.0}},
        {"id": "2", "kind": "keypoints", "category": "car", "keypoints": (point,)},
        {"id": "3", "kind": "mask", "category": "car", "mask": rle.encode(np.eye(10, 20))},
        {"id": "4", "kind": "image_label", "category": "car"},
    ]
    round_trip([a_row(*shapes)], tmp_path / "out")
    found = etree.parse(tmp_path / "out/annotations.xml").find("image")
    needed = {
        "box": ("label", "xtl", "ytl", "xbr", "ybr"),
        "ellipse": ("label", "cx", "cy", "rx", "ry"),
        "skeleton": ("label",),
        "mask": ("label", "rle", "left", "top", "width", "height"),
        "tag": ("label",),
    }
    assert [shape.tag for shape in found] == list(needed)
    for shape in found:
        assert all(name in shape.attrib for name in needed[shape.tag])
    element = found.find("skeleton/points")
    assert dict(element.attrib) == {"label": "nose", "outside": "0", "occluded": "0", "points": "1,2"}
    assert [int(run) for run in found.find("mask").get("rle").split(",")][:4] == [0, 1, 10, 1]


def test_an_empty_labelled_image_is_told_from_one_nobody_labelled(tmp_path: Path) -> None:
    empty = {"key": "s/a.png", "labelled": "yes", "width_px": 8, "height_px": 8}
    report, rows = round_trip([empty, {"key": "s/b.png"}], tmp_path / "out")
    assert report.is_lossless
    assert [row.get("labelled", "no") for row in rows] == ["yes", "no"]


def test_polygons_with_holes_and_parts_become_masks(tmp_path: Path) -> None:
    ring, hole, far = (1.0, 1.0, 9.0, 1.0, 9.0, 9.0, 1.0, 9.0), (3.0, 3.0, 6.0, 3.0, 6.0, 6.0, 3.0, 6.0), (
        12.0, 1.0, 15.0, 1.0, 15.0, 4.0, 12.0, 4.0,
    )  # fmt: skip
    shapes = [
        {"id": str(index), "kind": "polygon", "category": "car", "polygons": polygons}
        for index, polygons in enumerate((((ring, hole),), ((ring,), (far,)), ((ring,),)))
    ]
    report, rows = round_trip([a_row(*shapes)], tmp_path / "out")
    assert [item["kind"] for item in rows[0]["annotations"]] == ["mask", "mask", "polygon"]
    assert [loss.code for loss in report.refusals] == ["polygon-holes", "polygon-parts"]
    first = rle.decode(rows[0]["annotations"][0]["mask"])
    assert not first[4, 4]
    assert first[2, 2]


def test_losses_have_codes(tmp_path: Path) -> None:
    keypoint = {"name": "nose", "x": 1.0, "y": 2.0}
    shapes = [
        a_box(id="a", attributes={"n": 1, "list": [1]}, origin="synthetic", instance_group="g"),
        a_box(id="1", attributes={"n": "x"}, track={"id": "4"}, score=0.5),
        a_box(id="2", track={"id": "4", "outside": True}),
        a_box(id="3", category="dog"),
        {"id": "4", "kind": "mask", "category": "car", "mask": rle.encode(np.zeros((10, 20)))},
        {"id": "5", "kind": "mask", "category": "car", "mask": rle.encode(np.ones((4, 4)))},
        {"id": "6", "kind": "caption", "text": "x"},
        {
            "id": "7",
            "kind": "keypoints",
            "category": "car",
            "keypoints": (keypoint, keypoint),
            "bbox_xywh_px": (0.0, 0.0, 9.0, 9.0),
        },
    ]
    report, rows = round_trip([a_row(*shapes, split="default", source_id="x")], tmp_path / "out")
    assert {loss.code: loss.count for loss in report.losses} == {
        "attribute-text": 1,
        "category-unknown": 1,
        "field-dropped": 1,
        "group-renumbered": 1,
        "id-renumbered": 2,
        "image-id-made": 1,
        "keypoint-twice": 1,
        "keypoints-box": 1,
        "kind-dropped": 1,
        "shape-broken": 1,
        "split-dropped": 1,
        "track-outside": 1,
    }
    assert rows[0]["annotations"][0]["attributes"] == {"list": "[1]", "n": "1"}
    assert rows[0]["annotations"][0]["instance_group"] == "1"


def test_no_other_format_writes_an_object_that_is_not_there(tmp_path: Path) -> None:
    rows = [a_row(a_box(), a_box(id="1", track={"id": "4", "outside": True}))]
    export = MemoryExport(rows, [Category(name="car", index=0)])
    for name in ("csv", "coco", "voc", "yolo"):
        report = write_labels(export, tmp_path / name, name)
        assert "track-outside" in [loss.code for loss in report.losses]
        assert [len(row["annotations"]) for row in read_labels(tmp_path / name, name).rows] == [1]


# ------------------------------------------------------------------ real data


@pytest.mark.realdata
def test_the_real_project(shared_data: Path) -> None:
    folder = shared_data / "formats-tiny" / "cvat_dataset"
    assert registry.detect(scan(str(folder)))[0].format == "cvat"
    labels = read(folder / "for_images" / "export_project")
    assert not labels.issues
    assert {row["key"]: row["subsets"] for row in labels.rows} == {
        f"images/{subset}/img{number}.jpg": [subset] for subset in ("Test", "Train", "Validation") for number in (0, 1)
    }
    assert labels.rows[0]["annotations"][0] == {
        "id": "0",
        "kind": "box",
        "category": "label1",
        "bbox_xywh_px": [0.0, 2.0, 4.0, 2.0],
        "attributes": {"a1": True, "a2": "v3", "a3": "0003", "a4": 2.4, "occluded": True},
        "extras": {"cvat": {"z_order": 1}},
    }
    assert [item["kind"] for row in labels.rows for item in row["annotations"]] == [
        "box",
        "polyline",
        "polygon",
        "points",
    ] * 3


@pytest.mark.realdata
def test_the_real_task(shared_data: Path) -> None:
    labels = read(shared_data / "formats-tiny" / "cvat_dataset" / "for_images" / "export_task")
    assert [(row["key"], row["subsets"]) for row in labels.rows] == [
        ("images/img0.jpg", ["train"]),
        ("images/img1.jpg", ["train"]),
    ]
    missing = [item for row in labels.rows for item in row["annotations"] if "category" not in item]
    assert [item["issues"][0]["code"] for item in missing] == ["category-missing", "category-missing"]


@pytest.mark.realdata
def test_the_real_video(shared_data: Path) -> None:
    labels = read(shared_data / "formats-tiny" / "cvat_dataset" / "for_video")
    assert not labels.issues
    assert [category.name for category in labels.categories] == ["klhg", "z U k", "II"]
    found = {row["key"]: row for row in labels.rows}
    assert sorted(found) == [f"images/frame_0000{frame}.png" for frame in (10, 13, 16)]
    last = found["images/frame_000016.png"]
    assert last["provenance"] == {"video": "t.mp4", "frame": 16}
    assert (last["width_px"], last["height_px"]) == (25, 20)
    assert all(item["track"]["outside"] for item in last["annotations"])
    points = found["images/frame_000010.png"]["annotations"][1]
    assert points["points"] == [21.95, 8.0, 2.55, 15.09, 2.23, 3.16]
    assert points["attributes"] == {"hgl": "hgkf", "occluded": False}
    assert points["track"] == {"id": "1"}


@pytest.mark.realdata
def test_real_labels_survive_a_round_trip(shared_data: Path, tmp_path: Path) -> None:
    labels = read(shared_data / "formats-tiny" / "cvat_dataset" / "for_images" / "export_project")
    export = MemoryExport(labels.rows, labels.categories, pictures={})
    report = write_labels(export, tmp_path / "out", "cvat")
    assert report.is_lossless
    back = read(tmp_path / "out")
    assert [row["annotations"] for row in back.rows] == [row["annotations"] for row in labels.rows]
    assert back.categories == labels.categories
