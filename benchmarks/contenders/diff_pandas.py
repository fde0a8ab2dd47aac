"""The contest ``diff``, by hand: ``python -m benchmarks.contenders.diff_pandas FOLDER``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

BOX = ("x", "y", "w", "h")


def main(folder: Path) -> None:
    """Merge samples by key, the rest by digest, and annotations by key and id; compare what was merged."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    def read(place: Path) -> tuple[Any, Any]:
        """Samples, and annotations with the key of their sample."""
        fields = [f"annotations.list.element.{name}" for name in ("id", "category", "bbox_xywh_px.list.element")]
        parts = sorted((place / "samples").glob("*.parquet"))
        columns = ["key", "digest", "split", *fields]
        table = pa.concat_tables([pq.ParquetFile(part).read(columns=columns) for part in parts]).combine_chunks()
        samples = table.select(["key", "digest", "split"]).to_pandas()
        lists = table["annotations"].chunk(0)
        flat = pc.list_flatten(lists)
        boxes = np.asarray(pc.list_flatten(flat.field("bbox_xywh_px"))).reshape(-1, 4)
        frame = pd.DataFrame(boxes, columns=list(BOX))
        frame["id"], frame["category"] = (flat.field(name).to_pandas() for name in ("id", "category"))
        frame["key"] = samples["key"].to_numpy()[pc.list_parent_indices(lists).to_numpy()]
        return samples, frame

    began = time.perf_counter()
    (old, old_boxes), (new, new_boxes) = read(folder / "old"), read(folder / "new")
    merged = old.merge(new, on="key", how="outer", suffixes=("_old", ""), indicator=True)
    gone, come = (merged[merged["_merge"] == side] for side in ("left_only", "right_only"))
    renamed = gone[["key", "digest_old"]].merge(
        come[["key", "digest"]], left_on="digest_old", right_on="digest", suffixes=("_old", "")
    )
    both = merged[merged["_merge"] == "both"]
    new_key = dict(zip(renamed["key_old"], renamed["key"], strict=True))
    shared = pd.Index(pd.concat([both["key"], renamed["key"]]))
    old_boxes["key"] = old_boxes["key"].map(new_key).fillna(old_boxes["key"])
    pairs = old_boxes[old_boxes["key"].isin(shared)].merge(
        new_boxes[new_boxes["key"].isin(shared)],
        on=["key", "id"],
        how="outer",
        suffixes=("_old", ""),
        indicator=True,
    )
    there = pairs[pairs["_merge"] == "both"]
    moved = (there[[f"{side}_old" for side in BOX]].to_numpy() != there[list(BOX)].to_numpy()).any(axis=1)
    facts = {
        "samples_added": len(come) - len(renamed),
        "samples_removed": len(gone) - len(renamed),
        "samples_renamed": len(renamed),
        "split_changed": int((both["split_old"] != both["split"]).sum()),
        "boxes_added": int((pairs["_merge"] == "right_only").sum()),
        "boxes_removed": int((pairs["_merge"] == "left_only").sum()),
        "boxes_moved": int(moved.sum()),
        "boxes_recategorized": int((there["category_old"] != there["category"]).sum()),
    }
    print(json.dumps({"steps": {"diff": time.perf_counter() - began}, "facts": facts}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
