"""Projects with a history: real git, real DVC."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from dsetkit.snapshots.read import open_snapshot


def sh(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)} gave {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def commit(project: Path, message: str, *tags: str) -> str:
    sh(project, "git", "add", "-A")
    sh(project, "git", "commit", "-q", "--allow-empty", "-m", message)
    for tag in tags:
        sh(project, "git", "tag", tag)
    return sh(project, "git", "rev-parse", "--short", "HEAD")


def relabel(project: Path, shift: float) -> None:
    """Narrow one box of a sample that is not turned away, and rebuild ``data/cleaned``."""
    path = project / "data" / "sources" / "demo" / "annotations.json"
    document = json.loads(path.read_text())
    kept = open_snapshot(project / "data" / "cleaned")[0].key.rpartition("/")[2]
    image = next(item["id"] for item in document["images"] if item["file_name"].endswith(kept))
    plain = (item for item in document["annotations"] if not item.get("segmentation") and not item.get("keypoints"))
    box = next(item for item in plain if item["image_id"] == image and item["bbox"][2] > 20)
    box["bbox"][2] -= shift
    path.write_text(json.dumps(document))
    sh(project, "dsetkit", "update", "demo")
    sh(project, "dvc", "repro", "-q", "clean")
