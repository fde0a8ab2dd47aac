"""Oriented boxes, keypoints and which task a dataset is of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ruamel.yaml import YAML

from dsetkit.errors import UsageError
from dsetkit.formats import registry
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, expected_rows, normal
from dsetkit.formats.testing_exports import png
from dsetkit.formats.writing import check_losses, write_labels
from dsetkit.formats.yolo.format import Yolo
from dsetkit.spec.category import Category
from dsetkit.storage.scan import scan

Row = dict[str, Any]
NAMES = "names: [cat, dog]\n"
WIDTH, HEIGHT = 40, 20


class TestObb(FormatContract):
    format = Yolo()
    read_options: ClassVar[Mapping[str, Any]] = {"size": [32, 24]}
    write_options: ClassVar[Mapping[str, Any]] = {"task": "obb"}
    examples = 15


class TestPose(FormatContract):
    format = Yolo()
    read_options: ClassVar[Mapping[str, Any]] = {"size": [32, 24]}
    write_options: ClassVar[Mapping[str, Any]] = {"task": "pose"}
    examples = 15


class TestSegment(FormatContract):
    format = Yolo()
    read_options: ClassVar[Mapping[str, Any]] = {"size": [32, 24]}
    write_options: ClassVar[Mapping[str, Any]] = {"task": "segment"}
    examples = 15


class TestDetect(FormatContract):
    format = Yolo()
    read_options: ClassVar[Mapping[str, Any]] = {"size": [32, 24]}
    write_options: ClassVar[Mapping[str, Any]] = {"task": "detect"}
    examples = 15


def read(folder: Path, lines: str | Mapping[str, str], yaml: str = NAMES, **options: Any) -> LabelSet:
    texts = {"a": lines} if isinstance(lines, str) else lines
    files: dict[str, bytes] = {"data.yaml": yaml.encode()}
    for name, text in texts.items():
        files |= {f"images/{name}.png": png(WIDTH, HEIGHT), f"labels/{name}.txt": text.encode()}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return read_labels(folder, "yolo", options=options or None)


def found(labels: LabelSet) -> list[Row]:
    return list(labels.rows[0]["annotations"])


def corners(cx: float, cy: float, w: float, h: float, degrees: float) -> list[tuple[float, float]]:
    """Worked out here on its own: turned clockwise on the screen, from the box's own top left on."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    around = [(-w / 2, -h / 2), (w / 2, -h / 2), (w / 2, h / 2), (-w / 2, h / 2)]
    return [(cx + cos * x - sin * y, cy + sin * x + cos * y) for x, y in around]


def line_of(points: list[tuple[float, float]], class_id: int = 0, digits: int = 6) -> str:
    return f"{class_id} " + " ".join(f"{x / WIDTH:.{digits}f} {y / HEIGHT:.{digits}f}" for x, y in points) + "\n"


SKEWED = [(1.0, 1.0), (9.0, 2.0), (12.0, 9.0), (2.0, 8.0)]


