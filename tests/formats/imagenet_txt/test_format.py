from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats import registry
from dsetkit.formats.imagenet_txt.format import ImagenetTxt
from dsetkit.formats.imagenet_txt.lists import Line, is_running, parse_line, subset_of
from dsetkit.formats.imagenet_txt.read import class_of
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, ReadContract, files_of, png
from dsetkit.formats.writing import write_labels
from dsetkit.spec.category import Category
from dsetkit.storage.scan import scan

MAPPING = "n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 crane\n"


class TestImagenetTxt(FormatContract):
    format = ImagenetTxt()


class TestFoldersOfSynsets(ReadContract):
    format = ImagenetTxt()

    def example(self, folder: Path) -> None:
        put(folder, "train/n01440764/n01440764_10026.JPEG", "train/n02012849/n02012849_1.JPEG")
        (folder / "LOC_synset_mapping.txt").write_text(MAPPING)

    def count_annotations(self, folder: Path) -> int:
        return 0  # without pictures nothing says what is where


def put(folder: Path, *pictures: str, **texts: str) -> Path:
    for name in pictures:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(8, 4))
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def read(folder: Path, **options: Any) -> Any:
    return read_labels(folder, "imagenet_txt", options=options)


def said(labels: Any) -> dict[str, list[str]]:
    return {row["key"]: [item["category"] for item in row.get("annotations", ())] for row in labels.rows}


def test_lists_give_classes_and_subsets(tmp_path):
    folder = put(
        tmp_path,
        "images/1.jpg",
        "images/a b.jpg",
        "images/n/3.JPEG",
        train='1.jpg 0\n"a b.jpg" 2 1\n',
        val_list="n/3.JPEG\t1\n",
        test="1.jpg\n",
        synsets="cat\ngolden retriever\nfish\n",
    )
    labels = read(folder)
    assert said(labels) == {
        "images/1.jpg": ["cat"],
        "images/a b.jpg": ["fish", "golden retriever"],
        "images/n/3.JPEG": ["golden retriever"],
    }
    assert [row["subsets"] for row in labels.rows] == [["test", "train"], ["train"], ["val"]]
    assert [row["labelled"] for row in labels.rows] == ["yes"] * 3
    assert [item.name for item in labels.categories] == ["cat", "golden retriever", "fish"]
    assert labels.issues == ()


@pytest.mark.parametrize(
    ("line", "path", "classes"),
    [
        ("a.jpg 3", "a.jpg", ("3",)),
        ("a.jpg,3", "a.jpg", ("3",)),
        ("a.jpg; 3; 4", "a.jpg", ("3", "4")),
        ("a b.c.JPEG\t12", "a b.c.JPEG", ("12",)),
        ("a.jpg.png 1", "a.jpg.png", ("1",)),
        ("n01440764/x.JPEG golden retriever", "n01440764/x.JPEG", ("golden retriever",)),
        ("a.jpg", "a.jpg", ()),
        ('"x y" 7', "x y", ("7",)),
    ],
)
def test_lines_in_use(line, path, classes):
    assert parse_line(line, 1) == Line(1, path, classes)


def test_lines_that_are_none():
    assert parse_line('"x.jpg 3', 1) is None
    assert parse_line("0 0.5 0.5 0.1 0.1", 1) is None
    assert parse_line("a.jpg \x07", 1) is None
    assert parse_line("a b.xyz\tcat\tdog", 1, "\t") == Line(1, "a b.xyz", ("cat", "dog"))


def test_names_of_subsets():
    assert subset_of("meta/train_list.txt") == "train"
    assert subset_of("validation.txt") == "val"
    assert subset_of("fold 1.txt") == "fold 1"
    assert subset_of("default.txt") is None
    assert subset_of("image_list.txt") is None


def test_without_a_list_of_classes_numbers_are_names(tmp_path):
    labels = read(put(tmp_path, "1.jpg", train="1.jpg 10\n2.jpg 9\n"))
    assert said(labels) == {"1.jpg": ["10"], "2.jpg": ["9"]}
    assert [item.name for item in labels.categories] == ["9", "10"]


def test_names_stand_for_themselves_and_synsets_for_their_words(tmp_path):
    text = "1.jpg n02012849\n2.jpg n03126707\n3.jpg 0\n4.jpg horse\n"
    labels = read(put(tmp_path, train=text, LOC_synset_mapping=MAPPING))
    assert said(labels) == {
        "1.jpg": ["crane"],
        "2.jpg": ["crane (n03126707)"],
        "3.jpg": ["tench, Tinca tinca"],
        "4.jpg": ["horse"],
    }
    assert [(item.name, item.source_ids) for item in labels.categories] == [
        ("tench, Tinca tinca", ("n01440764",)),
        ("crane", ("n02012849",)),
        ("crane (n03126707)", ("n03126707",)),
        ("horse", ()),
    ]
    assert said(read(tmp_path, names="first"))["3.jpg"] == ["tench"]
    assert said(read(tmp_path, names="synset"))["3.jpg"] == ["n01440764"]


