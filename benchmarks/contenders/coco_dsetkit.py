"""The contest ``coco`` with dsetkit: read the file into a table, hold it against a contract. ``... PREPARED``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Literal

import pyarrow as pa

import dsetkit
from benchmarks.coco import CATEGORIES, FILE
from dsetkit.formats import registry
from dsetkit.spec.arrow import count_annotations

registry.get("coco")  # imported when it is first asked for; the clock does not run yet for anybody's imports
pa.array([0])  # imports pandas where it is installed


class Label(dsetkit.Annotation):
    """What an instance must be."""

    kind: Literal["box", "polygon", "mask"]
    category: Literal[tuple(CATEGORIES)]  # type: ignore[valid-type]
    bbox_xywh_px: dsetkit.BBox


def main(prepared: Path) -> None:
    began = time.perf_counter()
    labels = dsetkit.read_labels(prepared / FILE, format="coco")
    table = labels.table
    read = time.perf_counter()
    issues = dsetkit.validate(labels, Label)
    validated = time.perf_counter()
    if issues or labels.issues:
        raise SystemExit(f"issues in sound labels: {issues[:3]} {labels.issues[:3]}")
    facts = {"images": len(labels), "annotations": count_annotations(table), "categories": len(labels.categories)}
    print(json.dumps({"steps": {"read": read - began, "validate": validated - read}, "facts": facts}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
