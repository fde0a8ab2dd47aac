"""A project with two versions that differ in everything a rollback brings back, both wholly built."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

from support.bench import picture_bytes
from support.versions import commit, relabel, sh


def make_life(built_demo: Path, project: Path) -> Path:
    """``v1`` is the demo; ``v3`` has a moved box, one more source, other params, one contract more and one less."""
    shutil.copytree(built_demo, project, symlinks=True)
    commit(project, "first", "v1")
    relabel(project, 3)
    other = project / "data" / "sources" / "other"
    other.mkdir(parents=True)
    for number in range(3):
        (other / f"{number}.jpg").write_bytes(picture_bytes(700 + number, (256, 192)))
    sh(project, "dsetkit", "add", "other", "data/sources/other")
    (project / "schemas" / "extra.py").write_text('"""One more."""\n')
    (project / "schemas" / "keypoints.py").unlink()
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("max_invalid: 0.02", "max_invalid: 0.03"))
    sh(project, "dvc", "repro", "-q")
    commit(project, "third", "v3")
    return project


def state(project: Path) -> dict[str, str]:
    """Path → MD5 of every file of a project but git's, DVC's, and what Python makes; links as where they point."""
    found = {}
    for folder, folders, files in os.walk(project):
        folders[:] = [name for name in folders if name not in (".git", ".dvc", "__pycache__")]
        for name in files:
            path = Path(folder, name)
            data = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
            found[path.relative_to(project).as_posix()] = hashlib.md5(data).hexdigest()
        if not folders and not files:
            found[Path(folder).relative_to(project).as_posix()] = "empty"
    return found


def fingerprints(project: Path) -> dict[str, str]:
    """Snapshot → fingerprint."""
    return {
        path.parent.relative_to(project / "data").as_posix(): json.loads(path.read_bytes())["fingerprint"]
        for path in (project / "data").rglob("snapshot.json")
    }
