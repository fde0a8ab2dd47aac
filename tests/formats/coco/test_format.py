from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from pathlib import Path

import pytest
from pycocotools.coco import COCO

from dsetkit.errors import FormatError, UsageError
from dsetkit.formats import registry
from dsetkit.formats.coco.format import Coco
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, files_of
from dsetkit.formats.writing import check_losses, write_labels
from dsetkit.spec.category import Category
from dsetkit.spec.snapshot import License
from dsetkit.storage.scan import scan

RING = [1.0, 1.0, 5.0, 1.0, 5.0, 4.0]
HOLED = (((0.0, 0.0, 8.0, 0.0, 8.0, 8.0, 0.0, 8.0), (2.0, 2.0, 6.0, 2.0, 6.0, 6.0, 2.0, 6.0)),)


class TestCoco(FormatContract):
    format = Coco()


def document(annotations, images=None, categories=None, **more):
    return {
        "images": images if images is not None else [{"id": 1, "file_name": "a.jpg", "width": 20, "height": 10}],
        "annotations": annotations,
        "categories": categories if categories is not None else [{"id": 3, "name": "cat"}],
        **more,
    }


def put(folder: Path, files: dict[str, object]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


def read_one(tmp_path, *annotations, **more):
    """The first picture's annotations and the set's issues, of one file with these annotations."""
    complete = [{"id": number, "image_id": 1, "category_id": 3, **one} for number, one in enumerate(annotations, 1)]
    labels = read_labels(put(tmp_path, {"x.json": document(complete, **more)}) / "x.json", "coco")
    return labels.rows[0].get("annotations", []), [issue.describe() for issue in labels.issues]


def test_kinds(tmp_path):
    found, issues = read_one(
        tmp_path,
        {"bbox": [1, 2, 3, 4]},
        {"segmentation": [RING, [6, 1, 8, 1, 8, 3]]},
        {"segmentation": RING, "bbox": []},  # a lone ring
        {"segmentation": {"size": [10, 20], "counts": [0, 20, 180]}, "iscrowd": 1},
        {"segmentation": {"size": [10, 20], "counts": "0d0d5"}, "bbox": None},
        {"keypoints": [1, 2, 2, 0, 0, 0], "num_keypoints": 1, "bbox": [0, 0, 9, 9], "segmentation": [RING]},
        {"caption": "a cat", "category_id": 0},
        {},
        {"keypoints": [0, 0, 0, 0, 0, 0], "bbox": [1, 1, 2, 2]},
        categories=[{"id": 3, "name": "cat", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}],
    )
    assert [annotation["kind"] for annotation in found] == [
        *("box", "polygon", "polygon", "mask", "mask", "keypoints", "caption", "image_label", "box"),
    ]
    assert found[0] == {
        "id": "1", "source_id": "1", "kind": "box", "category": "cat", "bbox_xywh_px": (1.0, 2.0, 3.0, 4.0),
    }  # fmt: skip
    assert found[1]["bbox_xywh_px"] == (1.0, 1.0, 7.0, 3.0)
    assert [len(part) for part in found[1]["polygons"]] == [1, 1]
    assert found[2]["polygons"] == [[RING]]
    assert found[3]["is_crowd"] is True
    assert found[3]["bbox_xywh_px"] == (0.0, 0.0, 2.0, 10.0)
    assert found[5]["keypoints"] == [
        {"name": "nose", "x": 1.0, "y": 2.0},
        {"name": "tail", "x": 0.0, "y": 0.0, "visibility": 0},
    ]
    assert found[5]["polygons"] == [[RING]]
    assert found[6] == {"id": "7", "source_id": "7", "kind": "caption", "text": "a cat"}
    assert issues == []


@pytest.mark.parametrize(
    ("annotation", "kind", "finding"),
    [
        ({"bbox": [9, 9, 9, 9], "segmentation": [RING]}, "polygon",
         "bbox-disagrees: the bbox given is [9, 9, 9, 9], 14 px off what is outlined; the outline counts"),
        ({"bbox": [0, 0, 9, 9], "segmentation": [[1, 2, 3]]}, "box",
         "polygon-odd: an outline of 3 numbers is no list of x, y pairs; it was left out"),
        ({"bbox": [0, 0, 9, 9], "segmentation": {"size": [10, 20], "counts": [5]}}, "box",
         "mask-invalid: a mask's runs do not fill its 20×10 pixels exactly; it was left out"),
        ({"bbox": [0, 0, 9, 9], "segmentation": {"size": [10**6, 10**6], "counts": "0"}}, "box",
         "mask-invalid: a mask of 1000000×1000000 pixels is empty or above the limit of 178956970 pixels; "
         "it was left out"),
        ({"bbox": [0, 0, 9], "segmentation": [RING]}, "polygon", "bbox-length: a bbox is 4 numbers, not 3"),
        ({"bbox": [0, 0, 9, 9], "keypoints": [1, 1, 2, 5]}, "keypoints",
         "keypoints-length: 4 numbers are no list of x, y, visibility; the last 1 were left out"),
        ({"bbox": [0, 0, 9, 9], "keypoints": [1, 1, 7]}, "keypoints",
         "keypoint-visibility: keypoint 0 has the visibility 7, which is none of 0, 1, 2; taken for 2"),
        ({"bbox": [0, 0, 9, 9], "segmentation": [[1e300, 0, 1, 1, 0, 1]]}, "box",
         "coordinate-beyond: a coordinate of its outline is beyond any picture (1e9 px); it was left out"),
        ({"bbox": [0, 0, float("nan"), 9], "segmentation": [RING]}, "polygon",
         "annotation-invalid: bbox[2]: Input should be a finite number, not nan"),
        ({"bbox": [0, 0, 9, 9], "category_id": 8}, "box", "category-missing: there is no category 8"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_one_annotation_stands_on_it(tmp_path, annotation, kind, finding):
    found, _ = read_one(tmp_path, annotation)
    assert [one["kind"] for one in found] == [kind]
    assert [f"{one['code']}: {one['message']}" for one in found[0]["issues"]] == [finding]


@pytest.mark.parametrize(
    ("annotation", "issue"),
    [
        ({"bbox": [1, 2, "x", 4]},
         "x.json: annotations[1].bbox[2]: Input should be a valid number, unable to parse string as a number, not 'x'; "
         "it was left out. Correct it in the file. [annotation-invalid]"),
        ({"bbox": [1, 2, 3]},
         "x.json: annotations[1]: a.jpg: a bbox is 4 numbers, not 3; nothing of it is left. "
         "Correct it in the file. [annotation-invalid]"),
        ({"bbox": [1, 2, 3, 4], "image_id": 99},
         "x.json: annotations[1].image_id: there is no image 99; the annotation was left out. "
         "Add the image, or take the annotation out. [image-missing]"),
        ({"category_id": 99},
         "x.json: annotations[1].category_id: a.jpg: there is no category 99; the annotation was left out. "
         "Add the category, or correct the id. [category-missing]"),
        ({"id": 1, "bbox": [1, 2, 3, 4]},
         "x.json: annotations[1].id: a.jpg: the id 1 is there already on the same picture; here it is 1#2. "
         "Give each annotation an id of its own. [annotation-id-twice]"),
        ({"bbox": [1, 2, 3, 4], "rbbox": [1, 2, 3, 4, 30]},
         "x.json: annotations[1].rbbox: rbbox may hold coordinates, which would go stale when pixels move; it was left "
         "out. Put it into attributes if it is no geometry. [extras-geometry]"),
        ({"bbox": [1, 2, 3, 4], "attributes": {"a": [float("inf")]}},
         "x.json: annotations[1].attributes.a[0]: inf is no number; null stands for it. "
         "Correct it in the file. [number-not-finite]"),
    ],
)  # fmt: skip
def test_what_cannot_be_represented_is_an_issue_and_the_rest_is_kept(tmp_path, annotation, issue):
    found, issues = read_one(tmp_path, {"bbox": [0, 0, 5, 5]}, annotation, {"bbox": [0, 0, 6, 6]})
    assert issues == [issue]
    assert {one["bbox_xywh_px"][2] for one in found} >= {5.0, 6.0}


def test_elements_of_the_head_that_are_wrong(tmp_path):
    content = document(
        [],
        images=[
            {"id": 1, "file_name": "a.jpg"},
            {"id": 1, "file_name": "b.jpg"},
            {"id": 2, "file_name": "a.jpg"},
            {"id": 3},
            {"file_name": "c.jpg"},
            {"id": 4, "file_name": "../"},
            7,
        ],
        categories=[
            {"id": 1, "name": "cat"},
            {"id": 1, "name": "dog"},
            {"id": 2, "name": "cat"},
            {"id": 3},
            {"name": "x"},
            {"id": 4, "name": "hand", "keypoints": ["a", "a"], "skeleton": [[1, 9], "x"]},
        ],
    )
    labels = read_labels(put(tmp_path, {"x.json": content}) / "x.json", "coco")
    assert [row["key"] for row in labels.rows] == ["a.jpg", "b.jpg", "c.jpg"]
    assert [category.name for category in labels.categories] == ["cat", "3", "hand"]
    assert labels.categories[0].source_ids == ("1", "2")
    assert [(issue.code, issue.place) for issue in labels.issues] == [
        ("image-invalid", "images[6]"),
        ("category-id-twice", "categories[1]"),
        ("category-name-twice", "categories[2]"),
        ("category-unnamed", "categories[3]"),
        ("category-invalid", "categories[4]"),
        ("keypoint-names-twice", "categories[5]"),
        ("skeleton-invalid", "categories[5].skeleton"),
        ("image-id-twice", "images[1]"),
        ("image-twice", "images[2]"),
        ("image-invalid", "images[3]"),
        ("image-invalid", "images[4]"),
        ("picture-name-unusable", "images[5]"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"images": [{"id": 1,', "x.json is no JSON: EOF while parsing a value (line 1 column 21). "
         "The file may be cut off; get it again or correct it there."),
        (b"  ", "x.json is empty. Restore the file, or exclude it from the source."),
        (b"[]", "x.json is a list, as COCO results (predictions) are, not a COCO dataset. "
         "Read it as coco_results; this format wants the annotation file with images and categories."),
        (b'{"a": 1}', "x.json has neither images nor annotations, so it is no COCO. Check the file and its format."),
        (b'{"images": 3}', "images of x.json is no list. Check the file and its format."),
    ],
)  # fmt: skip
def test_files_that_are_no_coco(tmp_path, content, message):
    put(tmp_path, {"x.json": content})
    with pytest.raises(FormatError) as caught:
        read_labels(tmp_path / "x.json", "coco")
    assert str(caught.value) == message


@pytest.mark.parametrize("ids", [(0, 0), (-5, -1), ("ab", "x"), (2**70, 10**15), (1.0, 3.0), ("1", 3)])
def test_any_kind_of_id(tmp_path, ids):
    image, category = ids
    content = document(
        [{"image_id": image, "category_id": category, "bbox": [1, 1, 2, 2]}],
        images=[{"id": image, "file_name": "a.jpg"}],
        categories=[{"id": category, "name": "cat"}],
    )
    labels = read_labels(put(tmp_path, {"x.json": content}) / "x.json", "coco")
    assert labels.issues == ()
    assert labels.rows[0]["annotations"][0]["category"] == "cat"
    assert labels.rows[0]["annotations"][0]["id"] == "0"  # it had none


@pytest.mark.parametrize("ids", [(0, 1), (1, 2), (90, 7), (-3, 0), (5, -5)])
def test_category_numbers_survive_where_they_are_asked_for(tmp_path, ids):
    content = document(
        [{"id": 1, "image_id": 1, "category_id": ids[1], "bbox": [1, 1, 2, 2]}],
        categories=[{"id": ids[0], "name": "cat"}, {"id": ids[1], "name": "dog"}],
    )
    labels = read_labels(put(tmp_path, {"x.json": content}) / "x.json", "coco")
    assert [one.source_ids for one in labels.categories] == [(str(number),) for number in ids]
    export = MemoryExport(labels.rows, labels.categories, pictures={})
    renumbered = {loss.code for loss in check_losses(export, "coco").losses} & {"category-id-renumbered"}
    assert bool(renumbered) == (ids != (1, 2))
    write_labels(export, tmp_path / "out", "coco", options={"category_ids": "source"})
    written = json.loads((tmp_path / "out/annotations/instances.json").read_bytes())
    assert [one["id"] for one in written["categories"]] == list(ids)
    assert written["annotations"][0]["category_id"] == ids[1]
    assert read_labels(tmp_path / "out").categories == labels.categories


@pytest.mark.parametrize(
    ("source_ids", "message"),
    [
        ((("x",), ("2",)), "the category 'cat' has no whole number of its own: ['x']"),
        ((("1", "2"), ("3",)), "the category 'cat' has no whole number of its own: ['1', '2']"),
        ((("3",), ("3",)), "the categories 'cat' and 'dog' both have the number 3"),
    ],
)
def test_category_numbers_that_cannot_be_kept(source_ids, message):
    categories = [
        Category(name=name, index=index, source_ids=given)
        for index, (name, given) in enumerate(zip(("cat", "dog"), source_ids, strict=True))
    ]
    with pytest.raises(UsageError) as caught:
        check_losses(MemoryExport([], categories), "coco", options={"category_ids": "source"})
    assert str(caught.value) == f"{message}. Leave category_ids out, and they are numbered by their index from 1."


def test_lvis(tmp_path):
    cat = {
        "id": 3,
        "name": "cat",
        "synset": "cat.n.01",
        "synonyms": ["cat", "kitty"],
        "def": "a feline",
        "frequency": "f",
    }
    image = {
        "id": 1,
        "coco_url": "http://x/val2017/a.jpg",
        "neg_category_ids": [3, 99],
        "not_exhaustive_category_ids": [3],
    }
    content = document([], images=[image], categories=[cat, {**cat, "id": 4, "name": "dog", "synonyms": []}])
    labels = read_labels(put(tmp_path, {"lvis_v1_val.json": content}) / "lvis_v1_val.json")
    (row,) = labels.rows
    assert (row["key"], row["absent_categories"], row["not_exhaustive_categories"]) == (
        "val2017/a.jpg",
        ["cat"],
        ["cat"],
    )
    assert [one.guideline for one in labels.categories] == ["a feline", "a feline"]
    assert [issue.describe() for issue in labels.issues] == [
        "lvis_v1_val.json: categories: a category has no place for these fields of it, which were left out: "
        "frequency (2), synonyms (1), synset (2). Nothing need be done. [category-field-dropped]",
        "lvis_v1_val.json: images[0].neg_category_ids: val2017/a.jpg: of its 2 categories 1 are not there (99); they "
        "were left out. Add the category, or correct the id. [category-missing]",
    ]
    write_labels(MemoryExport(labels.rows, labels.categories, pictures={}), tmp_path / "out", "coco", strict=True)
    again = read_labels(tmp_path / "out")
    assert again.rows[0]["absent_categories"] == ["cat"]
    assert again.rows[0]["not_exhaustive_categories"] == ["cat"]
    assert [one.guideline for one in again.categories] == ["a feline", "a feline"]


def test_facts_of_pictures_licences_and_info(tmp_path):
    image = {
        "id": 1, "file_name": "a.jpg", "license": 4, "coco_url": "http://x/a.jpg", "flickr_url": "http://f/a.jpg",
        "date_captured": "2013-11-14", "width": 640.0, "height": "480", "weather": "rain", "empty": "",
        "neg_category_ids": [3, 99], "not_exhaustive_category_ids": [],
    }  # fmt: skip
    licenses = [{"id": 4, "name": "CC BY", "url": "http://cc"}, {"id": 0, "name": "", "url": ""}]
    content = document([], images=[image], licenses=licenses, info={"year": 2017, "url": ""})
    labels = read_labels(put(tmp_path, {"instances_train2017.json": content}) / "instances_train2017.json")
    assert labels.rows == (
        {
            "key": "a.jpg",
            "source_id": "1",
            "subsets": ["train"],
            "labelled": "yes",
            "provenance": {"license": "CC BY", "captured_at": "2013-11-14", "uri": "http://x/a.jpg"},
            "attributes": {"flickr_url": "http://f/a.jpg", "weather": "rain"},
            "absent_categories": ["cat"],
        },
    )
    assert labels.licenses == (License(name="CC BY", id="4", url="http://cc"),)
    assert labels.info == {"year": 2017}


def test_the_same_name_in_two_splits_without_pictures_is_two_pictures(tmp_path):
    train = document([], images=[{"id": 1, "file_name": "a.jpg", "width": 4, "height": 4}])
    val = document([], images=[{"id": 9, "file_name": "a.jpg", "width": 8, "height": 4}])
    put(tmp_path, {"annotations/instances_train.json": train, "annotations/instances_val.json": val})
    assert [(row["key"], row["subsets"]) for row in read_labels(tmp_path).rows] == [
        ("a.jpg", ["train"]),
        ("val/a.jpg", ["val"]),
    ]
    put(tmp_path, {"annotations/instances_val.json": train, "train/a.jpg": b"x", "val/a.jpg": b"x"})
    assert [(row["key"], row["subsets"]) for row in read_labels(tmp_path).rows] == [
        ("train/a.jpg", ["train"]),
        ("val/a.jpg", ["val"]),
    ]


def test_annotations_of_several_files_are_joined_by_picture(tmp_path):
    box = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [0, 0, 5, 5]}
    points = {**box, "keypoints": [1, 1, 2]}
    names = [{"id": 3, "name": "cat", "keypoints": ["nose"]}]
    caption = {"id": 1, "image_id": 1, "caption": "hi"}
    put(
        tmp_path,
        {
            "annotations/instances_train.json": document([box]),
            "annotations/instances_all.json": document([box]),
            "annotations/person_keypoints_train.json": document([points], categories=names),
            "annotations/captions_train.json": document([caption], categories=[]),
            "annotations/stuff_train.json": document([{**box, "bbox": [1, 1, 2, 2]}]),
        },
    )
    labels = read_labels(tmp_path)
    row = labels.rows[0]
    assert [(one["id"], one["kind"]) for one in row["annotations"]] == [
        ("1", "keypoints"),  # the same object as in instances
        ("stuff:1", "box"),
        ("captions:1", "caption"),
    ]
    assert row["subsets"] == ["all", "train"]
    assert labels.categories[0].keypoint_names == ("nose",)
    assert labels.issues == ()


def test_other_json_is_not_taken_for_coco(tmp_path):
    put(
        tmp_path,
        {
            "labelme.json": {"version": "5", "shapes": [], "imagePath": "a.jpg"},
            "datumaro.json": {"info": {}, "categories": {}, "items": []},
            "panoptic_val.json": document([{"image_id": 1, "segments_info": []}]),
            "results.json": [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 1, 1], "score": 0.5}],
            "broken.json": b"{",
        },
    )
    assert Coco().detect(scan(str(tmp_path))) is None
    put(tmp_path, {"annotations/instances_val.json": document([])})
    found = Coco().detect(scan(str(tmp_path)))
    assert found is not None
    assert found.why == "found annotations/instances_val.json with images and annotations"
    assert Coco().label_files(scan(str(tmp_path))) == ["annotations/instances_val.json"]


def full_export() -> MemoryExport:
    keypoints = [{"name": "nose", "x": 3.0, "y": 4.0}, {"name": "tail", "x": 9.0, "y": 9.0, "visibility": 1}]
    box = {"category": "cat", "bbox_xywh_px": (1.0, 2.0, 10.0, 8.0)}
    rows = [
        {
            "key": "blood/a.jpg", "source_id": "17", "width_px": 32, "height_px": 24,
            "split": "train", "labelled": "yes",
            "annotations": [
                {"id": "5", "kind": "box", **box, "score": 0.5, "attributes": {"occluded": True}},
                {"id": "9", "kind": "keypoints", **box, "keypoints": keypoints},
                {"id": "2", "kind": "polygon", "category": "dog", "polygons": HOLED},
                {"id": "3", "kind": "caption", "text": "a cat"},
                {"id": "4", "kind": "image_label", "category": "dog"},
            ],
        },
        {"key": "blood/b.jpg", "source_id": "4", "width_px": 8, "height_px": 8, "split": "train", "labelled": "yes"},
        {"key": "blood/c.jpg", "source_id": "5", "width_px": 8, "height_px": 8},
    ]  # fmt: skip
    skeleton = {"keypoint_names": ("nose", "tail"), "skeleton": ((0, 1),)}
    categories = [Category(name="dog", index=0), Category(name="cat", index=1, supercategory="pet", **skeleton)]
    return MemoryExport(rows, categories, info={"year": 2024}, licenses=[License(name="CC0", id="3", url="http://cc0")])


def test_what_is_written(tmp_path):
    report = write_labels(full_export(), tmp_path / "out", "coco")
    files = files_of(tmp_path / "out")
    assert sorted(files) == [
        "annotations/captions_train.json",
        "annotations/image_info.json",
        "annotations/instances_train.json",
        "annotations/labels_train.json",
        "images/blood/a.jpg",
        "images/blood/b.jpg",
        "images/blood/c.jpg",
    ]
    content = json.loads(files["annotations/instances_train.json"])
    assert content["info"] == {"year": 2024}
    assert content["licenses"] == [{"id": 3, "name": "CC0", "url": "http://cc0"}]
    assert content["categories"] == [
        {"id": 1, "name": "dog", "supercategory": ""},
        {"id": 2, "name": "cat", "supercategory": "pet", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]},
    ]
    assert content["images"] == [
        {"id": 17, "file_name": "blood/a.jpg", "width": 32, "height": 24},
        {"id": 4, "file_name": "blood/b.jpg", "width": 8, "height": 8},
    ]
    box, keypoints, mask = content["annotations"]
    assert box == {
        "id": 5, "image_id": 17, "category_id": 2, "bbox": [1.0, 2.0, 10.0, 8.0], "segmentation": [], "area": 80.0,
        "iscrowd": 0, "keypoints": [0] * 6, "num_keypoints": 0, "score": 0.5, "attributes": {"occluded": True},
    }  # fmt: skip
    assert keypoints["keypoints"] == [3.0, 4.0, 2, 9.0, 9.0, 1]
    assert mask["area"] == 48.0
    assert [loss.code for loss in report.losses] == ["polygon-holes"]
    assert json.loads(files["annotations/captions_train.json"])["annotations"] == [
        {"id": 3, "image_id": 17, "caption": "a cat"}
    ]
    assert json.loads(files["annotations/labels_train.json"])["annotations"] == [
        {"id": 4, "image_id": 17, "category_id": 1}
    ]


def test_pycocotools_opens_what_is_written(tmp_path):
    write_labels(full_export(), tmp_path / "out", "coco")
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = COCO(str(tmp_path / "out/annotations/instances_train.json"))
    assert sorted(dataset.getImgIds()) == [4, 17]
    assert dataset.getCatIds() == [1, 2]
    (mask,) = dataset.loadAnns(dataset.getAnnIds(catIds=[1]))
    pixels = dataset.annToMask(mask)
    assert pixels.sum() == 48
    assert pixels[4, 4] == 0  # the hole
    assert dataset.loadImgs(17)[0]["file_name"] == "blood/a.jpg"
    assert (tmp_path / "out/images" / dataset.loadImgs(17)[0]["file_name"]).is_file()


@pytest.mark.parametrize("name", ["captions_train.json", "labels_train.json"])
def test_pycocotools_opens_files_without_boxes(tmp_path, name):
    write_labels(full_export(), tmp_path / "out", "coco")
    with contextlib.redirect_stdout(io.StringIO()):
        assert COCO(str(tmp_path / "out/annotations" / name)).getImgIds() == [17]


def test_categories_outlive_captions_alone(tmp_path):
    caption = {"id": "1", "kind": "caption", "text": "a cat"}
    rows = [{"key": "a.jpg", "labelled": "yes", "annotations": [caption]}]
    write_labels(MemoryExport(rows, [Category(name="cat", index=0)]), tmp_path / "out", "coco")
    again = read_labels(tmp_path / "out", "coco")
    assert [category.name for category in again.categories] == ["cat"]
    assert again.rows[0]["annotations"] == [{"id": "1", "source_id": "1", "kind": "caption", "text": "a cat"}]


def test_ids_that_are_no_numbers_are_made_from_keys_and_stay(tmp_path):
    box = {"id": "0", "kind": "box", "category": "cat", "bbox_xywh_px": (1.0, 1.0, 2.0, 2.0)}
    rows = [{"key": f"s/{name}.jpg", "labelled": "yes", "annotations": [box]} for name in "abc"]
    cat = [Category(name="cat", index=0)]
    ids = []
    for count in (2, 3):
        export = MemoryExport(rows[:count], cat)
        report = write_labels(export, tmp_path / f"out{count}", "coco")
        assert report.is_lossless
        assert [loss.code for loss in report.losses] == ["id-renumbered", "image-id-made"]
        content = json.loads((tmp_path / f"out{count}/annotations/instances.json").read_bytes())
        ids.append([image["id"] for image in content["images"]])
        assert [one["id"] for one in content["annotations"]] == list(range(1, count + 1))
    assert ids[1][:2] == ids[0]


def test_shapes_that_cannot_be_read_back_are_a_loss():
    broken = [
        {"kind": "polygon", "polygons": (((float("nan"), 0.0, 1.0, 1.0),),)},
        {"kind": "polygon", "polygons": (((0.0, 0.0, 1.0),),)},
        {"kind": "mask", "mask": {"size": [2, 2], "counts": "!"}},
        {"kind": "box"},
        {"kind": "box", "bbox_xywh_px": (0.0, 0.0, 1e12, 1.0)},
        {"kind": "keypoints", "keypoints": []},
        {"kind": "box", "category": "unknown", "bbox_xywh_px": (0.0, 0.0, 1.0, 1.0)},
    ]
    rows = [
        {"key": f"{index}.jpg", "labelled": "yes", "annotations": [{"id": "1", "category": "cat", **one}]}
        for index, one in enumerate(broken)
    ]
    report = check_losses(MemoryExport(rows, [Category(name="cat", index=0)]), "coco")
    assert sum(loss.count for loss in report.refusals) == len(broken)
    assert {loss.code for loss in report.refusals} == {"shape-broken", "category-unknown"}


@pytest.mark.realdata
def test_real_instances_and_crowds(shared_data):
    folder = shared_data / "labelbox/tests/data/assets/coco"
    instances = read_labels(folder / "instances.json")
    assert len(instances) == 10
    assert Counter(one["kind"] for row in instances.rows for one in row["annotations"]) == {"polygon": 62}
    assert len(instances.categories) == 80
    assert len(instances.licenses) == 8
    assert not instances.issues
    crowds = read_labels(folder / "rle.json")
    annotations = [one for row in crowds.rows for one in row["annotations"]]
    assert Counter(one["kind"] for one in annotations) == {"polygon": 221, "mask": 10}
    assert sum(one.get("is_crowd", False) for one in annotations) == 10
    assert not any(one.get("issues") for one in annotations)
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = COCO(str(folder / "rle.json"))
    for row in crowds.rows:
        for one in row["annotations"]:
            given = dataset.anns[int(one["id"])]["bbox"]
            assert one["bbox_xywh_px"] == pytest.approx(given, abs=1.0)


@pytest.mark.realdata
def test_a_real_set_survives_being_written(shared_data, tmp_path):
    source = read_labels(shared_data / "labelbox/tests/data/assets/coco/rle.json")
    export = MemoryExport(source.rows, source.categories, info=source.info, licenses=source.licenses, pictures={})
    assert [loss.code for loss in check_losses(export, "coco").losses] == ["category-id-renumbered"]
    report = write_labels(export, tmp_path / "out", "coco", strict=True, options={"category_ids": "source"})
    assert report.losses == ()
    again = read_labels(tmp_path / "out")
    assert [{**row, "key": row["key"].removeprefix("images/")} for row in again.rows] == list(source.rows)
    assert again.categories == source.categories
    assert again.info == source.info
    assert again.licenses == source.licenses


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "kinds", "labelled"),
    [
        ("coco", {"keypoints": 3, "caption": 3, "image_label": 3, "mask": 2}, 2),
        ("coco_captions", {"caption": 3}, 2),
        ("coco_image_info", {}, 0),
        ("coco_instances", {"box": 1, "polygon": 1, "mask": 1}, 2),
        ("coco_labels", {"image_label": 3}, 2),
        ("coco_person_keypoints", {"keypoints": 3}, 2),
        ("coco_roboflow", {"box": 1, "polygon": 1, "mask": 1}, 2),
        ("coco_stuff", {"mask": 2}, 2),
        ("mmdet_coco", {"box": 1, "polygon": 1, "mask": 1}, 2),
    ],
)
def test_every_layout(shared_data, name, kinds, labelled):
    folder = shared_data / "formats-tiny/coco_dataset" / name
    assert registry.detect(scan(str(folder)))[0].format == "coco"
    labels = read_labels(folder)
    assert len(labels) == 2
    assert Counter(one["kind"] for row in labels.rows for one in row.get("annotations", ())) == kinds
    assert sum(row.get("labelled") == "yes" for row in labels.rows) == labelled
    assert [row["subsets"] for row in labels.rows] == [["train"], ["val"]]
    assert all((folder / row["key"]).is_file() for row in labels.rows)
    assert {issue.code for issue in labels.issues} <= {"keypoint-names-missing"}


