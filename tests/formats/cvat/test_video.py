"""Writing CVAT for video, and reading it back."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from dsetkit.errors import LossError, UsageError
from dsetkit.formats.base import Options
from dsetkit.formats.cvat.format import Cvat
from dsetkit.formats.loss import LossReport
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, check_labels, expected_rows, normal
from dsetkit.formats.writing import check_losses, write_labels
from dsetkit.geometry import rle
from dsetkit.geometry.shape import enclosure
from dsetkit.spec.base import canonical_json
from dsetkit.spec.category import AttributeDefinition, Category

Row = dict[str, Any]
CAR = Category(name="car", index=0)


class TestCvatVideo(FormatContract):
    format: ClassVar[Cvat] = Cvat()
    write_options: ClassVar[Options] = {"layout": "video"}

    def test_pictures_are_named_by_a_template_where_names_are_free(self, tmp_path: Path) -> None:
        """They are free in the other layout alone: a video's frames are called by their number."""
        folder = self.written(tmp_path / "out")
        assert sorted(path.name for path in folder.rglob("*.jpg")) == [f"frame_00000{n}.jpg" for n in range(3)]


def frame(number: int | None, *annotations: Row, video: str | None = "t.mp4", key: str = "", **fields: Any) -> Row:
    row: Row = {"key": key or f"s/{number:04d}.png", "width_px": 20, "height_px": 10, "annotations": annotations}
    said = {"frame": number, "video": video}
    row["provenance"] = {name: value for name, value in said.items() if value is not None}
    row["labelled"] = "yes"
    return {name: value for name, value in {**row, **fields}.items() if value not in ((), {}, None)}


def box(x: float, of: str | None = "7", number: str = "0", **fields: Any) -> Row:
    said = {} if of is None else {"track": {"id": of, **fields.pop("track", {})}}
    return {"id": number, "kind": "box", "category": "car", "bbox_xywh_px": (x, 1.0, 4.0, 4.0), **said, **fields}


def round_trip(
    folder: Path, rows: list[Row], *categories: Category, layout: str = "auto"
) -> tuple[LossReport, list[Row]]:
    export = MemoryExport(rows, categories or [CAR])
    options = {"layout": layout}
    report = write_labels(export, folder, "cvat", options=options)
    assert report == check_losses(export, "cvat", options=options)
    labels = read_labels(folder, "cvat")
    assert [issue.describe() for issue in labels.issues] == []
    back = [normal(row) for row in labels.rows]
    assert back == expected_rows(Cvat(), export, options)
    return report, back


def tracks_of(folder: Path, name: str = "annotations.xml") -> list[Any]:
    return list(etree.parse(folder / name).iterfind("track"))


def said(shapes: Any, *names: str) -> list[tuple[str | None, ...]]:
    return [tuple(shape.get(name) for name in names) for shape in shapes]


# ------------------------------------------------------------------ what is written


