"""Contest: COCO of 150,000 polygons to YOLO, a text file a picture."""

from __future__ import annotations

from benchmarks.coco import prepare
from benchmarks.harness import Contender, Contest

CONTEST = Contest(
    name="convert_yolo",
    title="COCO to YOLO: 20,000 images, 150,000 annotations",
    target={"datumaro": 10.0},
    prepare=prepare,
    keeps_scratch=True,
    contenders=[
        Contender(
            "dsetkit",
            lambda folder: ["-m", "benchmarks.contenders.convert_dsetkit", str(folder), "yolo", "task=detect"],
            packages=("pydantic-core", "pyarrow", "numpy"),
        ),
        Contender(
            "datumaro",
            lambda folder: ["-m", "benchmarks.contenders.convert_datumaro", str(folder), "yolo"],
            env="peers",
            packages=("datumaro",),
        ),
        Contender(
            "dsetkit with outlines",
            lambda folder: ["-m", "benchmarks.contenders.convert_dsetkit", str(folder), "yolo"],
        ),
    ],
    bound=(
        "Labels alone are converted: the pictures are not there, and neither needs them. Datumaro writes boxes, to six"
        " decimals, as darknet has them, and leaves crowds out (its `yolo_ultralytics` writes the same lines, and"
        " refuses a dataset without a split `val`). So dsetkit is asked for boxes too (`task=detect`); it writes them"
        " with all the digits that give the same number back, crowds as the boxes around them, which its report of"
        " losses says. `dsetkit with outlines` is what it writes unasked: every polygon, 215 MiB, which Datumaro cannot"
        " write. Writing boxes is little work for both, so the whole is bound by reading the 139 MB of COCO (see"
        " `coco`), which must be parsed for the boxes in it, and then by making 20,000 files."
    ),
)
