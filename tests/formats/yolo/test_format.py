from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats.flat_names import FlatNames
from dsetkit.formats.issues import IssueList
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.pictures import PictureIndex
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, expected_rows, normal
from dsetkit.formats.testing_exports import png
from dsetkit.formats.writing import write_labels
from dsetkit.formats.yolo.format import Yolo
from dsetkit.formats.yolo.names import Naming, clean_parts, find_place
from dsetkit.formats.yolo.text import read_lines, rows_of_lines
from dsetkit.formats.yolo.yaml_text import load_yaml
from dsetkit.spec.annotation import Annotation
from dsetkit.spec.category import Category
from dsetkit.storage.scan import scan

Row = dict[str, Any]
Files = Mapping[str, str | bytes]
BOX = "0 0.5 0.5 0.5 0.2\n"
NAMES = "names: [cat, dog]\n"


def lay(folder: Path, files: Files) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(folder: Path, files: Files, **options: Any) -> LabelSet:
    return read_labels(lay(folder, files), "yolo", options=options or None)


def one(folder: Path, lines: str, yaml: str = NAMES) -> tuple[Row, list[str]]:
    """The row of one 20×10 picture with these lines, and the issues."""
    labels = read(folder, {"data.yaml": yaml, "images/a.png": png(20, 10), "labels/a.txt": lines})
    return labels.rows[0], described(labels)


def described(labels: LabelSet) -> list[str]:
    return [issue.describe() for issue in labels.issues]


def subsets(labels: LabelSet) -> dict[str, tuple[str, ...]]:
    return {row["key"]: row.get("subsets", ()) for row in labels.rows}


class TestContract(FormatContract):
    format = Yolo()
    read_options: ClassVar[Mapping[str, Any]] = {"size": [32, 24]}
    examples = 15