def test_the_xml_of_a_video(tmp_path: Path) -> None:
    categories = [
        Category(
            name="car",
            index=0,
            color="#fa3253",
            attributes=(
                AttributeDefinition(name="parked", type="checkbox", mutable=True),
                AttributeDefinition(name="plate", type="text"),
            ),
        )
    ]
    first = box(1.0, origin="human", instance_group="3", attributes={"parked": True, "plate": "X", "occluded": False})
    second = box(2.5, attributes={"parked": False, "plate": "X", "occluded": True}, extras={"cvat": {"z_order": 2}})
    second |= {"origin": "human", "instance_group": "3"}
    second["track"] = {"id": "7", "keyframe": False, "interpolated": True}
    rows = [frame(10, first), frame(13, second, box(0.0, None, "1")), frame(16), frame(19, labelled="no")]
    report, back = round_trip(tmp_path / "out", rows, *categories)
    assert report.describe() == (
        "cvat: 4 samples, 3 annotations, with losses:\n"
        "- cvat has no annotation without a track in a video; each becomes a track of one frame (1, e.g. "
        "s/0013.png#1) [track-made]"
    )
    assert [row["annotations"] for row in back[:2]] == [normal(row)["annotations"] for row in rows[:2]]
    assert [(row["key"], row.get("labelled", "no"), row["provenance"]["frame"]) for row in back] == [
        ("images/frame_000010.png", "yes", 10),
        ("images/frame_000013.png", "yes", 13),
        ("images/frame_000016.png", "yes", 16),
        ("images/frame_000019.png", "no", 19),
    ]
    text = (tmp_path / "out/annotations.xml").read_text()
    assert text.startswith(
        """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>1</id>
      <name/>
      <size>4</size>
      <mode>interpolation</mode>
      <overlap>0</overlap>
      <start_frame>10</start_frame>
      <stop_frame>19</stop_frame>
      <frame_filter>step=3</frame_filter>
      <labelled_frames>16</labelled_frames>
      <labels>
"""
    )
    assert text.endswith(
        """
      <original_size>
        <width>20</width>
        <height>10</height>
      </original_size>
    </task>
    <source>t.mp4</source>
  </meta>
  <track id="7" label="car" source="manual" group_id="3">
    <box frame="10" keyframe="1" outside="0" occluded="0" xtl="1" ytl="1" xbr="5" ybr="5" z_order="0">
      <attribute name="parked">true</attribute>
      <attribute name="plate">X</attribute>
    </box>
    <box frame="13" keyframe="0" outside="0" occluded="1" xtl="2.5" ytl="1" xbr="6.5" ybr="5" z_order="2">
      <attribute name="parked">false</attribute>
      <attribute name="plate">X</attribute>
    </box>
    <box frame="16" keyframe="1" outside="1" occluded="1" xtl="2.5" ytl="1" xbr="6.5" ybr="5" z_order="2" """
        """unstated="shape">
      <attribute name="parked">false</attribute>
      <attribute name="plate">X</attribute>
    </box>
  </track>
  <track id="8" label="car" unstated="track">
    <box frame="13" keyframe="1" outside="0" occluded="0" xtl="0" ytl="1" xbr="4" ybr="5" z_order="0" """
        """unstated="occluded"/>
    <box frame="16" keyframe="1" outside="1" occluded="0" xtl="0" ytl="1" xbr="4" ybr="5" z_order="0" """
        """unstated="shape"/>
  </track>
</annotations>
"""
    )


def test_a_gap_in_a_track_is_said_by_an_outside_shape_and_the_next_is_a_keyframe(tmp_path: Path) -> None:
    again = box(9.0, track={"keyframe": False, "interpolated": True})
    rows = [frame(0, box(1.0)), frame(1), frame(2), frame(3, again), frame(4, box(2.0))]
    report, back = round_trip(tmp_path / "out", rows)
    (track,) = tracks_of(tmp_path / "out")
    assert said(track, "frame", "keyframe", "outside", "unstated") == [
        ("0", "1", "0", "occluded"),
        ("1", "1", "1", "shape"),
        ("3", "1", "0", "occluded"),
        ("4", "1", "0", "occluded"),  # the last frame: nothing comes behind it
    ]
    assert [row["provenance"]["frame"] for row in back if row.get("annotations")] == [0, 3, 4]
    assert [(loss.code, loss.severity) for loss in report.losses] == [("track-keyframe", "info")]


def test_a_track_that_is_said_to_be_outside_is_not_ended_twice(tmp_path: Path) -> None:
    rows = [frame(0, box(1.0)), frame(1, box(1.0, track={"outside": True})), frame(2), frame(3)]
    report, back = round_trip(tmp_path / "out", rows)
    (track,) = tracks_of(tmp_path / "out")
    assert said(track, "frame", "outside", "unstated") == [("0", "0", "occluded"), ("1", "1", "occluded")]
    assert back[1]["annotations"][0]["track"] == {"id": "7", "outside": True}
    assert report.losses == ()