class TestReadObb:
    @pytest.mark.parametrize(
        ("cx", "cy", "w", "h", "degrees"),
        [(20.0, 10.0, 12.0, 4.0, 30.0), (20.0, 10.0, 4.0, 12.0, -60.0), (11.5, 9.25, 7.0, 7.0, 45.0)],
    )
    def test_four_corners_are_a_turned_box(
        self, tmp_path: Path, cx: float, cy: float, w: float, h: float, degrees: float
    ) -> None:
        labels = read(tmp_path, line_of(corners(cx, cy, w, h, degrees), 1))
        (one,) = found(labels)
        assert (one["kind"], one["category"], one.get("issues")) == ("rotated_box", "dog", None)
        expected = {"cx": cx, "cy": cy, "w": w, "h": h, "angle": degrees}
        assert one["rotated_box"] == pytest.approx(expected, abs=1e-3)
        xs, ys = zip(*corners(cx, cy, w, h, degrees), strict=True)
        assert one["bbox_xywh_px"] == pytest.approx([min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)], abs=1e-3)
        assert labels.issues == ()

    def test_the_other_way_round_is_the_same_box(self, tmp_path: Path) -> None:
        points = corners(20.0, 10.0, 12.0, 4.0, 30.0)
        other = [points[0], points[3], points[2], points[1]]
        (one,) = found(read(tmp_path, line_of(other)))
        assert one["rotated_box"] == pytest.approx({"cx": 20, "cy": 10, "w": 12, "h": 4, "angle": 30}, abs=1e-3)

    def test_a_ninth_number_is_the_confidence(self, tmp_path: Path) -> None:
        (one,) = found(read(tmp_path, line_of(corners(20, 10, 12, 4, 30)).rstrip() + " 0.75"))
        assert (one["kind"], one["score"]) == ("rotated_box", 0.75)

    def test_corners_of_no_rectangle_are_a_polygon_with_a_finding(self, tmp_path: Path) -> None:
        lines = line_of(corners(20, 10, 12, 4, 30)) * 2 + line_of(SKEWED)
        one = found(read(tmp_path, lines))[2]
        assert (one["kind"], one["polygons"][0][0]) == ("polygon", pytest.approx([v for p in SKEWED for v in p]))
        assert one["issues"] == [
            {
                "code": "corners-no-rectangle",
                "message": "line 3: its four corners are no rectangle's; it is a polygon",
            }
        ]

    def test_upright_rectangles_alone_stay_polygons(self, tmp_path: Path) -> None:
        labels = read(tmp_path, line_of(corners(20, 10, 12, 4, 0)) + line_of(corners(9, 9, 4, 4, 0)))
        assert [one["kind"] for one in found(labels)] == ["polygon", "polygon"]
        labels = read(tmp_path, line_of(corners(20, 10, 12, 4, 0)), NAMES + "task: obb\n")
        assert [one["kind"] for one in found(labels)] == ["rotated_box"]

    def test_outlines_that_happen_to_have_four_points_stay_polygons(self, tmp_path: Path) -> None:
        triangle = "0 0.1 0.1 0.5 0.1 0.5 0.6\n"
        labels = read(tmp_path, {"a": line_of(corners(20, 10, 12, 4, 30)), "b": triangle})
        assert [row["annotations"][0]["kind"] for row in labels.rows] == ["polygon", "polygon"]

    def test_what_the_user_says_counts(self, tmp_path: Path) -> None:
        lines = line_of(corners(20, 10, 12, 4, 30))
        assert found(read(tmp_path, lines, task="segment"))[0]["kind"] == "polygon"
        labels = read(tmp_path, lines + "0 0.5 0.5 0.5 0.5\n", task="obb")
        assert [one["kind"] for one in found(labels)] == ["rotated_box"]
        assert [issue.describe() for issue in labels.issues] == [
            "labels/a.txt: line 2: 4 numbers behind the class, where a line of obb has 8. "
            "Correct or delete the line; it was left out. [line-malformed]"
        ]
        assert labels.rows[0]["labelled"] == "partial"
        labels = read(tmp_path, lines + "0 0.5 0.5 0.5 0.5\n", task="detect")
        assert [one["kind"] for one in found(labels)] == ["box"]

    def test_an_unknown_task_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"the option task is 'box'. It is one of: detect, segment, obb, pose."):
            read(tmp_path, "", task="box")


