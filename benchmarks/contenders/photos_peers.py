"""The contest ``photos`` with the peers: ``... photos_peers PREPARED cleanvision [imagededup]``.

Both run as their documentation shows: cleanvision with all its kinds of issues, imagededup's PHash with the distance
that dsetkit has by default; both with their own processes, one a core.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from benchmarks.contenders.photos_found import TWINS, found_facts, say

DISTANCE = 4
KINDS = {"dark": "dark", "light": "bright", "blurry": "blurred", "low_information": "flat"}


def main(prepared: Path, tools: list[str]) -> None:
    steps: dict[str, float] = {}
    facts: dict[str, object] = {}
    if "cleanvision" in tools:
        facts |= run_cleanvision(prepared, steps)
    if "imagededup" in tools:
        facts |= run_imagededup(prepared, steps)
    say(steps, facts)


def run_cleanvision(prepared: Path, steps: dict[str, float]) -> dict[str, object]:
    from cleanvision import Imagelab

    began = time.perf_counter()
    lab = Imagelab(data_path=str(prepared / "photos"))
    lab.find_issues(verbose=False)
    steps["cleanvision"] = time.perf_counter() - began
    called = {
        ours: {Path(name).name for name in lab.issues.index[lab.issues[f"is_{theirs}_issue"]]}
        for theirs, ours in KINDS.items()
    }
    clusters = [
        {Path(name).name for name in found}
        for kind in ("exact_duplicates", "near_duplicates")
        for found in lab.info[kind]["sets"]
    ]
    return {"pictures": len(lab.issues), **found_facts("cleanvision", prepared, bad=called, alike=clusters)}


def run_imagededup(prepared: Path, steps: dict[str, float]) -> dict[str, object]:
    from benchmarks.contenders.imagededup_hashing import load_hashing

    phash = load_hashing().PHash(verbose=False)
    began = time.perf_counter()
    hashes = phash.encode_images(image_dir=str(prepared / "photos"))
    hashed = time.perf_counter()
    found = phash.find_duplicates(encoding_map=hashes, max_distance_threshold=DISTANCE)
    steps |= {"imagededup: hashes": hashed - began, "imagededup: duplicates": time.perf_counter() - hashed}
    clusters = connected(found)
    return {"pictures": len(hashes), **found_facts("imagededup", prepared, alike=clusters, twins=TWINS)}


def connected(found: dict[str, list[str]]) -> list[set[str]]:
    """Sets of names that are alike, directly or through others."""
    clusters: list[set[str]] = []
    left = {name for name, others in found.items() if others}
    while left:
        cluster: set[str] = set()
        waiting = [min(left)]
        while waiting:
            name = waiting.pop()
            if name not in cluster:
                cluster.add(name)
                waiting += found[name]
        left -= cluster
        clusters.append(cluster)
    return clusters


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