def test_frames_that_are_far_apart_are_not_filled_in_without_pictures(tmp_path: Path) -> None:
    rows = [frame(0, box(1.0)), frame(2, box(2.0)), frame(5, box(3.0))]
    round_trip(tmp_path / "out", rows)
    (track,) = tracks_of(tmp_path / "out")
    assert said(track, "frame", "outside") == [("0", "0"), ("1", "1"), ("2", "0"), ("3", "1"), ("5", "0")]
    for path in (tmp_path / "out/images").iterdir():
        path.unlink()
    assert [row["provenance"]["frame"] for row in read_labels(tmp_path / "out", "cvat").rows] == [0, 2, 5]


def test_attributes_that_are_not_said_again_do_not_hold(tmp_path: Path) -> None:
    rows = [frame(0, box(1.0, attributes={"a": "x", "occluded": True})), frame(1, box(1.0)), frame(2, box(1.0))]
    report, back = round_trip(tmp_path / "out", rows)
    assert [row["annotations"][0].get("attributes") for row in back] == [{"a": "x", "occluded": True}, None, None]
    assert tracks_of(tmp_path / "out")[0].get("unstated") == "held"
    assert report.losses == ()


def test_what_changes_along_a_track_is_mutable(tmp_path: Path) -> None:
    category = Category(
        name="car",
        index=0,
        attributes=tuple(AttributeDefinition(name=name, type="number") for name in ("seats", "speed")),
    )
    rows = [frame(at, box(1.0, attributes={"seats": 4, "speed": at, "lane": str(at)})) for at in range(3)]
    report, _ = round_trip(tmp_path / "out", rows, category)
    found = etree.parse(tmp_path / "out/annotations.xml").iterfind(".//labels/label/attributes/attribute")
    assert [(item.findtext("name"), item.findtext("mutable")) for item in found] == [
        ("seats", "False"),
        ("speed", "True"),
        ("lane", "True"),
    ]
    assert [(loss.code, loss.severity) for loss in report.losses] == [("attribute-definition-changed", "info")]


def test_one_track_of_two_labels_kinds_or_sources_is_several_of_one_number(tmp_path: Path) -> None:
    person = Category(name="person", index=1)
    ring = ((1.0, 1.0, 5.0, 1.0, 3.0, 4.0),)
    polygon = {"id": "0", "kind": "polygon", "category": "car", "polygons": (ring,), "track": {"id": "7"}}
    rows = [
        frame(0, box(1.0, origin="human")),
        frame(1, box(2.0, category="person")),
        frame(2, box(3.0, origin="model"), box(4.0, number="1", origin="model")),
        frame(3, polygon),
    ]
    report, back = round_trip(tmp_path / "out", rows, CAR, person)
    made = tracks_of(tmp_path / "out")
    assert [(one.get("id"), one.get("label"), one.get("source"), one[0].get("frame")) for one in made] == [
        ("7", "car", "manual", "0"),
        ("7", "person", None, "1"),
        ("7", "car", "auto", "2"),
        ("7", "car", "auto", "2"),
        ("7", "car", None, "3"),
    ]
    assert {one["track"]["id"] for row in back for one in row["annotations"]} == {"7"}
    assert [(loss.code, loss.count, loss.severity) for loss in report.losses] == [("track-split", 5, "info")]


def test_masks_are_tracks_of_one_frame_as_cvat_imports_no_other(tmp_path: Path) -> None:
    pixels = np.zeros((10, 20), np.bool_)
    pixels[2:5, 3:9] = True
    pixels[3, 4] = False
    rows = []
    for at in range(3):
        mask = rle.encode(np.roll(pixels, at, axis=1))
        one = {"id": "0", "kind": "mask", "category": "car", "mask": mask, "track": {"id": "7"}}
        rows.append(frame(at, {**one, "bbox_xywh_px": enclosure(one)}))
    _, back = round_trip(tmp_path / "out", rows)
    assert [row["annotations"] for row in back] == [normal(row)["annotations"] for row in rows]
    assert [len([shape for shape in one if shape.get("outside") == "0"]) for one in tracks_of(tmp_path / "out")] == [
        1,
        1,
        1,
    ]


