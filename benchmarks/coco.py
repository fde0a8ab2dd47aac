"""Contest: read a COCO file of 150,000 annotations and check it against what labels must be."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness import Contender, Contest

if TYPE_CHECKING:
    import numpy as np

FILE = Path("annotations", "instances_train.json")
IMAGES, ANNOTATIONS = 20_000, 150_000
IMAGES_QUICK, ANNOTATIONS_QUICK = 200, 1_500
CATEGORIES = [f"category {number:02}" for number in range(80)]
CROWD_EACH = 100  # one annotation of so many is a crowd: run lengths with a hole, every other one compressed
PARTS_EACH = 8  # one polygon of so many has two or three parts
POINTS = (20, 60)


def prepare(folder: Path, quick: bool) -> dict[str, Any]:
    """``annotations/instances_train.json`` in COCO's own layout: one line, categories last, annotations in no order."""
    import numpy as np

    random = np.random.default_rng(2017)
    count, annotations = (IMAGES_QUICK, ANNOTATIONS_QUICK) if quick else (IMAGES, ANNOTATIONS)
    sizes = random.integers(320, 641, (count, 2)).tolist()
    numbers = random.choice(600_000, count, replace=False).tolist()
    owners = random.integers(0, count, annotations).tolist()
    classes = random.integers(0, len(CATEGORIES), annotations).tolist()
    images = [_image(number, width, height) for number, (width, height) in zip(numbers, sizes, strict=True)]
    licenses = [{"id": number, "name": f"licence {number}", "url": f"http://l.test/{number}"} for number in range(1, 9)]
    categories = [
        {"supercategory": f"group {number // 8}", "id": number + 1 + number // 10, "name": name}
        for number, name in enumerate(CATEGORIES)
    ]
    path = folder / FILE
    path.parent.mkdir()
    (folder / "images" / "train").mkdir(parents=True)  # empty; Datumaro asks for it
    points = 0
    with path.open("w", encoding="ascii") as out:
        out.write(f'{{"info": {json.dumps({"year": 2017})}, "licenses": {json.dumps(licenses)}, ')
        out.write(f'"images": {json.dumps(images)}, "annotations": [')
        for number in range(annotations):
            owner = owners[number]
            width, height = sizes[owner]
            if number % CROWD_EACH == CROWD_EACH - 1:
                shape = _crowd(random, width, height, is_compressed=number % (2 * CROWD_EACH) < CROWD_EACH)
            else:
                shape = _polygon(random, width, height, 1 if number % PARTS_EACH else 2 + number // PARTS_EACH % 2)
                points += sum(map(len, shape["segmentation"])) // 2
            category = categories[classes[number]]["id"]
            of = {"image_id": numbers[owner], "category_id": category, "id": number + 1}
            out.write((", " if number else "") + json.dumps({**shape, **of}))
        out.write(f'], "categories": {json.dumps(categories)}}}')
    return {
        "images": count,
        "annotations": annotations,
        "points of polygons": points,
        "categories": len(CATEGORIES),
        "bytes": path.stat().st_size,
    }


def _image(number: int, width: int, height: int) -> dict[str, Any]:
    return {
        "license": number % 8 + 1,
        "file_name": f"{number:012}.jpg",
        "coco_url": f"http://images.test/train2017/{number:012}.jpg",
        "height": height,
        "width": width,
        "date_captured": "2013-11-14 17:02:52",
        "flickr_url": f"http://flickr.test/{number}_z.jpg",
        "id": number,
    }


def _polygon(random: np.random.Generator, width: int, height: int, parts: int) -> dict[str, Any]:
    """Outlines that go round their middles, to the hundredth of a pixel, with the box around them."""
    import numpy as np

    rings = []
    for _ in range(parts):
        points = int(random.integers(POINTS[0], POINTS[1] + 1))
        angles = np.sort(random.uniform(0, 2 * math.pi, points))
        reach = random.uniform(0.6, 1, points)
        radius_x, radius_y = random.uniform(4, width / 3), random.uniform(4, height / 3)
        x = random.uniform(radius_x, width - radius_x) + radius_x * reach * np.cos(angles)
        y = random.uniform(radius_y, height - radius_y) + radius_y * reach * np.sin(angles)
        rings.append(np.stack([x, y], axis=1).round(2))
    whole = np.concatenate(rings)
    left_top, sides = whole.min(axis=0), np.ptp(whole, axis=0)
    return {
        "segmentation": [ring.ravel().tolist() for ring in rings],
        "area": round(float(sides.prod()) * 0.6, 4),
        "iscrowd": 0,
        "bbox": np.concatenate([left_top, sides]).round(2).tolist(),
    }


def _crowd(random: np.random.Generator, width: int, height: int, *, is_compressed: bool) -> dict[str, Any]:
    """A rectangle with a rectangular hole, as run lengths column by column."""
    from dsetkit.geometry.rle import from_uncompressed

    w, h = int(random.integers(30, width // 2)), int(random.integers(30, height // 2))
    x, y = int(random.integers(0, width - w)), int(random.integers(1, height - h))
    columns = [[h] if column < 8 or column >= w - 8 else [8, h - 16, 8] for column in range(w)]
    runs = [x * height + y]
    for column in columns:
        runs += [*column, height - h]
    runs[-1] = width * height - sum(runs[:-1])
    size = [height, width]
    return {
        "segmentation": dict(from_uncompressed(runs, size)) if is_compressed else {"counts": runs, "size": size},
        "area": sum(sum(column[::2]) for column in columns),
        "iscrowd": 1,
        "bbox": [float(x), float(y), float(w), float(h)],
    }


def _contender(module: str) -> Any:
    return lambda folder: ["-m", f"benchmarks.contenders.{module}", str(folder)]


CONTEST = Contest(
    name="coco",
    title="Reading and checking COCO: 20,000 images, 150,000 annotations",
    target={"datumaro": 8.0, "pycocotools": 1.0},
    prepare=prepare,
    contenders=[
        Contender("dsetkit", _contender("coco_dsetkit"), packages=("pydantic-core", "pyarrow", "numpy")),
        Contender("datumaro", _contender("coco_datumaro"), env="peers", packages=("datumaro",)),
        Contender("pycocotools", _contender("coco_pycocotools"), env="peers", packages=("pycocotools",)),
    ],
    bound=(
        "dsetkit reads the file into an Arrow table, joins annotations with their images, makes boxes certain against "
        "their outlines, decodes and checks every run-length mask, and holds every annotation against a contract. "
        "What bounds it is turning the text of 14 million numbers into floats (outlines apart from the JSON around "
        "them, on threads of their own while the list of images is read) and bringing them into the order of their "
        "images; checking the contract is a few hundredths of a second, as it is done in columns. "
        "Datumaro's import makes an object of each annotation, and its validator "
        "looks at statistics of the areas as well, which dsetkit's `report` does and `validate` does not; it does not "
        "check categories against a list of names. pycocotools only loads the JSON and indexes it; it checks nothing, "
        "so the ratio to it is that of reading and checking to loading."
    ),
)
