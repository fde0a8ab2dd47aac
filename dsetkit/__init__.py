"""dsetkit: versioned image datasets that explain themselves.

The public names. Importing this package loads neither DVC nor the command line.
"""

from __future__ import annotations

import os

from dsetkit.curation.contract import Contract, validate
from dsetkit.errors import DsetkitError
from dsetkit.formats.labelset import LabelSet
from dsetkit.formats.loss import Loss, LossReport
from dsetkit.formats.reading import read_labels
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.verify import verify
from dsetkit.spec.annotation import (
    Annotation,
    BBox,
    Ellipse,
    Keypoint,
    Mask,
    Relation,
    RotatedBox,
    Track,
)
from dsetkit.spec.category import Category
from dsetkit.spec.issue import Finding, Issue
from dsetkit.spec.lock import Lock
from dsetkit.spec.params import Params
from dsetkit.spec.sample import Provenance, Recipe, Rejected, Sample, Step
from dsetkit.spec.snapshot import SnapshotInfo
from dsetkit.stages.export import convert, export_snapshot

__version__ = "0.1.0"


def open(path: str | os.PathLike[str]) -> Snapshot:
    """Open the snapshot at a folder or any fsspec URL.

    Only ``snapshot.json`` is read now; rows and pictures are read when asked for, by range. Raises
    ``SnapshotError`` for a snapshot that is absent, incomplete, damaged or of an unknown format, ``StorageError``
    for a place that cannot be reached.
    """
    return open_snapshot(path, export=export_snapshot)


__all__ = [
    "Annotation",
    "BBox",
    "Category",
    "Contract",
    "DsetkitError",
    "Ellipse",
    "Finding",
    "Issue",
    "Keypoint",
    "LabelSet",
    "Lock",
    "Loss",
    "LossReport",
    "Mask",
    "Params",
    "Provenance",
    "Recipe",
    "Rejected",
    "Relation",
    "RotatedBox",
    "Sample",
    "Snapshot",
    "SnapshotInfo",
    "Step",
    "Track",
    "convert",
    "export_snapshot",
    "open",
    "read_labels",
    "validate",
    "verify",
]
