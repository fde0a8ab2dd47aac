"""Contest: what differs between two manifests of 1,000,000 samples, 1 % of them changed, beside a merge in pandas."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import Contender, Contest

SAMPLES = 1_000_000
SAMPLES_QUICK = 5_000
CHANGED = 0.01
BOXES = 3
CATEGORIES = 20
SIZE_PX = (640, 480)

KINDS = ("moved", "recategorized", "annotation removed", "annotation added", "renamed", "removed", "added", "split")
"""What befalls a changed sample, in turn."""


def prepare(folder: Path, quick: bool) -> dict[str, Any]:
    """Snapshots ``old`` and ``new`` in ``full`` and ``tenth``: labels without pictures, as the writer makes them."""
    count = SAMPLES_QUICK if quick else SAMPLES
    for name, samples in (("tenth", count // 10), ("full", count)):
        for side in ("old", "new"):
            _write(folder / name / side, samples, changed=side == "new")
    return {
        "samples": count,
        "boxes a sample": BOXES,
        "categories": CATEGORIES,
        "changed samples": int(count * CHANGED),
    }


def _write(place: Path, count: int, *, changed: bool) -> None:
    from dsetkit.snapshots.write import SnapshotWriter

    place.parent.mkdir(parents=True, exist_ok=True)
    writer = SnapshotWriter(place, target_bytes=8 * 1024 * 1024)
    rows = (row for number in range(count) for row in _rows(number, changed))
    for row in _sorted(rows):
        writer.add(row, None)
    categories = [{"name": f"kind-{number:02}", "index": number} for number in range(CATEGORIES)]
    writer.finish({"stage": "cleaned", "name": "cleaned", "categories": categories})


def _sorted(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows come in key order but for the renamed, whose keys are larger than all others."""
    late = []
    for row in rows:
        if row["key"].startswith("photos/z"):
            late.append(row)
        else:
            yield row
    yield from late


def _rows(number: int, changed: bool) -> list[dict[str, Any]]:
    """One sample of the old side, or what became of it on the new one: scattered, so that no part stays as it was."""
    seed = hashlib.sha256(str(number).encode())
    draw = seed.digest()
    key = f"photos/{number // 1000:04}/{number:07}.jpg"
    boxes: list[dict[str, Any]] = [
        {
            "id": str(place),
            "kind": "box",
            "category": f"kind-{draw[place * 5] % CATEGORIES:02}",
            "bbox_xywh_px": [float(value) for value in draw[place * 5 + 1 : place * 5 + 5]],
        }
        for place in range(BOXES)
    ]
    row: dict[str, Any] = {
        "key": key,
        "digest": seed.hexdigest(),
        "media_type": "image/jpeg",
        "width_px": SIZE_PX[0],
        "height_px": SIZE_PX[1],
        "split": "train",
        "labelled": "yes",
        "annotations": boxes,
    }
    for box in boxes:
        x, y, w, h = box["bbox_xywh_px"]
        box["bbox_xywh_px"] = [x, y, w + 20.0, h + 20.0]
    step = round(1 / CHANGED)
    if not changed or number % step != step // 2:
        return [row]
    kind = KINDS[number // step % len(KINDS)]
    if kind == "moved":
        x, y, w, h = boxes[1]["bbox_xywh_px"]
        boxes[1]["bbox_xywh_px"] = [x + 3.0, y, w, h]
    elif kind == "recategorized":
        boxes[0]["category"] = f"kind-{(int(boxes[0]['category'][-2:]) + 1) % CATEGORIES:02}"
    elif kind == "annotation removed":
        del boxes[-1]
    elif kind == "annotation added":
        boxes.append({**boxes[0], "id": str(BOXES), "bbox_xywh_px": [300.0, 300.0, 40.0, 40.0]})
    elif kind == "renamed":
        row["key"] = f"photos/z{number:07}.jpg"
    elif kind == "removed":
        return []
    elif kind == "added":
        digest = hashlib.sha256(f"new {number}".encode()).hexdigest()
        return [row, {**row, "key": f"{key[:-4]}_2.jpg", "digest": digest}]
    else:
        row["split"] = "val"
    return [row]


CONTEST = Contest(
    name="diff",
    title="What differs between two manifests of 1,000,000 samples",
    target={},
    limits={"peak_rss_bytes": 1.5 * 2**30},
    prepare=prepare,
    contenders=(
        Contender(
            "dsetkit",
            lambda folder: ["-m", "benchmarks.contenders.diff_dsetkit", str(folder / "full")],
            packages=("dsetkit", "pyarrow"),
        ),
        Contender("a tenth", lambda folder: ["-m", "benchmarks.contenders.diff_dsetkit", str(folder / "tenth"), "-"]),
        Contender(
            "pandas merge",
            lambda folder: ["-m", "benchmarks.contenders.diff_pandas", str(folder / "full")],
            packages=("pandas",),
        ),
    ),
    bound=(
        "`a tenth` is dsetkit's own diff of manifests of a tenth of the samples: its ratio of time is 0.1 where time"
        " grows with the samples. `pandas merge` reads of both manifests the columns it needs (key, digest, split; id,"
        " category and box of annotations), merges samples by key, what is left of them by digest, and annotations by"
        " key and id, and compares; it takes ids for granted, where dsetkit pairs annotations whose ids were given"
        " anew by what they are and where, and it would not see a change in any other field. Changes are scattered"
        " over all row groups, which is the worst case for dsetkit: it reads one column of both (a digest of what each"
        " row means), and then the row groups that hold a row that differs."
    ),
)
"""The contest ``diff``: ``python -m benchmarks diff``."""
