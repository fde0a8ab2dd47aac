"""The files of ``access/policy``: versions and their signatures, read within limits, and nothing else beside them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from dsetkit.access import signing
from dsetkit.access.files import RESTORE, names_below, read_below, refuse
from dsetkit.storage.atomic import remove_tree

FOLDER = "access/policy"
MAX_POLICY_BYTES = 1024 * 1024
"""Of one version: there is room for over a thousand people."""
MAX_VERSIONS = 10_000
SETTLE = "Two branches met here. See what that means: dsetkit access settle; it keeps the other side's version."
"""What to do where a merge stands still in what does not merge."""
LEFT = (
    f"{RESTORE} If it came with a merge, it is left of a version that was dropped: dsetkit access settle takes it away."
)
_MAX_FILES = 100_000
_MAX_BYTES = 64 * 1024 * 1024
"""Of all policies and signatures together."""
_POLICY = re.compile(r"([1-9][0-9]{0,4})\.json\Z")
SIGNATURE = re.compile(r"([1-9][0-9]{0,4})\.([a-z0-9][a-z0-9._@+-]{0,63})\.sig\Z")


def read_files(root: Path) -> tuple[list[bytes], dict[int, dict[str, bytes]]]:
    """The policies 1, 2, ... and their signatures by principal. Raises ``TamperError`` for anything else there."""
    names = names_below(root, FOLDER, _MAX_FILES)
    return collected(names, lambda name, limit_bytes: read_below(root, f"{FOLDER}/{name}", limit_bytes))


def collected(
    names: Sequence[str], read_one: Callable[[str, int], bytes | None]
) -> tuple[list[bytes], dict[int, dict[str, bytes]]]:
    """``read_files`` of the files that are called so, wherever ``read_one`` reads them by name."""
    numbers: set[int] = set()
    signed: dict[int, list[str]] = {}
    for name in names:
        if name.startswith("."):  # what a killed writer left, never read
            continue
        if found := _POLICY.match(name):
            numbers.add(int(found[1]))
        elif (found := SIGNATURE.match(name)) and ".." not in found[2]:
            signed.setdefault(int(found[1]), []).append(found[2])
        else:
            refuse("is no policy and no signature of one", f"{FOLDER}/{name}", hint="Move it away.")
    if numbers != set(range(1, len(numbers) + 1)) or len(numbers) > MAX_VERSIONS:
        refuse("has not the versions 1, 2, ... without gaps", FOLDER)
    # A signature of the next version alone is what a killed writer left.
    if strays := set(signed) - numbers - {len(numbers) + 1}:
        refuse("is a signature of no policy", f"{FOLDER}/{min(strays)}.{signed[min(strays)][0]}.sig", hint=LEFT)
    left = _MAX_BYTES

    def read(name: str, limit_bytes: int) -> bytes:
        nonlocal left
        data = read_one(name, limit_bytes)
        if data is None:
            refuse("vanished while it was read", f"{FOLDER}/{name}", hint="Run it again.")
        left -= len(data)
        if left < 0:
            refuse(f"has more than {_MAX_BYTES:,} bytes, and no policies are that large", FOLDER)
        return data

    texts = [read(f"{number}.json", MAX_POLICY_BYTES) for number in sorted(numbers)]
    signatures = {
        number: {name: read(f"{number}.{name}.sig", signing.MAX_SIGNATURE_BYTES) for name in sorted(names)}
        for number, names in signed.items()
        if number in numbers
    }
    return texts, signatures


def is_in_conflict(text: bytes) -> bool:
    """Whether git left its markers in there. No policy has a line that begins so."""
    return text.startswith(b"<<<<<<< ") or b"\n<<<<<<< " in text


def delete_version(root: Path, version: int) -> None:
    """The policy first: its signatures alone are taken for what a killed writer left, a version without them is not."""
    names = names_below(root, FOLDER, _MAX_FILES)
    for kind in (_POLICY, SIGNATURE):
        for name in names:
            if (found := kind.match(name)) and int(found[1]) == version:
                remove_tree(root / FOLDER / name)