def test_skeletons_are_outside_by_their_elements(tmp_path: Path) -> None:
    person = Category(name="person", index=0, keypoint_names=("head", "hip"), skeleton=((0, 1),))

    def pose(visibility: int, **track: Any) -> Row:
        points = (
            {"name": "head", "x": 2.0, "y": 3.0, "visibility": visibility},
            {"name": "hip", "x": 4.0, "y": 6.0, "visibility": min(visibility, 1)},
        )
        return {"id": "0", "kind": "keypoints", "category": "person", "keypoints": points, "track": {"id": "1"} | track}

    rows = [frame(0, pose(2)), frame(1, pose(0)), frame(2, pose(2, outside=True)), frame(3)]
    report, back = round_trip(tmp_path / "out", rows, person)
    (track,) = tracks_of(tmp_path / "out")
    assert said(track, "frame", "keyframe", "outside") == [("0", "1", None), ("1", "1", "0"), ("2", "1", "1")]
    assert said(track[0], "label", "keyframe", "outside", "occluded") == [
        ("head", "1", "0", "0"),
        ("hip", "1", "0", "1"),
    ]
    assert said(track[2], "outside") == [("1",), ("1",)]
    assert [row["annotations"][0]["track"] for row in back[:3]] == [
        {"id": "1"},
        {"id": "1"},
        {"id": "1", "outside": True},
    ]
    assert [(loss.code, loss.severity) for loss in report.losses] == [("keypoint-visibility", "info")]


def test_what_cvats_own_importer_asks_for_is_there(tmp_path: Path) -> None:
    """``load_anno`` of CVAT indexes these attributes; it passes over shapes that are no keyframe, but not over all."""
    tween = {"keyframe": False, "interpolated": True}
    shapes = [
        {"kind": "box", "bbox_xywh_px": (1.0, 2.0, 3.0, 4.0)},
        {"kind": "ellipse", "ellipse": {"cx": 5.0, "cy": 5.0, "rx": 2.0, "ry": 1.0}},
        {"kind": "keypoints", "keypoints": ({"name": "nose", "x": 1.0, "y": 2.0},)},
        {"kind": "mask", "mask": rle.encode(np.eye(10, 20))},
        {"kind": "points", "points": (1.0, 2.0, 3.0, 4.0)},
    ]
    made = [{"category": "car", **shape, "id": str(at)} for at, shape in enumerate(shapes)]
    made = [{**shape, "track": {"id": str(at), **tween}} for at, shape in enumerate(made)]
    round_trip(tmp_path / "out", [frame(0, *made), frame(1, *made)])
    for track in tracks_of(tmp_path / "out"):
        assert {"id", "label"} <= set(track.attrib)
        assert int(track.get("id")) >= 0
        assert track[0].get("keyframe") == "1"
        for shape in track:
            assert {"frame", "keyframe"} <= set(shape.attrib)
            assert shape.tag == "skeleton" or {"outside", "occluded"} <= set(shape.attrib)
            assert not {"label", "source", "group_id"} & set(shape.attrib)
            for item in shape.iterchildren("points"):
                assert {"label", "keyframe", "outside", "occluded", "points"} <= set(item.attrib)


# ------------------------------------------------------------------ which layout


def test_the_layout_is_chosen_by_what_there_is(tmp_path: Path) -> None:
    tracked, untracked = frame(0, box(1.0)), frame(0, box(1.0, None))
    no_frame = {**tracked, "provenance": {"video": "t.mp4"}}
    for at, (rows, is_video) in enumerate(
        (
            ([tracked], True),
            ([untracked], False),
            ([tracked, frame(1, box(1.0, None))], True),
            ([no_frame], False),
            ([tracked, {**tracked, "key": "s/other.png"}], False),
            ([tracked, {**tracked, "key": "s/other.png", "provenance": {"video": "u.mp4", "frame": 0}}], True),
            ([tracked, {**tracked, "key": "s/other.png", "provenance": {"frame": -1}}], False),
        )
    ):
        write_labels(MemoryExport(rows, [CAR]), tmp_path / str(at), "cvat")
        texts = [path.read_text() for path in (tmp_path / str(at)).rglob("*.xml")]
        assert all(("<track" in text) == is_video for text in texts), at
    report, back = round_trip(tmp_path / "forced", [tracked], layout="images")
    assert [loss.describe() for loss in report.refusals] == [
        "cvat has no place for the track of an annotation; not written (1, e.g. s/0000.png#0) [field-dropped]"
    ]
    assert "provenance" not in back[0]
    with pytest.raises(UsageError, match="the option layout is 'movie'"):
        check_losses(MemoryExport([tracked], [CAR]), "cvat", options={"layout": "movie"})


