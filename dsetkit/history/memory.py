"""The last committed output of a stage, read from DVC's cache.

DVC removes an output before its stage runs, but the objects stay in its cache; a stage that finds its own last
output there computes only what is new.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dsetkit.errors import DsetkitError
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.storage.folder import MappedFolder

if TYPE_CHECKING:
    from dvc.repo import Repo


def last_output(root: Path, place: Path) -> Snapshot | None:
    """The newest snapshot that the project at ``root`` has committed at ``place``, or what stands there outside DVC.

    Looked for in ``dvc.lock``, then as HEAD has it, then MERGE_HEAD. None where no version of it is whole in the
    cache: a memory is a convenience, never needed.
    """
    if not (root / ".dvc").is_dir():
        return _open_quietly(place)
    versions = list(_recorded(root, place))
    if not versions:
        return None
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        for oid in dict.fromkeys(versions):
            snapshot = _from_cache(repo, oid, place)
            if snapshot is not None:
                return snapshot
    return None


def _open_quietly(place: Path) -> Snapshot | None:
    try:
        return open_snapshot(place)
    except DsetkitError:
        return None


def _recorded(root: Path, place: Path) -> Iterator[str]:
    """Object ids of the folder that stood at ``place``, newest first."""
    wanted = place.relative_to(root).as_posix()
    lock = root / "dvc.lock"
    texts = [lock.read_text(encoding="utf-8")] if lock.is_file() else []
    for revision in ("HEAD", "MERGE_HEAD"):
        done = subprocess.run(
            ["git", "-C", str(root), "show", f"{revision}:./dvc.lock"], capture_output=True, check=False
        )
        if done.returncode == 0:
            texts.append(done.stdout.decode("utf-8", "replace"))
    for text in texts:
        try:
            document = YAML(typ="safe", pure=True).load(text) or {}
        except YAMLError:
            continue
        for stage in (document.get("stages") or {}).values():
            for out in stage.get("outs") or []:
                if out.get("path") == wanted and str(out.get("md5", "")).endswith(".dir"):
                    yield str(out["md5"])


def _from_cache(repo: Repo, oid: str, place: Path) -> Snapshot | None:
    cache: Any = repo.cache.local
    folder = Path(cache.oid_to_path(oid))
    if not folder.is_file():
        return None
    try:
        entries = json.loads(folder.read_bytes())
        files = {entry["relpath"]: Path(cache.oid_to_path(entry["md5"])) for entry in entries}
    except (ValueError, KeyError, TypeError):
        return None
    try:
        return open_snapshot(MappedFolder(str(place), files))
    except (DsetkitError, OSError):
        return None
