"""The contest ``diff``: ``python -m benchmarks.contenders.diff_dsetkit FOLDER [-]``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main(folder: Path, with_facts: bool) -> None:
    """Compare the snapshots ``old`` and ``new`` and count what differs."""
    from dsetkit.snapshots.compare import diff  # what dsetkit.diff is; dsetkit itself imports it when first asked
    from dsetkit.snapshots.read import open_snapshot

    began = time.perf_counter()
    found = diff(open_snapshot(folder / "old"), open_snapshot(folder / "new"))
    seconds = time.perf_counter() - began
    facts = {
        "samples_added": len(found.samples.added),
        "samples_removed": len(found.samples.removed),
        "samples_renamed": len(found.samples.renamed),
        "split_changed": len(found.samples.split_changed),
        "boxes_added": len(found.annotations.added),
        "boxes_removed": len(found.annotations.removed),
        "boxes_moved": len(found.annotations.moved),
        "boxes_recategorized": len(found.annotations.recategorized),
    }
    print(json.dumps({"steps": {"diff": seconds}, "facts": facts if with_facts else {}}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), len(sys.argv) == 2)
