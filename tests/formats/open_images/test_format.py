from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dsetkit.errors import FormatError
from dsetkit.formats import registry
from dsetkit.formats.open_images.files import subset_of, what_of
from dsetkit.formats.open_images.format import OpenImages
from dsetkit.formats.reading import read_labels
from dsetkit.formats.testing import FormatContract, MemoryExport, files_of, png
from dsetkit.formats.writing import write_labels
from dsetkit.geometry import rle
from dsetkit.imaging.mask_png import write_mask
from dsetkit.spec.category import Category
from dsetkit.storage.scan import scan

BOXES = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
LABELS = "ImageID,Source,LabelName,Confidence"
MASKS = "MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks"
RELATIONS = "ImageID,LabelName1,LabelName2,XMin1,XMax1,YMin1,YMax1,XMin2,XMax2,YMin2,YMax2,RelationshipLabel"
INFO = (
    "ImageID,Subset,OriginalURL,OriginalLandingURL,License,AuthorProfileURL,Author,Title,OriginalSize,OriginalMD5,"
    "Thumbnail300KURL,Rotation"
)
NAMES = "/m/0cmf2,Fixed-wing aircraft\n/m/02xwb,Fruit\n/m/011k07,Tortoise\n"
ID = "0001eeaf4aed83f9"


class TestOpenImages(FormatContract):
    format = OpenImages()


def put(folder: Path, files: dict[str, list[str]], names: str = NAMES, picture: bytes | None = None) -> Path:
    for name, lines in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("\n".join(lines) + "\n")
    if names:
        (folder / "class-descriptions-boxable.csv").write_text(names)
    (folder / f"{ID}.jpg").write_bytes(png(200, 100) if picture is None else picture)
    return folder


def read(folder: Path, **options: Any) -> Any:
    return read_labels(folder, "open_images", options=options)


def test_boxes_are_fractions_of_the_pictures_sides(tmp_path):
    lines = [
        BOXES,
        f"{ID},xclick,/m/0cmf2,1,0.022673031,0.9642005,0.07103825,0.80054647,0,0,0,0,0",
        f"{ID},activemil,/m/02xwb,1,0.5,0.75,0.25,0.5,1,-1,1,1,-1",
        f"{ID},xclick,/m/02xwb,1,0.5,0.75,0.25,0.5,-1,-1,-1,-1,-1",
    ]
    labels = read(put(tmp_path, {"oidv6-train-annotations-bbox.csv": lines}))
    (row,) = labels.rows
    assert (row["key"], row["source_id"], row["subsets"], row["labelled"]) == (f"{ID}.jpg", ID, ["train"], "yes")
    assert (row["width_px"], row["height_px"]) == (200, 100)
    first, second, third = row["annotations"]
    assert first["category"] == "Fixed-wing aircraft"
    assert first["bbox_xywh_px"] == pytest.approx([4.5346062, 7.103825, 188.3054938, 72.950822])
    assert first["attributes"] == {"is_depiction": False, "is_inside": False, "occluded": False, "truncated": False}
    assert (first["origin"], first["extras"]) == ("human", {"open_images": {"Source": "xclick"}})
    assert "score" not in first  # a dummy, always 1
    assert second["bbox_xywh_px"] == [100.0, 25.0, 50.0, 25.0]
    assert second["attributes"] == {"is_depiction": True, "occluded": True}  # -1 is unknown, and not said
    assert (second["is_crowd"], second["origin"]) == (True, "model")
    assert "attributes" not in third
    assert third["extras"] == {"open_images": {"IsGroupOf": -1, "Source": "xclick"}}
    assert [item["id"] for item in row["annotations"]] == ["0", "1", "2"]
    assert [(item.name, item.source_ids) for item in labels.categories] == [
        ("Fixed-wing aircraft", ("/m/0cmf2",)),
        ("Fruit", ("/m/02xwb",)),
        ("Tortoise", ("/m/011k07",)),
    ]
    assert labels.issues == ()


def test_labels_of_people_are_there_or_not_and_those_of_machines_are_proposed(tmp_path):
    human = [LABELS, f"{ID},verification,/m/02xwb,1", f"{ID},crowdsource-verification,/m/011k07,0"]
    machine = [LABELS, f"{ID},machine,/m/0cmf2,0.8", f"{ID},machine,/m/02xwb,0.0"]
    files = {
        "validation-annotations-human-imagelabels-boxable.csv": human,
        "validation-annotations-machine-imagelabels.csv": machine,
    }
    (row,) = read(put(tmp_path, files)).rows
    assert row["subsets"] == ["val"]
    assert row["absent_categories"] == ["Tortoise"]
    assert row["labelled"] == "yes"
    said = [(item["category"], item.get("status"), item.get("score"), item["origin"]) for item in row["annotations"]]
    assert said == [
        ("Fruit", None, None, "human"),
        ("Fixed-wing aircraft", "proposed", 0.8, "model"),
        ("Fruit", "proposed", 0.0, "model"),
    ]


