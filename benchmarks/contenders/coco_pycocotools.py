"""The contest ``coco`` with pycocotools: load the file and index it, which is all it does. ``... PREPARED``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from pycocotools.coco import COCO

from benchmarks.coco import FILE


def main(prepared: Path) -> None:
    began = time.perf_counter()
    coco = COCO(str(prepared / FILE))
    read = time.perf_counter()
    facts = {"images": len(coco.imgs), "annotations": len(coco.anns), "categories": len(coco.cats)}
    print(json.dumps({"steps": {"read": read - began}, "facts": facts}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
