"""Labels of the picture as it is stored, found out or told, against pictures that EXIF turns."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dsetkit.errors import UsageError
from dsetkit.formats.reading import open_labels, read_labels
from dsetkit.spec.params import LabelsParams, SourceParams
from dsetkit.stages.sources import read_source

BOX = (10.0, 20.0, 100.0, 50.0)
"""Of the upright picture, x y w h."""


def stored_box(orientation: int, width: int, height: int) -> tuple[float, float, float, float]:
    """``BOX`` as it lies in the stored picture, by the words of Exif 2.32: where row 0 and column 0 are seen.

    ``width`` and ``height`` are of the upright picture.
    """
    x, y, w, h = BOX
    right, below = width - x - w, height - y - h
    return {
        0: (x, y, w, h),
        1: (x, y, w, h),
        2: (right, y, w, h),  # row 0 at the top, column 0 at the right
        3: (right, below, w, h),  # bottom, right
        4: (x, below, w, h),  # bottom, left
        5: (y, x, h, w),  # left, top
        6: (y, right, h, w),  # right, top
        7: (below, right, h, w),  # right, bottom
        8: (below, x, h, w),  # left, bottom
    }[orientation]


@pytest.fixture
def turned(shared_data: Path, tmp_path: Path) -> Path:
    """COCO labels of 18 pictures that show the same two scenes, each in the frame of the stored picture."""
    folder = tmp_path / "turned"
    folder.mkdir()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, path in enumerate(sorted((shared_data / "exif-orientation").glob("*.jpg"))):
        shutil.copy(path, folder / path.name)
        with Image.open(path) as image:
            width, height = image.size
        orientation = int(path.stem[-1])
        upright = (height, width) if orientation >= 5 else (width, height)
        images.append({"id": number, "file_name": path.name, "width": width, "height": height})
        box = stored_box(orientation, *upright)
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": box, "area": 1, "iscrowd": 0})
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "it"}]}
    (folder / "instances.json").write_text(json.dumps(document))
    return folder


def boxes(rows: Any) -> dict[str, tuple[float, ...]]:
    return {row["key"]: tuple(row["annotations"][0]["bbox_xywh_px"]) for row in rows}


@pytest.mark.realdata
def test_found_from_the_declared_size(turned: Path) -> None:
    found = boxes(read_labels(turned).rows)
    for key, box in found.items():
        expected = box if key[-5] in "234" else BOX  # a mirror or half a turn leaves the size as it is
        assert box == expected, key
    assert all(found[f"{kind}_{number}.jpg"] == BOX for kind in ("Landscape", "Portrait") for number in (1, 5, 6, 7, 8))
    assert all(found[f"{kind}_{number}.jpg"] != BOX for kind in ("Landscape", "Portrait") for number in (2, 3, 4))


@pytest.mark.realdata
def test_said_by_the_user(turned: Path) -> None:
    labels = read_labels(turned, options={"frame": "stored"})
    assert set(boxes(labels.rows).values()) == {BOX}
    sizes = {(row["key"][:4], row["width_px"], row["height_px"]) for row in labels.rows}
    assert len(sizes) == 2  # of the upright pictures, which are all alike
    assert labels.issues == ()
    as_is = boxes(read_labels(turned, options={"frame": "upright"}).rows)
    assert as_is["Landscape_6.jpg"] != BOX
    assert as_is["Landscape_1.jpg"] == BOX
    with pytest.raises(UsageError, match=r"the option frame is 'turned'\. It is one of: auto, stored, upright\."):
        read_labels(turned, options={"frame": "turned"})


@pytest.mark.realdata
def test_label_sets_of_one_source_each_in_its_own_frame(turned: Path, tmp_path: Path) -> None:
    document = json.loads((turned / "instances.json").read_text())
    for item in document["annotations"]:
        item["bbox"] = BOX
    sizes = {row["key"]: (row["width_px"], row["height_px"]) for row in read_labels(turned).rows}
    for item in document["images"]:
        item["width"], item["height"] = sizes[item["file_name"]]
    (tmp_path / "upright.json").write_text(json.dumps(document))
    sets = (
        LabelsParams(format="coco", file="instances.json", frame="stored"),
        LabelsParams(format="coco", file=str(tmp_path / "upright.json")),
    )
    state = read_source(SourceParams(path=str(turned), labels=sets), str(turned))
    labels = state.read_labels()
    assert state.frame == "upright"
    assert labels.issues == ()
    for row in labels.rows:
        assert [tuple(item["bbox_xywh_px"]) for item in row["annotations"]] == [BOX, BOX]


def picture(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_declared_size_that_is_not_the_pictures(tmp_path: Path) -> None:
    images = [{"id": n, "file_name": f"{n}.png", "width": 40, "height": 30} for n in range(4)]
    (tmp_path / "a.json").write_text(json.dumps({"images": images, "annotations": [], "categories": []}))
    for name, data in {"0": picture(40, 30), "1": picture(30, 40), "2": picture(80, 60), "3": b"none"}.items():
        (tmp_path / f"{name}.png").write_bytes(data)
    opened = open_labels(tmp_path, "coco")
    assert [(issue.code, issue.key, issue.message) for issue in opened.labels.issues] == [
        ("size-differs", "2.png", "its labels declare 40×30 px, the picture has 80×60 px")
    ]
    assert open_labels(tmp_path, "coco", look=False).labels.issues == ()
