"""What ``dvc.lock`` records at a revision, and snapshots as they lie in DVC's cache."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dsetkit.errors import DsetkitError
from dsetkit.history.repository import git
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.storage.folder import MappedFolder

if TYPE_CHECKING:
    from dvc.repo import Repo


def lock_at(root: Path, revision: str) -> str | None:
    """``dvc.lock`` of the project at ``root`` as a revision has it; None where there is none."""
    return git(root, "show", f"{revision}:./dvc.lock")


def recorded_folders(lock: str, place: str) -> Iterator[str]:
    """DVC's object ids (``<md5>.dir``) of the folder that stood at ``place``, a path in the project, by a ``dvc.lock``.

    None for a text that is not one.
    """
    try:
        document = YAML(typ="safe", pure=True).load(lock)
    except YAMLError:
        return
    stages = document.get("stages") if isinstance(document, dict) else None
    for stage in stages.values() if isinstance(stages, dict) else ():
        for out in (stage.get("outs") if isinstance(stage, dict) else None) or ():
            if isinstance(out, dict) and out.get("path") == place and str(out.get("md5", "")).endswith(".dir"):
                yield str(out["md5"])


def open_cached(repo: Repo, oid: str, place: Path) -> Snapshot | None:
    """The snapshot of a folder's object as it lies in DVC's cache; its parts and shards may be absent or damaged.

    None where the cache has no such folder, or no snapshot in it. ``place`` is what it is called in messages.
    """
    cache: Any = repo.cache.local
    folder = Path(cache.oid_to_path(oid))
    if not folder.is_file():
        return None
    try:
        entries = json.loads(folder.read_bytes())
        files = {entry["relpath"]: Path(cache.oid_to_path(entry["md5"])) for entry in entries}
        return open_snapshot(MappedFolder(str(place), files), check=False)
    except (ValueError, KeyError, TypeError, DsetkitError, OSError):
        return None