def test_samples_without_a_frame_are_numbered(tmp_path: Path) -> None:
    rows = [
        frame(3, box(1.0), key="s/a.png"),
        frame(None, box(2.0), key="s/b.png"),
        frame(3, box(3.0), key="s/c.png"),
        frame(None, key="s/d.png", video=" v\x01 "),
    ]
    report, back = round_trip(tmp_path / "out", rows, layout="video")
    assert {row["key"]: row["provenance"] for row in back} == {
        "t/images/frame_000003.png": {"frame": 3, "video": "t.mp4"},
        "t/images/frame_000004.png": {"frame": 4, "video": "t.mp4"},
        "t/images/frame_000005.png": {"frame": 5, "video": "t.mp4"},
        "v_/images/frame_000000.png": {"frame": 0, "video": "v_"},
    }
    assert [loss.describe() for loss in report.losses] == [
        "of samples that name the same frame of a video the first keeps it; the others are numbered anew (1, e.g. "
        "s/c.png) [frame-renumbered]",
        "samples without the number of their frame are numbered in key order (2, e.g. s/b.png, s/d.png) [frame-made]",
        "a video is called by plain text of at most 1,000 characters, without space around it (1, e.g. s/d.png) "
        "[video-renamed]",
    ]


def test_several_videos_splits_and_sizes_are_folders(tmp_path: Path) -> None:
    rows = [
        frame(0, box(1.0), key="s/1.png", split="train"),
        frame(1, box(1.0), key="s/2.png", split="val"),
        frame(0, box(1.0, "x"), key="s/3.png", video="u.mp4", split="train"),
        frame(0, box(1.0), key="s/4.png", video=None, width_px=30),
        frame(1, box(1.0), key="s/5.png", video=None, width_px=30),
    ]
    report, back = round_trip(tmp_path / "out", rows)
    assert [(row["key"], row.get("subsets"), row["width_px"]) for row in back] == [
        ("default/video/images/frame_000000.png", None, 30),
        ("default/video/images/frame_000001.png", None, 30),
        ("train/t/images/frame_000000.png", ("train",), 20),
        ("train/u/images/frame_000000.png", ("train",), 20),
        ("val/t/images/frame_000001.png", ("val",), 20),
    ]
    assert [loss.code for loss in report.losses] == ["track-renumbered"]
    assert back[3]["annotations"][0]["track"] == {"id": "8"}


def test_labels_of_the_whole_picture_are_lost_and_told_of(tmp_path: Path) -> None:
    tag = {"id": "1", "kind": "image_label", "category": "car"}
    export = MemoryExport([frame(0, box(1.0), tag), frame(1, tag)], [CAR])
    report, back = round_trip(tmp_path / "out", list(export.rows()))
    assert [loss.describe() for loss in report.losses] == [
        "a video of cvat has no labels of whole pictures; such annotations are left out (2, e.g. s/0000.png#1, "
        "s/0001.png#1) [kind-dropped]",
        "cvat can say nothing of what is on a picture; it counts as not labelled (1, e.g. s/0001.png) "
        "[labelled-withdrawn]",
    ]
    assert back[1].get("labelled", "no") == "no"
    with pytest.raises(LossError):
        write_labels(export, tmp_path / "strict", "cvat", strict=True)


