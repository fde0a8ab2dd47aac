"""Facets in the stages: what is sealed apart of what is built, and rows under the keys that they have then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from dsetkit.errors import AccessError
from dsetkit.snapshots.facet_history import readable_in_history
from dsetkit.snapshots.facets import Facets, FacetSpec
from dsetkit.snapshots.read import Snapshot
from dsetkit.snapshots.sealing import Seal
from dsetkit.spec.arrow import Row, iter_rows
from dsetkit.spec.issue import Issue
from dsetkit.spec.key import sort_key
from dsetkit.spec.sample import Sample
from dsetkit.stages.project import Project
from dsetkit.stages.sealed import Sealing
from dsetkit.stages.spool import Spool

_BUCKET_ROWS = 16_384
"""Rows that are sorted in memory at a time."""


def facets_for(sealing: Sealing) -> Facets:
    """What is sealed apart of a stage that is built now. Raises ``AccessError`` for who does not read all of it."""
    if sealing.keys is None or sealing.seal is None:
        return Facets(())
    from dsetkit.access.rules import facets_of

    keys = sealing.keys
    return Facets(
        FacetSpec(name, rule.columns, rule.splits, rule.hides_keys, keys.facet_seal_of(name))
        for name, rule in facets_of(keys.policy, sealing.stage).items()
    )


def readable_before(project: Project, stage: str, older: Snapshot | None) -> list[Issue]:
    """What is kept apart in a stage now, and could be read in its version before by who may not. ``SnapshotError``.

    Of a sealed version that are all who ever had the data key of its rows; of a plain one, everybody.
    """
    facets = facets_for(project.sealing(stage))
    if older is None or not facets or project.keys is None:
        return []
    from dsetkit.access.rules import readers_ever

    policy, seals = project.keys.policy, older.seals
    specs = facets.specs
    if seals is not None:
        could = readers_ever(project.keys.chain.versions, seals.domain, seals.epoch)
        specs = tuple(spec for spec in specs if could - {*policy.facets[spec.name].readers})
    return readable_in_history(older, specs)


def scratch_seal(sealing: Sealing, facets: Facets) -> Seal | None:
    """What seals whole rows that are put aside during a build: the keys of all facets, else the stage's."""
    return facets.seal(facets.top) if facets else sealing.seal


def refuse_hidden(snapshot: Snapshot, stage: str) -> Snapshot:
    """The snapshot that ``stage`` is built from. Raises ``AccessError`` where facets of it are not read."""
    if snapshot.hidden:
        names = ", ".join(facet.name for facet in snapshot.hidden)
        raise AccessError(
            f"{stage} is made from {snapshot.info.name}, which has columns in facets that this identity does not read "
            f"({names}): they would be lost",
            subject=snapshot.hidden[0].name,
            hint="Let somebody build it who reads them, or ask an admin: dsetkit access list says who.",
        )
    return snapshot


def with_own_keys(snapshot: Snapshot, aside: Path, seal: Seal | None) -> Iterator[Row]:
    """All rows of a snapshot under their own keys, in the order of these. ``aside``: where files may be put."""
    own = snapshot.original_keys()
    rows = iter_rows(snapshot.iter_tables(), Sample)
    if not own:
        yield from rows
        return
    keys = snapshot.column("key")["key"].to_pylist()
    yield from (row for row, _ in reordered(rows, [own.get(key, key) for key in keys], aside, seal))


def reordered(rows: Iterable[Row], keys: Sequence[str], aside: Path, seal: Seal | None) -> Iterator[tuple[Row, str]]:
    """Rows under other keys and in the order of these, each with the key it had.

    ``keys``: that of each row. Rows are put aside in files ``<aside>.<number>``, sealed by ``seal``, and at most
    ``_BUCKET_ROWS`` are in memory.
    """
    order = sorted(range(len(keys)), key=lambda number: sort_key(keys[number]))
    ranks = np.empty(len(keys), np.int64)
    ranks[order] = np.arange(len(keys))
    count = -(-len(keys) // _BUCKET_ROWS)
    spools = [Spool(aside.with_name(f"{aside.name}.{number}"), Sample, seal) for number in range(count)]
    numbers: list[list[int]] = [[] for _ in spools]
    try:
        for number, row in enumerate(rows):
            bucket = int(ranks[number]) // _BUCKET_ROWS
            spools[bucket].add(row)
            numbers[bucket].append(number)
        for spool, there in zip(spools, numbers, strict=True):
            spool.close()
            held = list(zip(there, spool, strict=True))
            held.sort(key=lambda item: int(ranks[item[0]]))
            for number, row in held:
                yield {**row, "key": keys[number]}, row["key"]
    finally:
        for spool in spools:
            spool.remove()
