"""Finished shards of a run that was killed, so that its pixels need not be computed again.

A shard comes into the build folder by a rename; its rows are written to ``work/<digest>.parquet`` after it. So a shard
with readable rows is whole, and whatever has no pair is worthless.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from dsetkit.errors import DsetkitError
from dsetkit.snapshots.parquet import TableFile, write_scratch
from dsetkit.spec.sample import Sample
from dsetkit.spec.snapshot import Part
from dsetkit.storage.atomic import remove_tree
from dsetkit.storage.folder import LocalFolder
from dsetkit.storage.tar import check_shard

WORK = "work"
SHARDS = "shards"


def keep_rows(build: Path, digest: str, table: pa.Table) -> None:
    """Put the kept rows of a finished shard beside it."""
    path = build / WORK / f"{digest}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    write_scratch(table, path)


def leftovers(build: Path) -> list[tuple[Path, pa.Table]]:
    """The finished shards of a killed run, and the rows (not the rejected ones) whose pictures are in each.

    Sorted by name. The tables are of the ``Sample`` schema; ``shard`` and ``offset_bytes`` are set. What is half
    written, or without its pair, is deleted; nothing else is. Pictures are not hashed here: who takes bytes from a
    leftover checks them against their digest.
    """
    found: list[tuple[Path, pa.Table]] = []
    paired = set()
    for rows in sorted((build / WORK).glob("*.parquet")):
        if rows.name.startswith("rejected-"):
            continue
        shard = build / SHARDS / f"{rows.stem}.tar"
        table = _read(build, rows, shard)
        if table is None:
            rows.unlink()
        else:
            found.append((shard, table))
            paired.add(shard)
    if (build / SHARDS).is_dir():
        for path in sorted((build / SHARDS).iterdir()):
            if path not in paired:
                remove_tree(path)
    return found


def _read(build: Path, rows: Path, shard: Path) -> pa.Table | None:
    """The rows of a shard; None where they or the shard are not whole."""
    try:
        places = {(member.name[:64], member.offset_bytes, member.size_bytes) for member in check_shard(shard)}
        count = TableFile.count_rows(rows)
        part = Part(name=f"{WORK}/{rows.name}", digest=rows.stem, size_bytes=rows.stat().st_size, rows=count)
        table = TableFile(LocalFolder(build), part, Sample).read()
    except (DsetkitError, OSError, ValueError):
        return None
    claimed = table.select(["digest", "offset_bytes", "size_bytes", "shard"]).to_pylist()
    names = {row.pop("shard") for row in claimed} | {shard.name}
    whole = len(names) == 1 and {tuple(row.values()) for row in claimed} <= places
    return table if whole else None
