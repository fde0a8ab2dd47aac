"""What ``dvc.lock`` records at a revision. Anybody may have written it, so nothing in it is believed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from dsetkit.history.repository import git
from dsetkit.stages.yaml_documents import UnfitYaml, parse_untrusted

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024
"""A larger ``dvc.lock``, ``dvc.yaml`` or ``.dvc`` file is not read; one of 50,000 outputs fits."""
_FOLDER = re.compile(r"[0-9a-f]{32}\.dir\Z")


def lock_at(root: Path, revision: str) -> str | None:
    """``dvc.lock`` of the project at ``root`` as a revision has it; None where there is none.

    Empty for one that is larger than any: it records nothing.
    """
    what = f"{revision}:./dvc.lock"
    size = git(root, "cat-file", "-s", what)
    if size is None:
        return None
    return git(root, "cat-file", "blob", what) if int(size) <= MAX_DOCUMENT_BYTES else ""


@lru_cache(maxsize=16)  # versions have most of it in common, and reading one takes a tenth of a second
def parse_lock(text: str) -> dict[str, Any] | None:
    """A ``dvc.lock``, or another mapping in YAML, as plain values, only to be read; None for a text that is none."""
    try:
        document = parse_untrusted(text)
    except UnfitYaml:
        return None
    return document if isinstance(document, dict) else None


def recorded_outputs(lock: str) -> dict[str, str]:
    """Path in the project → DVC's object id (``<md5>.dir``) of each folder that a ``dvc.lock`` names as output.

    In the order of the text; empty for a text that is none.
    """
    return dict(_folders(lock))


def recorded_folders(lock: str, place: str) -> Iterator[str]:
    """DVC's object ids of the folder that stood at ``place``, a path in the project, by a ``dvc.lock``."""
    return (oid for path, oid in _folders(lock) if path == place)


def _folders(lock: str) -> Iterator[tuple[str, str]]:
    stages = (parse_lock(lock) or {}).get("stages")
    for stage in stages.values() if isinstance(stages, dict) else ():
        outs = stage.get("outs") if isinstance(stage, dict) else None
        for out in outs if isinstance(outs, list) else ():
            path, oid = (out.get("path"), out.get("md5")) if isinstance(out, dict) else (None, None)
            if isinstance(path, str) and isinstance(oid, str) and _FOLDER.match(oid):
                yield path, oid
