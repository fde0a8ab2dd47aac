"""What is known from before: pictures found by what they were made from."""

from __future__ import annotations

import bisect
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from dsetkit.snapshots.read import Snapshot
from dsetkit.snapshots.sealing import Seal
from dsetkit.snapshots.shards import Shards
from dsetkit.snapshots.sound import SoundFiles
from dsetkit.snapshots.write import leftovers
from dsetkit.spec.arrow import Row, rows_from_table
from dsetkit.spec.sample import Rejected
from dsetkit.storage.folder import MappedFolder

PICTURE_FIELDS = (
    "digest",
    "size_bytes",
    "media_type",
    "width_px",
    "height_px",
    "mode",
    "exif_orientation",
    "phash",
    "sharpness",
    "brightness",
    "contrast",
    "channel_mean",
    "channel_std",
)
"""The fields of a row that follow from the picture's bytes."""

_MADE_FIELDS = frozenset((*PICTURE_FIELDS, "recipe"))
_COLUMNS = (*PICTURE_FIELDS, "made_from", "shard", "offset_bytes", "recipe")
_CHUNK = 1024


class Made(NamedTuple):
    """A picture that is there already, or why there is none."""

    fields: Row
    """``PICTURE_FIELDS`` and the recipe, sparse."""
    read: Callable[[], bytes]
    reason: str | None = None
    """Why it was turned away, where it was."""
    message: str = ""


class Memory:
    """The pictures of earlier snapshots of one stage and of a killed run's finished shards."""

    def __init__(self, snapshots: Sequence[Snapshot], build: Path, sound: SoundFiles, seal: Seal | None = None) -> None:
        """``sound`` tells which shards are still what they were; pictures in others are not known.

        ``seal`` is what the build seals with: finished shards of a run that sealed otherwise are deleted.
        """
        self._sound = sound
        self.snapshots = tuple(snapshots)
        self._tables: list[tuple[pa.Table, Shards]] = []
        for snapshot in self.snapshots:
            self._remember(snapshot.column(_COLUMNS), snapshot.shards)
            rejected = snapshot.rejected
            samples = rejected.filter(pa.compute.equal(rejected["what"], "sample"))
            self._remember(samples.select([*_COLUMNS, "reason", "message"]), snapshot.shards)
        for path, rows in leftovers(build, seal):
            self._remember(rows, Shards(MappedFolder(str(build), {f"shards/{path.name}": path}), seal))
        self._starts = [0, *accumulate(table.num_rows for table, _ in self._tables)]
        self._order, self._heads = self._index()
        self._answers: dict[tuple[int, str], bool] = {}
        self._next = 0
        self._chunks: OrderedDict[tuple[int, int], list[Row]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._order)

    def _remember(self, table: pa.Table, shards: Shards) -> None:
        known = table.filter(
            pa.compute.and_(pa.compute.is_valid(table["made_from"]), pa.compute.is_valid(table["shard"]))
        )
        if known.num_rows:
            self._tables.append((known, shards))

    def _index(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The first 8 bytes of each ``made_from``, sorted, and which table and row each is of.

        Eight bytes a sample instead of a dict entry: the index of a million samples takes 16 MB.
        """
        heads = [
            np.frombuffer(bytes.fromhex("".join(table["made_from"].to_pylist())), dtype=">u8")[::4]
            for table, _ in self._tables
        ]
        joined = np.concatenate(heads).astype("u8") if heads else np.zeros(0, "u8")
        order = np.argsort(joined, kind="stable")
        return order, joined[order]

    def find(self, made_from: str) -> Made | None:
        """The picture made from just this, or None."""
        found = self._at(self._next, made_from)  # most often the one that follows the last: all is in key order
        if found is not None:
            return found
        head = np.uint64(int(made_from[:16], 16))
        place = int(np.searchsorted(self._heads, head))
        while place < len(self._heads) and self._heads[place] == head:
            found = self._at(int(self._order[place]), made_from)
            if found is not None:
                return found
            place += 1
        return None

    def _at(self, position: int, made_from: str) -> Made | None:
        """The picture of a row, if it was made from just this and its bytes are there."""
        if position >= self._starts[-1]:
            return None
        number = bisect.bisect_right(self._starts, position) - 1
        chunk, within = divmod(position - self._starts[number], _CHUNK)
        row = self._chunk(number, chunk)[within]
        if row["made_from"] != made_from or not self._is_sound(number, row["shard"]):
            return None
        self._next = position + 1
        return _made(row, self._tables[number][1])

    def _is_sound(self, number: int, shard: str) -> bool:
        """Looked at once a run: even asking whether the file is there costs more than all else about a row."""
        answer = self._answers.get((number, shard))
        if answer is None:
            answer = self._sound.is_sound(self._tables[number][1].folder, f"shards/{shard}")
            self._answers[number, shard] = answer
        return answer

    def _chunk(self, number: int, chunk: int) -> list[Row]:
        """Rows are looked up mostly in key order, so turning them to Python by the thousand pays."""
        rows = self._chunks.get((number, chunk))
        if rows is None:
            table = self._tables[number][0].slice(chunk * _CHUNK, _CHUNK)
            rows = rows_from_table(table, Rejected)
            self._chunks[number, chunk] = rows
            if len(self._chunks) > 16:
                self._chunks.popitem(last=False)
        return rows


def _made(row: Row, shards: Shards) -> Made:
    read = partial(shards.read, row["shard"], row["offset_bytes"], row["size_bytes"], row["digest"])
    fields = {field: value for field, value in row.items() if field in _MADE_FIELDS}
    return Made(fields, read, row.get("reason"), row.get("message", ""))