class TestLines:
    def test_a_box_in_fractions_of_the_picture(self, tmp_path: Path) -> None:
        row, issues = one(tmp_path, "1 0.5 0.5 0.5 0.2\n\n  0\t0.25 .5e0 1 1")
        assert issues == []
        assert (row["key"], row["labelled"]) == ("images/a.png", "yes")
        assert row["annotations"] == [
            {"id": "0", "kind": "box", "category": "dog", "bbox_xywh_px": [5.0, 4.0, 10.0, 2.0]},
            {"id": "1", "kind": "box", "category": "cat", "bbox_xywh_px": [-5.0, 0.0, 20.0, 10.0]},
        ]

    def test_fractions_are_of_the_upright_picture(self, shared_data: Path, tmp_path: Path) -> None:
        turned = next((shared_data / "exif-orientation").rglob("*ortrait*6.jpg"))
        labels = read(
            tmp_path, {"images/a.jpg": turned.read_bytes(), "labels/a.txt": "0 0.5 0.5 1 1", "classes.txt": "cat"}
        )
        x, y, w, h = labels.rows[0]["annotations"][0]["bbox_xywh_px"]
        assert (x, y) == (0.0, 0.0)
        assert w < h

    def test_a_sixth_number_is_the_confidence(self, tmp_path: Path) -> None:
        found = one(tmp_path, "0 0.5 0.5 0.5 0.2 0.875")[0]["annotations"][0]
        assert (found["kind"], found["score"], found["bbox_xywh_px"]) == ("box", 0.875, [5.0, 4.0, 10.0, 2.0])

    def test_more_numbers_are_a_polygon(self, tmp_path: Path) -> None:
        first, second = one(tmp_path, "0 0 0 0.5 0 0.5 1\n0 0 0 0.5 0 0.5 1 0.25")[0]["annotations"]
        assert first["polygons"] == [[[0.0, 0.0, 10.0, 0.0, 10.0, 10.0]]]
        assert (first["bbox_xywh_px"], second["kind"], second["score"]) == ([0.0, 0.0, 10.0, 10.0], "polygon", 0.25)

    def test_keypoints_where_the_yaml_declares_them(self, tmp_path: Path) -> None:
        yaml = "names: {0: cat}\nkpt_shape: [2, 3]\nflip_idx: [1, 0]\nkpt_names: {0: [left, right]}\n"
        labels = read(
            tmp_path,
            {"d.yaml": yaml, "images/a.png": png(20, 10), "labels/a.txt": "0 .5 .5 .5 .2 .1 .2 2 0 0 0\n"},
        )
        found = labels.rows[0]["annotations"][0]
        assert (found["kind"], found["bbox_xywh_px"]) == ("keypoints", [5.0, 4.0, 10.0, 2.0])
        assert found["keypoints"] == [
            {"name": "left", "x": 2.0, "y": 2.0, "visibility": 2},
            {"name": "right", "x": 0.0, "y": 0.0, "visibility": 0},
        ]
        assert (labels.categories[0].keypoint_names, labels.categories[0].flip_pairs) == (("left", "right"), ((0, 1),))

    def test_a_class_without_a_name_is_named_by_its_number(self, tmp_path: Path) -> None:
        labels = read(tmp_path, {"data.yaml": NAMES, "a.png": png(20, 10), "a.txt": "7 0.5 0.5 0.5 0.2\n0 .5 .5 .5 .5"})
        first, second = labels.rows[0]["annotations"]
        assert first["issues"] == [{"code": "category-undefined", "message": "line 1: class 7 has no name"}]
        assert (first["category"], "issues" in second) == ("7", False)
        assert [(item.name, item.source_ids) for item in labels.categories] == [("cat", ()), ("dog", ()), ("7", ("7",))]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("0 0.5 0.5 0.5", "4 of the at least 5 numbers that an object has"),
            ("cat 0.5 0.5 0.5 0.5", "'cat' is not a usable number"),
            ("0 0.5 nan 0.5 0.5", "'nan' is not a usable number"),
            ("0 0.5 0.5 inf 0.5", "'inf' is not a usable number"),
            ("0 0.5 0.5 1e999 0.5", "'1e999' is not a usable number"),
            ("0 0.5 1_0 0.5 0.5", "'1_0' is not a usable number"),
            ("0 0,5 0,5 0,5 0,5", "'0,5' is not a usable number"),
            ("0 ٠ 0 0 0", "'٠' is not a usable number"),
            ("-1 0.5 0.5 0.5 0.5", "'-1' is not a class id"),
            ("0.5 0.5 0.5 0.5 0.5", "'0.5' is not a class id"),
            ("2000000 0.5 0.5 0.5 0.5", "'2000000' is not a class id"),
        ],
    )
    def test_a_malformed_line_is_an_issue_and_the_others_stand(self, tmp_path: Path, line: str, message: str) -> None:
        row, issues = one(tmp_path, f"{BOX}{line}\n1 0.5 0.5 0.5 0.2\n")
        assert (len(row["annotations"]), row["labelled"]) == (2, "partial")
        hint = "Correct or delete the line; it was left out."
        assert issues == [f"labels/a.txt: line 2: {message}. {hint} [line-malformed]"]

    @pytest.mark.parametrize(
        ("line", "code", "message", "box"),
        [
            ("0 1.5 0.5 0.5 0.2", "coordinates-outside", "1.5 is not from 0 to 1", [25.0, 4.0, 10.0, 2.0]),
            ("0 -0.5 0.5 0.5 0.2", "coordinates-outside", "-0.5 is not from 0 to 1", [-15.0, 4.0, 10.0, 2.0]),
            ("0 0.5 0.5 0 0.2", "box-degenerate", "width 0, height 0.2", [10.0, 4.0, 0.0, 2.0]),
        ],
    )
    def test_odd_numbers_are_kept_with_a_finding(
        self, tmp_path: Path, line: str, code: str, message: str, box: list[float]
    ) -> None:
        found = one(tmp_path, line)[0]["annotations"][0]
        assert found["bbox_xywh_px"] == box
        assert found["issues"] == [{"code": code, "message": f"line 1: {message}"}]

    def test_a_negative_side_is_taken_as_positive(self, tmp_path: Path) -> None:
        found = one(tmp_path, "0 0.5 0.5 -0.5 0.2")[0]["annotations"][0]
        assert found["bbox_xywh_px"] == [5.0, 4.0, 10.0, 2.0]
        assert [item["code"] for item in found["issues"]] == ["coordinates-outside", "box-inverted"]

    def test_the_same_line_twice_is_flagged(self, tmp_path: Path) -> None:
        found = one(tmp_path, f"{BOX}\n0 .5 .50 0.5 0.2")[0]["annotations"]
        assert "issues" not in found[0]
        assert found[1]["issues"] == [{"code": "annotation-duplicate", "message": "line 3: the same as line 1"}]

    @given(st.text(st.sampled_from([*"0123456789.-+eEnaif_ \t\n\r", "é", "\x00", "\x85"]), max_size=60))
    def test_any_text_is_read(self, text: str) -> None:
        naming = Naming("data.yaml", {0: "cat"}, keypoints=(2, 2), keypoint_names=("a", "b"))
        for given_naming in (None, naming):
            lines, _ = read_lines(text.encode(), "a.txt", given_naming, IssueList())
            for row in rows_of_lines(lines, given_naming, 20, 10):
                Annotation.model_validate(row)


