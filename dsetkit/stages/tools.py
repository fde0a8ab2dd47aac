"""The versions of tools that the bytes of snapshots depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pyarrow as pa

from dsetkit.geometry.polygons import shape_versions
from dsetkit.imaging.versions import codec_versions
from dsetkit.spec.base import canonical_json, digest_of

_CODECS = codec_versions()
"""Asking Pillow takes longer than the digest of a row."""


def tool_versions() -> dict[str, str]:
    """What ``tools.lock.yaml`` holds: codecs and our own pixel code, what cuts polygons, the writer of Parquet."""
    return dict(sorted({**codec_versions(), **shape_versions(), "pyarrow": pa.__version__}.items()))


def pixel_digest(*facts: object) -> str:
    """``made_from``: what a picture is made from, together with the codecs and the code that make it."""
    return digest_of([*facts, _CODECS])


def picture_digests(stage: str, recipe: object) -> Callable[[str], str]:
    """``pixel_digest(stage, digest, recipe)`` for many pictures of one recipe; what they share is written once."""
    head = f'[{canonical_json(stage)},"'.encode()
    tail = f'",{canonical_json(recipe)},{canonical_json(_CODECS)}]'.encode()
    return lambda digest: hashlib.sha256(b"".join((head, digest.encode(), tail))).hexdigest()