def test_only_machines_labels_are_labels_in_part(tmp_path):
    files = {"train-annotations-machine-imagelabels.csv": [LABELS, f"{ID},machine,/m/0cmf2,0.8"]}
    (row,) = read(put(tmp_path, files)).rows
    assert row["labelled"] == "partial"


def test_a_class_that_is_there_and_is_not_is_told_of(tmp_path):
    human = [LABELS, f"{ID},verification,/m/02xwb,1", f"{ID},crowdsource-verification,/m/02xwb,0"]
    labels = read(put(tmp_path, {"train-annotations-human-imagelabels.csv": human}))
    assert "absent_categories" not in labels.rows[0]
    assert [issue.describe() for issue in labels.issues] == [
        f"{ID}.jpg: a class is said to be on the picture, and not to be; it is taken to be. Correct the labels of the "
        "picture. [labels-contradict]"
    ]


def test_a_mask_of_another_size_makes_its_box_a_mask(tmp_path):
    boxes = [BOXES, f"{ID},xclick,/m/02xwb,1,0.5,0.75,0.25,0.5,0,0,0,0,0", f"{ID},xclick,/m/0cmf2,1,0,1,0,1,0,0,0,0,0"]
    masks = [
        MASKS,
        f"{ID}_m02xwb_fe16d025.png,{ID},/m/02xwb,fe16d025,0.500000,0.750001,0.250000,0.500000,0.86864,",
        f"{ID}_m011k07_1a2b3c4d.png,{ID},/m/011k07,1a2b3c4d,0.1,0.2,0.1,0.2,0.5,0.1 0.2 1",
        f"{ID}_m0cmf2_00000000.png,{ID},/m/0cmf2,00000000,0,1,0,1,0.5,",
    ]
    drawn = np.zeros((50, 100), np.bool_)
    drawn[13:25, 50:75] = True
    files = {"train-annotations-bbox.csv": boxes, "train-annotations-object-segmentation.csv": masks}
    folder = put(tmp_path, files)
    (folder / f"{ID}_m02xwb_fe16d025.png").write_bytes(write_mask(drawn, level=255))
    (folder / f"{ID}_m011k07_1a2b3c4d.png").write_bytes(write_mask(drawn[::-1], level=255))
    labels = read(folder)
    (row,) = labels.rows  # masks are no samples
    mask, box, own = row["annotations"]
    assert (mask["kind"], mask["category"], mask["source_id"]) == ("mask", "Fruit", "fe16d025")
    assert mask["bbox_xywh_px"] == [100.0, 25.0, 50.0, 25.0]  # as it was drawn
    assert mask["extras"] == {"open_images": {"Source": "xclick", "PredictedIoU": 0.86864}}
    assert rle.mask_bbox(mask["mask"]) == (100.0, 26.0, 50.0, 24.0)
    assert rle.mask_area(mask["mask"]) == 50 * 24
    assert box["kind"] == "box"
    assert (own["kind"], own["category"], own["bbox_xywh_px"]) == ("mask", "Tortoise", [100.0, 50.0, 50.0, 24.0])
    assert row["labelled"] == "partial"
    assert [issue.describe() for issue in labels.issues] == [
        "train-annotations-object-segmentation.csv: nothing is made of the columns Clicks. [columns-unread]",
        f"train-annotations-object-segmentation.csv: record 3: {ID}.jpg: the mask '{ID}_m0cmf2_00000000.png' is not "
        "there. Put it beside the tables. [mask-missing]",
    ]
    tree = scan(str(folder))
    assert [path for path in OpenImages().label_files(tree) if path.endswith(".png")] == [
        f"{ID}_m011k07_1a2b3c4d.png",
        f"{ID}_m02xwb_fe16d025.png",
    ]