class TestReadPose:
    def test_two_numbers_a_keypoint(self, tmp_path: Path) -> None:
        yaml = NAMES + "kpt_shape: [2, 2]\n"
        (one,) = found(read(tmp_path, "0 .5 .5 .5 .5 .25 .5 0 0\n", yaml))
        assert one["keypoints"] == [
            {"name": "0", "x": 10.0, "y": 10.0, "visibility": 2},
            {"name": "1", "x": 0.0, "y": 0.0, "visibility": 0},
        ]

    def test_each_class_has_its_own_names(self, tmp_path: Path) -> None:
        yaml = NAMES + "kpt_shape: [2, 3]\nkpt_names:\n  0: [nose, tail]\n  1: [hand]\nflip_idx: [1, 0]\n"
        labels = read(tmp_path, "0 .5 .5 .5 .5 .25 .5 2 .5 .5 1\n1 .5 .5 .5 .5 .25 .5 2 0 0 0\n", yaml)
        assert [[point["name"] for point in one["keypoints"]] for one in found(labels)] == [["nose", "tail"], ["hand"]]
        assert [(one.keypoint_names, one.flip_pairs) for one in labels.categories] == [
            (("nose", "tail"), ((0, 1),)),
            (("hand",), ()),
        ]

    def test_without_kpt_shape_visibilities_tell(self, tmp_path: Path) -> None:
        lines = "0 .5 .5 .5 .5 .25 .5 2 .5 .5 1\n1 .5 .5 .5 .5 .25 .5 0 .5 .5 2\n"
        labels = read(tmp_path, lines)
        assert [one["kind"] for one in found(labels)] == ["keypoints", "keypoints"]
        assert found(labels)[0]["keypoints"][1] == {"name": "1", "x": 20.0, "y": 10.0, "visibility": 1}
        assert labels.categories[0].keypoint_names == ("0", "1")

    def test_kpt_shape_as_an_option(self, tmp_path: Path) -> None:
        (one,) = found(read(tmp_path, "0 .5 .5 .5 .5 .25 .5 .5 .5\n", kpt_shape=[2, 2]))
        assert [point["x"] for point in one["keypoints"]] == [10.0, 20.0]
        with pytest.raises(UsageError, match=r"It is .how many keypoints, 2 or 3 numbers for each"):
            read(tmp_path, "", kpt_shape=[2, 4])

    def test_pose_of_which_nobody_says_how_many(self, tmp_path: Path) -> None:
        labels = read(tmp_path, "0 .5 .5 .5 .5 .25 .5 .5 .5\n", task="pose")
        assert [issue.code for issue in labels.issues] == ["keypoints-undeclared"]
        assert found(labels)[0]["kind"] == "polygon"

    def test_a_line_of_another_length_is_named(self, tmp_path: Path) -> None:
        labels = read(tmp_path, "0 .5 .5 .5 .5 .25 .5 2\n0 .5 .5 .5 .5\n", task="pose", kpt_shape="1x3")
        assert [issue.message for issue in labels.issues] == ["4 numbers behind the class, where a line of pose has 7"]

    def test_a_visibility_that_is_none_is_a_finding(self, tmp_path: Path) -> None:
        (one,) = found(read(tmp_path, "0 .5 .5 .5 .5 .25 .5 0.75\n", NAMES + "kpt_shape: [1, 3]\n"))
        message = "line 1: the visibility of keypoint 0 is 0.75, none of 0, 1, 2; taken for 1"
        assert one["issues"] == [{"code": "keypoint-visibility", "message": message}]

    def test_an_object_of_which_no_keypoint_is_labelled_is_a_box(self, tmp_path: Path) -> None:
        (one,) = found(read(tmp_path, "0 .5 .5 .5 .5 0 0 0\n", NAMES + "kpt_shape: [1, 3]\n"))
        assert one == {"id": "0", "kind": "box", "category": "cat", "bbox_xywh_px": [10.0, 5.0, 20.0, 10.0]}

    @pytest.mark.parametrize(
        ("yaml", "code"),
        [
            ("kpt_shape: [0, 3]\n", "keypoints-unreadable"),
            ("kpt_shape: [17, 5]\n", "keypoints-unreadable"),
            ("kpt_shape: [99999999999999999999, 3]\n", "keypoints-unreadable"),
            ("kpt_shape: [1, 3]\nkpt_names: [a, b]\n", "keypoint-names-unreadable"),
            ("kpt_shape: [2, 3]\nkpt_names: {0: [a, a]}\n", "keypoint-names-unreadable"),
            ("kpt_shape: [2, 3]\nflip_idx: [0, 5]\n", "flip-unreadable"),
        ],
    )
    def test_what_yaml_says_wrong_is_an_issue(self, tmp_path: Path, yaml: str, code: str) -> None:
        labels = read(tmp_path, "0 .5 .5 .5 .5\n", NAMES + yaml)
        assert [issue.code for issue in labels.issues] == [code]


