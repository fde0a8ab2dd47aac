"""A project with two versions that differ in everything a rollback brings back, both wholly built."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from support.bench import picture_bytes
from support.versions import commit, relabel, sh


def make_life(built_demo: Path, project: Path) -> Path:
    """``v1`` is the demo; ``v3`` has a moved box, one more source, other params, one contract more and one less."""
    copied(built_demo, project)
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


def copied(project: Path, place: Path) -> Path:
    """A copy in which what was one file, in DVC's cache and beside it, is one again; instead of what stands there."""
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run(["cp", "-a", project, place], check=True)
    return place


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


def make_odd(project: Path) -> Path:
    """A DVC project of a few bytes whose versions ``A`` and ``B`` have files where the other has folders, outputs in
    what are outputs of the other, and in git what the other has in DVC. It is at ``B``.
    """
    project.mkdir()
    sh(project, "git", "init", "-q")
    sh(project, "dvc", "init", "-q")
    (project / ".dvc" / "config").write_text('[cache]\n    type = "hardlink,copy"\n')
    stage = 'stages:\n  make:\n    cmd: "true"\n    deps: [x, code]\n    outs: '
    one = {"x": "x", "code/c": "c", "data/raw/a": "a", "data/raw/sub/b": "b", "table.csv": "t", "plots/p": "p"}
    one["dvc.yaml"] = f"{stage}[data/raw, table.csv, {{plots: {{cache: false}}}}]\n"
    two = {"x/y": "y", "code/c": "c", "code/d": "d", "data/raw/one/1": "1", "data/raw/two/2": "2", "table.csv": "u"}
    two |= {
        "plots/p": "q",
        "dvc.yaml": f"{stage}[data/raw/one, data/raw/two, plots, {{table.csv: {{cache: false}}}}]\n",
    }
    for name, files in (("A", one), ("B", two)):
        sh(project, "git", "rm", "-rq", "--cached", "--ignore-unmatch", "plots", "x", "table.csv")
        for place in ("x", "data", "plots", "table.csv", "code", ".gitignore"):
            shutil.rmtree(project / place) if (project / place).is_dir() else (project / place).unlink(missing_ok=True)
        for path, text in files.items():
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text(f"{text}\n")
        sh(project, "dvc", "commit", "-q", "-f")
        commit(project, name, name)
    return project
