"""What the contenders of ``convert_voc`` and ``convert_yolo`` wrote into the folder ``written``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path


def say(steps: Mapping[str, float], facts: Mapping[str, int], who: str, to: str) -> None:
    """Print the outcome, with what lies in the folder. Not on the clock."""
    files = objects = size = 0
    for path in _label_files(Path("written"), to):
        data = path.read_bytes()
        files, size = files + 1, size + len(data)
        objects += data.count(b"<object>") if to.startswith("voc") else data.count(b"\n")
    # Datumaro leaves crowds out of YOLO, and pictures without an object out of VOC: only VOC's objects are the same.
    name = "objects" if to.startswith("voc") else f"lines ({who})"
    found = {f"label files ({who})": files, name: objects, "written_bytes": size}
    print(json.dumps({"steps": steps, "facts": {**facts, **found}}))


def _label_files(folder: Path, to: str) -> Iterator[Path]:
    if to.startswith("voc"):
        return folder.glob("Annotations/*.xml")
    return (path for path in folder.rglob("*.txt") if path.parent != folder)
