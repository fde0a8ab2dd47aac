"""What a snapshot turned away, counted in columns."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from dsetkit.snapshots.read import Snapshot
from dsetkit.spec.arrow import keep_annotations, outside_mask


def count_rejected(snapshot: Snapshot) -> tuple[dict[str, int], dict[str, int]]:
    """What a snapshot turned away, per reason: whole samples, and annotations of samples it kept.

    An annotation whose object is not in the frame does not count, as among those kept.
    Raises ``SnapshotError`` where ``rejected.parquet`` is damaged.
    """
    file = snapshot.rejected_file
    if file is None:
        return {}, {}
    names = ("what", "reason", "annotations.kind", "annotations.track.outside")
    table = file.read(names)
    samples = table.filter(pc.equal(table["what"], "sample"))
    alone = keep_annotations(table.filter(pc.equal(table["what"], "annotation")), lambda items: ~outside_mask(items))
    held = pc.list_value_length(alone["annotations"])
    annotations = pa.table({"reason": alone["reason"], "held": held}).group_by("reason").aggregate([("held", "sum")])
    return (
        _sorted({pair["values"]: pair["counts"] for pair in pc.value_counts(samples["reason"]).to_pylist()}),
        _sorted({row["reason"]: row["held_sum"] for row in annotations.to_pylist() if row["held_sum"]}),
    )


def _sorted(counts: dict[str, int]) -> dict[str, int]:
    return {name: counts[name] for name in sorted(counts)}
