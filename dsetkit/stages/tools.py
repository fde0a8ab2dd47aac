"""The versions of tools that the bytes of snapshots depend on."""

from __future__ import annotations

import pyarrow as pa

from dsetkit.geometry.polygons import shape_versions
from dsetkit.imaging.versions import codec_versions
from dsetkit.spec.base import digest_of


def tool_versions() -> dict[str, str]:
    """What ``tools.lock.yaml`` holds: codecs and our own pixel code, what cuts polygons, the writer of Parquet."""
    return dict(sorted({**codec_versions(), **shape_versions(), "pyarrow": pa.__version__}.items()))


def pixel_digest(*facts: object) -> str:
    """``made_from``: what a picture is made from, together with the codecs and the code that make it."""
    return digest_of([*facts, codec_versions()])
