"""Finished shards of a run that was killed, so that its pixels need not be computed again.

A shard comes into the build folder by a rename; its rows are written to ``work/<digest>.parquet`` (sealed:
``work/<digest>.sealed``) after it. So a shard with readable rows is whole, and whatever has no pair is worthless.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from dsetkit.errors import DsetkitError
from dsetkit.snapshots.naming import SHARDS
from dsetkit.snapshots.parquet import TableFile
from dsetkit.snapshots.parquet_out import open_scratch, scratch_ending, scratch_path, write_scratch
from dsetkit.snapshots.sealing import Seal
from dsetkit.snapshots.shards import member_of
from dsetkit.spec.sample import Sample
from dsetkit.spec.snapshot import Part
from dsetkit.storage.atomic import remove_tree
from dsetkit.storage.folder import LocalFolder
from dsetkit.storage.tar import check_shard

WORK = "work"


def keep_rows(build: Path, digest: str, table: pa.Table, seal: Seal | None) -> None:
    """Put the kept rows of a finished shard beside it."""
    path = scratch_path(build / WORK, digest, seal)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    write_scratch(table, path, seal)


def leftovers(build: Path, seal: Seal | None = None) -> list[tuple[Path, pa.Table]]:
    """The finished shards of a killed run, and the rows (not the rejected ones) whose pictures are in each.

    Sorted by name. The tables are of the ``Sample`` schema; ``shard`` and ``offset_bytes`` are set. What is half
    written, without its pair, or not sealed as ``seal`` does, is deleted; nothing else is. Pictures are not hashed
    here: who takes bytes from a leftover checks them against their digest.
    """
    found: list[tuple[Path, pa.Table]] = []
    paired = set()
    for rows in sorted((build / WORK).iterdir()) if (build / WORK).is_dir() else ():
        if rows.name.startswith("rejected-"):
            continue
        shard = build / SHARDS / f"{rows.stem}.tar"
        table = _read(build, rows, shard, seal) if rows.suffix == f".{scratch_ending(seal)}" else None
        if table is None:
            remove_tree(rows)
        else:
            found.append((shard, table))
            paired.add(shard)
    if (build / SHARDS).is_dir():
        for path in sorted((build / SHARDS).iterdir()):
            if path not in paired:
                remove_tree(path)
    return found


def _read(build: Path, rows: Path, shard: Path, seal: Seal | None) -> pa.Table | None:
    """The rows of a shard; None where they or the shard are not whole."""
    try:
        members = check_shard(shard)
        with open_scratch(rows, seal) as file:
            count = file.metadata.num_rows
        part = Part(name=f"{WORK}/{rows.name}", digest=rows.stem, size_bytes=rows.stat().st_size, rows=count)
        table = TableFile(LocalFolder(build), part, Sample, seal, kind="scratch").read()
        claimed = table.select(["digest", "size_bytes", "offset_bytes", "shard"]).to_pylist()
        places = {(member.name.partition(".")[0], member.size_bytes, member.offset_bytes) for member in members}
        for row in claimed:
            name, size = member_of(row["digest"], row["size_bytes"], "", seal)
            if row["shard"] != shard.name or (name.partition(".")[0], size, row["offset_bytes"]) not in places:
                return None
    except (DsetkitError, OSError, ValueError, TypeError, pa.ArrowException):
        return None
    return table