class TestFiles:
    def test_no_file_is_unlabelled_and_an_empty_file_is_labelled(self, tmp_path: Path) -> None:
        labels = read(
            tmp_path,
            {
                "data.yaml": NAMES,
                "images/a.png": png(4, 4),
                "images/b.png": png(4, 4),
                "labels/b.txt": "",
                "labels/a.txt": " \n",
            },
        )
        assert {row["key"]: row.get("labelled", "no") for row in labels.rows} == {
            "images/a.png": "yes",
            "images/b.png": "yes",
        }
        labels = read(tmp_path, {"images/c.png": png(4, 4)})
        assert labels.rows[2].get("labelled", "no") == "no"

    def test_other_texts_are_no_labels(self, tmp_path: Path) -> None:
        labels = read(
            tmp_path,
            {
                "classes.txt": "cat\ndog\n\n",
                "README.txt": "Exported from somewhere, 3 classes.",
                "labels/README.txt": "0 is cat",
                "notes/numbers.txt": "1 2 3",
                "images/a.png": png(20, 10),
                "labels/a.txt": BOX,
            },
        )
        assert [row["key"] for row in labels.rows] == ["images/a.png"]
        assert (labels.issues, [item.name for item in labels.categories]) == ((), ["cat", "dog"])

    def test_a_spoiled_file_among_labels_is_not_passed_over(self, tmp_path: Path) -> None:
        files = {"classes.txt": "cat", "Images/a.png": png(20, 10), "Images/b.png": png(20, 10)}
        labels = read(tmp_path, {**files, "Annotations/a.txt": BOX, "Annotations/b.txt": "spoiled"})
        assert [row["labelled"] for row in labels.rows] == ["yes", "partial"]
        assert [(issue.code, issue.file) for issue in labels.issues] == [("line-malformed", "Annotations/b.txt")]

    def test_labels_and_pictures_may_be_apart(self, tmp_path: Path) -> None:
        files = {"images/train/a.png": png(20, 10), "images/val/a.png": png(20, 10)}
        tree = scan(str(lay(tmp_path, {**files, "labels/train/a.txt": BOX, "labels/val/a.txt": ""})))
        index = PictureIndex(tree, Yolo().pictures(tree))
        labels = Yolo().read(tree.subtree("labels"), index, {"names": ["cat"]})
        found = {row["key"]: (len(row.get("annotations", ())), row["subsets"]) for row in labels.rows}
        assert found == {"images/train/a.png": (1, ("train",)), "images/val/a.png": (0, ("val",))}

    def test_a_picture_called_like_a_list_has_a_label_file(self, tmp_path: Path) -> None:
        labels = read(tmp_path, {"images/classes.png": png(20, 10), "labels/classes.txt": BOX})
        assert labels.rows[0]["annotations"][0]["category"] == "0"

    @pytest.mark.parametrize(
        ("picture", "label"),
        [
            ("images/train/a.png", "labels/train/a.txt"),
            ("train/images/a.png", "train/labels/a.txt"),
            ("data/a.png", "data/a.txt"),
            ("Images/a.png", "Annotations/a.txt"),
            ("x/images/train/sub/a.b.png", "x/labels/train/sub/a.b.txt"),
            ("images/A.PNG", "labels/a.txt"),
        ],
    )
    def test_a_label_file_finds_its_picture(self, tmp_path: Path, picture: str, label: str) -> None:
        labels = read(tmp_path, {"classes.txt": "cat", picture: png(20, 10), "images/z.png": png(4, 4), label: BOX})
        assert [row["key"] for row in labels.rows if row.get("labelled")] == [picture]

    def test_same_names_in_several_folders_are_told_apart(self, tmp_path: Path) -> None:
        files: dict[str, str | bytes] = {"data.yaml": NAMES}
        for number, split in enumerate(("train", "val")):
            files |= {f"images/{split}/1.png": png(20, 10), f"labels/{split}/1.txt": f"{number} .5 .5 .5 .5"}
        labels = read(tmp_path, files)
        found = {row["key"]: row["annotations"][0]["category"] for row in labels.rows}
        assert found == {"images/train/1.png": "cat", "images/val/1.png": "dog"}

    def test_a_second_label_file_is_left_out(self, tmp_path: Path) -> None:
        files = {"data.yaml": NAMES, "images/a.png": png(20, 10), "labels/a.txt": BOX, "images/a.txt": BOX}
        labels = read(tmp_path, files)
        said = "it is about images/a.png, which images/a.txt labels already; it was left out"
        assert described(labels) == [f"labels/a.txt: {said}. Take one of the two away. [labels-twice]"]

    def test_without_its_picture_a_size_is_needed(self, tmp_path: Path) -> None:
        files = {"data.yaml": NAMES, "labels/train/a.txt": BOX, "labels/train/b.txt": ""}
        labels = read(tmp_path, files)
        assert [(row["key"], row["labelled"]) for row in labels.rows] == [
            ("images/train/a", "partial"),
            ("images/train/b", "yes"),
        ]
        said = "its picture is not there or shows no size, so its fractions cannot become pixels"
        hint = "Put the pictures beside the labels, or pass the option size: [width, height]."
        assert described(labels) == [f"labels/train/a.txt: {said}. {hint} [picture-size-unknown]"]
        row = read(tmp_path, {}, size=[20, 10]).rows[0]
        assert row["annotations"][0]["bbox_xywh_px"] == [5.0, 4.0, 10.0, 2.0]
        assert (row["width_px"], row["height_px"], row["subsets"]) == (20, 10, ("train",))

    def test_many_without_a_size_are_few_issues(self, tmp_path: Path) -> None:
        labels = read(tmp_path, {"data.yaml": NAMES, **{f"labels/{number}.txt": BOX for number in range(50)}})
        assert len(labels.issues) == 20
        assert "; 30 more files are like this." in labels.issues[-1].describe()

    @pytest.mark.parametrize("size", ["20", [20], [0, 10], [20, 10.5], {"w": 20}])
    def test_a_size_that_is_none_is_refused(self, tmp_path: Path, size: Any) -> None:
        with pytest.raises(
            UsageError, match=r"the option size is .* It is \[width, height\], in whole pixels above 0."
        ):
            read(tmp_path, {"data.yaml": NAMES, "labels/a.txt": BOX}, size=size)

    def test_names_may_be_given(self, tmp_path: Path) -> None:
        files = {"a.png": png(20, 10), "a.txt": "1 .5 .5 .5 .5"}
        assert read(tmp_path, files, names=["x", "y"]).rows[0]["annotations"][0]["category"] == "y"
        with pytest.raises(UsageError, match="It is a list of names, the first for class 0"):
            read(tmp_path, files, names=[1])

    def test_nothing_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(FormatError) as caught:
            read(tmp_path, {"a.png": png(4, 4), "README.txt": "hello"})
        hint = "Looked for text files of lines 'class cx cy w h', with data.yaml, obj.names or classes.txt."
        assert str(caught.value) == f"no YOLO labels in {tmp_path}. {hint} Name another format or folder."


