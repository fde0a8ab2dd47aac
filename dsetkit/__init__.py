"""dsetkit: versioned image datasets that explain themselves.

The public names. Importing this package loads neither DVC nor the command line; each name is loaded when it is first
used, so that a command is there at once and a program pays for what it uses.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dsetkit.errors import DsetkitError

if TYPE_CHECKING:
    from dsetkit.curation.contract import Contract, validate
    from dsetkit.formats.labelset import LabelSet
    from dsetkit.formats.loss import Loss, LossReport
    from dsetkit.snapshots.compare import diff
    from dsetkit.snapshots.read import Snapshot
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
    from dsetkit.spec.card import DatasetCard
    from dsetkit.spec.category import Category
    from dsetkit.spec.diff import Diff
    from dsetkit.spec.issue import Finding, Issue
    from dsetkit.spec.lock import Lock
    from dsetkit.spec.params import Params
    from dsetkit.spec.sample import Provenance, Recipe, Rejected, Sample, Step
    from dsetkit.spec.snapshot import SnapshotInfo
    from dsetkit.stages.export import convert, export_snapshot
    from dsetkit.stages.labels import read_labels

__version__ = "0.1.0"

_NAMES = {
    "dsetkit.curation.contract": ("Contract", "validate"),
    "dsetkit.formats.labelset": ("LabelSet",),
    "dsetkit.formats.loss": ("Loss", "LossReport"),
    "dsetkit.snapshots.compare": ("diff",),
    "dsetkit.snapshots.read": ("Snapshot",),
    "dsetkit.snapshots.verify": ("verify",),
    "dsetkit.spec.annotation": ("Annotation", "BBox", "Ellipse", "Keypoint", "Mask", "Relation", "RotatedBox", "Track"),
    "dsetkit.spec.card": ("DatasetCard",),
    "dsetkit.spec.category": ("Category",),
    "dsetkit.spec.diff": ("Diff",),
    "dsetkit.spec.issue": ("Finding", "Issue"),
    "dsetkit.spec.lock": ("Lock",),
    "dsetkit.spec.params": ("Params",),
    "dsetkit.spec.sample": ("Provenance", "Recipe", "Rejected", "Sample", "Step"),
    "dsetkit.spec.snapshot": ("SnapshotInfo",),
    "dsetkit.stages.export": ("convert", "export_snapshot"),
    "dsetkit.stages.labels": ("read_labels",),
}
"""Where each public name is at home."""
_HOMES = {name: module for module, names in _NAMES.items() for name in names}


def open(path: str | os.PathLike[str], *, rev: str | None = None) -> Snapshot:
    """Open the snapshot at a folder or any fsspec URL.

    Only ``snapshot.json`` is read now; rows and pictures are read when asked for, by range. With ``rev``, the
    snapshot that stood at the path at that git revision of its project: read from DVC's cache, else by range from
    its remote; the workspace is not touched. Raises ``SnapshotError`` for a snapshot that is absent, incomplete,
    damaged or of an unknown format, ``StorageError`` for a place that cannot be reached, ``NotFoundError`` for a
    revision that is not there or has no such snapshot, ``UsageError`` for a revision of a place outside a project, or
    where a rollback of the project was interrupted.
    """
    from dsetkit.report.cards.files import export_with_card

    if rev is not None:
        from dsetkit.history.revisions import open_at

        return open_at(path, rev, export=export_with_card)
    from dsetkit.snapshots.read import open_snapshot
    from dsetkit.stages.sealed import keys_near
    from dsetkit.storage.unfinished import refuse_unfinished
    from dsetkit.storage.url import to_local

    if (local := to_local(os.fspath(path))) is not None:
        refuse_unfinished(local)
    return open_snapshot(path, keys=keys_near(path), export=export_with_card)


if not TYPE_CHECKING:  # so that type checkers know a name that is not there

    def __getattr__(name: str) -> Any:
        """Load a public name where it is first used."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__all__ = [
    "Annotation",
    "BBox",
    "Category",
    "Contract",
    "DatasetCard",
    "Diff",
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
    "diff",
    "export_snapshot",
    "open",
    "read_labels",
    "validate",
    "verify",
]
