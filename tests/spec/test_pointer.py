"""What Git LFS and git-annex leave in place of data."""

from __future__ import annotations

import pytest

from dsetkit.spec.pointer import fetch_hint, pointer_kind

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4" * 64 + b"\nsize 12345\n"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (LFS, "Git LFS"),
        (LFS.replace(b"git-lfs.github", b"hawser.github"), "Git LFS"),
        (b"/annex/objects/SHA256E-s10--" + b"4" * 64 + b".jpg\n", "git-annex"),
        (b"version https://git-lfs.github.com/spec/v1\n", None),
        (b'{"images": []}', None),
        (b"", None),
    ],
)
def test_pointers_are_told(data: bytes, kind: str | None) -> None:
    assert pointer_kind(data) == kind
    assert kind is None or fetch_hint(kind).startswith("Fetch the data: git ")
