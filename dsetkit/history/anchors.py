"""Anchors of the audit: signed git tags ``dsetkit-audit-<n>``, as bytes; what they say is for ``dsetkit.access.audit``.

The tag object is made here and signed by the caller, so that the private key is in no other program; git verifies it
as any tag signed with SSH (gitformat-signature(5)) with the signers that ``dsetkit access list --signers`` prints.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from dsetkit.errors import StorageError
from dsetkit.history.repository import git

PREFIX = "dsetkit-audit-"
_TAG = re.compile(r"dsetkit-audit-([1-9][0-9]{0,8})\Z")
_BEGIN = b"-----BEGIN SSH SIGNATURE-----\n"
_MAX_BYTES = 1024 * 1024


def read_anchors(root: Path) -> list[tuple[str, bytes, bytes]]:
    """Name, signed bytes and signature of each anchor's tag, by number; the signature may be empty.

    A light tag (no object of its own), and one that is too large, has no bytes at all. Raises ``StorageError`` where
    git fails.
    """
    names = (git(root, "tag", "--list", f"{PREFIX}*") or "").split()
    numbered = sorted((int(found[1]), name) for name in names if (found := _TAG.match(name)))
    anchors = []
    for _, name in numbered:
        said = git(root, "cat-file", "--batch-check=%(objecttype) %(objectsize)", text=f"refs/tags/{name}") or ""
        if not said.startswith("tag ") or int(said.removeprefix("tag ")) > _MAX_BYTES:
            anchors.append((name, b"", b""))
            continue
        data = _bytes(root, "cat-file", "tag", f"refs/tags/{name}")
        text, begin, rest = data.rpartition(_BEGIN)
        anchors.append((name, text, begin + rest) if begin else (name, data, b""))
    return anchors


def write_anchor(root: Path, message: str, tagger: str, sign: Callable[[bytes], str]) -> str:
    """Makes the next anchor's tag, on the present commit; gives its name.

    ``tagger`` is the principal's name. Raises ``StorageError`` where there is no commit yet, or git fails.
    """
    commit = git(root, "rev-parse", "--verify", "HEAD^{commit}")
    if commit is None:
        raise StorageError("There is no commit to anchor to", url=str(root), hint="Commit first: git commit.")
    names = (git(root, "tag", "--list", f"{PREFIX}*") or "").split()
    number = max((int(found[1]) for name in names if (found := _TAG.match(name))), default=0) + 1
    name = f"{PREFIX}{number}"
    head = f"object {commit}\ntype commit\ntag {name}\ntagger {tagger} <{tagger}> {int(time.time())} +0000\n\n"
    text = head + message
    made = git(root, "mktag", required=True, text=text + sign(text.encode()))
    git(root, "update-ref", f"refs/tags/{name}", str(made), "", required=True)
    return name


def _bytes(root: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    if done.returncode != 0:
        raise StorageError(f"git {arguments[0]} failed", url=str(root), hint="See git fsck.")
    return done.stdout