def turned(number: int, *box: float, category: str = "dog") -> Row:
    names = ("cx", "cy", "w", "h", "angle")
    return {
        "id": str(number),
        "kind": "rotated_box",
        "category": category,
        "rotated_box": dict(zip(names, box, strict=True)),
    }


def export_of(*annotations: Row, categories: list[Category] | None = None) -> MemoryExport:
    row: Row = {"key": "a.png", "width_px": WIDTH, "height_px": HEIGHT, "labelled": "yes", "split": "train"}
    given = [Category(name="cat", index=0), Category(name="dog", index=1)] if categories is None else categories
    return MemoryExport([row | {"annotations": annotations}], given)


NAMES_OF_POINTS = ("left", "right", "nose")
NAMED = [
    Category(name="cat", index=0),
    Category(name="dog", index=1, keypoint_names=NAMES_OF_POINTS, flip_pairs=((0, 1),)),
]


class TestWriteTasks:
    def test_rotated_boxes_are_written_as_corners_and_come_back(self, tmp_path: Path) -> None:
        export = export_of(turned(0, 20.0, 10.0, 12.0, 4.0, 30.0), turned(1, 8.0, 8.0, 3.0, 6.0, -100.0))
        report = write_labels(export, tmp_path / "out", "yolo", strict=True)
        assert {loss.code for loss in report.losses} == {"split-missing"}
        text = (tmp_path / "out/labels/train/a.txt").read_text().splitlines()
        numbers = [float(word) for word in text[0].split()]
        flat = [value for point in corners(20, 10, 12, 4, 30) for value in point]
        pixels = [value * (WIDTH, HEIGHT)[index % 2] for index, value in enumerate(numbers[1:])]
        assert (numbers[0], pixels) == (1, pytest.approx(flat, abs=1e-9))
        assert YAML(typ="safe").load(tmp_path / "out/data.yaml")["task"] == "obb"
        back = read_labels(tmp_path / "out").rows[0]["annotations"]
        for one, box in zip(back, ((20, 10, 12, 4, 30), (8, 8, 3, 6, -100)), strict=True):
            assert list(one["rotated_box"].values()) == pytest.approx(box, abs=1e-9)

    def test_what_becomes_a_rotated_box(self, tmp_path: Path) -> None:
        diamond = (20.0, 4.0, 26.0, 10.0, 20.0, 16.0, 14.0, 10.0)
        annotations = [
            {"id": "0", "kind": "box", "category": "cat", "bbox_xywh_px": (1.0, 2.0, 6.0, 4.0)},
            {"id": "1", "kind": "ellipse", "category": "cat",
             "ellipse": {"cx": 20.0, "cy": 10.0, "rx": 5.0, "ry": 2.0, "angle": 20.0}},
            {"id": "2", "kind": "polygon", "category": "cat", "polygons": ((diamond,),)},
            {"id": "3", "kind": "polygon", "category": "cat", "polygons": (((*diamond, 17.0, 7.0),),)},
            {"id": "4", "kind": "polygon", "category": "cat",
             "polygons": ((tuple(value for point in SKEWED for value in point),),)},
            {"id": "5", "kind": "polyline", "category": "cat", "polyline": (1.0, 1.0, 2.0, 2.0)},
        ]  # fmt: skip
        export = export_of(*annotations)
        report = write_labels(export, tmp_path / "out", "yolo", options={"task": "obb"})
        assert sum(loss.count for loss in report.refusals if loss.code == "kind-changed") == 4
        assert sum(loss.count for loss in report.refusals if loss.code == "kind-dropped") == 1
        back = read_labels(tmp_path / "out").rows[0]["annotations"]
        assert [one["kind"] for one in back] == ["rotated_box"] * 4 + ["polygon"]
        boxes = [list(one["rotated_box"].values()) for one in back[:4]]
        assert boxes[0] == pytest.approx([4, 4, 6, 4, 0])
        assert boxes[1] == pytest.approx([20, 10, 10, 4, 20])
        side = 6 * math.sqrt(2)
        assert boxes[2] == pytest.approx([20, 10, side, side, 45])
        assert boxes[3] == pytest.approx([20, 10, side, side, 45])

    def test_keypoints_come_back_by_name(self, tmp_path: Path) -> None:
        points = ({"name": "nose", "x": 10.0, "y": 5.0}, {"name": "left", "x": 12.5, "y": 5.0, "visibility": 1})
        pose = {"id": "0", "kind": "keypoints", "category": "dog", "keypoints": points,
                "bbox_xywh_px": (8.0, 4.0, 8.0, 10.0)}  # fmt: skip
        box = {"id": "1", "kind": "box", "category": "cat", "bbox_xywh_px": (1.0, 1.0, 4.0, 4.0)}
        export = export_of(pose, box, categories=NAMED)
        report = write_labels(export, tmp_path / "out", "yolo", strict=True)
        assert {loss.code for loss in report.losses} == {"split-missing"}
        document = YAML(typ="safe").load(tmp_path / "out/data.yaml")
        assert (document["task"], document["kpt_shape"], document["flip_idx"]) == ("pose", [3, 3], [1, 0, 2])
        assert document["kpt_names"] == {0: [], 1: ["left", "right", "nose"]}
        assert (tmp_path / "out/labels/train/a.txt").read_text() == (
            "1 0.3 0.45 0.2 0.5 0.3125 0.25 1 0 0 0 0.25 0.25 2\n0 0.075 0.15 0.1 0.2 0 0 0 0 0 0 0 0 0\n"
        )
        labels = read_labels(tmp_path / "out")
        assert [normal(row) for row in labels.rows] == expected_rows(Yolo(), export)
        back = labels.rows[0]["annotations"]
        assert [one["kind"] for one in back] == ["keypoints", "box"]
        assert [point["name"] for point in back[0]["keypoints"] if point["visibility"]] == ["left", "nose"]
        assert [(one.keypoint_names, one.flip_pairs) for one in labels.categories] == [
            ((), ()),
            (("left", "right", "nose"), ((0, 1),)),
        ]

    def test_a_mixture_that_ultralytics_takes_half_of_is_named(self) -> None:
        box = {"id": "0", "kind": "box", "category": "cat", "bbox_xywh_px": (1.0, 1.0, 4.0, 4.0)}
        outline = {"id": "0", "kind": "polygon", "category": "cat", "polygons": (((1.0, 1.0, 4.0, 1.0, 4.0, 4.0),),)}
        rows = [
            {"key": f"{name}.png", "width_px": WIDTH, "height_px": HEIGHT, "labelled": "yes", "annotations": [one]}
            for name, one in (("a", box), ("b", outline))
        ]
        export = MemoryExport(rows, [Category(name="cat", index=0)])
        assert "tasks-mixed" in {loss.code for loss in check_losses(export, "yolo").losses}
        report = check_losses(export, "yolo", options={"task": "segment"})
        assert [(loss.code, loss.examples) for loss in report.refusals] == [("kind-changed", ("a.png#0",))]

    def test_what_has_no_numbers_is_a_loss(self) -> None:
        nan = float("nan")
        for task in ("detect", "segment", "obb", "pose"):
            box = {"id": "0", "kind": "box", "category": "cat", "bbox_xywh_px": (nan, 1.0, 4.0, 4.0)}
            other = {**box, "bbox_xywh_px": (1.0, 1.0, 2.0, 2.0), "category": "unknown"}
            report = check_losses(export_of(box, other), "yolo", options={"task": task})
            assert {"shape-broken", "category-unknown"} <= {loss.code for loss in report.refusals}


def test_a_classification_dataset_is_an_image_folder(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for category in ("cat", "dog"):
            folder = tmp_path / split / category
            folder.mkdir(parents=True)
            (folder / "1.jpg").write_bytes(png(4, 4, len(split)))
    assert registry.detect(scan(str(tmp_path)))[0].format == "image_folder"
    labels = read_labels(tmp_path)
    assert {(row["subsets"], row["annotations"][0]["category"]) for row in labels.rows} == {
        ((split,), category) for split in ("train", "val", "test") for category in ("cat", "dog")
    }
