"""Padmé: sizes rounded up so that they tell less, at a cost of at most 12 %.

Source: Nikitin and others, "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", PoPETs 2019,
section 4: of a size L with E = floor(log2 L) and S = floor(log2 E) + 1, the last E − S bits are rounded up to zero.
"""

from __future__ import annotations


def padded_size(size_bytes: int) -> int:
    """The size that a content of ``size_bytes`` is filled up to; never less."""
    if size_bytes < 2:
        return size_bytes
    exponent = size_bytes.bit_length() - 1
    kept = exponent.bit_length()
    mask = (1 << max(0, exponent - kept)) - 1
    return (size_bytes + mask) & ~mask
