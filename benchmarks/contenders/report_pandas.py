"""The contest ``report``, by hand: ``python -m benchmarks.contenders.report_pandas PROJECT``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main(project: Path) -> None:
    """Read both manifests whole, describe their numbers, count annotations by category and split."""
    import pandas as pd

    began = time.perf_counter()
    annotations = 0
    for place in ("data/raw/photos", "data/cleaned"):
        parts = sorted((project / place / "samples").glob("*.parquet"))
        table = pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)
        table.describe()
        one_each = table[["split", "annotations"]].explode("annotations").dropna(subset="annotations")
        category = one_each["annotations"].map(lambda annotation: annotation["category"])
        annotations += int(pd.crosstab(category, one_each["split"].fillna("none")).to_numpy().sum())
    print(json.dumps({"steps": {"report": time.perf_counter() - began}, "facts": {"annotations_counted": annotations}}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
