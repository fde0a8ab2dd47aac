"""The contest ``coco`` with Datumaro: import the dataset, run its validator for segmentation. ``... PREPARED``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from datumaro import Dataset
from datumaro.components.annotation import AnnotationType
from datumaro.plugins.validators import SegmentationValidator


def main(prepared: Path) -> None:
    began = time.perf_counter()
    dataset = Dataset.import_from(str(prepared), "coco_instances")
    dataset.init_cache()
    read = time.perf_counter()
    SegmentationValidator().validate(dataset)
    validated = time.perf_counter()
    # It makes an object of each part of an outline, and one of the box; those of one annotation are a group.
    annotations = sum(len({one.group for one in item.annotations}) for item in dataset)
    categories = len(dataset.categories()[AnnotationType.label].items)
    facts = {"images": len(dataset), "annotations": annotations, "categories": categories}
    print(json.dumps({"steps": {"read": read - began, "validate": validated - read}, "facts": facts}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
