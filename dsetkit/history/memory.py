"""The last committed output of a stage, read from DVC's cache.

DVC removes an output before its stage runs, but the objects stay in its cache; a stage that finds its own last
output there computes only what is new.

DVC trusts a cached object that nobody may write to without looking into it, and links it in place of the good file a
stage has made anew. So a damaged shard or part is deleted from the cache here, as DVC does with one that it doubts.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from dsetkit.errors import DsetkitError, NotFoundError
from dsetkit.history.objects import Objects, open_cached
from dsetkit.history.recorded import lock_at, recorded_folders
from dsetkit.snapshots.read import Snapshot, open_snapshot
from dsetkit.snapshots.sound import SoundFiles
from dsetkit.stages.project import Project
from dsetkit.stages.sealed import is_protected, keys_near


def last_output(root: Path, place: Path) -> Snapshot | None:
    """The newest snapshot that the project at ``root`` has committed at ``place``, or what stands there outside DVC.

    Looked for in ``dvc.lock``, then as HEAD has it, then MERGE_HEAD. Shards that are not in the cache
    are not known then. None where nothing of it can be used: a memory is a convenience, never needed.
    """
    if not (root / ".dvc").is_dir():
        return _open_quietly(place)
    versions = _recorded(root, place)
    if not versions:
        return None
    is_sealed = is_protected(root, place)

    def is_fit(snapshot: Snapshot) -> bool:
        """What is sealed learns of nothing plain: whoever can commit could have made it."""
        return snapshot.seals is not None or not is_sealed

    sound = SoundFiles(Project(root).stat_cache)
    objects = Objects(root, remote=False)
    try:
        for oid, revision in versions.items():
            snapshot = open_cached(objects, oid, place.relative_to(root).as_posix(), revision)
            if snapshot is not None and is_fit(snapshot) and _drop_damaged(snapshot, sound):
                return snapshot
    finally:
        objects.close()
    return None


def _open_quietly(place: Path) -> Snapshot | None:
    try:
        return open_snapshot(place, keys=keys_near(place))
    except DsetkitError:
        return None


def _recorded(root: Path, place: Path) -> dict[str, str | None]:
    """Object ids of the folder that stood at ``place``, newest first, and the revision of each; None: none yet."""
    lock = root / "dvc.lock"
    texts: list[tuple[str | None, str | None]] = [(None, lock.read_text(encoding="utf-8") if lock.is_file() else None)]
    with suppress(NotFoundError):  # a project may do without git
        texts += [(revision, lock_at(root, revision)) for revision in ("HEAD", "MERGE_HEAD")]
    found: dict[str, str | None] = {}
    for revision, text in texts:
        for oid in recorded_folders(text or "", place.relative_to(root).as_posix()):
            found.setdefault(oid, revision)
    return found


def _drop_damaged(snapshot: Snapshot, sound: SoundFiles) -> bool:
    """Delete damaged objects; whether what is left is a memory: all tables, and any shards."""
    info, folder = snapshot.info, snapshot.folder
    tables = [*info.parts, *([info.rejected] if info.rejected else [])]
    lost = [part for part in (*tables, *info.shards) if not sound.is_sound(folder, part.name, part.digest)]
    for part in lost:
        path = folder.local_path(part.name)
        if path is not None:
            with suppress(OSError):  # a shared cache may not be ours to mend; the memory does without it all the same
                path.unlink()
    sound.keep()
    return not any(part in lost for part in tables) and not (info.shards and all(part in lost for part in info.shards))
