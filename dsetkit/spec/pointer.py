"""Files that only say where data is: what Git LFS and git-annex leave where nobody has fetched it.

Sources: the pointer format of the Git LFS specification (``docs/spec.md``), git-annex's "pointer file" page.
"""

from __future__ import annotations

MAX_POINTER_BYTES = 32 * 1024
"""A pointer is smaller: Git LFS's have less than 1,024 bytes, git-annex's at most 32 KiB."""
_LFS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")


def pointer_kind(data: bytes) -> str | None:
    """``Git LFS`` or ``git-annex`` where ``data``, a whole file or its beginning, is a pointer; else None."""
    if data.startswith(_LFS) and b"\noid " in data[:1024]:
        return "Git LFS"
    return "git-annex" if data.startswith(b"/annex/objects/") else None


def fetch_hint(kind: str) -> str:
    """What to do about a pointer."""
    return "Fetch the data: git lfs pull." if kind == "Git LFS" else "Fetch the data: git annex get."