def test_relations_point_from_box_to_box(tmp_path):
    boxes = [
        BOXES,
        f"{ID},xclick,/m/02xwb,1,0.5,0.75,0.25,0.5,0,0,0,0,0",
        f"{ID},xclick,/m/02xwb,1,0.4,0.75,0.25,0.5,0,0,0,0,0",
        f"{ID},xclick,/m/0cmf2,1,0,1,0,1,0,0,0,0,0",
    ]
    relations = [
        RELATIONS,
        f"{ID},/m/02xwb,/m/0cmf2,0.4001,0.75,0.25,0.5,0,1,0,1,on",
        f"{ID},/m/02xwb,/m/05z87,0.5,0.75,0.25,0.5,0.5,0.75,0.25,0.5,is",
        f"{ID},/m/02xwb,/m/011k07,0.5,0.75,0.25,0.5,0.1,0.2,0.3,0.4,under",
    ]
    files = {"train-annotations-bbox.csv": boxes, "oidv6-train-annotations-vrd.csv": relations}
    labels = read(put(tmp_path, files, NAMES + "/m/05z87,Plastic\n"))
    first, second, third = labels.rows[0]["annotations"]
    assert second["relations"] == [{"kind": "on", "target": "2"}]
    assert first["attributes"]["is"] == ["Plastic"]
    assert "relations" not in first
    assert "relations" not in third
    assert [issue.describe() for issue in labels.issues] == [
        f"oidv6-train-annotations-vrd.csv: record 3: {ID}.jpg: 'under' is of a box that is not there (Tortoise). Add "
        "the table of boxes of the same pictures. [relation-unmatched]"
    ]


def test_facts_about_pictures(tmp_path):
    info = [
        INFO,
        f"{ID},train,https://c1.staticflickr.com/1_o.jpg,https://www.flickr.com/1,https://creativecommons.org/by/2.0/,"
        'https://www.flickr.com/people/x,"Ann, B.","A ""title""",2038323,I4V4qq54NBEFDwBqPYCkDA==,https://c1/1_z.jpg,'
        "90.0",
        "ffffffffffffffff,train,https://x/2.jpg,,,,,,,,,",
    ]
    boxes = [BOXES, f"{ID},xclick,/m/02xwb,1,0.5,0.75,0.25,0.5,0,0,0,0,0"]
    files = {"train-annotations-bbox.csv": boxes, "train-images-boxable-with-rotation.csv": info}
    labels = read(put(tmp_path, files))
    (row,) = labels.rows
    assert row["provenance"] == {
        "uri": "https://c1.staticflickr.com/1_o.jpg",
        "license": "https://creativecommons.org/by/2.0/",
        "author": "Ann, B.",
    }
    assert row["attributes"] == {
        "author_url": "https://www.flickr.com/people/x",
        "landing_url": "https://www.flickr.com/1",
        "original_md5": "I4V4qq54NBEFDwBqPYCkDA==",
        "original_size_bytes": 2038323,
        "rotation_deg": 90,
        "thumbnail_url": "https://c1/1_z.jpg",
        "title": 'A "title"',
    }
    assert row["annotations"][0]["bbox_xywh_px"] == [100.0, 25.0, 50.0, 25.0]  # nothing is turned by it
    assert [item.name for item in labels.licenses] == ["https://creativecommons.org/by/2.0/"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_of_the_picture_as_stored(tmp_path, orientation):
    """A white patch is where the box says, also when the picture has been turned upright."""
    stored = np.zeros((100, 200), np.uint8)
    stored[25:50, 100:120] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.fromarray(stored).save(out, "PNG", exif=exif)
    boxes = [BOXES, f"{ID},xclick,/m/02xwb,1,0.5,0.6,0.25,0.5,0,0,0,0,0"]
    (tmp_path / "x").mkdir()
    folder = put(tmp_path / "x", {"train-annotations-bbox.csv": boxes}, picture=out.getvalue())
    (row,) = read(folder).rows
    from PIL import ImageOps

    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(out.getvalue()))))
    assert (row["height_px"], row["width_px"]) == upright.shape
    rows, columns = np.nonzero(upright)
    x, y, w, h = row["annotations"][0]["bbox_xywh_px"]
    assert (x, y) == pytest.approx((columns.min(), rows.min()))
    assert (x + w, y + h) == pytest.approx((columns.max() + 1, rows.max() + 1))
    (row,) = read(folder, frame="upright").rows
    assert row["annotations"][0]["bbox_xywh_px"] == pytest.approx(
        [0.5 * upright.shape[1], 25 * upright.shape[0] / 100, 0.1 * upright.shape[1], 0.25 * upright.shape[0]]
    )


