"""Retention of a backup: how many generations stay, and objects that none of them names."""

from __future__ import annotations

from dataclasses import dataclass, field

from dsetkit.errors import CheckError, UsageError
from dsetkit.history.backup.index import (
    MARKER,
    Generation,
    bundle_name,
    is_bundle,
    is_own,
    newest,
    object_name,
    oid_of,
    read_generations,
)
from dsetkit.storage.writable import LocalWritable, RemoteWritable, is_unfinished, open_writable


@dataclass
class Pruned:
    """What pruning took away, or would."""

    url: str
    generations: list[int] = field(default_factory=list)
    """Numbers, oldest first."""
    kept: list[int] = field(default_factory=list)
    objects: int = 0
    size_bytes: int = 0
    unknown: list[str] = field(default_factory=list)
    """Files that no backup writes; they are let be."""


def list_generations(url: str) -> list[Generation]:
    """The generations of a backup that can be used, newest first. Raises ``NotFoundError``, ``StorageError``."""
    folder = open_writable(url)
    generations, issues = read_generations(folder, folder.sizes())
    newest(folder, generations, issues)
    return generations


def prune_backup(url: str, *, keep: int | None = None, dry_run: bool = False) -> Pruned:
    """Delete all but the ``keep`` newest generations, then objects and bundles that no generation left names.

    Without ``keep`` all generations stay. Unfinished files of writes that were stopped go too. Raises ``CheckError``
    where a generation is damaged: which objects it names is not known then. Not while a backup is made there: it
    would miss what is deleted, and say so.
    """
    folder = open_writable(url)
    sizes = folder.sizes()
    generations, issues = read_generations(folder, sizes)
    newest(folder, generations, issues)
    if issues:
        raise CheckError(
            f"{folder.url} has damaged generations, so what may be deleted is not known",
            issues=issues,
            hint="Delete the files named here if you can do without those generations.",
        )
    kept, dropped = _split(generations, keep)
    named = {MARKER, *(item.name for item in kept)}
    for item in kept:
        named.add(bundle_name(item.index.bundle.digest))
        named.update(map(object_name, item.index.objects))
    surplus = [name for name in sizes if name not in named and is_own(name)]
    done = Pruned(
        url=folder.url,
        generations=sorted(item.index.generation for item in dropped),
        kept=sorted(item.index.generation for item in kept),
        objects=sum(1 for name in surplus if oid_of(name) is not None),
        size_bytes=sum(sizes[name] for name in surplus),
        unknown=[name for name in sizes if not is_own(name)],
    )
    if not dry_run:
        # Indexes first: one that stands names only what stands.
        surplus.sort(key=lambda name: (oid_of(name) is not None, is_bundle(name), is_unfinished(name), name))
        for name in surplus:
            folder.delete(name)
    return done


def drop_generations(folder: LocalWritable | RemoteWritable, keep: int) -> list[int]:
    """Delete all but the ``keep`` newest generations and their bundles; gives their numbers. Objects stay.

    Damaged ones are let be.
    """
    generations, _ = read_generations(folder, folder.sizes())
    kept, dropped = _split(generations, keep)
    bundles = {item.index.bundle.digest for item in kept}
    for item in dropped:
        folder.delete(item.name)
    for digest in sorted({item.index.bundle.digest for item in dropped} - bundles):
        folder.delete(bundle_name(digest))
    return sorted(item.index.generation for item in dropped)


def _split(generations: list[Generation], keep: int | None) -> tuple[list[Generation], list[Generation]]:
    if keep is not None and keep < 1:
        raise UsageError(f"{keep} generations cannot be kept", hint="Keep at least 1.")
    return (generations, []) if keep is None else (generations[:keep], generations[keep:])
