"""Contest: the report on 100,000 samples, beside the report on a tenth of them and a plain scan of the same tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.harness import Contender, Contest

SAMPLES = 100_000
SAMPLES_QUICK = 500
SIZE_PX = (96, 72)
BOXES = 3
CATEGORIES = 20


def prepare(folder: Path, quick: bool) -> dict[str, Any]:
    """Two projects with raw, cleaned and augmented snapshots: ``full`` and ``tenth``."""
    count = SAMPLES_QUICK if quick else SAMPLES
    made = {name: _build(folder / name, samples) for name, samples in (("tenth", count // 10), ("full", count))}
    return {"samples": made["full"], "boxes a sample": BOXES, "categories": CATEGORIES, "a tenth": made["tenth"]}


def _build(root: Path, count: int) -> int:
    """A project whose source is drawn, taken in, cleaned and augmented (by nothing); the samples that are left."""
    from dsetkit.spec.params import LabelsParams, SourceParams
    from dsetkit.stages.augment import augment
    from dsetkit.stages.clean import clean
    from dsetkit.stages.executor import open_pool
    from dsetkit.stages.ingest import ingest
    from dsetkit.stages.init import write_project
    from dsetkit.stages.manage import add_source
    from dsetkit.stages.project import Project

    source = root / "source"
    _write_source(source, count)
    write_project(root)
    labels = (LabelsParams(format="coco", file="annotations.json"),)
    add_source(Project(root), "photos", SourceParams(path="source", labels=labels))
    with open_pool() as pool:
        ingest(Project(root), "photos", pool=pool)
        clean(Project(root), pool=pool)
        return augment(Project(root), pool=pool).info.counts.samples


def _write_source(source: Path, count: int) -> None:
    """JPEGs of smooth colours, no two alike, and COCO boxes all over them."""
    import io

    import numpy as np
    from PIL import Image

    random = np.random.default_rng(1)
    names = [f"{number // 1000:03}/{number:06}.jpg" for number in range(count)]
    for name in names:
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        image.resize(SIZE_PX, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
        path.write_bytes(buffer.getvalue())
    corners = random.integers(0, 40, (count * BOXES, 2)).tolist()
    sides = random.integers(4, 32, (count * BOXES, 2)).tolist()
    kinds = np.minimum(random.geometric(0.15, count * BOXES), CATEGORIES).tolist()
    document = {
        "images": [
            {"id": number + 1, "file_name": name, "width": SIZE_PX[0], "height": SIZE_PX[1]}
            for number, name in enumerate(names)
        ],
        "annotations": [
            {
                "id": number + 1,
                "image_id": number // BOXES + 1,
                "category_id": kinds[number],
                "bbox": [*corners[number], *sides[number]],
                "area": sides[number][0] * sides[number][1],
                "iscrowd": 0,
            }
            for number in range(count * BOXES)
        ],
        "categories": [{"id": number + 1, "name": f"kind-{number:02}"} for number in range(CATEGORIES)],
    }
    (source / "annotations.json").write_text(json.dumps(document))


CONTEST = Contest(
    name="report",
    title="The report on 100,000 samples",
    target={},
    limits={"peak_rss_bytes": 1.5 * 2**30, "page_bytes": 15e6},
    prepare=prepare,
    contenders=(
        Contender(
            "dsetkit",
            lambda folder: ["-m", "benchmarks.contenders.report_dsetkit", str(folder / "full")],
            packages=("dsetkit", "pyarrow", "vl-convert-python"),
        ),
        Contender("a tenth", lambda folder: ["-m", "benchmarks.contenders.report_dsetkit", str(folder / "tenth")]),
        Contender(
            "pandas scan",
            lambda folder: ["-m", "benchmarks.contenders.report_pandas", str(folder / "full")],
            packages=("pandas",),
        ),
    ),
    bound=(
        "`a tenth` is dsetkit's own report on a tenth of the samples: its ratio of time is 0.1 where time grows with"
        " the samples, 1 where it does not; its ratio of memory says how memory grows. `pandas scan` is what a look at"
        " the data costs by hand: read the tables of the raw and cleaned snapshots into memory, describe the numbers,"
        " count the categories; it makes no page, no card and no picture. The report reads columns part by part, so"
        " its memory is that of one part (at most 65,536 rows) and of the page; its time is the reading of columns,"
        " the drawing of a stated sample of pictures, which does not grow, and the Croissant card."
    ),
)
