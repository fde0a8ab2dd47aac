"""The contest ``photos`` with the functions that dsetkit's stages are made of: ``... photos_dsetkit PREPARED``.

Every picture is read, hashed (SHA-256), decoded wholly and measured once, in as many threads as there are cores; what
is bad, equal or alike is then decided on columns.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.contenders.photos_found import found_facts, say
from dsetkit.curation import duplicates, quality
from dsetkit.imaging.probe import probe
from dsetkit.spec.arrow import table_from_rows
from dsetkit.spec.params import DuplicatesParams, QualityParams
from dsetkit.spec.sample import Sample
from dsetkit.stages.executor import Job, open_pool

QUALITY = {"min_sharpness": 30.0, "min_brightness": 0.1, "max_brightness": 0.9, "min_contrast": 0.03}
KINDS = {
    quality.DARK: "dark",
    quality.BRIGHT: "bright",
    quality.BLURRED: "blurred",
    quality.FLAT: "flat",
}


def main(prepared: Path) -> None:
    began = time.perf_counter()
    names = sorted(entry.name for entry in os.scandir(prepared / "photos"))
    with open_pool() as pool:
        jobs = [Job((prepared / "photos" / name,), (prepared / "photos" / name).stat().st_size) for name in names]
        rows = [row for _, row in pool.in_batches(jobs, itself, measure)]
    measured = time.perf_counter()
    table = table_from_rows(rows, Sample)
    bad = quality.check_quality(table, QualityParams(**QUALITY))
    good = table.take(pa.array(np.setdiff1d(np.arange(len(names)), np.array(list(bad), dtype=np.int64))))
    decisions = duplicates.decide(good, DuplicatesParams())
    decided = time.perf_counter()
    called: dict[str, set[str]] = {kind: set() for kind in KINDS.values()}
    for place, findings in bad.items():
        for finding in findings:
            called[KINDS[finding.code]].add(names[place])
    clusters: dict[str, set[str]] = {}
    for key, group in decisions.groups.items():
        clusters.setdefault(group, set()).add(key)
    for key, verdict in decisions.verdicts.items():
        kept = verdict.duplicate_of
        clusters.setdefault(decisions.groups.get(kept, kept), {kept}).add(key)
    say(
        {"read, decode, measure": measured - began, "quality, duplicates": decided - measured},
        {"pictures": len(names), **found_facts("dsetkit", prepared, bad=called, alike=clusters.values())},
    )


def itself(job: Job) -> Job | dict[str, Any]:
    """Every picture must be measured: none is known already."""
    return job


def measure(path: Path) -> dict[str, Any]:
    """The row of one picture."""
    data = path.read_bytes()
    return {"key": path.name, "digest": hashlib.sha256(data).hexdigest(), "size_bytes": len(data), **probe(data)}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
