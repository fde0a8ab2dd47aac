from __future__ import annotations

from pathlib import Path

import pytest

from dsetkit.formats.image_folder import ImageFolder
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, files_of
from dsetkit.formats.writing import check_losses, write_labels
from dsetkit.spec.category import Category
from dsetkit.storage.scan import scan


class TestImageFolder(FormatContract):
    format = ImageFolder()


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def said(labels) -> dict[str, tuple[str | None, str | None]]:
    """Subset and class by key."""
    return {
        row["key"]: (
            row.get("subsets", (None,))[0],
            row["annotations"][0]["category"] if "annotations" in row else None,
        )
        for row in labels.rows
    }


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["cat/1.jpg", "dog/a/b/2.jpg"], [(None, "cat"), (None, "dog")]),
        (["1.jpg", "cat/1.jpg"], [(None, None), (None, "cat")]),
        (["train/cat/1.jpg", "val/dog/2.jpg"], [("train", "cat"), ("val", "dog")]),
        (["test/3.jpg", "train/cat/1.jpg"], [("test", None), ("train", "cat")]),
        (["car/1.jpg", "train/2.jpg"], [(None, "car"), (None, "train")]),  # trains and cars
        (["0.jpg", "train/2.jpg"], [(None, None), (None, "train")]),
        (["images/1.jpg", "images/2.jpg"], [(None, None), (None, None)]),
        (["images/cat/1.jpg"], [(None, "cat")]),
        (["1.jpg", "2.xyz", "noext"], [(None, None), (None, None), (None, None)]),
    ],
)
def test_layouts(tmp_path, names, expected):
    labels = read_labels(put(tmp_path, *names), "image_folder")
    assert said(labels) == dict(zip(names, expected, strict=True))
    assert [row.get("labelled", "no") for row in labels.rows] == ["yes" if name else "no" for _, name in expected]


def test_hidden_files_and_texts_are_no_pictures(tmp_path):
    put(
        tmp_path,
        ".git/config",
        "cat/.DS_Store",
        "cat/notes.txt",
        "README.md",
        "LICENSE",
        "a.csv",
        "cat/1.HEIC",
        "cat/x",
    )
    assert [row["key"] for row in read_labels(tmp_path, "image_folder").rows] == ["LICENSE", "cat/1.HEIC", "cat/x"]


def test_the_option_overrules_the_guess(tmp_path):
    put(tmp_path, "train/cat/1.jpg")
    assert said(read_labels(tmp_path, "image_folder", options={"subsets": "no"})) == {
        "train/cat/1.jpg": (None, "train")
    }
    put(tmp_path, "fold1/cat/1.jpg")
    labels = read_labels(tmp_path, "image_folder", options={"subsets": "yes"})
    assert said(labels) == {"fold1/cat/1.jpg": ("fold1", "cat"), "train/cat/1.jpg": ("train", "cat")}


def test_detection_is_a_last_resort(tmp_path):
    found = ImageFolder().detect(scan(str(put(tmp_path, "cat/1.jpg", "dog/2.jpg"))))
    assert found is not None
    assert (found.confidence, found.why) == (0.3, "found pictures in 2 class folders (cat, dog)")
    put(tmp_path, "cat/1.xml", "dog/2.xml")
    unsure = ImageFolder().detect(scan(str(tmp_path)))
    assert unsure is not None
    assert unsure.confidence == 0.15


def label(category: str, number: str = "0") -> dict:
    return {"id": number, "kind": "image_label", "category": category}


def export(*rows: tuple[str, str | None, str | None]) -> MemoryExport:
    categories = sorted({category for _, category, _ in rows if category is not None})
    return MemoryExport(
        [
            {
                "key": key,
                **({"labelled": "yes", "annotations": [label(category)]} if category else {}),
                **({"split": split} if split else {}),
            }
            for key, category, split in rows
        ],
        [Category(name=name, index=index) for index, name in enumerate(categories)],
    )


@pytest.mark.parametrize(
    ("rows", "places", "codes"),
    [
        ([("s/1.jpg", "cat", None), ("s/2.jpg", None, None)], ["cat/s/1.jpg", "s_2.jpg"], []),
        ([("s/1.jpg", "cat", "train"), ("s/2.jpg", None, "val")], ["train/cat/s/1.jpg", "val/s_2.jpg"], []),
        ([("s/1.jpg", "cat", "train"), ("s/2.jpg", "cat", None)], ["cat/s/1.jpg", "cat/s/2.jpg"], ["split-dropped"]),
        ([("s/1.jpg", "cat", "fold1")], ["cat/s/1.jpg"], ["split-dropped"]),
        ([("s/1.jpg", "a/b", None), ("s/2.jpg", "a_b", None)], ["a_b-2/s/1.jpg", "a_b/s/2.jpg"], ["category-renamed"]),
        ([("s/1.jpg", "Cat", None), ("s/2.jpg", "cat", None)], ["Cat/s/1.jpg", "cat-2/s/2.jpg"], ["category-renamed"]),
        ([("s/1.jpg", "train", None)], ["train_/s/1.jpg"], ["category-renamed"]),
        ([("s/1.jpg", "train", None), ("s/2.jpg", "car", None)], ["train/s/1.jpg", "car/s/2.jpg"], []),
        ([("s/1.jpg", "..", None)], ["_/s/1.jpg"], ["category-renamed"]),
        ([("s/a/1.jpg", None, None), ("s/a_1.jpg", None, None)], ["s_a_1.jpg", "s_a_1-2.jpg"], []),
    ],
)
def test_where_pictures_go(tmp_path, rows, places, codes):
    report = write_labels(export(*rows), tmp_path / "out", "image_folder")
    assert sorted(files_of(tmp_path / "out")) == sorted(places)
    assert [loss.code for loss in report.losses] == codes


def test_all_that_a_folder_cannot_say_is_a_loss():
    box = {"id": "2", "kind": "box", "category": "cat", "bbox_xywh_px": (0.0, 0.0, 1.0, 1.0)}
    rows = [
        {"key": "a.jpg", "labelled": "yes", "annotations": [label("cat"), label("dog", "1"), box]},
        {"key": "b.jpg", "labelled": "yes"},
    ]
    report = check_losses(MemoryExport(rows, [Category(name="cat", index=0)]), "image_folder")
    assert [(loss.code, loss.message) for loss in report.losses] == [
        ("kind-dropped", "image_folder cannot say box; such annotations are left out"),
        ("label-dropped", "a picture lies in one folder; its first image label is kept, the others are left out"),
        (
            "labelled-empty",
            "image_folder cannot say that a picture was labelled and shows nothing; it counts as not labelled",
        ),
    ]


@pytest.mark.realdata
def test_real_folders(shared_data):
    flat = read_labels(shared_data / "formats-tiny/image_dir_dataset")
    assert said(flat) == {"1.jpg": (None, None), "2.jpg": (None, None)}
    nested = read_labels(shared_data / "formats-tiny/imagenet_dataset", "image_folder")
    assert [category for _, category in said(nested).values()] == ["label_0", None, "label_1", "label_1"]
    assert [category.name for category in nested.categories] == ["label_0", "label_1"]
