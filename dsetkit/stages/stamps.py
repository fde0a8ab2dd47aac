"""Sources whose raw snapshots are sealed: they stay out of git, and so do the digests in their locks.

A digest of content tells of it, so a lock in the clear is keyed.
"""

from __future__ import annotations

import os
from pathlib import Path

from dsetkit.access.identity import Identity
from dsetkit.access.opened import ProjectKeys
from dsetkit.access.rules import rule_of
from dsetkit.spec.lock import Lock
from dsetkit.spec.policy import AccessPolicy
from dsetkit.stages.project import SOURCES_LOCK, Project
from dsetkit.stages.sealed import Sealing
from dsetkit.stages.sources import keep_listing, locked_listing
from dsetkit.stages.yaml_documents import load_document, load_yaml, save_yaml
from dsetkit.storage.atomic import write_atomic
from dsetkit.storage.url import to_local


def stamp_locks(root: Path, policy: AccessPolicy, identity: Identity | None) -> tuple[str, ...]:
    """Keys the digests of sources whose raw snapshots are sealed now and that were locked in the clear.

    What git has of them already stays there. Gives the files that were written; none for who has not the keys.
    """
    path = root / SOURCES_LOCK
    if identity is None or not path.is_file():
        return ()
    keys = ProjectKeys(root, identity)
    document = load_yaml(path)
    project = Project(root)
    has_changed = False
    for name, lock in load_document(path, Lock).root.items():
        stage = f"raw/{name}"
        rule = rule_of(policy, stage)
        if rule is None or lock.sealed is not None or keys.principal not in rule.builders:
            continue
        stamped = Sealing(root, stage, keys).stamped(lock)
        listing = locked_listing(project, lock.digest)
        if listing is not None:
            keep_listing(project, stamped.digest, listing)
        document[name] = stamped.model_dump(mode="json", exclude_none=True)
        has_changed = True
    if has_changed:
        save_yaml(path, document)
    return (SOURCES_LOCK,) if has_changed else ()


def ignore_sources(root: Path, policy: AccessPolicy) -> tuple[str, ...]:
    """Keeps sources that lie in the project, and whose raw snapshots are sealed, out of git from now on.

    Gives the files that were written. What git has of them already stays there.
    """
    lines = []
    for name, source in Project(root).params.sources.items():
        path = to_local(source.path)
        if path is None or rule_of(policy, f"raw/{name}") is None:
            continue
        place = os.path.relpath(root / path.expanduser(), root)
        if not place.startswith(os.pardir):
            lines.append(f"/{Path(place).as_posix()}")
    file = root / ".gitignore"
    known = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    new = [line for line in lines if line not in known and f"{line}/" not in known]
    if not new:
        return ()
    write_atomic(file, "".join(f"{line}\n" for line in [*known, *new]).encode())
    return (".gitignore",)