@pytest.mark.realdata
def test_a_real_malformed_file(shared_data):
    labels = read_labels(shared_data / "mindspore-json/coco_wrong_format_sample.json")
    assert [one["id"] for one in labels.rows[0]["annotations"]] == ["1", "1#2"]
    assert [issue.code for issue in labels.issues] == ["annotation-id-twice"]


@pytest.mark.realdata
def test_predictions_are_refused_with_what_to_do(shared_data):
    path = shared_data / "coco-results/instances_val2014_fakebbox100_results.json"
    with pytest.raises(FormatError, match="is a list, as COCO results"):
        read_labels(path, "coco")


@pytest.mark.parametrize(
    "bad",
    [
        {"bbox": "1,2,3,4"},
        {"segmentation": {"size": [10, 20], "counts": [1, 2]}},
        {"category_id": 99},
    ],
)
def test_a_picture_of_which_an_annotation_is_unreadable_is_labelled_in_part(tmp_path, bad):
    good = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 1, 2, 2]}
    first = document([good, {"id": 2, "image_id": 1, "category_id": 3, **bad}])
    put(tmp_path, {"annotations/instances_a.json": first, "annotations/instances_b.json": document([good])})
    (row,) = read_labels(tmp_path, "coco").rows
    assert row["labelled"] == "partial"
    assert len(row["annotations"]) == 1
