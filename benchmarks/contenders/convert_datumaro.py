"""The contests ``convert_voc`` and ``convert_yolo`` with Datumaro: ``... PREPARED FORMAT``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from datumaro import Dataset

from benchmarks.contenders.convert_facts import say


def main(prepared: Path, to: str) -> None:
    began = time.perf_counter()
    dataset = Dataset.import_from(str(prepared), "coco_instances")
    dataset.init_cache()
    read = time.perf_counter()
    dataset.export("written", to)
    written = time.perf_counter()
    # It makes an object of each part of an outline, and one of the box; those of one annotation are a group.
    annotations = sum(len({one.group for one in item.annotations}) for item in dataset)
    facts = {"images": len(dataset), "annotations": annotations}
    say({"read": read - began, "write": written - read}, facts, "datumaro", to)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
