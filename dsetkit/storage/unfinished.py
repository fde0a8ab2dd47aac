"""Is a rollback unfinished here? While one is, what stands in a project may be of two versions."""

from __future__ import annotations

import os
import time
from pathlib import Path

from dsetkit.errors import UsageError

ROLLBACK = Path(".dvc", "tmp", "dsetkit", "rollback")
"""Where, in a project, a rollback keeps what it moves."""
JOURNAL = "journal.json"
"""In it: what is to be moved. While this file stands, the rollback is unfinished."""
PATIENCE_S = 2.0
"""A rollback that is alive needs its journal for some milliseconds."""


def refuse_unfinished(path: str | os.PathLike[str]) -> None:
    """Raise ``UsageError`` where ``path``, or a folder above it, is a project whose rollback was interrupted."""
    place = Path(path).absolute()
    for folder in (place, *place.parents):
        journal = folder / ROLLBACK / JOURNAL
        until = time.monotonic() + PATIENCE_S
        while os.path.lexists(journal):
            if time.monotonic() > until:
                raise UsageError(
                    f"a rollback was interrupted in {folder}, so what stands there may be of two versions",
                    hint="Run any dsetkit command there, dsetkit status for one: it finishes the rollback.",
                )
            time.sleep(0.05)
