"""Tags that anchor the audit, as git has them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dsetkit.history import anchors
from dsetkit.history.anchors import read_anchors, write_anchor
from dsetkit.history.repository import git

SIGNATURE = "-----BEGIN SSH SIGNATURE-----\nx\n-----END SSH SIGNATURE-----\n"


def test_tags_are_read_as_they_were_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@x", *command], cwd=tmp_path, check=True)
    signed: list[bytes] = []

    def sign(data: bytes) -> str:
        signed.append(data)
        return SIGNATURE

    assert write_anchor(tmp_path, "short\n", "ada", sign) == "dsetkit-audit-1"
    assert write_anchor(tmp_path, "long\n" * 100, "ada", sign) == "dsetkit-audit-2"
    git(tmp_path, "tag", "dsetkit-audit-3", required=True)  # light: a name alone
    names = [f"dsetkit-audit-{number}" for number in (1, 2, 3)]
    texts = [(text, SIGNATURE.encode()) for text in signed]
    assert read_anchors(tmp_path) == [(names[0], *texts[0]), (names[1], *texts[1]), (names[2], b"", b"")]

    asked: list[str] = []
    real = anchors._bytes
    monkeypatch.setattr(anchors, "_bytes", lambda root, *words: asked.append(words[-1]) or real(root, *words))
    monkeypatch.setattr(anchors, "_MAX_BYTES", 400)
    assert read_anchors(tmp_path) == [(names[0], *texts[0]), (names[1], b"", b""), (names[2], b"", b"")]
    assert asked == ["refs/tags/dsetkit-audit-1"]  # what is too large is not even read