def test_pictures_that_are_not_there_are_passed_over_with_one_issue(tmp_path):
    others = [f"{number:016x},xclick,/m/02xwb,1,0.5,0.75,0.25,0.5,0,0,0,0,0" for number in range(1000)]
    boxes = [BOXES, *others, f"{ID},xclick,/m/02xwb,1,0.5,0.75,0.25,0.5,0,0,0,0,0"]
    folder = put(tmp_path, {"train-annotations-bbox.csv": boxes})
    labels = read(folder)
    assert len(labels) == 1
    assert [issue.describe() for issue in labels.issues] == [
        "labels of 1,000 pictures that are not here were left out (the first is 0000000000000000). Put the pictures "
        "there, or pass the option pictures: all. [pictures-absent]"
    ]
    assert len(read(folder, pictures="all")) == 1001
    (folder / f"{ID}.jpg").rename(folder / "other.jpg")
    everything = read(folder)
    assert len(everything) == 1002
    assert {issue.code for issue in everything.issues} == {"picture-missing", "picture-size-unknown"}


def test_without_a_size_labels_stay_and_boxes_go(tmp_path):
    boxes = [BOXES, f"{ID},xclick,/m/02xwb,1,0.5,0.75,0.25,0.5,0,0,0,0,0"]
    files = {"a/train-annotations-bbox.csv": boxes, "a/train-annotations-human-imagelabels.csv": [LABELS, f"{ID},,x,1"]}
    labels = read(put(tmp_path, files) / "a")
    (row,) = labels.rows
    assert row["labelled"] == "partial"
    assert [(item["id"], item["kind"], item["category"]) for item in row["annotations"]] == [("0", "image_label", "x")]
    assert [issue.describe() for issue in labels.issues] == [
        f"{ID}: the picture is not there or shows no size, so its fractions cannot become pixels. Put the pictures "
        "beside the labels, or their sizes into images.meta. [picture-size-unknown]"
    ]
    (tmp_path / "a" / "images.meta").write_text(f'# id height width\n"{ID}" 100 200\n')
    (row,) = read(tmp_path / "a").rows
    assert row["annotations"][0]["bbox_xywh_px"] == [100.0, 25.0, 50.0, 25.0]


def test_what_is_wrong_with_a_record_is_told_with_its_number(tmp_path):
    boxes = [
        BOXES,
        f"{ID},xclick,/m/02xwb,1,0.5,x,0.25,0.5,0,0,0,0,0",
        f"{ID},xclick,/m/02xwb,1,0.5,1e300,0.25,0.5,0,0,0,0,0",
        f"{ID},xclick,/m/02xwb,1,0.5",
        f"{ID},xclick,/m/02xwb,1,0.5,0.75,0.25,0.5,0,0,0,0,0",
    ]
    labels = read(put(tmp_path, {"train-annotations-bbox.csv": boxes}))
    assert labels.rows[0]["labelled"] == "partial"
    assert len(labels.rows[0]["annotations"]) == 1
    said = "a cell that should be a number or a class is none; the record was left out. Correct the record."
    assert [issue.describe() for issue in labels.issues] == [
        "train-annotations-bbox.csv: record 3: a record has 5 cells, not 13; it was left out. Put cells that hold a "
        "comma in quotes. [row-malformed]",
        f"train-annotations-bbox.csv: record 1: {ID}.jpg: {said} [row-malformed]",
        f"train-annotations-bbox.csv: record 2: {ID}.jpg: {said} [row-malformed]",
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\n", "a.csv is not UTF-8 text (byte 121)"),
        (b'"' + b"x" * 9_000_000, "a.csv is no proper CSV from record 1 on"),
    ],
)
def test_a_table_that_cannot_be_read_is_an_error(tmp_path, data, message):
    (tmp_path / "a.csv").write_bytes(f"{BOXES}\n".encode() + data)
    with pytest.raises(FormatError) as caught:
        read(tmp_path)
    assert caught.value.message.startswith(message.replace("121", str(len(BOXES) + 1)))
    assert caught.value.hint


def test_the_hierarchy_gives_what_is_above(tmp_path):
    boxes = [BOXES, f"{ID},xclick,/m/02xwb,1,0.5,0.75,0.25,0.5,0,0,0,0,0"]
    folder = put(tmp_path, {"train-annotations-bbox.csv": boxes})
    (folder / "bbox_labels_600_hierarchy.json").write_text(
        '{"LabelName": "/m/0bl9f", "Subcategory": [{"LabelName": "/m/02xwb", "Subcategory": [{"LabelName": '
        '"/m/011k07"}]}, {"LabelName": "/m/0cmf2"}]}'
    )
    categories = {item.name: item.supercategory for item in read(folder).categories}
    assert categories == {"Fixed-wing aircraft": None, "Fruit": None, "Tortoise": "Fruit"}