class TestYaml:
    LAYOUT: ClassVar[Files] = {
        "train/images/a.png": png(4, 4),
        "train/labels/a.txt": "",
        "valid/images/b.png": png(4, 4),
        "valid/labels/b.txt": "",
    }

    @pytest.mark.parametrize(
        "yaml",
        [
            "train: ../train/images\nval: ../valid/images\n",
            "train: train/images\nval: valid/images\n",
            "path: .\ntrain: train\nval: [valid]\n",
            "path: ../datasets/ships\ntrain: train/images\nval: valid/images\n",
            "train: /content/ships/train/images\nval: C:\\ships\\valid\\images\n",
            "train: train/images/\nvalid: ./valid/images\n",
        ],
    )
    def test_splits_are_found_wherever_they_were_written(self, tmp_path: Path, yaml: str) -> None:
        labels = read(tmp_path, {"data.yaml": NAMES + yaml, **self.LAYOUT})
        assert subsets(labels) == {"train/images/a.png": ("train",), "valid/images/b.png": ("val",)}
        assert labels.issues == ()

    def test_a_yaml_in_a_folder_of_its_own(self, tmp_path: Path) -> None:
        yaml = NAMES + "train: ../train/images\nval: ../valid/images\n"
        labels = read(tmp_path, {"conf/data.yaml": yaml, "x/hyp.yaml": "lr0: 0.01\n", **self.LAYOUT})
        assert set(subsets(labels).values()) == {("train",), ("val",)}

    def test_a_split_that_is_not_there_is_an_issue(self, tmp_path: Path) -> None:
        labels = read(tmp_path, {"data.yaml": NAMES + "train: train/images\ntest: ../images\n", **self.LAYOUT})
        assert described(labels) == [
            "data.yaml: test: '../images' is not there. Correct the path, or take the line out. [split-missing]"
        ]

    def test_one_folder_for_two_splits_is_one_subset(self, tmp_path: Path) -> None:
        yaml = NAMES + "train: images/train2017\nval: images/train2017\n"
        labels = read(tmp_path, {"data.yaml": yaml, "images/train2017/a.png": png(4, 4), "labels/train2017/a.txt": ""})
        assert subsets(labels) == {"images/train2017/a.png": ("train",)}
        said = "images/train2017 is both train and val; taken as train alone"
        assert described(labels) == [f"data.yaml: val: {said}. Give each split pictures of its own. [split-shared]"]

    def test_lists_of_pictures(self, tmp_path: Path) -> None:
        files = {
            "data.yaml": NAMES + "train: train.txt\nval: val.txt\n",
            "train.txt": "./images/a.png\n\nimages/gone.png\n",
            "val.txt": "/data/images/b.png\r\n",
            **{f"images/{name}.png": png(4, 4) for name in "abc"},
            "labels/a.txt": "",
        }
        labels = read(tmp_path, files)
        assert subsets(labels) == {"images/a.png": ("train",), "images/b.png": ("val",), "images/c.png": ()}
        assert described(labels) == ["train.txt: line 3: 'images/gone.png' is not there. [list-unmatched]"]

    def test_lists_name_pictures_that_are_not_there(self, tmp_path: Path) -> None:
        files = {
            "obj.data": "names = obj.names\ntrain=data/train.txt",
            "obj.names": "cat",
            "train.txt": "data/img/a.jpg",
        }
        labels = read(tmp_path, {**files, "img/a.txt": BOX}, size=[20, 10])
        assert subsets(labels) == {"data/img/a.jpg": ("train",)}

    @pytest.mark.parametrize("names", ["[cat, 'no', 1.0, ~]", "{0: cat, 1: 'no', 2: 1.0, 3: ~}"])
    def test_names_stay_as_they_are_written(self, tmp_path: Path, names: str) -> None:
        labels = read(tmp_path, {"data.yaml": f"names: {names}\n", "a.png": png(4, 4), "a.txt": ""})
        assert [item.name for item in labels.categories] == ["cat", "no", "1.0", "~"]

    def test_gaps_and_doubles_in_names(self, tmp_path: Path) -> None:
        yaml = "nc: 9\nnames: {0: cat, 5: dog, 7: cat, x: fox, 8: [a]}\n"
        labels = read(tmp_path, {"data.yaml": yaml, "a.png": png(20, 10), "a.txt": "7 .5 .5 .5 .5"})
        assert [(item.name, item.source_ids) for item in labels.categories] == [("cat", ("0", "7")), ("dog", ("5",))]
        assert described(labels) == [
            "data.yaml: names[x]: a class id is not a number. It was left out. [names-unreadable]",
            "data.yaml: names[8]: the name of class '8' is not a text. It was left out. [names-unreadable]",
            "data.yaml: classes 0 and 7 are both called 'cat'; they are one category. "
            "Give each class a name of its own. [names-twice]",
            "data.yaml: nc says 9 classes, names has 3. The names are used. [names-count]",
        ]

    @pytest.mark.parametrize(
        ("yaml", "message"),
        [
            ("names: &a [cat]\nx: *a\n", "it uses aliases (*name); write the values out"),
            (
                "a: &a [x]\n" + "".join(f"{b}: &{b} [*{a},*{a}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)),
                "aliases",
            ),
            ("names: [cat\n", "line 2"),
            ("[" * 100_000, "it is nested too deeply"),
            ("names:\n- a\nnames:\n- b\n", "the key 'names' is there twice in the mapping of line 1"),
            (b"names: [\xff]", "it is not UTF-8"),
        ],
    )
    def test_hostile_yaml_is_an_issue(self, tmp_path: Path, yaml: str | bytes, message: str) -> None:
        labels = read(tmp_path, {"data.yaml": yaml, "a.png": png(20, 10), "a.txt": BOX})
        assert labels.rows[0]["annotations"][0]["category"] == "0"
        assert [(issue.code, message in issue.message) for issue in labels.issues] == [("yaml-unreadable", True)]

    def test_yaml_tags_make_nothing(self) -> None:
        assert load_yaml(b"!!python/object/apply:os.system ['true']") == ["true"]

    def test_paths_stay_in_the_tree(self) -> None:
        assert clean_parts("C:\\a\\..\\..\\b/./c") == ["b", "c"]
        assert find_place("../../etc", Naming("x/data.yaml", {}), {"etc/passwd", "x"}) is None

    def test_each_list_of_names_speaks_for_its_folder(self, tmp_path: Path) -> None:
        files: dict[str, str | bytes] = {}
        for folder, name in (("x", "cat"), ("y", "dog")):
            files |= {f"{folder}/classes.txt": name, f"{folder}/a.png": png(20, 10), f"{folder}/a.txt": BOX}
        labels = read(tmp_path, files)
        assert [row["annotations"][0]["category"] for row in labels.rows] == ["cat", "dog"]
        assert [item.name for item in labels.categories] == ["cat", "dog"]

    def test_roboflow_says_where_it_is_from(self, tmp_path: Path) -> None:
        yaml = NAMES + "roboflow:\n  license: CC BY 4.0\n  version: 1\n"
        labels = read(tmp_path, {"data.yaml": yaml, **self.LAYOUT})
        assert labels.info == {"roboflow": {"license": "CC BY 4.0", "version": "1"}}


LINES = "text file with lines 'class cx cy w h'"
TWO = LINES.replace("file", "files")


class TestDetect:
    @pytest.mark.parametrize(
        ("files", "confidence", "why"),
        [
            ({"data.yaml": NAMES, "labels/a.txt": BOX}, 0.95, f"found 1 {LINES} and class names in data.yaml"),
            ({"labels/a.txt": BOX, "README.txt": "x"}, 0.8, f"found 2 {TWO} (1 of 2 looked at)"),
            ({"data.yaml": NAMES, "a.png": png(4, 4)}, 0.6, "found class names in data.yaml and no labels"),
            ({"classes.txt": "cat", "a.png": png(4, 4)}, None, ""),
            ({"captions/a.txt": "a cat on a mat", "captions/b.txt": "1 2 3"}, None, ""),
            ({"hyp.yaml": "lr0: 0.1", "a.png": png(4, 4)}, None, ""),
        ],
    )  # fmt: skip
    def test_says_why(self, tmp_path: Path, files: Files, confidence: float | None, why: str) -> None:
        found = Yolo().detect(scan(str(lay(tmp_path, files))))
        assert (None, "") if found is None else (found.confidence, found.why) == (confidence, why)

    def test_label_files_are_what_a_lock_covers(self, tmp_path: Path) -> None:
        files = {
            "data.yaml": NAMES,
            "README.txt": "x",
            "train.txt": "images/a.png",
            "labels/a.txt": BOX,
            "images/a.png": png(4, 4),
        }
        assert Yolo().label_files(scan(str(lay(tmp_path, files)))) == ["data.yaml", "labels/a.txt", "train.txt"]


def labelled(key: str, *annotations: Row, **fields: Any) -> Row:
    row: Row = {"key": key, "labelled": "yes", "width_px": 20, "height_px": 10, **fields}
    return row | ({"annotations": annotations} if annotations else {})


def a_box(number: int, *bbox: float, **fields: Any) -> Row:
    return {"id": str(number), "kind": "box", "category": "dog", "bbox_xywh_px": bbox, **fields}


def export_of(*rows: Row, names: tuple[str, ...] = ("cat", "dog"), **more: Any) -> MemoryExport:
    return MemoryExport(rows, [Category(name=name, index=index) for index, name in enumerate(names)], **more)


class TestWrite:
    def test_layout_as_ultralytics_loads_it(self, tmp_path: Path) -> None:
        export = export_of(
            labelled("s/a.png", a_box(0, 5.0, 4.0, 10.0, 2.0), split="train"),
            labelled("s/b.png", split="val"),
            {"key": "s/c.png", "split": "test"},
        )
        report = write_labels(export, tmp_path / "out", "yolo")
        assert report.losses == ()
        files = {
            path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()
        }
        assert files == {
            "data.yaml",
            *("images/train/a.png", "images/val/b.png", "images/test/c.png"),
            *("labels/train/a.txt", "labels/val/b.txt"),
        }
        assert (tmp_path / "out/labels/train/a.txt").read_text() == "1 0.5 0.5 0.5 0.2\n"
        document = YAML(typ="safe").load(tmp_path / "out" / "data.yaml")
        assert document == {
            "train": "images/train",
            "val": "images/val",
            "test": "images/test",
            "nc": 2,
            "names": {0: "cat", 1: "dog"},
        }

    def test_numbers_come_back_to_the_last_digit_that_counts(self, tmp_path: Path) -> None:
        boxes = [(1 / 3, 0.1, 7.7, 3.3), (0.0, 0.0, 1919.0, 1079.0), (1e-3, 2e-3, 1e-3, 1e-3)]
        row = labelled("a.png", *(a_box(index, *box) for index, box in enumerate(boxes)))
        write_labels(export_of(row), tmp_path / "out", "yolo")
        back = read_labels(tmp_path / "out", "yolo").rows[0]["annotations"]
        for box, found in zip(boxes, back, strict=True):
            assert found["bbox_xywh_px"] == pytest.approx(box, rel=1e-12, abs=1e-12)

    def test_samples_without_a_split_stay_without_one(self, tmp_path: Path) -> None:
        report = write_labels(export_of(labelled("a.png")), tmp_path / "out", "yolo")
        assert [(loss.code, loss.severity) for loss in report.losses] == [("split-missing", "info")] * 2
        document = YAML(typ="safe").load(tmp_path / "out" / "data.yaml")
        assert (document["train"], document["val"]) == ("images/unsplit", "images/unsplit")
        labels = read_labels(tmp_path / "out", "yolo")
        assert (subsets(labels), labels.issues) == ({"images/unsplit/a.png": ()}, ())

    def test_without_val_the_line_is_there_all_the_same(self, tmp_path: Path) -> None:
        write_labels(export_of(labelled("a.png", split="test")), tmp_path / "out", "yolo")
        document = YAML(typ="safe").load(tmp_path / "out" / "data.yaml")
        assert {document[name] for name in ("train", "val", "test")} == {"images/test"}
        assert subsets(read_labels(tmp_path / "out", "yolo")) == {"images/test/a.png": ("test",)}

    def test_odd_splits_and_names(self, tmp_path: Path) -> None:
        names = ('a"b\\c', "no", "1", " x\n", "\x07", "🦝", "#")
        rows = [labelled(f"{split}.png", split=split) for split in ("fold 1", "valid", "nc", "unsplit", "Train")]
        export = export_of(*rows, names=names)
        write_labels(export, tmp_path / "out", "yolo")
        labels = read_labels(tmp_path / "out", "yolo")
        assert tuple(item.name for item in labels.categories) == names
        assert sorted(name for given in subsets(labels).values() for name in given) == [
            *("Train-2", "fold_1", "split_nc", "unsplit-2", "val"),
        ]

    def test_boxes_beside_a_polygon_become_polygons(self, tmp_path: Path) -> None:
        ring = ((0.0, 0.0, 10.0, 0.0, 10.0, 5.0),)
        polygon = {**a_box(1, 0.0, 0.0, 10.0, 5.0), "kind": "polygon", "polygons": (ring,)}
        export = export_of(
            labelled("a.png", a_box(0, 5.0, 4.0, 10.0, 2.0), polygon), labelled("b.png", a_box(0, 1.0, 1.0, 2.0, 2.0))
        )
        report = write_labels(export, tmp_path / "out", "yolo")
        assert [(loss.code, loss.count, loss.examples) for loss in report.refusals] == [
            ("kind-changed", 1, ("a.png#0",))
        ]
        text = (tmp_path / "out/labels/unsplit/a.txt").read_text()
        assert text == "1 0.25 0.4 0.75 0.4 0.75 0.6 0.25 0.6\n1 0 0 0.5 0 0.5 0.5\n"
        kinds = [[item["kind"] for item in row["annotations"]] for row in read_labels(tmp_path / "out", "yolo").rows]
        assert kinds == [["polygon", "polygon"], ["box"]]

    def test_a_picture_of_which_nothing_can_be_said_gets_no_label_file(self, tmp_path: Path) -> None:
        """An empty one would teach that nothing is there."""
        said = {"id": "0", "kind": "image_label", "category": "cat"}
        rows = (
            labelled("a.png", said),
            labelled("b.png"),
            labelled("c.png", said, a_box(1, 1.0, 1.0, 2.0, 2.0)),
            {**labelled("d.png", a_box(0, 1.0, 1.0, 2.0, 2.0)), "width_px": None},
        )
        write_labels(export_of(*rows, pictures={}), tmp_path / "out", "yolo")
        files = {path.stem: path.read_text() for path in (tmp_path / "out" / "labels").rglob("*.txt")}
        assert sorted(files) == ["b", "c"]
        assert files["b"] == ""

    def test_what_cannot_be_said_is_a_loss(self, tmp_path: Path) -> None:
        row = labelled(
            "a.png",
            a_box(0, 1.0, 1.0, 2.0, 2.0, score=0.5, attributes={"difficult": True}, is_crowd=True),
            {**a_box(1, 1.0, 1.0, 2.0, 2.0), "kind": "keypoints", "keypoints": ({"name": "nose", "x": 1.0, "y": 1.0},)},
            {"id": "2", "kind": "image_label", "category": "cat"},
            {**a_box(3, 1.0, 1.0, 1.0, 1.0), "kind": "polygon", "polygons": (((1.0, 1.0, 2.0, 2.0),),)},
        )  # fmt: skip
        export = export_of(row, {**labelled("b.png", a_box(0, 1.0, 1.0, 2.0, 2.0)), "width_px": None}, pictures={})
        report = write_labels(export, tmp_path / "out", "yolo")
        assert Counter(loss.code for loss in report.refusals) == {
            "attribute-dropped": 1,
            "field-dropped": 2,
            "kind-changed": 2,
            "kind-dropped": 1,
            "picture-size-unknown": 1,
        }

    def test_the_size_may_come_from_the_picture(self, tmp_path: Path) -> None:
        row = {"key": "a.png", "labelled": "yes", "annotations": (a_box(0, 5.0, 4.0, 10.0, 2.0),)}
        export = export_of(row, pictures={"a.png": png(20, 10)})
        write_labels(export, tmp_path / "out", "yolo")
        assert (tmp_path / "out/labels/unsplit/a.txt").read_text() == "1 0.5 0.5 0.5 0.2\n"
        assert [normal(row) for row in read_labels(tmp_path / "out", "yolo").rows] == expected_rows(Yolo(), export)


class TestFlatNames:
    def test_no_two_share_a_stem(self) -> None:
        keys = ["a/1.jpg", "a/1.png", "b/1.JPG", "b/I.jpg", "b__1.jpg", "c/.x.jpg", f"d/{'ä' * 200}.jpg", "e/nul.jpg"]
        names = FlatNames({"key": key} for key in keys)
        stems = [names.stem(key) for key in keys]
        assert len({stem.casefold() for stem in stems}) == len(keys)
        assert stems[:5] == ["1", "a__1", f"b__1-{stems[2][-8:]}", "I", "b__1"]
        assert all(len(stem.encode()) <= 160 and not stem.startswith(".") for stem in stems)
        assert (stems[5], stems[7]) == ("_x", "_nul")

    def test_the_extension_tells_what_the_bytes_are(self) -> None:
        names = FlatNames([{"key": "a.jpg"}])
        assert names.picture({"key": "a.jpg", "media_type": "image/jpeg"}) == "a.jpg"
        assert names.picture({"key": "a.jpg", "media_type": "image/png"}) == "a.png"
        assert names.picture({"key": "a.JPEG", "media_type": "image/jpeg"}) == "a.JPEG"


@pytest.mark.realdata
class TestRealData:
    def test_ships(self, shared_data: Path) -> None:
        labels = read_labels(shared_data / "yolo-ships")
        rows = labels.rows
        annotations = [item for row in rows for item in row.get("annotations", ())]
        assert (len(rows), len(annotations)) == (405, 472)
        assert Counter(row.get("labelled", "no") for row in rows) == {"yes": 317, "no": 88}
        assert [item.name for item in labels.categories] == ["Ships"]
        assert {row["subsets"] for row in rows} == {("train",)}
        hint = "Correct the path, or take the line out. [split-missing]"
        assert described(labels) == [
            f"data.yaml: val: '../valid/images' is not there. {hint}",
            f"data.yaml: test: '../test/images' is not there. {hint}",
        ]

    def test_ships_are_detected(self, shared_data: Path) -> None:
        found = Yolo().detect(scan(str(shared_data / "yolo-ships")))
        assert found is not None
        assert found.confidence == 0.95
        assert found.why == (
            "found 317 text files with lines 'class cx cy w h' (8 of 8 looked at) and class names in data.yaml"
        )

    @pytest.mark.parametrize(
        ("folder", "expected"),
        [
            ("labels", {"images/train/1.jpg": ("train",), "images/val/1.jpg": ("val",)}),
            ("annotations", {"Images/1.jpg": ()}),
            ("strict", {"obj_train_data/1.jpg": ("train",)}),
        ],
    )
    def test_tiny(self, shared_data: Path, folder: str, expected: dict[str, tuple[str, ...]]) -> None:
        labels = read_labels(shared_data / "formats-tiny" / "yolo_dataset" / folder)
        assert (subsets(labels), labels.issues, len(labels.categories)) == (expected, (), 10)
        for row in labels.rows:
            assert [item["category"] for item in row["annotations"]] == ["label_2", "label_4"]
            assert row["annotations"][1]["bbox_xywh_px"] == pytest.approx([3.0, 3.0, 2.0, 3.0], abs=1e-4)

    def test_label_studio(self, shared_data: Path) -> None:
        labels = read_labels(shared_data / "labelstudio" / "data" / "test_import_yolo_data", "yolo")
        assert (len(labels), sum(len(row["annotations"]) for row in labels.rows), labels.issues) == (7, 25, ())