def test_a_number_beyond_the_list_is_told(tmp_path):
    labels = read(put(tmp_path, "1.jpg", train="1.jpg 7\n", synsets="cat\ndog\n"))
    assert labels.rows[0]["annotations"] == [
        {
            "id": "0",
            "kind": "image_label",
            "category": "7",
            "issues": [{"code": "category-unknown", "message": "7 is the number of no class; there are 2"}],
        }
    ]
    assert [issue.describe() for issue in labels.issues] == [
        "train.txt: line 1: 1.jpg: 7 is the number of no class; there are 2. Correct the line, or name the right list "
        "by the option labels. [category-unknown]"
    ]


def test_each_list_has_the_classes_nearest_to_it(tmp_path):
    for name, text in (("a", "cat\n"), ("b", "dog\n")):
        put(tmp_path / name, "1.jpg", train="1.jpg 0\n", synsets=text)
    put(tmp_path / "c", "1.jpg", train="1.jpg 0\n")
    labels = read(tmp_path)
    assert said(labels) == {"a/1.jpg": ["cat"], "b/1.jpg": ["dog"], "c/1.jpg": ["0"]}
    assert [item.name for item in labels.categories] == ["cat", "dog", "0"]


def test_the_list_of_classes_can_be_named(tmp_path):
    folder = put(tmp_path, "1.jpg", train="1.jpg 1\n", mine="zero\none\n")
    assert said(read(folder, labels="mine.txt")) == {"1.jpg": ["one"]}
    with pytest.raises(UsageError, match=r"names 'x\.txt', which is not there"):
        read(folder, labels="x.txt")


def test_numbers_of_lines_are_no_classes(tmp_path):
    """As in ImageNet's own ``ImageSets/CLS-LOC/train_cls.txt``."""
    assert is_running([Line(1, "a", ("1",)), Line(2, "b", ("2",)), Line(3, "c", ("3",))])
    labels = read(put(tmp_path, "1.jpg", train="1.jpg 1\n2.jpg 2\n3.jpg 3\n"))
    assert said(labels) == {"1.jpg": [], "2.jpg": [], "3.jpg": []}
    assert [row["subsets"] for row in labels.rows] == [["train"]] * 3
    assert [issue.code for issue in labels.issues if issue.severity == "info"] == ["list-running"]


def test_a_line_that_is_none_is_told_with_its_number(tmp_path):
    folder = put(tmp_path, "1.jpg", train="1.jpg 1\n" * 120 + "what is this\n")
    assert [issue.describe() for issue in read(folder).issues] == [
        "train.txt: line 121: a line is not: path of a picture, class; it was left out. Correct the line; put a path "
        "with white space in quotes. [list-malformed]"
    ]


def test_folders_of_synsets_with_their_words(tmp_path):
    folder = put(
        tmp_path,
        "train/n01440764/n01440764_10026.JPEG",
        "val/n03126707/ILSVRC2012_val_00000001.JPEG",
        "test/x.JPEG",
        LOC_synset_mapping=MAPPING,
    )
    labels = read(folder)
    assert said(labels) == {
        "test/x.JPEG": [],
        "train/n01440764/n01440764_10026.JPEG": ["tench, Tinca tinca"],
        "val/n03126707/ILSVRC2012_val_00000001.JPEG": ["crane (n03126707)"],
    }
    assert [row["subsets"] for row in labels.rows] == [["test"], ["train"], ["val"]]
    assert [item.name for item in labels.categories] == ["tench, Tinca tinca", "crane", "crane (n03126707)"]
    found, others = registry.detect(scan(str(folder)))
    assert (found.format, found.confidence) == ("imagenet_txt", 0.9)
    assert found.why == "found folders of 2 synsets (n01440764, ...) and their words in LOC_synset_mapping.txt"
    assert [item.format for item in others] == ["image_folder"]


def test_the_devkits_truth_of_the_validation_set(tmp_path):
    folder = put(
        tmp_path,
        "ILSVRC2012_val_00000001.JPEG",
        "ILSVRC2012_val_00000003.JPEG",
        ILSVRC2012_validation_ground_truth="2\n1\n1\n",
        map_clsloc="n02119789 1 kit_fox\nn02100735 2 English_setter\n",
    )
    labels = read(folder)
    assert said(labels) == {
        "ILSVRC2012_val_00000001.JPEG": ["English setter"],
        "ILSVRC2012_val_00000003.JPEG": ["kit fox"],
    }
    assert [item.source_ids for item in labels.categories] == [("n02100735",), ("n02119789",)]


