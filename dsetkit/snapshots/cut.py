"""Where shards and manifest parts end: where the content says, so that a local change touches only what is near.

Both rules look at nothing but what came since the last end, so two walks that end at the same sample go on alike.
All arithmetic is on integers, so the ends are the same on every machine.
"""

from __future__ import annotations

PART_ROWS = 16_384
"""Rows that a manifest part aims at."""

SHARD_MEMBERS = 4_096
"""A sample counts at least this fraction (1/4,096) of a shard's target, so tiny pictures make no endless shard."""


class _Cutter:
    """Ends after an item with a chance of ``size / target``; never under a quarter of it, always by four times."""

    def __init__(self, target: int) -> None:
        if target < 1:
            raise ValueError(f"a target is at least 1, not {target}")
        self.target = target
        self.size = 0
        """What came since the last end."""

    def _add(self, draw: int, size: int, chance: int) -> bool:
        self.size += size
        if 4 * self.size < self.target:
            return False
        # draw / 2**64 < chance / target
        if self.size < 4 * self.target and draw * self.target >= chance << 64:
            return False
        self.size = 0
        return True


class ShardCutter(_Cutter):
    """Decides after which samples a shard ends.

    Walking samples in key order, a shard ends after one whose digest's first 8 bytes, as a fraction (big-endian,
    divided by 2**64), are below ``size_bytes / target_bytes``; never while the shard has less than a quarter of
    ``target_bytes``, always once it has four times that. Sizes are those of the pictures' bytes, each counted as at
    least ``target_bytes / 4096`` (rounded up), so a shard has at most 16,384 samples. A sample whose bytes are
    already in the shard counts like any other.
    """

    def __init__(self, target_bytes: int) -> None:
        super().__init__(target_bytes)
        self._least = -(-target_bytes // SHARD_MEMBERS)

    def add(self, digest: str, size_bytes: int) -> bool:
        """Take the next sample (SHA-256 in hex, size in bytes); true when the shard ends after it.

        Raises ``ValueError`` for a negative size or a digest that is not hex.
        """
        if size_bytes < 0:
            raise ValueError(f"a size is not negative: {size_bytes}")
        size = max(size_bytes, self._least)
        return self._add(int(digest[:16], 16), size, size)


class PartCutter(_Cutter):
    """Decides after which shards a manifest part ends.

    A part ends after a shard when bytes 8 to 16 of the digest of the sample that ended the shard, as a fraction, are
    below ``rows / target_rows``, where ``rows`` are the shard's; never under a quarter of ``target_rows``, always
    once it has four times that (so a part has fewer than four times, and one shard).
    """

    def __init__(self, target_rows: int = PART_ROWS) -> None:
        super().__init__(target_rows)

    def add(self, last_digest: str, rows: int) -> bool:
        """Take the next shard (digest of the sample that ended it, rows in it); true when the part ends after it.

        Raises ``ValueError`` for negative rows or a digest that is not hex.
        """
        if rows < 0:
            raise ValueError(f"rows are not negative: {rows}")
        return self._add(int(last_digest[16:32], 16), rows, rows)