def test_two_ids_of_one_name_are_one_category(tmp_path):
    boxes = [BOXES, f"{ID},xclick,/m/02xwb,1,0.5,0.75,0.25,0.5,0,0,0,0,0"]
    labels = read(put(tmp_path, {"train-annotations-bbox.csv": boxes}, NAMES + "/m/0aaa,Fruit\n"))
    assert [item.source_ids for item in labels.categories if item.name == "Fruit"] == [("/m/02xwb", "/m/0aaa")]
    assert [issue.code for issue in labels.issues] == ["class-name-shared"]


def test_tables_of_the_challenges_and_of_version_1():
    assert what_of(["ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsGroupOf"]) == "boxes"
    assert what_of(["ImageID", "LabelName", "Confidence"]) == "labels"
    assert what_of(["ImageId", "X", "Y", "Label", "EstimatedYesNo", "Source", "YesVotes"]) == "points"
    assert what_of(("filename", "class", "xmin")) is None
    assert subset_of("challenge-2019-train-detection-bbox.csv") == "train"
    assert subset_of("challenge-2019-validation-vrd.csv") == "val"
    assert subset_of("a/fold_1-annotations-bbox.csv") == "fold_1"
    assert subset_of("2016_08/validation/labels.csv") == "val"
    assert subset_of("labels.csv") is None
    assert [subset_of(f"annotations/annotations-{what}.csv") for what in ("vrd", "bbox", "object-segmentation")] == [
        None,
        None,
        None,
    ]


def test_a_list_of_classes_alone_is_not_open_images(tmp_path):
    (tmp_path / "class-descriptions.csv").write_text(NAMES)
    assert OpenImages().detect(scan(str(tmp_path))) is None


def test_written_tables_to_the_byte(tmp_path):
    rows = [
        {
            "key": "src/a.png",
            "width_px": 200,
            "height_px": 100,
            "split": "val",
            "labelled": "yes",
            "absent_categories": ["dog"],
            "provenance": {"license": "CC0", "author": "Ann"},
            "annotations": [
                {"id": "0", "kind": "image_label", "category": "a, b"},
                {
                    "id": "1",
                    "kind": "box",
                    "category": "dog",
                    "bbox_xywh_px": [100.0, 25.0, 50.0, 25.0],
                    "is_crowd": True,
                    "score": 0.5,
                    "attributes": {"occluded": True, "truncated": False},
                },
            ],
        }
    ]
    categories = [Category(name="a, b", index=0), Category(name="dog", index=1, source_ids=("/m/0bt9lr",))]
    report = write_labels(MemoryExport(rows, categories), tmp_path / "out", "open_images")
    assert report.is_lossless, report.describe()
    files = {name: data.decode() for name, data in files_of(tmp_path / "out").items() if not name.endswith(".png")}
    assert files == {
        "annotations/class-descriptions.csv": '"a, b","a, b"\n/m/0bt9lr,dog\n',
        "annotations/images.meta": '"a" 100 200\n',
        "annotations/validation-annotations-bbox.csv": f"{BOXES}\na,,/m/0bt9lr,0.5,0.5,0.75,0.25,0.5,1,0,1,-1,-1\n",
        "annotations/validation-annotations-human-imagelabels.csv": f'{LABELS}\na,,"a, b",1\na,,/m/0bt9lr,0\n',
        "annotations/validation-images-with-rotation.csv": f"{INFO}\na,validation,,,CC0,,Ann,,,,,\n",
    }
    assert registry.detect(scan(str(tmp_path / "out")))[0].format == "open_images"


@pytest.mark.slow
def test_many_boxes_are_read_in_columns(tmp_path):
    count = 200_000
    lines = (f"{at // 8:016x},xclick,/m/02xwb,1,0.5,0.75,0.25,0.5,0,0,0,0,0\n" for at in range(count))
    (tmp_path / "train-annotations-bbox.csv").write_text(BOXES + "\n" + "".join(lines))
    (tmp_path / "images.meta").write_text("".join(f'"{at:016x}" 100 200\n' for at in range(count // 8)))
    start = time.process_time()
    labels = read(tmp_path)
    assert labels.is_table
    assert time.process_time() - start < 15.0
    assert len(labels) == count // 8
    assert len(labels.table["annotations"][7].as_py()) == 8