def test_image_folders_are_told_apart(tmp_path):
    """Where both fit, the surer one says why; the words of the other are there, too."""
    plain = put(tmp_path / "a", "cat/1.jpg", "dog/1.jpg")
    assert [item.format for item in (registry.detect(scan(str(plain)))[0],)] == ["image_folder"]
    assert ImagenetTxt().detect(scan(str(plain))) is None
    named = put(tmp_path / "b", "cat/cat_1.jpg", "dog/dog_1.jpg")
    found, others = registry.detect(scan(str(named)))
    assert (found.format, [item.format for item in others]) == ("image_folder", ["imagenet_txt"])
    assert others[0].why == "found pictures whose names begin with their folders' (cat, ...)"
    beside = put(tmp_path / "c", "cat/cat_1.jpg", "dog/dog_1.jpg", "cat_2.jpg")
    found, others = registry.detect(scan(str(beside)))
    assert (found.format, [item.format for item in others]) == ("imagenet_txt", ["image_folder"])
    assert found.why == "found cat_2.jpg and folders that names of pictures begin with (cat, ...)"
    assert said(read(beside))["cat_2.jpg"] == ["cat"]
    assert class_of("x/a_b_1.jpg", frozenset({"a", "a_b", "x"})) == "a_b"
    assert class_of("x/1.jpg", frozenset({"x"})) == "x"


def test_what_is_no_list_of_pictures(tmp_path):
    (tmp_path / "README.txt").write_text("See a.jpg for more\nand b.png\n")
    (tmp_path / "1.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    (tmp_path / "train.txt").write_text("images/1.jpg\nimages/2.jpg\n")
    assert ImagenetTxt().detect(scan(str(tmp_path))) is None
    assert ImagenetTxt().label_files(scan(str(tmp_path))) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"\xff\xfe\xff", "train.txt is not UTF-16-LE text (byte 2)"), (b"", "train.txt is empty")],
)
def test_a_list_that_cannot_be_read_is_an_error(tmp_path, text, message):
    (tmp_path / "train.txt").write_bytes(text)
    with pytest.raises(FormatError) as caught:
        read(tmp_path)
    assert caught.value.message == message
    assert caught.value.hint


def test_written_files_to_the_byte(tmp_path):
    label = {"id": "0", "kind": "image_label"}
    rows = [
        {"key": "s/a b.jpg", "split": "train", "labelled": "yes"}
        | {"annotations": [{**label, "category": "dog"}, {**label, "id": "1", "category": "crane"}]},
        {"key": "s/b.jpg", "split": "train"},
        {"key": "s/c.jpg", "labelled": "yes", "annotations": [{**label, "category": "dog"}]},
    ]
    categories = [Category(name="crane", index=0, source_ids=("n02012849",)), Category(name="dog", index=1)]
    report = write_labels(MemoryExport(rows, categories), tmp_path / "out", "imagenet_txt")
    assert report.is_lossless, report.describe()
    files = files_of(tmp_path / "out")
    assert {name: data.decode() for name, data in files.items() if name.endswith(".txt")} == {
        "default.txt": "s/c.jpg 1\n",
        "synsets.txt": "n02012849 crane\ndog\n",
        "train.txt": '"s/a b.jpg" 1 0\ns/b.jpg\n',
    }
    assert sorted(name for name in files if name.endswith(".jpg")) == [
        "images/s/a b.jpg",
        "images/s/b.jpg",
        "images/s/c.jpg",
    ]
    assert read(tmp_path / "out").categories[0].source_ids == ("n02012849",)


@pytest.mark.realdata
def test_tiny_imagenet_lists(shared_data):
    folder = shared_data / "formats-tiny" / "imagenet_txt_dataset"
    labels = read(folder / "basic")
    assert said(labels) == {
        "3.jpg": ["label_3"],
        "4.jpg": ["label_5"],
        "images/1.jpg": ["label_0"],
        "images/2.jpg": ["label_5"],
    }
    assert [issue.code for issue in labels.issues] == ["picture-missing", "picture-missing"]
    assert [item.name for item in labels.categories] == [f"label_{number}" for number in range(10)]
    assert said(read(folder / "custom_labels", labels="synsets-alt.txt")) == {"1.jpg": ["alt_label_0"]}
    assert said(read(folder / "custom_labels")) == {"1.jpg": ["alt_label_0"]}
    assert said(read(folder / "no_labels")) == {"1.jpg": ["4"]}
    for name in ("basic", "custom_labels", "no_labels"):
        assert registry.detect(scan(str(folder / name)))[0].format == "imagenet_txt"


@pytest.mark.realdata
def test_tiny_imagenet_folders(shared_data):
    folder = shared_data / "formats-tiny" / "imagenet_dataset"
    assert said(read(folder)) == {
        "label_0/label_0_1.jpg": ["label_0"],
        "label_0_2.jpg": ["label_0"],
        "label_1/label_1_1.jpg": ["label_1"],
        "label_1/label_1_1/label_1_1.jpg": ["label_1"],
    }
    found, others = registry.detect(scan(str(folder)))
    assert (found.format, [item.format for item in others]) == ("imagenet_txt", ["image_folder"])


@pytest.mark.realdata
def test_other_folders_are_not_taken(shared_data):
    for name, wanted in (("image_dir_dataset", "image_folder"), ("yolo_dataset/strict", "yolo")):
        assert registry.detect(scan(str(shared_data / "formats-tiny" / name)))[0].format == wanted