def test_an_empty_set_is_a_video_without_frames(tmp_path: Path) -> None:
    write_labels(MemoryExport([], [CAR]), tmp_path / "out", "cvat", options={"layout": "video"})
    labels = read_labels(tmp_path / "out", "cvat")
    assert len(labels) == 0
    assert [category.name for category in labels.categories] == ["car"]


# ------------------------------------------------------------------ the reader's part


def test_marks_that_nobody_knows_and_bad_lists_of_frames_do_no_harm(tmp_path: Path) -> None:
    numbers = f"1 x -1 2.5 {'9' * 400} 1"
    (tmp_path / "annotations.xml").write_text(
        "<annotations><meta><task><mode>interpolation</mode><start_frame>0</start_frame><stop_frame>9</stop_frame>"
        f"<labelled_frames>{numbers}</labelled_frames></task></meta>"
        '<track id="0" label="car" unstated="what"><box frame="0" outside="0" occluded="0" keyframe="1" xtl="0" ytl="0"'
        ' xbr="1" ybr="1" unstated="ever"/><box frame="1" outside="1" occluded="0" keyframe="1" xtl="0" ytl="0" xbr="1"'
        ' ybr="1"/></track></annotations>'
    )
    labels = read_labels(tmp_path, "cvat")
    check_labels(labels)
    assert [(row["key"], len(row["annotations"])) for row in labels.rows] == [
        ("frame_000000.png", 1),
        ("frame_000001.png", 1),
    ]
    assert labels.rows[0]["annotations"][0]["attributes"] == {"occluded": False}


# ------------------------------------------------------------------ any video at all

_CATEGORIES = (
    Category(name="car", index=0, attributes=(AttributeDefinition(name="seats", type="number"),)),
    Category(name="a person", index=1, keypoint_names=("head", "hip")),
)
_QUARTERS = st.integers(0, 32).map(lambda number: number / 4)


@st.composite
def _shape(draw: Any, kind: str) -> Row:
    x, y, w, h = draw(_QUARTERS), draw(_QUARTERS) / 2, draw(_QUARTERS) + 1, draw(_QUARTERS) / 4 + 1
    if kind == "box":
        return {"bbox_xywh_px": (x, y, w, h)}
    if kind in ("rotated_box", "ellipse"):
        sides = ("w", "h") if kind == "rotated_box" else ("rx", "ry")
        angle = draw(st.sampled_from([0.0, 30.0, 350.0]))
        return {kind: {"cx": x + 2, "cy": y + 2, sides[0]: w, sides[1]: h, "angle": angle}}
    if kind == "polygon":
        return {"polygons": (((x, y, x + w, y, x, y + h),),)}
    if kind == "mask":
        pixels = np.zeros((10, 20), np.bool_)
        pixels[int(y) : int(y + h), int(x) : int(x + w)] = True
        return {"mask": rle.encode(pixels)}
    if kind == "keypoints":
        seen = draw(st.lists(st.integers(0, 2), min_size=2, max_size=2))
        places = ((x, y), (x + w, y + h))
        points = zip(("head", "hip"), places, seen, strict=True)
        return {"keypoints": tuple({"name": n, "x": a, "y": b, "visibility": v} for n, (a, b), v in points)}
    return {kind: (x, y, x + w, y + h)}


