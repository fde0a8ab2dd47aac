"""Whether a shard that stands somewhere still is what its name says, before it is linked or pictures are taken from it.

A file is hashed once; after that its stat is proof, as for git and DVC: a file that somebody wrote into has another
time. What changes under the file system (a dying disk) is found by ``verify``, which hashes everything.
"""

from __future__ import annotations

import time
from pathlib import Path

from dsetkit.snapshots.parquet_out import hash_file
from dsetkit.storage.folder import Folder
from dsetkit.storage.stat_cache import Remembered, StatCache

_ROOT = "shards of snapshots"


class SoundFiles:
    """Answers for the files of one run of a stage; what it hashed is remembered by ``keep``."""

    def __init__(self, cache: StatCache | None = None) -> None:
        """Without ``cache`` each file is hashed once a run."""
        self._cache = cache
        self._known = {} if cache is None else cache.recall(_ROOT)
        self._hashed: dict[str, tuple[Remembered, int]] = {}
        self._answers: dict[Path, bool] = {}
        self._began_ns = time.time_ns()

    def is_sound(self, folder: Folder, name: str, digest: str | None = None) -> bool:
        """Whether a file of a folder is here and has the digest, by default that in its name (``<digest>.tar``)."""
        path = folder.local_path(name)
        if path is None:
            return False
        answer = self._answers.get(path)
        if answer is None:
            answer = self._answers[path] = self._check(path, digest or name.rpartition("/")[2].partition(".")[0])
        return answer

    def keep(self) -> None:
        """Remember what was hashed, for the next run."""
        if self._cache is not None and self._hashed:
            self._cache.remember(_ROOT, self._hashed.values(), self._began_ns)

    def _check(self, path: Path, digest: str) -> bool:
        try:
            # Not the time of change: it moves with every hard link.
            found = path.stat()
            place, stamp = f"{found.st_dev}:{found.st_ino}", str(found.st_mtime_ns)
            known = self._known.get(place)
            if known is not None and (known.size_bytes, known.stamp) == (found.st_size, stamp):
                return known.digest == digest
            actual, size = hash_file(path)
        except OSError:
            return False
        self._hashed[place] = Remembered(place, size, stamp, actual), found.st_mtime_ns
        return actual == digest
