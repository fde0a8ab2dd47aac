"""The report that a revision recorded: its page from DVC, all the rest from git."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from dsetkit.history.objects import Objects
from dsetkit.history.outputs import Outputs
from dsetkit.history.repository import git
from dsetkit.history.statements import file_at
from dsetkit.stages.sealed_report import FOLDERS, METRICS, PAGE, is_sealed_report

_MOST_BYTES = 1 << 30


def sealed_report_at(root: Path, commit: str) -> dict[PurePosixPath, bytes]:
    """The files of a sealed report as a commit recorded them; none where it has none, or a plain one.

    Raises ``NotFoundError`` where DVC's cache and remote lack the page, ``StorageError``.
    """
    places = [path.as_posix() for path in (PAGE, METRICS, *FOLDERS)]
    text = git(root, "ls-tree", "-r", "-z", "--name-only", commit, "--", *places) or ""
    found = {}
    for name in text.split("\0"):
        data = file_at(root, commit, name, _MOST_BYTES) if name else None
        if data is not None:
            found[PurePosixPath(name)] = data
    if not is_sealed_report(found):
        return {}
    oid = Outputs(root).at(commit).get(PAGE.as_posix())
    if oid is not None:
        objects = Objects(root)
        try:
            found[PAGE] = objects.read(oid, f"{PAGE} at {commit[:7]}")
        finally:
            objects.close()
    return found
