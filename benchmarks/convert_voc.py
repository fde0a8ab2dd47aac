"""Contest: COCO of 150,000 polygons to Pascal VOC, an XML file a picture."""

from __future__ import annotations

from benchmarks.coco import prepare
from benchmarks.harness import Contender, Contest

CONTEST = Contest(
    name="convert_voc",
    title="COCO to Pascal VOC: 20,000 images, 150,000 annotations",
    target={"datumaro": 10.0},
    prepare=prepare,
    keeps_scratch=True,
    contenders=[
        Contender(
            "dsetkit",
            lambda folder: ["-m", "benchmarks.contenders.convert_dsetkit", str(folder), "voc"],
            packages=("pydantic-core", "pyarrow", "numpy"),
        ),
        Contender(
            "datumaro",
            lambda folder: ["-m", "benchmarks.contenders.convert_datumaro", str(folder), "voc_detection"],
            env="peers",
            packages=("datumaro", "lxml"),
        ),
    ],
    bound=(
        "Labels alone are converted: the pictures are not there, and neither needs them. Both write one XML file a"
        " picture and the list of the split. dsetkit writes more: the outline of every polygon beside its box, where"
        " Datumaro writes boxes alone, and finds meanwhile what VOC cannot say, for its report of losses."
        " Datumaro runs as `voc_detection`, which writes boxes; its `voc` would write pictures of the masks of crowds"
        " besides. What bounds dsetkit is reading (see `coco`) and then the file system:"
        " 20,000 files are made one after another, while the next texts are made on the other core, by Arrow, from"
        " columns. Its files appear all at once, by one rename; neither syncs each file to the disk."
    ),
)
