"""What ``dvc.lock`` records at a revision."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dsetkit.history.repository import git

_FOLDER = re.compile(r"[0-9a-f]{32}\.dir\Z")


def lock_at(root: Path, revision: str) -> str | None:
    """``dvc.lock`` of the project at ``root`` as a revision has it; None where there is none."""
    return git(root, "show", f"{revision}:./dvc.lock")


def recorded_outputs(lock: str) -> dict[str, str]:
    """Path in the project → DVC's object id (``<md5>.dir``) of each folder that a ``dvc.lock`` names as output.

    In the order of the text; empty for a text that is none.
    """
    return dict(_folders(lock))


def recorded_folders(lock: str, place: str) -> Iterator[str]:
    """DVC's object ids of the folder that stood at ``place``, a path in the project, by a ``dvc.lock``."""
    return (oid for path, oid in _folders(lock) if path == place)


def _folders(lock: str) -> Iterator[tuple[str, str]]:
    try:
        document = YAML(typ="safe", pure=True).load(lock)
    except YAMLError:
        return
    stages = document.get("stages") if isinstance(document, dict) else None
    for stage in stages.values() if isinstance(stages, dict) else ():
        for out in (stage.get("outs") if isinstance(stage, dict) else None) or ():
            if isinstance(out, dict) and _FOLDER.match(str(out.get("md5", ""))):
                yield str(out.get("path")), str(out["md5"])