@st.composite
def videos(draw: Any) -> MemoryExport:
    """Frames of one or two videos, with tracks that come and go, change their kind, and contradict themselves."""
    rows: list[Row] = []
    for video in draw(st.sampled_from([("t.mp4",), (None,), ("t.mp4", "u.mp4")])):
        step = draw(st.sampled_from([1, 2, 5]))
        numbers = draw(st.lists(st.integers(0, 6), min_size=1, max_size=5, unique=True))
        for number in numbers:
            annotations = []
            tracks = draw(st.lists(st.sampled_from([None, None, "0", "3", "x y"]), max_size=4))
            for index, track in enumerate(tracks):
                kind = draw(
                    st.sampled_from(
                        ["box", "box", "rotated_box", "polygon", "mask", "polyline", "points", "ellipse", "keypoints"]
                    )
                )
                category = "a person" if kind == "keypoints" else draw(st.sampled_from(["car", "a person"]))
                one: Row = {"id": str(index), "kind": kind, "category": category, **draw(_shape(kind))}
                if (around := enclosure(one)) is not None:
                    one.setdefault("bbox_xywh_px", around)
                if track is not None:
                    one["track"] = {"id": track}
                    for name in ("keyframe", "outside", "interpolated"):
                        if not draw(st.integers(0, 3)):
                            one["track"][name] = name != "keyframe"
                given_attributes = {
                    "occluded": st.booleans(),
                    "seats": st.integers(2, 4),
                    "note": st.sampled_from(["", "a <b>", " x"]),
                }
                attributes = {name: draw(value) for name, value in given_attributes.items() if draw(st.booleans())}
                one |= {"attributes": attributes} if attributes else {}
                one |= {"extras": {"cvat": {"z_order": 3}}} if draw(st.booleans()) else {}
                one |= {"origin": draw(st.sampled_from(["human", "model"]))} if draw(st.booleans()) else {}
                one |= {"instance_group": draw(st.sampled_from(["1", "g"]))} if not draw(st.integers(0, 4)) else {}
                annotations.append(one)
            labelled = "yes" if annotations else draw(st.sampled_from(["yes", "no"]))
            at = number * step
            rows.append(frame(at, *annotations, video=video, key=f"{video}/{9 - number}.png", labelled=labelled))
    return MemoryExport(rows, _CATEGORIES)


@settings(deadline=None, suppress_health_check=list(HealthCheck))
@given(videos(), st.booleans())
def test_any_video_comes_back_up_to_the_loss_report(export: MemoryExport, has_pictures: bool) -> None:
    options = {"layout": "video"}
    with tempfile.TemporaryDirectory() as folder:
        report = write_labels(export, Path(folder) / "out", "cvat", options=options)
        if not has_pictures:
            for path in Path(folder).rglob("*.png"):
                path.unlink()
        labels = read_labels(Path(folder) / "out", "cvat")
    check_labels(labels)
    said_to_be = expected_rows(Cvat(), export, options)
    if not has_pictures:  # then frames that nobody labelled are not known of
        found = [normal(row)["annotations"] for row in labels.rows if row.get("annotations")]
        assert found == [row["annotations"] for row in said_to_be if row.get("annotations")]
        return
    assert [normal(row) for row in labels.rows] == said_to_be
    assert {loss.code for loss in report.refusals} <= {"shape-broken", "keypoints-box"}
    if {loss.code for loss in report.losses} <= {"track-made", "id-renumbered"}:
        before = sorted((row["provenance"]["frame"], _plain(row)) for row in export.rows())
        assert before == sorted((row["provenance"]["frame"], _plain(row)) for row in labels.rows)


def _plain(row: Row) -> list[str]:
    """What a sample's annotations say, whatever their order and their ids."""
    annotations = normal(row).get("annotations", ())
    return sorted(canonical_json({name: one[name] for name in one if name != "id"}) for one in annotations)


# ------------------------------------------------------------------ real data


@pytest.mark.realdata
def test_the_real_video_survives_a_round_trip(shared_data: Path, tmp_path: Path) -> None:
    labels = read_labels(shared_data / "formats-tiny" / "cvat_dataset" / "for_video", "cvat")
    export = MemoryExport(labels.rows, labels.categories)
    report = write_labels(export, tmp_path / "out", "cvat")
    assert report.is_lossless, report.describe()
    back = read_labels(tmp_path / "out", "cvat")
    assert [row["annotations"] for row in back.rows] == [row["annotations"] for row in labels.rows]
    assert [row["provenance"] for row in back.rows] == [row["provenance"] for row in labels.rows]
    assert [row["key"] for row in back.rows] == [row["key"] for row in labels.rows]
    assert [category.name for category in back.categories] == [category.name for category in labels.categories]
